"""Messages to input items, output items to content parts: the two directions of one table.

Backends with ``store: false`` keep nothing, so item ids are never replayed ("Item with id … not found").
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from onplan.errors import InvalidRequestError
from onplan.types import (
    ContentPart,
    File,
    Image,
    Message,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

Item: TypeAlias = dict[str, Any]


# --- messages to input items ------------------------------------------------------------------------


def input_items(messages: Iterable[Message], system_role: str) -> list[Item]:
    """The ``input`` of a request.

    System messages take ``system_role``. Every result has its call before it (``history.repaired``).

    Raises:
        InvalidRequestError: a part cannot be said by its message's role.
    """
    return [item for message in messages for item in _message_items(message, system_role)]


_HOLDS: Mapping[Role, tuple[type, ...]] = {
    Role.SYSTEM: (Text, Image, File),
    Role.DEVELOPER: (Text, Image, File),
    Role.USER: (Text, Image, File, ToolResult),
    Role.ASSISTANT: (Text, Refusal, ToolCall, Thinking),
    Role.TOOL: (ToolResult,),
}


def _message_items(message: Message, system_role: str) -> Iterable[Item]:
    """The items of one message, in the order of its parts; runs of plain content share one item."""
    role = system_role if message.role is Role.SYSTEM else message.role.value
    content: list[Item] = []
    phase: str | None = None
    for part in message.content:
        if not isinstance(part, _HOLDS[message.role]):
            raise InvalidRequestError(f"A message of role {message.role} cannot hold a {part.type} part.")
        if isinstance(part, ToolCall | ToolResult | Thinking):
            yield from _message_item(role, content, phase)
            content = []
            yield from _OWN_ITEMS[type(part)](part)
            continue
        if isinstance(part, Text) and part.phase != phase:
            yield from _message_item(role, content, phase)
            content, phase = [], part.phase
        content.append(_content(part, role))
    yield from _message_item(role, content, phase)


def _message_item(role: str, content: list[Item], phase: str | None) -> Iterable[Item]:
    if content:
        item: Item = {"type": "message", "role": role, "content": content}
        yield item if phase is None else {**item, "phase": phase}


def _function_call(part: ToolCall) -> Iterable[Item]:
    item = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
    yield {**item, "namespace": part.namespace} if part.namespace else item


def _function_call_output(part: ToolResult) -> Iterable[Item]:
    for piece in () if isinstance(part.content, str) else part.content:
        if not isinstance(piece, Text | Image):
            raise InvalidRequestError(f"A tool result cannot hold a {piece.type} part.")
    output: str | list[Item] = (
        part.content
        if isinstance(part.content, str)
        else [_content(piece, Role.USER) for piece in part.content]
    )
    yield {"type": "function_call_output", "call_id": part.tool_call_id, "output": output}


def _reasoning(part: Thinking) -> Iterable[Item]:
    # Without it there is nothing the backend could use; JSON is what another wire kept for its own server.
    if part.encrypted and not part.encrypted.startswith("{"):
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        yield {"type": "reasoning", "summary": summary, "encrypted_content": part.encrypted}


_OWN_ITEMS: Mapping[type, Callable[[Any], Iterable[Item]]] = {
    ToolCall: _function_call,
    ToolResult: _function_call_output,
    Thinking: _reasoning,
}


def _content(part: ContentPart, role: str) -> Item:
    """One content part of a message item."""
    match part:
        case Text(text=text):
            return {"type": "output_text" if role == Role.ASSISTANT else "input_text", "text": text}
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text}
        case Image():
            return {"type": "input_image", "image_url": part.url or _data_url(part, "image/png")}
        case File():
            return _file(part)
        case _:
            raise InvalidRequestError(f"A {part.type} part cannot stand inside a message's content.")


def _file(part: File) -> Item:
    name = {"filename": part.filename} if part.filename else {}
    if part.url:
        return {"type": "input_file", **name, "file_url": part.url}
    return {"type": "input_file", **name, "file_data": _data_url(part, "application/octet-stream")}


def _data_url(part: Image | File, default_type: str) -> str:
    if part.data is None:
        missing = "has neither url nor data" if part.path is None else f"at {part.path} was not read"
        raise InvalidRequestError(f"The {part.type} {missing}.")
    return f"data:{part.mime_type or default_type};base64,{b64encode(part.data).decode('ascii')}"


# --- output items to content parts ------------------------------------------------------------------

Section: TypeAlias = tuple[str, int]
"""A streamed piece of an item: its kind (``output_text``, ``refusal``, ``summary``, ``reasoning``,
``arguments``) and its index."""


CONTENT_KINDS = frozenset({"message", "reasoning", "function_call"})
"""The types of the items that an answer is made of."""


def kind_of(item: Item) -> str:
    """The item's type; empty if it says none. What has a message's fields is one, whatever it is called."""
    kind = item.get("type")
    kind = kind if isinstance(kind, str) else ""
    is_message = item.get("role") == "assistant" and isinstance(item.get("content"), list)
    return "message" if is_message and kind not in CONTENT_KINDS else kind


def sections_of(item: Item) -> dict[Section, str]:
    """The text of every section of a finished item, in order; none for items that carry no content."""
    sections: dict[Section, str] = {}
    kind = item.get("type")
    if kind == "function_call":
        sections["arguments", 0] = text_of(item.get("arguments"))
    if kind == "reasoning":
        for index, entry in enumerate(_entries(item.get("summary"))):
            sections["summary", index] = text_of(entry.get("text"))
    if kind in ("reasoning", "message"):
        unnamed = "reasoning_text" if kind == "reasoning" else "output_text"
        for index, entry in enumerate(_entries(item.get("content"))):
            section = _SECTION_KINDS.get(str(entry.get("type") or unnamed))
            if section == "output_text" and kind == "reasoning":  # it is called text there at some servers
                section = "reasoning"
            if section:
                sections[section, index] = text_of(entry.get("refusal" if section == "refusal" else "text"))
    return sections


def text_of(value: Any) -> str:
    """A text as it is; what servers send in place of one (arguments as an object) as its JSON text."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _entries(content: Any) -> list[Item]:
    """The entries of a list of content, where some servers have a string, or a list of strings."""
    entries = [content] if isinstance(content, str | dict) else content or ()
    return [{"text": entry} if isinstance(entry, str) else entry for entry in entries]


_SECTION_KINDS = {
    "output_text": "output_text",
    "text": "output_text",
    "input_text": "output_text",
    "refusal": "refusal",
    "reasoning_text": "reasoning",
}

SUMMARY_SEPARATOR = "\n\n"


def call_id_of(item: Item) -> str:
    """The id that a function call's result must name."""
    return str(item.get("call_id") or item.get("id") or "")


def parts_of(item: Item, sections: Mapping[Section, str]) -> list[ContentPart]:
    """The content parts that a finished item amounts to; none for items that carry no content."""
    match item.get("type"):
        case "function_call":
            name, arguments = str(item.get("name") or ""), sections.get(("arguments", 0), "")
            return [ToolCall(call_id_of(item), name, arguments, _string(item.get("namespace")))]
        case "reasoning":
            text = SUMMARY_SEPARATOR.join(text for text in sections.values() if text)
            encrypted = _string(item.get("encrypted_content"))
            return [Thinking(text, encrypted)] if text or encrypted else []
        case "message":
            phase = _string(item.get("phase"))
            said = [(kind, text) for (kind, _), text in sections.items() if text]
            return [_part_of(kind, text, phase) for kind, text in said]
        case _:
            return []


def parts_in(item: Item) -> list[ContentPart]:
    """The content parts of an item that came whole."""
    kind = kind_of(item)
    typed = item if item.get("type") == kind else {**item, "type": kind}
    return parts_of(typed, sections_of(typed))


def _part_of(kind: str, text: str, phase: str | None) -> ContentPart:
    """One section of a message; some servers have the thinking there as well."""
    match kind:
        case "refusal":
            return Refusal(text)
        case "reasoning":
            return Thinking(text)
        case _:
            return Text(text, phase)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
