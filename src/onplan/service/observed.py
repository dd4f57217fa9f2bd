"""Follows a turn from outside: which call was made, for which account, and with what the answer began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from onplan.dialects.served import limit_headers
from onplan.errors import OnplanError
from onplan.flow import NOTHING
from onplan.responses.continuation import TURN_STATE
from onplan.turn import steps
from onplan.turn.amendments import Call
from onplan.turn.catalogue_cache import account_of

T = TypeVar("T")


@dataclass(slots=True)
class Observed:
    """What is known of a turn so far.

    Attributes:
        call: the request as it was made for the backend; None before that.
        account: for which it was last asked.
        headers: of the latest answer, names in lower case; those of a WebSocket that had been open before say
            nothing new, and are left out.
        incoming: takes the latest answer; its events may say what the plan has left.
    """

    call: Call | None = None
    account: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    incoming: steps.Incoming | None = field(default=None, repr=False)

    @property
    def limit_headers(self) -> dict[str, str]:
        """What the backend says of the plan's limits, for the client."""
        in_events = self.incoming.limits_in_events if self.incoming else NOTHING
        told = limit_headers({**self.headers, **in_events})
        told.pop(TURN_STATE, None)  # it belongs into the turn's next request, which onplan sends
        return told

    def follow(self, flow: steps.Flow[T]) -> steps.Flow[T]:
        """The same flow; what its steps come to is noted."""
        outcome: Any = None
        error: OnplanError | None = None
        while True:
            try:
                step = flow.throw(error) if error else flow.send(outcome)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if isinstance(step, steps.ReadEvents):
                self.incoming = step.incoming
            try:
                outcome, error = (yield step), None
            except OnplanError as failure:
                error = failure
            except BaseException:
                flow.close()
                raise
            else:
                self._note(step, outcome)

    def _note(self, step: steps.Step, outcome: Any) -> None:
        match step:
            case steps.Prepare():
                self.call = outcome
            case steps.Authorize() | steps.Refresh():
                self.account = account_of(outcome)
            case steps.Send():
                self.headers = outcome.headers
            case steps.Join() if outcome is not None:
                self.headers = NOTHING if outcome.warm else outcome.head.headers
