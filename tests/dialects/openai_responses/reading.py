"""Reads a stream of the Responses API as OpenAI's SDKs and the AI SDK do, and as strictly as any of them.

The rules are those that openai-python 3.57, openai-node 7.59 and @ai-sdk/openai 3.0 check or rely on; each is
an exception, a lost text or a broken tool call in one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
_LIFECYCLE = ("response.created", "response.queued", "response.in_progress")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_INSIDE = frozenset(
    f"response.{name}"
    for name in (
        *("content_part", "reasoning_summary_part", "output_text", "refusal", "reasoning_summary_text"),
        *("function_call_arguments", "custom_tool_call_input"),
    )
)
_PARTS = {"output_text": "text", "refusal": "refusal", "summary_text": "text", "reasoning_text": "text"}


@dataclass
class _Item:
    added: Event
    arguments: str = ""
    content: list[Event] = field(default_factory=list)
    summary: list[Event] = field(default_factory=list)
    done: Event | None = None


@dataclass
class Read:
    """What a program has got from a stream.

    Attributes:
        text, thinking: from deltas.
        calls: id, name and arguments, from deltas.
        response: of the last event.
    """

    text: str
    thinking: str
    calls: list[tuple[str, str, str]]
    response: Event


def read(events: Iterable[Event]) -> Read:
    """The stream, read to its end. AssertionError where one of the clients would fail."""
    reader = _Reader()
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        reader.take(event)
    assert reader.end is not None, "the stream has no end"
    return reader.read()


class _Reader:
    def __init__(self) -> None:
        self.created: Event | None = None
        self.items: dict[int, _Item] = {}
        self.ids: set[str] = set()
        self.error: Event | None = None
        self.end: Event | None = None

    def take(self, event: Event) -> None:
        assert self.end is None, f"{event['type']} after the end"
        kind = event["type"]
        if self.created is None:
            assert kind == "response.created", f"{kind} is the first event"
        if kind in _LIFECYCLE or kind in _ENDS:
            self.lifecycle(kind, event["response"])
        elif kind == "error":
            assert {"code", "message", "param"} <= event.keys()
            self.error = event
        elif kind == "response.output_item.added":
            self.added(event["output_index"], event["item"])
        elif kind == "response.output_item.done":
            self.done(event["output_index"], event["item"])
        elif kind.rpartition(".")[0] in _INSIDE:
            item = self.items[event["output_index"]]
            assert item.done is None, f"{kind} after its item was done"
            assert event["item_id"] == item.added["id"]
            self.inside(item, kind, event)

    def lifecycle(self, kind: str, response: Event) -> None:
        assert type(response["created_at"]) is int
        assert isinstance(response["model"], str)
        assert response["object"] == "response"
        if kind == "response.created":
            assert self.created is None
            assert response["output"] == []
            self.created = response
        assert self.created is not None
        assert response["id"] == self.created["id"] != ""
        if kind in _ENDS:
            self.finish(kind, response)

    def added(self, index: int, item: Event) -> None:
        assert index == len(self.items), "an index twice, or with a gap"
        assert item["id"] not in self.ids
        self.ids.add(item["id"])
        match item["type"]:
            case "message":
                assert item["content"] == []
                assert item["role"] == "assistant"
                assert item["status"] == "in_progress"
            case "reasoning":
                assert item["summary"] == []
            case "function_call":
                assert item["call_id"]
                assert item["name"]
                assert item["arguments"] == ""
            case "custom_tool_call":
                assert item["call_id"]
                assert item["name"]
                assert item["input"] == ""
        self.items[index] = _Item(item)

    def inside(self, item: _Item, kind: str, event: Event) -> None:
        name, _, what = kind.rpartition(".")
        if name in ("response.content_part", "response.reasoning_summary_part"):
            parts, index = self.parts(item, event)
            if what == "added":
                assert index == len(parts)
                part = event["part"]
                assert part[_PARTS[part["type"]]] == ""
                parts.append(dict(part))
            else:
                assert event["part"]["type"] == parts[index]["type"]
        elif name in ("response.function_call_arguments", "response.custom_tool_call_input"):
            assert item.added["type"] == ("function_call" if "arguments" in name else "custom_tool_call")
            if what == "delta":
                assert isinstance(event["delta"], str)
                item.arguments += event["delta"]
            else:
                said = event["arguments" if "arguments" in name else "input"]
                assert _same(said, item.arguments)
        elif name in ("response.output_text", "response.refusal", "response.reasoning_summary_text"):
            parts, index = self.parts(item, event)
            expected = {"response.output_text": "output_text", "response.refusal": "refusal"}
            assert parts[index]["type"] == expected.get(name, "summary_text")
            if name == "response.output_text" and what in ("delta", "done"):
                assert event["logprobs"] == []
            text = _PARTS[parts[index]["type"]]
            if what == "delta":
                parts[index][text] += event["delta"]
            elif what == "done":
                assert event[text] == parts[index][text]

    def parts(self, item: _Item, event: Event) -> tuple[list[Event], int]:
        if "summary_index" in event:
            assert item.added["type"] == "reasoning"
            return item.summary, event["summary_index"]
        return item.content, event["content_index"]

    def done(self, index: int, item: Event) -> None:
        begun = self.items[index]
        assert begun.done is None
        assert [item["type"], item["id"]] == [begun.added["type"], begun.added["id"]]
        assert item.get("call_id") == begun.added.get("call_id")
        if item["type"] in ("message", "function_call", "custom_tool_call"):
            assert item["status"] in ("completed", "incomplete")
        if item["type"] == "message":
            assert _texts(item["content"]) == _texts(begun.content)
            for part in item["content"]:
                if part["type"] == "output_text":
                    assert part["annotations"] is not None
                    assert part["logprobs"] is not None
        if item["type"] == "reasoning":
            assert _texts(item["summary"]) == _texts(begun.summary)
        if item["type"] == "function_call":
            assert _same(item["arguments"], begun.arguments)
            assert item["name"] == begun.added["name"]
        if item["type"] == "custom_tool_call":
            assert item["input"] == begun.arguments
        begun.done = item

    def finish(self, kind: str, response: Event) -> None:
        assert response["status"] == kind.removeprefix("response.")
        self.end = response
        if kind == "response.failed":
            assert self.error is not None
            assert response["error"]["code"] == self.error["code"]
            return
        assert response["output"] == [item.done for item in self.items.values()]
        assert all(item.done is not None for item in self.items.values())
        usage = response["usage"]
        if usage is not None:
            for name in ("input_tokens", "output_tokens", "total_tokens"):
                assert type(usage[name]) is int
            assert type(usage["input_tokens_details"]["cached_tokens"]) is int
            assert type(usage["output_tokens_details"]["reasoning_tokens"]) is int

    def read(self) -> Read:
        items = self.items.values()
        calls = [
            (item.added["call_id"], item.added["name"], item.arguments)
            for item in items
            if item.added["type"] in ("function_call", "custom_tool_call")
        ]
        said = [part for item in items for part in item.content if part["type"] == "output_text"]
        thought = [part["text"] for item in items for part in item.summary]
        assert self.end is not None
        return Read("".join(part["text"] for part in said), "\n\n".join(thought), calls, self.end)


def _texts(parts: list[Event]) -> list[tuple[str, str]]:
    found = [(part["type"], part[_PARTS[part["type"]]]) for part in parts if part["type"] in _PARTS]
    return [each for each in found if each[1]]


def _same(one: str, other: str) -> bool:
    return one == other or bool(one and other and json.loads(one) == json.loads(other))
