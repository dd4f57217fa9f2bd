"""Faults of "Sign in with ChatGPT" and its API."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from onplan.emulator.faults.actions import (
    TEXT_DELTA,
    altered,
    changed,
    ended,
    fails,
    redirected,
    server_error,
    without,
)
from onplan.emulator.faults.fault import Fault
from onplan.emulator.keys import first_key, new_key, public_jwk, sign_with
from onplan.emulator.wire.pages import page
from onplan.emulator.wire.replies import Reply, api_error, detail, json_reply, oauth_error

AUTHORIZE, EXCHANGE = ("siwc_authorize",), ("siwc_token:authorization_code",)
REFRESH = ("siwc_token:refresh_token",)
TOKEN = (*EXCHANGE, *REFRESH)
MODELS, RESPONSES, API = ("plan_models",), ("plan_responses",), ("plan_models", "plan_responses")

Claims = dict[str, Any]


# --- forged ID tokens -------------------------------------------------------------------------------


def _claimed(token: str) -> Claims:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def _forged(forge: Callable[[Claims], str]) -> Callable[[Reply], Reply]:
    """Replace the ID token by one that `forge` makes from its claims."""
    return changed(lambda tokens: {**tokens, "id_token": forge(_claimed(tokens["id_token"]))})


def _saying(**claims: Any) -> Callable[[Reply], Reply]:
    """An ID token with other claims and a valid signature."""
    return _forged(lambda right: sign_with(first_key(), {**right, **claims}))


def _lacking(*names: str) -> Callable[[Reply], Reply]:
    return _forged(lambda claims: sign_with(first_key(), {k: v for k, v in claims.items() if k not in names}))


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def _unsigned(claims: Claims) -> str:
    head = {"alg": "none", "typ": "JWT", "kid": public_jwk(first_key())["kid"]}
    return f"{_encoded(head)}.{_encoded(claims)}."


def _signed_with_the_public_key(claims: Claims) -> str:
    """By HMAC, as a verifier would accept that takes the algorithm from the token (RFC 8725, section 2.1)."""
    head = _encoded({"alg": "HS256", "typ": "JWT", "kid": public_jwk(first_key())["kid"]})
    said = f"{head}.{_encoded(claims)}"
    secret = first_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = hmac.new(secret, said.encode(), hashlib.sha256).digest()
    return f"{said}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _signed_by_a_stranger(claims: Claims) -> str:
    return sign_with(new_key(), claims, public_jwk(first_key())["kid"])


def _signed_by_an_unpublished_key(claims: Claims) -> str:
    return sign_with(new_key(), claims)


_FORGERIES: tuple[tuple[str, str, Callable[[Reply], Reply]], ...] = (
    ("wrong_key", "is signed with another key than its kid names", _forged(_signed_by_a_stranger)),
    ("unknown_key", "is signed with a key that is not published", _forged(_signed_by_an_unpublished_key)),
    ("alg_none", "is not signed (alg: none)", _forged(_unsigned)),
    ("hs256", "is signed by HMAC with the public key", _forged(_signed_with_the_public_key)),
    ("wrong_issuer", "names another issuer", _saying(iss="https://auth.example.com")),
    ("wrong_audience", "is for another client", _saying(aud=["oaiapp_another"])),
    (
        "two_audiences",
        "has two audiences and no azp",
        _forged(lambda claims: sign_with(first_key(), {**claims, "aud": [*claims["aud"], "oaiapp_another"]})),
    ),
    ("wrong_azp", "was issued to another client", _saying(azp="oaiapp_another")),
    ("wrong_nonce", "has the nonce of another sign-in", _saying(nonce="another-nonce")),
    ("no_nonce", "has no nonce", _lacking("nonce")),
    ("expired", "has expired", _saying(exp=1_600_000_000)),
    ("no_expiry", "does not say until when it is valid", _lacking("exp")),
    ("other_subject", "names another person", _saying(sub="user-emulated-0002")),
    ("no_subject", "does not say whose it is", _lacking("sub")),
    ("garbage", "is no JSON Web Token", _forged(lambda claims: "not.a.token")),
)


# --- refusals ---------------------------------------------------------------------------------------


def _sharing(code: str, status: int, message: str, param: str | None = None) -> Callable[[], Reply]:
    name = code if code.startswith("chatpass") else f"subscription_sharing_{code}"
    headers = (("x-oai-request-id", "req_emulated"),)
    return lambda: api_error(message, code=name, param=param, status=status, headers=headers)


usage_limit_exceeded = _sharing("usage_limit_exceeded", 429, "The usage limit has been reached.")

_REFUSALS: tuple[tuple[str, str, tuple[str, ...], Callable[[], Reply]], ...] = (
    (
        "user_not_eligible",
        "403: no plan use for this user.",
        API,
        _sharing("user_not_eligible", 403, "Plan usage is not available for this user."),
    ),
    (
        "usage_limit_exceeded",
        "429: the plan's limit or the program's is reached.",
        RESPONSES,
        usage_limit_exceeded,
    ),
    (
        "usage_unavailable",
        "503: usage could not be checked.",
        API,
        _sharing("usage_unavailable", 503, "Usage could not be checked."),
    ),
    (
        "user_unavailable",
        "503: the user could not be looked up.",
        API,
        _sharing("user_unavailable", 503, "User information is temporarily unavailable."),
    ),
    (
        "unsupported_capability",
        "400: something in the request is not allowed here.",
        RESPONSES,
        _sharing("unsupported_capability", 400, "This capability is not supported.", "tools"),
    ),
    (
        "route_not_supported",
        "403: the wrong endpoint.",
        API,
        _sharing("route_not_supported", 403, "This route is not supported."),
    ),
    (
        "invalid_user",
        "401: the subscriber could not be validated.",
        API,
        _sharing("invalid_user", 401, "The subscriber context could not be validated."),
    ),
    (
        "scope_not_authorized",
        "403: the permission does not cover this operation.",
        API,
        _sharing("chatpass_v2_scope_not_authorized", 403, "The scope is not authorized."),
    ),
    (
        "invalid_context",
        "403: the context of the permission is not valid.",
        API,
        _sharing("chatpass_v2_invalid_authorization_context", 403, "The authorization context is invalid."),
    ),
    (
        "admission_401",
        '401 {"detail"}: the identity was not accepted.',
        API,
        lambda: detail("Could not validate credentials", 401),
    ),
    (
        "admission_403",
        '403 {"detail"}: not permitted, such as in this region.',
        API,
        lambda: detail("Not available in your region", 403),
    ),
    (
        "admission_503",
        '503 {"detail"}: direct routing is not available.',
        API,
        lambda: detail("Direct routing is unavailable", 503),
    ),
    (
        "edge_520",
        "520: a failure at the edge, which asks for 60 seconds.",
        API,
        lambda: json_reply({"error": {"message": "Unknown error", "retry_after": 60}}, 520),
    ),
)
_REFRESH_CODES = (
    "invalid_grant",
    "invalid_refresh_token",
    "token_expired",
    "refresh_token_expired",
    "refresh_token_invalidated",
    "refresh_token_reused",
)


def _failing(code: str, message: str, after: str) -> Callable[[Reply], Reply]:
    return altered(fails(f"subscription_sharing_{code}", message, after=after))


FAULTS = (
    *(
        Fault(f"siwc_id_token_{name}", f"The ID token of a sign-in {line}.", EXCHANGE, after=after)
        for name, line, after in _FORGERIES
    ),
    *(
        Fault(f"siwc_refreshed_id_token_{name}", f"The ID token of a refresh {line}.", REFRESH, after=after)
        for name, line, after in _FORGERIES
        if "nonce" not in name
    ),
    *(Fault(f"siwc_{name}", line, where, instead=instead) for name, line, where, instead in _REFUSALS),
    Fault(
        "siwc_host_id_required",
        "An authorization request without ext_agent_host_id is not valid.",
        AUTHORIZE,
        instead=lambda: page(
            "This sign-in request is not valid", "The parameter ext_agent_host_id is missing.", status=400
        ),
        fits=lambda request: all(name != "ext_agent_host_id" for name, _ in request.query),
    ),
    *(
        Fault(
            f"siwc_refresh_{code}",
            f"400 {code}: the session is over.",
            REFRESH,
            instead=partial(oauth_error, code, "The refresh token is not accepted."),
        )
        for code in _REFRESH_CODES
    ),
    *(
        Fault(
            f"siwc_refresh_{code}_nested",
            f"401 {code}, in the platform's shape.",
            REFRESH,
            instead=partial(api_error, "The refresh token is not accepted.", code=code, status=401),
        )
        for code in _REFRESH_CODES
    ),
    Fault(
        "siwc_exchange_invalid_grant",
        "400 invalid_grant: the code is not accepted.",
        EXCHANGE,
        instead=lambda: oauth_error("invalid_grant", "The authorization code is not accepted."),
    ),
    Fault(
        "siwc_token_invalid_client",
        "401 invalid_client: the client is not known.",
        TOKEN,
        instead=lambda: oauth_error("invalid_client", "The client is not known.", 401),
    ),
    Fault(
        "siwc_token_unavailable",
        "503 temporarily_unavailable.",
        TOKEN,
        instead=lambda: oauth_error("temporarily_unavailable", "Try again later.", 503),
    ),
    Fault(
        "siwc_token_lost",
        "Processed (a code or refresh token is spent), then the connection ends without a reply.",
        TOKEN,
        after=ended("reset"),
    ),
    Fault(
        "siwc_token_500",
        "Processed (a code or refresh token is spent), then 500.",
        TOKEN,
        after=lambda reply: server_error(),
    ),
    Fault(
        "siwc_token_without_scope",
        "The answer does not say what was granted.",
        TOKEN,
        after=changed(without("scope")),
    ),
    Fault(
        "siwc_token_without_id_token",
        "The answer has no ID token.",
        TOKEN,
        after=changed(without("id_token")),
    ),
    Fault(
        "siwc_revoke_503",
        "503 instead of a revocation.",
        ("siwc_revoke",),
        instead=lambda: oauth_error("temporarily_unavailable", "Try again later.", 503),
    ),
    Fault(
        "siwc_jwks_503",
        "503 instead of the keys.",
        ("jwks",),
        instead=lambda: oauth_error("temporarily_unavailable", "Try again later.", 503),
    ),
    Fault(
        "siwc_callback_without_client",
        "The browser comes back without a client id.",
        AUTHORIZE,
        after=redirected(without("client_id")),
    ),
    Fault(
        "siwc_callback_other_client",
        "The browser comes back with another client's id.",
        AUTHORIZE,
        after=redirected(lambda query: {**query, "client_id": "oaiapp_another"}),
    ),
    Fault(
        "siwc_callback_dynamic_client",
        "The browser comes back with dynamic_agent_client instead of a registered client's id.",
        AUTHORIZE,
        after=redirected(lambda query: {**query, "client_id": "dynamic_agent_client"}),
    ),
    Fault(
        "siwc_callback_other_issuer",
        "The browser comes back with another issuer (RFC 9207).",
        AUTHORIZE,
        after=redirected(lambda query: {**query, "iss": "https://auth.example.com"}),
    ),
    Fault(
        "siwc_limit_mid_stream",
        "response.failed with usage_limit_exceeded, after some text.",
        RESPONSES,
        after=_failing("usage_limit_exceeded", "The usage limit has been reached.", TEXT_DELTA),
    ),
    Fault(
        "siwc_limit_in_stream",
        "response.failed with usage_limit_exceeded, before any text.",
        RESPONSES,
        after=_failing("usage_limit_exceeded", "The usage limit has been reached.", "response.in_progress"),
    ),
    Fault(
        "siwc_unavailable_mid_stream",
        "response.failed with usage_unavailable, after some text.",
        RESPONSES,
        after=_failing("usage_unavailable", "Usage could not be checked.", TEXT_DELTA),
    ),
    Fault(
        "siwc_unavailable_in_stream",
        "response.failed with usage_unavailable, before any text.",
        RESPONSES,
        after=_failing("usage_unavailable", "Usage could not be checked.", "response.in_progress"),
    ),
)
