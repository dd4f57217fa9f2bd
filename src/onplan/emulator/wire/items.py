"""The output items that a model can produce, as values. Knows nothing of events or bytes."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from onplan.emulator.web import annotations_of
from onplan.emulator.wire.png import png_of


def new_id(prefix: str) -> str:
    """A new id of a kind."""
    return f"{prefix}_{secrets.token_hex(20)}"


def _id(prefix: str) -> Any:
    return field(default_factory=lambda: new_id(prefix), kw_only=True)


@dataclass(frozen=True)
class Reasoning:
    """The model's thinking: a summary if asked for, and sealed text to be sent back."""

    summary: str | None
    encrypted_content: str | None
    id: str = _id("rs")

    def finished(self) -> dict[str, Any]:
        """The item as `output_item.done` shows it."""
        summary = [] if self.summary is None else [{"type": "summary_text", "text": self.summary}]
        sealed = {"encrypted_content": self.encrypted_content}
        return {"id": self.id, "type": "reasoning", "summary": summary, **sealed}


@dataclass(frozen=True)
class Message:
    """The model's text in the pieces in which it is streamed, or its refusal."""

    pieces: tuple[str, ...]
    refusal: bool = False
    annotations: tuple[dict[str, Any], ...] = ()
    status: str = "completed"
    id: str = _id("msg")

    def part(self, text: str) -> dict[str, Any]:
        """The content part holding this text."""
        if self.refusal:
            return {"type": "refusal", "refusal": text}
        annotations = self.annotations if text else ()
        return {"type": "output_text", "annotations": annotations, "logprobs": [], "text": text}

    def finished(self) -> dict[str, Any]:
        """The item as `output_item.done` shows it."""
        content = [self.part("".join(self.pieces))]
        head = {"id": self.id, "type": "message", "status": self.status}
        return {**head, "content": content, "role": "assistant"}


@dataclass(frozen=True)
class FunctionCall:
    """A call of a function, with its arguments as JSON text."""

    name: str
    arguments: str
    namespace: str | None = None
    id: str = _id("fc")
    call_id: str = _id("call")

    def finished(self) -> dict[str, Any]:
        """The item as `output_item.done` shows it."""
        head = {"id": self.id, "type": "function_call", "status": "completed"}
        call = {"arguments": self.arguments, "call_id": self.call_id, "name": self.name}
        return {**head, **call, **_namespace(self.namespace)}


@dataclass(frozen=True)
class CustomToolCall:
    """A call of a custom tool, with free text."""

    name: str
    input: str
    namespace: str | None = None
    id: str = _id("ctc")
    call_id: str = _id("call")

    def finished(self) -> dict[str, Any]:
        """The item as `output_item.done` shows it."""
        head = {"id": self.id, "type": "custom_tool_call", "status": "completed"}
        call = {"call_id": self.call_id, "input": self.input, "name": self.name}
        return {**head, **call, **_namespace(self.namespace)}


@dataclass(frozen=True)
class WebSearchCall:
    """A search that the service carried out itself."""

    query: str
    id: str = _id("ws")

    def finished(self) -> dict[str, Any]:
        """The item as `output_item.done` shows it."""
        action = {"type": "search", "query": self.query, "queries": [self.query]}
        return {"id": self.id, "type": "web_search_call", "status": "completed", "action": action}


@dataclass(frozen=True)
class ImageGenerationCall:
    """An image that the service made itself."""

    prompt: str
    id: str = _id("ig")

    def finished(self) -> dict[str, Any]:
        """The item as `output_item.done` shows it."""
        image = base64.b64encode(png_of(self.prompt, *HOSTED_SIZE)).decode()
        head = {"id": self.id, "type": "image_generation_call", "status": "completed"}
        return {**head, "revised_prompt": self.prompt, "result": image}


HOSTED_SIZE = (1024, 1024)


@dataclass(frozen=True)
class Compaction:
    """A compacted conversation."""

    encrypted_content: str
    id: str = _id("cmp")

    def finished(self) -> dict[str, Any]:
        """The item as `output_item.done` shows it."""
        return {"id": self.id, "type": "compaction", "encrypted_content": self.encrypted_content}


Item = Reasoning | Message | FunctionCall | CustomToolCall | WebSearchCall | ImageGenerationCall | Compaction


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One response: what the request asked for, the items produced, and what they cost."""

    echo: dict[str, Any]
    items: tuple[Item, ...]
    usage: dict[str, Any]
    id: str = _id("resp")
    created_at: int = 0

    def response(self, status: str, **changes: Any) -> dict[str, Any]:
        """The response object, in the state that an event reports."""
        head = {"id": self.id, "object": "response", "created_at": self.created_at, "status": status}
        return {**head, **self.echo, **changes}


def annotated(items: Iterable[Item]) -> tuple[Item, ...]:
    """The items, whose messages have annotations for their Markdown links, as the platform makes them."""
    return tuple(
        replace(item, annotations=tuple(annotations_of("".join(item.pieces))))
        if isinstance(item, Message) and not item.refusal
        else item
        for item in items
    )


def _namespace(name: str | None) -> dict[str, str]:
    return {} if name is None else {"namespace": name}
