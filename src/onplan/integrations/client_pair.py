"""The two clients of one object of a framework, whose methods are called with and without an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import suppress
from typing import Any, Self, cast

from onplan.assembly import (
    AsyncClientOptions,
    ClientOptions,
    check_options,
    hide_secrets,
    is_portable,
    portable,
    require_options,
)
from onplan.async_client import AsyncClient
from onplan.async_client_parts import close_connections
from onplan.client import Client
from onplan.errors import ConfigurationError


class ClientPair:
    """A ``Client`` and an ``AsyncClient`` with the same options, each made when it is first used.

    One pair serves any number of threads, and of event loops one after the other: a loop's connections are
    closed when it ends, or when the pair is dropped. A copy is the pair itself; a pickle holds the options.

    Args:
        options: those of ``onplan.AsyncClient``, but for ``http_client`` and ``resume``.
        owner: what a program has given them to.
        others: what else can be given to it, as a wrong name may mean that.

    Raises:
        ConfigurationError: there is no such option, or it has a wrong value.
    """

    def __init__(
        self, options: Mapping[str, Any], owner: str = "AsyncClient", others: Collection[str] = ()
    ) -> None:
        given = cast("AsyncClientOptions", {**options})
        require_options(given, AsyncClientOptions.__optional_keys__.union(others), owner)
        hide_secrets(given)
        for name, reason in _REFUSED.items():
            if given.pop(name, None):  # type: ignore[misc] # by the names of the table
                raise ConfigurationError(f"{name} cannot be set here: {reason}.", hint=f"Leave {name} out.")
        check_options(given, "AsyncClient")
        self._options = given
        self._clients: dict[type, Client | AsyncClient] = {}
        self._ends: dict[asyncio.AbstractEventLoop, AsyncGenerator[None]] = {}

    @property
    def sync(self) -> Client:
        """The synchronous client. Raises ConfigurationError if a setting cannot be used."""
        made = self._clients.get(Client)
        if made is None:
            options = cast("ClientOptions", {**self._options})
            options.pop("transport", None)  # it speaks HTTP alone
            made = self._clients.setdefault(Client, Client(**options))
        return cast("Client", made)

    @property
    def asynchronous(self) -> AsyncClient:
        """The asynchronous client, for the running event loop. Raises as ``sync``."""
        made = self._clients.get(AsyncClient)
        if made is None:
            made = self._clients.setdefault(AsyncClient, AsyncClient(**self._options))
        client = cast("AsyncClient", made)
        loop = asyncio.get_running_loop()
        if loop not in self._ends:
            for ended in [each for each in tuple(self._ends) if each.is_closed()]:
                self._ends.pop(ended, None)
            self._ends[loop] = _closing_with_its_loop(client)
        return client

    def dumped(self) -> dict[str, Any]:
        """The options that may be written into a JSON file: no secrets, and no objects of this process."""
        written = {}
        for name, value in self._options.items():
            text = os.fspath(value) if isinstance(value, os.PathLike) else value
            if is_portable(name, text) and isinstance(text, str | bool | int | float | list | dict):
                written[name] = str(text) if isinstance(text, str) else text
        if "@" in str(written.get("base_url", "")):
            del written["base_url"]  # with a password in it
        return written

    def close(self) -> None:
        """Close the connections of the synchronous client."""
        if made := self._clients.get(Client):
            cast("Client", made).close()

    async def aclose(self) -> None:
        """Close those of the asynchronous client that belong to the running event loop."""
        if made := self._clients.get(AsyncClient):
            await close_connections(cast("AsyncClient", made))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __copy__(self) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """The options. Raises ConfigurationError if one is a secret, or belongs to this process."""
        return type(self), (portable(self._options),)


_REFUSED = {
    "http_client": "the synchronous and the asynchronous client need one each",
    "resume": "what was streamed cannot be taken back",
}


def _closing_with_its_loop(client: AsyncClient) -> AsyncGenerator[None]:
    """What closes the connections of ``client`` in the running loop, when that ends or this is dropped.

    An event loop has no other place to say what is to be done at its end: ``asyncio.run`` closes the
    asynchronous generators that were begun in it, and whichever was dropped before is closed then.
    """

    async def waiting() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await close_connections(client)

    generator = waiting()
    with suppress(StopIteration):
        generator.__anext__().send(None)  # begins it, without waiting: it has nothing to wait for
    return generator
