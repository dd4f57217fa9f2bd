"""Which of a request's parameters a backend supports: the others are emulated, left out or refused."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import attrgetter
from struct import Struct
from typing import TYPE_CHECKING, Any

import msgspec

from onplan.backends import Backend, ParameterSupport
from onplan.errors import ConfigurationError, InvalidRequestError
from onplan.types import CompletionRequest, CustomTool, HostedTool, ModelInfo, ToolChoice, ToolDefinition

if TYPE_CHECKING:
    from onplan.structured.output_format import OutputFormat

_PARAMETERS = tuple(name for name in CompletionRequest.__struct_fields__ if name not in ("messages", "model"))
_values_of = attrgetter(*_PARAMETERS)
_NOTHING_GIVEN = _values_of(CompletionRequest(messages=[]))

UNSUPPORTED = ("report", "raise")


def raises(unsupported: str) -> bool:
    """Whether a parameter that the backend does not support raises an error; else it is reported.

    Raises:
        ConfigurationError: ``unsupported`` is not one of the two words. A misspelt ``raise`` must not drop
            anything.
    """
    if unsupported not in UNSUPPORTED:
        raise ConfigurationError(
            f"unsupported={unsupported!r} is neither 'report' nor 'raise'.",
            hint='Write `unsupported="report"` or `unsupported="raise"`.',
        )
    return unsupported == "raise"


@dataclass(frozen=True)
class CutAt:
    """Where onplan ends an answer, since the backend cannot: before one of ``stop``, after ``max_tokens``."""

    stop: tuple[str, ...] = ()
    max_tokens: int | None = None


@dataclass(frozen=True)
class Reports:
    """What becomes of the parameters that a program set and that the backend does not take.

    Attributes:
        ignored: those that are left out.
        emulated: those that onplan carries out itself.
        cut_at: where it ends the answer; None if nowhere.
    """

    ignored: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    cut_at: CutAt | None = None


NOTHING_REPORTED = Reports()


def reports_on(
    given: Collection[str], request: CompletionRequest, backend: Backend, *, raising: bool
) -> Reports:
    """What the backend's row says of the parameters that the program set, ``given``.

    Raises:
        InvalidRequestError: ``raising``, and some would be left out; or there are tools that it cannot run.
    """
    if request.tools:
        _require_tools(request, backend)
    has_tools = bool(request.tools)
    found = [
        (name, backend.support_of(name, has_tools=has_tools))
        for name in given
        if name in backend.parameter_support
    ]
    if not found:
        return NOTHING_REPORTED
    ignored = tuple(name for name, support in found if support is ParameterSupport.DROP)
    if ignored and raising:
        raise InvalidRequestError(
            f"{backend.name} does not take {', '.join(ignored)}.",
            hint='Leave that out, or have it left out and listed: `Client(unsupported="report")`.',
        )
    emulated = tuple(name for name, support in found if support is ParameterSupport.EMULATE)
    cut_at = CutAt(
        stop=tuple(request.stop) if "stop" in emulated else (),
        max_tokens=request.max_tokens if "max_tokens" in emulated else None,
    )
    return Reports(ignored, emulated, None if cut_at == CutAt() else cut_at)


def emulating_stop(reports: Reports, stop: str | Sequence[str]) -> Reports:
    """``reports`` where ``stop`` is emulated, too."""
    texts = (stop,) if isinstance(stop, str) else tuple(stop)
    cut_at = replace(reports.cut_at or CutAt(), stop=texts)
    return replace(reports, emulated=(*reports.emulated, "stop"), cut_at=cut_at)


def _require_tools(request: CompletionRequest, backend: Backend) -> None:
    for parameter, (kind, problem, hint) in _TOOLS.items():
        if backend.parameter_support.get(parameter) is not ParameterSupport.RAISE:
            continue
        names = [tool.name for tool in request.tools if isinstance(tool, kind)]
        if names:
            raise InvalidRequestError(
                f"{backend.name} {problem} over this API: {', '.join(names)}.", hint=hint
            )


_WHERE = 'Use `Client(api="responses")` where the server speaks that'
# Kinds of tools that not every backend takes: what it does not do, and what helps.
_TOOLS: Mapping[str, tuple[type, str, str]] = {
    "hosted_tools": (HostedTool, "does not run tools itself", f"{_WHERE}."),
    "custom_tools": (
        CustomTool,
        "is not known to take custom tools",
        f"{_WHERE}, or offer a function with one string.",
    ),
}


def takes_custom_tools(backend: Backend) -> bool:
    """Whether calls of custom tools can be sent to ``backend``."""
    return backend.parameter_support.get("custom_tools") is not ParameterSupport.RAISE


def with_extra(body: dict[str, Any], request: CompletionRequest, backend: Backend) -> dict[str, Any]:
    """``body`` with the fields of ``extra_body``; objects in both are merged, and ``include`` gets longer.

    Raises:
        InvalidRequestError: it would change what this backend needs as it is.
    """
    if not request.extra_body:
        return body
    needs = {"model", "input", "messages", *backend.required} - {_INCLUDE}
    fixed = sorted(request.extra_body.keys() & needs)
    if fixed:
        raise InvalidRequestError(
            f"extra_body cannot change {', '.join(fixed)}.", hint="Leave that out of extra_body."
        )
    merged = _merged(body, request.extra_body)
    needed, wanted = body.get(_INCLUDE), merged.get(_INCLUDE)
    if isinstance(needed, list):
        if not isinstance(wanted, list):
            raise InvalidRequestError("extra_body.include is not a list.", hint="Give it a list of strings.")
        merged[_INCLUDE] = [*needed, *(name for name in wanted if name not in needed)]
    return merged


_INCLUDE = "include"  # what else the backend is to say of an answer; it needs some, and more does no harm


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {name for name in one.keys() & other.keys() if isinstance(one[name], dict)}
    inner = {name: _merged(one[name], other[name]) for name in both if isinstance(other[name], Mapping)}
    return {**one, **other, **inner}


# From the shortest thinking to the longest. Not "none", which models take that do not list it.
_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max", "ultra")


def offered_effort(wanted: str, model: ModelInfo, *, raising: bool) -> str:
    """The effort nearest to ``wanted`` that the model offers, a shorter one where there is one.

    A word that is not known may be one of tomorrow, and stays.

    Raises:
        InvalidRequestError: ``raising``, and the model does not offer it.
    """
    offered = [effort for effort in _EFFORTS if effort in model.reasoning_efforts]
    if wanted in model.reasoning_efforts or wanted not in _EFFORTS or not offered:
        return wanted
    if raising:
        raise InvalidRequestError(
            f"{model.id} does not offer the reasoning effort {wanted!r}.",
            hint=f"Use one of: {', '.join(offered)}.",
        )
    shorter = [effort for effort in offered if _EFFORTS.index(effort) < _EFFORTS.index(wanted)]
    return shorter[-1] if shorter else offered[0]


def given_by(request: CompletionRequest) -> list[str]:
    """The names of the parameters that the program set; messages and model are none."""
    values = _values_of(request)
    if values == _NOTHING_GIVEN:
        return []
    return [
        name
        for name, value, default in zip(_PARAMETERS, values, _NOTHING_GIVEN, strict=True)
        if value != default
    ]


_NONE_GIVEN: frozenset[str] = frozenset()


def asked_by(request: CompletionRequest, given: Collection[str]) -> frozenset[str]:
    """The parameters that the program set, ``given``, and ``strict`` if it says that of a tool."""
    if not given:
        return _NONE_GIVEN
    says = any(isinstance(tool, ToolDefinition) and tool.strict is not None for tool in request.tools)
    return frozenset((*given, "strict") if says else given)


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
    return (b"%b-%b-%b-%b-%b" % _IN_GROUPS(hexlify(marked))).decode()


_IN_GROUPS = Struct("8s4s4s4s12s").unpack


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
