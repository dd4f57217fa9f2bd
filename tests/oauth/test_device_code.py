from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pytest

from onplan.errors import ConnectError, DisconnectError, IdleTimeoutError, SignInError
from onplan.flow import Response, drive
from onplan.oauth.device_code import DeviceAuthorization, poll, request_code
from onplan.oauth.issuer import CODEX

from ..conftest import source_locals

NOW = 1_800_000_000.0
HERE = CODEX.at("http://127.0.0.1:8787")
PENDING = Response(403, {}, b'{"error": {"code": "deviceauth_authorization_unknown", "message": "?"}}')
STARTED = {"device_auth_id": "secret-id", "user_code": "ABCD-12345", "interval": "5"}
GRANTED = {"authorization_code": "secret-code", "code_challenge": "c", "code_verifier": "secret-verifier"}
TOKENS = {"access_token": "secret-access", "refresh_token": "secret-refresh"}
WAITING = DeviceAuthorization(
    verification_uri="http://127.0.0.1:8787/codex/device",
    user_code="ABCD-12345",
    device_auth_id="secret-id",
    interval=5.0,
    expires_at=NOW + 900,
)


def reply(value, status=200, **headers):
    return Response(status, headers, json.dumps(value).encode())


def failed(error, status=400):
    return reply({"error": error}, status)


class Stage:
    """A service that answers as it was told to, and again and again with the last; and a clock."""

    def __init__(self, *answers, seconds_per_answer=0.0):
        self.now, self.requests = NOW, []
        self._answers, self._seconds = list(answers), seconds_per_answer

    def send(self, request):
        self.requests.append(request)
        self.now += self._seconds
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds):
        self.now += seconds

    def start(self, issuer=HERE):
        return drive(request_code(issuer, lambda: self.now), self.send, self.sleep)

    def poll(self, authorization=WAITING):
        return drive(poll(HERE, authorization, lambda: self.now), self.send, self.sleep)

    @property
    def waits(self):
        return [request.after for request in self.requests]


class TestStart:
    def test_the_request_is_the_recorded_one(self, recording):
        """A code is asked for as the official client does, byte for byte."""
        recorded = next(r for r in recording("login_device") if r["path"].endswith("/usercode"))
        stage = Stage(reply(STARTED))
        stage.start()
        (request,) = stage.requests

        assert recorded["body"]["json"].keys() == json.loads(request.body).keys()
        assert {"client_id": CODEX.client_id} == json.loads(request.body)
        assert ("POST", f"http://127.0.0.1:8787{recorded['path']}") == (request.method, request.url)
        assert "application/json" == request.headers["content-type"]

    def test_what_the_person_is_told(self):
        """The address is the issuer's page, and the code can be entered for 15 minutes from the start."""
        started = Stage(reply(STARTED), seconds_per_answer=2.0).start()

        assert "http://127.0.0.1:8787/codex/device" == started.verification_uri
        assert ("ABCD-12345", NOW + 900) == (started.user_code, started.expires_at)

    def test_the_code_has_two_names(self):
        """``usercode`` is understood like ``user_code``."""
        answer = {"device_auth_id": "d", "usercode": "WXYZ-12345"}

        assert "WXYZ-12345" == Stage(reply(answer)).start().user_code

    @pytest.mark.parametrize(
        ("interval", "seconds"),
        [
            ("5", 5.0),
            (5, 5.0),
            (" 7.5 ", 7.5),
            (2.5, 2.5),
            (0.01, 1.0),
            ("0", 5.0),
            (-3, 5.0),
            ("soon", 5.0),
            ("", 5.0),
            (None, 5.0),
            (True, 5.0),
            ([5], 5.0),
            ("nan", 5.0),
            ("1e999", 5.0),
            (86_400, 60.0),
        ],
    )
    def test_the_interval_is_a_number_or_text(self, interval, seconds):
        """Either is understood, nonsense is 5 seconds; never less than 1 nor more than 60."""
        assert seconds == Stage(reply({**STARTED, "interval": interval})).start().interval

    def test_without_an_interval_it_is_five_seconds(self):
        """As RFC 8628 says."""
        answer = {"device_auth_id": "d", "user_code": "c"}

        assert 5.0 == Stage(reply(answer)).start().interval

    def test_where_it_is_not_enabled_there_is_another_way(self):
        """404 says that the service has no device sign-in, and what to type instead."""
        with pytest.raises(SignInError, match="not enabled") as caught:
            Stage(reply({}, 404)).start()

        assert "onplan login --paste" in caught.value.hint

    @pytest.mark.parametrize(
        "answer",
        [
            Response(500),
            failed("invalid_client"),
            Response(200, {}, b"OK"),
            reply([]),
            reply({}),
            reply({"device_auth_id": "d"}),
            reply({"user_code": "c"}),
            reply({"device_auth_id": 1, "user_code": "c"}),
            reply({"device_auth_id": "d", "user_code": "\x1b[2J"}),
        ],
        ids=str,
    )
    def test_what_is_no_code_is_an_error(self, answer):
        """Refusals, pages and broken answers, also a code that would steer the terminal, are told."""
        with pytest.raises(SignInError, match="did not issue a code"):
            Stage(answer).start()

    def test_a_network_failure_is_passed_on(self):
        """Where the server cannot be reached, the failure is the network's."""
        with pytest.raises(ConnectError):
            Stage(ConnectError("no")).start()

    def test_its_secrets_are_not_printed(self):
        """The printed form of a sign-in that waits has nothing with which it could be taken over."""
        printed = repr(Stage(reply(STARTED)).start())

        assert "secret" not in printed
        assert "ABCD" not in printed


@dataclass
class Ending:
    id: str
    answer: Response
    says: str


ENDINGS = [
    Ending("declined", failed("access_denied"), "declined"),
    Ending("declined with 403", failed("access_denied", 403), "declined"),
    Ending("expired", failed("expired_token"), "expired"),
    Ending("expired, as a server may say it", failed("expired_token", 403), "within 15 minutes"),
    Ending("unknown error", reply({"error": "moonrise", "error_description": "The moon rose"}, 400), "moon"),
    Ending("401", Response(401), "HTTP 401"),
    Ending("not JSON", Response(200, {}, b"OK"), "no code"),
    Ending("a code with a refusal", reply(GRANTED, 400), "HTTP 400"),
    Ending("half an answer", reply({"authorization_code": "secret-code"}), "no code"),
    Ending("repeats the id", reply({"error": "x", "error_description": "secret-id?"}, 400), "…?"),
]


class TestPoll:
    def test_the_requests_are_the_recorded_ones(self, recording):
        """Polls and exchange have the bodies of the official client, and its redirect URI."""
        rows = recording("login_device")
        recorded = next(r for r in rows if r["path"].endswith("/deviceauth/token"))
        exchange = next(r for r in rows if r["path"] == "/oauth/token")["body"]["form"]
        stage = Stage(PENDING, reply(GRANTED), reply(TOKENS))
        found = stage.poll()
        first, _, last = stage.requests

        body = json.loads(first.body)
        assert list(recorded["body"]["json"]) == list(body)
        assert {"device_auth_id": "secret-id", "user_code": "ABCD-12345"} == body
        assert f"http://127.0.0.1:8787{recorded['path']}" == first.url
        sent = dict(parse_qsl(last.body.decode(), strict_parsing=True))
        assert list(exchange) == list(sent)
        assert "http://127.0.0.1:8787/deviceauth/callback" == sent["redirect_uri"]
        assert ("secret-code", "secret-verifier") == (sent["code"], sent["code_verifier"])
        assert ("secret-access", "secret-refresh") == (found.access_token, found.refresh_token)

    def test_it_asks_at_once_and_then_in_intervals(self):
        """403, 404 and authorization_pending all mean: not yet."""
        pending = [PENDING, Response(404), failed("authorization_pending"), failed("authorization_pending")]
        stage = Stage(*pending, reply(GRANTED), reply(TOKENS))
        stage.poll()

        assert [0.0, 5.0, 5.0, 5.0, 5.0, 0.0] == stage.waits

    def test_slow_down_lengthens_every_interval(self):
        """Each slow_down, and each 429, adds five seconds from then on; Retry-After may add more once."""
        answers = [failed("slow_down"), PENDING, Response(429), reply({}, 429, **{"retry-after": "40"})]
        page = Response(429, {}, b"<html>Too many requests")
        stage = Stage(*answers, PENDING, page, reply(GRANTED), reply(TOKENS))
        stage.poll()

        assert [0.0, 10.0, 10.0, 15.0, 40.0, 20.0, 25.0, 0.0] == stage.waits

    def test_failures_that_pass_are_lived_through(self):
        """No network, no answer and 5xx only make the pauses longer, until there is an answer again."""
        answers = [ConnectError("no"), Response(500), IdleTimeoutError("no"), PENDING, DisconnectError("no")]
        stage = Stage(*answers, reply(GRANTED), reply(TOKENS))

        assert "secret-access" == stage.poll().access_token
        assert [0.0, 10.0, 20.0, 40.0, 5.0, 10.0, 0.0] == stage.waits

    def test_a_network_that_stays_away_ends_it(self):
        """After ten failures in a row the last one is told."""
        stage = Stage(ConnectError("no route"))
        with pytest.raises(ConnectError, match="no route"):
            stage.poll()

        assert 10 == len(stage.requests)
        assert 60.0 == max(stage.waits)

    def test_a_server_that_stays_broken_ends_it(self):
        """The same for 5xx."""
        with pytest.raises(SignInError, match="HTTP 503"):
            Stage(Response(503)).poll()

    def test_it_ends_after_fifteen_minutes(self):
        """Polling ends when the code has expired, however slow the answers were."""
        for seconds in (0.0, 0.7, 20.0):
            stage = Stage(PENDING, seconds_per_answer=seconds)
            with pytest.raises(SignInError, match="within 15 minutes") as caught:
                stage.poll()

            assert NOW + 895 - seconds <= stage.now <= NOW + 900 + seconds
            assert "onplan login --device" in caught.value.hint

    def test_at_the_end_the_last_failure_is_told(self):
        """If the network was down when the code expired, the error is about the network."""
        answers = [PENDING] * 175
        with pytest.raises(ConnectError):
            Stage(*answers, ConnectError("no")).poll()

    @pytest.mark.parametrize("case", ENDINGS, ids=lambda case: case.id)
    def test_what_ends_it_is_told(self, case):
        """Declined, expired or refused: one sentence, without a secret, and no further poll."""
        stage = Stage(case.answer)
        with pytest.raises(SignInError, match=case.says) as caught:
            stage.poll()

        assert 1 == len(stage.requests)
        assert "secret" not in str(caught.value)

    def test_a_failing_exchange_is_told(self):
        """Where the code is refused, the error is that of the exchange, and its frames show no secret."""
        with pytest.raises(SignInError, match="refused") as caught:
            Stage(reply(GRANTED), failed("invalid_grant")).poll()

        shown = source_locals(caught.value)
        assert shown
        assert "secret" not in str(shown)
