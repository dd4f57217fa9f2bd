"""Credentials, with which requests are made. Their printed forms show no secret."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec


class OAuthCredentials(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tokens of a sign-in. The printed form shows whose they are and until when, never a token.

    Attributes:
        expires_at: when the access token expires, Unix seconds.
        account_id: the ChatGPT account (workspace) that requests are made for.
        client_id: the OAuth client the tokens belong to.
        issuer: URL of the authorization server that issued and refreshes them.
        scopes: what the person permitted.
        earliest_refresh_at: Unix seconds before which the server asks not to refresh, if it said so.
    """

    access_token: str
    refresh_token: str | None = None
    id_token: str | None = None
    expires_at: float | None = None
    account_id: str | None = None
    plan: str | None = None
    email: str | None = None
    client_id: str | None = None
    issuer: str | None = None
    scopes: list[str] = []
    earliest_refresh_at: float | None = None

    def __repr__(self) -> str:
        """Masked: a credential in a log or a traceback shows no token."""
        return (
            f"OAuthCredentials(email={self.email!r}, plan={self.plan!r}, account_id={self.account_id!r}, "
            f"expires_at={self.expires_at!r}, access_token=…, refresh_token=…)"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Masked for rich as well, which would not ask ``__repr__``."""
        return [("email", self.email), ("plan", self.plan), ("expires_at", self.expires_at)]


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A registered client (RFC 7591): for one person, workspace and program. None of it is secret.

    Attributes:
        client_id: as the issuer gave it.
        issuer: URL of the issuer that registered it.
        subject: who signed in with it (the ID token's ``sub``); None before the first sign-in.
        email: of that person.
    """

    client_id: str
    issuer: str
    subject: str | None = None
    email: str | None = None


class APIKey(msgspec.Struct, frozen=True):
    """A bearer token that is never refreshed: a platform's key; empty for a server that wants none."""

    access_token: str = ""

    def __repr__(self) -> str:
        """Masked."""
        return "APIKey(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Masked for rich as well, which would not ask ``__repr__``."""
        return []


Credential: TypeAlias = OAuthCredentials | APIKey
"""What a request is authorized with; a backend's row says which of the two it accepts."""
