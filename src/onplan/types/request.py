"""A request to a model: the conversation, the tools that it may call, and the parameters of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from onplan.errors import InvalidRequestError
from onplan.types.dicts import Prompt, read_messages
from onplan.types.message import Message
from onplan.types.parts import is_json_object
from onplan.types.tools import (
    Tool,
    ToolChoice,
    ToolChoiceLike,
    ToolDefinition,
    read_tool_choice,
    read_tools,
)

# A JSON schema, also in the wrappers of OpenAI's APIs; or a type: a dataclass, TypedDict, NamedTuple, Enum,
# msgspec or pydantic type, a pydantic TypeAdapter, a plain type such as `int`, or one made of these.
ResponseFormat: TypeAlias = Any


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to a model. Parameters that the backend does not support are reported, never quietly ignored.

    Raises InvalidRequestError if a field has a value of the wrong type.

    Attributes:
        messages: the conversation, oldest first: ``Message`` objects, or dicts in the shapes of OpenAI's
            APIs. Strings, images and files in a row stand for one message of the user.
        model: a model id; without one, ``ONPLAN_MODEL``, then the profile's, then the first listed.
        tools: functions that the model may call, and tools that the backend runs itself; also as dicts in
            the shapes of OpenAI's APIs.
        tool_choice: ``auto``, ``none``, ``required``, or ``ToolChoice(name)`` for one of ``tools``; also as a
            dict in the shapes of OpenAI's APIs, and ``web_search`` or ``image_generation``.
        parallel_tool_calls: whether several calls may come in one answer.
        temperature: sampling temperature.
        top_p: nucleus sampling.
        max_tokens: longest answer, in tokens.
        stop: the answer ends before any of these texts.
        reasoning_effort: how long to think: one of the model's ``reasoning_efforts``.
        reasoning_summary: ``auto``, ``concise``, ``detailed`` or ``none``: whether to show the thinking.
        verbosity: ``low``, ``medium`` or ``high``.
        service_tier: such as ``priority``.
        response_format: what the answer's text will be: a JSON schema, or a type, which
            ``CompletionResponse.parsed`` then is a value of.
        session_id: names the conversation, so that its prompt is found in the cache; one is derived from
            the conversation's beginning when it is not given.
        metadata: labels of the program's own, for backends that keep them.
        extra_body: fields for the body of the request that onplan does not know, as the API spells them;
            objects in it are merged with those of the request.
    """

    messages: list[Message]
    model: str | None = None
    tools: list[Tool] = []
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] = []
    reasoning_effort: str | None = None
    reasoning_summary: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    response_format: Any = None
    session_id: str | None = None
    metadata: dict[str, str] = {}
    extra_body: dict[str, Any] = {}

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            messages: Prompt,
            model: str | None = None,
            tools: Iterable[Tool | Mapping[str, object]] | None = ...,
            tool_choice: ToolChoiceLike | None = None,
            parallel_tool_calls: bool | None = None,
            temperature: float | None = None,
            top_p: float | None = None,
            max_tokens: int | None = None,
            stop: str | list[str] | None = ...,
            reasoning_effort: str | None = None,
            reasoning_summary: str | None = None,
            verbosity: str | None = None,
            service_tier: str | None = None,
            response_format: ResponseFormat | None = None,
            session_id: str | None = None,
            metadata: dict[str, str] | None = ...,
            extra_body: dict[str, Any] | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Accept the short spellings."""
        given: Any = self.messages
        if isinstance(given, str):
            messages = [Message.user(given)]
        elif isinstance(given, list) and all(type(message) is Message for message in given):
            messages = list(given)
        else:
            messages = read_messages(given)
        force_setattr(self, "messages", messages)
        for value, usual in zip(_others_of(self), _USUAL, strict=True):
            if value.__class__ not in usual:  # most requests have no such field
                self._read_others()
                break
        if self.tools or self.stop or self.metadata or self.extra_body or self.max_tokens is not None:
            self._read_contents()
        if self.tool_choice is not None:
            self._require_choice()
        _require_format(self.response_format)

    def _read_others(self) -> None:
        """Accept the short spellings of the other fields, and refuse what is no value of theirs."""
        for name, empty in _EMPTY.items():
            if getattr(self, name) is None:  # as other libraries say that there are none
                force_setattr(self, name, empty())
        stop: Any = self.stop
        if isinstance(stop, str):
            force_setattr(self, "stop", [stop])
        tools: Any = self.tools
        if not isinstance(tools, list):
            force_setattr(self, "tools", read_tools(tools))
        for name, (kinds, words) in _KINDS.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, kinds) or (value.__class__ is bool and bool not in kinds):
                raise _wrong(name, value, words)  # True is an int in Python

    def _read_contents(self) -> None:
        """Read what is in the fields that hold several, and refuse what cannot be there."""
        if not all(type(tool) is ToolDefinition for tool in self.tools):
            force_setattr(self, "tools", read_tools(self.tools))
        if self.stop:
            _require_entries(self.stop, "stop", "a string, or several")
        if "" in self.stop:
            raise InvalidRequestError("stop has an empty text in it.", hint="Leave it out.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidRequestError("max_tokens is less than 1.", hint="Leave it out for no limit.")
        if self.extra_body and not is_json_object(dict(self.extra_body)):
            raise InvalidRequestError(
                "extra_body holds what is no JSON.", hint="Give it strings, numbers, lists and dicts."
            )
        if self.metadata:
            _require_entries((*self.metadata, *self.metadata.values()), "metadata", "a dict of strings")

    def _require_choice(self) -> None:
        choice = read_tool_choice(self.tool_choice)
        force_setattr(self, "tool_choice", choice)
        if choice is not None and not isinstance(choice, ToolChoice) and choice not in _TOOL_CHOICES:
            raise InvalidRequestError(
                f"tool_choice is {self.tool_choice!r}, which is neither auto, none nor required.",
                hint="For one particular tool give it `ToolChoice(NAME)`.",
            )


_EMPTY: Mapping[str, type] = {"tools": list, "stop": list, "metadata": dict, "extra_body": dict}
_TOOL_CHOICES = ("auto", "none", "required")
# What a field may be beside None, and in words.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(
        ("model", "reasoning_effort", "reasoning_summary", "verbosity", "service_tier", "session_id"),
        ((str,), "a string"),
    ),
    **dict.fromkeys(("temperature", "top_p"), ((int, float), "a number")),
    "max_tokens": ((int,), "a whole number"),
    "parallel_tool_calls": ((bool,), "True or False"),
    "stop": ((list, tuple), "a string, or several"),
    "metadata": ((dict, Mapping), "a dict of strings"),
    "extra_body": ((dict, Mapping), "a dict"),
}
# What nearly all requests have in these fields, and in ``tools``, so that no more is to be checked of it.
_others_of = attrgetter("tools", *_KINDS)
_USUAL = [{list}] + [
    {kind for kind in kinds if kind is not Mapping} | ({NoneType} if name not in _EMPTY else set())
    for name, (kinds, _) in _KINDS.items()
]


def _require(given: object, kind: Any, field: str, expected: str) -> None:
    if not isinstance(given, kind):
        raise _wrong(field, given, expected)


def _require_format(given: object) -> None:
    if given is not None:
        from onplan.structured.output_format import output_format

        output_format(given)


def _require_entries(given: Iterable[object], field: str, expected: str) -> None:
    for entry in given:
        _require(entry, str, field, expected)


def _wrong(field: str, given: object, expected: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} has the wrong type: {_named(given)}.", hint=f"Give it {expected}.")


def _named(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
