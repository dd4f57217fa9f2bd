"""A side request: one POST outside of the turns, whose answer is a whole JSON value; for images and searches.

It is sent as it is, neither streamed nor compressed, and has limits of its own (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onplan.answers.limits import limits_of_headers
from onplan.errors import (
    IdleTimeoutError,
    InvalidRequestError,
    OnplanError,
    RateLimitError,
    SignInAgainError,
    UnexpectedReplyError,
)
from onplan.flow import NOTHING, Request, request_id_of
from onplan.request.encodable import encodable, encoded_body
from onplan.turn.attempts import Attempt, json_reply, persist
from onplan.turn.context import Context
from onplan.turn.steps import Flow
from onplan.types import Credential

TIMEOUT = 300.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRequest:
    """What to post.

    Attributes:
        purpose: what it is for, as the beginning of a sentence: ``Image generation``.
        path: where, below the base URL of the API: ``images/generations``.
        content: the body.
        content_type: of the body.
        headers: beside those of every API call.
        timeout: seconds for each of the head and the body of the answer.
        maximum_size: of the answer's body, in bytes.
        permit: raises an OnplanError if nothing is to be sent with a credential.
        uses_plan: whether a budget of the client counts it like a turn.
    """

    purpose: str
    path: str
    content: bytes = field(repr=False)
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING, repr=False)
    timeout: float = TIMEOUT
    maximum_size: int = 128 * 1024 * 1024
    permit: Callable[[Credential], None] | None = None
    uses_plan: bool = False

    @classmethod
    def json(cls, purpose: str, path: str, body: Mapping[str, Any], **options: Any) -> SideRequest:
        """A POST of a JSON object. Raises InvalidRequestError if its text cannot be encoded."""
        with encodable():
            return cls(purpose=purpose, path=path, content=encoded_body(body), **options)


@dataclass(frozen=True, slots=True)
class SideReply:
    """The answer: a JSON value, and the headers (names in lower case)."""

    value: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, if it gave one."""
        return request_id_of(self.headers)


def require_seconds(timeout: object) -> float:
    """The option ``timeout``, in seconds. Raises InvalidRequestError if it cannot be used."""
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout < float("inf"):
        return float(timeout)
    raise InvalidRequestError(
        f"timeout is {timeout!r}, and not a number of seconds above 0.",
        hint="Write `timeout=60`. Nothing was sent.",
    )


def post(request: SideRequest, context: Context) -> Flow[SideReply]:
    """Send ``request``, and return its answer.

    It is retried after failures of the server and the network, as the client's policy says, and after a 401
    with a refreshed token. It is not retried at its own rate limit, nor when it took too long: the server may
    still be busy with it.

    Raises:
        SignInAgainError: a new token was refused as well, or there is none. Turns may still be possible.
        RateLimitError: its own limit, which is not one of the plan's usage windows.
        BudgetError: the budget of the client is used up.
        OnplanError: it failed otherwise.
    """
    flow = _posted(request, context)
    return context.recorder.observed_flow(request.path, flow) if context.recorder else flow


def _posted(request: SideRequest, context: Context) -> Flow[SideReply]:
    budget, told = context.budget if request.uses_plan else None, None
    ticket = (yield from budget.admit(context)) if budget else None
    try:
        reply = yield from persist(_Post(request, context), context)
        told = limits_of_headers(reply.headers, context.now())
    finally:
        if budget:
            budget.settle(ticket, told)
    return reply


class _Post(Attempt[SideReply]):
    def __init__(self, request: SideRequest, context: Context) -> None:
        self._request, self._context = request, context

    def run(self, credentials: Credential) -> Flow[SideReply]:
        request, now = self._request, self._context.now
        if request.permit:
            request.permit(credentials)
        try:
            value, headers = yield from json_reply(
                self._post(credentials), now, request.timeout, request.maximum_size
            )
        except OnplanError as error:
            _explain(error, request.purpose)
            raise
        return SideReply(value, headers)

    def _post(self, credentials: Credential) -> Request:
        request, context = self._request, self._context
        headers = {
            **context.backend.api_headers(credentials),
            "content-type": request.content_type,
            "accept": "*/*",
            **request.headers,
        }
        return Request("POST", f"{context.base_url}/{request.path}", headers, request.content)


def _explain(error: OnplanError, purpose: str) -> None:
    """Adapt the message and hint of an error that means something else here than for a turn."""
    match error:
        case RateLimitError():
            error.message = f"{purpose} has a limit of its own, which is reached: {error.message}"
            error.args = (error.message,)
            error.hint = f"{error.hint} `onplan usage` does not show this limit."
            error.retryable = False
        case IdleTimeoutError():
            error.hint = "It may take longer than usual: allow more with `timeout=`."
            error.retryable = False
        case SignInAgainError() if error.token_refused:
            error.hint = (
                f"Try `onplan ask hi`. If it is answered, this sign-in does not cover {purpose.lower()}; "
                "otherwise run `onplan login`."
            )
        case UnexpectedReplyError() if error.status_code == 404:
            error.hint = f"The server may have no {purpose.lower()}. Check the base URL if you set one."
