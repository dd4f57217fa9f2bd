"""All faults by name, and those that are armed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from onplan.emulator.faults import (
    account,
    chat,
    compaction,
    firewall,
    http,
    images,
    issuer,
    limits,
    search,
    siwc,
    stream,
    stream_endings,
    websocket,
)
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.replies import Request

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for table in (
        http,
        limits,
        firewall,
        account,
        search,
        stream,
        stream_endings,
        compaction,
        websocket,
        issuer,
        siwc,
        chat,
        images,
    )
    for fault in table.FAULTS
}


@dataclass
class Armed:
    """An armed fault, and how many more times it happens."""

    fault: Fault
    times: int


class UnknownFaultError(ValueError):
    """No fault has this name; `near` are similar names."""

    def __init__(self, name: str) -> None:
        self.near = get_close_matches(name, FAULTS, n=5, cutoff=0.4)
        super().__init__(f"There is no fault {name!r}. Similar names: {', '.join(self.near) or 'none'}.")


class Faults:
    """The armed faults; at the same endpoint, the one armed first happens first."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def arm(self, name: str, times: int = 1, seconds: float | None = None) -> Fault:
        """Apply a fault to the next `times` matching requests; `seconds` replaces its delay."""
        fault = FAULTS.get(name)
        if fault is None:
            raise UnknownFaultError(name)
        if times < 1:
            raise ValueError("A fault is armed for at least one time.")
        if seconds is not None:
            fault = replace(fault, delay=seconds)
        self._armed.append(Armed(fault, times))
        return fault

    def disarm(self) -> None:
        """Disarm all faults."""
        self._armed.clear()

    def armed(self) -> dict[str, int]:
        """How many more times each armed fault happens, by name."""
        counts: dict[str, int] = {}
        for armed in self._armed:
            counts[armed.fault.name] = counts.get(armed.fault.name, 0) + armed.times
        return counts

    def take(self, endpoint: str, request: Request) -> Fault | None:
        """The armed fault for this request, which is counted down; or None."""
        for armed in self._armed:
            if endpoint in armed.fault.where and armed.fault.fits(request):
                armed.times -= 1
                if armed.times == 0:
                    self._armed.remove(armed)
                return armed.fault
        return None
