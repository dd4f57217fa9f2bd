"""What is given damaged bytes, the good bytes to begin with, and what must hold whatever comes."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

import onplan
from onplan.answers.catalogue import models_of
from onplan.answers.failures import failure_of_response
from onplan.answers.sse import EventDecoder
from onplan.backends import BACKENDS
from onplan.chat.stream import ChatStream
from onplan.config.settings import load_settings
from onplan.flow import Response, decode_json, drive
from onplan.oauth.authorization_code import read_callback
from onplan.oauth.issuer import CODEX
from onplan.oauth.refresh import refresh
from onplan.responses.stream import ResponseStream
from onplan.stores import PendingRefresh, Record, decode_record, encode_record
from onplan.stores.codex import auth_file
from onplan.transports.websocket_messages import MessageReader

from .damage import Damage

_TESTS = Path(__file__).parents[1]
_NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Target:
    """Something that reads bytes of others.

    Attributes:
        good: gives the bytes to begin with.
        check: reads damaged bytes; raises AssertionError if what must hold does not. An OnplanError is a
            right answer, any other exception is not.
    """

    good: Callable[[], list[bytes]]
    check: Callable[[bytes, Damage], None]


# --- streams ----------------------------------------------------------------------------------------


@cache
def _recorded_streams() -> list[bytes]:
    """The bodies of streams in the recordings of the official client's traffic."""
    bodies = []
    for path in sorted((_TESTS / "recordings").glob("*.json")):
        for exchange in json.loads(path.read_text(encoding="utf-8")):
            body = (exchange.get("reply") or {}).get("body")
            if isinstance(body, str) and "data:" in body:
                bodies.append(body.encode())
    return [*dict.fromkeys(bodies), *_OWN_STREAMS]


def _event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def _response_stream(*items: dict[str, Any], **response: Any) -> bytes:
    """A stream that brings ``items`` with their deltas, and ends with ``response``."""
    sent = [_event(type="response.created", response={"id": "resp_1", "model": "gpt-5.5"})]
    for index, item in enumerate(items):
        at = {"item_id": item["id"], "output_index": index}
        sent.append(_event(type="response.output_item.added", output_index=index, item=item))
        sent.extend(_event(**piece, **at) for piece in _pieces_of(item))
        sent.append(_event(type="response.output_item.done", output_index=index, item=item))
    whole = {"id": "resp_1", "status": "completed", "output": list(items), "usage": _USAGE, **response}
    return b"".join([*sent, _event(type=f"response.{whole['status']}", response=whole)])


def _pieces_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    if item["type"] == "function_call":
        arguments = item["arguments"]
        deltas = [arguments[:4], arguments[4:]]
        return [{"type": "response.function_call_arguments.delta", "delta": delta} for delta in deltas]
    if item["type"] == "custom_tool_call":
        deltas = [item["input"][:4], item["input"][4:]]
        return [{"type": "response.custom_tool_call_input.delta", "delta": delta} for delta in deltas]
    if item["type"] == "reasoning":
        texts = [part["text"] for part in item["summary"]]
        return [
            {"type": "response.reasoning_summary_text.delta", "summary_index": at, "delta": text}
            for at, text in enumerate(texts)
        ]
    return [
        {"type": "response.output_text.delta", "content_index": at, "delta": part["text"]}
        for at, part in enumerate(item["content"])
    ]


_USAGE = {
    "input_tokens": 9,
    "output_tokens": 7,
    "total_tokens": 16,
    "output_tokens_details": {"reasoning_tokens": 3},
}
_THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Two."}, {"type": "summary_text", "text": "Three."}],
    "encrypted_content": "gAAAA",
}
_SPOKEN = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Robin, é ☃.", "annotations": []}],
}
_CALLS = [
    {
        "type": "function_call",
        "id": f"fc_{name}",
        "call_id": f"call_{name}",
        "name": name,
        "arguments": '{"city": "Oslo"}',
        "status": "completed",
    }
    for name in ("first", "second")
]
_CUSTOM_CALL = {
    "type": "custom_tool_call",
    "id": "ctc_third",
    "call_id": "call_third",
    "name": "third",
    "input": '{"city": Oslo',
    "status": "completed",
}
_OWN_STREAMS = [
    _response_stream(_THOUGHT, _SPOKEN, *_CALLS, _CUSTOM_CALL),
    _response_stream(
        _SPOKEN,
        *_CALLS,
        _CUSTOM_CALL,
        status="incomplete",
        incomplete_details={"reason": "max_output_tokens"},
    ),
    _response_stream(_SPOKEN, status="failed", error={"code": "server_error", "message": "It failed."}),
]


def _check_response_stream(data: bytes, damage: Damage) -> None:
    _check_stream(lambda: ResponseStream("gpt-5.5"), data, damage)


def _check_chat_stream(data: bytes, damage: Damage) -> None:
    _check_stream(lambda: ChatStream("some-model"), data, damage)


def _check_stream(new: Callable[[], Any], data: bytes, damage: Damage) -> None:
    whole = _heard(new(), [data])
    assert whole == _heard(new(), damage.pieces(data)), "other pieces of the same bytes, another answer"


def _heard(stream: Any, pieces: list[bytes]) -> tuple[str, str]:
    """The chunks of a stream and its failure, both as text, after what must hold of them."""
    decoder, chunks, failure = EventDecoder(), [], ""
    try:
        for piece in pieces:
            if not stream.finished:
                chunks += stream.feed(decoder.feed(piece))
        if not stream.finished:
            chunks += stream.feed(decoder.close())
        if not stream.finished:
            chunks += stream.close()
    except onplan.OnplanError as error:
        failure = repr(error)
    failure = failure or (repr(stream.failure) if stream.failure else "")
    _check_chunks(chunks, failure)
    # Deltas that stand side by side may be joined otherwise by other pieces; what they say may not differ.
    return _said(chunks), failure


def _said(chunks: list[Any]) -> str:
    joined: list[Any] = []
    for chunk in chunks:
        if chunk.type in ("text", "thinking") and joined and joined[-1][0] == chunk.type:
            joined[-1] = (chunk.type, joined[-1][1] + chunk.text)
        else:
            joined.append((chunk.type, chunk.text if chunk.type in ("text", "thinking") else repr(chunk)))
    return repr(joined)


def _check_chunks(chunks: list[Any], failure: str) -> None:
    ends = [chunk for chunk in chunks if chunk.type == "done"]
    if failure:
        assert not ends, "an answer and a failure"
        return
    assert ends == chunks[-1:], "not exactly one end, last"
    response = chunks[-1].response
    assert _joined(chunks, "text") == "".join(
        part.text for part in response.message.content if part.type == "text"
    )
    assert _joined(chunks, "thinking") == "".join(
        part.text for part in response.message.content if part.type == "thinking"
    )
    calls = response.tool_calls
    assert len({call.id for call in calls}) == len(calls), "a call came twice"
    for call in calls:
        pieces = [c.arguments_delta for c in chunks if c.type == "tool_call_delta" and c.id == call.id]
        assert "".join(pieces) == call.arguments
        assert call.name


def _joined(chunks: list[Any], kind: str) -> str:
    return "".join(chunk.text for chunk in chunks if chunk.type == kind)


@cache
def _chat_streams() -> list[bytes]:
    return [path.read_bytes() for path in sorted((_TESTS / "chat" / "servers").glob("*.sse"))]


# --- WebSocket frames -------------------------------------------------------------------------------


@cache
def _frames() -> list[bytes]:
    """Messages whole, in fragments, with pings between, and a close."""
    payloads = [line[6:] for stream in _OWN_STREAMS for line in stream.split(b"\n") if line]
    whole = b"".join(_frame(0x81, payload) for payload in payloads)
    split = [
        _frame(0x01, payload[:9])
        + _frame(0x89, b"?")
        + _frame(0x00, payload[9:20])
        + _frame(0x80, payload[20:])
        for payload in payloads
    ]
    return [whole, b"".join(split), whole + _frame(0x88, struct.pack("!H", 1009) + b"too big")]


def _frame(first: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    return bytes([first, 126]) + struct.pack("!H", len(payload)) + payload


def _check_frames(data: bytes, damage: Damage) -> None:
    assert _messages([data]) == _messages(damage.pieces(data))


def _messages(pieces: list[bytes]) -> tuple[list[bytes], str]:
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"))
    protocol.state = protocol.state.OPEN
    reader = MessageReader(protocol, "http://127.0.0.1", maximum=100_000)
    messages = []
    for piece in pieces:
        reader.feed(piece)
        messages += reader.take()
    assert reader.failure is None or isinstance(reader.failure, onplan.OnplanError)
    assert reader.partial <= 200_000
    return messages, repr(reader.failure)


# --- whole answers ----------------------------------------------------------------------------------

_ERROR_BODIES: list[Any] = [
    {"detail": "Unsupported parameter: temperature"},
    {"detail": [{"loc": ["body", "input", 0], "msg": "field required", "type": "missing"}]},
    {
        "error": {
            "message": "Rate limit reached. Try again in 1.5s.",
            "type": "requests",
            "code": "rate_limit",
        }
    },
    {"error": {"type": "usage_limit_reached", "plan_type": "plus", "resets_at": 1_800_001_000}},
    {"error": {"code": 429, "details": [{"@type": "type.googleapis.com/RetryInfo", "retryDelay": "3s"}]}},
    {"errors": [{"message": "No."}], "message": "No.", "status": "error"},
]
_HEADERS = {
    "retry-after": "3",
    "x-codex-active-limit": "premium",
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": "1800001000",
    "x-codex-secondary-used-percent": "12.5",
    "x-codex-secondary-window-minutes": "10080",
    "content-type": "application/json",
    "cf-ray": "9a1-LIS",
}


@cache
def _error_bodies() -> list[bytes]:
    return [json.dumps(body).encode() for body in _ERROR_BODIES] + [b"error code: 1010", b"<html>No.</html>"]


def _check_error(data: bytes, damage: Damage) -> None:
    headers = {
        name: damage.of(value.encode()).decode("latin-1") if damage.random.random() < 0.3 else value
        for name, value in _HEADERS.items()
        if damage.random.random() < 0.6
    }
    status = damage.random.choice([400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529])
    error = failure_of_response(Response(status, headers, data), _NOW)
    assert isinstance(error, onplan.OnplanError)
    assert str(error)
    assert json.dumps(error.to_dict())
    assert len(str(error)) < 10_000


@cache
def _catalogues() -> list[bytes]:
    models = [
        {
            "slug": "gpt-5.5",
            "display_name": "GPT-5.5",
            "context_window": 272_000,
            "priority": 1,
            "visibility": "list",
            "supported_reasoning_levels": [{"effort": "low", "description": ""}],
            "default_reasoning_level": "low",
            "input_modalities": ["text", "image"],
        }
    ]
    listed = {"object": "list", "data": [{"id": "gpt-5.5", "object": "model", "context_length": 9}]}
    return [json.dumps({"models": models}).encode(), json.dumps(listed).encode()]


def _check_catalogue(data: bytes, _: Damage) -> None:
    body = decode_json(data)
    for backend in BACKENDS.values():
        if body is not None:
            assert all(isinstance(model, onplan.ModelInfo) for model in models_of(body, backend))


# --- tokens -----------------------------------------------------------------------------------------


@cache
def _token_responses() -> list[bytes]:
    tokens = {
        "access_token": "at-new",
        "refresh_token": "rt-new",
        "id_token": "e30.e30.c2ln",
        "expires_in": 864_000,
        "scope": "openid offline_access",
        "token_type": "Bearer",
        "earliest_refresh_at": 1_800_000_600,
    }
    return [json.dumps(tokens).encode(), json.dumps(tokens, indent=1).encode()]


def _check_token_response(data: bytes, _: Damage) -> None:
    """A refresh token that can be read is never lost, whatever is odd beside it."""
    old = onplan.OAuthCredentials(access_token="at-old", refresh_token="rt-old", expires_at=1.0)
    flow = refresh(CODEX, old, "proactive_expiry", lambda: _NOW)
    fields = _decoded(data)
    rotated = fields.get("refresh_token") if isinstance(fields, dict) else None
    kept = onplan.OAuthCredentials(access_token="")
    failure = ""
    try:
        kept = drive(flow, lambda _: Response(200, {}, data), lambda _: None)
    except onplan.OnplanError as error:
        failure = str(error)
    # What no header or form could hold is no token.
    if isinstance(rotated, str) and rotated.strip() and rotated.isascii() and rotated.isprintable():
        assert kept.refresh_token == rotated, f"a rotated token was lost: {failure}"


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


@cache
def _callbacks() -> list[bytes]:
    return [
        b"http://localhost:1455/auth/callback?code=ac_1&state=st_1&scope=openid",
        b"http://127.0.0.1:1457/auth/callback?error=access_denied&error_description=No&state=st_1",
        b"code=ac_1&state=st_1",
    ]


def _check_callback(data: bytes, _: Damage) -> None:
    read_callback(data.decode("utf-8", "surrogateescape"), "st_1")


# --- files that onplan keeps, and that people edit --------------------------------------------------


@cache
def _records() -> list[bytes]:
    credentials = onplan.OAuthCredentials(
        access_token="at", refresh_token="rt", expires_at=_NOW, account_id="acct", plan="plus"
    )
    pending = PendingRefresh(fingerprint="f" * 16, started_at=_NOW)
    return [
        bytes(encode_record(Record(credentials=credentials, obtained_at=_NOW))),
        bytes(encode_record(Record(credentials=credentials, pending_refresh=pending))),
        bytes(encode_record(Record(api_key="sk-1", api_key_for="https://api.example/v1"))),
    ]


def _check_record(data: bytes, _: Damage) -> None:
    assert isinstance(decode_record(data, "a file"), Record)


@cache
def _configurations() -> list[bytes]:
    return [
        b'profile = "work"\n\n[profiles.work]\nmodel = "gpt-5.5"\nstore = "memory:"\n',
        b'\xef\xbb\xbfprofile = "work"\r\n[profiles.work]\r\nbackend = "openai"\r\nmodel = "gpt-6-sol"\r\n',
    ]


def _check_configuration(data: bytes, _: Damage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.toml").write_bytes(data)
        load_settings(environment={"ONPLAN_HOME": folder})


@cache
def _profiles() -> list[bytes]:
    return [
        json.dumps({"current": "work", "profiles": {"work": {"store": "memory:", "model": "m"}}}).encode()
    ]


def _check_profiles(data: bytes, _: Damage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "profiles.json").write_bytes(data)
        load_settings(environment={"ONPLAN_HOME": folder})


@cache
def _codex_files() -> list[bytes]:
    tokens = {"id_token": "e30.e30.c2ln", "access_token": "at", "refresh_token": "rt", "account_id": "acct"}
    file = {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": tokens,
        "last_refresh": "2026-11-20T00:00:00Z",
    }
    return [json.dumps(file).encode(), json.dumps({"OPENAI_API_KEY": "sk-1"}).encode()]


def _check_codex_file(data: bytes, _: Damage) -> None:
    document = auth_file.decode(data)
    if document is None or auth_file.is_damaged(document):
        return
    auth_file.instead_of_a_plan(document)
    auth_file.record_in(document)
    assert _decoded(auth_file.encode(document)) == _decoded(data), "a field of the Codex CLI's was lost"


TARGETS: Mapping[str, Target] = {
    "Responses stream": Target(_recorded_streams, _check_response_stream),
    "Chat Completions stream": Target(_chat_streams, _check_chat_stream),
    "WebSocket frames": Target(_frames, _check_frames),
    "error": Target(_error_bodies, _check_error),
    "catalogue": Target(_catalogues, _check_catalogue),
    "token response": Target(_token_responses, _check_token_response),
    "callback": Target(_callbacks, _check_callback),
    "record": Target(_records, _check_record),
    "config.toml": Target(_configurations, _check_configuration),
    "profiles.json": Target(_profiles, _check_profiles),
    "auth.json": Target(_codex_files, _check_codex_file),
}
