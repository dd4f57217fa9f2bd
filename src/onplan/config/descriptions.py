"""How credentials and times are described to a person, in the status, in ``doctor`` and after a sign-in."""

from __future__ import annotations

from datetime import datetime

from onplan.types import OAuthCredentials


def account_of(credentials: OAuthCredentials, unknown: str = "an unnamed account") -> str:
    """The e-mail address, else the account id, else ``unknown``; with the plan where it is known."""
    plan = f" (ChatGPT {credentials.plan.capitalize()})" if credentials.plan else ""
    return f"{credentials.email or credentials.account_id or unknown}{plan}"


def local_time(seconds: float) -> str:
    """Unix seconds in the reader's time zone, which it names: ``2026-11-29 20:15 CET``."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M %Z}"


def validity_of(expires_at: float | None, now: float, *, refreshable: bool) -> str:
    """How long an access token is valid, and what happens then.

    Args:
        expires_at: Unix seconds, None if unknown.
        now: Unix seconds.
        refreshable: whether there is a refresh token.
    """
    if not refreshable:
        then = "cannot be refreshed"
    elif expires_at is None or expires_at > now:
        then = "refreshed automatically"
    else:
        then = "refreshed at the next request"
    if expires_at is None:
        return f"valid for an unknown time, {then}"
    return f"{'valid until' if expires_at > now else 'expired at'} {local_time(expires_at)}, {then}"
