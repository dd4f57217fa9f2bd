"""One request from first byte to done, as decisions: 401, retry, another transport, give up.

A turn is a dialogue. It yields steps and is sent their outcomes; the two clients carry the steps out and
decide nothing. Failures are thrown in at the step that failed. Knows nothing of sockets, files or event
loops; what time it is comes in as ``now``.

=============== ===================================== =====================================
step            the shell does                        outcome
=============== ===================================== =====================================
``Authorize``   asks the keeper for a fresh token     ``Credential``
``Refresh``     has one refused token replaced        ``OAuthCredentials``
``Send``        opens the request                     ``Head``
``Join``        finds or opens a WebSocket            ``Joined``
``SendMessage`` sends one over the WebSocket          None
``ReadBody``    reads the whole body                  ``bytes``
``ReadEvents``  reads once                            payloads, or None at the end
``Sleep``       waits                                 None
``Emit``        hands chunks to the program           None
=============== ===================================== =====================================
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from onplan.backends import Backend
from onplan.chat import request as chat_request
from onplan.chat.request import ChatCall
from onplan.chat.stream import ChatStream
from onplan.errors import (
    DisconnectError,
    IdleTimeoutError,
    OnplanError,
    SignInAgainError,
    StreamTruncatedError,
    TransportError,
)
from onplan.fallback import Fallback
from onplan.responses import request as responses_request
from onplan.responses.catalogue import catalogue_request, models_of
from onplan.responses.continuation import Continuation, Create
from onplan.responses.failures import failure_of_response
from onplan.responses.items import input_items
from onplan.responses.request import ResponsesCall
from onplan.responses.stream import ResponseStream
from onplan.retry import RetryPolicy, next_delay
from onplan.secret import SecretText
from onplan.types import CompletionRequest, Credential, FinishReason, ModelInfo, OAuthCredentials, StreamChunk
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
class Join:
    """Have a WebSocket of this session to ourselves: one that ``create`` fits, any open one, or a new one.

    ``fresh``: a new one, opened with ``request``, whatever there is. What was open before is closed first.
    """

    request: Request
    session_id: str
    create: Create
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """A WebSocket that is open, or the refusal to open one, whose body is still to be read.

    Attributes:
        head: of the answer to the upgrade.
        seen: what the connection has seen; None if it was refused.
        warm: it had been open before.
    """

    head: Head
    seen: Continuation | None = None
    warm: bool = False


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send this text over the WebSocket."""

    data: bytes = field(repr=False)


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


Call: TypeAlias = ResponsesCall | ChatCall
Stream: TypeAlias = ResponseStream | ChatStream

Step: TypeAlias = Authorize | Refresh | Send | Join | SendMessage | ReadBody | ReadEvents | Sleep | Emit
Dialogue: TypeAlias = Generator[Step, Any, T]

Now: TypeAlias = Callable[[], float]

_REFRESHES = 2


def prepare(
    request: CompletionRequest, backend: Backend, base_url: str, model: str, *, refuse_unsupported: bool
) -> Call:
    """Make a request ready to send, over the row's wire. Raises InvalidRequestError."""
    build = _PREPARATIONS[backend.wire]
    return build(request, backend, base_url, model, refuse_unsupported=refuse_unsupported)


_PREPARATIONS: Mapping[str, Callable[..., Call]] = {
    "responses": responses_request.prepare,
    "chat": chat_request.prepare,
}


def completion(call: Call, policy: RetryPolicy, now: Now, fallback: Fallback | None = None) -> Dialogue[None]:
    """One completion. Emits chunks, the last of which is the one ``Done``, or raises an OnplanError.

    Nothing is asked again once a chunk was emitted: the program has seen it. It goes over a WebSocket where
    there is a ``fallback`` that does not say otherwise.
    """
    asking = _Completion(call, now, fallback)
    yield from _persist(asking.attempt, call.backend, policy, now, may_retry=lambda: not asking.emitted)


def preparation(call: Call, policy: RetryPolicy, now: Now, fallback: Fallback) -> Dialogue[None]:
    """Have a WebSocket at hand that has heard ``call``, so that what follows it has less to say.

    Nothing is answered to it. Where SSE is to be used, nothing is done.
    """
    asking = _Completion(call, now, fallback, generate=False)
    yield from _persist(asking.attempt, call.backend, policy, now)


class _Completion:
    """One completion while it is carried out; without ``generate``, all of it but the answer."""

    def __init__(self, call: Call, now: Now, fallback: Fallback | None, *, generate: bool = True) -> None:
        self.emitted = False
        self._call, self._now, self._fallback, self._generate = call, now, fallback, generate
        self._turn_state: str | None = None

    def attempt(self, credentials: Credential) -> Dialogue[None]:
        """Ask once, over the transport that is to be used now."""
        fallback = self._fallback
        if fallback and not fallback.applies(self._call.session_id):
            answered = yield from self._over_websocket(credentials, fallback)
            if answered:
                return
        if self._generate:
            yield from self._over_http(credentials)

    def _over_http(self, credentials: Credential) -> Dialogue[None]:
        head = yield from _open(self._call.request(credentials), self._now)
        yield from self._read(self._call.stream(_request_id(head)))

    def _over_websocket(self, credentials: Credential, fallback: Fallback) -> Dialogue[bool]:
        """Whether the answer came; if not, it is to be asked for over HTTP.

        A connection that had been open, and is none any more, or that the backend has done with, is replaced
        at once: that is no failure.
        """
        if not isinstance(self._call, ResponsesCall):
            return False
        session_id, create, fresh = self._call.session_id, self._call.create(), False
        while True:
            join = Join(self._call.upgrade(credentials), session_id, create, fresh)
            joined = yield from self._join(join, fallback)
            if joined is None or joined.seen is None:
                return False
            stream, seen = self._call.stream(_request_id(joined.head)), joined.seen
            if create.goes_on:
                self._turn_state = self._turn_state or seen.turn_state
            try:
                yield SendMessage(seen.begin(create, self._turn_state, generate=self._generate))
                yield from self._read(stream, partial(self._settle, seen, create, stream))
            except OnplanError as error:
                self._turn_state = stream.turn_state or self._turn_state
                over = stream.failure_code in _CONNECTION_IS_OVER
                if not fresh and not self.emitted and (over or _went_away(joined, error)):
                    fresh = True
                    continue
                if over and not self.emitted and fallback.refused(session_id):
                    return False
                if isinstance(error, TransportError | StreamTruncatedError):
                    fallback.broke(session_id)
                raise self._told(stream, error) from None
            return True

    def _join(self, join: Join, fallback: Fallback) -> Dialogue[Joined | None]:
        """A WebSocket, or None where HTTP is to be used; raises what HTTP would only repeat."""
        try:
            joined: Joined = yield join
        except (DisconnectError, IdleTimeoutError):  # it did not answer, or not in this protocol
            if fallback.refused(join.session_id):
                return None
            raise
        if joined.seen is not None:
            return joined
        body = yield ReadBody()
        head = joined.head
        if head.status not in (401, 429) and fallback.refused(join.session_id, head.status):
            return None
        raise failure_of_response(Response(head.status, head.headers, body), self._now())

    def _settle(self, seen: Continuation, create: Create, stream: ResponseStream) -> None:
        """The answer is there: note what the connection has seen. What was cut off, nobody can repeat."""
        response = stream.response
        answer, response_id = [], None
        if response and response.finish_reason in (FinishReason.STOP, FinishReason.TOOL_CALLS):
            answer = input_items([response.message], self._call.backend.system_role)
            response_id = response.response_id
        seen.end(create, answer, response_id, stream.turn_state)
        if self._fallback:
            self._fallback.worked(self._call.session_id)

    def _told(self, stream: ResponseStream, error: OnplanError) -> OnplanError:
        """An error message with a status means what the HTTP response would have meant."""
        if error is not stream.failure or stream.refusal is None:
            return error
        failure = failure_of_response(stream.refusal, self._now())
        failure.parts = stream.parts
        return failure

    def _read(self, stream: Stream, end: Callable[[], None] = lambda: None) -> Dialogue[None]:
        """Emit the answer. ``end`` is called when it is whole, before the program sees the last of it."""
        try:
            while not stream.finished:
                payloads = yield ReadEvents()
                chunks = stream.close() if payloads is None else stream.feed(payloads)
                if stream.response:
                    end()
                if chunks and self._generate:
                    self.emitted = True
                    yield Emit(chunks)
        except TransportError as error:
            raise _broken(error, stream, emitted=self.emitted) from None
        except OnplanError as error:
            error.parts = stream.parts
            raise
        if stream.failure:
            stream.failure.parts = stream.parts
            raise stream.failure


# What the backend says of a connection after 60 minutes, and of one that it remembers nothing of.
_CONNECTION_IS_OVER = frozenset({"websocket_connection_limit_reached", "previous_response_not_found"})


def _went_away(joined: Joined, error: OnplanError) -> bool:
    return joined.warm and isinstance(error, DisconnectError)


def catalogue(backend: Backend, base_url: str, policy: RetryPolicy, now: Now) -> Dialogue[list[ModelInfo]]:
    """The models that the backend lists for this credential, best first."""

    def attempt(credentials: Credential) -> Dialogue[list[ModelInfo]]:
        head = yield from _open(catalogue_request(backend, base_url, credentials), now)
        response = Response(head.status, head.headers, (yield ReadBody()))
        body = response.json()
        if body is None:
            raise failure_of_response(response, now())
        return models_of(body, backend)

    return (yield from _persist(attempt, backend, policy, now))


def _persist(
    attempt: Callable[[Credential], Dialogue[T]],
    backend: Backend,
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
    credentials: Credential = yield Authorize()
    while True:
        try:
            return (yield from attempt(credentials))
        except SignInAgainError as error:
            _tell(error, backend, credentials)
            renewable = isinstance(credentials, OAuthCredentials)
            if not renewable or error.status != 401 or refreshes == _REFRESHES or not may_retry():
                raise
            credentials = yield Refresh(SecretText(credentials.access_token), again=refreshes > 0)
            refreshes += 1
        except OnplanError as error:
            _tell(error, backend, credentials)
            tries += 1
            delay = next_delay(policy, tries, error, now() - began) if may_retry() else None
            if delay is None:
                raise
            yield Sleep(delay, error)
            credentials = yield Authorize()


def _tell(error: OnplanError, backend: Backend, credentials: Credential) -> None:
    """Say nothing of the credential, and advise what helps with this backend."""
    error.hide(credentials.access_token)
    error.hint = backend.advice.get(error.code, error.hint)


def _open(request: Request, now: Now) -> Dialogue[Head]:
    """Send ``request``; raise what a failing status means, or a page where a stream or JSON should be."""
    head: Head = yield Send(request)
    # Some answers lack a Content-Type; only one that names a page is no answer of the backend's.
    if head.status == 200 and "text/html" not in head.headers.get("content-type", "").lower():
        return head
    body = yield ReadBody()
    raise failure_of_response(Response(head.status, head.headers, body), now())


def _broken(error: TransportError, stream: Stream, *, emitted: bool) -> OnplanError:
    """A connection that broke while an answer was arriving."""
    if not emitted or isinstance(error, IdleTimeoutError):
        error.parts = stream.parts
        return error
    truncated = StreamTruncatedError("The connection broke before the answer was complete.")
    truncated.parts = stream.parts
    return truncated


def _request_id(head: Head) -> str | None:
    return head.headers.get("x-request-id") or head.headers.get("x-oai-request-id")
