"""The redirect listener (RFC 8252 §7.3): waits on this machine for the browser to come back.

Listens on 127.0.0.1 and ::1 only, because a browser may resolve ``localhost`` to either. Knows nothing of
tokens: it hands over a genuine callback and shows the page it is given. The callback may also come from a
person who pastes the address that the browser ended at, whichever is first.
"""

from __future__ import annotations

import contextlib
import html
import queue
import secrets
import socket
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from onplan.errors import SignInError
from onplan.oauth.authorization_code import CALLBACK_PATH, Callback, read_callback

_MAXIMUM_FORM = 64 * 1024
_PAGE_SECONDS = 60.0  # how long the browser's tab waits for the exchange to finish
_SHOW_SECONDS = 3.0  # how long a sign-in waits for its tab to have got the page
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
    """The browser cannot come back to this machine: other programs have every port that it may come to."""

    hint = "End the other sign-in, or run `onplan login --paste`, or `onplan login --device`."


class RedirectListener:
    """Listens from ``with`` on, on the first of ``ports`` that is free.

    Args:
        ports: to try, in order; 0 is any.
        state: of the sign-in.
        host: of the redirect URI; ``localhost`` is both loopback addresses.

    Attributes:
        port: where it listens.

    Raises:
        PortsTakenError: none is.
    """

    def __init__(self, ports: Sequence[int], state: str, host: str = "localhost") -> None:
        self.port = 0
        self._ports, self._state, self._host = ports, state, host
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
            f"Nobody finished the sign-in in the browser within {timeout / 60:.0f} minutes.",
            hint="Run `onplan login` again, or `onplan login --paste` with a browser elsewhere.",
        )

    def paste(self, text: str) -> bool:
        """Take an address that a person pasted; may be called on any thread. Whether it was the right one."""
        callback = read_callback(text, self._state)
        if callback.genuine:
            self._has_arrived = True
            self._arrived.put((callback, False))
        return callback.genuine

    def show(self, title: str, text: str, status: int = 200) -> None:
        """What the browser's tabs show. Without it they say that nobody knows yet."""
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
        for port in self._ports:
            with contextlib.suppress(OSError):
                self._servers = _listen(port, self)
                self.port = self._servers[0].server_address[1]
                break
        else:
            tried = " or ".join(map(str, self._ports))
            raise PortsTakenError(
                f"The sign-in must come back to this machine on port {tried}, and neither is free."
            )
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
    daemon_threads = True  # a connection that says nothing holds nobody up
    allow_reuse_address = sys.platform != "win32"  # there it would let two programs share the port

    def server_bind(self) -> None:
        """Without the library's look-up of this machine's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A tab that was closed meanwhile is no news."""


class _IPv6Server(_IPv4Server):
    address_family = socket.AF_INET6


def _errno(*names: str) -> frozenset[int]:
    import errno

    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


_NO_IPV6 = _errno("EADDRNOTAVAIL", "EAFNOSUPPORT", "EPROTONOSUPPORT")


class _Handler(BaseHTTPRequestHandler):
    """One request of the browser's."""

    redirect_listener: RedirectListener
    server_version, sys_version = "onplan", ""
    timeout = 10.0

    def do_GET(self) -> None:
        """The redirect of the authorization server, or the person cancelling."""
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
        if not self._is_meant_for_us():
            self._page(400, "Not for this address", "This address answers to localhost only.")
        elif path == CALLBACK_PATH:
            callback = read_callback(f"?{fields}", listener._state)
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
        """Against DNS rebinding, and other people's pages that would cancel a sign-in.

        The redirect itself comes across sites by nature; nothing else may: other ports of this machine are
        other people's, too. The official client, which cancels an earlier sign-in, is no browser.
        """
        host = self.headers.get("host", "").rpartition(":")[0] or self.headers.get("host", "")
        crossing = self.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        redirected = urlsplit(self.path).path == CALLBACK_PATH
        ours = _OUR_NAMES if self.redirect_listener._host == "localhost" else {self.redirect_listener._host}
        return host in ours and (redirected or not crossing)

    def _page(self, status: int, title: str, text: str, *, hide: bool = True) -> None:
        """``hide``: take the code out of the address bar. One that is not for us may be wanted elsewhere."""
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
