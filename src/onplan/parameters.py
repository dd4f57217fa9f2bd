"""Which of a request's parameters a backend supports: the others are listed as ignored, or refused."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from onplan.backends import Backend, ParameterSupport
from onplan.errors import ConfigurationError, InvalidRequestError
from onplan.types import CompletionRequest, ToolChoice

if TYPE_CHECKING:
    from onplan.structured.output_format import OutputFormat

_NOTHING_GIVEN = {
    name: getattr(CompletionRequest(messages=[]), name)
    for name in CompletionRequest.__struct_fields__
    if name != "messages"
}


def raises(unsupported: str) -> bool:
    """Whether a parameter that the backend does not support raises an error; else it is dropped and listed.

    Raises:
        ConfigurationError: ``unsupported`` is not one of the two words. A misspelt ``raise`` must not drop
            anything.
    """
    if unsupported not in ("drop", "raise"):
        raise ConfigurationError(
            f"unsupported={unsupported!r} is neither 'drop' nor 'raise'.",
            hint='Write `unsupported="drop"` or `unsupported="raise"`.',
        )
    return unsupported == "raise"


def left_out(
    given: Iterable[str], request: CompletionRequest, backend: Backend, *, raising: bool
) -> tuple[str, ...]:
    """Those of the parameters that the program set, ``given``, that the backend's row does not take.

    Raises:
        InvalidRequestError: ``raising``, and there are some.
    """
    ignored = tuple(name for name in given if not _takes(backend, name, request))
    if ignored and raising:
        raise InvalidRequestError(
            f"{backend.name} does not take {', '.join(ignored)}.",
            hint='Leave that out, or have it left out and listed: `Client(unsupported="drop")`.',
        )
    return ignored


def given_by(request: CompletionRequest) -> list[str]:
    """The names of the parameters that the program set."""
    return [name for name, default in _NOTHING_GIVEN.items() if getattr(request, name) != default]


def _takes(backend: Backend, name: str, request: CompletionRequest) -> bool:
    support = backend.parameter_support.get(name, ParameterSupport.FORWARD)
    if support is ParameterSupport.WITH_TOOLS:
        return bool(request.tools)
    return support is ParameterSupport.FORWARD


# --- conversations ----------------------------------------------------------------------------------


def session_id_of(request: CompletionRequest) -> str:
    """The conversation's name: the program's own, or one from its first messages.

    That is the same for every turn, so a program that keeps no state of its own finds its prompt in the
    cache. Raises InvalidRequestError if no header can hold it.
    """
    session_id = request.session_id or _derived_session_id(request)
    if not (session_id.isascii() and session_id.isprintable()):
        raise InvalidRequestError("A session_id consists of printable ASCII characters.")
    return session_id


def _derived_session_id(request: CompletionRequest) -> str:
    beginning = []
    for message in request.messages:
        beginning.append(message)
        if message.role == "user":
            break
    digest = sha256(msgspec.json.encode(beginning)).digest()
    return uuid_text(digest[:16], version=5)


def uuid_text(data: bytes, version: int) -> str:
    """``data``, 16 bytes, as the text of a UUID of this version (RFC 9562). Cheaper than an object for it."""
    marked = bytearray(data)
    marked[6] = marked[6] & 0x0F | version << 4
    marked[8] = marked[8] & 0x3F | 0x80
    text = marked.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# --- tools and schemas ------------------------------------------------------------------------------


def tool_choice_of(request: CompletionRequest) -> str | ToolChoice | None:
    """The request's ``tool_choice``. Raises InvalidRequestError if it names a tool that is not offered."""
    choice = request.tool_choice
    if isinstance(choice, ToolChoice) and choice.name not in {tool.name for tool in request.tools}:
        raise InvalidRequestError(
            f"tool_choice names {choice.name!r}, which is not one of the tools.",
            hint="Give it the name of a tool in the request, or auto, none or required.",
        )
    return choice


def output_format_of(request: CompletionRequest) -> OutputFormat | None:
    """The schema and the reader that the request's ``response_format`` stands for."""
    if request.response_format is None:
        return None
    from onplan.structured.output_format import output_format

    return output_format(request.response_format)
