"""Sign in with ChatGPT as values: the address, the client that is registered, the exchange, the refresh."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from onplan.errors import RefreshError, SignInError
from onplan.flow import Request, Response
from onplan.oauth import siwc
from onplan.oauth.authorization_code import AuthorizationRequest, Callback
from onplan.oauth.issuer import SIWC
from onplan.oauth.verification import AnotherPersonError
from onplan.types import OAuthCredentials, Registration

NOW = 1_800_000_000.0
REDIRECT = "http://127.0.0.1:4321/auth/callback"
REGISTERED = Registration(client_id="client-1", issuer=SIWC.url, subject="person-1", email="a@example.com")
NEW = Registration(client_id="client-1", issuer=SIWC.url)
STARTED = AuthorizationRequest("https://x", "state-1", "verifier-1", REDIRECT, nonce="nonce-1")


def octets(count: int) -> bytes:
    return bytes(range(count))


def fields(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


class TestAddress:
    def test_the_first_asks_for_a_client(self) -> None:
        """Without a registration the address asks for one, in the name of this program and host."""
        started = siwc.start(SIWC, REDIRECT, "urn:uuid:1", random=octets)

        assert started.url.startswith(f"{SIWC.authorization_endpoint}?")
        found = fields(started.url)
        assert (found["client_id"], found["agent_name_hint"]) == ("dynamic_agent_client", "onplan")
        assert found == {
            "response_type": "code",
            "client_id": "dynamic_agent_client",
            "agent_name_hint": "onplan",
            "ext_agent_host_id": "urn:uuid:1",
            "redirect_uri": REDIRECT,
            "scope": "openid profile email offline_access resource.invoke chatgpt.tokens.use.direct",
            "resource": "https://api.openai.com/v1",
            "state": started.state,
            "nonce": started.nonce,
            "code_challenge": found["code_challenge"],
            "code_challenge_method": "S256",
        }
        assert started.redirect_uri == REDIRECT
        assert started.hinted_url == started.url

    def test_a_later_one_names_the_client(self) -> None:
        """With a registration the address names its client, and asks for none."""
        found = fields(siwc.start(SIWC, REDIRECT, "urn:uuid:1", registration=REGISTERED).url)

        assert found["client_id"] == "client-1"
        assert "agent_name_hint" not in found

    def test_state_nonce_and_verifier_are_fresh(self) -> None:
        """Each sign-in has its own; a state that a listener needed before is taken."""
        one, two = (siwc.start(SIWC, REDIRECT, "urn:uuid:1") for _ in range(2))

        assert len({one.state, two.state, one.nonce, two.nonce, one.verifier, two.verifier}) == 6
        assert siwc.start(SIWC, REDIRECT, "urn:uuid:1", state="mine").state == "mine"
        assert fields(siwc.start(SIWC, REDIRECT, "urn:uuid:1", state="mine").url)["state"] == "mine"

    @pytest.mark.parametrize("consent", [True, False])
    def test_consent_is_asked_for_again_only_if_wished(self, consent: bool) -> None:
        """The prompt is in the address if the person wants to be asked."""
        found = fields(siwc.start(SIWC, REDIRECT, "urn:uuid:1", consent=consent).url)

        assert (found.get("prompt") == "consent") is consent
        assert ("prompt" in found) is consent

    @pytest.mark.parametrize(
        ("registration", "id_token", "hints"),
        [
            (REGISTERED, "a.b.c", {"id_token_hint": "a.b.c", "login_hint": "a@example.com"}),
            (NEW, "a.b.c", {"id_token_hint": "a.b.c"}),
            (REGISTERED, None, {}),
            (None, "a.b.c", {}),
        ],
        ids=["both", "no e-mail address", "no token", "no client"],
    )
    def test_hints_are_for_the_browser_only(
        self, registration: Registration | None, id_token: str | None, hints: dict[str, str]
    ) -> None:
        """Who signed in before is in the address that a browser opens, and not in the one that is shown."""
        started = siwc.start(SIWC, REDIRECT, "urn:uuid:1", registration=registration, id_token=id_token)

        assert fields(started.hinted_url) == {**fields(started.url), **hints}
        assert not {"id_token_hint", "login_hint"} & set(fields(started.url))

    def test_the_host_id_is_a_random_uuid(self) -> None:
        """It is made of 16 random octets, and marked as random (RFC 9562, version 4)."""
        found = siwc.new_host_id(octets)

        assert found == uuid.UUID(bytes=octets(16), version=4).urn
        assert siwc.new_host_id() != siwc.new_host_id()


GENUINE = Callback(genuine=True, code="code-1", client_id="client-1")


class TestRegistered:
    @pytest.mark.parametrize(
        ("callback", "known", "expected"),
        [
            (GENUINE, None, NEW),
            (GENUINE, REGISTERED, REGISTERED),
            (Callback(genuine=True, code="code-1"), REGISTERED, REGISTERED),
            (Callback(genuine=True, code="c", client_id="client-1", issuer=SIWC.url), None, NEW),
            (
                Callback(genuine=True, code="c", client_id="x" * 200),
                None,
                Registration(client_id="x" * 200, issuer=SIWC.url),
            ),
        ],
        ids=["first", "again", "again, unnamed", "issuer named", "a long name"],
    )
    def test_which_client_is_registered(
        self, callback: Callback, known: Registration | None, expected: Registration
    ) -> None:
        """The first callback brings the client; later ones may name it, and change nothing."""
        assert siwc.registered(SIWC, callback, known) == expected

    @pytest.mark.parametrize(
        ("callback", "known", "says"),
        [
            (Callback(genuine=False, code="c", client_id="client-1"), None, "state"),
            (Callback(genuine=True, error="access_denied"), None, "declined"),
            (
                Callback(genuine=True, code="c", client_id="client-1", issuer="https://x"),
                None,
                "another issuer",
            ),
            (Callback(genuine=True, code="c"), None, "without a client id"),
            (Callback(genuine=True, code="c", client_id="dynamic_agent_client"), None, "without a client id"),
            (Callback(genuine=True, code="c", client_id="client 1"), None, "without a client id"),
            (Callback(genuine=True, code="c", client_id="x" * 201), None, "without a client id"),
            (Callback(genuine=True, code="c", client_id="client-2"), REGISTERED, "another registration"),
            (Callback(genuine=True, client_id="client-1"), None, "authorization code"),
            (Callback(genuine=True, client_id="client-1"), REGISTERED, "authorization code"),
        ],
        ids=lambda each: None,
    )
    def test_what_is_refused(self, callback: Callback, known: Registration | None, says: str) -> None:
        """A callback of another sign-in, issuer or client, or without client or code, registers nothing."""
        with pytest.raises(SignInError, match=says):
            siwc.registered(SIWC, callback, known)


# --- the exchange ---


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def identity(key: RSAPrivateKey, **changed: Any) -> str:
    right = {
        "iss": SIWC.url,
        "aud": ["client-1"],
        "iat": NOW - 1,
        "exp": NOW + 60,
        "nonce": "nonce-1",
        "sub": "person-1",
        "email": "b@example.com",
    }
    return jwt.encode({**right, **changed}, key, algorithm="RS256", headers={"kid": "key-1"})


def keys(key: RSAPrivateKey) -> Response:
    entry = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "key-1"}
    return Response(200, {}, json.dumps({"keys": [entry]}).encode())


def exchanging(registration: Registration = NEW) -> Any:
    return siwc.exchange(SIWC, STARTED, "code-1", registration, lambda: NOW)


def tokens(id_token: str | None, **changed: Any) -> Response:
    body = {"access_token": "secret-access", "refresh_token": "r", "scope": "openid x", "id_token": id_token}
    return Response(200, {}, json.dumps({**body, "expires_in": 60, **changed}).encode())


def test_the_exchange_says_who_it_is_for() -> None:
    """The code goes to the token endpoint as a form, with the registered client and the resource."""
    request: Request = next(exchanging())

    assert (request.method, request.url) == ("POST", SIWC.token_endpoint)
    assert request.body
    assert dict(parse_qsl(request.body.decode())) == {
        "grant_type": "authorization_code",
        "client_id": "client-1",
        "code": "code-1",
        "code_verifier": "verifier-1",
        "redirect_uri": REDIRECT,
        "resource": "https://api.openai.com/v1",
    }


@pytest.mark.parametrize("before", [NEW, REGISTERED], ids=["first", "again"])
def test_an_exchange_gives_credentials_and_whose_they_are(key: RSAPrivateKey, before: Registration) -> None:
    """The person that the verified ID token names is kept with the client."""
    flow = exchanging(before)
    next(flow)
    flow.send(tokens(identity(key)))
    with pytest.raises(StopIteration) as stop:
        flow.send(keys(key))
    credentials, known = stop.value.value

    assert (credentials.access_token, credentials.refresh_token) == ("secret-access", "r")
    assert (credentials.client_id, credentials.issuer) == ("client-1", SIWC.url)
    assert (credentials.scopes, credentials.expires_at) == (["openid", "x"], NOW + 60)
    assert known == Registration(
        client_id="client-1", issuer=SIWC.url, subject="person-1", email="b@example.com"
    )


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (tokens(None), "without an ID token"),
        (tokens("", scope=None), "without an ID token"),
        (tokens("a.b.c", scope=None), "without a scope"),
        (tokens("a.b.c", access_token=None, refresh_token=None), "did not issue a token|token response"),
        (tokens("a.b.c", access_token=None), "did not issue a token|token response"),
        (Response(400, {}, b'{"error": "invalid_grant"}'), "code was refused"),
        (Response(200, {}, b"{}"), "HTTP 200"),
        (Response(500, {}, tokens("a.b.c").body), "HTTP 500"),
    ],
    ids=[
        "no ID token",
        "neither",
        "no scope",
        "no tokens",
        "no access token",
        "refused",
        "empty",
        "500 with tokens",
    ],
)
def test_an_exchange_that_brings_no_tokens(response: Response, says: str) -> None:
    """An answer that lacks a token or its scope ends the sign-in; no secret is in the error."""
    flow = exchanging()
    next(flow)

    with pytest.raises(SignInError, match=says) as caught:
        flow.send(response)
    assert "secret" not in str(caught.value)
    assert "code-1" not in str(caught.value)


def test_an_unknown_client_may_be_registered_anew() -> None:
    """A client that the service does not know is no refusal of the person: the hint says what to run."""
    flow = exchanging()
    next(flow)

    with pytest.raises(RefreshError) as caught:
        flow.send(Response(401, {}, b'{"error": "invalid_client"}'))
    assert "onplan logout --force" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"nonce": "nonce-2"}, SignInError),
        ({"aud": ["client-2"]}, SignInError),
        ({"iss": "https://x"}, SignInError),
        ({"exp": NOW - 60}, SignInError),
        ({"sub": "person-2"}, AnotherPersonError),
    ],
    ids=str,
)
def test_an_exchange_with_a_wrong_id_token(
    key: RSAPrivateKey, claims: dict[str, Any], error: type[SignInError]
) -> None:
    """The ID token must be of this issuer, client, sign-in and person, and still valid."""
    flow = exchanging(REGISTERED)
    next(flow)
    flow.send(tokens(identity(key, **claims)))

    with pytest.raises(error):
        flow.send(keys(key))


class TestRefreshed:
    @pytest.fixture
    def flow(self, key: RSAPrivateKey) -> Any:
        def begin(**claims: Any) -> Any:
            held = OAuthCredentials(access_token="a", id_token=identity(key, **claims))
            found = siwc.verify_refreshed(SIWC, held, REGISTERED, NOW)
            next(found)
            return found

        return begin

    def test_a_nonce_is_not_asked_for(self, key: RSAPrivateKey, flow: Any) -> None:
        """The ID token of a refresh is verified without a nonce; the keys are given back."""
        with pytest.raises(StopIteration) as stop:
            flow(nonce="of another sign-in").send(keys(key))
        assert set(stop.value.value) == {"key-1"}

    @pytest.mark.parametrize(
        "claims", [{"sub": "person-2"}, {"aud": "client-2"}, {"iss": "https://x"}], ids=str
    )
    def test_it_must_be_the_same_person_and_client(
        self, key: RSAPrivateKey, flow: Any, claims: dict[str, Any]
    ) -> None:
        """A refresh that brings another person's or client's ID token is refused."""
        with pytest.raises(SignInError):
            flow(**claims).send(keys(key))

    def test_without_an_id_token(self, key: RSAPrivateKey) -> None:
        """Credentials without an ID token are not verified."""
        flow = siwc.verify_refreshed(SIWC, OAuthCredentials(access_token="a"), REGISTERED, NOW)
        next(flow)

        with pytest.raises(SignInError):
            flow.send(keys(key))
