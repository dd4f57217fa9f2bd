"""Bodies of the Responses API, as its server sees them: a request's is read, an answer's is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from onplan.errors import InvalidRequestError
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    FinishReason,
    HostedToolCall,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    Usage,
)

Item: TypeAlias = dict[str, Any]


def read_responses_body(body: Item) -> tuple[CompletionRequest, tuple[str, ...]]:
    """The request that ``body`` is, and the names of parameters that were left out.

    Raises:
        InvalidRequestError: a field is invalid or not supported; the message names it.
    """
    given = {name: value for name, value in body.items() if value is not None and value is not False}
    for name in _REFUSED & given.keys():
        raise InvalidRequestError(f"{name} is not supported.", hint=f"Leave {name} out.")
    if "input" not in given:
        raise InvalidRequestError("input is missing.", hint="Give it a text or a list of items.")
    fields: Item = {field: given[name] for name, field in _PLAIN.items() if name in given}
    for name in ("reasoning", "text"):
        if not isinstance(given.get(name, {}), Mapping):
            raise InvalidRequestError(f"{name} must be an object.")
    for (outer, inner), field in _NESTED.items():
        if (value := given.get(outer, {}).get(inner)) is not None:
            fields[field] = value
    if fields.get("response_format") == {"type": "text"}:
        del fields["response_format"]
    if body.get("parallel_tool_calls") is False:
        fields["parallel_tool_calls"] = False
    choice = fields.get("tool_choice")
    if isinstance(choice, Mapping):
        fields["tool_choice"] = ToolChoice(str(choice.get("name") or choice.get("type")))
    instructions = given.get("instructions")
    if instructions is not None:
        said = [given["input"]] if isinstance(given["input"], str) else given["input"]
        fields["messages"] = [{"role": "system", "content": instructions}, *said]
    known = {"instructions", "reasoning", "text", *_PLAIN, *_WITHOUT_EFFECT}
    return CompletionRequest(**fields), tuple(name for name in given if name not in known)


_PLAIN: Mapping[str, str] = {
    "input": "messages",
    "max_output_tokens": "max_tokens",
    "prompt_cache_key": "session_id",
    **{
        name: name
        for name in (
            *("model", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p"),
            *("service_tier", "metadata"),
        )
    },
}
_NESTED: Mapping[tuple[str, str], str] = {
    ("reasoning", "effort"): "reasoning_effort",
    ("reasoning", "summary"): "reasoning_summary",
    ("text", "format"): "response_format",
    ("text", "verbosity"): "verbosity",
}
# The answer would be another one without these.
_REFUSED = frozenset({"background", "conversation", "previous_response_id", "prompt", "stream"})
_WITHOUT_EFFECT = frozenset({"include", "safety_identifier", "store", "truncation", "user"})


def write_responses_body(response: CompletionResponse, response_id: str, created: int) -> Item:
    """``response`` as a ``response`` object, as the API would have answered without streaming."""
    is_whole = response.finish_reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)
    reason = "content_filter" if response.finish_reason == "content_filter" else "max_output_tokens"
    output = [
        {"id": f"{response_id}_{index}", **_ITEMS[type(part)](part)}
        for index, part in enumerate(response.message.content)
        if type(part) in _ITEMS
    ]
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "completed" if is_whole else "incomplete",
        "error": None,
        "incomplete_details": None if is_whole else {"reason": reason},
        "model": response.model,
        "output": output,
        "usage": _usage(response.usage),
    }


def _message(content: Item) -> Item:
    return {"type": "message", "role": "assistant", "status": "completed", "content": [content]}


def _reasoning(part: Thinking) -> Item:
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return {"type": "reasoning", "summary": summary, "encrypted_content": part.encrypted}


def _call(part: ToolCall) -> Item:
    kind, text = ("custom_tool_call", "input") if part.is_custom else ("function_call", "arguments")
    call = {"type": kind, "call_id": part.id, "name": part.name, text: part.arguments}
    return {**call, "status": "completed"}


_ITEMS: Mapping[type, Callable[[Any], Item]] = {
    Text: lambda part: _message(
        {"type": "output_text", "text": part.text, "annotations": list(part.annotations)}
    ),
    HostedToolCall: lambda part: {**part.fields, "type": f"{part.name}_call"},
    Refusal: lambda part: _message({"type": "refusal", "refusal": part.text}),
    Thinking: _reasoning,
    ToolCall: _call,
}


def _usage(usage: Usage) -> Item:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
