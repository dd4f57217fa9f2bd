"""What a WebSocket has seen need not be said again: messages with only the new items. Pure.

The backend keeps, for each connection, its latest response and all that led to it. A request goes on from
there if its input begins with exactly what the connection has seen, the answer included, and if every other
field is the same; what is compared are hashes. Otherwise it says everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec

from onplan.responses.items import Item

TURN_STATE = "x-codex-turn-state"
# What a model hears in the middle of its turn; anything else begins a new one.
_ANSWERS = ("function_call_output", "custom_tool_call_output")
_MOST_IDS = 1_000


class _Kind(msgspec.Struct):
    type: str = ""


class Create:
    """A request for a response, ready to be said over a WebSocket in whole or in part.

    Args:
        body: the JSON body that it has over HTTP.

    Attributes:
        size: bytes of that body, and of a message that says all of it, about.
    """

    def __init__(self, body: bytes) -> None:
        self.size = len(body)
        self.fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        self.items = msgspec.json.decode(self.fields.pop("input"), type=list[msgspec.Raw])
        self.digests = [_digest(item) for item in self.items]
        self.fields_digest = _digest(msgspec.json.encode(self.fields))

    @property
    def goes_on(self) -> bool:
        """Whether it brings results of tools, and so belongs to a turn that has begun already."""
        return bool(self.items) and msgspec.json.decode(self.items[-1], type=_Kind).type in _ANSWERS


class Continuation:
    """What one connection has seen.

    Attributes:
        settled: no response is under way, so that the connection can serve the next turn.
        turn_state: what the backend wants to hear again in the messages of the same turn.
        ids: of the responses that have ended, and of their items: what still comes of them belongs to no
            later turn.
    """

    def __init__(self) -> None:
        self.settled = True
        self.turn_state: str | None = None
        self.ids: dict[str, None] = {}  # the oldest first
        self._response_id: str | None = None
        self._digests: list[bytes] = []
        self._fields_digest = b""

    def fits(self, create: Create) -> bool:
        """Whether ``create`` goes on from what was seen, with something new."""
        seen = len(self._digests)
        return (
            self._response_id is not None
            and len(create.items) > seen
            and create.fields_digest == self._fields_digest
            and create.digests[:seen] == self._digests
        )

    def begin(self, create: Create, turn_state: str | None = None, *, generate: bool = True) -> bytes:
        """The message to send. From here until ``end`` there is nothing that another one could go on from.

        Args:
            create: what is to be said.
            turn_state: what is to be heard again, if this is not the turn's first message.
            generate: False only prepares the connection for what follows.
        """
        message: dict[str, Any] = {"type": "response.create", **create.fields, "input": create.items}
        if self.fits(create):
            message["previous_response_id"] = self._response_id
            message["input"] = create.items[len(self._digests) :]
        if not generate:
            message["generate"] = False
        if turn_state:
            message["client_metadata"] = {TURN_STATE: turn_state}
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
        """The response is complete.

        Args:
            create: what had been said.
            answer: the items by which a later request would repeat the answer.
            response_id: None if it cannot be gone on from.
            turn_state: as the backend told it, if it did.
            ids: the response's own, and those of its items.
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
