"""Reads a Chat Completions request body into a ``CompletionRequest``, for a server.

A parameter that onplan does not know is refused if the answer would be different without it, and is listed as
ignored otherwise: frameworks send many parameters by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from onplan.chat.thinking import TEXTS
from onplan.errors import InvalidRequestError
from onplan.types import CompletionRequest, Message, Role, Thinking, ToolChoice
from onplan.types.dicts import read_messages
from onplan.types.tools import read_tools

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
    request = CompletionRequest(messages=_messages(fields.get("messages"), "messages"), **given)
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


def _tool_choice(value: Any, where: str) -> str | ToolChoice:
    if isinstance(value, str):
        return value
    choice = _typed(value, dict, where)
    kind = "custom" if choice.get("type") == "custom" else "function"
    name = _typed(choice.get(kind), dict, f"{where}.{kind}").get("name")
    return ToolChoice(_typed(name, str, f"{where}.{kind}.name"))


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
    "tools": ("tools", lambda value, where: read_tools(value)),
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


# What is read of a message; of the rest, `name` and what clients add, nothing changes the answer.
_FIELDS = ("role", "content", "tool_calls", "tool_call_id", "refusal")


def _messages(value: Any, where: str) -> list[Message]:
    items = [_item(item, f"{where}[{index}]") for index, item in enumerate(_typed(value, list, where))]
    read = read_messages([{name: item[name] for name in _FIELDS if name in item} for item in items])
    return [_with_thinking(message, item) for message, item in zip(read, items, strict=True)]


def _item(value: Any, where: str) -> Item:
    item = _typed(value, dict, where)
    if item.get("role") == Role.TOOL:
        _typed(item.get("tool_call_id"), str, f"{where}.tool_call_id")
    return item


def _with_thinking(message: Message, item: Item) -> Message:
    thinking = _thinking(item) if message.role is Role.ASSISTANT else []
    return Message(message.role, [*thinking, *message.content]) if thinking else message


def _thinking(item: Item) -> list[Thinking]:
    """The thinking of an earlier answer, if the client sent it back."""
    text = next((text for name in TEXTS if isinstance(text := item.get(name), str)), "")
    details = item.get("reasoning_details")
    entries = [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    encrypted = [entry["data"] for entry in entries if isinstance(entry.get("data"), str)]
    if not text and not encrypted:
        return []
    return [Thinking(text, next(iter(encrypted), None)), *(Thinking("", more) for more in encrypted[1:])]
