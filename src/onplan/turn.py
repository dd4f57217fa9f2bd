"""One request from first byte to done, as decisions: 401, retry, give up.

A turn is a dialogue. It yields steps and is sent their outcomes; the two clients carry the steps out and
decide nothing. Failures are thrown in at the step that failed. Knows nothing of sockets, files or event
loops; what time it is comes in as ``now``.

=============== ===================================== =====================================
step            the shell does                        outcome
=============== ===================================== =====================================
``Authorize``   asks the keeper for a fresh token     ``OAuthCredentials``
``Refresh``     has one refused token replaced        ``OAuthCredentials``
``Send``        opens the request                     ``Head``
``ReadBody``    reads the whole body                  ``bytes``
``ReadEvents``  reads once                            payloads, or None at the end
``Sleep``       waits                                 None
``Emit``        hands chunks to the program           None
=============== ===================================== =====================================
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from onplan.backends import Backend
from onplan.errors import (
    IdleTimeoutError,
    OnplanError,
    SignInAgainError,
    StreamTruncatedError,
    TransportError,
)
from onplan.responses.catalogue import catalogue_request, models_of
from onplan.responses.failures import failure_of_response
from onplan.responses.request import ResponsesCall
from onplan.responses.stream import ResponseStream
from onplan.retry import RetryPolicy, next_delay
from onplan.secret import SecretText
from onplan.types import ModelInfo, OAuthCredentials, StreamChunk
from onplan.wire import Request, Response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Authorize:
    """Give me a credential whose access token is fresh."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """The backend refused this access token; give me another one.

    ``again``: it was itself a replacement.
    """

    access_token: str = field(repr=False)
    again: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Open this request. What was open before is closed first."""

    request: Request


@dataclass(frozen=True, slots=True)
class Head:
    """The answer's status and headers (names in lower case)."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReadBody:
    """Read the open answer's whole body."""


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """Read the open answer once: the event payloads it completed, or None at its end."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait before trying again, because of ``error``."""

    seconds: float
    error: OnplanError


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand these chunks to the program."""

    chunks: Sequence[StreamChunk]


Step: TypeAlias = Authorize | Refresh | Send | ReadBody | ReadEvents | Sleep | Emit
Dialogue: TypeAlias = Generator[Step, Any, T]

Now: TypeAlias = Callable[[], float]

_REFRESHES = 2


def completion(call: ResponsesCall, policy: RetryPolicy, now: Now) -> Dialogue[None]:
    """One completion. Emits chunks, the last of which is the one ``Done``, or raises an OnplanError.

    Nothing is asked again once a chunk was emitted: the program has seen it.
    """
    emitted = False

    def attempt(credentials: OAuthCredentials) -> Dialogue[None]:
        nonlocal emitted
        head = yield from _open(call.request(credentials), now)
        stream = ResponseStream(call.model, call.ignored_parameters, _request_id(head))
        try:
            while not stream.finished:
                payloads = yield ReadEvents()
                if payloads is None:
                    stream.close()
                chunks = stream.feed(payloads)
                if chunks:
                    emitted = True
                    yield Emit(chunks)
        except TransportError as error:
            raise _broken(error, stream, emitted=emitted) from None
        except OnplanError as error:
            error.parts = stream.parts
            raise
        if stream.failure:
            stream.failure.parts = stream.parts
            raise stream.failure

    yield from _persist(attempt, policy, now, may_retry=lambda: not emitted)


def catalogue(backend: Backend, base_url: str, policy: RetryPolicy, now: Now) -> Dialogue[list[ModelInfo]]:
    """The models that the backend lists for this credential, best first."""

    def attempt(credentials: OAuthCredentials) -> Dialogue[list[ModelInfo]]:
        head = yield from _open(catalogue_request(backend, base_url, credentials), now)
        response = Response(head.status, head.headers, (yield ReadBody()))
        body = response.json()
        if body is None:
            raise failure_of_response(response, now())
        return models_of(body, backend)

    return (yield from _persist(attempt, policy, now))


def _persist(
    attempt: Callable[[OAuthCredentials], Dialogue[T]],
    policy: RetryPolicy,
    now: Now,
    may_retry: Callable[[], bool] = lambda: True,
) -> Dialogue[T]:
    """Carry out ``attempt`` until it succeeds or there is no sense in it.

    A refused access token is replaced, and that does not count as a retry. Twice at most: the first
    replacement may be one that somebody else stored, and no better. One that this process has just got from
    the server is not replaced again; the keeper says so.
    """
    began, tries, refreshes = now(), 0, 0
    credentials: OAuthCredentials = yield Authorize()
    while True:
        try:
            return (yield from attempt(credentials))
        except SignInAgainError as error:
            error.hide(credentials.access_token)
            if error.status != 401 or refreshes == _REFRESHES or not may_retry():
                raise
            credentials = yield Refresh(SecretText(credentials.access_token), again=refreshes > 0)
            refreshes += 1
        except OnplanError as error:
            error.hide(credentials.access_token)
            tries += 1
            delay = next_delay(policy, tries, error, now() - began) if may_retry() else None
            if delay is None:
                raise
            yield Sleep(delay, error)
            credentials = yield Authorize()


def _open(request: Request, now: Now) -> Dialogue[Head]:
    """Send ``request``; raise what a failing status means, or a page where a stream or JSON should be."""
    head: Head = yield Send(request)
    # Some answers lack a Content-Type; only one that names a page is no answer of the backend's.
    if head.status == 200 and "text/html" not in head.headers.get("content-type", "").lower():
        return head
    body = yield ReadBody()
    raise failure_of_response(Response(head.status, head.headers, body), now())


def _broken(error: TransportError, stream: ResponseStream, *, emitted: bool) -> OnplanError:
    """A connection that broke while an answer was arriving."""
    if not emitted or isinstance(error, IdleTimeoutError):
        error.parts = stream.parts
        return error
    truncated = StreamTruncatedError("The connection broke before the answer was complete.")
    truncated.parts = stream.parts
    return truncated


def _request_id(head: Head) -> str | None:
    return head.headers.get("x-request-id") or head.headers.get("x-oai-request-id")
