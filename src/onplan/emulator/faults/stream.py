"""Faults inside a 200: failures, gaps and framings of a stream; `stream_endings.py` has those of its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

from onplan.emulator.faults.actions import (
    CALL_DELTAS,
    CALL_DONES,
    OVERLOADED,
    RESPONSES,
    SSE,
    TEXT_DELTA,
    altered,
    fails,
    kind_of,
    streaming,
)
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.items import Item, Message, annotated
from onplan.emulator.wire.replies import Reply
from onplan.emulator.wire.stream import Alteration, Frame, Framing, Stream, changed_response

HUGE = 1024 * 1024


def _framed(**changes: Any) -> Callable[[Reply], Reply]:
    return streaming(framing=Framing(**changes))


def _said(change: Callable[[Message], Message]) -> Callable[[Reply], Reply]:
    """Change the model's message; a turn without one gets one."""

    def items(stream: Stream) -> tuple[Item, ...]:
        kept = [item for item in stream.turn.items if not isinstance(item, Message)]
        said = [item for item in stream.turn.items if isinstance(item, Message)] or [Message(("Nothing",))]
        return (*kept[:1], change(said[0]))

    def after(reply: Reply) -> Reply:
        if reply.stream is None:
            return reply
        return replace(
            reply, stream=replace(reply.stream, turn=replace(reply.stream.turn, items=items(reply.stream)))
        )

    return after


def _annotated(reply: Reply) -> Reply:
    if reply.stream is None:
        return reply
    turn = replace(reply.stream.turn, items=annotated(reply.stream.turn.items))
    return replace(reply, stream=replace(reply.stream, turn=turn))


def _without(*kinds: str) -> Alteration:
    return lambda frames: (frame for frame in frames if kind_of(frame) not in kinds)


def _terminal(change: Callable[[Frame], Frame]) -> Alteration:
    """The stream with its last event changed."""
    return lambda frames: (
        change(frame) if kind_of(frame) == "response.completed" else frame for frame in frames
    )


def _inserted(*inserted: Frame) -> Alteration:
    """The stream with frames inserted after each `response.output_item.added`."""

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield frame
            if kind_of(frame) == "response.output_item.added":
                yield from inserted

    return alter


def _failed(code: str, message: str, **options: str) -> Callable[[Reply], Reply]:
    return altered(fails(code, message, **options))


def _incomplete(reason: str) -> Callable[[Reply], Reply]:
    def change(frame: Frame) -> Frame:
        details = {"status": "incomplete", "incomplete_details": {"reason": reason}}
        changed = changed_response(frame, **details)
        return changed if isinstance(changed, bytes) else {**changed, "type": "response.incomplete"}

    return altered(_terminal(change))


def _every_other(frames: Iterable[Frame]) -> Iterator[Frame]:
    count = 0
    for frame in frames:
        if kind_of(frame) in (TEXT_DELTA, *CALL_DELTAS):
            count += 1
            if count % 2 == 0:
                continue
        yield frame


_CALL_ITEMS = ("function_call", "custom_tool_call")


def _interleaved(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The events of parallel calls alternate; the others keep their place."""
    calls: dict[int, list[Frame]] = {}
    rest: list[Frame] = []
    for frame in frames:
        index = frame.get("output_index") if isinstance(frame, dict) else None
        starts = kind_of(frame) == "response.output_item.added" and _item_kind(frame) in _CALL_ITEMS
        if starts or index in calls:
            calls.setdefault(index, []).append(frame)  # type: ignore[arg-type]
        else:
            rest.append(frame)
    yield from rest[:-1]
    yield from (frame for frame in chain.from_iterable(zip_longest(*calls.values())) if frame is not None)
    yield from rest[-1:]


def _item_kind(frame: Frame) -> str:
    return str(frame.get("item", {}).get("type")) if isinstance(frame, dict) else ""


RATE_LIMITS = {
    "type": "codex.rate_limits",
    "plan_type": "plus",
    "rate_limits": {
        "primary": {"used_percent": 99.5, "window_minutes": 300, "reset_at": 0},
        "secondary": None,
    },
    "credits": {"has_credits": False, "unlimited": False, "balance": None},
}
METADATA = {"type": "response.metadata", "headers": {"x-codex-turn-state": "ts_from_an_event"}}
UNKNOWN = {"type": "response.sparkle.delta", "sparkle": {"colour": "gold"}, "delta": "not text"}
DONE_EVENTS = (
    "response.output_text.done",
    "response.content_part.done",
    *CALL_DONES,
    "response.reasoning_summary_text.done",
    "response.reasoning_summary_part.done",
)


def _row(name: str, line: str, after: Callable[[Reply], Reply], where: tuple[str, ...] = RESPONSES) -> Fault:
    return Fault(name, line, where, after=after)


FAULTS = (
    _row(
        "overloaded_in_stream",
        "server_is_overloaded as second event of a 200.",
        _failed("server_is_overloaded", OVERLOADED, after="response.created"),
    ),
    _row(
        "error_event_bare",
        "A bare error event and nothing after it.",
        _failed("server_is_overloaded", OVERLOADED, bare="instead"),
    ),
    _row(
        "error_then_failed",
        "A bare error event, then response.failed.",
        _failed("server_is_overloaded", OVERLOADED, bare="before"),
    ),
    _row(
        "response_failed_rate_limit_exceeded",
        'response.failed: "try again in 1.5s".',
        _failed("rate_limit_exceeded", "Rate limit reached for gpt-5.5. Please try again in 1.5s."),
    ),
    _row(
        "response_failed_rate_limit_milliseconds",
        'response.failed: "try again in 250ms".',
        _failed("rate_limit_exceeded", "Rate limit reached for gpt-5.5. Please try again in 250ms."),
    ),
    _row("response_failed_slow_down", "response.failed: slow_down.", _failed("slow_down", "Slow down.")),
    _row(
        "response_failed_usage_limit_reached",
        "response.failed: usage_limit_reached.",
        _failed("usage_limit_reached", "The usage limit has been reached"),
    ),
    _row(
        "response_failed_insufficient_quota",
        "response.failed: insufficient_quota.",
        _failed("insufficient_quota", "You exceeded your current quota."),
    ),
    _row(
        "response_failed_context_length_exceeded",
        "response.failed: context_length_exceeded.",
        _failed("context_length_exceeded", "Your input exceeds the context window of this model."),
    ),
    _row(
        "response_failed_server_error",
        "response.failed: server_error.",
        _failed("server_error", "The server had an error while processing your request."),
    ),
    _row(
        "response_failed_after_text",
        "response.failed: server_error after the first text.",
        _failed("server_error", "The server had an error while processing your request.", after=TEXT_DELTA),
    ),
    _row(
        "response_failed_invalid_prompt",
        "response.failed: invalid_prompt.",
        _failed("invalid_prompt", "Your prompt was flagged as potentially violating our usage policy."),
    ),
    _row(
        "response_failed_cyber_policy",
        "response.failed: cyber_policy.",
        _failed("cyber_policy", "This request has been flagged for potentially high-risk cyber activity."),
    ),
    _row(
        "incomplete_max_output_tokens",
        "response.incomplete: max_output_tokens.",
        _incomplete("max_output_tokens"),
    ),
    _row("incomplete_content_filter", "response.incomplete: content_filter.", _incomplete("content_filter")),
    _row("incomplete_interrupted", "response.incomplete: interrupted.", _incomplete("interrupted")),
    _row("garbage_event", "A frame whose data is not JSON.", altered(_inserted(b"{not json"))),
    _row("unknown_event", "An event of an unknown type.", altered(_inserted(UNKNOWN))),
    _row("rate_limits_event", "A codex.rate_limits event.", altered(_inserted(RATE_LIMITS))),
    _row("metadata_event", "A response.metadata event with a turn state.", altered(_inserted(METADATA))),
    _row(
        "terminal_output_empty",
        "response.completed.output is [].",
        altered(_terminal(lambda frame: changed_response(frame, output=[]))),
    ),
    _row(
        "usage_null",
        "response.completed.usage is null.",
        altered(_terminal(lambda frame: changed_response(frame, usage=None))),
    ),
    _row(
        "usage_without_details",
        "response.completed.usage has only the three totals.",
        altered(
            _terminal(
                lambda frame: changed_response(
                    frame, usage={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
                )
            )
        ),
    ),
    _row("arguments_only_in_done", "Tool arguments come in no delta.", altered(_without(*CALL_DELTAS))),
    _row(
        "arguments_only_in_item",
        "Tool arguments come in output_item.done alone.",
        altered(_without(*CALL_DELTAS, *CALL_DONES)),
    ),
    _row(
        "text_only_in_item",
        "Text comes in output_item.done alone.",
        altered(_without(TEXT_DELTA, *DONE_EVENTS, "response.content_part.added")),
    ),
    _row(
        "deltas_without_done",
        "Parts have no done events; items have.",
        altered(_without(*DONE_EVENTS)),
    ),
    _row("delta_gaps", "Every other delta is missing.", altered(_every_other)),
    _row(
        "interleaved_tool_calls",
        "The deltas of parallel calls are mixed, keyed by item_id.",
        altered(_interleaved),
    ),
    _row(
        "refusal",
        "The model refuses.",
        _said(lambda said: Message(("I'm sorry,", " but I can't", " help with that."), refusal=True)),
    ),
    _row("annotated_links", "The Markdown links of the text have annotations, too.", _annotated),
    _row("huge_event", "A single delta of one megabyte.", _said(lambda said: Message(("x" * HUGE,)))),
    _row(
        "text_separators",
        "Text with U+2028, U+0085 and other characters that do not end a line in an event stream.",
        _said(lambda said: Message(("a\u2028b", "\u0085c\x0bd", "\x1ce \U0001f426"))),
    ),
    _row("split_writes", "Every byte in a write of its own, UTF-8 sequences too.", _framed(write_size=1)),
    _row("crlf_lines", "Lines end in CRLF.", _framed(newline=b"\r\n"), SSE),
    _row("cr_lines", "Lines end in CR.", _framed(newline=b"\r"), SSE),
    _row("bom", "The stream starts with a byte order mark.", _framed(bom=True), SSE),
    _row("comments_between", "A comment before each event.", _framed(comments=True), SSE),
    _row("multiline_data", "Each event's JSON over several data lines.", _framed(multiline=True), SSE),
    _row("no_space_after_colon", "No space after data:.", _framed(data_prefix=b"data:"), SSE),
    _row("no_event_lines", "Only data lines, no event lines.", _framed(event_lines=False), SSE),
)
