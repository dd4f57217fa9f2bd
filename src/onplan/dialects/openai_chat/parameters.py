"""What becomes of each field of a Chat Completions request at a backend (docs/server.md has the table)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import structs

from onplan.backends import Backend, ParameterSupport
from onplan.dialects.json_fields import decoded
from onplan.dialects.openai_chat.request import ChatRequest
from onplan.dialects.openai_chat.tools import allowed_tools_of
from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_parameters import ANY_LENGTH
from onplan.types import CompletionRequest

_ANY = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A request for one backend.

    Attributes:
        request: what is asked.
        names: what the client called the fields of it.
        ignored: fields of the client's body that have no effect there, as it called them.
    """

    request: CompletionRequest = field(repr=False)
    names: Mapping[str, str]
    ignored: tuple[str, ...]

    def named(self, fields: Iterable[str]) -> list[str]:
        """The client's names of ``fields`` of the request, without those that it did not give itself."""
        return [self.names.get(name, name) for name in fields if name != "session_id" or name in self.names]


# Where the backend does not take them, these values say what would happen anyway.
_DEFAULTS: Mapping[str, float] = {"temperature": 1.0, "top_p": 1.0}
# What has no place in the answers of ``answer`` and ``chunks``, and what is ``messages`` in the other API.
_NOT_SENT = frozenset(("logprobs", "top_logprobs", "store", "input"))


def fitted(parsed: ChatRequest, backend: Backend, *, strict: bool = False) -> Fitted:
    """The request for ``backend``.

    Args:
        parsed: the client's.
        backend: the row.
        strict: refuse what would be ignored.

    Raises:
        ParameterError: ``strict``, and something would be.
    """
    request = parsed.request
    changed: dict[str, Any] = {name: None for name in parsed.names if _says_nothing(name, request, backend)}
    sent = {name: raw for name, raw in parsed.others.items() if _is_sent(name, backend)}
    extra = {name: decoded(raw, _ANY, name) for name, raw in sent.items()}
    if parsed.allowed_tools is not None and request.tools:
        choice = allowed_tools_of(parsed.allowed_tools, nested=backend.api == "chat")
        extra["tool_choice"] = choice
    if request.reasoning_effort == "none":
        changed["reasoning_effort"] = None
        extra |= _no_effort(backend)
    if extra:
        changed["extra_body"] = extra
    given = [name for name in parsed.names if name not in changed]
    dropped = [parsed.names[name] for name in given if _is_dropped(name, request, backend)]
    ignored = (*dropped, *(name for name in parsed.others if name not in sent))
    if strict and ignored:
        raise ParameterError(
            f"{backend.name} does not take {', '.join(ignored)}.",
            param=ignored[0],
            code="unsupported_parameter",
        )
    return Fitted(structs.replace(request, **changed) if changed else request, parsed.names, ignored)


def _no_effort(backend: Backend) -> dict[str, Any]:
    """The effort "none", as a field of the body: there it becomes another one if the model refuses it.

    Models take it that do not list it, and programs choose it for a model that they know from the platform.
    """
    return {"reasoning_effort": "none"} if backend.api == "chat" else {"reasoning": {"effort": "none"}}


def _support(name: str, request: CompletionRequest, backend: Backend) -> ParameterSupport:
    return backend.support_of(name, has_tools=bool(request.tools))


def _says_nothing(name: str, request: CompletionRequest, backend: Backend) -> bool:
    value, support = getattr(request, name), _support(name, request, backend)
    if name == "max_tokens":
        return support is ParameterSupport.EMULATE and bool(value >= ANY_LENGTH)
    return support is ParameterSupport.DROP and name in _DEFAULTS and value == _DEFAULTS[name]


def _is_dropped(name: str, request: CompletionRequest, backend: Backend) -> bool:
    return _support(name, request, backend) is ParameterSupport.DROP and bool(
        getattr(request, name) not in ({}, [])
    )


def _is_sent(name: str, backend: Backend) -> bool:
    return name not in _NOT_SENT and backend.passes_on(name)
