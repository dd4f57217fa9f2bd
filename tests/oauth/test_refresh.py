from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import pytest

from onplan.errors import (
    ConnectError,
    DisconnectError,
    IdleTimeoutError,
    OnplanError,
    ProxyError,
    RefreshError,
    SignInAgainError,
)
from onplan.flow import Response
from onplan.oauth.issuer import CODEX, SIWC
from onplan.oauth.refresh import RefreshOutcomeUnknownError, refresh, refusal
from onplan.types import OAuthCredentials

NOW = 1_800_000_000.0
HELD = OAuthCredentials(
    access_token="secret-access",
    refresh_token="secret-refresh",
    id_token="secret-id",
    account_id="acct-1",
    scopes=["openid"],
)


def refreshing(held=HELD, reason="proactive_expiry"):
    return refresh(CODEX, held, reason, lambda: NOW)


class TestRequest:
    def test_it_is_the_recorded_one(self, recording, begin):
        """A refresh sends the JSON body of the official client, byte for byte."""
        (recorded,) = recording("refresh_expired")
        body = recorded["body"]["json"]
        held = OAuthCredentials(access_token="a", refresh_token=body["refresh_token"])

        request = begin(refreshing(held, body["refresh_reason"])).request

        assert list(body.items()) == list(json.loads(request.body).items())
        assert recorded["body"]["len"] == len(request.body)
        assert ("POST", "https://auth.openai.com/oauth/token") == (request.method, request.url)
        assert "application/json" == request.headers["content-type"]
        assert "secret" not in repr(begin(refreshing()).request)

    def test_it_goes_where_the_credential_came_from(self, begin):
        """A credential of another issuer and client is refreshed there."""
        held = OAuthCredentials(
            access_token="a", refresh_token="r", issuer="http://127.0.0.1:9", client_id="mine"
        )
        request = begin(refreshing(held)).request

        assert "http://127.0.0.1:9/oauth/token" == request.url
        assert "mine" == json.loads(request.body)["client_id"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"access_token": "a2"}, ("a2", "secret-refresh", "secret-id", ["openid"])),
        (
            {"access_token": "a2", "refresh_token": None, "id_token": None},
            ("a2", "secret-refresh", "secret-id", ["openid"]),
        ),
        (
            {"access_token": "a2", "refresh_token": "r2", "id_token": "i2", "scope": "x y"},
            ("a2", "r2", "i2", ["x", "y"]),
        ),
    ],
    ids=["access token alone", "nulls", "everything"],
)
def test_a_refresh_replaces_what_it_names(begin, answer, expected):
    """The new tokens are taken, and what the answer leaves out keeps its value."""
    found = begin(refreshing()).answer(Response(200, {}, json.dumps(answer).encode()))

    assert expected == (found.access_token, found.refresh_token, found.id_token, found.scopes)
    assert "acct-1" == found.account_id


@dataclass
class Case:
    id: str
    answer: Response | Exception
    error: type[OnplanError]
    known: dict[str, object] = field(default_factory=dict)


def refused(status, body=None, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, json.dumps(body).encode())


CASES = [
    *(
        Case(
            f"{code}, {status}",
            refused(status, {"error": {"code": code}}),
            SignInAgainError,
            {"status_code": status},
        )
        for code in (
            "refresh_token_expired",
            "refresh_token_reused",
            "refresh_token_invalidated",
            "invalid_refresh_token",
            "token_expired",
        )
        for status in (400, 401, 403)
    ),
    Case("a code in capitals", refused(400, {"code": "REFRESH_TOKEN_REUSED"}), SignInAgainError),
    Case("invalid_grant", refused(400, {"error": "invalid_grant"}), SignInAgainError),
    Case("401 without a code", refused(401), SignInAgainError),
    Case("401 with an unknown code", refused(401, {"error": "moonrise"}), SignInAgainError),
    Case("another 400", refused(400, {"error": "invalid_request"}), RefreshError),
    Case("403", refused(403), RefreshError),
    Case(
        "429",
        refused(429, retry_after="7", x_request_id="req-1"),
        RefreshError,
        {"status_code": 429, "request_id": "req-1", "retry_after": 7.0},
    ),
    Case("499", refused(499), RefreshError, {"status_code": 499, "unanswered": False}),
    Case(
        "an unknown client",
        refused(401, {"error": "invalid_client"}),
        RefreshError,
        {"status_code": 401},
    ),
    Case("500", refused(500), RefreshOutcomeUnknownError, {"status_code": 500}),
    Case("502, a page", Response(502, {}, b"<html>"), RefreshOutcomeUnknownError),
    Case("503", refused(503), RefreshOutcomeUnknownError),
    Case("200 without a token", refused(200, {"id_token": "secret-2"}), RefreshOutcomeUnknownError),
    Case("200 with an empty token", refused(200, {"access_token": ""}), RefreshOutcomeUnknownError),
    Case("401, a page", Response(401, {}, b"<html>"), RefreshError),
    Case("200, a page", Response(200, {}, b"<html>"), RefreshOutcomeUnknownError),
    Case("no connection", ConnectError("refused"), RefreshError, {"unanswered": True}),
    Case("disconnected", DisconnectError("gone"), RefreshOutcomeUnknownError, {"unanswered": True}),
    Case("timed out", IdleTimeoutError("silence"), RefreshOutcomeUnknownError),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_three_ways_to_fail_are_kept_apart(begin, case):
    """Rejected, temporary and unknown outcomes are told apart, and none of them shows a token."""
    with pytest.raises(OnplanError) as caught:
        begin(refreshing()).answer(case.answer)

    assert case.error is type(caught.value)
    assert "secret" not in f"{caught.value} {caught.value.to_dict()}"
    if case.error is RefreshOutcomeUnknownError:  # the sign-in may be lost
        assert "Nothing is lost" not in caught.value.hint
    for name, value in case.known.items():
        assert value == getattr(caught.value, name), name


def test_a_token_that_the_server_repeats_is_not_printed(begin):
    """An error text that quotes the refresh token back does not carry it into our sentence."""
    body = {"error": "invalid_request", "error_description": "Malformed token: secret-refresh"}

    with pytest.raises(RefreshError) as caught:
        begin(refreshing()).answer(refused(400, body))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "odd_code", "error_description": "In words."}, "In words."),
        ({"error": "odd_code"}, "odd_code"),
        ({}, "no reason given"),
    ],
    ids=["words", "a code", "nothing"],
)
def test_the_servers_own_reason_is_passed_on(begin, body, said):
    """Its words go before its code; without either the error says so."""
    with pytest.raises(RefreshError, match=said):
        begin(refreshing()).answer(refused(400, body))


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ConnectError("refused", hint="general"), False),
        (ProxyError("refused", hint="particular"), True),
    ],
    ids=["in general", "of a kind"],
)
def test_the_hint_of_a_particular_failure_is_kept(begin, error, hint):
    """What to do about a proxy is passed on; a bare failure to connect has this error's own hint."""
    with pytest.raises(RefreshError) as caught:
        begin(refreshing()).answer(error)
    assert hint is (caught.value.hint == error.hint)


def test_a_new_refresh_token_alone_is_an_answer(begin):
    """An answer without an access token is kept for its refresh token: the old one is spent."""
    found = begin(refreshing()).answer(Response(200, {}, b'{"refresh_token": "r2"}'))

    assert ("secret-access", "r2") == (found.access_token, found.refresh_token)


class TestRegisteredClients:
    """At an issuer that registers clients: forms, a resource, and another meaning of 401."""

    HELD = OAuthCredentials(access_token="a", refresh_token="secret-refresh", client_id="client-1")

    def flow(self):
        return refresh(SIWC, self.HELD, "proactive_expiry", lambda: NOW, timeout=7.0)

    def test_the_request_is_a_form(self, begin):
        """The client and the resource are named; a reason is not."""
        request = begin(self.flow()).request

        assert (SIWC.token_endpoint, 7.0) == (request.url, request.timeout)
        assert dict(parse_qsl(request.body.decode())) == {
            "client_id": "client-1",
            "grant_type": "refresh_token",
            "resource": "https://api.openai.com/v1",
            "refresh_token": "secret-refresh",
        }

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("", RefreshError),
            ("moonrise", RefreshError),
            ("invalid_client", RefreshError),
            ("invalid_grant", SignInAgainError),
            ("refresh_token_reused", SignInAgainError),
        ],
    )
    def test_401_alone_is_not_final(self, begin, code, error):
        """Only a code that says so ends the sign-in."""
        with pytest.raises(error) as caught:
            begin(self.flow()).answer(refused(401, {"error": code}))
        assert error is type(caught.value)
        assert ("onplan logout --force" in caught.value.hint) is (code == "invalid_client")


def test_a_refusal_is_of_a_public_client_unless_it_says_otherwise():
    """For a public client 401 alone is final."""
    assert SignInAgainError is type(refusal(refused(401), NOW, "r"))
    assert RefreshError is type(refusal(refused(401), NOW, "r", registered=True))


def test_a_refresh_takes_30_seconds_at_most(begin):
    """Unless the caller says otherwise."""
    assert 30.0 == begin(refreshing()).request.timeout


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("workspace_restriction", True),
        ("account_deactivated", True),
        ("unsupported_country", False),
    ],
)
def test_refusals_beyond_oauth(begin, code, ends):
    """A workspace or an account that is gone ends the sign-in; a region does not, and says what to do."""
    with pytest.raises(OnplanError) as caught:
        begin(refreshing()).answer(
            refused(403, {"error": {"code": code}}, x_request_id="req-1", retry_after="7")
        )

    assert (SignInAgainError if ends else RefreshError) is type(caught.value)
    assert (403, "req-1") == (caught.value.status_code, caught.value.request_id)
    if not ends:
        assert caught.value.hint.startswith("Nothing is lost. ")
        assert 7.0 == caught.value.retry_after
