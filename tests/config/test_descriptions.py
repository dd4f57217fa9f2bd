"""Credentials are described in the same words wherever a person reads of them."""

from __future__ import annotations

import pytest

from onplan.config.descriptions import account_of, local_time, validity_of
from onplan.types import OAuthCredentials

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("email", "account_id", "plan", "described"),
    [
        ("me@example.com", "acct", "plus", "me@example.com (ChatGPT Plus)"),
        (None, "acct", None, "acct"),
        (None, None, None, "an unnamed account"),
    ],
)
def test_an_account_has_the_best_name_that_is_known(
    email: str | None, account_id: str | None, plan: str | None, described: str
) -> None:
    """The e-mail address before the account id."""
    credentials = OAuthCredentials(access_token="t", email=email, account_id=account_id, plan=plan)

    assert account_of(credentials) == described


@pytest.mark.parametrize(
    ("left", "refreshable", "described"),
    [
        (60.0, True, "valid until {}, refreshed automatically"),
        (60.0, False, "valid until {}, cannot be refreshed"),
        (0.0, True, "expired at {}, refreshed at the next request"),
        (-60.0, False, "expired at {}, cannot be refreshed"),
        (None, True, "valid for an unknown time, refreshed automatically"),
        (None, False, "valid for an unknown time, cannot be refreshed"),
    ],
)
def test_a_token_says_until_when_and_what_then(
    left: float | None, described: str, *, refreshable: bool
) -> None:
    """A token whose time is up is not called valid, and one without a refresh token promises no other."""
    expires_at = None if left is None else NOW + left
    moment = "" if expires_at is None else local_time(expires_at)

    assert validity_of(expires_at, NOW, refreshable=refreshable) == described.format(moment)


def test_a_time_is_local_and_names_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader need not know where the server is."""
    import time

    monkeypatch.setenv("TZ", "XYZ-5:30")
    time.tzset()
    try:
        assert local_time(0.0) == "1970-01-01 05:30 XYZ"
    finally:
        monkeypatch.undo()
        time.tzset()
