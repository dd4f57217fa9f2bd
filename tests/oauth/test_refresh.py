from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from onplan.errors import (
    ConnectError,
    DisconnectError,
    IdleTimeoutError,
    OnplanError,
    RefreshError,
    SignInAgainError,
)
from onplan.flow import Response
from onplan.oauth.issuer import CODEX
from onplan.oauth.refresh import RefreshOutcomeUnknownError, refresh
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
        for code in ("refresh_token_expired", "refresh_token_reused", "refresh_token_invalidated")
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
    Case("500", refused(500), RefreshOutcomeUnknownError, {"status_code": 500}),
    Case("502, a page", Response(502, {}, b"<html>"), RefreshOutcomeUnknownError),
    Case("503", refused(503), RefreshOutcomeUnknownError),
    Case("200 without a token", refused(200, {"id_token": "secret-2"}), RefreshOutcomeUnknownError),
    Case("200 with an empty token", refused(200, {"access_token": ""}), RefreshOutcomeUnknownError),
    Case("401, a page", Response(401, {}, b"<html>"), RefreshError),
    Case("200, a page", Response(200, {}, b"<html>"), RefreshOutcomeUnknownError),
    Case("no connection", ConnectError("refused"), RefreshError),
    Case("disconnected", DisconnectError("gone"), RefreshOutcomeUnknownError),
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
