"""Carries out one completion: chooses the transport, emits the answer, remembers it for the next turn.

Failures are raised; whether another attempt follows is decided in attempts.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from onplan.answers.cutoff import Cutoff
from onplan.answers.failures import failure_of_complaint, failure_of_response
from onplan.errors import (
    DisconnectError,
    IdleTimeoutError,
    InvalidRequestError,
    OnplanError,
    SignInAgainError,
    StreamTruncatedError,
    TotalTimeoutError,
    TransportError,
)
from onplan.flow import CLIENT_REQUEST_ID, NOTHING, Request, Response, request_id_of
from onplan.lazy_pattern import LazyPattern
from onplan.request.history import with_valid_calls
from onplan.responses.continuation import Continuation, Create
from onplan.responses.items import Item, input_items
from onplan.responses.request import ResponsesCall
from onplan.responses.stream import ResponseStream
from onplan.turn.amendment_table import amended
from onplan.turn.amendments import Amendment, Call
from onplan.turn.attempts import Attempt, opened
from onplan.turn.context import Context
from onplan.turn.fallback import Fallback
from onplan.turn.steps import (
    Emit,
    Flow,
    Head,
    Join,
    Joined,
    ReadBody,
    ReadEvents,
    SendMessage,
)
from onplan.types import (
    CompletionResponse,
    ContentPart,
    Credential,
    Done,
    FinishReason,
    Limits,
    Resumed,
    StreamChunk,
    ToolCall,
    Usage,
    read_by,
)

if TYPE_CHECKING:
    from onplan.chat.stream import ChatStream

Stream: TypeAlias = "ResponseStream | ChatStream"
_End: TypeAlias = Callable[[CompletionResponse], None]


class Completion(Attempt["CompletionResponse | None"]):
    """A request that is sent until it is answered, several times if need be.

    Args:
        call: the request.
        context: what all turns of the client have in common.
        generate: False sends the request over a WebSocket without having it answered (``prewarm``).
        silent: whether the program sees nothing of the answer.

    Attributes:
        returns_answer: whether ``run`` returns it.
    """

    returns_answer = True

    def __init__(self, call: Call, context: Context, *, generate: bool = True, silent: bool = False) -> None:
        self.model = call.model
        self._silent = silent or not generate
        self._remembered = context.amendments
        self._amendments: list[Amendment] = []
        self._call = self._remembered.apply(call)
        self._now, self._fallback = context.now, context.fallback
        self._generate, self._resume = generate, context.resume
        self._stream: Stream | None = None
        self._heard = False  # whether anything has been received in this attempt
        self._request_id: str | None = None
        self._turn_state: str | None = None

    @property
    def limits(self) -> Limits | None:
        """What the plan has left, as far as the latest answer said so."""
        return self._stream.limits if isinstance(self._stream, ResponseStream) else None

    @property
    def compactions(self) -> list[Item]:
        """The compactions in the latest answer."""
        return self._stream.compactions if isinstance(self._stream, ResponseStream) else []

    def may_retry(self) -> bool:
        """Whether the request can be sent again without contradicting what the program has seen.

        With ``resume`` the program is told which parts to keep, and discards the others. That does not work
        after a finished tool call: the program may be running it, and the model needs its result to go on.
        """
        called = self._stream and any(isinstance(part, ToolCall) for part in self._stream.parts)
        return not self.seen or (self._resume and not called)

    def amends(self, error: OnplanError) -> bool:
        """Whether the request has been changed so that ``error`` will not come again."""
        found = None if self.seen else amended(error, self._call, self._amendments)
        if found:
            amendment, self._call = found
            self._amendments.append(amendment)
        return found is not None

    def run(self, credentials: Credential) -> Flow[CompletionResponse | None]:
        """Ask once, over the transport that is to be used now. Return the answer, if one was wanted."""
        if self.seen and self._stream:
            self.seen, self._call = False, self._call.after(self._stream.parts)
            yield Emit([Resumed(list(self._call.kept))])
        try:
            yield from self._ask(credentials)
        except OnplanError as error:
            error.request_id = error.request_id or self._request_id
            raise
        for amendment in self._amendments:
            self._remembered.keep(amendment, self._call)
        return self._stream.response if self._stream and self.returns_answer else None

    def _ask(self, credentials: Credential) -> Flow[None]:
        fallback = self._fallback
        if fallback and not fallback.applies(self._call.session_id):
            answered = yield from self._over_websocket(credentials, fallback)
            if answered:
                return
        if self._generate:
            yield from self._over_http(credentials)

    def _over_http(self, credentials: Credential) -> Flow[None]:
        head = yield from opened(self._named(self._call.request(credentials)), self._now)
        stream = self._stream_after(head)
        try:
            yield from self._read(stream)
        except OnplanError as error:
            raise self._with_head(stream, error, head) from None

    def _over_websocket(self, credentials: Credential, fallback: Fallback) -> Flow[bool]:
        """Return whether the answer came; if not, the request is to be sent over HTTP.

        A warm connection that turns out to be closed, or that the backend does not continue, is replaced at
        once. That does not count as a failure.
        """
        if not isinstance(self._call, ResponsesCall):
            return False
        session_id, create, fresh = self._call.session_id, self._call.create(), False
        while True:
            request, large = self._named(self._call.upgrade(credentials)), not fallback.takes(create.size)
            joined = yield from self._join(Join(request, session_id, create, fresh, large), fallback)
            if joined is None or joined.seen is None:
                return _too_large(fallback, create.size) if large else False
            stream, seen = self._call.stream(self._note_request_id(joined.head)), joined.seen
            self._note_limits(stream, NOTHING if joined.warm else joined.head.headers)
            if create.goes_on:
                self._turn_state = self._turn_state or seen.turn_state
            stream.earlier = seen.ids
            message = seen.begin(create, self._turn_state, generate=self._generate)
            if not fallback.takes(len(message)):
                return _too_large(fallback, len(message))
            self._heard = False
            try:
                yield SendMessage(message)
                yield from self._read(stream, partial(self._settle, seen, create, stream))
            except OnplanError as error:
                self._turn_state = stream.turn_state or self._turn_state
                if not self.seen:
                    if isinstance(error, DisconnectError) and error.close_code == _MESSAGE_TOO_BIG:
                        fallback.too_large(len(message))
                        return _too_large(fallback, len(message), error.message)
                    over = stream.is_mixed or _is_over(stream, error)
                    went_away = joined.warm and not self._heard and isinstance(error, DisconnectError)
                    if not fresh and (over or went_away):
                        fresh = True
                        continue
                    if over and fallback.refused(session_id):
                        return False
                broke = isinstance(error, TransportError | StreamTruncatedError)
                if broke and not isinstance(error, TotalTimeoutError):
                    fallback.broke(session_id)
                raise self._with_head(stream, error, joined.head) from None
            return True

    def _join(self, join: Join, fallback: Fallback) -> Flow[Joined | None]:
        """A WebSocket, or None if HTTP is to be used. Raises errors that HTTP would meet as well."""
        try:
            joined: Joined | None = yield join
        except (DisconnectError, IdleTimeoutError):  # the server did not answer, or not as a WebSocket server
            if fallback.refused(join.session_id):
                return None
            raise
        if joined is None or joined.seen is not None:
            return joined
        body = yield ReadBody()
        head = joined.head
        error = failure_of_response(Response(head.status, head.headers, body), self._now())
        refused_token = isinstance(error, SignInAgainError) and error.token_refused
        if not refused_token and head.status != 429 and fallback.refused(join.session_id, head.status):
            return None
        raise error

    def _settle(
        self, seen: Continuation, create: Create, stream: ResponseStream, response: CompletionResponse
    ) -> None:
        """Remember the finished exchange for the next turn, if it is finished at the backend, too.

        An answer that was cut off or resumed is not remembered: the program's history will differ from what
        the server saw.
        """
        if stream.is_cut:
            return
        answer, response_id = [], None
        whole = response.finish_reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)
        if whole and not self._call.kept:
            answer = input_items([with_valid_calls(response.message)], self._call.backend.system_role)
            response_id = response.response_id
        seen.end(create, answer, response_id, stream.turn_state, stream.ids)
        if self._fallback:
            self._fallback.worked(self._call.session_id)

    def _with_head(self, stream: Stream, error: OnplanError, head: Head) -> OnplanError:
        """The error for a failure inside an answer: the same as if it had come as an HTTP response."""
        if error is not stream.failure or stream.complaint is None:
            return error
        failure = failure_of_complaint(stream.complaint, head.headers, self._now(), error.request_id)
        failure.parts = stream.parts
        return failure

    def _read(self, stream: Stream, end: _End | None = None) -> Flow[None]:
        """Emit the answer. ``end`` gets it when it is whole, before its last chunks are emitted."""
        self._stream = stream
        incoming = _Incoming(self, stream, end)
        try:
            yield ReadEvents(incoming)
        except OnplanError as error:
            if not stream.is_whole:
                raise _broken(error, stream, seen=self.seen) from None
            yield Emit(incoming.take(None))  # the answer was whole before its connection broke
        if stream.failure:
            stream.failure.parts = stream.parts
            raise stream.failure

    def _named(self, request: Request) -> Request:
        """Return ``request``; note its client-side id for errors, in case the backend gives it no id."""
        self._request_id = request.headers.get(CLIENT_REQUEST_ID)
        return request

    def _stream_after(self, head: Head) -> Stream:
        stream = self._call.stream(self._note_request_id(head))
        if isinstance(stream, ResponseStream):
            self._note_limits(stream, head.headers)
        return stream

    def _note_limits(self, stream: ResponseStream, headers: Mapping[str, str]) -> None:
        """``headers``: those of this answer. What a warm WebSocket was opened with says nothing new."""
        stream.limit_headers, stream.began_at = headers, self._now()

    def _note_request_id(self, head: Head) -> str | None:
        self._request_id = request_id_of(head.headers) or self._request_id
        return self._request_id


class _Incoming:
    """Makes chunks of what is read; notes in the completion that something was received, and seen."""

    __slots__ = ("_completion", "_cutoff", "_end", "_stream", "finished", "grace")

    def __init__(self, completion: Completion, stream: Stream, end: _End | None) -> None:
        self._completion, self._stream, self._end = completion, stream, end
        at = completion._call.reports.cut_at
        self._cutoff = Cutoff(at, completion._call.kept) if at else None
        self.finished = False
        self.grace: float | None = None

    @property
    def limits_in_events(self) -> Mapping[str, str]:
        """What they have said so far of what the plan has left, as headers."""
        return self._stream.limits_in_events if isinstance(self._stream, ResponseStream) else NOTHING

    def take(self, payloads: Sequence[bytes] | None) -> Sequence[StreamChunk]:
        """What the program is to see after one read."""
        stream, completion, cutoff = self._stream, self._completion, self._cutoff
        if cutoff and cutoff.reason:
            return self._ended(cutoff.reason, cutoff.parts)
        if payloads is None:
            chunks = stream.close()
        else:
            chunks = stream.feed(payloads)
            if payloads:
                completion._heard = True
        self.grace = stream.grace
        if cutoff:
            chunks = cutoff.passed(chunks)
        if cutoff and cutoff.reason:
            self.grace = 0.0  # the connection is closed without reading on
        elif stream.finished:
            self.finished = True
            output = completion._call.output
            if (output or self._end) and (response := stream.response):
                read_by(response, output)
                if self._end:
                    self._end(response)
        if not chunks or completion._silent:
            return ()
        completion.seen = True
        return chunks

    def _ended(self, reason: FinishReason, parts: list[ContentPart]) -> Sequence[StreamChunk]:
        """The last chunk of an answer that onplan ended. The tokens are known if its end had arrived, too."""
        stream = self._stream
        usage = stream.response.usage if stream.response else Usage()
        stream.failure, stream.response = None, stream.answer_of(parts, usage, reason)
        read_by(stream.response, self._completion._call.output)
        self.finished = stream.finished = self._completion.seen = True
        return [Done(usage, reason, stream.response)]


# The code with which a server closes a WebSocket after too large a message (RFC 6455 §7.4.1).
_MESSAGE_TOO_BIG = 1009
# The error codes for a connection that is 60 minutes old, and for an earlier response that is forgotten.
_CONNECTION_IS_OVER = frozenset({"websocket_connection_limit_reached", "previous_response_not_found"})
_NOTHING_REMEMBERED = LazyPattern(r"previous.response\b.{0,100}\bnot found")


def _is_over(stream: ResponseStream, error: OnplanError) -> bool:
    """Whether the error is about the connection and not the request, so that a new connection helps."""
    in_words = _NOTHING_REMEMBERED.search(error.message)
    return bool(in_words) or not _CONNECTION_IS_OVER.isdisjoint(stream.failure_codes)


def _too_large(fallback: Fallback, size: int, why: str = "The backend takes less than 16 MiB.") -> bool:
    """Return False, to use HTTP instead. Raises InvalidRequestError where only WebSocket is wanted."""
    if fallback.allowed:
        return False
    raise InvalidRequestError(
        f"The request, of {size:,} bytes, is too large for a WebSocket. {why}",
        hint='Use `transport="auto"`, which sends it over HTTP.',
    )


def _broken(error: OnplanError, stream: Stream, *, seen: bool) -> OnplanError:
    """What went wrong while an answer was arriving, with the parts that had arrived."""
    broke = isinstance(error, TransportError) and not isinstance(error, IdleTimeoutError | TotalTimeoutError)
    if not (seen and broke):
        error.parts = stream.parts
        return error
    truncated = StreamTruncatedError("The connection broke before the answer was complete.")
    truncated.parts = stream.parts
    return truncated
