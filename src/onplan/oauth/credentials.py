"""Makes credentials from a token response, and says whether they are fresh. The clock is an argument."""

from __future__ import annotations

from typing import Any

import msgspec

from onplan.errors import RefreshError
from onplan.oauth import claims
from onplan.oauth.issuer import ISSUERS, Issuer
from onplan.oauth.token_response import TokenResponse, moment
from onplan.types import OAuthCredentials

# Refresh this long before expiry, as the official client does.
MARGIN = 300.0


def credentials_from(
    response: TokenResponse, issuer: Issuer, now: float, previous: OAuthCredentials | None = None
) -> OAuthCredentials:
    """Credentials out of a token response; what it leaves out is kept from ``previous``.

    Expiry is the access token's own ``exp`` claim, else ``now + expires_in``, else unknown; without a new
    access token it is what it was. Account, plan and e-mail address are as in ``claims.with_claims``.
    """
    old = previous or OAuthCredentials(access_token="")
    received = OAuthCredentials(
        access_token=response.access_token or old.access_token,
        refresh_token=response.refresh_token or old.refresh_token,
        id_token=response.id_token or old.id_token,
        account_id=old.account_id,
        plan=old.plan,
        email=old.email,
        client_id=old.client_id or issuer.client_id,
        issuer=old.issuer or issuer.url,
        scopes=old.scopes if response.scope is None else response.scope.split(),
        earliest_refresh_at=response.earliest_refresh_at,
    )
    return msgspec.structs.replace(claims.with_claims(received), expires_at=_expiry(response, old, now))


def _expiry(response: TokenResponse, old: OAuthCredentials, now: float) -> float | None:
    if not response.access_token:
        return old.expires_at
    expiry = claims.expires_at(response.access_token)
    if expiry is None and response.expires_in is not None:
        expiry = now + response.expires_in
    return moment(expiry)


def stated_issuer(credentials: OAuthCredentials) -> str | None:
    """The URL of the issuer that ``credentials`` or their tokens name, or None."""
    stated = (credentials.issuer, *map(claims.issuer, (credentials.access_token, credentials.id_token)))
    return next((url.rstrip("/") for url in stated if url), None)


def came_from(credentials: OAuthCredentials, issuer: Issuer) -> str:
    """The issuer that the tokens name, else the built-in URL of this kind of issuer; never ONPLAN_ISSUER."""
    return stated_issuer(credentials) or ISSUERS[issuer.kind].url


def is_fresh(credentials: OAuthCredentials, now: float, margin: float = MARGIN) -> bool:
    """Whether the access token lasts more than ``margin`` seconds beyond ``now``.

    An access token of unknown expiry counts as fresh: the backend answers 401 when it is not. So does one
    that has not expired and may not be refreshed yet (``earliest_refresh_at``).
    """
    if credentials.expires_at is None:
        return True
    left = credentials.expires_at - now
    return left > margin or (left > 0 and now < (credentials.earliest_refresh_at or now))


def error_code(body: Any) -> tuple[str, str]:
    """Code and description of a token-endpoint error, in any of the four shapes that occur.

    ``{"error": "code", "error_description": "…"}`` (RFC 6749 §5.2), ``{"error": {"code", "message"}}``,
    ``{"detail": {"code", "message"}}`` or ``{"detail": "…"}``, and a top-level ``{"code", "message"}``.
    """
    if not isinstance(body, dict):
        return "", ""
    error, detail = body.get("error"), body.get("detail")
    for nested in (error, detail):
        if isinstance(nested, dict):
            code = nested.get("code") or nested.get("type") or ""
            return str(code).lower(), str(nested.get("message") or "")
    code = error if isinstance(error, str) else body.get("code")
    description = body.get("error_description") or body.get("message")
    return str(code or "").lower(), str(description or (detail if isinstance(detail, str) else ""))


def unknown_client(status: int, *, registered: bool) -> RefreshError:
    """The error for a client id that is not accepted: settings are wrong, and the tokens are not spent.

    ``registered``: it is a registered client, which the person may replace by another.
    """
    anew = "; or register a new client: `onplan logout --force`, then `onplan login`"
    return RefreshError(
        f"The sign-in service does not know the client that the sign-in belongs to (HTTP {status}). "
        "Nothing is lost.",
        hint=f"Check ONPLAN_ISSUER with `onplan doctor`{anew if registered else ''}.",
        status_code=status,
    )
