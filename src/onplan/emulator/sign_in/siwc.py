"""Sign in with ChatGPT: registers clients at sign-in, asks for consent, issues tokens."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from onplan.emulator.sign_in.issuer import CHALLENGE, VERIFIER
from onplan.emulator.tokens.ledger import TokenError, proves
from onplan.emulator.tokens.registry import ALL_SCOPES, DYNAMIC_CLIENT, RESOURCE, Consent, Registration
from onplan.emulator.wire.pages import choice, form, page
from onplan.emulator.wire.replies import NO_STORE, Reply, Request, json_reply, oauth_error
from onplan.emulator.world import World

FORM = "application/x-www-form-urlencoded"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
HOST_ID = re.compile(
    rf"urn:uuid:{UUID}|urn:ietf:params:oauth:jwk-thumbprint:[\w:.-]+|did:key:\w+", re.IGNORECASE
)
HINTS = ("id_token_hint", "login_hint")
COMMON = (
    "client_id",
    "response_type",
    "redirect_uri",
    "scope",
    "resource",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
)


def _is_callback(uri: str) -> bool:
    """The literal address, and the one path; only the port may vary."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return plain and uri == f"http://127.0.0.1:{port}/auth/callback"


RULES: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    ("response_type", lambda v: v == "code", 'must be "code"'),
    ("ext_agent_host_id", lambda v: bool(HOST_ID.fullmatch(v)), "is in none of the accepted formats"),
    ("redirect_uri", _is_callback, "must be http://127.0.0.1:PORT/auth/callback"),
    ("code_challenge", lambda v: bool(CHALLENGE.fullmatch(v)), "must be 43 characters of base64url"),
    ("code_challenge_method", lambda v: v == "S256", 'must be "S256"'),
    ("state", bool, "must not be empty"),
    ("nonce", bool, "must not be empty"),
    ("prompt", lambda v: v == "consent", 'must be "consent"'),
)


def _complaint(world: World, request: Request) -> str | None:
    """The first thing wrong with an authorization request, as a sentence."""
    given, names = dict(request.query), [name for name, _ in request.query]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        return f"The parameter {twice} was sent more than once."
    missing = next((name for name in COMMON if name not in given), None)
    if missing:
        return f"The parameter {missing} is missing."
    wrong = next(
        ((name, rule) for name, accepts, rule in RULES if name in given and not accepts(given[name])), None
    )
    if wrong:
        return f"The parameter {wrong[0]} {wrong[1]}."
    if given["resource"] not in _resources(world):
        return f"The parameter resource must be {RESOURCE}."
    if given["client_id"] == DYNAMIC_CLIENT:
        return _complaint_of_a_new_client(given)
    return _complaint_of_a_client(world, given)


def _complaint_of_a_new_client(given: dict[str, str]) -> str | None:
    if not given.get("agent_name_hint"):
        return "The parameter agent_name_hint is missing."
    return next((f"A new client has no {name}." for name in (*HINTS, "prompt") if name in given), None)


def _complaint_of_a_client(world: World, given: dict[str, str]) -> str | None:
    client = world.registry.clients.get(given["client_id"])
    if client is None:
        return "invalid_client: the client is not known."
    if "agent_name_hint" in given:
        return "A client that is registered has its name already: agent_name_hint must be left out."
    hint = given.get("id_token_hint")
    claims = world.keys.verified(hint) if hint is not None else None
    if hint is not None and (claims is None or client.client_id not in claims["aud"]):
        return "The id_token_hint is not an ID token of this client."
    if "login_hint" in given and given["login_hint"] != (claims or {}).get("email", client.person.email):
        return "The login_hint is another account's than the id_token_hint."
    return None


def _resources(world: World) -> tuple[str, str]:
    return RESOURCE, f"{world.base_url}/plan/v1"


def authorize(world: World, request: Request) -> Reply:
    """Answer as `/_emulator/consent` says, or show the page."""
    complaint = _complaint(world, request)
    if complaint:
        return page("This sign-in request is not valid", complaint, status=400)
    given = dict(request.query)
    if set(given["scope"].split()) != ALL_SCOPES:
        # Without the plan's scopes, a client must be registered by OpenAI beforehand.
        return _redirect(given, {"error": "invalid_client", "error_description": "The scopes are not these."})
    if not world.options.interactive:
        return _answered(world, given, world.registry.consent)
    if "id_token_hint" in given and "prompt" not in given:  # there is nothing to choose
        return _answered(world, given, Consent())
    handle = secrets.token_urlsafe(16)
    world.pages[handle] = request.query_string
    return _consent_page(world, given, handle)


def _consent_page(world: World, given: dict[str, str], handle: str) -> Reply:
    """A client that returns has its workspace, and its consent unless that is to be asked for again."""
    client = world.registry.clients.get(given["client_id"])
    name = client.agent_name if client else given["agent_name_hint"]
    workspaces = () if client else world.scenario.workspaces
    rows = [
        choice("radio", "workspace", workspace, workspace, checked=index == 0)
        for index, workspace in enumerate(workspaces)
    ]
    if client is None or "prompt" in given:
        rows.append(choice("checkbox", "plan", "yes", f"Let {name} use my ChatGPT plan", checked=True))
    buttons = {"approve": "Continue", "decline": "Cancel"}
    more = form("/api/accounts/authorize", {"request": handle}, buttons, "".join(rows))
    return page(f"Sign in to {name} with ChatGPT", f"As {world.scenario.email}.", more=more)


def decide(world: World, request: Request) -> Reply:
    """What the person chose on the page."""
    query = world.pages.pop(str(request.fields.get("request")), None)
    if query is None:
        return page("This sign-in request is not valid", "It is unknown or was already answered.", status=400)
    given = dict(Request("GET", request.path, query, {}, b"").query)
    answer = Consent(
        plan=request.fields.get("plan") == "yes",
        decline=request.fields.get("decision") != "approve",
        workspace=request.fields.get("workspace"),
    )
    return _answered(world, given, answer)


def _answered(world: World, given: dict[str, str], consent: Consent) -> Reply:
    if consent.decline:
        return _redirect(given, {"error": "access_denied", "error_description": "The user declined."})
    registry = world.registry
    client = registry.clients.get(given["client_id"])
    if client is None:
        client = registry.register(given["agent_name_hint"], consent)
    elif given.get("prompt") == "consent":  # otherwise what was granted or declined stays
        client.plan = consent.plan
    code, scope = registry.new_agent_code(
        client,
        registry.person(consent) if consent.user else client.person,
        redirect_uri=given["redirect_uri"],
        challenge=given["code_challenge"],
        nonce=given["nonce"],
    )
    return _redirect(given, {"code": code, "scope": scope, "client_id": client.client_id})


def _redirect(given: dict[str, str], answer: dict[str, str]) -> Reply:
    query = urlencode({**answer, "state": given["state"]})
    location = ("location", f"{given['redirect_uri']}?{query}")
    return Reply(status=302, headers=(location, *NO_STORE, ("referrer-policy", "no-referrer")))


# --- tokens -----------------------------------------------------------------------------------------


def token(world: World, request: Request) -> Reply:
    """The token endpoint: one row of GRANTS."""
    grant = GRANTS.get(str(request.fields.get("grant_type")))
    if grant is None:
        return oauth_error("unsupported_grant_type", "The grant_type is missing or not supported.")
    if request.media_type != FORM:
        return oauth_error("invalid_request", f"The body must be {FORM}.")
    required, handler = grant
    for name in (*required, "client_id", "resource"):
        if not request.fields.get(name):
            return oauth_error("invalid_request", f"The parameter {name} is missing.")
    if request.fields["resource"] not in _resources(world):
        return oauth_error("invalid_target", f"The resource must be {RESOURCE}.")
    client = world.registry.clients.get(request.fields["client_id"])
    if client is None:
        return oauth_error("invalid_client", "The client is not known.", 401)
    return handler(world, client, request.fields)


def _exchange_code(world: World, client: Registration, fields: dict[str, Any]) -> Reply:
    # Single use: the code is spent even if the rest is wrong.
    code = world.registry.agent_codes.pop(fields["code"], None)
    checks = (
        (code is not None and time.time() <= code.expires_at, "is unknown, used or expired"),
        (code is not None and code.client_id == client.client_id, "was issued to another client"),
        (code is not None and code.redirect_uri == fields["redirect_uri"], "was for another redirect_uri"),
    )
    wrong = next((why for right, why in checks if not right), None)
    if wrong or code is None:
        return oauth_error("invalid_grant", f"The authorization code {wrong}.")
    verifier = fields["code_verifier"]
    if not VERIFIER.fullmatch(verifier) or not proves(verifier, code.challenge):
        return oauth_error("invalid_grant", "The code_verifier does not prove the code_challenge.")
    return json_reply(world.registry.sign_in(code), headers=NO_STORE)


def _refresh(world: World, client: Registration, fields: dict[str, Any]) -> Reply:
    if "scope" in fields:
        return oauth_error("invalid_scope", "Leave the scope out to keep the grant.")
    try:
        tokens = world.registry.rotate(fields["refresh_token"], client.client_id)
    except TokenError as error:
        return oauth_error(error.code, "The refresh token is not accepted.")
    return json_reply(tokens, headers=NO_STORE)


GRANTS: dict[str, tuple[tuple[str, ...], Callable[[World, Registration, dict[str, Any]], Reply]]] = {
    "authorization_code": (("code", "redirect_uri", "code_verifier"), _exchange_code),
    "refresh_token": (("refresh_token",), _refresh),
}


def revoke(world: World, request: Request) -> Reply:
    """Ends the session, also for a token that is dead already; the client stays registered."""
    if request.media_type != FORM:
        return oauth_error("invalid_request", f"The body must be {FORM}.")
    if not request.fields.get("token") or not request.fields.get("client_id"):
        return oauth_error("invalid_request", "The parameters token and client_id are required.")
    if not world.registry.revoke_of(request.fields["client_id"], request.fields["token"]):
        return oauth_error("invalid_request", "The token was issued to another client.")
    return Reply()
