"""``onplan usage --reset``: spends a reset credit, which cannot be had back, once, and after a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from onplan.cli.talk import say
from onplan.cli.usage_view import View, percent

if TYPE_CHECKING:
    from onplan.cli.session import Session
    from onplan.client import Client
    from onplan.plan.usage_reply import ResetCredit

_AGAIN = (
    "Whether the reset credit is spent is not known. Run `onplan usage --reset` again: it asks with the same "
    "request id, so no second one is spent."
)


def spend_reset_credit(session: Session, client: Client, view: View, *, sure: bool) -> None:
    """Spend one reset credit.

    ``sure``: do not ask.

    Raises:
        NotIncludedError: there is none.
        InvalidRequestError: nothing is used that it could reset.
        ConfigurationError: there is no terminal to ask at, or the request id cannot be kept.
        OnplanError: the outcome is not known; it says so.
    """
    from onplan import client_parts
    from onplan.config.pending_reset import PendingReset, PendingResetFile
    from onplan.errors import LimitError, NotIncludedError, OnplanError

    account_id = client.credentials().account_id
    file = PendingResetFile(session.settings)
    chosen = _chosen(view.resets)
    if file.load(account_id):
        say("The outcome of an earlier `--reset` is not known: this asks once more with the same request id.")
    else:
        _require_use(view)
    if not sure:
        _ask(view, chosen)
    pending = file.begin(
        account_id, lambda: PendingReset(account_id, str(uuid4()), chosen.id if chosen else None)
    )
    try:
        redemption = client_parts.spend_reset_credit(
            client, pending.request_id, pending.credit_id, account_id
        )
    except NotIncludedError:
        file.end()
        raise
    except OnplanError as error:
        error.hint = _AGAIN
        raise
    file.end()
    if redemption.code == "nothing_to_reset":
        raise LimitError(
            "The backend says that there is nothing to reset.", hint="Run `onplan usage` to see what is left."
        )
    if redemption.code == "already_redeemed":
        say("The reset credit had been spent already, by an earlier try or by another program.")
        return
    count = redemption.windows_reset
    say(f"The reset credit is spent: {_windows(count) if count else 'the windows'} reset.")


def _chosen(resets: Sequence[ResetCredit]) -> ResetCredit | None:
    """The credit that expires first; None if they could not be listed."""
    available = [each for each in resets if each.status == "available"]
    return min(available, key=lambda each: each.expires_at or "9", default=None)


def _require_use(view: View) -> None:
    from onplan.errors import InvalidRequestError, NotIncludedError

    if not view.limits.reset_credits:
        raise NotIncludedError(
            "There is no reset credit to spend.", hint="Run `onplan usage` to see when the windows reset."
        )
    windows = [*view.limits.windows, *(window for meter in view.limits.meters for window in meter.windows)]
    if not any(window.used_percent for window in windows):
        raise InvalidRequestError(
            "No window is used, so a reset credit would be spent for nothing.",
            hint="Keep it until a window is used up: `onplan usage`.",
        )


def _ask(view: View, chosen: ResetCredit | None) -> None:
    """Go on if the person agrees."""
    from onplan.errors import ConfigurationError

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(
            "Whether a reset credit is to be spent is asked at a terminal only.",
            hint="Run `onplan usage --reset --yes` to spend one without a question.",
        )
    click.confirm(_question(view, chosen), abort=True, err=True)


def _question(view: View, chosen: ResetCredit | None) -> str:
    used = ", ".join(f"{window.name} {percent(window.used_percent)} used" for window in view.limits.windows)
    until = f", which can be spent until {chosen.expires_at[:10]}" if chosen and chosen.expires_at else ""
    count = view.limits.reset_credits or 0
    return (
        f"{used or 'The windows are not told'}. Spend one of {count} reset credit{'s' if count != 1 else ''}"
        f"{until}? It cannot be had back."
    )


def _windows(count: int) -> str:
    return f"{count} window{'s' if count > 1 else ''}"
