"""WebSockets of clients over real sockets: who gets one, in what turn messages are answered, how they end."""

from __future__ import annotations

import gc
import json
import socket

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import onplan
from onplan.server.connection import Bounds
from onplan.server.keys import NamedKey, hash_of, keys_of
from onplan.server.limits import KeyLimits
from onplan.server.options import ServerOptions

from ..conftest import eventually
from .conftest import KEY, Running, Stub


def opened(server: Running, path: str = "/v1/responses", key: str = KEY) -> ClientConnection:
    """A WebSocket of a client with this key."""
    headers = {"authorization": f"Bearer {key}"}
    return connect(
        f"ws://127.0.0.1:{server.port}{path}", additional_headers=headers, proxy=None, open_timeout=20
    )


def closed(client: ClientConnection) -> int:
    """The code with which the server closes the connection."""
    with pytest.raises(ConnectionClosed) as error:
        client.recv(20)
    assert error.value.rcvd
    return error.value.rcvd.code


def test_messages_are_answered() -> None:
    """Each by the frames of the service, over one connection."""
    with Running(Stub()) as server, opened(server) as client:
        for text in ("one", "two"):
            client.send(text)
            assert [client.recv(20), client.recv(20)] == [text, text]


@pytest.mark.parametrize(
    ("path", "key", "status"), [("/v1/responses", "wrong", 401), ("/v1/elsewhere", KEY, 426)]
)
def test_others_get_none(path: str, key: str, status: int) -> None:
    """A wrong key and a wrong path are answered before there is a WebSocket, with an error in JSON."""
    with Running(Stub()) as server:
        with pytest.raises(InvalidStatus) as refused:
            opened(server, path, key)
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body or b"")["error"]["message"]


def test_a_binary_message_ends_the_connection() -> None:
    """With 1003: messages are texts."""
    with Running(Stub()) as server, opened(server) as client:
        client.send(b"one")
        assert closed(client) == 1003


def test_a_client_that_leaves_ends_its_answer() -> None:
    """What is asked of the backend ends with it."""
    stub = Stub()
    with Running(stub) as server:
        with opened(server) as client:
            client.send("think")
            assert client.recv(20) == "think"
            assert stub.begun.acquire(timeout=20)
        assert eventually(lambda: stub.ended) == ["cancelled"]


def test_an_idle_connection_ends_with_the_server() -> None:
    """With 1001, at once: the server does not wait for its client."""
    with Running(Stub()) as server, opened(server) as client:
        client.send("one")
        assert [client.recv(20), client.recv(20)] == ["one", "one"]
        server.stop()
        assert closed(client) == 1001


def test_an_answer_is_finished_before_the_server_ends() -> None:
    """Then the connection is closed with 1001."""
    stub = Stub()
    with Running(stub) as server, opened(server) as client:
        client.send("think")
        assert client.recv(20) == "think"
        assert stub.begun.acquire(timeout=20)
        server.stop()
        stub.let_go()
        assert client.recv(20) == "think"
        assert closed(client) == 1001


def test_an_answer_that_does_not_end_ends_with_the_server() -> None:
    """When the time for it is up, the connection is closed with 1001 in the middle of it."""
    stub = Stub()
    with Running(stub, ServerOptions(drain_seconds=0.0)) as server, opened(server) as client:
        client.send("think")
        assert client.recv(20) == "think"
        assert stub.begun.acquire(timeout=20)
        server.stop()
        assert closed(client) == 1001
    assert stub.ended == ["cancelled"]


def test_messages_wait_for_their_turn() -> None:
    """A message that finds too many waiting gets an error with the status 503, and no place."""
    stub = Stub()
    options = ServerOptions(max_requests=1, max_waiting=0)
    with Running(stub, options) as server, opened(server) as first, opened(server) as second:
        first.send("think")
        assert first.recv(20) == "think"
        assert stub.begun.acquire(timeout=20)
        second.send("two")
        error = json.loads(second.recv(20))
        stub.let_go()
        assert first.recv(20) == "think"
        assert (error["type"], error["status"]) == ("error", 503)
        assert error["error"]["code"] == "server_overloaded"


def test_messages_count_as_requests_of_their_key() -> None:
    """One beyond the key's limit gets an error, and the connection stays."""
    limits = KeyLimits(requests_per_minute=1)
    with Running(Stub(), limits=limits) as server, opened(server, key="named-key") as client:
        client.send("one")
        assert [client.recv(20), client.recv(20)] == ["one", "one"]
        client.send("two")
        error = json.loads(client.recv(20))
        assert (error["type"], error["status"]) == ("error", 429)


@pytest.mark.parametrize("fault", ["fails", "disk"])
def test_a_fault_while_a_message_is_answered_is_told(caplog: pytest.LogCaptureFixture, fault: str) -> None:
    """With the status 500; the log says more, and the connection stays."""
    with Running(Stub()) as server, opened(server) as client:
        client.send(fault)
        assert client.recv(20) == fault
        error = json.loads(client.recv(20))
        assert (error["type"], error["status"]) == ("error", 500)
        assert error["error"]["code"] == "internal_error"
        assert "a fault" not in str(error)
        assert "a full disk" not in str(error)
        client.send("one")
        assert client.recv(20) == "one"
    assert "a request of server failed" in caplog.text


def test_a_client_that_sends_and_sends_is_sent_away() -> None:
    """With 1008: its messages would take the places of all other clients. What it asked for ends."""
    stub = Stub()
    with Running(stub) as server, opened(server) as client:
        for _ in range(65):
            client.send("think")
        for _ in range(64):
            assert client.recv(20) == "think"
        assert closed(client) == 1008
        assert eventually(lambda: len(stub.ended) == 64)
        assert server.app._queue.running == 0


def test_a_key_that_is_removed_is_refused_over_an_open_connection() -> None:
    """From the reload on: otherwise it would be without limits for as long as its client likes."""
    with Running(Stub(), limits=KeyLimits()) as server, opened(server, key="named-key") as client:
        client.send("one")
        assert [client.recv(20), client.recv(20)] == ["one", "one"]
        server.reload(keys_of(KEY))
        client.send("two")
        error = json.loads(client.recv(20))
        assert (error["status"], error["error"]["code"]) == (401, "invalid_api_key")


def test_a_key_that_is_made_again_is_another_caller() -> None:
    """What the service keeps for the client that had the name before does not exist for it."""
    stub = Stub()
    with Running(stub, limits=KeyLimits()) as server:
        server.ask(authorization="Bearer named-key")
        server.reload(keys_of(KEY, (NamedKey("named", hash_of("another-key").hex()),)))
        server.ask(authorization="Bearer another-key")
        server.ask()
    first, second, owner = [request.caller for request in stub.asked]
    assert first != second
    assert owner == ""


def test_a_client_that_reads_nothing_is_given_up() -> None:
    """The answer that it does not read ends, and so does the connection."""
    stub = Stub()
    with (
        Running(stub, bounds=Bounds(write_seconds=0.05)) as server,
        connect(
            f"ws://127.0.0.1:{server.port}/v1/responses",
            additional_headers={"authorization": f"Bearer {KEY}"},
            proxy=None,
            max_queue=1,
            compression=None,  # compressed, the answer takes half a minute to fill the buffers in between
        ) as client,
    ):
        client.send("flood")
        assert eventually(lambda: stub.ended) == ["closed"]


def test_a_client_that_leaves_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be sent to it any more is not logged, and its answer ends although it never waits."""
    stub = Stub()
    with Running(stub) as server:
        with opened(server) as client:
            client.send("flood")
            assert stub.begun.acquire(timeout=20)
            client.socket.shutdown(socket.SHUT_RDWR)
        assert eventually(lambda: stub.ended) == ["closed"]
    gc.collect()  # a task whose error was not fetched is logged when it is freed
    # The client of this test may say that its stream ended within a message: it was cut off on purpose.
    assert [record for record in caplog.records if record.name != "websockets.client"] == []


def test_without_a_service_there_is_no_connection() -> None:
    """What is wrong is told before there is a WebSocket."""
    stub = Stub()
    stub.plan_error = onplan.NotSignedInError("Not signed in.")
    with Running(stub) as server, pytest.raises(InvalidStatus) as refused:
        opened(server)
    assert json.loads(refused.value.response.body or b"")["error"]["message"].startswith("Not signed in.")


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_message_that_is_too_large_ends_the_connection(compression: str | None) -> None:
    """With 1009; one that is compressed is measured by what it would become."""
    with Running(Stub(), ServerOptions(max_body=10_000)) as server:
        with connect(
            f"ws://127.0.0.1:{server.port}/v1/responses",
            additional_headers={"authorization": f"Bearer {KEY}"},
            proxy=None,
            compression=compression,  # type: ignore[arg-type]
        ) as client:
            client.send("small")
            assert client.recv(20) == "small"
            client.recv(20)
            # So few bytes that the server has read them all: what it has not would break the connection.
            client.send(" " * (1_000_000 if compression else 10_001))
            assert closed(client) == 1009
        assert server.ask().status == 200
