"""Spans of flows: a flow is carried out as before, and its steps are recorded. A turn is such a flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from opentelemetry.context import Context as SpanContext
from opentelemetry.trace import SpanKind

from onplan.errors import OnplanError
from onplan.telemetry.attributes import (
    Value,
    error_attributes,
    request_attributes,
    response_attributes,
    usage_attributes,
)
from onplan.telemetry.contents import request_contents, response_contents
from onplan.telemetry.instruments import Instruments, Operation, Unbreakable, never_raises
from onplan.turn.context import Context
from onplan.turn.steps import Action, Emit, Flow, Incoming, ListModels, Prepare, ReadEvents, Refresh, Sleep
from onplan.types import CompletionRequest, CompletionResponse, Done, Resumed, StreamChunk, Usage

T = TypeVar("T")

_CHAT = "chat"


def observed(flow: Flow[T], begin: Callable[[], ObservedFlow]) -> Flow[T]:
    """Do as ``flow`` does, in the span that ``begin`` makes with the first step.

    It ends with the result, or with what ended the flow; that of a turn with the last chunk, even if the
    program does not read on.
    """
    observer = begin()
    advance = flow.send
    outcome: object = None
    try:
        while True:
            try:
                with observer.current():
                    step = advance(outcome)
            except StopIteration as stop:
                result: T = stop.value
                observer.answered(result)
                return result
            advance, outcome = flow.send, None
            try:
                if isinstance(step, Emit):
                    observer.note(step.chunks)
                    yield step
                elif isinstance(step, ReadEvents):
                    yield ReadEvents(_Noted(step.incoming, observer))
                else:
                    with observer.carrying_out(step) as noted:
                        outcome = yield noted
            except OnplanError as error:
                advance, outcome = flow.throw, error
    except GeneratorExit as left:
        # The client closes a flow while it handles what ended it; that is another GeneratorExit where
        # the program reads no more of a stream.
        reason = left.__context__
        observer.left(None if isinstance(reason, GeneratorExit) else reason)
        raise
    except BaseException as error:
        observer.failed(error)
        raise
    finally:
        outcome = None  # an error in it would hold this frame, and this frame the error
        flow.close()


class _NotedRefresh(Refresh, frozen=True):
    """One that the span of an inner flow tells."""


class _NotedSleep(Sleep, frozen=True):
    """One that the span of an inner flow tells."""


class _NotedListModels(ListModels, frozen=True):
    """One that the span of an inner flow tells."""


class ObservedFlow(Unbreakable):
    """The span of a flow.

    Args:
        instruments: count.
        span: has begun.
        attributes: of metrics.
    """

    def __init__(self, instruments: Instruments, span: Operation, attributes: dict[str, Value]) -> None:
        self._instruments, self._span, self._attributes = instruments, span, attributes
        self._ended = False

    def current(self) -> AbstractContextManager[None]:
        """Within it, what begins belongs to this span."""
        return self._span.current()

    @contextmanager
    def carrying_out(self, step: Action) -> Iterator[Action]:
        """Within it, what it gives is carried out: ``step``, so marked that no outer span tells it again."""
        span = self._span
        match step:
            case _NotedRefresh() | _NotedSleep() | _NotedListModels():
                pass
            case Prepare(model=model):
                self._is_for(model)
            case Refresh(access_token=token, again=again):
                span.event("onplan.token_refused", {})
                step = _NotedRefresh(token, again)
            case Sleep(seconds=seconds, error=error):
                self._instruments.retry(error, self._attributes)
                span.event("onplan.retry", {**error_attributes(error), "onplan.retry.delay": seconds})
                step = _NotedSleep(seconds, error)
            case ListModels(attempts=attempts):
                with Operation(self._instruments, "list_models", {}, span.context).lasting():
                    yield _NotedListModels(attempts)
                return
            case _:
                pass
        with span.current():
            yield step

    def note(self, chunks: Sequence[StreamChunk]) -> None:
        """These chunks have come together, for the program."""

    def _is_for(self, model: str) -> None:
        """This model is asked."""
        self._attributes["gen_ai.request.model"] = model
        self._span.set({"gen_ai.request.model": model})

    @never_raises
    def answered(self, result: object) -> None:
        """The flow has its result."""
        if isinstance(result, Usage):
            self._span.set(usage_attributes(result))
            self._instruments.tokens(result, self._attributes)
        self._end(None)

    @never_raises
    def left(self, reason: BaseException | None) -> None:
        """The program wants no more of it; ``reason``: what it was interrupted by, such as a cancellation."""
        if reason is None and not self._ended:
            self._span.set({"onplan.response.is_left": True})
        self._end(reason)

    @never_raises
    def failed(self, error: BaseException) -> None:
        """There is no result."""
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if not self._ended:
            self._ended = True
            self._span.end(error)


def begun(instruments: Instruments, name: str, operation: str | None) -> ObservedFlow:
    """A span of this name below what is current. ``operation``: of the conventions, if they have one."""
    attributes = {**instruments.server, **({"gen_ai.operation.name": operation} if operation else {})}
    return ObservedFlow(
        instruments, Operation(instruments, name, attributes, kind=SpanKind.CLIENT), attributes
    )


class ObservedTurn(ObservedFlow):
    """The span of one turn below ``parent``, and what its metrics are told."""

    def __init__(
        self,
        request: CompletionRequest,
        context: Context,
        instruments: Instruments,
        parent: SpanContext | None,
    ) -> None:
        model = request.model or context.model
        attributes: dict[str, Value] = {"gen_ai.operation.name": _CHAT, **instruments.server}
        asked = request_attributes(request, model, context.backend)
        span = Operation(instruments, _CHAT, {**attributes, **asked}, parent, kind=SpanKind.CLIENT)
        super().__init__(instruments, span, attributes)
        self._seen_at: float | None = None  # seconds after the beginning
        if model:
            self._is_for(model)
        self._span.set_contents(lambda: request_contents(request))

    def _is_for(self, model: str) -> None:
        super()._is_for(model)
        self._span.rename(f"{_CHAT} {model}")

    @never_raises
    def note(self, chunks: Sequence[StreamChunk]) -> None:
        """These chunks have come together, for the program."""
        now = self._span.seconds
        if self._seen_at is None:
            self._span.set({"gen_ai.response.time_to_first_chunk": now})
            self._instruments.chunk(now, self._attributes, first=True)
        else:
            self._instruments.chunk(now - self._seen_at, self._attributes, first=False)
        self._seen_at = now
        for chunk in chunks:
            if isinstance(chunk, Resumed):
                self._span.event("onplan.resumed", {"onplan.resumed.parts": len(chunk.parts)})
            elif isinstance(chunk, Done):
                self.answered(chunk.response)

    @never_raises
    def answered(self, result: object) -> None:
        """The answer is whole."""
        if self._ended or not isinstance(result, CompletionResponse):
            return
        if result.model:
            self._attributes["gen_ai.response.model"] = result.model
        self._span.set(response_attributes(result))
        self._span.set_contents(lambda: response_contents(result))
        self._instruments.tokens(result.usage, self._attributes)
        if result.limits:
            self._instruments.limits(result.limits)
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        if not self._ended:
            self._instruments.duration(self._span.seconds, self._attributes, error)
        super()._end(error)


class _Noted:
    """Makes chunks of what is read, as ``incoming`` does, and has them written down."""

    __slots__ = ("_incoming", "_observer")

    def __init__(self, incoming: Incoming, observer: ObservedFlow) -> None:
        self._incoming, self._observer = incoming, observer

    @property
    def finished(self) -> bool:
        return self._incoming.finished

    @property
    def limits_in_events(self) -> Mapping[str, str]:
        return self._incoming.limits_in_events

    @property
    def grace(self) -> float | None:
        return self._incoming.grace

    def take(self, payloads: Sequence[bytes] | None) -> Sequence[StreamChunk]:
        chunks = self._incoming.take(payloads)
        if chunks:
            self._observer.note(chunks)
        return chunks
