"""How a request is changed after a server refused a field of it that the program did not ask for.

Some servers refuse a field that all others accept, or require one that no other requires: the token counts of
a stream, a cache key, earlier thinking, ``instructions``. The refusal names the field. Then the request is
sent again, at most once for each row of the table (``amendment_table.py``). What the program itself asked for
is never changed: its refusal stays an error.

Pure, except for what a process remembers of its servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from onplan.backends import ParameterSupport
from onplan.errors import (
    OnplanError,
)
from onplan.parameters import Reports, emulating_stop
from onplan.responses.request import ResponsesCall

if TYPE_CHECKING:
    from onplan.chat.request import ChatCall

Call: TypeAlias = "ResponsesCall | ChatCall"
Body: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Amendment:
    """One row: a change of the request that one kind of refusal calls for.

    Attributes:
        name: of the row.
        is_meant: whether this error refuses what the row changes in this body.
        change: the body without it, in place; whether there was anything to change.
        asked_by: the request parameter by which a program asks for it itself.
        reported_as: what ``ignored_parameters`` lists then; with an ``asked_by`` only if it was given.
        emulates_stop: whether onplan carries out ``stop`` instead, at backends whose row says so.
        remembered: for which later requests: of this client with this ``model``, of this process to this
            ``server``, or for none.
    """

    name: str
    is_meant: Callable[[OnplanError, Body], bool]
    change: Callable[[Body], bool]
    asked_by: str | None = None
    reported_as: str | None = None
    emulates_stop: bool = False
    remembered: Literal["model", "server", "never"] = "model"

    def may_change(self, call: Call) -> bool:
        """Whether the program has not asked for what the row changes, or is told what becomes of it."""
        if self.emulates_stop:
            support = call.backend.parameter_support.get("stop")
            return "stop" in call.given and support is ParameterSupport.EMULATE_IF_REFUSED
        return self.reported_as is not None or self.asked_by not in call.given

    def reported(self, reports: Reports, call: Call, before: Body) -> Reports:
        """``reports`` after the change; ``before``: the body that it changed."""
        asked = self.asked_by in call.given
        if self.emulates_stop:
            return emulating_stop(reports, before["stop"])
        if self.reported_as is None or (self.asked_by is not None and not asked):
            return reports
        return replace(reports, ignored=tuple(dict.fromkeys((*reports.ignored, self.reported_as))))


def changed_by(call: Call, amendments: Iterable[Amendment]) -> Call | None:
    """``call``, changed by those of the amendments that find something to change; None if none does."""
    body, reports, is_changed = msgspec.json.decode(call.body), call.reports, False
    for amendment in amendments:
        before = dict(body)
        if amendment.may_change(call) and amendment.change(body):
            reports, is_changed = amendment.reported(reports, call, before), True
    return (
        msgspec.structs.replace(call, body=msgspec.json.encode(body), reports=reports) if is_changed else None
    )


@dataclass
class Remembered:
    """The amendments that this client's servers needed, so that its next requests begin with them."""

    _of_model: dict[str, dict[str, Amendment]] = field(default_factory=dict)

    def keep(self, amendment: Amendment, call: Call) -> None:
        """Remember ``amendment``: ``call``, which it changed, was answered."""
        places = {"model": (self._of_model, call.model), "server": (_OF_SERVER, call.base_url)}
        if amendment.remembered != "never":
            table, key = places[amendment.remembered]
            table[key] = {**table.get(key, {}), amendment.name: amendment}  # other threads may be reading

    def apply(self, call: Call) -> Call:
        """``call`` with the amendments that are known to be needed."""
        needed = {**_OF_SERVER.get(call.base_url, {}), **self._of_model.get(call.model, {})}
        return (needed and changed_by(call, needed.values())) or call


_OF_SERVER: dict[str, dict[str, Amendment]] = {}


def forget() -> None:
    """Forget what this process has learned about servers (for tests)."""
    _OF_SERVER.clear()
