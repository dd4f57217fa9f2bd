"""The types of ASGI 3 that the server uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

# Pieces after which others have their turn: where all are there already, nothing is waited for, and once the
# client is gone, sending does not wait either.
AT_A_STRETCH = 64
# The extension of the scope that holds the connection of an HTTP request.
CONNECTION = "onplan.connection"


class LeavingClient(Protocol):
    """A connection, which tells when its client is gone: without a task that waits for that."""

    on_departure: Callable[[], object] | None
