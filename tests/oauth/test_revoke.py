from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pytest

from onplan.errors import ConnectError, DisconnectError, IdleTimeoutError
from onplan.flow import Response, drive
from onplan.oauth.issuer import CODEX, SIWC
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


class TestDiscovery:
    """At an issuer whose endpoint is in its description of itself (OpenID Connect Discovery 1.0 §4)."""

    HELD = OAuthCredentials(access_token="a", refresh_token="r", client_id="client-1")
    ENDPOINT = f"{SIWC.url}/revoke"

    def play(self, *answers, held=HELD):
        left, requests = list(answers), []

        def send(request):
            requests.append(request)
            return left.pop(0)

        return requests, drive(revoke(SIWC, held), send, lambda seconds: None)

    def document(self, **members):
        return Response(200, {}, json.dumps(members).encode())

    def test_the_endpoint_is_asked_for(self):
        """The description is fetched, then the token goes to the endpoint that it names, as a form."""
        requests, confirmed = self.play(self.document(revocation_endpoint=self.ENDPOINT), Response(200))

        assert confirmed
        assert [("GET", SIWC.configuration_url), ("POST", self.ENDPOINT)] == [
            (request.method, request.url) for request in requests
        ]
        assert {"token": "r", "token_type_hint": "refresh_token", "client_id": "client-1"} == dict(
            parse_qsl(requests[1].body.decode())
        )
        assert [0.0, 0.0] == [request.after for request in requests]
        assert [10.0, 10.0] == [request.timeout for request in requests]

    def test_an_access_token_is_revoked_in_the_clients_name(self):
        """Where forms are sent, the client is named beside an access token as well."""
        held = OAuthCredentials(access_token="a")
        requests, _ = self.play(self.document(revocation_endpoint=self.ENDPOINT), Response(200), held=held)

        assert {"token": "a", "token_type_hint": "access_token", "client_id": SIWC.client_id} == dict(
            parse_qsl(requests[1].body.decode())
        )

    @pytest.mark.parametrize(
        "document",
        [
            Response(503),
            Response(500, {}, json.dumps({"revocation_endpoint": f"{SIWC.url}/revoke"}).encode()),
            Response(200, {}, b"[]"),
            Response(200, {}, b"{}"),
            Response(200, {}, json.dumps({"revocation_endpoint": 7}).encode()),
            Response(200, {}, json.dumps({"revocation_endpoint": "https://x.example/revoke"}).encode()),
            Response(200, {}, json.dumps({"revocation_endpoint": f"{SIWC.url}.example/revoke"}).encode()),
        ],
        ids=["503", "500 with it", "a list", "none", "a number", "a stranger's", "almost the issuer's"],
    )
    def test_without_an_endpoint_of_its_own_nothing_is_sent(self, document):
        """No token goes to another host; the description is asked for three times, with growing pauses."""
        requests, confirmed = self.play(document, document, document)

        assert not confirmed
        assert {"GET"} == {request.method for request in requests}
        assert [0.0, 0.5, 1.5] == [request.after for request in requests]

    def test_once_known_it_is_not_asked_for_again(self):
        """After a failure of the endpoint only the revocation is repeated, after the pause."""
        answers = [
            Response(503),
            self.document(revocation_endpoint=self.ENDPOINT),
            Response(503),
            Response(200),
        ]
        requests, confirmed = self.play(*answers)

        assert confirmed
        assert ["GET", "GET", "POST", "POST"] == [request.method for request in requests]
        assert [0.0, 0.5, 0.0, 1.5] == [request.after for request in requests]
