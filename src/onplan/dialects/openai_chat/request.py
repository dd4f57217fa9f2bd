"""Reads the body of ``POST /v1/chat/completions``.

A field that is not known is listed and has no effect, for frameworks send many by default; one without which
the answer would be of another kind is refused. ``parameters`` says what becomes of the rest at a backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from onplan.dialects.json_fields import decoded, fields_of, size_of
from onplan.dialects.openai_chat.messages import read_messages
from onplan.dialects.openai_chat.responses_body import CLIENT_NAMES, as_chat_fields, read_input
from onplan.dialects.openai_chat.tools import read_response_format, read_tool_choice, read_tools
from onplan.dialects.openai_errors import ParameterError
from onplan.types import CompletionRequest, Message

T = TypeVar("T")
Fields = Mapping[str, msgspec.Raw]


_AS_THEY_ARE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request as it was read.

    Attributes:
        request: what to complete; ``session_id`` is the client's ``prompt_cache_key``.
        stream: whether the client wants the answer in chunks.
        include_usage: whether it wants the token counts in a chunk of their own.
        names: what the client called the fields of ``request`` that it gave.
        allowed_tools: a ``tool_choice`` with ``mode`` and ``tools``, for which ``request`` has no place.
        others: the other fields of the body that ask for something, as JSON.
    """

    request: CompletionRequest = field(repr=False)
    stream: bool = False
    include_usage: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    allowed_tools: dict[str, Any] | None = None
    others: Mapping[str, msgspec.Raw] = field(default_factory=dict, repr=False)

    @property
    def ignored_parameters(self) -> tuple[str, ...]:
        """The names of the fields that ``request`` has no place for."""
        return tuple(self.others)


def read_request(body: bytes) -> ChatRequest:
    """The request in ``body``. A body of the Responses API is read, too: Cursor sends it to this path.

    Raises:
        ParameterError: something in it is wrong, or cannot be had.
    """
    fields, called = fields_of(body), _AS_THEY_ARE
    if "input" in fields and _are_none(fields):
        instructions = fields.get("instructions")
        messages, fields = read_input(fields["input"], instructions), as_chat_fields(fields)
        called = CLIENT_NAMES
    else:
        messages = _messages(fields)
    _refuse(fields)
    given, names = _given(fields, called)
    choice = given.get("tool_choice")
    allowed = given.pop("tool_choice") if isinstance(choice, dict) else None
    options = (
        decoded(fields["stream_options"], _OPTIONS, "stream_options") if "stream_options" in fields else {}
    )
    return ChatRequest(
        request=CompletionRequest(messages=messages, **given),
        stream="stream" in fields and decoded(fields["stream"], _BOOL, "stream"),
        include_usage=_flag(options.get("include_usage"), "stream_options.include_usage"),
        names=names,
        allowed_tools=allowed,
        others={name: raw for name, raw in fields.items() if name not in _KNOWN and not _is_idle(name, raw)},
    )


def _are_none(fields: Fields) -> bool:
    """Whether there are no messages, or an empty list of them."""
    return "messages" not in fields or _is_idle("messages", fields["messages"])


def _messages(fields: Fields) -> list[Message]:
    messages = read_messages(fields["messages"]) if "messages" in fields else []
    if not messages:
        what = "is empty" if "messages" in fields else "is missing"
        raise ParameterError(f"messages {what}.", param="messages", code="missing_required_parameter")
    return messages


def _given(fields: Fields, called: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of ``CompletionRequest``, and what the client called each. Of two names the later counts.

    ``called``: where the client has another name for a field than this API.
    """
    given: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, (sets, read) in _PARAMETERS.items():
        if name in fields:
            where = called.get(name, name)
            value = read(fields[name], where)
            if value is not None:
                given[sets], names[sets] = value, where
    return given, names


# --- one field each -----------------------------------------------------------------------------------


_OPTIONS = msgspec.json.Decoder(dict[str, Any])
_BOOL = msgspec.json.Decoder(bool)
_ANY = msgspec.json.Decoder()


def _plain(kind: type[T]) -> Callable[[msgspec.Raw, str], T]:
    decoder = msgspec.json.Decoder(kind)
    return lambda raw, where: decoded(raw, decoder, where)


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool | None):
        raise ParameterError(f"{where} is neither true nor false.", param=where, code="invalid_type")
    return bool(value)


_read_length = _plain(int)
_read_tier = _plain(str)
_TEXTS: msgspec.json.Decoder[str | list[str]] = msgspec.json.Decoder(str | list[str])


_ENDLESS = 2**31


def _length(raw: msgspec.Raw, where: str) -> int:
    length = _read_length(raw, where)
    if not 1 <= length < _ENDLESS:
        raise ParameterError(f"{where} is not a number of tokens.", param=where)
    return length


def _stop(raw: msgspec.Raw, where: str) -> list[str] | None:
    given = decoded(raw, _TEXTS, where)
    return [text for text in ([given] if isinstance(given, str) else given) if text] or None


def _tier(raw: msgspec.Raw, where: str) -> str | None:
    """None for the words that ask for nothing in particular."""
    tier = _read_tier(raw, where)
    return None if tier in ("auto", "default") else tier


_PARAMETERS: Mapping[str, tuple[str, Callable[[msgspec.Raw, str], Any]]] = {
    "model": ("model", _plain(str)),
    "temperature": ("temperature", _plain(float)),
    "top_p": ("top_p", _plain(float)),
    "max_tokens": ("max_tokens", _length),
    "max_completion_tokens": ("max_tokens", _length),
    "stop": ("stop", _stop),
    "reasoning_effort": ("reasoning_effort", _plain(str)),
    "reasoning_summary": ("reasoning_summary", _plain(str)),
    "verbosity": ("verbosity", _plain(str)),
    "service_tier": ("service_tier", _tier),
    "response_format": ("response_format", read_response_format),
    "tools": ("tools", read_tools),
    "tool_choice": ("tool_choice", read_tool_choice),
    "parallel_tool_calls": ("parallel_tool_calls", _plain(bool)),
    "prompt_cache_key": ("session_id", _plain(str)),
    "metadata": ("metadata", _plain(dict[str, str])),
}
_KNOWN = frozenset({*_PARAMETERS, "messages", "stream", "stream_options", "n"})


# --- what is refused, and what says nothing -----------------------------------------------------------

# Fields that ask for another kind of answer, and what to do instead.
_REFUSED: Mapping[str, str] = {
    "audio": "Answers are text: leave it out.",
    "functions": "Give them as tools: that is what functions became in 2023.",
    "function_call": "Give functions as tools, and tool_choice.",
    "web_search_options": 'Offer the tool instead: "tools": [{"type": "web_search"}].',
}
# Values that have no effect, beside empty ones. `seed: 0` is not here: it is a seed.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "store": (False,),
    "modalities": (["text"],),
    "function_call": ("none", "auto"),
}


def _refuse(fields: Fields) -> None:
    for name, hint in _REFUSED.items():
        if name in fields and not _is_idle(name, fields[name]):
            raise ParameterError(f"{name} is not supported. {hint}", param=name, code="unsupported_parameter")
    if "n" in fields and decoded(fields["n"], _ANY, "n") != 1:
        raise ParameterError(
            "n must be 1: there is one answer to a request.", param="n", code="unsupported_value"
        )
    if "modalities" in fields and not _is_idle("modalities", fields["modalities"]):
        raise ParameterError("modalities must be text alone.", param="modalities", code="unsupported_value")


def _is_idle(name: str, raw: msgspec.Raw) -> bool:
    if size_of(raw) > _LONGEST_IDLE:
        return False
    value = decoded(raw, _ANY, name)
    return value in ("", [], {}) or value in _NEUTRAL.get(name, ())


_LONGEST_IDLE = 64  # bytes of JSON; what is longer says something
