"""How long a Vault token lasts, and whether that is enough to save a refresh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onplan.errors import StoreError
from onplan.flow import Response
from onplan.stores.vault.login import Work

# Seconds: a refresh takes 30 at most; saving the new tokens, with retries, takes some more.
SECONDS = 45.0
# Requests to save: a read, a write, the deletion of the lock; twice, in case another program was faster.
USES = 6
_INCREMENT = "1h"  # asked for when a token is renewed; the server gives what the token's settings permit


@dataclass(frozen=True)
class Lasting:
    """The seconds and requests for which a token is still valid; None: unlimited."""

    seconds: float | None
    uses: int | None
    renewable: bool = False

    @property
    def suffices(self) -> bool:
        """Whether a refresh can be saved with it."""
        return (self.seconds is None or self.seconds >= SECONDS) and (self.uses is None or self.uses >= USES)

    def error(self, server: str, hint: str) -> StoreError:
        """The error for a token that does not last."""
        parts = (
            f"{self.seconds:.0f} seconds" if self.seconds is not None else "",
            f"{self.uses} requests" if self.uses is not None else "",
        )
        left = " and ".join(filter(None, parts))
        return StoreError(
            f"The token for the Vault server at {server} is good for {left} only: too little to save a "
            "refreshed sign-in, so nothing was spent.",
            hint=hint,
        )


def look_up(send: Callable[[Work], Response]) -> Lasting | None:
    """How long the token of ``send`` lasts; None if it is not accepted, or may not be looked up."""

    def work(adapter: Any) -> Response:
        from hvac.api.auth_methods import Token  # type: ignore[import-untyped]

        answer: Response = Token(adapter).lookup_self()
        return answer

    answer = send(work)
    found = _mapping(_mapping(answer.json()).get("data")) if answer.ok else {}
    if not found:
        return None
    seconds, uses = found.get("ttl"), found.get("num_uses")  # 0: unlimited, both
    return Lasting(
        float(seconds) if isinstance(seconds, int) and seconds > 0 else None,
        uses if isinstance(uses, int) and uses > 0 else None,
        found.get("renewable") is True,
    )


def renew(send: Callable[[Work], Response], before: Lasting) -> Lasting:
    """Have the server extend the token of ``send``; how long it lasts then, or ``before`` if refused."""

    def work(adapter: Any) -> Response:
        from hvac.api.auth_methods import Token

        answer: Response = Token(adapter).renew_self(increment=_INCREMENT)
        return answer

    answer = send(work)
    seconds = _mapping(_mapping(answer.json()).get("auth")).get("lease_duration") if answer.ok else None
    if not isinstance(seconds, int):
        return before
    return Lasting(float(seconds) or None, before.uses and before.uses - 1)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
