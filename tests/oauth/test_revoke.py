from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from onplan.errors import ConnectError, DisconnectError, IdleTimeoutError
from onplan.flow import Response, drive
from onplan.oauth.issuer import CODEX
from onplan.oauth.revoke import revoke
from onplan.types import OAuthCredentials

HELD = OAuthCredentials(access_token="secret-access", refresh_token="secret-refresh")


def play(answers, held=HELD):
    """The requests that a sign-out sends to a server that answers so, and whether it was confirmed."""
    left, requests = list(answers), []

    def send(request):
        requests.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return requests, drive(revoke(CODEX, held), send, lambda seconds: None)


def test_the_recorded_body(recording, begin):
    """Signing out sends the body of the official client, byte for byte, and waits as long."""
    recorded = next(r for r in recording("logout") if r["path"] == "/oauth/revoke")
    body = recorded["body"]["json"]

    request = begin(revoke(CODEX, OAuthCredentials(access_token="a", refresh_token=body["token"]))).request

    assert list(body.items()) == list(json.loads(request.body).items())
    assert recorded["body"]["len"] == len(request.body)
    assert "https://auth.openai.com/oauth/revoke" == request.url
    assert 10.0 == request.timeout
    assert "secret" not in repr(begin(revoke(CODEX, HELD)).request)


def test_without_a_refresh_token_the_access_token_is_revoked(begin):
    """What there is is given back."""
    request = begin(revoke(CODEX, OAuthCredentials(access_token="a"))).request

    assert {"token": "a", "token_type_hint": "access_token"} == json.loads(request.body)


@dataclass
class Case:
    id: str
    answers: list[Response | Exception]
    confirmed: bool


CASES = [
    Case("confirmed", [Response(200)], confirmed=True),
    Case("confirmed without a body", [Response(204)], confirmed=True),
    Case("refused", [Response(400)], confirmed=False),
    Case("unauthorized", [Response(401)], confirmed=False),
    Case("500, then confirmed", [Response(500), Response(200)], confirmed=True),
    Case("429, then refused", [Response(429), Response(400)], confirmed=False),
    Case("away twice, then confirmed", [ConnectError("no"), IdleTimeoutError("no"), Response(200)], True),
    Case("always 503", [Response(503)] * 3, confirmed=False),
    Case("always away", [ConnectError("no"), DisconnectError("no"), ConnectError("no")], confirmed=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_only_what_may_pass_is_tried_again(case):
    """A refusal is final; a server that is away or in trouble is asked three times; nothing is raised."""
    requests, confirmed = play(case.answers)

    assert case.confirmed is confirmed
    assert len(case.answers) == len(requests)


def test_the_time_it_may_take_is_bounded():
    """The pauses grow, and pauses and limits together are no more than 22 seconds."""
    requests, _ = play([Response(500)] * 3)

    assert [0.0, 0.5, 1.5] == [request.after for request in requests]
    assert 22 == sum(request.after + request.timeout for request in requests)


def test_a_token_never_leaves_for_a_stranger():
    """A credential that names an issuer without encryption is not sent there, and signing out goes on."""
    held = OAuthCredentials(access_token="a", refresh_token="r", issuer="http://issuer.example.com")

    assert ([], False) == play([], held)
