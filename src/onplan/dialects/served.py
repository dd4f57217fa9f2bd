"""A request of a client of ours, and the reply to it, as values: HTTP without a socket."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import msgspec

from onplan.errors import OnplanError
from onplan.types import Usage


class ServedRequest(msgspec.Struct, frozen=True):  # sooner made than a frozen dataclass
    """What a client asks. Headers and body may hold secrets, so ``repr`` leaves them out.

    Attributes:
        method: in upper case.
        path: decoded, without the query: ``/v1/responses``.
        headers: names in lower case.
        body: decompressed.
        query: as it came, without the question mark.
        caller: who asks; empty for the person who runs the service. What is kept for one caller is never
            shown to another.
    """

    method: str
    path: str
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    query: str = ""
    caller: str = ""

    def __repr__(self) -> str:
        """Without headers and body."""
        fields = ", ".join(
            f"{name}={getattr(self, name)!r}" for name in ("method", "path", "query", "caller")
        )
        return f"ServedRequest({fields})"


_EVENT_STREAM = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx hands each event on at once
}


# Names of parameters come from the client; what is longer or not of these characters is no parameter.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_NAMES = 64
_REPAIRS, _LONGEST = "x-onplan-history-repairs", 4_096
_IGNORED, _EMULATED = "x-onplan-ignored-parameters", "x-onplan-emulated-parameters"


def reported_parameters(ignored: Iterable[str], emulated: Iterable[str]) -> dict[str, str]:
    """The headers that tell a client which of its parameters were left out, and which onplan carried out."""
    headers: dict[str, str] = {}
    for header, names in ((_IGNORED, ignored), (_EMULATED, emulated)):
        if named := [name for name in dict.fromkeys(names) if _NAME.fullmatch(name)]:
            headers[header] = ", ".join(named[:_MOST_NAMES])
    return headers


def reported_repairs(repairs: Iterable[str]) -> dict[str, str]:
    """The header that tells a client what was changed in its conversation, which may quote its ids."""
    told = " ".join(dict.fromkeys(repairs))[:_LONGEST]
    text = "".join(each if each.isascii() and each.isprintable() else "?" for each in told)
    return {_REPAIRS: text} if text else {}


def limit_headers(told: Mapping[str, str]) -> dict[str, str]:
    """What a backend says of the plan's limits in headers and events, as far as headers can hold it."""
    # Slices and one look at all: each answer has some twenty headers, of which few are meant.
    limits = {name: value for name, value in told.items() if name[:8] == "x-codex-"}
    if _are_sendable("".join(limits), "".join(limits.values())):
        return limits
    return {name: value for name, value in limits.items() if _are_sendable(name, value)}


def _are_sendable(names: str, values: str) -> bool:
    text = names + values
    return text.isascii() and text.isprintable()


class Pieces(Protocol):
    """The pieces of a streamed body, each of them one or more whole events.

    Attributes:
        error: what the latest piece tells, if it tells that the answer failed.
    """

    error: OnplanError | None

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Give the rest up. It may be called at any time, also before the first piece, and again."""
        ...


@dataclass(slots=True)
class ServedReply:
    """What is answered.

    Attributes:
        status: the HTTP status.
        headers: names in lower case.
        body: whole, or the pieces of a stream, which is to be closed if it is not read to its end.
        heartbeat: what the server sends between two pieces when nothing was sent for 15 seconds.
        model: the model that answers; None where none is asked.
        sent: how many bytes of a stream have been sent.
        error: the failure that is told, if it is one of onplan's; None for a refusal of the service itself.
        usage: the tokens that were used, known by the end of the body; None where no model is asked. The
            server counts them for the caller and in its metrics.
    """

    status: int
    headers: dict[str, str]
    body: bytes | Pieces = field(repr=False)
    heartbeat: bytes = b""
    model: str | None = None
    usage: Usage | None = None
    sent: int = 0
    error: OnplanError | None = field(default=None, repr=False)

    @classmethod
    def events(cls, body: Pieces, headers: Mapping[str, str] | None = None) -> ServedReply:
        """A stream of server-sent events."""
        return cls(200, {**_EVENT_STREAM, **(headers or {})}, body, b": ping\n\n")

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> ServedReply:
        """A whole JSON body."""
        return cls(
            status, {"content-type": "application/json", **(headers or {})}, msgspec.json.encode(value)
        )


# Bytes of a request, and of a stream of events, for a token: about as many as there usually are.
_BYTES_ASKED, _BYTES_SENT = 4, 200


def estimated_usage(asked: int, sent: int) -> Usage:
    """About the tokens of an answer that its client did not wait for: the backend tells them at the end.

    Args:
        asked: bytes of the request.
        sent: bytes of events that the client got.
    """
    prompt, completion = asked // _BYTES_ASKED, sent // _BYTES_SENT
    return Usage(prompt, completion, prompt + completion)
