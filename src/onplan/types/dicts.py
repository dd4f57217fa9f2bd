"""Reads messages that are given as strings, content parts and dicts.

A dict may be a message of Chat Completions, an input or output item of the Responses API, or a message as
``msgspec.json`` writes it. Objects of the openai SDK stand for their dicts. The shapes are in
shapes.py; an error names the place: ``messages[2].content[0].type``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from onplan.errors import InvalidRequestError
from onplan.field_types import prepare
from onplan.types.message import Message, Role
from onplan.types.parts import (
    ContentPart,
    File,
    HostedToolCall,
    Image,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from onplan.types.shapes import HOSTED_CALLS, ITEMS, OF_USERS, OfUser, hosted_call

T = TypeVar("T")

MessageLike: TypeAlias = str | ContentPart | Message | Mapping[str, object]
"""What may stand in a list of messages. Strings and parts in a row are one message of the user."""
Prompt: TypeAlias = MessageLike | Iterable[MessageLike]
"""What ``messages`` may be."""


def read_messages(given: object) -> list[Message]:
    """The messages of a request.

    Raises:
        InvalidRequestError: something in ``given`` is no message; the error names the place.
    """
    alone = isinstance(given, (str, Message, Mapping, *_PARTS)) or hasattr(given, "model_dump")
    if not alone and not isinstance(given, Iterable):
        raise _wrong("messages", given)
    conversation = _Conversation()
    for index, item in enumerate([given] if alone or not isinstance(given, Iterable) else given):
        conversation.add(item, "messages" if alone else f"messages[{index}]")
    return conversation.messages


def _wrong(where: str, given: object) -> InvalidRequestError:
    kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
    return InvalidRequestError(
        f"{where} has the wrong type: {kind}.",
        hint='Give it a string, a Message such as `Message.user("Name three birds")`, a dict such as '
        '`{"role": "user", "content": "…"}`, or a list of these.',
    )


class _Conversation:
    """The messages so far."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._loose = False  # whether the last message is made of strings and parts without a role
        self._items = False  # whether it is made of output items of the Responses API

    def add(self, item: object, where: str) -> None:
        """Add what stands at ``where``."""
        if isinstance(item, Message):
            self._append(item)
        elif isinstance(item, str | Text | Image | File):
            self._append(Message(Role.USER, [item]), loose=True)
        elif isinstance(item, _PARTS):
            role = Role.TOOL if isinstance(item, ToolResult) else Role.ASSISTANT
            self._append(Message(role, [item]))
        else:
            fields = as_dict(item)
            if fields is None:
                raise _wrong(where, item)
            self._add_dict(fields, where)

    def _add_dict(self, item: Mapping[str, Any], where: str) -> None:
        kind = item.get("type") or "message"
        if "role" not in item and kind in OF_USERS:
            part: OfUser = converted(item, OfUser, where)  # type: ignore[arg-type] # a union is no class
            self._append(Message(Role.USER, [part.part(where)]), loose=True)
            return
        if isinstance(kind, str) and kind in HOSTED_CALLS:
            self._append(hosted_call(_without_none(item)), items=True)
            return
        read = ITEMS.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise InvalidRequestError(
                f"{where}.type is {kind!r}, which is not known.",
                hint=f"Known are: {', '.join([*ITEMS, *HOSTED_CALLS])}.",
            )
        message = converted(item, read, where).message(where)
        self._append(message, items="type" in item and message.role is Role.ASSISTANT)

    def _append(self, message: Message, *, loose: bool = False, items: bool = False) -> None:
        """Add a message, or its parts to the last one where both belong together.

        The output items of one answer are one message, as the other API has them.
        """
        if (loose and self._loose) or (items and self._items):
            last = self.messages.pop()
            message = Message(last.role, [*last.content, *message.content])
        self.messages.append(message)
        self._loose, self._items = loose, items


_PARTS = (Text, Image, File, ToolCall, HostedToolCall, ToolResult, Thinking, Refusal)


def as_dict(value: object) -> Mapping[str, Any] | None:
    """``value`` as a mapping; objects of the openai SDK are models of pydantic, which know their dict."""
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)
    dumped = dump() if callable(dump) and not isinstance(value, type) else None
    return dumped if isinstance(dumped, Mapping) else None


def converted(value: Mapping[str, Any], kind: type[T], where: str) -> T:
    """``value`` as the shape ``kind``; fields that are None count as absent."""
    try:
        return msgspec.convert(_without_none(value), kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        place = where + path.removesuffix("`")
        if field := re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", reason):
            problem = "missing" if field[1] == "missing required" else "not known"
            raise InvalidRequestError(f"{place}.{field[2]} is {problem}.", hint=_HINT) from None
        raise InvalidRequestError(
            f"{place} is wrong: {reason[:1].lower()}{reason[1:]}.", hint=_HINT
        ) from None


def _without_none(value: Any) -> Any:
    """``value`` without fields that are None, and with the dicts of the openai SDK's objects inside it."""
    if isinstance(value, list | tuple):
        return [_without_none(entry) for entry in value]
    if not isinstance(value, Mapping):
        dump = None if isinstance(value, str | bytes) else getattr(value, "model_dump", None)
        if not callable(dump):
            return value
        value = dump()
    return {name: _without_none(inner) for name, inner in value.items() if inner is not None}


_HINT = (
    "See https://platform.openai.com/docs/api-reference for the shapes, or use `onplan.Message` and "
    "`onplan.ToolDefinition`."
)


prepare(OfUser, *ITEMS.values())
