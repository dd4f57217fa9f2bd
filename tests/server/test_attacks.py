"""Requests that must not get in, over real sockets: none reaches the service, and the server goes on."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import zstandard

from onplan.server.connection import Bounds
from onplan.server.guard import Head
from onplan.server.keys import hash_of, keys_of
from onplan.server.options import ServerOptions

from ..conftest import eventually
from .conftest import KEY, Running, Stub

Serve = Callable[..., Running]
JSON = "content-type: application/json"
BEARER = f"authorization: Bearer {KEY}"
HOST = "host: 127.0.0.1"
POST = "POST /v1/responses HTTP/1.1"


@dataclass(frozen=True)
class Attack:
    """What is sent, and the status with which it is refused.

    Attributes:
        name: what it tries.
        lines: of the head.
        status: of the reply; several where parsers may differ.
        body: after the head.
        code: of the error, where it is one of ours.
    """

    name: str
    lines: tuple[str, ...]
    status: tuple[int, ...]
    body: bytes = b"{}"
    code: str | None = None

    def sent(self) -> bytes:
        """The bytes."""
        return "\r\n".join([*self.lines, "", ""]).encode("latin-1") + self.body


def post(
    name: str, *lines: str, status: int, code: str | None = None, host: str = HOST, key: str = BEARER
) -> Attack:
    """A POST that would be answered but for ``lines``, ``host`` or ``key``."""
    head = [line for line in (POST, host, key, *lines, "content-length: 2", "connection: close") if line]
    if not any(line.lower().startswith("content-type") for line in lines):
        head.append(JSON)
    return Attack(name, tuple(head), (status,), code=code)


def get(name: str, target: str, *lines: str, status: tuple[int, ...], code: str | None = None) -> Attack:
    """A GET with the key."""
    head = (f"GET {target} HTTP/1.1", HOST, BEARER, *lines, "connection: close")
    return Attack(name, head, status, b"", code)


BASIC = base64.b64encode(b"user:wrong").decode()
ATTACKS = [
    # --- names and pages -----------------------------------------------------------------------------
    post("a name that points here", host="host: evil.example", status=421, code="host_not_allowed"),
    post("such a name with our port", host="host: evil.example:8399", status=421, code="host_not_allowed"),
    post("a name that begins as ours", host="host: 127.0.0.1.evil.example", status=421),
    post("a user part in Host", host="host: 127.0.0.1@evil.example", status=421),
    post("a path in Host", host="host: 127.0.0.1/evil", status=421),
    post("two names in one Host", host="host: 127.0.0.1, evil.example", status=421),
    post("another loopback address", host="host: 127.0.0.2", status=421),
    post("an empty Host", host="host:", status=421),
    post("no Host", host="", status=421),
    post("two Hosts", "host: evil.example", status=400),
    post("a page of another origin", "origin: https://evil.example", status=403, code="origin_not_allowed"),
    post("a page of this origin", "origin: http://127.0.0.1", status=403, code="origin_not_allowed"),
    post("a page without an origin", "origin: null", status=403, code="origin_not_allowed"),
    post("an empty origin", "origin:", status=403, code="origin_not_allowed"),
    post("two origins", "origin: null", "origin: null", status=400),
    Attack(
        "a preflight",
        (
            "OPTIONS /v1/responses HTTP/1.1",
            HOST,
            "origin: https://evil.example",
            "access-control-request-method: POST",
            "connection: close",
        ),
        (403,),
        b"",
        "origin_not_allowed",
    ),
    Attack("OPTIONS for all", ("OPTIONS * HTTP/1.1", HOST, BEARER, "connection: close"), (400,), b""),
    # --- what a page may send without asking ------------------------------------------------------------
    post("text/plain", "content-type: text/plain", status=415, code="unsupported_media_type"),
    post("a form", "content-type: application/x-www-form-urlencoded", status=415),
    post("a form with files", "content-type: multipart/form-data; boundary=x", status=415),
    post("JSON within text", "content-type: text/plain; application/json", status=415),
    post("no Content-Type", "content-type:", status=415),
    post("two Content-Types", "content-type: text/plain", JSON, status=400),
    # --- keys ---------------------------------------------------------------------------------------------
    post("no key", key="", status=401, code="invalid_api_key"),
    post("a wrong key", key="authorization: Bearer sk-onplan-wrong", status=401, code="invalid_api_key"),
    post("the beginning of the key", key=f"authorization: Bearer {KEY[:-1]}", status=401),
    post("the key and more", key=f"authorization: Bearer {KEY}x", status=401),
    post("the key without its kind", key=f"authorization: {KEY}", status=401),
    post("an empty key", key="authorization: Bearer ", status=401),
    post("a key that is no ASCII", key="authorization: Bearer \xff\xfe", status=401),
    post("a wrong x-api-key", key="x-api-key: wrong", status=401),
    post("a wrong password", key=f"authorization: Basic {BASIC}", status=401),
    post("a password that is no base64", key="authorization: Basic ====", status=401),
    post("two keys", f"authorization: Bearer {KEY}x", status=400),
    post("a key in a cookie", f"cookie: key={KEY}", key="", status=401),
    post("a key for a proxy", f"proxy-authorization: Bearer {KEY}", key="", status=401),
    Attack(
        "the key in the query",
        (f"GET /v1/models?key={KEY}&api_key={KEY}&token={KEY} HTTP/1.1", HOST, "connection: close"),
        (401,),
        b"",
        "invalid_api_key",
    ),
    Attack(
        "the key in the target",
        (f"GET http://{KEY}@127.0.0.1/v1/models HTTP/1.1", HOST, "connection: close"),
        (400,),
        b"",
    ),
    # --- paths --------------------------------------------------------------------------------------------
    get("two slashes", "//v1/models", status=(404,), code="unknown_url"),
    get("a host in the path", "//evil.example/v1/models", status=(404,), code="unknown_url"),
    get("up a folder", "/v1/../healthz", status=(404,), code="unknown_url"),
    get("up a folder, encoded", "/v1/%2e%2e/healthz", status=(404,), code="unknown_url"),
    get("up a folder, encoded in part", "/v1/.%2E/models", status=(404,), code="unknown_url"),
    get("slashes, encoded", "/v1%2f%2fmodels", status=(404,), code="unknown_url"),
    get("a backslash", "/v1\\models", status=(404, 400)),
    get("a zero byte", "/v1/models%00", status=(404,), code="unknown_url"),
    get("a line end in the path", "/v1/models%0d%0aset-cookie:%20a=b", status=(404,), code="unknown_url"),
    get("the absolute form", "http://127.0.0.1/v1/models", status=(400,)),
    get("the absolute form of another host", "http://evil.example/v1/models", status=(400,)),
    get("no path", "v1/models", status=(400,)),
    Attack("a tunnel", ("CONNECT evil.example:443 HTTP/1.1", HOST, BEARER), (400, 404, 405), b""),
    # --- where one request ends and the next begins -------------------------------------------------------
    Attack(
        "both lengths",
        (POST, HOST, BEARER, JSON, "content-length: 5", "transfer-encoding: chunked"),
        (400,),
        b"0\r\n\r\nGET /v1/models HTTP/1.1\r\n\r\n",
    ),
    Attack(
        "both lengths, in the other order",
        (POST, HOST, BEARER, JSON, "transfer-encoding: chunked", "content-length: 5"),
        (400,),
        b"0\r\n\r\nGET /v1/models HTTP/1.1\r\n\r\n",
    ),
    Attack("two lengths", (POST, HOST, BEARER, JSON, "content-length: 2", "content-length: 0"), (400,)),
    Attack("two lengths in one", (POST, HOST, BEARER, JSON, "content-length: 2, 2"), (400,)),
    Attack("a signed length", (POST, HOST, BEARER, JSON, "content-length: +2"), (400,)),
    Attack("a negative length", (POST, HOST, BEARER, JSON, "content-length: -2"), (400,)),
    Attack("a length that overflows", (POST, HOST, BEARER, JSON, f"content-length: {2**64}"), (400,)),
    Attack(
        "an encoding that is not chunked",
        (POST, HOST, BEARER, JSON, "transfer-encoding: identity, gzip"),
        (400,),
    ),
    Attack(
        "chunked, but not last",
        (POST, HOST, BEARER, JSON, "transfer-encoding: chunked, identity"),
        (400,),
        b"0\r\n\r\n",
    ),
    Attack(
        "chunked twice",
        (POST, HOST, BEARER, JSON, "transfer-encoding: chunked", "transfer-encoding: xchunked"),
        (400,),
        b"0\r\n\r\n",
    ),
    Attack(
        "a chunk's size that is none",
        (POST, HOST, BEARER, JSON, "transfer-encoding: chunked"),
        (400,),
        b"2;\nx\r\n{}\r\n0\r\n\r\n",
    ),
    Attack(
        "a key behind the body",
        (POST, HOST, JSON, "transfer-encoding: chunked", "connection: close"),
        (401,),
        f"2\r\n{{}}\r\n0\r\n{BEARER}\r\n\r\n".encode(),
    ),
    Attack(
        "a media type behind the body",
        (POST, HOST, BEARER, "transfer-encoding: chunked", "connection: close"),
        (415,),
        f"2\r\n{{}}\r\n0\r\n{JSON}\r\n\r\n".encode(),
    ),
    Attack("a space before the colon", (POST, HOST, BEARER, JSON, "content-length : 2"), (400,)),
    Attack("a folded header", (POST, HOST, BEARER, JSON, "x-a: b\r\n c: d", "content-length: 2"), (400,)),
    Attack("a lone line feed", (POST, HOST, BEARER, f"{JSON}\ncontent-length: 2"), (400,)),
    Attack("a lone carriage return", (POST, HOST, BEARER, f"{JSON}\rcontent-length: 2"), (400,)),
    Attack("a zero byte in a header", (POST, HOST, BEARER, JSON, "x-a: b\0c", "content-length: 2"), (400,)),
    Attack("no HTTP", ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",), (400,)),
    Attack("HTTP/2", ("PRI * HTTP/2.0", "", "SM", ""), (400,), b""),
    Attack("an HTTP of the future", ("GET /v1/models HTTP/9.9", HOST, BEARER), (400,), b""),
    # --- sizes ----------------------------------------------------------------------------------------------
    get("a long target", f"/v1/models?{'x' * 70_000}", status=(431,)),
    get("a long header", "/v1/models", f"x-a: {'x' * 70_000}", status=(431,)),
    get("many headers", "/v1/models", *[f"x-{number}: 1" for number in range(200)], status=(431,)),
    Attack(
        "a large body",
        (POST, HOST, BEARER, JSON, f"content-length: {64 << 20}", "connection: close"),
        (413,),
        b"",
        "request_too_large",
    ),
    # --- encodings ------------------------------------------------------------------------------------------
    post("an unknown encoding", "content-encoding: br", status=415, code="unsupported_media_type"),
    post("two encodings", "content-encoding: gzip, gzip", status=415, code="unsupported_media_type"),
    post("a body that is no gzip", "content-encoding: gzip", status=400, code="invalid_request"),
    post("a body that is no zstd", "content-encoding: zstd", status=400, code="invalid_request"),
]


@pytest.fixture(scope="module")
def attacked() -> Any:
    """One server for the whole table, so that each attack also shows that the one before did no harm."""
    with Running(Stub(), ServerOptions(max_body=1 << 20)) as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_nothing_gets_in(attacked: Running, attack: Attack) -> None:
    """It is refused in OpenAI's shape, is not tried again, reaches no service, and tells no key."""
    before = len(attacked.stub.asked)

    received = attacked.raw(attack.sent(), half_close=False)

    head, _, body = received.partition(b"\r\n\r\n")
    assert int(head.split()[1]) in attack.status, received
    assert received.count(b"HTTP/1.1 ") == 1
    assert KEY.encode() not in received
    assert len(attacked.stub.asked) == before
    assert b"x-should-retry: false" in head or b" 404 " in head
    assert b"access-control" not in head.lower()
    assert b"location:" not in head.lower()
    if attack.code:
        assert f'"code":"{attack.code}"'.encode() in body
        assert b"x-request-id: req_" in head
    assert attacked.ask().status == 200


ACCEPTED = [
    {"authorization": f"bearer  {KEY}"},
    {"authorization": None, "x-api-key": KEY},
    {"authorization": "Basic " + base64.b64encode(f"any:{KEY}".encode()).decode()},
    {"authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()},
    {"host": "localhost:9"},
    {"host": "LOCALHOST"},
    {"host": "[::1]:8399"},
    {"content-type": "application/json; charset=utf-8"},
    {"content-type": "Application/JSON"},
    {"sec-fetch-mode": "cors", "accept-language": "*"},
]


@pytest.mark.parametrize("headers", ACCEPTED, ids=str)
def test_what_clients_send_gets_in(serve: Serve, headers: dict[str, str]) -> None:
    """Each way to send the key, each name of loopback, and what Node's fetch adds."""
    assert serve().ask("POST", "/v1/responses", b"{}", **headers).status == 200


def test_public_paths_need_no_key_but_the_right_host(serve: Serve) -> None:
    """/healthz and / say that a server is there, and to pages of other origins not even that."""
    running = serve()
    for path in ("/", "/healthz"):
        assert running.ask(path=path, authorization=None).json() == {"status": "ok"}
        assert running.ask(path=path, authorization=None, host="evil.example").status == 421
        assert running.ask(path=path, authorization=None, origin="https://evil.example").status == 403
    for path in ("/readyz", "/metrics", "/v1/usage", "/v1/models", "/healthz/x", "/favicon.ico"):
        assert running.ask(path=path, authorization=None).status == 401


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)]
)
def test_compressed_bodies_are_decoded_up_to_a_bound(
    serve: Serve, stub: Stub, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """A body is decoded; one that would become too large is refused before it is."""
    running = serve(options=ServerOptions(max_body=1 << 20))

    assert running.ask("POST", body=compress(b'{"x": 1}'), content_encoding=encoding).status == 200
    assert stub.asked[-1].body == b'{"x": 1}'
    bomb = compress(bytes(512 << 20))
    assert len(bomb) < 1 << 20
    answer = running.ask("POST", body=bomb, content_encoding=encoding)
    assert (answer.status, answer.code) == (413, "request_too_large")


def test_a_body_without_a_length_is_bounded(serve: Serve) -> None:
    """Chunks are accepted until they are too many."""
    running = serve(options=ServerOptions(max_body=1 << 20))
    head = running.head("/v1/responses", "POST", content_type="application/json", transfer_encoding="chunked")
    with running.connect() as connection:
        connection.sendall(head + b"2\r\n{}\r\n0\r\n\r\n")
        assert b" 200 " in connection.recv(65_536)
    with running.connect() as connection:
        connection.sendall(head)
        for _ in range(32):
            connection.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")
        assert b" 413 " in connection.recv(65_536)


@pytest.mark.parametrize("piece", [b"x-a: b\r\n", b"x"], ids=["many", "one"])
def test_what_follows_a_body_is_bounded(serve: Serve, stub: Stub, piece: bytes) -> None:
    """Trailers, and the extensions of chunks, are given up when they are too long."""
    running = serve()
    head = running.head("/v1/responses", "POST", content_type="application/json", transfer_encoding="chunked")
    start = b"2\r\n{}\r\n0\r\n" + (b"x-a: " if piece == b"x" else b"")
    sent = 0
    with running.connect() as connection, suppress(ConnectionError):
        connection.sendall(head + start)
        while sent < 20_000_000:
            sent += connection.send(piece * 1_000)
    assert sent < 20_000_000
    assert stub.asked == []
    assert running.ask().status == 200


def test_a_body_in_many_small_chunks_is_read(serve: Serve, stub: Stub) -> None:
    """Programs write it piece by piece; what stands around the pieces does not count."""
    running = serve()
    head = running.head("/v1/responses", "POST", content_type="application/json", transfer_encoding="chunked")
    with running.connect() as connection:
        connection.sendall(head + b"1\r\n \r\n" * 50_000 + b"0\r\n\r\n")
        assert b" 200 " in connection.recv(65_536)
    assert stub.asked[0].body == b" " * 50_000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b" 408 "),
        (b"GET /v1/models HT", b" 408 "),
        (b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a:", b" 408 "),
    ],
)
def test_a_head_that_does_not_arrive_is_given_up(serve: Serve, sent: bytes, status: bytes) -> None:
    """Whether nothing comes or too little: the connection is closed."""
    running = serve(bounds=Bounds(head_seconds=0.2))
    assert status in running.raw(sent)


def test_a_head_that_trickles_in_is_given_up(serve: Serve) -> None:
    """A byte now and then does not prolong its time."""
    running = serve(bounds=Bounds(head_seconds=0.2))
    with running.connect() as connection:
        connection.settimeout(0.01)
        received = b""
        for byte in running.head("/v1/models").ljust(5_000, b"x"):
            try:
                connection.send(bytes([byte]))
                received += connection.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                break
            if received:
                break
        assert b" 408 " in received


def test_a_body_that_does_not_arrive_is_given_up(serve: Serve, stub: Stub) -> None:
    """The head was complete and right; what follows has its time."""
    running = serve(bounds=Bounds(body_seconds=0.2))
    head = running.head("/v1/responses", "POST", content_type="application/json", content_length="10")
    assert b" 408 " in running.raw(head + b'{"x"')
    assert stub.asked == []


def test_a_client_that_reads_nothing_is_given_up(serve: Serve, stub: Stub) -> None:
    """Its connection is closed after a while, and what was asked for it is ended."""
    running = serve(bounds=Bounds(write_seconds=0.2))
    with running.connect() as connection:
        connection.sendall(running.head("/v1/flood"))
        assert eventually(lambda: stub.ended) == ["closed"]


def test_a_client_that_closes_its_half_is_taken_to_have_left(serve: Serve, stub: Stub) -> None:
    """Nothing hangs on a connection that will say no more."""
    running = serve()
    with running.connect() as connection:
        connection.sendall(running.head("/v1/think"))
        assert stub.begun.acquire(timeout=20)
        connection.shutdown(socket.SHUT_WR)
        assert eventually(lambda: stub.ended) == ["cancelled"]


def test_garbage_behind_a_request_never_becomes_a_reply_within_a_reply(serve: Serve, stub: Stub) -> None:
    """While a stream is sent, the connection is ended instead."""
    running = serve()
    with running.connect() as connection:
        connection.sendall(running.head("/v1/stream"))
        received = b""
        while b"data: 2" not in received:
            received += connection.recv(65_536)
        connection.sendall(b"garbage\r\n\r\n")
        with suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                received += piece
    assert received.count(b"HTTP/1.1") == 1
    assert not received.endswith(b"0\r\n\r\n")
    assert eventually(lambda: stub.ended) == ["closed"]


def test_connections_are_bounded(serve: Serve) -> None:
    """One too many is told so, and those that are there go on."""
    running = serve(bounds=Bounds(connections=2))
    with running.connect() as first, running.connect() as second:
        for connection in (first, second):
            connection.sendall(running.head("/v1/models"))
            assert b" 200 " in connection.recv(65_536)
        assert b" 503 " in running.raw(b"")
        first.sendall(running.head("/v1/models"))
        assert b" 200 " in first.recv(65_536)
    assert eventually(lambda: running.ask().status == 200)


def test_connections_leave_descriptors_for_the_backend(serve: Serve) -> None:
    """Half of those that the process may open; the next is told so, and not closed without a word."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        running = serve()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(running.connect())
        assert b" 503 " in running.raw(b"")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, b" 403 "),
        ({"host": "evil.example"}, b" 421 "),
        ({"authorization": "Bearer wrong"}, b" 401 "),
        ({"authorization": "", "sec_websocket_protocol": f"openai-insecure-api-key.{KEY}"}, b" 401 "),
    ],
)
def test_a_websocket_is_refused_before_it_is_one(
    serve: Serve, headers: dict[str, str], status: bytes
) -> None:
    """Origin, Host and key are looked at first, and the key is not taken from anything else."""
    given = {"host": "127.0.0.1", "authorization": f"Bearer {KEY}"} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
    lines += ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"]
    lines += ["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]
    received = serve().raw("\r\n".join(["GET /v1/responses HTTP/1.1", *lines, "", ""]).encode())
    assert status in received.partition(b"\r\n")[0] + b" "


NO_KEY, NO_PAGE = "authorization: Bearer wrong", "origin: https://evil.example"


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (f"authorization: Bearer {KEY}", 400, "invalid_request"),
        (NO_KEY, 401, "invalid_api_key"),
        (NO_PAGE, 403, "origin_not_allowed"),
    ],
)
@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("GET /v1/responses HTTP/1.1", "content-length: 5"),
        ("POST /v1/responses HTTP/1.1", "transfer-encoding: chunked"),
        ("POST /v1/responses HTTP/1.1", "accept: */*"),
        ("GET /v1/responses HTTP/1.1", f"x-long: {'x' * 9_000}"),
        (f"GET /v1/responses?{'x' * 9_000} HTTP/1.1", "accept: */*"),
        ("GET /v1/responses HTTP/1.1", "sec-websocket-key: again"),
        ("GET /v1/responses HTTP/1.1", "sec-websocket-version: 12"),
        ("GET /v1/responses HTTP/1.1", "sec-websocket-extensions: ;"),
        ("GET /v1/responses HTTP/1.0", "accept: */*"),
    ],
)
def test_what_cannot_open_a_websocket_is_refused(
    serve: Serve, line: str, header: str, said: str, status: int, code: str
) -> None:
    """By those that may ask with what is wrong, in JSON, and by others as every request is.

    It would wait for as long as its client likes, without a key.
    """
    lines = [line, "host: 127.0.0.1", "connection: upgrade", "upgrade: websocket"]
    lines += ["sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", said, header]
    lines += ["content-type: application/json"]
    with serve().connect() as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        error = json.loads(answer.read())["error"]
        assert (answer.status, error["code"]) == (status, code)
        if status == 400:
            assert error["message"].startswith("This does not open a WebSocket: ")
            assert connection.recv(1) == b""


def test_bodies_that_grow_are_bounded_together(serve: Serve, stub: Stub) -> None:
    """As long as they are worked on, those of eight times the largest body are held, and no more."""
    running = serve(options=ServerOptions(max_body=1 << 20))
    body = gzip.compress(bytes(1 << 20))
    head = running.head(
        "/v1/think",
        "POST",
        content_type="application/json",
        content_encoding="gzip",
        content_length=str(len(body)),
    )
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(8)]
        for client in clients:
            client.sendall(head + body)
        for _ in clients:
            assert stub.begun.acquire(timeout=20)
        refused = running.ask("POST", body=body, content_encoding="gzip")
        assert (refused.status, refused.code) == (503, "server_overloaded")
        assert running.ask("POST", body=b"{}").status == 200
        stub.let_go()
        for client in clients:
            assert client.recv(20).startswith(b"HTTP/1.1 200")
    assert eventually(lambda: running.ask("POST", body=body, content_encoding="gzip").status == 200)


def test_pages_of_an_accepted_origin_may_ask(serve: Serve) -> None:
    """With the option: the preflight says what may be sent, and replies may be read."""
    options = ServerOptions(allow_origins=("https://app.example",), allow_hosts=("host.docker.internal",))
    running = serve(options=options)
    origin = {"origin": "https://app.example"}

    preflight = running.ask(
        "OPTIONS",
        authorization=None,
        access_control_request_method="POST",
        access_control_request_headers="authorization, content-type, x-stainless-os, x-evil",
        **origin,
    )
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os"
    answer = running.ask(host="host.docker.internal:8399", **origin)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-should-retry" in answer.headers["access-control-expose-headers"]
    assert running.ask(origin="https://app.example.evil").status == 403


def test_no_key_has_a_printed_form() -> None:
    """Neither a request's head nor the keys show one, as in a traceback with local variables."""
    printed = repr(
        [Head("GET", "/v1/models", {"authorization": f"Bearer {KEY}"}), keys_of(KEY), hash_of(KEY)]
    )
    assert KEY not in printed
    assert "Bearer" not in printed
