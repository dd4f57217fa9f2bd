"""Account, plan, e-mail address and expiry: whether what is stored or what the tokens say counts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from onplan.oauth.claims import with_claims
from onplan.types import OAuthCredentials


def jwt(
    exp: Any = None, account: str | None = None, plan: str | None = None, email: str | None = None
) -> str:
    auth = {"chatgpt_account_id": account, "chatgpt_plan_type": plan}
    claims = {"exp": exp, "email": email, "https://api.openai.com/auth": auth}
    parts = (json.dumps(part).encode() for part in ({}, claims, {}))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


ID_TOKEN = jwt(exp=1, account="acct-id", plan="pro", email="id@example.com")
ACCESS_TOKEN = jwt(exp=2_000_000_000, account="acct-access", plan="plus", email="access@example.com")


@pytest.mark.parametrize(
    ("stored", "account", "plan", "email", "expires_at"),
    [
        # Only the tokens know: the ID token is about the person; the expiry is the access token's.
        ({"id_token": ID_TOKEN}, "acct-id", "pro", "id@example.com", 2_000_000_000.0),
        ({}, "acct-access", "plus", "access@example.com", 2_000_000_000.0),
        # The ID token says nothing of the kind.
        ({"id_token": jwt()}, "acct-access", "plus", "access@example.com", 2_000_000_000.0),
        ({"id_token": "opaque"}, "acct-access", "plus", "access@example.com", 2_000_000_000.0),
        # The account that was chosen stays; the rest may have changed since it was stored.
        (
            {"account_id": "acct-chosen", "plan": "free", "email": "old@example.com", "expires_at": 5.0},
            "acct-chosen",
            "plus",
            "access@example.com",
            2_000_000_000.0,
        ),
        # What no token says is what is stored.
        (
            {"access_token": "opaque", "account_id": "a", "plan": "p", "email": "e", "expires_at": 5.0},
            "a",
            "p",
            "e",
            5.0,
        ),
        ({"access_token": "opaque"}, None, None, None, None),
        # A moment of 1970 is one; milliseconds are understood; what no calendar shows is unknown.
        ({"access_token": jwt(exp=0), "expires_at": 5.0}, None, None, None, 0.0),
        ({"access_token": jwt(exp="soon"), "expires_at": 5.0}, None, None, None, 5.0),
        ({"access_token": "opaque", "expires_at": 2e12}, None, None, None, 2e9),
        ({"access_token": "opaque", "expires_at": 1e300}, None, None, None, None),
    ],
)
def test_which_of_the_two_counts(
    stored: dict[str, Any], account: str | None, plan: str | None, email: str | None, expires_at: float | None
) -> None:
    """One precedence for every store and for a refresh."""
    found = with_claims(OAuthCredentials(**{"access_token": ACCESS_TOKEN, **stored}))

    assert (found.account_id, found.plan, found.email) == (account, plan, email)
    assert found.expires_at == expires_at


def test_nothing_else_changes() -> None:
    """The tokens, the client and the issuer come back as they were."""
    stored = OAuthCredentials(
        access_token=ACCESS_TOKEN,
        refresh_token="rt",
        id_token=ID_TOKEN,
        client_id="app_1",
        issuer="https://issuer.example",
        scopes=["openid"],
        earliest_refresh_at=7.0,
    )
    found = with_claims(stored)

    for name in ("access_token", "refresh_token", "id_token", "client_id", "issuer", "scopes"):
        assert getattr(found, name) == getattr(stored, name)
    assert found.earliest_refresh_at == 7.0
