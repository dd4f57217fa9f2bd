"""The history of a conversation, as a value: what was said, in exchanges that can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from onplan.errors import InvalidRequestError
from onplan.types import Compaction, Message, Role, ToolResult

Entry: TypeAlias = Message | Compaction
"""What a history holds, in the order in which it came: messages, and compactions of those before them."""


@dataclass(frozen=True, slots=True)
class History:
    """The messages of a conversation, oldest first.

    It begins with its instructions: the system and developer messages before anything else. Exchanges follow.
    An exchange is what was said, the answer, and the tool results and answers after it, until something else
    is said. What was said and never answered belongs to the same exchange as what was said next.

    Compactions take nothing out of it. Each covers messages that stand before it.
    """

    entries: tuple[Entry, ...] = ()
    messages: tuple[Message, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Tell messages from compactions."""
        messages = tuple(entry for entry in self.entries if isinstance(entry, Message))
        object.__setattr__(self, "messages", messages)

    @property
    def compactions(self) -> tuple[Compaction, ...]:
        """The compactions, oldest first."""
        return tuple(entry for entry in self.entries if isinstance(entry, Compaction))

    def plus(self, messages: Iterable[Message]) -> History:
        """This history with ``messages`` after it."""
        return History((*self.entries, *messages))

    def grown(self, messages: Sequence[Message]) -> History:
        """This history, followed by those of ``messages`` that it lacks; the others are its own."""
        return self.plus(messages[len(self.messages) :])

    def compacted(self, made: Iterable[Compaction]) -> History:
        """This history with those of ``made`` that are new and cover only messages of this history."""
        known, count = set(self.compactions), len(self.messages)
        new = [one for one in made if one not in known and one.covers <= count]
        return History((*self.entries, *new)) if new else self

    @property
    def exchanges(self) -> tuple[tuple[Message, ...], ...]:
        """The messages of each exchange, oldest first."""
        ends = (*self._begins()[1:], len(self.messages))
        return tuple(self.messages[begin:end] for begin, end in zip(self._begins(), ends, strict=False))

    @property
    def awaits_answer(self) -> bool:
        """Whether the model has to speak next: it has not answered yet, or has called tools."""
        if not self._begins():
            return False
        last = self.messages[-1]
        return last.role is not Role.ASSISTANT or bool(last.tool_calls)

    def until(self, count: int) -> History:
        """The history with its first ``count`` exchanges alone; below zero, without the last ``-count``.

        Raises InvalidRequestError if there are not so many.
        """
        begins = self._begins()
        number = count if count >= 0 else len(begins) + count
        if not 0 <= number <= len(begins):
            raise InvalidRequestError(
                f"The conversation has no exchange {count}: it has {len(begins)} in all.",
                hint="Give a number of exchanges to keep, or one below zero to leave out the last ones.",
            )
        return self if number == len(begins) else self._first(begins[number])

    def undone(self) -> History:
        """The history without its last exchange. Raises InvalidRequestError if there is none."""
        if not self._begins():
            raise InvalidRequestError(
                "There is nothing to undo: nothing was said yet.", hint="Say something."
            )
        return self.until(-1)

    def _first(self, count: int) -> History:
        """The first ``count`` messages, and the compactions that cover only these."""
        kept, left = list[Entry](), count
        for entry in self.entries:
            if isinstance(entry, Compaction):
                if entry.covers <= count:
                    kept.append(entry)
            elif left:
                kept.append(entry)
                left -= 1
        return History(tuple(kept))

    def _begins(self) -> tuple[int, ...]:
        """Where the exchanges begin."""
        first = 0
        while first < len(self.messages) and self.messages[first].role in _INSTRUCTIONS:
            first += 1
        rest = range(first, len(self.messages))
        return tuple(at for at in rest if at == first or (self._asks(at) and not self._asks(at - 1)))

    def _asks(self, position: int) -> bool:
        """Whether the message there was said to the model, and is no tool result."""
        message = self.messages[position]
        return message.role in _ASKING and not any(isinstance(part, ToolResult) for part in message.content)


_INSTRUCTIONS = (Role.SYSTEM, Role.DEVELOPER)
_ASKING = (*_INSTRUCTIONS, Role.USER)
