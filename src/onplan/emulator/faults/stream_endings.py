"""Faults of how a stream ends: cut, silent, without its last event or with another one; compression."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from onplan.emulator.faults.actions import OVERLOADED, RESPONSES, SSE, altered, kind_of, streaming
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.replies import Reply
from onplan.emulator.wire.stream import Alteration, Frame

COMPRESSED = (
    *SSE,
    "chat_completions",
    "models",
    "plan_models",
    "platform_models",
    "accounts_check",
    "usage",
    "token:authorization_code",
    "token:refresh_token",
)
SERVER_ERROR = {"type": "server_error", "code": "server_error", "message": "The server had an error."}


def _ended(kind: str, **response: Any) -> Alteration:
    """The stream with another last event, whose response has only its id and these fields."""

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            if isinstance(frame, dict) and kind_of(frame) == "response.completed":
                named = {"id": frame["response"]["id"], "object": "response"}
                yield {"type": kind, "response": {**named, **response}}
            else:
                yield frame

    return alter


def _without_end(frames: Iterable[Frame]) -> Iterator[Frame]:
    return (frame for frame in frames if kind_of(frame) != "response.completed")


def _done(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The last event renamed to `response.done`."""
    for frame in frames:
        whole = isinstance(frame, dict) and kind_of(frame) == "response.completed"
        yield {**frame, "type": "response.done"} if whole and isinstance(frame, dict) else frame


def _instead(*last: Frame) -> Alteration:
    """The stream's first two events, then these and no more."""

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield frame
            if kind_of(frame) == "response.in_progress":
                break
        yield from last

    return alter


def _limit_reached(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The limits as an event, then `response.failed` with the plan and its reset time."""
    resets_at = int(time.time()) + 3600
    windows = {
        "primary": {"used_percent": 100, "window_minutes": 300, "reset_at": resets_at},
        "secondary": {"used_percent": 80, "window_minutes": 10_080, "reset_at": resets_at + 300_000},
    }
    response: dict[str, Any] = {}
    for frame in frames:
        yield frame
        response = frame.get("response", response) if isinstance(frame, dict) else response
        if kind_of(frame) == "response.in_progress":
            break
    yield {"type": "codex.rate_limits", "plan_type": "plus", "rate_limits": windows, "credits": None}
    error = {
        "type": "usage_limit_reached",
        "code": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "plus",
        "resets_at": resets_at,
        "resets_in_seconds": 3600,
    }
    yield {"type": "response.failed", "response": {**response, "status": "failed", "error": error}}


def _row(name: str, line: str, alteration: Alteration) -> Fault:
    return Fault(name, line, RESPONSES, after=altered(alteration))


def _compressed(reply: Reply) -> Reply:
    return replace(reply, compressed=True)


_OVERLOADED = {"code": "server_is_overloaded", "message": OVERLOADED}
_ENDS: tuple[tuple[str, str, Alteration], ...] = (
    ("eof_without_terminal", "A clean end of the stream without a terminal event.", _without_end),
    ("response_done", "The last event is called response.done.", _done),
    (
        "response_done_bare",
        "response.done without a status and an output.",
        _ended("response.done"),
    ),
    (
        "response_done_incomplete",
        "response.done whose status is incomplete.",
        _ended(
            "response.done",
            status="incomplete",
            incomplete_details={"reason": "max_output_tokens"},
            usage=None,
        ),
    ),
    (
        "response_done_failed",
        "response.done whose status is failed.",
        _ended("response.done", status="failed", error=_OVERLOADED),
    ),
    (
        "response_done_cancelled",
        "response.done whose status is cancelled.",
        _ended("response.done", status="cancelled"),
    ),
    ("response_cancelled", "response.cancelled.", _ended("response.cancelled", status="cancelled")),
    (
        "response_error_event",
        "An event response.error in the place of response.failed.",
        _instead({"type": "response.error", "error": SERVER_ERROR}),
    ),
    (
        "usage_limit_in_stream",
        "The limits as an event, then response.failed: usage_limit_reached with plan and reset time.",
        _limit_reached,
    ),
)

FAULTS: tuple[Fault, ...] = (
    Fault(
        "cut_mid_event",
        "The connection closes in the middle of an event.",
        RESPONSES,
        after=streaming(breaks="cut"),
    ),
    Fault(
        "stall",
        "Nothing more after the first content, the connection stays open.",
        RESPONSES,
        after=streaming(breaks="stall"),
    ),
    *(_row(name, line, alteration) for name, line, alteration in _ENDS),
    Fault(
        "cut_after_end",
        "The answer is whole, then the connection breaks without ending the body.",
        RESPONSES,
        after=streaming(breaks="cut", breaks_at="end"),
    ),
    Fault(
        "open_after_end",
        "The answer is whole, and the connection stays open in silence.",
        RESPONSES,
        after=streaming(breaks="stall", breaks_at="end"),
    ),
    Fault(
        "compressed",
        "The answer is compressed, with zstd or gzip as the client accepts, a stream write by write.",
        COMPRESSED,
        after=_compressed,
    ),
)
