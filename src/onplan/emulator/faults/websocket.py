"""Faults of a WebSocket: refused upgrades, close frames, silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from onplan.emulator.faults.actions import CALL_DELTAS, TEXT_DELTA, altered, error, kind_of, streaming
from onplan.emulator.faults.fault import Fault
from onplan.emulator.faults.limits import used_up
from onplan.emulator.wire import frames
from onplan.emulator.wire.pages import CLOUDFLARE_BLOCK
from onplan.emulator.wire.replies import Reply, detail, html_reply
from onplan.emulator.wire.stream import Alteration, Frame, Raw

UPGRADE = ("responses_upgrade",)
MESSAGE = ("responses_message",)
UNUSED_OPCODE = 0x3


def _raw(data: bytes, kind: str = "") -> Raw:
    raw = Raw(data)
    raw.kind = kind
    return raw


def _instead(*written: Frame) -> Alteration:
    """These frames instead of the events."""
    return lambda frames_of_turn: iter(written)


def _then(written: Frame) -> Alteration:
    """End with a frame after the first text or arguments."""

    def alter(events: Iterable[Frame]) -> Iterator[Frame]:
        for event in events:
            yield event
            if kind_of(event) in (TEXT_DELTA, *CALL_DELTAS):
                break
        yield written

    return alter


def _after_all(written: Frame) -> Alteration:
    """The whole stream, then a frame."""

    def alter(events: Iterable[Frame]) -> Iterator[Frame]:
        yield from events
        yield written

    return alter


def _before_each(written: Frame) -> Alteration:
    def alter(events: Iterable[Frame]) -> Iterator[Frame]:
        for event in events:
            yield written
            yield event

    return alter


def _in_fragments(events: Iterable[Frame]) -> Iterator[Frame]:
    """Every message in three frames, a ping between them."""
    for event in events:
        data = msgspec.json.encode(event)
        third = len(data) // 3
        pieces = (
            frames.encode(frames.TEXT, data[:third], final=False),
            frames.encode(frames.PING, b"between"),
            frames.encode(frames.CONTINUATION, data[third : 2 * third], final=False),
            frames.encode(frames.CONTINUATION, data[2 * third :]),
        )
        yield _raw(b"".join(pieces), kind_of(event))


def _refused(status: int, instead: Callable[[], Reply]) -> Fault:
    return Fault(f"websocket_{status}", f"{status} to the WebSocket upgrade.", UPGRADE, instead=instead)


def _message(name: str, line: str, alteration: Alteration) -> Fault:
    return Fault(f"websocket_{name}", line, MESSAGE, after=altered(alteration))


def _closes(code: int, reason: str) -> tuple[Fault, Fault]:
    frame = _raw(frames.close(code, reason), "close")
    return (
        _message(f"close_{code}", f"A close frame {code} and nothing before it.", _instead(frame)),
        _message(f"close_{code}_after_text", f"A close frame {code} after the first text.", _then(frame)),
    )


def _used_up_message() -> dict[str, Any]:
    reply = used_up()
    return {"type": "error", "status_code": 429, **reply.json, "headers": dict(reply.headers[1:])}


ERROR: dict[str, Any] = {"type": "server_error", "code": None, "message": "The server had an error."}

FAULTS = (
    _refused(401, lambda: detail("Unauthorized", 401)),
    _refused(403, lambda: html_reply(CLOUDFLARE_BLOCK, 403)),
    _refused(404, lambda: detail("Not Found", 404)),
    _refused(426, lambda: Reply(status=426, headers=(("upgrade", "websocket"),))),
    _refused(429, used_up),
    _refused(500, error(500, "Internal server error", code="server_error")),
    _refused(503, error(503, "Service unavailable.", code="service_unavailable")),
    Fault(
        "websocket_reset",
        "The connection ends without a reply to the upgrade.",
        UPGRADE,
        instead=lambda: Reply(ending="reset"),
    ),
    Fault(
        "websocket_upgrade_slow",
        "The upgrade is answered after a while (1 s, or the seconds it was armed with).",
        UPGRADE,
        delay=1.0,
    ),
    *_closes(1000, ""),
    *_closes(1008, "policy"),
    *_closes(1009, "message too big"),
    *_closes(1011, "internal error"),
    _message(
        "close_after_answer",
        "A close frame 1000 when the answer is complete.",
        _after_all(_raw(frames.close(1000), "close")),
    ),
    _message(
        "error_with_status",
        "An error message with a status, and nothing after it.",
        _instead({"type": "error", "status": 500, "error": ERROR, "headers": {}}),
    ),
    _message(
        "error_without_status",
        "An error message without a status, and nothing after it.",
        _instead({"type": "error", "error": ERROR}),
    ),
    _message(
        "usage_limit",
        "An error message whose status is called status_code: usage_limit_reached, with headers.",
        lambda frames_of_turn: iter([_used_up_message()]),
    ),
    _message(
        "previous_response_not_found_flat",
        "previous_response_not_found with code and message at the top level.",
        _instead(
            {
                "type": "error",
                "status": 400,
                "code": "previous_response_not_found",
                "message": "Previous response with id 'resp_0' not found.",
                "param": "previous_response_id",
            }
        ),
    ),
    Fault(
        "websocket_connection_limit",
        "websocket_connection_limit_reached, as after 60 minutes.",
        MESSAGE,
        instead=error(
            429,
            "This connection has reached its limit of 60 minutes.",
            code="websocket_connection_limit_reached",
        ),
    ),
    Fault(
        "websocket_previous_response_not_found",
        "previous_response_not_found, whatever was asked for.",
        MESSAGE,
        instead=error(
            400, "Previous response with id 'resp_0' not found.", code="previous_response_not_found"
        ),
    ),
    Fault(
        "websocket_silence",
        "Nothing more after the first content, and pings are not answered.",
        MESSAGE,
        after=streaming(breaks="silence"),
    ),
    _message(
        "binary",
        "A binary message in place of the first event.",
        _instead(_raw(frames.encode(frames.BINARY, b"{}"))),
    ),
    _message(
        "garbage_frame",
        "A frame that the protocol does not know.",
        _instead(_raw(frames.encode(UNUSED_OPCODE, b"?"))),
    ),
    _message(
        "pings",
        "A ping before every message.",
        _before_each(_raw(frames.encode(frames.PING, b"are you there?"))),
    ),
    _message("fragments", "Every message in three frames, a ping between them.", _in_fragments),
)
