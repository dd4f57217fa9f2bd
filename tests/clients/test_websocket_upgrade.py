"""The request that opens a WebSocket, and answers to it as bytes."""

from __future__ import annotations

import re

import pytest
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from onplan import DisconnectError, TransportError
from onplan.emulator.wire import frames
from onplan.flow import Request
from onplan.transports.websocket_upgrade import LONGEST_BODY, LONGEST_HEAD, Upgrade

from ..conftest import source_locals

ORIGIN = "https://server.test"


def upgrade(headers: dict[str, str] | None = None, url: str = "/responses?x=1") -> tuple[Upgrade, bytes]:
    """One that is asked for, and the request."""
    opening = Upgrade(ClientProtocol(parse_uri("wss://server.test" + url)), ORIGIN)
    return opening, opening.request(Request("GET", ORIGIN + url, headers or {}))


def answered(template: bytes, size: int | None) -> tuple[Upgrade, bytes]:
    """What an answer makes of it, and what follows its head. ``ACCEPT`` stands for the answer to its key."""
    opening, request = upgrade()
    (key,) = re.findall(rb"Sec-WebSocket-Key: (.*)\r\n", request)
    data = template.replace(b"ACCEPT", frames.accept_key(key.decode()).encode())
    rest = b""
    step = size or len(data) or 1
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        rest += piece if opening.head and opening.head.status == 101 else opening.feed(piece)
    return opening, rest


OPEN = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
ACCEPTED = OPEN + b"Sec-WebSocket-Accept: ACCEPT\r\n"
SIZES = [1, 2, 7, 4_096, None]

OPENED: dict[str, tuple[bytes, bytes]] = {
    "plain": (ACCEPTED + b"\r\n", b""),
    "with a frame behind it": (ACCEPTED + b"\r\n\x81\x02{}", b"\x81\x02{}"),
    "with more behind it than a head may have": (
        ACCEPTED + b"\r\n" + b"\x8a\x00" * 50_000,
        b"\x8a\x00" * 50_000,
    ),
    "in small letters": (
        ACCEPTED.lower().replace(b"http", b"HTTP").replace(b"accept: accept", b"accept: ACCEPT") + b"\r\n",
        b"",
    ),
    "after one of an unknown kind": (b"HTTP/1.1 199 X\r\n\r\n" + ACCEPTED + b"\r\n", b""),
    "after informational responses": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ACCEPTED + b"\r\n",
        b"",
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", OPENED)
def test_what_opens_it(case: str, size: int | None) -> None:
    """An answer that opens the connection gives its head, and what follows it, however it is split."""
    answer, expected = OPENED[case]
    answer = answer.replace(b"\r\n\r\n", b"\r\nX-Request-Id: r\r\n\r\n")
    opening, rest = answered(answer, size)

    assert opening.finished
    assert opening.head
    assert (opening.head.status, opening.head.headers["x-request-id"], rest) == (101, "r", expected)


REFUSED: dict[str, tuple[bytes, int, bytes, bool]] = {
    "a length": (b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhello", 403, b"hello", True),
    "no body": (b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", 426, b"", True),
    "none by its status": (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304, b"", True),
    "chunks": (
        b"HTTP/1.1 429 No\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: t\r\n\r\n",
        429,
        b"hello",
        True,
    ),
    "until the end": (b"HTTP/1.1 500 No\r\n\r\nhello", 500, b"hello", False),
    "of an old server": (b"HTTP/1.0 502 Bad Gateway\r\n\r\nhello", 502, b"hello", False),
    "a redirect": (
        b"HTTP/1.1 307 X\r\nLocation: wss://other.test/\r\nContent-Length: 0\r\n\r\n",
        307,
        b"",
        True,
    ),
    "an answer in HTTP": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
    "cut short": (b"HTTP/1.1 403 No\r\nContent-Length: 50\r\n\r\nhello", 403, b"hello", False),
    "chunks that break off": (
        b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nxyz\r\n",
        403,
        b"hel",
        True,
    ),
    "after informational responses": (
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
        401,
        b"",
        True,
    ),
    "a body of as much as is read": (
        b"HTTP/1.1 403 No\r\n\r\n" + b"x" * LONGEST_BODY,
        403,
        b"x" * LONGEST_BODY,
        True,
    ),
    "a body without end": (
        b"HTTP/1.1 403 No\r\n\r\n" + b"x" * (LONGEST_BODY + 9),
        403,
        b"x" * LONGEST_BODY,
        True,
    ),
    "a body that is announced as endless": (
        b"HTTP/1.1 403 No\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * (LONGEST_BODY + 9),
        403,
        b"x" * LONGEST_BODY,
        True,
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", REFUSED)
def test_what_refuses_it(case: str, size: int | None) -> None:
    """A refusal gives its status and its body, or the beginning of that, and no redirect is followed."""
    answer, status, body, finished = REFUSED[case]
    answer = answer.replace(b"\r\n", b"\r\nX-Request-Id: r\r\n", 1)
    opening, rest = answered(answer, size)

    assert opening.head
    assert (opening.head.status, opening.head.headers.get("x-request-id"), opening.body, rest) == (
        status,
        None if case == "after informational responses" else "r",
        body,
        b"",
    )
    assert opening.finished is finished
    opening.close()
    assert opening.finished


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "case",
    [
        "another protocol",
        "TLS",
        "a header without end",
        "headers without end",
        "informational responses without end",
    ],
)
def test_what_will_be_no_answer_is_known_before_the_end(case: str, size: int | None) -> None:
    """A server that goes on for ever is not listened to for ever."""
    with pytest.raises(DisconnectError, match="did not open a WebSocket"):
        answered(NO_ANSWER[case], size)


@pytest.mark.parametrize(("length", "taken"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_how_long_a_head_may_be(length: int, taken: bool) -> None:
    """64 KiB with the line that ends it."""
    lines = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n" + b"".join(
        b"X: %b\r\n" % (b"x" * 1_000) for _ in range(60)
    )
    head = lines + b"Y: %b\r\n\r\n" % (b"y" * (length - len(lines) - 7))
    assert len(head) == length

    if taken:
        assert answered(head, None)[0].finished
    else:
        with pytest.raises(DisconnectError):
            answered(head, None)


def test_a_read_of_nothing_ends_no_refusal() -> None:
    """Only the server's closing does."""
    opening, _ = answered(REFUSED["until the end"][0], None)

    assert opening.feed(b"") == b""
    assert not opening.finished
    assert opening.feed(b" again") == b""
    assert opening.body == b"hello again"


def test_what_follows_a_complete_refusal_is_not_read() -> None:
    """Its body has the length that was announced."""
    opening, _ = answered(REFUSED["a length"][0], None)

    assert opening.feed(b"HTTP/1.1 200 OK\r\n\r\n") == b""
    assert (opening.finished, opening.body) == (True, b"hello")


NO_ANSWER: dict[str, bytes] = {
    "nothing": b"",
    "half a head": ACCEPTED,
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "another version": b"HTTP/2 101 Switching Protocols\r\n\r\n",
    "an old version": ACCEPTED.replace(b"1.1", b"1.0") + b"\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 10 OK\r\n\r\n",
    "a status that there is not": b"HTTP/1.1 999 X\r\n\r\n",
    "no key": OPEN + b"\r\n",
    "another key": OPEN + b"Sec-WebSocket-Accept: AAAA\r\n\r\n",
    "two keys": ACCEPTED + b"Sec-WebSocket-Accept: ACCEPT\r\n\r\n",
    "no upgrade": ACCEPTED.replace(b"Upgrade: websocket\r\n", b"") + b"\r\n",
    "another upgrade": ACCEPTED.replace(b"websocket", b"h2c") + b"\r\n",
    "no connection": ACCEPTED.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n",
    "compression, which was not offered": ACCEPTED + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    "a subprotocol that was not offered": ACCEPTED + b"Sec-WebSocket-Protocol: chat\r\n\r\n",
    "a header that is none": ACCEPTED + b"no colon\r\n\r\n",
    "a refusal with a header that is none": b"HTTP/1.1 403 No\r\nX: \x00\r\n\r\n",
    "a header without end": ACCEPTED + b"X: " + b"x" * LONGEST_HEAD,
    "a very long header": ACCEPTED + b"X: " + b"x" * LONGEST_HEAD + b"\r\n\r\n",
    "headers without end": ACCEPTED + b"X: a\r\n" * (LONGEST_HEAD // 6),
    "too many headers": ACCEPTED + b"X: a\r\n" * 1_000 + b"\r\n",
    "too many informational responses before an answer": b"HTTP/1.1 100 Continue\r\n\r\n"
    * (LONGEST_HEAD // 20)
    + ACCEPTED
    + b"\r\n",
    "informational responses without end": b"HTTP/1.1 100 Continue\r\n\r\n" * (LONGEST_HEAD // 20),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", NO_ANSWER)
def test_what_is_no_answer(case: str, size: int | None) -> None:
    """What no WebSocket server says, a head that is too long, and silence are a failure of the connection."""

    def hear() -> None:
        opening, _ = answered(NO_ANSWER[case], size)
        assert opening.head is None
        opening.close()

    with pytest.raises(DisconnectError, match="did not open a WebSocket"):
        hear()


def test_the_request() -> None:
    """It asks for the path and the query, names the host once, and ends where a head does."""
    _, request = upgrade({"authorization": "Bearer t", "x-name": "caf\xe9"})
    line, *lines = request.split(b"\r\n")

    assert line == b"GET /responses?x=1 HTTP/1.1"
    assert lines[-2:] == [b"", b""]
    assert lines.count(b"") == 2
    assert not upgrade()[0].finished
    assert [entry for entry in lines if entry.lower().startswith(b"host:")] == [b"Host: server.test"]
    assert {b"authorization: Bearer t", b"x-name: caf\xe9", b"Sec-WebSocket-Version: 13"} < set(lines)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\x00", "\u20ac", "a\x7f"])
@pytest.mark.parametrize("name", ["x-name", "a\r\nb"])
def test_a_header_that_cannot_be_sent(name: str, value: str) -> None:
    """A header that would begin another one, or that no header can hold, is not sent, nor shown."""
    with pytest.raises(TransportError, match="could not be written") as caught:
        upgrade({"authorization": "Bearer secret-token", name: value})

    assert not [frame for frame in source_locals(caught.value) if "secret-token" in str(frame)]


def test_the_request_is_not_printed() -> None:
    """The bytes of the request, which hold the token, have no printed form."""
    _, request = upgrade({"authorization": "Bearer secret-token"})

    assert b"secret-token" in request
    assert "secret-token" not in repr(request)
