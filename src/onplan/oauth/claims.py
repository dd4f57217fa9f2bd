"""What a token says about its owner. Reads claims; does not verify signatures.

An ID token that came directly from the token endpoint over TLS may be used without checking its signature
(OpenID Connect Core §3.1.3.7, point 6). Nothing here may be applied to a token from anywhere else.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from onplan.flow import decode_json
from onplan.oauth.token_response import moment
from onplan.types import OAuthCredentials

_AUTH = "https://api.openai.com/auth"
_PROFILE = "https://api.openai.com/profile"


def with_claims(credentials: OAuthCredentials) -> OAuthCredentials:
    """``credentials`` completed by what their tokens say; the one place that decides which of the two counts.

    The account that is known already is kept: it is what the person chose at sign-in. Plan and e-mail address
    may have changed since they were stored, so the tokens count first. So does the expiry: beside a token it
    may be another program's mistake. The ID token, which is about the person, counts before the access token.
    """

    def said(claim: Callable[[str | None], str | None]) -> str | None:
        return next(filter(None, map(claim, (credentials.id_token, credentials.access_token))), None)

    expiry = expires_at(credentials.access_token)
    return msgspec.structs.replace(
        credentials,
        account_id=credentials.account_id or said(account_id),
        plan=said(plan) or credentials.plan,
        email=said(email) or credentials.email,
        expires_at=moment(credentials.expires_at) if expiry is None else expiry,
    )


def read_claims(token: str | None) -> Mapping[str, Any]:
    """The claims of a JWT (RFC 7519), or an empty mapping if it is none."""
    parts = (token or "").split(".")
    if len(parts) != 3:
        return {}
    payload = parts[1]
    try:
        decoded = decode_json(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:  # not base64, or not ASCII
        return {}
    return decoded if isinstance(decoded, dict) else {}


def expires_at(token: str | None) -> float | None:
    """The ``exp`` claim, Unix seconds (RFC 7519 §4.1.4); None if it is no time that there is."""
    exp = read_claims(token).get("exp")
    return moment(exp) if isinstance(exp, int | float) else None


def issuer(token: str | None) -> str | None:
    """The ``iss`` claim (RFC 7519 §4.1.1)."""
    return _text(read_claims(token).get("iss"))


def email(token: str | None) -> str | None:
    """The owner's e-mail address."""
    found = read_claims(token)
    return _text(found.get("email")) or _text(_mapping(found.get(_PROFILE)).get("email"))


def account_id(token: str | None) -> str | None:
    """The ChatGPT account (workspace) the token belongs to."""
    return _text(_mapping(read_claims(token).get(_AUTH)).get("chatgpt_account_id"))


def plan(token: str | None) -> str | None:
    """The plan's name, such as ``plus`` or ``pro``; unknown names are passed on."""
    return _text(_mapping(read_claims(token).get(_AUTH)).get("chatgpt_plan_type"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
