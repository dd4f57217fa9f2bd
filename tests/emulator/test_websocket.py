"""The WebSocket of the Codex backend: who may open one, what is said on it, how it ends."""

from __future__ import annotations

import base64
import json
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from onplan.emulator.wire import frames

from ..conftest import eventually

RECORDINGS = Path(__file__).parent.parent / "recordings"
TOOL = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
}


def rows(client):
    return [
        (row["method"], row["status"], row.get("transport"), row["ended"])
        for row in client.emulator.journal()
    ]


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({"authorization": "Bearer nonsense"}, 401, "Unauthorized"),
        ({"chatgpt_account_id": "acct-other"}, 400, "does not match"),
        ({"openai_beta": "responses_websockets=2020-01-01"}, 400, "openai-beta"),
    ],
)
def test_an_upgrade_is_judged(client, headers, status, says):
    """Bearer, account and beta header; the refusal has its body."""
    with pytest.raises(InvalidStatus) as caught, client.websocket(**headers):
        pass
    assert (caught.value.response.status_code, says in caught.value.response.body.decode()) == (status, True)


def test_an_upgrade_needs_no_beta_header(client):
    """Released clients send none, and the backend is seen to do without (codegraff2, issue 65, May 2026)."""
    with client.websocket(openai_beta=...) as opened:
        assert opened.completed("hi")["status"] == "completed"
    assert "openai-beta" not in client.emulator.journal()[0]["headers"]


def test_without_an_upgrade_there_is_nothing_to_get(client):
    """A plain GET is not allowed, and a half-hearted upgrade is none."""
    assert client.get("/backend-api/codex/responses").status_code == 405
    headers = client.headers(upgrade="websocket")
    assert client.get("/backend-api/codex/responses", headers=headers).status_code == 400
    rejected = [("GET", 405, None, "complete"), ("GET", 400, None, "complete")]
    assert eventually(lambda: rows(client) == rejected)


def test_the_head_tells_the_facts(client):
    """Limits, catalogue and request id come with the 101; the turn's state does not."""
    with client.websocket() as opened:
        assert {"x-codex-primary-used-percent", "x-models-etag", "x-request-id"} <= set(opened.headers)
        assert "x-codex-turn-state" not in opened.headers


def test_a_turn_has_the_events_of_sse(client):
    """One per message, with the same fields; what HTTP has in headers comes second."""
    over_sse = client.events("hi", tools=[TOOL])
    with client.websocket() as opened:
        over_websocket = opened.create("hi", tools=[TOOL])
    own = [message["type"] for message in over_websocket[1:3]]
    assert own == ["response.metadata", "codex.rate_limits"]
    assert [message["sequence_number"] for message in over_websocket] == [*range(len(over_websocket))]
    shapes = [
        [(message["type"], set(message)) for message in turn]
        for turn in (over_sse, over_websocket[:1] + over_websocket[3:])
    ]
    assert shapes[0] == shapes[1]


def test_a_stream_need_not_be_asked_for(client):
    """`stream` may be absent over a WebSocket; false is refused there too, and so is `stream_id`."""
    with client.websocket() as opened:
        create = {"type": "response.create", "model": "gpt-5.5", "store": False, "input": []}
        opened.connection.send(json.dumps(create))
        assert opened.read()[-1]["type"] == "response.completed"
        for name, value, says in (
            ("stream", False, "Stream must be set to true"),
            ("stream_id", "s", "Unsupported parameter: stream_id"),
        ):
            opened.connection.send(json.dumps({**create, name: value}))
            assert opened.read()[-1]["error"] == {"detail": says}


def test_several_turns_follow_each_other(client):
    """A message that comes too early waits for its turn."""
    with client.websocket() as opened:
        opened.send("one")
        opened.send("two")
        said = [opened.read()[-1]["response"]["output"][-1]["content"][0]["text"] for _ in range(2)]
    assert said == ["You said: one", "You said: two"]


def test_a_prewarm_is_answered_and_continued(client):
    """`generate: false` produces nothing and costs nothing, and what it said need not be said again."""
    with client.websocket(session_id="s-1") as opened:
        developer = {"type": "message", "role": "developer", "content": "be brief " * 50}
        messages = opened.create(developer, generate=False)
        kinds = [message["type"] for message in messages]
        assert kinds == ["response.created", "response.in_progress", "response.completed"]
        warm = messages[-1]["response"]
        assert (warm["output"], warm["usage"]["total_tokens"]) == ([], 0)
        response = opened.completed("hi", previous_response_id=warm["id"])
    assert response["previous_response_id"] == warm["id"]
    assert response["usage"]["input_tokens"] > 100


def test_only_what_is_new_is_sent(client):
    """The result of a call is enough: the call, the question and the reasoning are remembered, and cached."""
    with client.websocket(session_id="s-2") as opened:
        first = opened.completed("look " * 100, tools=[TOOL])
        call = first["output"][-1]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "a bird"}
        second = opened.completed(result, tools=[TOOL], previous_response_id=first["id"])
        assert second["output"][-1]["content"][0]["text"] == "look returned: a bird"
        assert second["usage"]["input_tokens_details"]["cached_tokens"] > 0
        refused = opened.create(result, tools=[TOOL])[-1]
    assert "No tool call found" in refused["error"]["message"]


def test_one_response_is_remembered(client):
    """The latest of this connection: not an older one, not after a failure, not on another connection."""
    with client.websocket() as opened, client.websocket() as other:
        first = opened.completed("one")
        second = opened.completed("two")
        for connection, response in ((opened, first), (opened, second), (other, second)):
            refused = connection.create("three", previous_response_id=response["id"])[-1]
            assert (refused["status"], refused["error"]["code"]) == (400, "previous_response_not_found")


def test_refusals_are_messages(client):
    """With the status and the body that HTTP would have had; the connection stays open."""
    with client.websocket() as opened:
        refused = opened.create("hi", temperature=1)[-1]
        assert refused == {
            "type": "error",
            "status": 400,
            "error": {"detail": "Unsupported parameter: temperature"},
            "headers": {},
        }
        assert opened.create("hi", reasoning={"summary": "long"})[-1]["error"]["param"] == "reasoning.summary"
        assert opened.create("hi", type="response.cancel")[-1]["error"]["param"] == "type"
        opened.connection.send("nonsense")
        assert opened.read()[-1]["status"] == 400
        assert opened.completed("hi")["status"] == "completed"


def test_a_token_may_die_on_an_open_connection(client):
    """Then the next message is refused with 401."""
    with client.websocket() as opened:
        opened.completed("hi")
        client.emulator.expire_access_tokens()
        assert opened.create("hi")[-1]["status"] == 401


def test_the_state_of_a_turn_is_echoed(client):
    """A new one with each message that brings none, the client's own otherwise."""

    def state(messages):
        return next(m["headers"]["x-codex-turn-state"] for m in messages if m["type"] == "response.metadata")

    with client.websocket() as opened:
        first, second = state(opened.create("one")), state(opened.create("two"))
        echoed = state(opened.create("three", client_metadata={"x-codex-turn-state": second}))
    assert first != second == echoed


def test_the_journal_has_a_row_for_each_message(client):
    """As a POST of what was sent, with its status and its end; the upgrade is a row of its own."""
    with client.websocket(session_id="s-3") as opened:
        first = opened.completed("hi")
        opened.create("hi", previous_response_id="resp_0")
    upgrade, *messages = client.emulator.journal()
    assert (upgrade["method"], upgrade["path"], upgrade["status"]) == (
        "GET",
        "/backend-api/codex/responses",
        101,
    )
    assert [(row["method"], row["path"], row["status"], row["transport"]) for row in messages] == [
        ("POST", "/backend-api/codex/responses", 200, "websocket"),
        ("POST", "/backend-api/codex/responses", 400, "websocket"),
    ]
    assert messages[0]["headers"]["session-id"] == "s-3"
    assert messages[0]["body"]["type"] == "response.create"
    assert messages[1]["body"]["previous_response_id"] == "resp_0"
    assert first["id"] != "resp_0"


def test_what_is_compressed_is_read(client):
    """The extension is accepted where it is offered, message after message in one context."""
    with client.websocket() as opened:
        assert opened.headers["sec-websocket-extensions"] == "permessage-deflate"
        for said in ("one " * 10_000, "one " * 10_000):
            assert opened.completed(said)["usage"]["input_tokens"] > 5_000


def test_pings_are_answered_in_the_middle_of_a_stream(client):
    """Also while nothing is sent."""
    client.emulator.arm("stall")
    with client.websocket() as opened:
        opened.send("hi")
        assert opened.connection.ping().wait(20)
        client.emulator.disarm()


class Wire:
    """A WebSocket whose bytes the test writes itself."""

    def __init__(self, client):
        place = urlsplit(client.emulator.codex_base_url)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=20)
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {
            **client.headers(connection="Upgrade", upgrade="websocket"),
            "host": place.netloc,
            "sec-websocket-version": "13",
            "sec-websocket-key": key,
            "openai-beta": "responses_websockets=2026-02-06",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET {place.path}/responses HTTP/1.1\r\n{head}\r\n".encode())
        self.file = self.socket.makefile("rb")
        assert self.file.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while self.file.readline() != b"\r\n":
            pass

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.file.close()
        self.socket.close()

    def write(self, opcode, payload, *, final=True, masked=True, bits=0, mask=None):
        frame = bytearray(frames.encode(opcode, payload, final=final))
        frame[0] |= bits
        if masked:
            start = len(frame) - len(payload)
            frame[1] |= 0x80
            mask = os.urandom(4) if mask is None else mask
            frame[start:] = mask + (
                bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if any(mask) else payload
            )
        self.socket.sendall(frame)

    def start(self, opcode, size):
        """The head of a large frame whose payload never comes."""
        self.socket.sendall(bytes([0x80 | opcode, 0xFF]) + size.to_bytes(8, "big"))

    def read(self):
        """The opcode and payload of a frame."""
        first, size = self.file.read(2)
        if size > 125:
            size = int.from_bytes(self.file.read(2 if size == 126 else 8), "big")
        return first & 0x0F, self.file.read(size)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"masked": False}, 1002),
        ({"bits": 0x20}, 1002),
        ({"opcode": 0x3}, 1002),
        ({"opcode": frames.CONTINUATION}, 1002),
        ({"opcode": frames.PING, "final": False}, 1002),
        ({"opcode": frames.PING, "payload": b"x" * 126}, 1002),
    ],
)
def test_frames_are_judged(client, options, code):
    """What RFC 6455 forbids ends the connection, with the code for it."""
    with Wire(client) as wire:
        wire.write(**{"opcode": frames.TEXT, "payload": b"{}", **options})
        opcode, payload = wire.read()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (frames.CLOSE, code)
        assert wire.file.read() == b""


@pytest.mark.parametrize("whole", [True, False])
def test_more_than_16_mib_is_too_much(client, whole):
    """1009, in one frame or in several; as much as that is read."""
    most = 16 * 1024 * 1024
    with Wire(client) as wire:
        create = {"type": "response.create", "model": "gpt-5.5", "store": False, "input": []}
        wire.write(frames.TEXT, json.dumps(create).encode().ljust(most), mask=bytes(4))
        assert b"response.created" in wire.read()[1]
    with Wire(client) as wire:
        if whole:
            wire.start(frames.TEXT, most + 1)
        else:
            wire.write(frames.TEXT, b" " * most, final=False, mask=bytes(4))
            wire.write(frames.CONTINUATION, b" ")
        opcode, payload = wire.read()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (frames.CLOSE, 1009)


def test_messages_may_come_in_fragments(client):
    """With a ping between them, which is answered first."""
    with Wire(client) as wire:
        wire.write(frames.TEXT, b'{"type": "response', final=False)
        wire.write(frames.PING, b"well?")
        wire.write(frames.CONTINUATION, b'.sing"}')
        assert wire.read() == (frames.PONG, b"well?")
        opcode, payload = wire.read()
        assert opcode == frames.TEXT
        assert "response.sing" in json.loads(payload)["error"]["message"]


def test_a_client_that_leaves_ends_its_turn(client):
    """Saying goodbye or not; the journal tells."""
    client.emulator.arm("stall", times=2)
    for goodbye in (True, False):
        with client.websocket() as opened:
            opened.send("hi")
            opened.connection.recv(timeout=20)
            if not goodbye:
                opened.connection.socket.shutdown(socket.SHUT_RDWR)
    left = ["client_left"] * 2
    assert eventually(lambda: [row[3] for row in rows(client) if row[0] == "POST"] == left)


def test_a_close_frame_ends_the_connection(client):
    """And nothing is answered on it any more."""
    client.emulator.arm("websocket_close_after_answer")
    with client.websocket() as opened:
        opened.completed("hi")
        with pytest.raises(ConnectionClosed) as caught:
            opened.create("hi")
    assert caught.value.rcvd.code == 1000


def recorded():
    for path in sorted(RECORDINGS.glob("*.json")):
        for row in json.loads(path.read_text()):
            sent = [
                frame["json"]
                for frame in row.get("ws_frames", [])
                if "json" in frame and frame["dir"] == "c>s"
            ]
            if sent:
                yield pytest.param(row["headers"], sent, id=f"{path.stem}-{row['n']}")


@pytest.mark.parametrize(("headers", "sent"), list(recorded()))
def test_every_recorded_message_is_accepted(client, headers, sent):
    """The official client's own, each naming the response before it, and the call that it made."""
    own = {"session-id": headers["session-id"], "version": headers["version"]}
    last = {"id": None, "output": []}
    with client.websocket(**own) as opened:
        for message in sent:
            calls = [item["call_id"] for item in last["output"] if "call_id" in item]
            items = [
                {**item, "call_id": calls.pop(0)} if "call_id" in item else item for item in message["input"]
            ]
            previous = {"previous_response_id": last["id"]} if "previous_response_id" in message else {}
            last = opened.completed(**{**message, **previous, "input": items})
