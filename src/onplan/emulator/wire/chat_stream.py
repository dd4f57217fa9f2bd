"""A turn as Chat Completions: in chunks, in their real order and with all their fields; or whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from onplan.emulator.wire.events import pieces_of
from onplan.emulator.wire.items import CustomToolCall, FunctionCall, Message, Turn
from onplan.emulator.wire.stream import Frame, Framing, Stream, cut_up, framed, joined

Body = dict[str, Any]
DONE = b"[DONE]"
DATA_ONLY = Framing(event_lines=False)
# Where a stream breaks: in the second piece of content.
BREAKING_PIECE = 2


@dataclass(frozen=True, kw_only=True)
class ChatStream(Stream):
    """A turn on its way to the wire, as chunks. `limit` cuts it, one token for each piece of text."""

    limit: int | None = None
    include_usage: bool = False
    usage_in_every_chunk: bool = False

    def frames(self) -> Iterator[Frame]:
        """The chunks and the end mark."""
        frames: Iterable[Frame] = self._chunks()
        yield from self.alteration(frames) if self.alteration else frames

    def writes(self) -> Iterator[bytes]:
        """The bytes of each write, up to where the stream breaks."""
        chunks = self._encoded()
        if self.framing.write_size is not None:
            return cut_up(chunks, self.framing.write_size)
        return chunks if self.interval else joined(chunks)

    def whole(self) -> Body:
        """The answer to those who do not stream."""
        message: Body = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
        for item in self.turn.items:
            if isinstance(item, Message):
                message["refusal" if item.refusal else "content"] = "".join(self._pieces(item))
                message["annotations"] = [_annotation(each) for each in item.annotations]
            if isinstance(item, FunctionCall | CustomToolCall):
                message.setdefault("tool_calls", []).append(_call(item, _said(item)))
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._reason()}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage()}

    def _chunks(self) -> Iterator[Frame]:
        head = self._head("chat.completion.chunk")
        if self.include_usage:
            head["usage"] = self._usage() if self.usage_in_every_chunk else None
        for delta in self._deltas():
            yield {**head, "choices": [_choice_of(delta, None)]}
        yield {**head, "choices": [_choice_of({}, self._reason())]}
        if self.include_usage and not self.usage_in_every_chunk:
            yield {**head, "choices": [], "usage": self._usage()}
        yield DONE

    def _deltas(self) -> Iterator[Body]:
        yield {"role": "assistant", "content": "", "refusal": None}
        calls = 0
        for item in self.turn.items:
            if isinstance(item, Message):
                yield from ({"refusal" if item.refusal else "content": piece} for piece in self._pieces(item))
                if item.annotations:
                    yield {"annotations": [_annotation(each) for each in item.annotations]}
            if isinstance(item, FunctionCall | CustomToolCall):
                yield {"tool_calls": [{"index": calls, **_call(item, "")}]}
                kind, text = _NAMES[type(item)]
                for piece in pieces_of(_said(item)):
                    yield {"tool_calls": [{"index": calls, kind: {text: piece}}]}
                calls += 1

    def _pieces(self, item: Message) -> tuple[str, ...]:
        return item.pieces[: self.limit]

    def _reason(self) -> str:
        if any(len(self._pieces(item)) < len(item.pieces) for item in _messages(self.turn)):
            return "length"
        called = any(isinstance(item, FunctionCall | CustomToolCall) for item in self.turn.items)
        return "tool_calls" if called else "stop"

    def _head(self, kind: str) -> Body:
        return {
            "id": self.turn.id.replace("resp_", "chatcmpl-"),
            "object": kind,
            "created": self.turn.created_at,
            "model": self.turn.echo["model"],
            "service_tier": "default",
            "system_fingerprint": None,
        }

    def _usage(self) -> Body:
        usage = self.turn.usage
        left = sum(len(item.pieces) - len(self._pieces(item)) for item in _messages(self.turn))
        completion = usage["output_tokens"] - left
        return {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": completion,
            "total_tokens": usage["input_tokens"] + completion,
            "prompt_tokens_details": {**usage["input_tokens_details"], "audio_tokens": 0},
            "completion_tokens_details": {**usage["output_tokens_details"], "audio_tokens": 0},
        }

    def _encoded(self) -> Iterator[bytes]:
        encode = msgspec.json.Encoder().encode
        one_line, pieces = replace(self.framing, multiline=False), 0
        for frame in self.frames():
            if isinstance(frame, bytes):
                chunk = framed("", frame, one_line)
            else:
                chunk = framed("", encode(frame), self.framing)
            pieces += _has_content(frame)
            if self.breaks_early and pieces == BREAKING_PIECE:
                yield chunk[: len(chunk) // 2]
                return
            yield chunk


def _messages(turn: Turn) -> list[Message]:
    return [item for item in turn.items if isinstance(item, Message)]


def _annotation(given: Body) -> Body:
    """An annotation, as this API has it."""
    inner = {name: value for name, value in given.items() if name != "type"}
    return {"type": given["type"], given["type"]: inner}


# What a call, and the text in it, are called.
_NAMES = {FunctionCall: ("function", "arguments"), CustomToolCall: ("custom", "input")}


def _said(item: FunctionCall | CustomToolCall) -> str:
    return item.input if isinstance(item, CustomToolCall) else item.arguments


def _call(item: FunctionCall | CustomToolCall, said: str) -> Body:
    kind, text = _NAMES[type(item)]
    return {"id": item.call_id, "type": kind, kind: {"name": item.name, text: said}}


def _choice_of(delta: Body, reason: str | None) -> Body:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _has_content(frame: Frame) -> bool:
    """Whether a piece of the answer is in it."""
    choices = [] if isinstance(frame, bytes) else frame.get("choices") or []
    deltas = [choice["delta"] for choice in choices]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    said = [call.get(kind, {}).get(text) for call in calls for kind, text in _NAMES.values()]
    return any(delta.get("content") for delta in deltas) or any(said)
