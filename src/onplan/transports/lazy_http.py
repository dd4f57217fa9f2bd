"""Imports ``HTTPTransport`` when it is first used: httpx2 takes as long to import as all of onplan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from onplan.forking import no_fork
from onplan.transports.base import Answer, Timeouts

if TYPE_CHECKING:
    import httpx2

    from onplan.flow import Request, Response
    from onplan.transports.httpx2_sync import HTTPTransport
    from onplan.transports.route import Route


class LazyHTTPTransport:
    """Has the methods of ``HTTPTransport``; a client that sends nothing over it never loads httpx2.

    It has no lock, which a fork could leave locked. If two threads make a transport at the same time, one of
    the two is thrown away before it has a connection.

    Args:
        timeouts: limits.
        client: the user's own client, instead of one that follows ``route``.
        route: proxies and certificates.
    """

    def __init__(
        self,
        timeouts: Timeouts | None = None,
        client: httpx2.Client | None = None,
        route: Route | None = None,
    ) -> None:
        self._arguments = timeouts, client, route
        self._made: dict[None, HTTPTransport] = {}

    def _transport(self) -> HTTPTransport:
        made = self._made.get(None)
        if made is None:
            with no_fork():  # the import system holds locks meanwhile
                from onplan.transports.httpx2_sync import HTTPTransport

            made = self._made.setdefault(None, HTTPTransport(*self._arguments))
        return made

    def prepare(self) -> None:
        """Make the httpx2 client, with its TLS context, now instead of with the first request."""
        self._transport().prepare()

    def fetch(self, request: Request, *, before_sending: Callable[[], object] | None = None) -> Response:
        """As ``HTTPTransport.fetch``."""
        return self._transport().fetch(request, before_sending=before_sending)

    def open(self, request: Request, timeout: float | None = None, *, left: float | None = None) -> Answer:
        """As ``HTTPTransport.open``."""
        return self._transport().open(request, timeout, left=left)

    def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        if made := self._made.get(None):
            made.close()
