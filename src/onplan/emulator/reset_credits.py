"""Reset credits: each resets the usage windows once, and is spent once, whatever is asked twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

GRANTED_AT, EXPIRES_AT = "2026-11-01T00:00:00Z", "2030-01-01T00:00:00Z"


class ResetCredits:
    """The credits of the account.

    `count`: how many there are at first. `reset` resets the windows and returns how many had been used.
    """

    def __init__(self, count: int, reset: Callable[[], int]) -> None:
        self._reset = reset
        self._status = {f"rc_{number}": "available" for number in range(1, count + 1)}
        self._answered: set[str] = set()

    @property
    def available(self) -> int:
        """How many can be spent."""
        return sum(status == "available" for status in self._status.values())

    def rows(self) -> list[dict[str, Any]]:
        """Each credit as the service lists it."""
        return [
            {
                "id": name,
                "reset_type": "codex_rate_limits",
                "status": status,
                "granted_at": GRANTED_AT,
                "expires_at": EXPIRES_AT,
                "title": None,
                "description": None,
            }
            for name, status in self._status.items()
        ]

    def redeem(self, request_id: str, credit_id: str | None) -> dict[str, Any]:
        """Spend a credit: the named one, or any. A request id that has spent one spends no second one."""
        if request_id in self._answered:
            return {"code": "already_redeemed"}
        free = [name for name, status in self._status.items() if status == "available"]
        chosen = credit_id or next(iter(free), None)
        if chosen not in free:
            return {"code": "already_redeemed" if chosen in self._status else "no_credit"}
        windows_reset = self._reset()
        if not windows_reset:
            return {"code": "nothing_to_reset"}
        self._answered.add(request_id)
        self._status[chosen] = "redeemed"
        return {"code": "reset", "windows_reset": windows_reset}
