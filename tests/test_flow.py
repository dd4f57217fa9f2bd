from __future__ import annotations

import pytest

from onplan.errors import ConfigurationError
from onplan.flow import (
    CLIENT_REQUEST_ID,
    Request,
    Response,
    adrive,
    drive,
    is_loopback,
    request_id_of,
    require_safe_url,
)


class Sender:
    """Answers each request with the next of its answers, or raises it; writes down what happened."""

    def __init__(self, *answers):
        self._answers, self.log = list(answers), []

    def send(self, request):
        self.log.append(request.url)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds):
        self.log.append(seconds)

    async def asend(self, request):
        return self.send(request)

    async def asleep(self, seconds):
        self.sleep(seconds)


@pytest.fixture(params=["drive", "adrive"])
def carry_out(request):
    """Both drivers behave alike."""

    async def carry_out(flow, sender):
        if request.param == "drive":
            return drive(flow, sender.send, sender.sleep)
        return await adrive(flow, sender.asend, sender.asleep)

    return carry_out


async def test_a_flow_gets_its_responses_and_gives_its_result(carry_out):
    """Each response arrives at the yield that asked for it; waits come before their request."""

    def flow():
        first = yield Request("GET", "a")
        second = yield Request("GET", "b", after=2.5)
        return first.status, second.status

    sender = Sender(Response(1), Response(2))

    assert (1, 2) == await carry_out(flow(), sender)
    assert ["a", 2.5, "b"] == sender.log


async def test_a_flow_that_asks_nothing_just_returns(carry_out):
    """A flow may know its result without any request."""

    def flow():
        return 7
        yield

    assert 7 == await carry_out(flow(), Sender())


async def test_a_failure_is_thrown_where_it_was_asked_for(carry_out):
    """A flow may catch what sending raised, and ask again."""

    def flow():
        try:
            yield Request("GET", "a")
        except OSError as error:
            return (yield Request("GET", "b")).status, str(error)

    sender = Sender(OSError("no"), Response(2))

    assert (2, "no") == await carry_out(flow(), sender)
    assert ["a", "b"] == sender.log


async def test_a_flow_may_end_in_answer_to_a_failure(carry_out):
    """What a flow returns after a failure is its result."""

    def flow():
        try:
            yield Request("GET", "a")
        except OSError:
            return "gave up"

    assert "gave up" == await carry_out(flow(), Sender(OSError()))


async def test_a_failure_that_nobody_catches_comes_out(carry_out):
    """A flow that does not expect a failure is ended by it, and cleans up."""
    cleaned = []

    def flow():
        try:
            yield Request("GET", "a")
        finally:
            cleaned.append("up")

    with pytest.raises(OSError, match="no"):
        await carry_out(flow(), Sender(OSError("no")))
    assert ["up"] == cleaned


class TestRequests:
    def test_a_form_keeps_its_order(self):
        """Form fields are sent in their order, encoded."""
        request = Request.form("https://example.org/", {"b": "1 2", "a": "é&"}, timeout=5.0)

        assert ("POST", b"b=1+2&a=%C3%A9%26", 5.0) == (request.method, request.body, request.timeout)
        assert "application/x-www-form-urlencoded" == request.headers["content-type"]

    def test_json_keeps_its_order(self):
        """JSON is compact and in its order; headers may be added."""
        request = Request.json("https://example.org/", {"b": 1, "a": "é"}, headers={"x": "y"})

        assert '{"b":1,"a":"é"}'.encode() == request.body
        assert {"content-type": "application/json", "accept": "*/*", "x": "y"} == request.headers

    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            ("https://example.org/secret?secret#secret", "https://example.org"),
            ("http://127.0.0.1:8080/secret", "http://127.0.0.1:8080"),
            ("https://secret:secret@example.org/", "https://example.org"),
        ],
    )
    def test_an_origin_holds_no_secret(self, url, origin):
        """For sentences, a URL is its scheme and host."""
        assert origin == Request("GET", url).origin

    def test_headers_and_bodies_are_not_printed(self):
        """The printed forms of requests and responses show no header and no body."""
        headers = {"authorization": "secret"}

        assert "secret" not in repr(Request("GET", "https://example.org", headers, b"secret"))
        assert "secret" not in repr(Response(200, headers, b"secret"))

    @pytest.mark.parametrize(
        ("body", "value"),
        [(b'{"a":1}', {"a": 1}), (b"", None), (b"<html>", None), (b"\xff", None), (b'"\xff"', None)],
    )
    def test_a_body_that_is_no_json_is_none(self, body, value):
        """A body reads as JSON, or as None."""
        assert value == Response(200, {}, body).json()

    @pytest.mark.parametrize(
        ("status", "ok"),
        [(199, False), (200, True), (204, True), (299, True), (300, False), (302, False), (404, False)],
    )
    def test_ok_is_2xx(self, status, ok):
        """Only 2xx is success."""
        assert ok is Response(status).ok


@pytest.mark.parametrize(
    "url", ["localhost:11434", "127.0.0.1:11434/v1", "foo", "http://", "https://h/v1?key=k"]
)
def test_an_address_that_is_no_whole_url_is_answered_with_how_one_is_written(url):
    """A server's address without its scheme, as people type it, is refused with an example."""
    with pytest.raises(ConfigurationError, match="The base URL must be a URL") as caught:
        require_safe_url(url, "The base URL")
    assert "http://127.0.0.1:PORT/PATH" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://h.example/v1/", "https://h.example/v1"),
        ("https://h.example", "https://h.example"),
        ("https://h.example:8443/a/b//", "https://h.example:8443/a/b"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("http://127.9.9.9:1", "http://127.9.9.9:1"),
        ("http://[::1]:1", "http://[::1]:1"),
        ("https://h.example/X", "https://h.example/X"),
    ],
)
def test_an_address_that_is_safe(url, found):
    """https to anywhere, and http to this machine, without the slash at the end."""
    assert require_safe_url(url, "The base URL") == found


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h.example/v1", "could be read"),
        ("http://128.0.0.1", "could be read"),
        ("http://localhost.example", "could be read"),
        ("ftp://127.0.0.1", "could be read"),
        ("httpsx://h.example", "could be read"),
        ("https://h.example:port", "is not a URL"),
        ("https://h.example:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://user@h.example", "nothing else"),
        ("https://:secret@h.example", "nothing else"),
        ("https://h.example/#x", "nothing else"),
        ("https://h.example/?x=1", "nothing else"),
        ("https:///v1", "nothing else"),
        ("https://h .example", "nothing else"),
        ("https://h.example ", "nothing else"),
        (" https://h.example", "nothing else"),
        ("https://h.example\t", "nothing else"),
        ("https://h\n.example", "nothing else"),
        ("https://h.ex\x00ample", "nothing else"),
        ("https://h.ex\x7fample", "nothing else"),
        ("https://h.example\u3000", "nothing else"),
        ("", "nothing else"),
    ],
)
def test_an_address_that_is_not(url, says):
    """A token is not sent where others could read it, nor to what is no plain URL; the source is named."""
    with pytest.raises(ConfigurationError, match=f"^ONPLAN_ISSUER.*{says}") as caught:
        require_safe_url(url, "ONPLAN_ISSUER")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("h.example", False),
        ("", False),
    ],
)
def test_what_is_this_machine(host, here):
    """The name localhost and loopback addresses, and nothing else."""
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-request-id": "a", "x-oai-request-id": "b", "openai-request-id": "c"}, "a"),
        ({"x-oai-request-id": "b", "openai-request-id": "c"}, "b"),
        ({"openai-request-id": "c"}, "c"),
        ({"x-request-id": "", "openai-request-id": "c"}, "c"),
        ({"request-id": "d"}, None),
        ({}, None),
    ],
)
def test_the_id_of_a_request(headers, found):
    """It is found by each name that the services give it."""
    assert request_id_of(headers) == found


def test_what_a_request_and_a_response_are_without_more():
    """A request waits for nothing, takes 30 s at most, and has no header or body; nor has a response."""
    request = Request("GET", "https://h.example")

    assert (request.after, request.timeout, request.encoding, request.body) == (0.0, 30.0, None, None)
    assert (dict(request.headers), Response(200).body, dict(Response(200).headers)) == ({}, b"", {})
    assert Request.form("https://h.example", {}).headers["accept"] == "*/*"


def test_the_header_that_names_a_request():
    """OpenAI's services log the client's own id of a request by this header."""
    assert CLIENT_REQUEST_ID == "x-client-request-id"
