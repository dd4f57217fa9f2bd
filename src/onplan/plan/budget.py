"""A budget: how much of each usage window one client may use before it stops by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onplan.answers.limits import until_reset
from onplan.backends import Backend
from onplan.errors import BudgetError, ConfigurationError
from onplan.plan.account import limits
from onplan.turn.context import Context
from onplan.turn.steps import Flow
from onplan.types.limits import Limits, Window

# Per cent: as much may be used and not be told yet, where whole numbers are told.
_ROUNDING = 1.0


@dataclass(frozen=True, slots=True)
class _Account:
    """One window: how much of it was used when the client began, or 0 since it has reset; and what is now."""

    begun_percent: float
    window: Window

    @property
    def spent(self) -> float:
        """How much of it was used since, per cent of the window."""
        return self.window.used_percent - self.begun_percent

    def after(self, window: Window, *, asked: bool) -> _Account:
        """The same after another reading, which ``asked`` for it, or came with an answer.

        Less than before is rounding, or came with an answer that took longer than others; or, when asked for,
        the backend has taken something back.
        """
        before, less = self.window, self.window.used_percent - window.used_percent
        later = (window.resets_at or 0.0) - (before.resets_at or window.resets_at or 0.0)
        if window.minutes and later > window.minutes * 30:  # seconds: half its length
            return _Account(0.0, window)  # it has reset
        if less > 0 and not (asked and less > _ROUNDING):
            return self
        return _Account(min(self.begun_percent, window.used_percent), window)


class Budget:
    """Lets requests pass until the next one might use more than its share of a window.

    The backend tells only what is used in all, so what other programs use in the meantime counts as well.
    What a request costs is estimated from earlier ones. Answers say what was used before them; where they say
    nothing, and before a request is stopped, the backend is asked.

    Attributes:
        ended: how many requests have ended.

    Args:
        share: of each window, above 0 and up to 1.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._accounts: dict[tuple[str, int | None], _Account] = {}
        self._is_known = False  # whether there has been a reading
        self._under_way: dict[object, int] = {}  # and how many had ended when each began
        self.ended = 0
        self._read = 0  # those of them that readings count for certain, which are the first ones
        self._cost = 0.0  # of one request lately, per cent of the window that it uses most of
        self._counted, self._grown = 0, 0.0  # all requests that readings count, and what they cost

    def admit(self, context: Context) -> Flow[object]:
        """Let one request pass; ``settle`` wants what is returned. Raises BudgetError if none may."""
        ticket = object()
        self._under_way[ticket] = self.ended
        try:
            yield from self._require_room(context)
        except BaseException:
            del self._under_way[ticket]
            raise
        return ticket

    def _require_room(self, context: Context) -> Flow[None]:
        uncounted, ended = self.ended - self._read, self.ended
        if self._is_known and (self._counted or not uncounted):
            at_most = (self._grown + _ROUNDING) / self._counted if self._counted else 0.0
            if not self._exceeded(max(self._cost, at_most), uncounted):
                return
        blocked = self.check((yield from limits(context)), ended)
        if blocked:
            raise blocked

    def settle(self, ticket: object, told: Limits | None) -> None:
        """A request has ended; ``told`` came with its answer, and counts those that ended before it began."""
        ended = self._under_way.pop(ticket, self.ended)
        if told:
            self._note(told, ended, asked=False)
        self.ended += 1

    def check(self, told: Limits, ended: int | None = None) -> BudgetError | None:
        """Why no request may be made, by ``told``; None if one may.

        ``ended``: how many requests had ended when it was asked for; None for as many as have by now.
        """
        self._note(told, self.ended if ended is None else ended, asked=True)
        window = self._exceeded(self._cost, self.ended - self._read)
        if window is None:
            return None
        error = BudgetError(
            f"The budget of this client, {self._share:.0%} of the {window.name} window, is used up"
            f"{until_reset(window.resets_at)}.",
            resets_at=window.resets_at,
        )
        error.window_minutes = window.minutes
        return error

    def _exceeded(self, cost: float, uncounted: int = 0) -> Window | None:
        """The window of which one more request might use too much; of several the one that resets last."""
        pending = max(1, len(self._under_way)) + uncounted
        allowed = self._share * 100
        over = [
            account.window
            for account in self._accounts.values()
            if account.spent >= allowed
            # Of a window of which nothing is spent one may have more, or it would wait for ever.
            or (account.spent + pending * cost > allowed and (account.spent > 0 or pending > 1))
        ]
        return max(over, key=lambda window: window.resets_at or 0.0, default=None)

    def _note(self, told: Limits, ended: int, *, asked: bool) -> None:
        """A reading, which counts the first ``ended`` requests that have ended, and perhaps more of them."""
        uncounted, self._read = max(0, ended - self._read), max(ended, self._read)
        grown, self._is_known = 0.0, True
        for key, window in _windows(told):
            before = self._accounts.get(key)
            now = (
                _Account(window.used_percent, window) if before is None else before.after(window, asked=asked)
            )
            self._accounts[key] = now
            if before:
                grown = max(grown, now.window.used_percent - before.window.used_percent)
        self._counted, self._grown = self._counted + uncounted, self._grown + grown
        if uncounted:
            self._cost = max(grown / uncounted, self._cost / 2)


def _windows(told: Limits) -> Iterator[tuple[tuple[str, int | None], Window]]:
    for window in told.windows:
        yield ("", window.minutes), window
    for meter in told.meters:
        for window in meter.windows:
            yield (meter.id, window.minutes), window


def budget_of(share: object, backend: Backend) -> Budget | None:
    """The budget that a client's ``max_window_share`` means; None if it is None.

    Raises:
        ConfigurationError: it is no share, or the backend does not say what is used.
    """
    if share is None:
        return None
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ConfigurationError(
            f"max_window_share is {share!r}, and not a share above 0 and up to 1.",
            hint="Write `max_window_share=0.2` for a fifth of each usage window.",
        )
    if backend.account_path is None:
        where = f" Set a limit at {backend.usage_page}." if backend.usage_page else ""
        raise ConfigurationError(
            f"{backend.name} does not say how much is used, so max_window_share cannot be kept.",
            hint=f"Leave max_window_share out.{where}",
        )
    return Budget(float(share))
