"""Sign in with ChatGPT: the authorization-code grant that also registers a client (docs/protocol.md).

The first sign-in asks the authorization endpoint to register a client, bound to the person and workspace that
are chosen there. Its id comes back with the code and is used from then on. An ID token says who signed in
(OpenID Connect Core 1.0), and is verified. Only ``scope`` in the token response says if the plan may be used.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable
from urllib.parse import urlencode

import msgspec

from onplan.errors import SignInError
from onplan.flow import Flow, Request
from onplan.oauth import pkce
from onplan.oauth.authorization_code import (
    AuthorizationRequest,
    Callback,
    exchange_error,
    require_code,
    require_granted,
)
from onplan.oauth.credentials import credentials_from
from onplan.oauth.issuer import Issuer
from onplan.oauth.token_response import decode_token_response
from onplan.oauth.verification import NO_KEYS, Expectation, Keys, verify
from onplan.secret import SecretText
from onplan.types import OAuthCredentials, Registration

AGENT_NAME = "onplan"  # by which the person finds this program in ChatGPT's settings

_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


def new_host_id(random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A random UUID as the host id of an installation; it identifies no person."""
    return uuid.UUID(bytes=random(16), version=4).urn


def start(
    issuer: Issuer,
    redirect: str,
    host_id: str,
    *,
    registration: Registration | None = None,
    id_token: str | None = None,
    consent: bool = False,
    state: str | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> AuthorizationRequest:
    """A new sign-in: fresh state, nonce and PKCE pair.

    Args:
        issuer: the issuer to sign in at.
        redirect: the redirect URI.
        host_id: this installation's ``ext_agent_host_id``.
        registration: the client of an earlier sign-in, to be used again; without it, one is registered.
        id_token: of that sign-in; with it the person need not choose the account. It is in ``hinted_url``
            only, which is not printed.
        consent: ask again for the permission to use the plan, as the person wishes.
        state: if a listener needed it before.
        random: returns random octets.
    """
    verifier, state = pkce.generate_verifier(random), state or pkce.generate_state(random)
    nonce = pkce.generate_state(random)
    query = {
        "response_type": "code",
        **(
            {"client_id": registration.client_id}
            if registration
            else {"client_id": issuer.client_id, "agent_name_hint": AGENT_NAME}
        ),
        "ext_agent_host_id": host_id,
        "redirect_uri": redirect,
        "scope": " ".join(issuer.scopes),
        "resource": issuer.resource or "",
        "state": state,
        "nonce": nonce,
        "code_challenge": pkce.code_challenge(verifier),
        "code_challenge_method": "S256",
        **({"prompt": "consent"} if consent else {}),
        **issuer.authorize_parameters,
    }
    hints = {}
    if registration and id_token:
        hints["id_token_hint"] = id_token
        if registration.email:
            hints["login_hint"] = registration.email
    page = issuer.authorization_endpoint
    return AuthorizationRequest(
        SecretText(f"{page}?{urlencode(query)}"),
        state,
        verifier,
        redirect,
        nonce=nonce,
        hinted_url=SecretText(f"{page}?{urlencode({**query, **hints})}"),
    )


def registered(issuer: Issuer, callback: Callback, registration: Registration | None) -> Registration:
    """The client that ``callback`` names, or ``registration``; to be stored before the code is exchanged.

    Raises:
        SignInError: the state is wrong, the person declined, or the client is missing or another one.
    """
    require_granted(callback)
    if callback.issuer and callback.issuer != issuer.url:
        raise SignInError(
            f"The browser came back from another issuer than {issuer.url}, so nothing was stored."
        )
    given = callback.client_id
    if registration is None:
        if not _CLIENT_ID.fullmatch(given) or given == issuer.client_id:
            raise SignInError("The sign-in is incomplete: the browser came back without a client id.")
        registration = Registration(client_id=given, issuer=issuer.url)
    elif given and given != registration.client_id:
        raise SignInError("The browser came back with the client id of another registration.")
    require_code(callback)
    return registration


def exchange(
    issuer: Issuer,
    started: AuthorizationRequest,
    code: str,
    registration: Registration,
    now: Callable[[], float],
) -> Flow[tuple[OAuthCredentials, Registration]]:
    """Exchange the code: the credentials, and ``registration`` completed with the person's identity.

    Raises:
        SignInError: the code was refused, the ID token is not genuine, or it names another person.
        TransportError: the issuer could not be reached.
    """
    client_id = registration.client_id
    response = yield Request.form(
        issuer.token_endpoint,
        {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "code": code,
            "code_verifier": started.verifier,
            "redirect_uri": started.redirect_uri,
            "resource": issuer.resource or "",
        },
    )
    tokens = decode_token_response(response.body) if response.ok else None
    if tokens is None or not tokens.access_token:
        raise exchange_error(response, code, started.verifier, registered=True)
    if not tokens.id_token or tokens.scope is None:
        missing = "a scope" if tokens.id_token else "an ID token"
        raise SignInError(f"The sign-in service answered without {missing}, so nothing was stored.")
    expected = Expectation(issuer.url, client_id, started.nonce, registration.subject)
    claims, _ = yield from verify(issuer, SecretText(tokens.id_token), expected, now())
    blank = OAuthCredentials(access_token="", client_id=client_id)
    credentials = credentials_from(tokens, issuer, now(), blank)
    known = msgspec.structs.replace(registration, subject=claims["sub"], email=credentials.email)
    return credentials, known


def verify_refreshed(
    issuer: Issuer,
    credentials: OAuthCredentials,
    registration: Registration,
    now: float,
    keys: Keys = NO_KEYS,
) -> Flow[Keys]:
    """Verify an ID token that came with a refresh, and so has no nonce. Returns the keys that are known now.

    Raises as ``verify``.
    """
    expected = Expectation(issuer.url, registration.client_id, None, registration.subject)
    _, keys = yield from verify(issuer, SecretText(credentials.id_token or ""), expected, now, keys)
    return keys
