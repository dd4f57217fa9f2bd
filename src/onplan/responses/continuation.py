"""Sends only the new input items over a warm WebSocket, with ``previous_response_id``.

For each connection the backend keeps its latest response and the conversation that led to it. A request can
continue from there if its input begins with exactly the items that the connection has seen, including the
answer, and if every other field is the same. Hashes are compared. Otherwise the whole input is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec

from onplan.field_types import prepare
from onplan.responses.items import Item

TURN_STATE = "x-codex-turn-state"
# Items that continue the model's turn; a request that ends with any other begins a new turn.
_ANSWERS = ("function_call_output", "custom_tool_call_output")
_MOST_IDS = 1_000


class _Kind(msgspec.Struct):
    type: str = ""


prepare(_Kind)


class Create:
    """A request for a response, ready to be sent over a WebSocket in whole or in part.

    Args:
        body: the JSON body that it would have over HTTP.

    Attributes:
        size: length of that body in bytes; a message with the whole input is about as long.
        metadata: what the client tells of itself; another turn says something else.
    """

    def __init__(self, body: bytes) -> None:
        self.size = len(body)
        self.fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        said = self.fields.pop("client_metadata", None)
        self.metadata: dict[str, Any] = msgspec.json.decode(said) if said is not None else {}
        self.items = msgspec.json.decode(self.fields.pop("input"), type=list[msgspec.Raw])
        self.digests = [_digest(item) for item in self.items]
        self.fields_digest = _digest(msgspec.json.encode(self.fields))

    @property
    def goes_on(self) -> bool:
        """Whether it ends with a tool result, and so continues a turn."""
        return bool(self.items) and msgspec.json.decode(self.items[-1], type=_Kind).type in _ANSWERS


class Continuation:
    """What the backend has seen over one WebSocket.

    Attributes:
        settled: whether no response is in progress, so that the connection can serve the next turn.
        turn_state: a token of the backend's that goes into later messages of the same turn.
        ids: ids of finished responses and of their items, the oldest first. Late events with one of them do
            not belong to a later turn.
    """

    def __init__(self) -> None:
        self.settled = True
        self.turn_state: str | None = None
        self.ids: dict[str, None] = {}
        self._response_id: str | None = None
        self._digests: list[bytes] = []
        self._fields_digest = b""

    def fits(self, create: Create) -> bool:
        """Whether ``create`` begins with what was seen and adds items to it."""
        seen = len(self._digests)
        return (
            self._response_id is not None
            and len(create.items) > seen
            and create.fields_digest == self._fields_digest
            and create.digests[:seen] == self._digests
        )

    def begin(self, create: Create, turn_state: str | None = None, *, generate: bool = True) -> bytes:
        """The message to send. Until ``end``, no other request can continue on this connection.

        Args:
            create: the request.
            turn_state: the backend's token, if this is not the first message of the turn.
            generate: False only prepares the connection for the next request.
        """
        message: dict[str, Any] = {"type": "response.create", **create.fields, "input": create.items}
        if self.fits(create):
            message["previous_response_id"] = self._response_id
            message["input"] = create.items[len(self._digests) :]
        if not generate:
            message["generate"] = False
        if metadata := {**create.metadata, **({TURN_STATE: turn_state} if turn_state else {})}:
            message["client_metadata"] = metadata
        self.settled, self.turn_state, self._response_id = False, turn_state, None
        return msgspec.json.encode(message)

    def end(
        self,
        create: Create,
        answer: Iterable[Item],
        response_id: str | None,
        turn_state: str | None = None,
        ids: Iterable[str] = (),
    ) -> None:
        """Note a complete response, so that the next request can continue from it.

        Args:
            create: the request that was sent.
            answer: the input items with which a later request would repeat the answer.
            response_id: None if no request can continue from it.
            turn_state: the backend's token, if it sent one.
            ids: the ids of the response and of its items.
        """
        self.settled, self._response_id = True, response_id
        self.ids.update(dict.fromkeys(ids))
        for oldest in list(self.ids)[:-_MOST_IDS]:
            del self.ids[oldest]
        self._digests = [*create.digests, *(_digest(msgspec.json.encode(item)) for item in answer)]
        self._fields_digest = create.fields_digest
        self.turn_state = turn_state or self.turn_state


def _digest(data: bytes | msgspec.Raw) -> bytes:
    return sha256(data).digest()
