"""Messages: who says what. Their parts are in parts.py."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from onplan.errors import InvalidRequestError
from onplan.types.parts import ContentPart, Part, Text, ToolCall, ToolResult


class Role(enum.StrEnum):
    """Who a message is from."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


_LISTS = (list, tuple)


def _is_several(given: object) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str | Mapping)


def _role(given: object) -> Role:
    try:
        return Role(given)  # type: ignore[arg-type] # whatever was given
    except ValueError:
        known = ", ".join(Role)
        raise InvalidRequestError(
            f"The role of a message is not {given!r}.", hint=f"Use one of: {known}."
        ) from None


class Message(msgspec.Struct, frozen=True):
    """A message. ``content`` may be given as a string, and always reads as a list of parts.

    Raises:
        InvalidRequestError: ``role`` is not one of ``Role``, or ``content`` is neither a string nor a list of
            content parts.
    """

    role: Role
    content: list[ContentPart]

    if TYPE_CHECKING:

        def __init__(
            self, role: Role | str, content: str | ContentPart | Iterable[str | ContentPart]
        ) -> None: ...

    def __post_init__(self) -> None:
        """Accept the short spellings."""
        if type(self.role) is not Role:
            force_setattr(self, "role", _role(self.role))
        given: Any = self.content
        items = given if type(given) in _LISTS or _is_several(given) else (given,)
        parts = [Text(item) if isinstance(item, str) else item for item in items]
        for part in parts:
            if not isinstance(part, Part):
                raise InvalidRequestError(
                    f"A message holds strings and content parts, not {type(part).__name__}.",
                    hint="Give it strings, `Image(…)` and the like; or give the whole message as a dict.",
                )
        force_setattr(self, "content", parts)

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls, in order."""
        return [part for part in self.content if isinstance(part, ToolCall)]

    @classmethod
    def system(cls, *content: str | ContentPart) -> Message:
        """Instructions for the model."""
        return cls(Role.SYSTEM, content)

    @classmethod
    def developer(cls, *content: str | ContentPart) -> Message:
        """Instructions for the model, under the name that the Responses API gives this role."""
        return cls(Role.DEVELOPER, content)

    @classmethod
    def user(cls, *content: str | ContentPart) -> Message:
        """A message from the user: text, images, files."""
        return cls(Role.USER, content)

    @classmethod
    def assistant(cls, *content: str | ContentPart) -> Message:
        """An earlier answer of the model."""
        return cls(Role.ASSISTANT, content)

    @classmethod
    def tool(cls, tool_call_id: str, content: object, *, is_error: bool = False) -> Message:
        """The output of the function for the call ``tool_call_id``: text, any JSON value, or parts."""
        return cls(Role.TOOL, [ToolResult(tool_call_id, content, is_error)])
