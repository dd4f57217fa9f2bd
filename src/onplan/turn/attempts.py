"""Makes attempts until one succeeds or another makes no sense; refreshes a token that the API refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from onplan.answers.failures import failure_of_response
from onplan.errors import OnplanError, SignInAgainError
from onplan.flow import Request, Response
from onplan.secret import SecretText
from onplan.turn.context import Context
from onplan.turn.retry import RetryPolicy, next_delay
from onplan.turn.steps import Authorize, Flow, Head, Now, ReadBody, Refresh, Send, Sleep
from onplan.types import Credential, OAuthCredentials

T = TypeVar("T")

_REFRESHES = 2


class Attempt(ABC, Generic[T]):
    """What is tried.

    Attributes:
        seen: whether the program has seen something of the answer that is arriving.
    """

    seen = False

    @abstractmethod
    def run(self, credentials: Credential) -> Flow[T]:
        """Try once."""

    def may_retry(self) -> bool:
        """Whether another attempt is possible without contradicting what the program has seen."""
        return True

    def amends(self, error: OnplanError) -> bool:
        """Whether the request has been changed so that ``error`` will not come again."""
        return False


def persist(attempt: Attempt[T], context: Context, policy: RetryPolicy | None = None) -> Flow[T]:
    """Carry out ``attempt`` until it succeeds or trying again makes no sense.

    A refused access token is replaced, and that does not count as a retry. Twice at most: the first
    replacement may be one that another process stored, and no better. One that this process has just got from
    the server is not replaced again; then the backend's own words count.

    When an answer breaks off that the program had begun to see, the time that it took does not count: the
    policy's timeout begins anew.
    """
    now, policy = context.now, policy or context.policy
    began, tries, refreshes = now(), 0, 0
    credentials: Credential = yield Authorize()
    while True:
        try:
            return (yield from attempt.run(credentials))
        except SignInAgainError as error:
            _advise(error, context, credentials)
            refreshable = isinstance(credentials, OAuthCredentials) and error.token_refused
            if not refreshable or refreshes == _REFRESHES or attempt.seen:
                raise
            try:
                credentials = yield Refresh(SecretText(credentials.access_token), again=refreshes > 0)
            except SignInAgainError as ended:
                ended.request_id = ended.request_id or error.request_id
                raise error if refreshes else ended from None
            refreshes += 1
        except OnplanError as error:
            _advise(error, context, credentials)
            if attempt.amends(error):
                yield Sleep(0.0, error)
                continue
            tries += 1
            if attempt.seen:
                began = now()
            delay = next_delay(policy, tries, error, now() - began) if attempt.may_retry() else None
            if delay is None:
                raise
            yield Sleep(delay, error)
            credentials = yield Authorize()


def _advise(error: OnplanError, context: Context, credentials: Credential) -> None:
    """Hide the token in ``error``, and give the hint that helps with this backend."""
    error.hide(credentials.access_token)
    error.hint = context.backend.advice.get(error.code, error.hint)


def json_reply(
    request: Request, now: Now, timeout: float | None = None, maximum_size: int | None = None
) -> Flow[tuple[Any, Mapping[str, str]]]:
    """Send ``request``; the JSON value of its whole answer, and the headers. Raise the error for another one.

    Args:
        request: what to send.
        now: Unix seconds.
        timeout: seconds for each of head and body; without it, the client's own limits.
        maximum_size: of the body in bytes, instead of the transport's own limit.
    """
    head = yield from opened(request, now, timeout)
    response = Response(head.status, head.headers, (yield ReadBody(timeout, maximum_size)))
    value: Any = response.json()
    if value is None:
        raise failure_of_response(response, now())
    return value, head.headers


def opened(request: Request, now: Now, timeout: float | None = None) -> Flow[Head]:
    """Send ``request``; raise the error for a failing status, or for a page instead of a stream or JSON.

    ``timeout``: seconds for the head of the answer; without it, the client's own limits.
    """
    head: Head = yield Send(request, timeout)
    # The plan's answers may lack a Content-Type (docs/protocol.md), so only one of a web page is a failure.
    if head.status == 200 and "text/html" not in head.headers.get("content-type", "").lower():
        return head
    body = yield ReadBody()
    raise failure_of_response(Response(head.status, head.headers, body), now())
