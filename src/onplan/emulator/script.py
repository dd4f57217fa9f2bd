"""What the model is told to do: turns in order, each a text, thinking, tool calls or a fault."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from onplan.emulator.faults.actions import RESPONSES
from onplan.emulator.faults.chat import CHAT
from onplan.emulator.faults.fault import Fault
from onplan.emulator.faults.register import FAULTS, UnknownFaultError
from onplan.emulator.wire.replies import Refusal, Reply, api_error

# The endpoints at which a model is asked.
_ASKED = frozenset((*RESPONSES, *CHAT))


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call of a tool that the request offers.

    `arguments`: an object, or a text that is sent as it is: arguments that are no JSON, or a custom tool's
    input.
    """

    name: str
    arguments: dict[str, Any] | str = {}


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One turn of the model, or a fault in its place.

    Attributes:
        text: what the model says, before its calls.
        thinking: its reasoning summary, for requests that ask for one.
        searches: what it searches the web for, before it says anything, in requests with that hosted tool.
        images: prompts of images that it makes before it says anything, in requests with that hosted tool.
        tool_calls: in order.
        fault: the name of a fault of this turn, from `onplan emulator --faults`. One that comes instead of an
            answer stands alone; another one changes the turn, or the small model's if there is nothing else.
        seconds: the fault's delay instead of its own.
        input_tokens: what the turn counts as, instead of being counted; `output_tokens` likewise.
    """

    text: str | None = None
    thinking: str | None = None
    searches: Sequence[str] = ()
    images: Sequence[str] = ()
    tool_calls: Sequence[Call] = ()
    fault: str | None = None
    seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def answers(self) -> bool:
        """Whether it says what the model answers."""
        said = self.text is not None or self.thinking is not None
        return said or bool(self.tool_calls or self.searches or self.images)

    def complaint(self) -> str | None:
        """Why this turn cannot be played, as a clause; None if it can."""
        fault = FAULTS.get(self.fault or "")
        if self.fault is not None and fault is None:
            return str(UnknownFaultError(self.fault))
        unlike = "" if fault is None else f"the fault {fault.name}"
        complaints = (
            (
                not self.answers and fault is None,
                "it has neither text, thinking, searches, images, tool_calls nor fault",
            ),
            (
                fault is None and self.seconds is not None,
                "seconds is the delay of a fault, and there is none",
            ),
            (self.seconds is not None and self.seconds < 0, "seconds must not be negative"),
            (min(self.input_tokens or 0, self.output_tokens or 0) < 0, "tokens must not be negative"),
            (fault and _ASKED.isdisjoint(fault.where), f"{unlike} does not happen where a model is asked"),
            (fault and fault.conditional, f"{unlike} depends on the request: arm it beside the turns"),
            (
                fault and fault.instead and self.answers,
                f"{unlike} comes instead of an answer: give the answer a turn of its own",
            ),
        )
        return next((sentence for wrong, sentence in complaints if wrong), None)


def check_turns(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns, if they can be played. ValueError with a sentence if not."""
    checked = []
    for index, turn in enumerate(turns):
        try:
            checked.append(turn := msgspec.convert(msgspec.to_builtins(turn), Turn))
        except msgspec.ValidationError as error:
            raise ValueError(f"turns[{index}] cannot be played: {error}.") from error
        if sentence := turn.complaint():
            raise ValueError(f"turns[{index}] cannot be played: {sentence.rstrip('.')}.")
    return tuple(checked)


class Script:
    """The turns that are still to be played. Each request for an answer takes the next one.

    A request that is sent again takes one, too: after a fault the next turn is what the second try gets.
    """

    def __init__(self, turns: Iterable[Turn] = ()) -> None:
        self._turns: deque[Turn] = deque(turns)
        self._fault: Fault | None = None

    def __len__(self) -> int:
        return len(self._turns)

    def turns(self) -> tuple[Turn, ...]:
        """Those still to be played, the next one first."""
        return tuple(self._turns)

    def add(self, turns: Iterable[Turn]) -> None:
        """Play these after the others. ValueError if one cannot be played; then none is added."""
        self._turns.extend(check_turns(turns))

    def clear(self) -> None:
        """Forget the turns that were not played."""
        self._turns.clear()

    def take(self) -> Turn | None:
        """The next turn, which is played now; None when there is none.

        Raises:
            Refusal: its fault comes instead of an answer.
        """
        if not self._turns:
            return None
        turn = self._turns.popleft()
        if turn.fault is not None:
            fault = FAULTS[turn.fault]
            self._fault = fault if turn.seconds is None else replace(fault, delay=turn.seconds)
            if fault.instead is not None:
                raise Refusal(fault.instead())
        return turn

    def after(self, reply: Reply, endpoint: str) -> Reply:
        """`reply` as the fault of the turn taken for it makes it, if it has one."""
        fault, self._fault = self._fault, None
        if fault is None:
            return reply
        happens = _at(endpoint, fault)
        if happens is None:
            where = ", ".join(fault.where)
            return unplayable(f"its fault {fault.name} does not happen here, but at: {where}")
        reply = happens.instead() if happens.instead else reply
        return replace(happens.after(reply) if happens.after else reply, delay=fault.delay)


def _at(endpoint: str, fault: Fault) -> Fault | None:
    """The fault as it happens at this endpoint: Chat Completions has rows of its own."""
    rows = (fault, FAULTS.get(f"chat_{fault.name}"))
    return next((row for row in rows if row is not None and endpoint in row.where), None)


def unplayable(sentence: str) -> Reply:
    """The reply to a request that the turn taken for it does not fit."""
    message = f"The emulator cannot play the turn that it was told to play: {sentence}."
    return api_error(message, code="emulator_turn", kind="invalid_request_error")
