"""Errors as OpenAI's APIs report them: a status, a body and what keeps clients from sending them again.

Which client reacts to what is in docs/protocol.md. A usage limit has no ``Retry-After``: openai-node 6 would
sleep until the limit resets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from onplan.dialects.served import ServedReply
from onplan.errors import (
    ContentPolicyError,
    CredentialError,
    InvalidRequestError,
    LimitError,
    OnplanError,
    StreamFailedError,
    TransportError,
)

NEVER_AGAIN = {"x-should-retry": "false"}


@dataclass(frozen=True, slots=True)
class Told:
    """How an error is told.

    Attributes:
        status: the HTTP status, where nothing has been sent yet.
        type: the ``type`` of the error.
        code: its ``code``.
        headers: of the reply.
    """

    status: int
    type: str
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)


class ParameterError(InvalidRequestError):
    """Something in a client's request is wrong.

    Attributes:
        param: where: the name of the field, or a path such as ``input[3].role``.
        told: how it is told.
    """

    hint = ""

    def __init__(
        self, message: str, *, param: str | None = None, code: str = "invalid_value", status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.told = Told(status, "invalid_request_error", code)


_PLACE = re.compile(r" - at `\$(.*?)`$")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_OF_JSON: Mapping[str, str] = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def parameter_error(error: msgspec.ValidationError, where: str = "") -> ParameterError:
    """What msgspec says of a value of a wrong shape; it quotes nothing of it but a word out of a list.

    ``where``: the name of the field that the value was decoded from, if it was not the whole body.
    """
    said = str(error)
    place = _PLACE.search(said)
    param = (where + (place[1].replace("[...]", "") if place else "")).lstrip(".") or None
    said = _PLACE.sub("", said)
    if missing := _MISSING.fullmatch(said):
        name = f"{param}.{missing[1]}" if param else missing[1]
        return ParameterError(f"{name} is missing.", param=name, code="missing_required_parameter")
    reason = re.sub(r"\b(?:str|int|float|bool)\b", lambda name: _OF_JSON[name[0]], said)
    message = reason.replace("`", "")
    told = f"{param}: {message}." if param else f"{message}."
    return ParameterError(told, param=param, code="invalid_type")


# By the error's own code; what is not here is told by the class.
_TOLD: Mapping[str, Told] = {
    "model_not_available": Told(404, "invalid_request_error", "model_not_found"),
    "context_length": Told(400, "invalid_request_error", "context_length_exceeded"),
    "content_policy": Told(400, "invalid_request_error", "content_filter"),
    "invalid_image": Told(400, "invalid_request_error", "invalid_image"),
    # 403 and not 401, which clients try again in a loop (Codex CLI 0.171, November 2026).
    "not_signed_in": Told(403, "authentication_error", "not_signed_in", NEVER_AGAIN),
    "sign_in_again": Told(403, "authentication_error", "not_signed_in", NEVER_AGAIN),
    "plan_not_permitted": Told(403, "authentication_error", "plan_not_permitted", NEVER_AGAIN),
    # Only by this type does Codex CLI 0.171 explain the limit and stop (November 2026).
    "usage_limit": Told(429, "usage_limit_reached", "usage_limit_reached", NEVER_AGAIN),
    "budget": Told(429, "usage_limit_reached", "usage_limit_reached", NEVER_AGAIN),
    "not_included": Told(403, "insufficient_quota", "usage_not_included", NEVER_AGAIN),
    "rate_limit": Told(429, "rate_limit_error", "rate_limit_exceeded"),
    "overloaded": Told(503, "server_error", "server_is_overloaded", {"retry-after": "5"}),
    "idle_timeout": Told(504, "server_error", "idle_timeout"),
    "total_timeout": Told(504, "server_error", "total_timeout"),
}
_BY_CLASS: tuple[tuple[type[OnplanError], Told], ...] = (
    (ContentPolicyError, _TOLD["content_policy"]),
    (InvalidRequestError, Told(400, "invalid_request_error", "invalid_request")),
    (CredentialError, Told(503, "server_error", "credential_unavailable", {"retry-after": "5"})),
    (LimitError, Told(429, "usage_limit_reached", "usage_limit_reached", NEVER_AGAIN)),
    (StreamFailedError, Told(502, "server_error", "upstream_error")),
    (TransportError, Told(502, "server_error", "upstream_error")),
    (OnplanError, Told(502, "server_error", "upstream_error")),
)
_LONGEST_WAIT = 60  # seconds; openai-node 7 ignores a longer Retry-After, and openai-node 6 sleeps through it


def told_of(error: OnplanError) -> Told:
    """How ``error`` is told."""
    if isinstance(error, ParameterError):
        return error.told
    return _TOLD.get(error.code) or next(told for kind, told in _BY_CLASS if isinstance(error, kind))


def error_fields(error: OnplanError) -> dict[str, Any]:
    """What stands under ``error``; ``resets_at`` in Unix seconds, where it is known."""
    told = told_of(error)
    param = error.param if isinstance(error, ParameterError) else None
    message = f"{error.message} {_hint_of(error)}".strip()
    fields = {"message": message, "type": told.type, "param": param, "code": told.code}
    return fields if error.resets_at is None else {**fields, "resets_at": int(error.resets_at)}


# Code of programs in Python: a call, a method, a keyword argument.
_PYTHON = re.compile(r"`(?:[\w.]+\(|\w+\.\w+\(|\w+=)")
# What helps a client of HTTP where the hint is for programs in Python. By the error's own code.
_HINTS: Mapping[str, str] = {
    "budget": "`GET /v1/usage` tells what this key may use.",
    "certificate": "Run `onplan doctor`, where the server runs.",
    "idle_timeout": "Ask again; with less `reasoning_effort` it takes less time.",
    "total_timeout": "Ask again; with less `reasoning_effort` it takes less time.",
}


def _hint_of(error: OnplanError) -> str:
    """The hint, if it is not one for programs in Python; else another one, or none."""
    hints = (error.hint, type(error).hint, _HINTS.get(error.code, ""))
    return next((hint for hint in hints if not _PYTHON.search(hint)), "")


def failure_reply(error: OnplanError) -> ServedReply:
    """The reply to a request that failed before anything of its answer was sent."""
    told = told_of(error)
    headers = dict(told.headers)
    if told.code == "rate_limit_exceeded":
        wait = min(max(error.retry_after or 1, 1), _LONGEST_WAIT)
        headers["retry-after"] = str(int(wait))
    reply = ServedReply.json({"error": error_fields(error)}, told.status, headers)
    reply.error = error
    return reply


def refusal(
    status: int,
    code: str,
    message: str,
    *,
    type: str = "invalid_request_error",  # noqa: A002 - as the field is called
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
    resets_at: int | None = None,
) -> ServedReply:
    """The reply to a request that we refuse ourselves. ``resets_at``: when a limit ends, Unix seconds."""
    error: dict[str, Any] = {"message": message, "type": type, "param": param, "code": code}
    if resets_at is not None:
        error["resets_at"] = resets_at
    return ServedReply.json({"error": error}, status, headers)
