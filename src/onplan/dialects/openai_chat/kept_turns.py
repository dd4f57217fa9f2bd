"""Keeps what the model thought before it called tools, and puts it back when their results come.

A client of Chat Completions cannot send back sealed reasoning, without which the model thinks anew after each
tool. So turns with calls are kept here under the ids of the calls, bounded in number, size and age.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import structs

from onplan.types import ContentPart, HostedToolCall, Message, Role, Text, Thinking, ToolCall


class TurnOwner(NamedTuple):
    """Whose a turn is: it is put back only where all of these are the same.

    Attributes:
        caller: who asks.
        conversation: the name of the conversation.
        account: that the backend was asked for.
        model: that answered.
    """

    caller: str
    conversation: str
    account: str
    model: str


@dataclass(slots=True, eq=False)
class _Turn:
    owner: TurnOwner
    parts: Sequence[ContentPart] = field(repr=False)
    size: int
    used_at: float

    @property
    def text(self) -> str:
        """What was said besides."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def call_ids(self) -> list[str]:
        """The ids of its calls."""
        return [part.id for part in self.parts if isinstance(part, ToolCall)]


class KeptTurns:
    """Turns with calls.

    Args:
        most: how many are kept.
        most_bytes: how large they may be together.
        longest: for how many seconds after its last use one is kept.
    """

    def __init__(
        self, *, most: int = 4096, most_bytes: int = 32 * 1024 * 1024, longest: float = 3600.0
    ) -> None:
        self._most, self._most_bytes, self._longest = most, most_bytes, longest
        self._turns: OrderedDict[int, _Turn] = OrderedDict()  # by their identity, the last used last
        self._by_call: dict[tuple[TurnOwner, str], _Turn] = {}
        self._size = 0

    def __len__(self) -> int:
        """How many turns are kept."""
        return len(self._turns)

    def keep(self, owner: TurnOwner, message: Message, now: float) -> None:
        """Keep an answer if it has calls and something that the client will not send back.

        ``now``: seconds of any clock.
        """
        if not any(map(_is_sealed, message.content)) or not message.tool_calls:
            return
        turn = _Turn(owner, tuple(message.content), sum(map(_size_of, message.content)), now)
        if turn.size > self._most_bytes:
            return
        for call_id in turn.call_ids:
            if older := self._by_call.get((owner, call_id)):
                self._drop(older)
        for call_id in turn.call_ids:
            self._by_call[owner, call_id] = turn
        self._turns[id(turn)] = turn
        self._size += turn.size
        self._tidy(now)

    def restored(self, owner: TurnOwner, messages: Iterable[Message], now: float) -> list[Message]:
        """``messages`` with what was kept of their turns. Calls and text stay as the client sends them."""
        self._tidy(now)
        return [self._restored(owner, message, now) for message in messages]

    def forget(self, owner: TurnOwner) -> None:
        """Drop what is kept of a conversation: the backend did not accept it."""
        for turn in [turn for turn in self._turns.values() if turn.owner == owner]:
            self._drop(turn)

    def _restored(self, owner: TurnOwner, message: Message, now: float) -> Message:
        if message.role is not Role.ASSISTANT or not self._turns:
            return message
        found = (self._by_call.get((owner, call.id)) for call in message.tool_calls)
        turn = next((turn for turn in found if turn), None)
        if turn is None or any(map(_is_sealed, message.content)):  # the client has kept it itself
            return message
        turn.used_at = now
        self._turns.move_to_end(id(turn))
        return _joined(message, turn)

    def _tidy(self, now: float) -> None:
        while self._turns:
            oldest = next(iter(self._turns.values()))
            too_many = len(self._turns) > self._most or self._size > self._most_bytes
            if not too_many and now - oldest.used_at <= self._longest:
                return
            self._drop(oldest)

    def _drop(self, turn: _Turn) -> None:
        if self._turns.pop(id(turn), None) is None:
            return
        self._size -= turn.size
        for call_id in turn.call_ids:
            if self._by_call.get((turn.owner, call_id)) is turn:
                del self._by_call[turn.owner, call_id]


def _is_sealed(part: ContentPart) -> bool:
    return isinstance(part, HostedToolCall) or (isinstance(part, Thinking) and bool(part.encrypted))


_AROUND = 200  # bytes of an object


def _size_of(part: ContentPart) -> int:
    texts = (getattr(part, name, None) for name in ("text", "encrypted", "arguments", "name"))
    drawn = part.fields.values() if isinstance(part, HostedToolCall) else ()
    return _AROUND + sum(len(text) for text in (*texts, *drawn) if isinstance(text, str))


def _joined(message: Message, turn: _Turn) -> Message:
    """The parts of ``turn`` in their order, with the calls that ``message`` has, and its text."""
    calls = {call.id: call for call in message.tool_calls}
    is_same = message.text == turn.text
    parts: list[ContentPart] = []
    for part in turn.parts:
        if isinstance(part, ToolCall):
            if call := calls.pop(part.id, None):
                parts.append(structs.replace(call, namespace=part.namespace))
        elif _is_sealed(part) or is_same:
            parts.append(part)
    said = [part for part in message.content if not isinstance(part, Thinking | ToolCall)]
    return Message(Role.ASSISTANT, [*([] if is_same else said), *parts, *calls.values()])
