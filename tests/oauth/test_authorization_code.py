from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.errors import ConnectError, SignInError
from onplan.flow import Response
from onplan.oauth import pkce
from onplan.oauth.authorization_code import exchange, read_callback, redirect_uri, require_code, start
from onplan.oauth.issuer import CODEX

NOW = 1_800_000_000.0


class TestStart:
    def test_the_recorded_parameters(self, recording):
        """The authorize URL has the parameters that the official client sends, with its values."""
        recorded = next(r["query"] for r in recording("login_browser") if r["path"] == "/oauth/authorize")
        request = start(CODEX, recorded["redirect_uri"])
        sent = parse_qsl(urlsplit(request.url).query, strict_parsing=True)

        own = {"state": request.state, "code_challenge": pkce.code_challenge(request.verifier)}
        assert sorted({**recorded, **own}.items()) == sorted(sent)

    def test_the_endpoint(self):
        """The browser goes to the issuer's authorize page, wherever the issuer is."""
        assert start(CODEX, "x").url.startswith("https://auth.openai.com/oauth/authorize?")
        assert start(CODEX.at("http://127.0.0.1:9/"), "x").url.startswith(
            "http://127.0.0.1:9/oauth/authorize?"
        )

    def test_spaces_are_written_as_recorded(self):
        """The scopes are separated by ``+``."""
        assert "scope=openid+profile+email+offline_access+api.connectors.read+api" in start(CODEX, "x").url

    def test_the_redirect(self):
        """The browser comes back to the callback path on the port that listens."""
        request = start(CODEX, redirect_uri(1457))

        assert "http://localhost:1457/auth/callback" == request.redirect_uri
        assert 1457 == request.redirect_port
        assert dict(parse_qsl(urlsplit(request.url).query))["redirect_uri"] == request.redirect_uri

    def test_each_sign_in_is_its_own(self):
        """State and verifier are new each time, unless a state is given."""
        one, two = start(CODEX, "x"), start(CODEX, "x", state="given")

        assert one.state != two.state == "given"
        assert one.verifier != two.verifier

    def test_its_secrets_are_not_printed(self):
        """The printed form of a sign-in shows neither state nor verifier."""
        request = start(CODEX, "http://localhost:1455/auth/callback")

        assert "AuthorizationRequest(redirect_uri='http://localhost:1455/auth/callback')" == repr(request)


@dataclass
class Case:
    id: str
    text: str
    code: str
    genuine: bool = True
    error: str = ""


CASES = [
    Case("full URL", "http://localhost:1455/auth/callback?code=c%2F1&state=s&scope=a+b", "c/1"),
    Case("path and query", "/auth/callback?code=c&state=s", "c"),
    Case("query string", "code=c&state=s", "c"),
    Case("query string with its mark", "?state=s&code=c", "c"),
    Case("pasted with blanks around", "  http://localhost:1455/auth/callback?code=c&state=s\n", "c"),
    Case("code and state", "c#s", "c"),
    Case("URL with a fragment", "http://localhost:1455/auth/callback?code=c&state=s#_=_", "c"),
    Case("wrong state", "code=c&state=other", "c", genuine=False),
    Case("no state", "code=c", "c", genuine=False),
    Case("empty state", "code=c&state=", "c", genuine=False),
    Case("a state that only begins so", "code=c&state=s2", "c", genuine=False),
    Case("bare code", "c", "c", genuine=False),
    Case("code and wrong state", "c#other", "c", genuine=False),
    Case("error", "error=access_denied&state=s", "", error="access_denied"),
    Case("error with a wrong state", "error=access_denied&state=x", "", genuine=False, error="access_denied"),
    Case("no code", "/auth/callback?state=s", ""),
    Case("nothing", "", "", genuine=False),
    Case("a broken address", "http://[localhost:1455/auth/callback?code=c&state=s", "c"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_callback_is_read(case):
    """Whatever form the redirect is pasted in, its code, state and error are found."""
    callback = read_callback(case.text, "s")

    assert (case.code, case.genuine, case.error) == (callback.code, callback.genuine, callback.error)


@given(st.text())
def test_no_text_is_genuine_by_chance(text):
    """Nothing that a stranger can paste passes for an answer to this sign-in."""
    assert not read_callback(text, "unguessable-state").genuine


@pytest.mark.parametrize(
    "text", ["code=c&state=s", "#code=c&state=s", "?code=c&state=s#_", "http://x/#?code=c&state=s"]
)
def test_a_query_or_a_fragment_alone(text):
    """With the mark before it, or without."""
    callback = read_callback(text, "s")

    assert (callback.code, callback.genuine) == ("c", True)


def test_the_code_is_not_printed():
    """The printed form of a callback does not show the code."""
    assert "secret" not in repr(read_callback("code=secret&state=s", "s"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("code=c&state=x", "does not belong to this sign-in"),
        ("error=access_denied&state=x", "does not belong to this sign-in"),
        ("state=s", "without an authorization code"),
        ("error=access_denied&state=s", "declined"),
        ("error=access_denied&error_description=missing_codex_entitlement&state=s", "not enabled"),
        ("error=server_error&state=s", "had an internal error"),
        ("error=temporarily_unavailable&state=s", "is busy"),
        ("error=moonrise&error_description=The+moon+rose&state=s", "The moon rose"),
        ("error=moonrise&state=s&code=c", "moonrise"),
    ],
)
def test_a_callback_without_a_code_is_an_error(text, says):
    """A sign-in that was declined, forged or empty is an error that says so."""
    with pytest.raises(SignInError, match=says):
        require_code(read_callback(text, "s"))


def test_a_genuine_callback_gives_its_code():
    """The code of an answer to this sign-in is handed on."""
    assert "c" == require_code(read_callback("code=c&state=s", "s"))


def exchanging():
    return exchange(
        CODEX, "secret-code", "secret-verifier", "http://localhost:1455/auth/callback", lambda: NOW
    )


class TestExchange:
    def test_the_request_is_the_recorded_one(self, recording, begin):
        """The exchange sends the form fields of the official client, in its order, and its headers."""
        recorded = next(r for r in recording("login_browser") if r["path"] == "/oauth/token")
        request = begin(exchanging()).request

        fields = parse_qsl(request.body.decode(), strict_parsing=True)
        assert list(recorded["body"]["form"]) == [name for name, _ in fields]
        assert {
            "grant_type": "authorization_code",
            "client_id": recorded["body"]["form"]["client_id"],
            "code": "secret-code",
            "redirect_uri": "http://localhost:1455/auth/callback",
            "code_verifier": "secret-verifier",
        } == dict(fields)
        assert ("POST", "https://auth.openai.com/oauth/token") == (request.method, request.url)
        assert {"content-type": "application/x-www-form-urlencoded", "accept": "*/*"} == dict(request.headers)
        assert "secret" not in repr(request)

    def test_a_token_response_becomes_credentials(self, begin, jwt):
        """What the tokens say about their owner is in the credentials."""
        auth = {"chatgpt_account_id": "acct-1", "chatgpt_plan_type": "plus"}
        identity = jwt(email="a@example.org", **{"https://api.openai.com/auth": auth})
        access = jwt(exp=NOW + 864_000)
        tokens = {
            "id_token": identity,
            "access_token": access,
            "refresh_token": "rt-1",
            "token_type": "bearer",
            "expires_in": 5,
            "scope": "openid email",
        }

        found = begin(exchanging()).answer(Response(200, {}, json.dumps(tokens).encode()))

        assert (access, "rt-1", identity) == (found.access_token, found.refresh_token, found.id_token)
        assert NOW + 864_000 == found.expires_at
        assert ("acct-1", "plus", "a@example.org") == (found.account_id, found.plan, found.email)
        assert (CODEX.client_id, CODEX.url) == (found.client_id, found.issuer)
        assert ["openid", "email"] == found.scopes

    @pytest.mark.parametrize(
        ("status", "body", "says"),
        [
            (400, {"error": "invalid_grant", "error_description": "x"}, "expired or was used"),
            (400, {"error": "invalid_client", "error_description": "Unknown client"}, "Unknown client"),
            (403, {"error": {"code": "x", "message": "Not you"}}, "Not you"),
            (400, {"error": "moonrise"}, "HTTP 400.*moonrise"),
            (500, None, "HTTP 500"),
            (200, {}, "not a token response"),
            (200, {"access_token": "", "refresh_token": "secret-refresh"}, "not a token response"),
            (200, {"access_token": ["secret-access"]}, "not a token response"),
            (200, [], "not a token response"),
            (302, None, "HTTP 302"),
        ],
    )
    def test_a_refusal_is_an_error_without_secrets(self, begin, status, body, says):
        """A refused code ends the sign-in with a sentence that names the reason and no secret."""
        with pytest.raises(SignInError, match=says) as caught:
            begin(exchanging()).answer(Response(status, {}, json.dumps(body).encode()))

        assert "secret" not in f"{caught.value} {caught.value.to_dict()}"

    def test_a_secret_that_the_server_repeats_is_not_printed(self, begin):
        """An error text that quotes the code back does not carry it into our sentence."""
        body = {"error": "invalid_request", "error_description": "No such code: secret-code"}

        with pytest.raises(SignInError) as caught:
            begin(exchanging()).answer(Response(400, {}, json.dumps(body).encode()))
        assert "secret" not in str(caught.value)

    def test_a_network_failure_is_passed_on(self, begin):
        """Where the server cannot be reached, the failure is the network's."""
        with pytest.raises(ConnectError):
            begin(exchanging()).answer(ConnectError("no"))


def test_half_a_character_in_what_was_pasted_is_no_accident():
    """What a terminal could not decode makes a wrong address, and no error that would show the code."""
    for pasted in ("ac_SECRET#st\udcff", "http://localhost/auth/callback?code=ac_SECRET\udcff&state=\udcff"):
        assert read_callback(pasted, "state").genuine is False
    assert require_code(read_callback("ac_SECRET\udcff#state", "state")) == "ac_SECRET?"


def test_a_redirect_names_client_and_issuer() -> None:
    """If the service registered a client, or says who answers, that is read; else both are empty."""
    named = read_callback("http://x/cb?code=c&state=s&client_id=client-1&iss=https%3A%2F%2Fi", "s")

    assert (named.client_id, named.issuer) == ("client-1", "https://i")
    plain = read_callback("http://x/cb?code=c&state=s", "s")
    assert (plain.client_id, plain.issuer, plain.error, plain.description) == ("", "", "", "")


@pytest.mark.parametrize(("uri", "port"), [("http://localhost:1455/cb", 1455), ("http://localhost/cb", 80)])
def test_the_port_of_a_redirect(uri: str, port: int) -> None:
    """Without one in the address it is that of HTTP; and nothing but the address is made up."""
    started = start(CODEX, uri)

    assert (started.redirect_port, started.redirect_uri) == (port, uri)
    assert (started.nonce, started.hinted_url) == ("", "")
