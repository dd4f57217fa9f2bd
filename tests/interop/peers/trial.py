"""What other people's Codex clients share: the services' hosts redirected to the emulator, and a browser.

Another environment's Python runs ``peer.py ISSUER CODEX_BASE_URL PLAN_BASE_URL FOLDER``.
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from steps import ISSUER, control, opener, report, step

__all__ = [
    "CODEX",
    "FOLDER",
    "ISSUER",
    "PLAN",
    "approve",
    "browse",
    "control",
    "redirect_hosts",
    "report",
    "set_token_lifetime",
    "step",
]

CODEX, PLAN = sys.argv[2:4]
FOLDER = Path(sys.argv[4])
HOSTS = {
    "auth.openai.com": (ISSUER, b""),
    "chatgpt.com": (CODEX.removesuffix("/backend-api/codex"), b""),
    "api.openai.com": (PLAN, b"/v1"),
}


def redirect_hosts(library: Any) -> None:
    """Make the three hosts the emulator for all of httpx or httpx2, as a resolver of names would."""
    _redirect(library, library.HTTPTransport, "handle_request")
    _redirect(library, library.AsyncHTTPTransport, "handle_async_request")


def _redirect(library: Any, transport: Any, name: str) -> None:
    below = getattr(transport, name)

    def handle(self: Any, request: Any) -> Any:
        base, prefix = HOSTS.get(request.url.host, (None, b""))
        if base is None:
            return below(self, request)
        target = library.URL(base)
        path = target.raw_path.rstrip(b"/") + request.url.raw_path.removeprefix(prefix)
        redirected = library.Request(  # a copy, for a client looks at the URL again when it retries
            request.method,
            target.copy_with(raw_path=path),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return below(self, redirected)

    setattr(transport, name, handle)


def set_token_lifetime(seconds: float) -> None:
    """The lifetime of the access tokens to come."""
    control("tokens", {"access_token_lifetime": seconds})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def approve(url: str) -> str:
    """Approve at the sign-in page; returns the address that it sends the browser to."""
    stay = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        stay.open(url.replace("https://auth.openai.com", ISSUER), timeout=20).close()
    except urllib.error.HTTPError as page:
        with page:
            return str(page.headers["location"] or f"{page.code}: {page.read()!r}")
    raise RuntimeError("the sign-in page does not redirect")


def browse(url: str) -> threading.Thread:
    """Be the browser: approve, and go back to the stranger as soon as it listens."""

    def follow() -> None:
        callback = approve(url)
        for _ in range(600):
            try:
                opener.open(callback, timeout=20).close()
            except urllib.error.HTTPError as page:
                page.close()
            except OSError:
                time.sleep(0.05)
                continue
            return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return thread
