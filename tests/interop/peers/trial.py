"""What the peers share: the services' hosts redirected to the emulator, a browser, and a record of each step.

Another environment's Python runs ``peer.py ISSUER CODEX_BASE_URL PLAN_BASE_URL FOLDER``. A peer prints JSON:
of each step its result, or the error it ended in, and the requests that arrived meanwhile.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ISSUER, CODEX, PLAN = sys.argv[1:4]
FOLDER = Path(sys.argv[4])
HOSTS = {
    "auth.openai.com": (ISSUER, b""),
    "chatgpt.com": (CODEX.removesuffix("/backend-api/codex"), b""),
    "api.openai.com": (PLAN, b"/v1"),
}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
steps: dict[str, Any] = {}


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


def control(path: str, body: Any = None, method: str | None = None) -> Any:
    """A request to the emulator's control paths."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{ISSUER}/_emulator/{path}", data, headers, method=method)
    with opener.open(request, timeout=20) as reply:
        return json.loads(reply.read() or b"null")


def set_token_lifetime(seconds: float) -> None:
    """The lifetime of the access tokens to come."""
    control("tokens", {"access_token_lifetime": seconds})


@contextmanager
def step(name: str) -> Iterator[dict[str, Any]]:
    """One thing that a user does; an error is noted like an answer, and the next step is tried."""
    control("journal", method="DELETE")
    row: dict[str, Any] = {}
    steps[name] = row
    try:
        yield row
    except Exception as error:  # noqa: BLE001 - whatever the stranger raises is what is to be known
        row["raised"] = type(error).__name__
        row["said"] = str(error)
        row["traceback"] = traceback.format_exc()
    control("faults", method="DELETE")
    row["requests"] = control("journal")["requests"]


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


def report() -> None:
    """Print every step."""
    sys.stdout.write(f"\n{json.dumps(steps, default=str)}\n")
