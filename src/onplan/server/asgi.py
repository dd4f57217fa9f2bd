"""The types of ASGI 3 that the server uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

# The extension of the scope that holds the connection of an HTTP request.
CONNECTION = "onplan.connection"


class LeavingClient(Protocol):
    """A connection, which tells when its client is gone: without a task that waits for that."""

    on_departure: Callable[[], object] | None
