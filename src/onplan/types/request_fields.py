"""Requests as they are typed: a prompt, and fields of ``CompletionRequest`` as keywords beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import msgspec

from onplan.errors import InvalidRequestError
from onplan.types.dicts import Prompt
from onplan.types.request import CompletionRequest, ResponseFormat
from onplan.types.tools import Tool, ToolChoiceLike


class RequestDefaults(TypedDict, total=False):
    """The fields of ``CompletionRequest`` that a client may have for all of its requests."""

    model: str | None
    parallel_tool_calls: bool | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | list[str] | None
    reasoning_effort: str | None
    reasoning_summary: str | None
    verbosity: str | None
    service_tier: str | None
    metadata: dict[str, str] | None
    extra_body: dict[str, Any] | None


class AnswerFields(RequestDefaults, total=False):
    """The fields of ``CompletionRequest`` without ``tools`` and ``response_format``."""

    messages: Prompt
    tool_choice: ToolChoiceLike | None
    session_id: str | None


class FieldsWithoutFormat(AnswerFields, total=False):
    """The fields of ``CompletionRequest`` without ``response_format``, which some signatures name apart."""

    tools: Iterable[Tool | Mapping[str, object]] | None


class RequestFields(FieldsWithoutFormat, total=False):
    """The fields of ``CompletionRequest`` as keywords of ``complete`` and its like, all of them optional."""

    response_format: ResponseFormat | None


_NONE: Mapping[str, Any] = {}


def as_request(
    request: Prompt | CompletionRequest | None = None,
    fields: RequestFields | None = None,
    defaults: Mapping[str, Any] = _NONE,
) -> CompletionRequest:
    """The request for a prompt and the keywords given beside it; keywords replace fields of a request.

    Args:
        request: the prompt, or a request.
        fields: the keywords.
        defaults: values of fields that neither has. A keyword that is None keeps the default away.

    Raises:
        InvalidRequestError: there are no messages, a keyword is not a field, or a field has a wrong value.
    """
    given: Mapping[str, Any] = fields or _NONE
    if unknown := given.keys() - _NAMES:
        raise _unknown(min(unknown))
    if isinstance(request, CompletionRequest):
        if defaults:
            left = {name: value for name, value in defaults.items() if getattr(request, name) in _ABSENT}
            given = {**left, **given}
        return msgspec.structs.replace(request, **given) if given else request
    if isinstance(request, Mapping) and "messages" in request:
        raise InvalidRequestError(
            "A request is not a dict.", hint="Give its fields as keywords: `complete(**request)`."
        )
    if request is not None and "messages" in given:
        raise InvalidRequestError("There are messages twice.", hint="Leave out `messages=`.")
    if request is None and "messages" not in given:
        raise InvalidRequestError(
            "There are no messages.", hint='Give a prompt, such as `complete("Name three birds")`.'
        )
    given = {**defaults, **given} if defaults else given
    return CompletionRequest(messages=request, **given) if request is not None else CompletionRequest(**given)


_ABSENT: tuple[object, ...] = (None, [], {})
_NAMES = frozenset(CompletionRequest.__struct_fields__)

# What other libraries call a field, and what has another place here.
_OTHER_NAMES: Mapping[str, str] = {
    "max_completion_tokens": "Write `max_tokens=`.",
    "max_output_tokens": "Write `max_tokens=`.",
    "input": "Write `messages=`, or give it first, without a name.",
    "prompt": "Write `messages=`, or give it first, without a name.",
    "instructions": "Give them as a message: `Message.system(…)`. A conversation takes `system=`.",
    "system": "Give it as a message: `Message.system(…)`. A conversation takes it when it begins.",
    "prompt_cache_key": "Write `session_id=`.",
    "effort": "Write `reasoning_effort=`.",
    "reasoning": "Write `reasoning_effort=` and `reasoning_summary=`.",
    "schema": "Write `response_format=`.",
    "output_schema": "Write `response_format=`.",
    "output_type": "Write `response_format=`.",
    "text": "Write `response_format=` and `verbosity=`.",
    "stream": "Call `complete_stream`.",
    "max_workers": "Write `concurrency=`, which is an argument of `map`.",
    "repairs": "It is an argument of `complete`.",
    "timeout": "It is an argument of the client: `Client(timeout=…)`.",
}


def _unknown(name: str) -> InvalidRequestError:
    from difflib import get_close_matches

    hint = _OTHER_NAMES.get(name)
    if hint is None:
        near = get_close_matches(name, _NAMES, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(sorted(_NAMES))}."
    return InvalidRequestError(f"A request has no field {name!r}.", hint=hint)
