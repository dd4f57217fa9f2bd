"""Reads the body of ``POST /v1/responses``, and decides what becomes of each of its fields.

What the backend takes is handed on as it came. The rest is carried out here, left out and named, or refused;
``parameter_support`` of the backend's row says which (docs/server.md has the table).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onplan.backends import Backend, ParameterSupport
from onplan.dialects.json_fields import require_few
from onplan.dialects.openai_errors import ParameterError, parameter_error
from onplan.dialects.openai_parameters import ANY_LENGTH, NOT_OFFERED_TOOLS, not_offered
from onplan.dialects.openai_responses.input_items import sent_items
from onplan.flow import JSON_ERRORS
from onplan.parameters import CutAt
from onplan.responses.items import Item
from onplan.structured.strict_schema import is_strict

Fields = dict[str, msgspec.Raw]


class _Body(msgspec.Struct):
    """The fields that are understood; all others are handed on or left out by name."""

    model: str | None = None
    input: str | list[msgspec.Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    max_output_tokens: int | None = None
    include: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    service_tier: str | None = None
    background: bool | None = None
    generate: bool | None = None
    client_metadata: dict[str, Any] | None = None


_BODY = msgspec.json.Decoder(_Body)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for.

    Attributes:
        model: as the client names it; None if it does not.
        items: the new input items, ready to be sent but for ``item_reference``.
        instructions: the items that go before all others, and are not kept.
        fields: other fields of the body that the backend gets.
        stream: whether the client wants events.
        store: whether the client may ask for the response again, or go on from it.
        previous_response_id: the response that it goes on from.
        conversation: the client's own name of the conversation, if it gave one.
        echo: fields that the response repeats.
        ignored: parameters that are left out.
        emulated: parameters that onplan carries out.
        cut_at: where onplan ends the answer.
        client_metadata: what a Codex client tells its backend of the turn.
        generate: False only prepares for the next request (Codex CLI, over a WebSocket).
    """

    model: str | None
    items: list[Item]
    fields: dict[str, Any]
    instructions: list[Item] = msgspec.field(default_factory=list)
    stream: bool = False
    store: bool = True
    previous_response_id: str | None = None
    conversation: str | None = None
    echo: Mapping[str, Any] = msgspec.field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    cut_at: CutAt | None = None
    client_metadata: dict[str, str] | None = None
    generate: bool = True

    def __repr__(self) -> str:
        """Without what is asked."""
        return f"ResponsesRequest(model={self.model!r}, stream={self.stream}, store={self.store})"


def read_request(body: bytes, backend: Backend, *, strict: bool = False) -> ResponsesRequest:
    """The request in ``body``.

    Args:
        body: JSON.
        backend: the row; its API is the Responses API.
        strict: refuse parameters that the backend does not take.

    Raises:
        ParameterError: something in it is wrong, or cannot be had.
    """
    try:
        read, fields = _BODY.decode(body), _FIELDS.decode(body)
    except msgspec.ValidationError as error:
        raise parameter_error(error) from None
    except JSON_ERRORS:
        raise ParameterError("The body is not JSON.", code="invalid_json") from None
    if read.input is None:
        raise ParameterError("input is missing.", param="input", code="missing_required_parameter")
    _refuse(read, fields)
    sorted_out = _Sorted(read, fields, backend)
    if strict and sorted_out.ignored:
        name = sorted_out.ignored[0]
        raise ParameterError(
            f"{backend.name} does not take {', '.join(sorted_out.ignored)}.",
            param=name,
            code="unsupported_parameter",
        )
    return ResponsesRequest(
        model=read.model or None,
        items=sent_items(read.input, backend.system_role),
        fields=sorted_out.sent,
        instructions=[_developer(read.instructions, backend)] if read.instructions else [],
        stream=bool(read.stream),
        store=read.store is not False,
        previous_response_id=read.previous_response_id or None,
        conversation=read.prompt_cache_key or None,
        echo={name: fields[name] for name in _ECHOED if name in fields and _can_be_repeated(name, fields)},
        ignored=tuple(sorted_out.ignored),
        emulated=tuple(sorted_out.emulated),
        cut_at=sorted_out.cut_at,
        client_metadata=read.client_metadata,
        generate=read.generate is not False,
    )


def _developer(text: str, backend: Backend) -> Item:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": backend.system_role, "content": content}


# What the response repeats, with the bytes that a value may begin with. Clients read it by its type, and what
# is left out of the request has not been looked at.
_TEXT, _NUMBER, _BOOLEAN, _OBJECT = b'"', b"-0123456789", b"tf", b"{"
_ECHOED: Mapping[str, bytes] = {
    **dict.fromkeys(("instructions", "previous_response_id", "prompt_cache_key", "user"), _TEXT),
    **dict.fromkeys(("safety_identifier", "truncation"), _TEXT),
    **dict.fromkeys(("max_output_tokens", "max_tool_calls", "temperature", "top_logprobs", "top_p"), _NUMBER),
    **dict.fromkeys(("parallel_tool_calls", "store"), _BOOLEAN),
    **dict.fromkeys(("metadata", "text"), _OBJECT),
    "tool_choice": _TEXT + _OBJECT,
    "tools": b"[",
}


def _can_be_repeated(name: str, fields: Fields) -> bool:
    return memoryview(fields[name])[0] in _ECHOED[name]


# The answer would be another one without these.
_REFUSED: Mapping[str, str] = {
    "conversation": "Send the items of the conversation, or previous_response_id.",
    "prompt": "Send the text of the prompt as input.",
}
# Values that say what would happen anyway.
_DEFAULTS: Mapping[str, tuple[bytes, ...]] = {
    "temperature": (b"1", b"1.0"),
    "top_p": (b"1", b"1.0"),
    "truncation": (b'"disabled"',),
    "top_logprobs": (b"0",),
    "metadata": (b"{}",),
}
# Fields that are read above, or have no effect of their own.
_UNDERSTOOD = frozenset((*_Body.__struct_fields__, "type", "stream_options", "conversation", "prompt"))
# What every backend of this API takes.
_SENT = ("tool_choice", "parallel_tool_calls")


def _refuse(read: _Body, fields: Fields) -> None:
    for name, hint in _REFUSED.items():
        if name in fields and bytes(fields[name]) != b"null":
            raise ParameterError(f"{name} is not supported. {hint}", param=name, code="unsupported_parameter")
    if read.background:
        message = "background is not supported: ask for the answer and wait for it."
        raise ParameterError(message, param="background", code="unsupported_parameter")
    require_few(len(read.tools or ()), "tools")
    for index, tool in enumerate(read.tools or ()):
        _check_tool(tool, f"tools[{index}]")
    if read.reasoning is not None and not isinstance(read.reasoning.get("effort"), str | None):
        raise ParameterError(
            "reasoning.effort is not a string.", param="reasoning.effort", code="invalid_type"
        )
    if read.text is not None and not isinstance(read.text.get("format"), dict | None):
        raise ParameterError("text.format is not an object.", param="text.format", code="invalid_type")
    if read.max_output_tokens is not None and read.max_output_tokens < 1:
        raise ParameterError("max_output_tokens is less than 1.", param="max_output_tokens")


def _check_tool(tool: Mapping[str, Any], place: str) -> None:
    kind = tool.get("type")
    if not isinstance(kind, str):
        raise ParameterError(
            f"{place} has no type.", param=f"{place}.type", code="missing_required_parameter"
        )
    if kind in NOT_OFFERED_TOOLS:
        raise ParameterError(not_offered(kind, place), param=place, code="unsupported_parameter")
    if kind in ("function", "custom") and not isinstance(tool.get("name"), str):
        hint = " Here the name stands beside the type, not inside of function." if "function" in tool else ""
        message = f"{place} has no name.{hint}"
        raise ParameterError(message, param=f"{place}.name", code="missing_required_parameter")


class _Sorted:
    """What is sent of a body's fields, and what becomes of the others."""

    def __init__(self, read: _Body, fields: Fields, backend: Backend) -> None:
        self.ignored: list[str] = []
        self.emulated: list[str] = []
        self.cut_at: CutAt | None = None
        given = {name: raw for name, raw in fields.items() if bytes(raw) != b"null"}
        self.sent: dict[str, Any] = {name: given[name] for name in _SENT if name in given}
        if read.tools:
            self.sent["tools"] = [_with_strict(tool) for tool in read.tools]
        for name in ("reasoning", "text"):
            if value := getattr(read, name):
                self.sent[name] = value
        if read.service_tier not in (None, "auto", "default"):
            self.sent["service_tier"] = read.service_tier
        if read.max_output_tokens is not None:
            self._limit(read.max_output_tokens, backend)
        included = set(backend.required.get("include", ()))  # type: ignore[call-overload]
        if set(read.include or ()) - included - {"reasoning.encrypted_content"}:
            self.ignored.append("include")
        for name, raw in given.items():
            if name in _UNDERSTOOD or name in self.sent or bytes(raw) in _DEFAULTS.get(name, ()):
                continue
            if backend.takes(name):
                self.sent[name] = raw
            else:
                self.ignored.append(name)

    def _limit(self, tokens: int, backend: Backend) -> None:
        match backend.support_of("max_tokens", has_tools=False):
            case ParameterSupport.EMULATE if tokens < ANY_LENGTH:
                self.emulated.append("max_output_tokens")
                self.cut_at = CutAt(max_tokens=tokens)
            case ParameterSupport.FORWARD:
                self.sent["max_output_tokens"] = tokens


def _with_strict(tool: dict[str, Any]) -> dict[str, Any]:
    """A function that does not say ``strict`` has it where its schema permits that, so none is refused."""
    if tool.get("type") != "function" or tool.get("strict") is not None:
        return tool
    return {**tool, "strict": is_strict(tool.get("parameters"))}
