"""auth.openai.com: authorize, token, revoke, discovery."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from onplan.emulator.keys import ALGORITHM
from onplan.emulator.tokens.ledger import TokenError, proves
from onplan.emulator.wire.pages import form, page
from onplan.emulator.wire.replies import (
    NO_STORE,
    REFRESH_MESSAGES,
    Reply,
    Request,
    api_error,
    json_reply,
    oauth_error,
    refresh_refused,
)
from onplan.emulator.world import World

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # S256: 32 bytes in base64url (RFC 7636, section 4.2)
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, section 4.1
LOOPBACK_HOSTS = ("127.0.0.1", "localhost")
# The registered ports of the public client; others are refused (pydantic-ai 2.68.0, the official client).
CALLBACK_PORTS = (1455, 1457)


def _is_callback(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    loopback = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS and port in CALLBACK_PORTS
    return loopback and plain and parts.path == "/auth/callback"


AUTHORIZE_RULES: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    ("response_type", lambda v: v == "code", 'must be "code"'),
    ("client_id", lambda v: v.startswith("app_"), "is not known"),
    (
        "redirect_uri",
        _is_callback,
        "must be http://localhost:1455/auth/callback, on port 1457, or the same on 127.0.0.1",
    ),
    ("code_challenge", lambda v: bool(CHALLENGE.fullmatch(v)), "must be 43 characters of base64url"),
    ("code_challenge_method", lambda v: v == "S256", 'must be "S256"'),
    ("state", bool, "must not be empty"),
    ("scope", lambda v: "openid" in v.split(), 'must contain "openid"'),
)


def _complaint(request: Request) -> str | None:
    """The first thing wrong with an authorization request, as a sentence."""
    names = [name for name, _ in request.query]
    for name in names:
        if names.count(name) > 1:  # RFC 6749, section 3.1
            return f"The parameter {name} was sent more than once."
    given = dict(request.query)
    for name, accepts, rule in AUTHORIZE_RULES:
        if name not in given:
            return f"The parameter {name} is missing."
        if not accepts(given[name]):
            return f"The parameter {name} {rule}."
    return None


def authorize(world: World, request: Request) -> Reply:
    """Approve at once, or show the page with the buttons."""
    complaint = _complaint(request)
    if complaint:
        return page("This sign-in request is not valid", complaint, status=400)
    given = dict(request.query)
    if not world.options.interactive:
        return _redirect(given, _approval(world, given))
    # The page carries a handle, not the request: nothing posted to it is trusted.
    handle = secrets.token_urlsafe(16)
    world.pages[handle] = request.query_string
    buttons = form("/oauth/authorize", {"request": handle}, {"approve": "Approve", "decline": "Decline"})
    return page("Sign in", f"{given['client_id']} asks for: {given['scope']}.", more=buttons)


def decide(world: World, request: Request) -> Reply:
    """What the person chose on the page."""
    query = world.pages.pop(str(request.fields.get("request")), None)
    if query is None:
        return page("This sign-in request is not valid", "It is unknown or was already answered.", status=400)
    given = dict(Request("GET", request.path, query, {}, b"").query)
    if request.fields.get("decision") == "approve":
        return _redirect(given, _approval(world, given))
    return _redirect(given, {"error": "access_denied", "error_description": "The user declined."})


def _approval(world: World, given: dict[str, str]) -> dict[str, str]:
    code = world.ledger.new_code(
        client_id=given["client_id"],
        redirect_uri=given["redirect_uri"],
        challenge=given["code_challenge"],
        scope=given["scope"],
    )
    return {"code": code, "scope": given["scope"]}


def _redirect(given: dict[str, str], answer: dict[str, str]) -> Reply:
    query = urlencode({**answer, "state": given["state"]})
    location = ("location", f"{given['redirect_uri']}?{query}")
    return Reply(status=302, headers=(location, *NO_STORE, ("referrer-policy", "no-referrer")))


def grant_of(request: Request) -> str:
    """Which grant a token request is for, as faults name it."""
    return str(request.fields.get("grant_type", "")).rpartition(":")[2]


def token(world: World, request: Request) -> Reply:
    """The token endpoint: one row of GRANTS."""
    grant = GRANTS.get(str(request.fields.get("grant_type")))
    if grant is None:
        return oauth_error("unsupported_grant_type", "The grant_type is missing or not supported.")
    media_types, required, handler = grant
    if request.media_type not in media_types:
        return oauth_error("invalid_request", f"The body must be {' or '.join(media_types)}.")
    for name in required:
        if not isinstance(request.fields.get(name), str) or not request.fields[name]:
            return oauth_error("invalid_request", f"The parameter {name} is missing.")
    return handler(world, request.fields)


def _exchange_code(world: World, fields: dict[str, Any]) -> Reply:
    # Single use: the code is spent even if the rest is wrong.
    code = world.ledger.codes.pop(fields["code"], None)
    if code is None or time.time() > code.expires_at:
        return oauth_error("invalid_grant", "The authorization code is unknown, used or expired.")
    if fields["client_id"] != code.client_id:
        return oauth_error("invalid_grant", "The authorization code was issued to another client.")
    if fields["redirect_uri"] != code.redirect_uri:
        return oauth_error("invalid_grant", "The redirect_uri is not the one the code was issued for.")
    verifier = fields["code_verifier"]
    if not VERIFIER.fullmatch(verifier) or not proves(verifier, code.challenge):
        return oauth_error("invalid_grant", "The code_verifier does not match the code_challenge.")
    return json_reply(world.ledger.issue(client_id=code.client_id, scope=code.scope), headers=NO_STORE)


def _refresh(world: World, fields: dict[str, Any]) -> Reply:
    try:
        tokens = world.ledger.rotate(fields["refresh_token"], fields["client_id"])
    except TokenError as error:
        if error.code in REFRESH_MESSAGES:
            return refresh_refused(error.code)
        return oauth_error(error.code, "The refresh token is unknown or belongs to another client.")
    return json_reply(tokens, headers=NO_STORE)


def _exchange_for_api_key(world: World, fields: dict[str, Any]) -> Reply:
    # The answer for accounts without an organisation; reported in 2026.
    return api_error("Invalid ID token: missing organization_id", code="invalid_subject_token", status=401)


FORM, JSON = "application/x-www-form-urlencoded", "application/json"
GRANTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[World, dict[str, Any]], Reply]]] = {
    "authorization_code": ((FORM,), ("client_id", "code", "redirect_uri", "code_verifier"), _exchange_code),
    "refresh_token": ((JSON, FORM), ("client_id", "refresh_token"), _refresh),
    "urn:ietf:params:oauth:grant-type:token-exchange": (
        (FORM,),
        ("client_id", "requested_token", "subject_token", "subject_token_type"),
        _exchange_for_api_key,
    ),
}


def revoke(world: World, request: Request) -> Reply:
    """RFC 7009: 200 also for a token that was never issued."""
    value = request.fields.get("token")
    if not isinstance(value, str) or not value:
        return oauth_error("invalid_request", "The parameter token is missing.")
    world.ledger.revoke(value)
    return json_reply({})


def discovery(world: World, request: Request) -> Reply:
    """OpenID Connect Discovery 1.0, section 3."""
    issuer = world.base_url
    return json_reply(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/api/accounts/authorize",
            "token_endpoint": f"{issuer}/api/accounts/oauth/token",
            "userinfo_endpoint": f"{issuer}/api/accounts/oauth/userinfo",
            "revocation_endpoint": f"{issuer}/api/accounts/oauth/revoke",
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "response_types_supported": ["code"],
            "grant_types_supported": list(GRANTS),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
        }
    )


def jwks(world: World, request: Request) -> Reply:
    """The keys that sign the tokens (RFC 7517, section 5)."""
    return json_reply({"keys": world.keys.jwks()})
