"""Verifies an ID token: its signature, issuer, audience, time and person (OpenID Connect Core 1.0 §3.1.3.7).

PyJWT checks the signature. The claims are checked here, because PyJWT takes no clock as an argument.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from onplan.errors import SignInError
from onplan.flow import Flow, Request
from onplan.oauth.issuer import Issuer
from onplan.oauth.refusals import page_in

ALGORITHM = "RS256"
_SECONDS = 10.0  # for fetching the keys
CLOCK_TOLERANCE = 5.0  # seconds, as in OpenAI's own sample

Keys: TypeAlias = Mapping[str, Any]
"""Public keys of an issuer as JWKs, by their ``kid``."""

NO_KEYS: Keys = {}


@dataclass(frozen=True)
class Expectation:
    """What the claims of an ID token must be.

    Attributes:
        issuer: ``iss``, exactly.
        client_id: the audience.
        nonce: the nonce of this sign-in; None for a token that came with a refresh.
        subject: ``sub``, the person; None at the first sign-in.
    """

    issuer: str
    client_id: str
    nonce: str | None = None
    subject: str | None = None


def verify(
    issuer: Issuer, token: str, expected: Expectation, now: float, keys: Keys = NO_KEYS
) -> Flow[tuple[Mapping[str, Any], Keys]]:
    """The claims of ``token`` if it is as ``expected``, and the issuer's keys that are known now.

    Keys are fetched if ``keys`` lacks the one that signed the token, because issuers replace their keys.

    Raises:
        SignInError: the token is not genuine, or not as expected.
        KeysUnavailableError: the keys could not be fetched now, so the token is not verified.
        TransportError: the issuer could not be reached.
    """
    kid = _key_id(token)
    if kid not in keys:
        keys = yield from _fetch_keys(issuer)
    claims = _signed_claims(token, keys.get(kid) if kid else None)
    check(claims, expected, now)
    return claims, keys


class KeysUnavailableError(SignInError):
    """The issuer's keys could not be fetched now."""


class _Claims(dict[str, Any]):
    """Claims that are not printed: the nonce and the person's identity are among them."""

    def __repr__(self) -> str:
        return "…"


def _fetch_keys(issuer: Issuer) -> Flow[Keys]:
    response = yield Request("GET", issuer.jwks_uri, {"accept": "application/json"}, timeout=_SECONDS)
    document = response.json() if response.ok else None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        page = page_in(response)
        raise KeysUnavailableError(
            f"The sign-in service's keys could not be read (HTTP {response.status}), so its answer could "
            f"not be verified. {page.sentence if page else ''}".strip(),
            hint=page.hint if page else "Try again in a moment.",
            status_code=response.status,
        )
    found = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("kid"), str)]
    return {entry["kid"]: entry for entry in found}


def _key_id(token: str) -> str | None:
    """Which key ``token`` says signed it; None if it does not say, or is damaged."""
    import jwt

    try:
        return jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, RecursionError):  # the latter for JSON that is nested too deeply
        return None


def _signed_claims(token: str, key: Any) -> Mapping[str, Any]:
    """The claims, if ``key`` signed them with the one algorithm that is allowed."""
    import jwt

    if key is None:
        raise _not_genuine("the issuer has no such key")
    if key.get("kty") != "RSA" or key.get("alg", ALGORITHM) != ALGORITHM or key.get("use", "sig") != "sig":
        raise _not_genuine("its key is not one for signatures of this kind")
    options = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        claims = jwt.decode(token, jwt.PyJWK(key, ALGORITHM), algorithms=[ALGORITHM], options=options)  # type: ignore[arg-type]
    except jwt.PyJWTError:
        claims = None
    if claims is None:
        raise _not_genuine("its signature is wrong")
    return _Claims(claims)


def check(claims: Mapping[str, Any], expected: Expectation, now: float) -> None:
    """Raise SignInError for the first claim that is not as ``expected`` at ``now``, Unix seconds."""
    if claims.get("iss") != expected.issuer:
        raise _not_genuine("another issuer made it")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        raise _not_genuine("it is meant for another client")
    party = claims.get("azp")
    if (party is None and len(audiences) > 1) or (party is not None and party != expected.client_id):
        raise _not_genuine("it was issued to another client")
    if not _is_number(claims.get("iat")) or not _is_number(claims.get("exp")):
        raise _not_genuine("it does not say from when until when it is valid")
    if claims["exp"] <= now - CLOCK_TOLERANCE:
        raise SignInError(
            "The sign-in service's ID token has expired already.",
            hint="Check this machine's clock with `onplan doctor`, then run `onplan login` again.",
        )
    if expected.nonce is not None and not _same(claims.get("nonce"), expected.nonce):
        raise _not_genuine("it belongs to another sign-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise _not_genuine("it does not say whose it is")
    if expected.subject is not None and subject != expected.subject:
        raise AnotherPersonError(
            "A different person has signed in than the one whose sign-in is stored in this profile."
        )


class AnotherPersonError(SignInError):
    """The ID token is genuine, but names another person."""

    hint = "Give this one a profile of its own: `onplan login --profile NAME`. Nothing was changed."


def _same(one: object, other: str) -> bool:
    return isinstance(one, str) and hmac.compare_digest(one.encode(), other.encode())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _not_genuine(reason: str) -> SignInError:
    return SignInError(
        f"The sign-in service's ID token is not accepted: {reason}.",
        hint="Nothing was stored. Run `onplan login` again. If it fails again, run `onplan doctor`.",
    )
