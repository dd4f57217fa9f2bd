"""Reads a Chat Completions request body into a ``CompletionRequest``, for a server.

A parameter that onplan does not know is refused if the answer would be different without it, and is listed as
ignored otherwise: frameworks send many parameters by default.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from onplan.chat.signatures import sealed, signature_of
from onplan.chat.thinking import TEXTS
from onplan.errors import InvalidRequestError
from onplan.types import (
    CompletionRequest,
    ContentPart,
    File,
    Image,
    Message,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)

T = TypeVar("T")
Item: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class ChatRequest:
    """A parsed request.

    Attributes:
        request: what to complete.
        stream: whether the client wants the answer in chunks.
        include_usage: whether it wants the token counts in a chunk of their own.
        ignored_parameters: the names of parameters that were left out.
    """

    request: CompletionRequest
    stream: bool
    include_usage: bool
    ignored_parameters: tuple[str, ...]


def parse_request(body: Any) -> ChatRequest:
    """Read a decoded JSON body.

    Raises:
        InvalidRequestError: a field is invalid or not supported; the message names it.
    """
    fields = {name: value for name, value in _typed(body, dict, "The body").items() if value is not None}
    for name in _REFUSED & fields.keys():
        raise InvalidRequestError(f"{name} is not supported.", hint=f"Leave {name} out.")
    if fields.get("n", 1) != 1:
        raise InvalidRequestError("n must be 1: there is one answer to a request.")
    options = _typed(fields.get("stream_options", {}), dict, "stream_options")
    given = {name: read(fields[sent], sent) for sent, (name, read) in _PARAMETERS.items() if sent in fields}
    messages = _typed(fields.get("messages"), list, "messages")
    request = CompletionRequest(
        messages=[_message(item, f"messages[{index}]") for index, item in enumerate(messages)], **given
    )
    return ChatRequest(
        request=request,
        stream=_typed(fields.get("stream", False), bool, "stream"),
        include_usage=_typed(options.get("include_usage") or False, bool, "stream_options.include_usage"),
        ignored_parameters=tuple(
            name for name, value in fields.items() if name not in _KNOWN and not _has_no_effect(name, value)
        ),
    )


def _typed(value: Any, kind: type[T], where: str) -> T:
    # In Python a bool is an int.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidRequestError(f"{where} must be {_NAMES[kind]}.")
    return value


_NAMES: Mapping[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    list: "an array",
    dict: "an object",
}


# --- parameters -------------------------------------------------------------------------------------


def _plain(kind: type[T]) -> Callable[[Any, str], T]:
    return lambda value, where: _typed(value, kind, where)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(f"{where} must be a number.")
    return float(value)


def _stop(value: Any, where: str) -> list[str]:
    texts = [value] if isinstance(value, str) else _typed(value, list, where)
    return [_typed(text, str, where) for text in texts]


def _metadata(value: Any, where: str) -> dict[str, str]:
    labels = _typed(value, dict, where)
    return {str(name): _typed(text, str, f"{where}.{name}") for name, text in labels.items()}


def _tools(value: Any, where: str) -> list[ToolDefinition]:
    return [_tool(tool, f"{where}[{index}]") for index, tool in enumerate(_typed(value, list, where))]


def _tool(value: Any, where: str) -> ToolDefinition:
    tool = _typed(value, dict, where)
    if tool.get("type") != "function":
        raise InvalidRequestError(f"{where} must be a function.")
    function = _typed(tool.get("function"), dict, f"{where}.function")
    given = {
        "description": function.get("description"),
        "parameters": function.get("parameters"),
    }
    name = _typed(function.get("name"), str, f"{where}.function.name")
    return ToolDefinition(name, **{key: value for key, value in given.items() if value is not None})


def _tool_choice(value: Any, where: str) -> str | ToolChoice:
    if isinstance(value, str):
        return value
    function = _typed(value, dict, where).get("function")
    name = _typed(function, dict, f"{where}.function").get("name")
    return ToolChoice(_typed(name, str, f"{where}.function.name"))


def _response_format(value: Any, where: str) -> Item | None:
    wanted = _typed(value, dict, where)
    match wanted.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            named = _typed(wanted.get("json_schema"), dict, f"{where}.json_schema")
            schema = _typed(named.get("schema"), dict, f"{where}.json_schema.schema")
            title = {"title": named["name"]} if named.get("name") not in (None, "response") else {}
            return {**title, **schema}
        case _:
            raise InvalidRequestError(f"{where}.type must be text, json_object or json_schema.")


# By the API's name: the field of `CompletionRequest`, and its reader. Of two names the later one counts.
_PARAMETERS: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "model": ("model", _plain(str)),
    "temperature": ("temperature", _number),
    "top_p": ("top_p", _number),
    "max_tokens": ("max_tokens", _plain(int)),
    "max_completion_tokens": ("max_tokens", _plain(int)),
    "stop": ("stop", _stop),
    "reasoning_effort": ("reasoning_effort", _plain(str)),
    "verbosity": ("verbosity", _plain(str)),
    "service_tier": ("service_tier", _plain(str)),
    "response_format": ("response_format", _response_format),
    "tools": ("tools", _tools),
    "tool_choice": ("tool_choice", _tool_choice),
    "parallel_tool_calls": ("parallel_tool_calls", _plain(bool)),
    "prompt_cache_key": ("session_id", _plain(str)),
    "metadata": ("metadata", _metadata),
}
_KNOWN = frozenset({*_PARAMETERS, "messages", "stream", "stream_options", "n"})
# Parameters that ask for another kind of answer.
_REFUSED = frozenset({"audio", "functions", "function_call", "web_search_options"})
# Values that have no effect, beside empty ones. `seed: 0` is not here: it is a seed.
_NEUTRAL: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logprobs": False,
    "top_logprobs": 0,
    "store": False,
    "modalities": ["text"],
}


def _has_no_effect(name: str, value: Any) -> bool:
    return value in ("", [], {}) or (name in _NEUTRAL and value == _NEUTRAL[name])


# --- messages ---------------------------------------------------------------------------------------


def _message(value: Any, where: str) -> Message:
    item = _typed(value, dict, where)
    role = item.get("role")
    if role not in set(Role):
        raise InvalidRequestError(f"{where}.role must be one of {', '.join(Role)}.")
    content = _content(item.get("content"), f"{where}.content")
    if role == Role.TOOL:
        return Message(role, [_tool_result(item, content, where)])
    if role == Role.ASSISTANT:
        return Message(role, [*_thinking(item), *content, *_refusal(item), *_tool_calls(item, where)])
    return Message(role, content)


def _content(value: Any, where: str) -> list[ContentPart]:
    if value is None or isinstance(value, str):
        return [Text(value)] if value else []
    parts = _typed(value, list, where)
    return [_part(part, f"{where}[{index}]") for index, part in enumerate(parts)]


def _part(value: Any, where: str) -> ContentPart:
    part = _typed(value, dict, where)
    read = _PARTS.get(str(part.get("type")))
    if read is None:
        raise InvalidRequestError(f"{where}.type must be one of {', '.join(_PARTS)}.")
    return read(part, where)


def _image(part: Item, where: str) -> Image:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return Image(url=_typed(url, str, f"{where}.image_url.url"))


def _file(part: Item, where: str) -> File:
    file = _typed(part.get("file"), dict, f"{where}.file")
    head, comma, data = _typed(file.get("file_data"), str, f"{where}.file.file_data").rpartition(",")
    try:
        content = b64decode(data, validate=True)
    except binascii.Error:
        raise InvalidRequestError(f"{where}.file.file_data must be a data URL.") from None
    mime_type = head.removeprefix("data:").partition(";")[0] if comma else None
    return File(data=content, mime_type=mime_type or None, filename=file.get("filename"))


_PARTS: Mapping[str, Callable[[Item, str], ContentPart]] = {
    "text": lambda part, where: Text(_typed(part.get("text"), str, f"{where}.text")),
    "image_url": _image,
    "file": _file,
    "refusal": lambda part, where: Refusal(_typed(part.get("refusal"), str, f"{where}.refusal")),
}


def _tool_result(item: Item, content: list[ContentPart], where: str) -> ToolResult:
    call_id = _typed(item.get("tool_call_id"), str, f"{where}.tool_call_id")
    pieces = [part for part in content if isinstance(part, Text | Image)]
    if len(pieces) < len(content):
        raise InvalidRequestError(f"{where}.content must be text.")
    texts = [piece.text for piece in pieces if isinstance(piece, Text)]
    return ToolResult(call_id, pieces if len(texts) < len(pieces) or len(texts) > 1 else "".join(texts))


def _thinking(item: Item) -> list[Thinking]:
    """The thinking of an earlier answer, if the client sent it back."""
    text = next((text for name in TEXTS if isinstance(text := item.get(name), str)), "")
    details = item.get("reasoning_details")
    entries = [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    encrypted = [entry["data"] for entry in entries if isinstance(entry.get("data"), str)]
    if not text and not encrypted:
        return []
    return [Thinking(text, next(iter(encrypted), None)), *(Thinking("", more) for more in encrypted[1:])]


def _refusal(item: Item) -> list[Refusal]:
    text = item.get("refusal")
    return [Refusal(text)] if isinstance(text, str) and text else []


def _tool_calls(item: Item, where: str) -> list[ToolCall]:
    calls = _typed(item.get("tool_calls") or [], list, f"{where}.tool_calls")
    return [_tool_call(call, f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]


def _tool_call(value: Any, where: str) -> ToolCall:
    call = _typed(value, dict, where)
    function = _typed(call.get("function"), dict, f"{where}.function")
    return ToolCall(
        _typed(call.get("id"), str, f"{where}.id"),
        _typed(function.get("name"), str, f"{where}.function.name"),
        _typed(function.get("arguments", ""), str, f"{where}.function.arguments"),
        signature=sealed(signature_of(call)),
    )
