"""Converts messages to input items, and output items to content parts.

Item ids are never sent back: with ``store: false`` the backend keeps no items and answers "Item with id … not
found" (the platform and Codex backend, 2026).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from onplan.errors import InvalidRequestError
from onplan.request.data_url import data_url
from onplan.request.tool_results import told_of
from onplan.types import (
    IMAGE_GENERATION,
    WEB_SEARCH,
    Compaction,
    ContentPart,
    File,
    HostedToolCall,
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

    Args:
        messages: a conversation in which each tool result follows its call, as ``history.repaired`` gives it.
        system_role: the role that system messages get.

    Raises:
        InvalidRequestError: a message holds a part that its role does not allow.
    """
    items = [item for message in messages for item in _message_items(message, system_role)]
    _mark_custom(items)
    return items


def _mark_custom(items: Iterable[Item]) -> None:
    """Give the results of custom tools their type: a result itself does not say whose it is.

    As in ``history``, a result answers the latest call with its id that has none.
    """
    calls: dict[str, list[str]] = {}
    for item in items:
        if item["type"] in CALL_KINDS:
            calls.setdefault(item["call_id"], []).append(item["type"])
        elif item["type"] == _RESULT and (of := calls.get(item["call_id"])):
            item["type"] = f"{of[-1]}_output"
            if len(of) > 1:
                of.pop()


_HOLDS: Mapping[Role, tuple[type, ...]] = {
    Role.SYSTEM: (Text, Image, File),
    Role.DEVELOPER: (Text, Image, File),
    Role.USER: (Text, Image, File, ToolResult),
    Role.ASSISTANT: (Text, Refusal, ToolCall, HostedToolCall, Thinking, Compaction),
    Role.TOOL: (ToolResult,),
}


def _message_items(message: Message, system_role: str) -> Iterable[Item]:
    """The items of one message, in the order of its parts; adjacent texts and images share one item."""
    role: str = system_role if message.role is Role.SYSTEM else message.role
    content: list[Item] = []
    phase: str | None = None
    for part in message.content:
        if not isinstance(part, _HOLDS[message.role]):
            raise InvalidRequestError(f"A message of role {message.role} cannot hold a {part.type} part.")
        if type(part) in _OWN_ITEMS:
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


def _call(part: ToolCall) -> Iterable[Item]:
    kind, text = ("custom_tool_call", "input") if part.is_custom else ("function_call", "arguments")
    item = {"type": kind, "call_id": part.id, "name": part.name, text: part.arguments}
    yield {**item, "namespace": part.namespace} if part.namespace else item


_RESULT = "function_call_output"


def _call_output(part: ToolResult) -> Iterable[Item]:
    told = told_of(part)
    output = told if isinstance(told, str) else [_content(piece, Role.USER) for piece in told]
    yield {"type": _RESULT, "call_id": part.tool_call_id, "output": output}


def _reasoning(part: Thinking) -> Iterable[Item]:
    # Without encrypted content the backend cannot use it. JSON in it belongs to a Chat Completions server.
    if part.encrypted and not part.encrypted.startswith("{"):
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        yield {"type": "reasoning", "summary": summary, "encrypted_content": part.encrypted}


def _hosted_call(part: HostedToolCall) -> Iterable[Item]:
    """The item as it came; the official client does not send the list of ``sources`` back either."""
    item = {**part.fields, "type": f"{part.name}_call"}
    if isinstance(action := item.get("action"), dict):
        item["action"] = {name: value for name, value in action.items() if name != "sources"}
    yield item


def _compaction(part: Compaction) -> Iterable[Item]:
    item = {"type": "compaction", "encrypted_content": part.encrypted}
    yield {**item, "id": part.id} if part.id else item


_OWN_ITEMS: Mapping[type, Callable[[Any], Iterable[Item]]] = {
    ToolCall: _call,
    HostedToolCall: _hosted_call,
    ToolResult: _call_output,
    Thinking: _reasoning,
    Compaction: _compaction,
}


def _content(part: ContentPart, role: str) -> Item:
    """One content part of a message item."""
    match part:
        case Text(text=text) if role != Role.ASSISTANT:
            return {"type": "input_text", "text": text}
        case Text(text=text, annotations=annotations):
            item = {"type": "output_text", "text": text}
            return {**item, "annotations": annotations} if annotations else item
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text}
        case Image():
            item = {"type": "input_image", "image_url": part.url or data_url(part)}
            return {**item, "detail": part.detail} if part.detail else item
        case File():
            return _file(part)
        case _:
            raise InvalidRequestError(f"A {part.type} part cannot stand inside a message's content.")


def _file(part: File) -> Item:
    name = {"filename": part.filename} if part.filename else {}
    if part.url:
        return {"type": "input_file", **name, "file_url": part.url}
    return {"type": "input_file", **name, "file_data": data_url(part)}


# --- output items to content parts ------------------------------------------------------------------

Section: TypeAlias = tuple[str, int]
"""A streamed section of an item: its kind (``output_text``, ``refusal``, ``summary``, ``reasoning``,
``arguments``, which are the input of a custom tool, too) and its index."""

CALL_KINDS = frozenset({"function_call", "custom_tool_call"})
"""The types of items that are calls."""
CONTENT_KINDS = frozenset({"message", "reasoning", *CALL_KINDS})
"""The types of items that become content parts."""

COMPACTIONS = frozenset({"compaction", "compaction_summary"})
"""The types of the item that a compacted conversation becomes; the official client takes either."""


def kind_of(item: Item) -> str:
    """The item's type; empty if it has none. An item with a message's fields counts as ``message``."""
    kind = item.get("type")
    if type(kind) is not str:
        kind = ""
    elif kind in CONTENT_KINDS:
        return kind
    is_message = item.get("role") == "assistant" and isinstance(item.get("content"), list)
    return "message" if is_message else kind


def sections_of(item: Item) -> dict[Section, str]:
    """The text of each section of a finished item, in order; empty for items without content."""
    sections: dict[Section, str] = {}
    kind = item.get("type")
    if kind == "function_call":
        sections["arguments", 0] = text_of(item.get("arguments"))
    if kind == "custom_tool_call":
        sections["arguments", 0] = text_of(item.get("input"))
    if kind == "reasoning":
        for index, entry in enumerate(_entries(item.get("summary"))):
            sections["summary", index] = text_of(entry.get("text"))
    if kind in ("reasoning", "message"):
        for index, entry in enumerate(_entries(item.get("content"))):
            section = _SECTION_KINDS.get(str(entry.get("type") or "output_text"))
            # Compatible servers call the text of reasoning "text" or "output_text".
            if section == "output_text" and kind == "reasoning":
                section = "reasoning"
            if section:
                sections[section, index] = text_of(entry.get("refusal" if section == "refusal" else "text"))
    return sections


def text_of(value: Any) -> str:
    """``value`` if it is a text, else its JSON text: llama.cpp and Ollama send arguments as an object."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _entries(content: Any) -> list[Item]:
    """The entries of ``content`` or ``summary``, which may also be a string or a list of strings."""
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
    """The id that the result of a call must have."""
    return str(item.get("call_id") or item.get("id") or "")


def parts_of(item: Item, sections: Mapping[Section, str]) -> list[ContentPart]:
    """The content parts of a finished item, given its sections; empty for items without content."""
    match item.get("type"):
        case "function_call" | "custom_tool_call" as kind:
            name, arguments = str(item.get("name") or ""), sections.get(("arguments", 0), "")
            namespace, is_custom = string_of(item.get("namespace")), kind == "custom_tool_call"
            return [ToolCall(call_id_of(item), name, arguments, namespace, is_custom=is_custom)]
        case "reasoning":
            text = SUMMARY_SEPARATOR.join(text for text in sections.values() if text)
            encrypted = string_of(item.get("encrypted_content"))
            return [Thinking(text, encrypted)] if text or encrypted else []
        case "message":
            phase = string_of(item.get("phase"))
            said = [(section, text) for section, text in sections.items() if text]
            return [_part_of(kind, text, phase, _annotations(item, at)) for (kind, at), text in said]
        case "web_search_call" if item.get("status") not in _UNFINISHED:
            return [_hosted(WEB_SEARCH, item)]
        case "image_generation_call" if item.get("result"):  # a whole one may still be called "generating"
            return [_hosted(IMAGE_GENERATION, item)]
        case _:
            return []


# The states of a search in an answer that was cut off.
_UNFINISHED = ("in_progress", "searching")


def _hosted(name: str, item: Item) -> HostedToolCall:
    fields = {name: value for name, value in item.items() if name != "type" and value is not None}
    return HostedToolCall(name, fields)


def _annotations(item: Item, index: int) -> tuple[dict[str, Any], ...]:
    """What the finished item says about its text at ``index``."""
    content = item.get("content")
    entry = content[index] if isinstance(content, list) and index < len(content) else None
    given = entry.get("annotations") if isinstance(entry, dict) else None
    return tuple(each for each in given if isinstance(each, dict)) if isinstance(given, list) else ()


def parts_in(item: Item) -> list[ContentPart]:
    """The content parts of a whole item."""
    kind = kind_of(item)
    typed = {**item, "type": kind}
    return parts_of(typed, sections_of(typed))


def _part_of(kind: str, text: str, phase: str | None, annotations: tuple[dict[str, Any], ...]) -> ContentPart:
    """The content part of one section of a message. Thinking in there is a precaution: seen at no server."""
    match kind:
        case "refusal":
            return Refusal(text)
        case "reasoning":
            return Thinking(text)
        case _:
            return Text(text, phase, annotations)


def string_of(value: Any) -> str | None:
    """``value`` if it is a text with something in it."""
    return value if isinstance(value, str) and value else None
