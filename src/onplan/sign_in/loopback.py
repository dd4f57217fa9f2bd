"""The redirect listener (RFC 8252 §7.3): waits on a loopback port for the browser to return.

Listens on 127.0.0.1 and ::1 only, because a browser may resolve ``localhost`` to either. It knows nothing of
tokens: it returns the first genuine callback, and shows the browser the page that it is given. The callback
may also come from a person who pastes the address at which the browser ended; the first one counts.
"""

from __future__ import annotations

import contextlib
import errno
import html
import queue
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from onplan.errors import SignInError
from onplan.oauth.authorization_code import CALLBACK_PATH, Callback, read_callback
from onplan.oauth.pasted import PastedLines, is_answer

_MAXIMUM_FORM = 64 * 1024
_PAGE_SECONDS = 60.0  # how long the browser's tab waits for the exchange to finish
_SHOW_SECONDS = 3.0  # how long a sign-in waits until its tab has received the page
_SLICE = 0.5  # on Windows, Ctrl-C is not noticed within a wait

_OUR_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>onplan: {title}</title>
<style nonce="{nonce}">
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto; padding: 0 1rem;
       color: #222; background: #fff }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #111 }} }}
</style>
<h1>{title}</h1><p>{text}</p>
"""
_HIDE_ADDRESS = """<script nonce="{nonce}">history.replaceState(null, "", "/")</script>
"""

_POLICY = "default-src 'none'; frame-ancestors 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'"


class PortsTakenError(SignInError):
    """The browser cannot return to this machine: none of the redirect ports can be listened on."""

    hint = "End the other sign-in. Or run `onplan login --paste` or `onplan login --device`."


class RedirectListener:
    """Within ``with``, listens on the first of ``ports`` that is free.

    Args:
        ports: to try, in order; 0 is any.
        state: of the sign-in.
        host: of the redirect URI; ``localhost`` is both loopback addresses.

    Attributes:
        port: where it listens.

    Raises:
        PortsTakenError: none is free.
    """

    def __init__(self, ports: Sequence[int], state: str, host: str = "localhost") -> None:
        self.port = 0
        self._ports, self._state, self._host = ports, state, host
        self._pasted = PastedLines(state)
        self._servers: list[_IPv4Server] = []
        self._arrived: queue.Queue[tuple[Callback, bool]] = queue.Queue()  # and whether a tab waits
        self._page = (503, "Not finished", "Return to the terminal to see how the sign-in ended.")
        self._decided, self._shown = threading.Event(), threading.Event()
        self._page_is_awaited = self._has_arrived = False

    def wait(self, timeout: float) -> Callback:
        """The first callback whose state is genuine.

        Raises:
            SignInError: none came within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                callback, self._page_is_awaited = self._arrived.get(timeout=min(left, _SLICE))
                return callback
        raise SignInError(
            f"The sign-in was not finished in the browser within {timeout / 60:.0f} minutes.",
            hint="Run `onplan login` again, or `onplan login --paste` with a browser on another machine.",
        )

    def paste(self, text: str) -> bool:
        """Take an address that a person pasted, or a line of it; may be called from another thread.

        Returns whether it is complete now, and belongs to this sign-in.
        """
        callback = self._pasted.take(text)
        if is_answer(callback):
            self._has_arrived = True
            self._arrived.put((callback, False))
        return is_answer(callback)

    def show(self, title: str, text: str, status: int = 200) -> None:
        """Set the page that the browser's tabs show at the end of the sign-in."""
        self._page = (status, title, text)

    def _receive(self, callback: Callback) -> tuple[int, str, str]:
        """Hand ``callback`` over and wait for the page; called on the thread of a tab's connection.

        A reloaded or prefetched tab brings the same callback again; the first one counts, all see the page.
        """
        if not callback.genuine:
            return (
                400,
                "Not this sign-in",
                "State mismatch: this belongs to another sign-in. onplan goes on waiting for the right one.",
            )
        self._has_arrived = True
        self._arrived.put((callback, True))
        self._decided.wait(_PAGE_SECONDS)
        return self._page

    def __enter__(self) -> Self:
        refused: dict[int, OSError] = {}
        for port in self._ports:
            try:
                self._servers = _listen(port, self)
            except OSError as error:
                refused[port] = error
            else:
                self.port = self._servers[0].server_address[1]
                break
        else:
            raise ports_taken(refused)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decided.set()
        if self._page_is_awaited:
            self._shown.wait(_SHOW_SECONDS)
        for server in self._servers:
            server.shutdown()
            server.server_close()


def ports_taken(refused: Mapping[int, OSError]) -> PortsTakenError:
    """The error that says why each port in ``refused`` cannot be listened on."""
    forbidden = [str(port) for port, error in refused.items() if error.errno in _FORBIDDEN]
    busy = [str(port) for port, error in refused.items() if error.errno == errno.EADDRINUSE]
    reasons = [
        f"{port} cannot be listened on ({str(error.strerror).lower()})"
        for port, error in refused.items()
        if str(port) not in (*forbidden, *busy)
    ]
    if busy:
        reasons.append(f"{' and '.join(busy)} {'are' if len(busy) > 1 else 'is'} in use by other programs")
    if forbidden:
        reasons.append(f"the system does not let this program listen on {' and '.join(forbidden)}")
    hint = None if busy else "Run `onplan login --paste`, or `onplan login --device`."
    if forbidden and sys.platform == "win32":
        hint = f"{hint or PortsTakenError.hint} Reserved ports: `netsh int ipv4 show excludedportrange tcp`."
    return PortsTakenError(
        f"The sign-in must come back to this machine on port {' or '.join(map(str, refused))}, but "
        f"{', and '.join(reasons)}.",
        hint=hint,
    )


def _listen(port: int, listener: RedirectListener) -> list[_IPv4Server]:
    """Servers on the host's loopback addresses, on one port. Raises OSError if it is taken on any."""

    class Handler(_Handler):
        redirect_listener = listener

    servers = [_IPv4Server(("127.0.0.1", port), Handler)]
    if socket.has_ipv6 and listener._host == "localhost":
        try:
            servers.append(_IPv6Server(("::1", servers[0].server_address[1]), Handler))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                servers[0].server_close()
                raise
    return servers


class _IPv4Server(ThreadingHTTPServer):
    daemon_threads = True  # a silent connection delays neither the others nor the end
    allow_reuse_address = sys.platform != "win32"  # on Windows it would let two programs share the port

    def server_bind(self) -> None:
        """Without the library's look-up of this machine's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is printed when a tab was closed meanwhile."""


class _IPv6Server(_IPv4Server):
    address_family = socket.AF_INET6


def _errno(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


# Reserved ranges on Windows (Hyper-V, WSL), sandboxes, and ports below 1024.
_FORBIDDEN = _errno("EACCES", "EPERM")
# A sandbox may permit IPv4 only.
_NO_IPV6 = _errno("EADDRNOTAVAIL", "EAFNOSUPPORT", "EPROTONOSUPPORT") | _FORBIDDEN


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of the browser."""

    redirect_listener: RedirectListener
    server_version, sys_version = "onplan", ""
    timeout = 10.0

    def do_GET(self) -> None:
        """The redirect from the authorization server, or a request to cancel."""
        parts = urlsplit(self.path)
        self._answer(parts.path, parts.query)

    def do_POST(self) -> None:
        """The same with ``response_mode=form_post``."""
        length = self.headers.get("content-length", "")
        size = int(length) if length.isdecimal() else 0
        form = self.rfile.read(min(size, _MAXIMUM_FORM)).decode("utf-8", "replace")
        self._answer(urlsplit(self.path).path, form)

    def _answer(self, path: str, fields: str) -> None:
        listener = self.redirect_listener
        callback = read_callback(f"?{fields}", listener._state)
        if not (self._is_meant_for_us() or (callback.genuine and self._is_forwarded())):
            self._page(400, "Not for this address", "This address answers to localhost only.")
        elif path == CALLBACK_PATH or (callback.genuine and path.endswith(CALLBACK_PATH)):
            self._page(*listener._receive(callback), hide=callback.genuine)
            if callback.genuine:
                listener._shown.set()
        elif path == "/cancel" and listener._has_arrived:
            self._page(409, "Too late", "The browser has come back already. Return to the terminal.")
        elif path == "/cancel":
            cancelled = Callback(genuine=True, error="cancelled", description="it was cancelled")
            listener._arrived.put((cancelled, True))
            self._page(200, "Cancelled", "The sign-in was cancelled.")
            listener._shown.set()
        else:
            self._page(404, "Not found", "There is nothing here.")

    def _is_meant_for_us(self) -> bool:
        """Whether the request is for this listener: against DNS rebinding, and pages that cancel sign-ins.

        Only the redirect may come from another site. Other ports of this machine count as other sites, since
        other users may listen there. The official client, which cancels an earlier sign-in, is no browser and
        sends no ``sec-fetch-site``.
        """
        host = self._named()
        crossing = self.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        redirected = urlsplit(self.path).path.endswith(CALLBACK_PATH)
        ours = _OUR_NAMES if self.redirect_listener._host == "localhost" else {self.redirect_listener._host}
        return host in ours and (redirected or not crossing)

    def _is_forwarded(self) -> bool:
        """Whether the redirect came to the public name of a forwarded port, as in a Codespace.

        Then only the state shows that it belongs to this sign-in; no other page can know the state.
        """
        return urlsplit(self.path).path.endswith(CALLBACK_PATH) and self._named() not in _OUR_NAMES

    def _named(self) -> str:
        """The host that the browser thinks it is talking to, without the port."""
        host: str = self.headers.get("host", "")
        return host.rpartition(":")[0] or host

    def _page(self, status: int, title: str, text: str, *, hide: bool = True) -> None:
        """Send a page. ``hide``: remove the code from the address bar, unless it is for another program."""
        nonce = secrets.token_urlsafe(16)
        page = _PAGE + (_HIDE_ADDRESS if hide else "")
        body = page.format(nonce=nonce, title=html.escape(title), text=html.escape(text)).encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", _POLICY.format(nonce=nonce)),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing is logged: the request line holds the authorization code."""
