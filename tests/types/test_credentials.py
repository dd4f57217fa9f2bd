"""Credentials have no printed form that shows a token."""

from __future__ import annotations

from rich.pretty import pretty_repr

from onplan.types import APIKey, OAuthCredentials, Registration


def test_tokens_are_not_printed() -> None:
    """Whose they are and until when is."""
    tokens = OAuthCredentials(
        access_token="secret-1",
        refresh_token="secret-2",
        id_token="secret-3",
        expires_at=5.0,
        account_id="acct-1",
        plan="plus",
        email="ann@example.org",
    )
    assert repr(tokens) == (
        "OAuthCredentials(email='ann@example.org', plan='plus', account_id='acct-1', "
        "expires_at=5.0, access_token=…, refresh_token=…)"
    )
    assert pretty_repr(tokens) == "OAuthCredentials(email='ann@example.org', plan='plus', expires_at=5.0)"


def test_an_api_key_is_not_printed() -> None:
    """Nothing of it is."""
    assert repr(APIKey("secret-1")) == "APIKey(…)"
    assert pretty_repr(APIKey("secret-1")) == "APIKey()"
    assert APIKey().access_token == ""


def test_nothing_of_a_registration_is_secret() -> None:
    """Its id stands in addresses."""
    assert "app_1" in repr(Registration(client_id="app_1", issuer="https://example.org"))
