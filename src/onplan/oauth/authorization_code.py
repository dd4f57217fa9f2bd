"""The authorization-code grant with PKCE (RFC 6749 §4.1, RFC 7636), for a native app (RFC 8252)."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from onplan.errors import OnplanError, SignInError
from onplan.flow import Flow, Request, Response, request_id_of
from onplan.oauth import pkce
from onplan.oauth.credentials import (
    credentials_from,
    error_code,
    unknown_client,
)
from onplan.oauth.issuer import Issuer
from onplan.oauth.refusals import refusal_in, refusal_named, sign_in_error
from onplan.oauth.token_response import decode_token_response
from onplan.secret import SecretText, without_secrets
from onplan.types import OAuthCredentials

CALLBACK_PATH = "/auth/callback"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A sign-in in progress, as a value: another process can finish it. Its secrets are not printed.

    Attributes:
        url: what the person opens in a browser.
        state: comes back unchanged in the redirect; a redirect with another state is not for this sign-in.
        verifier: the PKCE code verifier, which proves at the exchange that the same program asked.
        redirect_uri: where the browser is sent back to.
        nonce: comes back in the ID token, if that is verified.
        hinted_url: ``url`` with hints about who signs in, to be opened but not printed; empty without hints.
    """

    url: str = field(repr=False)
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str
    nonce: str = field(default="", repr=False)
    hinted_url: str = field(default="", repr=False)

    @property
    def redirect_port(self) -> int:
        """The port to which the browser returns."""
        return urlsplit(self.redirect_uri).port or 80


def redirect_uri(port: int, host: str = "localhost") -> str:
    """The redirect URI that is registered; the port may vary (RFC 8252 §7.3)."""
    return f"http://{host}:{port}{CALLBACK_PATH}"


def start(
    issuer: Issuer,
    redirect: str,
    *,
    state: str | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> AuthorizationRequest:
    """A new sign-in: fresh state, fresh PKCE pair, and the URL to open.

    ``state`` is given if a listener needed it before its port, and so the redirect URI, was known.
    """
    verifier, state = pkce.generate_verifier(random), state or pkce.generate_state(random)
    query = {
        "response_type": "code",
        "client_id": issuer.client_id,
        "redirect_uri": redirect,
        "scope": " ".join(issuer.scopes),
        "code_challenge": pkce.code_challenge(verifier),
        "code_challenge_method": "S256",
        "state": state,
        **issuer.authorize_parameters,
    }
    url = SecretText(f"{issuer.authorization_endpoint}?{urlencode(query)}")
    return AuthorizationRequest(url, state, verifier, redirect)


@dataclass(frozen=True, slots=True)
class Callback:
    """What the redirect said: a code or an error (RFC 6749 §4.1.2). The code has no printed form.

    Attributes:
        genuine: whether the state is the one that was sent.
        client_id: the client that was registered during the sign-in, if the issuer does that.
        issuer: the issuer that answered, if the redirect says so (RFC 9207).
    """

    genuine: bool
    code: str = field(default="", repr=False)
    error: str = ""
    description: str = ""
    client_id: str = ""
    issuer: str = ""


def read_callback(text: str, state: str) -> Callback:
    """Read a redirect, or what a person pasted: a full URL, a query string, or ``code#state``.

    The state is compared in constant time. A pasted bare code has no state and is not genuine.
    """
    # A terminal may deliver half a character.
    text = SecretText(text.strip().encode("utf-8", "replace").decode())
    if "=" not in text:
        code, _, given = text.partition("#")
        fields = {"code": code, "state": given}
    else:
        query = text.partition("?")[2].partition("#")[0] if "?" in text else text.lstrip("#")
        fields = {name: values[0] for name, values in parse_qs(query).items()}
    genuine = hmac.compare_digest(fields.get("state", "").encode(), state.encode())
    return Callback(
        genuine,
        SecretText(fields.get("code", "")),
        fields.get("error", ""),
        fields.get("error_description", ""),
        fields.get("client_id", ""),
        fields.get("iss", ""),
    )


_ERRORS = {
    "access_denied": "The sign-in was declined in the browser.",
    "server_error": "The sign-in service had an internal error.",
    "temporarily_unavailable": "The sign-in service is busy.",
}


def require_granted(callback: Callback) -> None:
    """Raise SignInError if the state of ``callback`` is wrong, or the person declined."""
    if not callback.genuine:
        raise SignInError(
            "That address does not belong to this sign-in (its state is different or missing).",
            hint="Paste the whole address from the browser, or run `onplan login` again.",
        )
    if callback.error:
        refusal = refusal_named(callback.error, callback.description) or refusal_named(callback.description)
        if refusal:
            raise SignInError(refusal.sentence, hint=refusal.hint)
        said = callback.description or callback.error
        raise SignInError(_ERRORS.get(callback.error) or f"The sign-in failed: {said}.")


def require_code(callback: Callback) -> str:
    """The authorization code of a genuine callback.

    Raises:
        SignInError: the state is wrong, the person declined, or there is no code.
    """
    require_granted(callback)
    if not callback.code:
        raise SignInError("The browser came back without an authorization code.")
    return callback.code


def exchange(
    issuer: Issuer, code: str, verifier: str, redirect: str, now: Callable[[], float]
) -> Flow[OAuthCredentials]:
    """Exchange the code for credentials (RFC 6749 §4.1.3).

    Raises:
        SignInError: the code was refused, or the answer is not a token response.
        TransportError: the token endpoint could not be reached.
    """
    response = yield Request.form(
        issuer.token_endpoint,
        {
            "grant_type": "authorization_code",
            "client_id": issuer.client_id,
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        },
    )
    tokens = decode_token_response(response.body) if response.ok else None
    if tokens is None or not tokens.access_token:
        raise exchange_error(response, code, verifier)
    return credentials_from(tokens, issuer, now())


def exchange_error(response: Response, *secrets: str, registered: bool = False) -> OnplanError:
    """The error for an answer to a code that is not a token response."""
    if refusal := refusal_in(response):
        return sign_in_error(refusal, response)
    code, description = error_code(response.json())
    if code == "invalid_grant":
        return SignInError("The authorization code was refused: it has expired or was used before.")
    if code == "invalid_client" and registered:
        return unknown_client(response.status, registered=True)
    detail = without_secrets(description or code or "its answer is not a token response", *secrets)
    return SignInError(
        f"The sign-in service did not hand out a token (HTTP {response.status}): {detail}.",
        status_code=response.status,
        request_id=request_id_of(response.headers),
    )
