"""Faults of `/v1/chat/completions`: the platform's refusals, and what compatible servers do differently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from onplan.emulator.faults import firewall as faults_firewall
from onplan.emulator.faults import http as faults_http
from onplan.emulator.faults import imitations
from onplan.emulator.faults import limits as faults_limits
from onplan.emulator.faults.actions import error
from onplan.emulator.faults.fault import Fault
from onplan.emulator.faults.imitations import delta_of, ended, with_delta
from onplan.emulator.wire.chat_stream import DATA_ONLY, DONE, ChatStream
from onplan.emulator.wire.items import Message
from onplan.emulator.wire.replies import Reply, json_reply
from onplan.emulator.wire.stream import Frame

CHAT = ("chat_completions",)
Chunk = dict[str, Any]
Delta = dict[str, Any]
OVERLOADED = {"message": "The server is overloaded.", "type": "server_error", "code": "server_is_overloaded"}

FLAT = {"object": "error", "type": "BadRequestError", "param": None}

# Faults of HTTP that every API has: the rows of the Codex backend, named chat_….
SHARED = (
    "bad_gateway_502_html",
    "cloudflare_1010",
    "cloudflare_403",
    "cloudflare_empty_403",
    "connection_reset",
    "content_policy",
    "context_length_exceeded",
    "empty_500",
    "error_string",
    "html_instead_of_json",
    "ingress_503",
    "insufficient_quota",
    "invalid_image",
    "missing_content_type",
    "overloaded_503",
    "rate_limited_429",
    "rate_limited_429_bare",
    "redirect_302",
    "server_error_500",
    "slow_first_byte",
)


def _changed(change: Callable[[ChatStream], ChatStream]) -> Callable[[Reply], Reply]:
    """The reply with its stream changed."""

    def after(reply: Reply) -> Reply:
        stream = reply.stream
        return replace(reply, stream=change(stream)) if isinstance(stream, ChatStream) else reply

    return after


def _streaming(**changes: Any) -> Callable[[Reply], Reply]:
    return _changed(lambda stream: replace(stream, **changes))


def _framed(**changes: Any) -> Callable[[Reply], Reply]:
    return _streaming(framing=replace(DATA_ONLY, **changes))


def _said(*pieces: str, refusal: bool = False) -> Callable[[Reply], Reply]:
    def change(stream: ChatStream) -> ChatStream:
        return replace(stream, turn=replace(stream.turn, items=(Message(pieces, refusal=refusal),)))

    return _changed(change)


def _each(change: Callable[[Chunk], Frame | None]) -> Callable[[Reply], Reply]:
    """Each chunk changed, or left out where `change` returns None; [DONE] stays."""

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            changed = frame if isinstance(frame, bytes) else change(frame)
            if changed is not None:
                yield changed

    return _streaming(alteration=alter)


# --- how streams fail, or end otherwise -------------------------------------------------------------


def _fails(error: Chunk, *, after_content: bool = False) -> Callable[[Reply], Reply]:
    """End with an error object instead of a chunk."""

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield frame
            delta = {} if isinstance(frame, bytes) else delta_of(frame)
            if not after_content or delta.get("content") or delta.get("tool_calls"):
                break
        yield error

    return _streaming(alteration=alter)


def _finished(word: str | None) -> Callable[[Reply], Reply]:
    """Replace the finish reason."""

    def change(chunk: Chunk) -> Chunk:
        choices = [
            {**choice, "finish_reason": word if choice["finish_reason"] else None}
            for choice in chunk["choices"]
        ]
        return {**chunk, "choices": choices}

    return _each(change)


def _ending(chunk_fields: Chunk | None = None, **choice_fields: Any) -> Callable[[Reply], Reply]:
    """Add fields to the chunk that has the finish reason, or to its choice."""

    def change(chunk: Chunk) -> Chunk:
        if not any(choice["finish_reason"] for choice in chunk["choices"]):
            return chunk
        choices = [{**choice, **choice_fields} for choice in chunk["choices"]]
        return {**chunk, "choices": choices, **(chunk_fields or {})}

    return _each(change)


def _says_nothing(chunk: Chunk) -> Chunk:
    """The chunk without content; its usage stays."""
    choices = [{**choice, "delta": {}} for choice in chunk["choices"]]
    return {**chunk, "choices": [ended(choice, "stop") for choice in choices]}


def _unmarked(frames: Iterable[Frame]) -> Iterator[Frame]:
    return (frame for frame in frames if frame != DONE)


def _cut_before_the_end(frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        if isinstance(frame, bytes) or any(choice["finish_reason"] for choice in frame["choices"]):
            return
        yield frame


def _inserted(*inserted: Frame) -> Callable[[Reply], Reply]:
    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        for number, frame in enumerate(frames):
            yield frame
            if number == 0:
                yield from inserted

    return _streaming(alteration=alter)


def _plain_json(reply: Reply) -> Reply:
    return json_reply(reply.stream.whole()) if isinstance(reply.stream, ChatStream) else reply


def _unended(reply: Reply) -> Reply:
    """[DONE] without a line end."""
    if not isinstance(reply.stream, ChatStream):
        return reply
    return replace(reply, body=b"".join(reply.stream.writes()).rstrip(b"\n"), stream=None)


def _thinking(delta: Callable[[str], Delta]) -> Callable[[Reply], Reply]:
    """Thinking before the answer, in the field that `delta` makes."""

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        for number, frame in enumerate(frames):
            yield frame
            if number == 0 and not isinstance(frame, bytes):
                yield from (with_delta(frame, delta(piece)) for piece in ("Let me", " think."))

    return _streaming(alteration=alter)


def _detail(piece: str) -> Delta:
    return {
        "reasoning": piece,
        "reasoning_details": [{"type": "reasoning.text", "text": piece, "index": 0, "format": "unknown"}],
    }


def _in_parts(chunk: Chunk) -> Chunk:
    """Content as a list of parts."""
    text = delta_of(chunk).get("content")
    return with_delta(chunk, {"content": [{"type": "text", "text": text}]}) if text else chunk


def _with_nulls(chunk: Chunk) -> Chunk:
    if not chunk["choices"]:
        return chunk
    nulls = dict.fromkeys(("content", "refusal", "tool_calls", "function_call", "reasoning_content"))
    return with_delta(chunk, {**nulls, **delta_of(chunk)})


def _row(name: str, line: str, after: Callable[[Reply], Reply]) -> Fault:
    return Fault(f"chat_{name}", line, CHAT, after=after)


FAULTS = (
    *(
        replace(fault, name=f"chat_{fault.name}", where=CHAT)
        for table in (faults_http, faults_limits, faults_firewall)
        for fault in table.FAULTS
        if fault.name in SHARED
    ),
    Fault(
        "chat_invalid_api_key",
        "401 invalid_api_key.",
        CHAT,
        instead=error(401, "Incorrect API key provided: sk-****.", code="invalid_api_key"),
    ),
    Fault(
        "chat_forbidden_403",
        "403: not in this country.",
        CHAT,
        instead=error(
            403, "Country, region, or territory not supported", code="unsupported_country_region_territory"
        ),
    ),
    Fault(
        "chat_balance_402",
        "402: no balance left.",
        CHAT,
        instead=error(402, "Insufficient Balance", kind="unknown_error", code="invalid_request_error"),
    ),
    Fault(
        "chat_rate_limited_in_words",
        '429: "Please try again in 20ms".',
        CHAT,
        instead=error(
            429,
            "Rate limit reached for gpt-4.1 on requests per min (RPM). Please try again in 20ms.",
            kind="requests",
            code="rate_limit_exceeded",
        ),
    ),
    Fault(
        "chat_context_size",
        "400 exceed_context_size_error: the context is too small (llama.cpp).",
        CHAT,
        instead=error(
            400,
            "the request exceeds the available context size, try increasing it",
            kind="exceed_context_size_error",
        ),
    ),
    Fault(
        "chat_error_flat",
        "404 whose body is the error itself, without an `error` member (vLLM).",
        CHAT,
        instead=lambda: json_reply(
            {
                "object": "error",
                "message": "The model `x` does not exist.",
                "type": "NotFoundError",
                "code": 404,
            },
            404,
        ),
    ),
    _row("error_in_stream", "An error object before any content.", _fails({"error": OVERLOADED})),
    _row(
        "error_after_text",
        "An error object after the first content.",
        _fails({"error": OVERLOADED}, after_content=True),
    ),
    _row(
        "error_flat_in_stream",
        "An error whose fields are at the top level, instead of a chunk (vLLM).",
        _fails({**FLAT, "message": "It broke.", "code": 400}),
    ),
    _row("no_done", "The stream ends without [DONE].", _streaming(alteration=_unmarked)),
    _row("no_finish_reason", "[DONE] comes, but no finish reason.", _finished(None)),
    _row(
        "eof",
        "The stream ends without a finish reason and without [DONE].",
        _streaming(alteration=_cut_before_the_end),
    ),
    _row("cut", "The connection closes in the middle of a chunk.", _streaming(breaks="cut")),
    _row(
        "cut_after_end",
        "The answer is whole, then the connection breaks before [DONE].",
        _streaming(breaks="cut", breaks_at="end", alteration=_unmarked),
    ),
    _row(
        "open_after_end",
        "The answer is whole, and instead of [DONE] the connection stays open in silence.",
        _streaming(breaks="stall", breaks_at="end", alteration=_unmarked),
    ),
    _row("stall", "Nothing more after the first content.", _streaming(breaks="stall")),
    _row("garbage", "A chunk that is not JSON.", _inserted(b"{not json")),
    _row("unended", "[DONE] comes without a line end.", _unended),
    _row("plain_json", "One JSON document, although a stream was asked for.", _plain_json),
    _row("no_usage", "No usage at all.", _streaming(include_usage=False)),
    _row("usage_in_every_chunk", "Usage in every chunk.", _streaming(usage_in_every_chunk=True)),
    *(_row(name, line, _streaming(alteration=alter)) for name, line, alter in imitations.ROWS),
    _row("stop_with_calls", "finish_reason is stop, although tools are called.", _finished("stop")),
    _row("finish_length", "finish_reason is length.", _finished("length")),
    _row("finish_content_filter", "finish_reason is content_filter.", _finished("content_filter")),
    _row("finish_unknown", "finish_reason is error.", _finished("error")),
    _row("finish_in_other_words", "finish_reason is <|im_end|>.", _finished("<|im_end|>")),
    _row("error_in_choice", "An error in the choice that ends with stop.", _ending(error=OVERLOADED)),
    _row(
        "native_finish_reason",
        "native_finish_reason is network_error, and finish_reason stop.",
        _ending(native_finish_reason="network_error", finish_reason="stop"),
    ),
    _row("error_of_groq", "x_groq has an error.", _ending({"x_groq": {"id": "req_1", "error": OVERLOADED}})),
    _row("billed_and_empty", "No content, only a finish reason and usage.", _each(_says_nothing)),
    _row(
        "reasoning_content", "Thinking in reasoning_content.", _thinking(lambda p: {"reasoning_content": p})
    ),
    _row("reasoning", "Thinking in reasoning.", _thinking(lambda p: {"reasoning": p})),
    _row("reasoning_details", "Thinking in reasoning_details, and in reasoning.", _thinking(_detail)),
    _row("content_parts", "Content as a list of parts.", _each(_in_parts)),
    _row("nulls", "Every absent field is null.", _each(_with_nulls)),
    _row(
        "refusal",
        "The model refuses.",
        _said("I'm sorry,", " but I can't", " help with that.", refusal=True),
    ),
    _row("comments", "A comment before each chunk.", _framed(comments=True)),
    _row("crlf_lines", "Lines end in CRLF.", _framed(newline=b"\r\n")),
    _row("split_writes", "Every byte in a write of its own.", _framed(write_size=1)),
)
