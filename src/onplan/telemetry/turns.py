"""One span for each turn: a flow is carried out as before, and its steps are written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context as SpanContext
from opentelemetry.trace import SpanKind

from onplan.errors import OnplanError
from onplan.telemetry.attributes import Value, error_attributes, request_attributes, response_attributes
from onplan.telemetry.contents import request_contents, response_contents
from onplan.telemetry.instruments import Instruments, Operation, Unbreakable, never_raises
from onplan.turn.context import Context
from onplan.turn.steps import Action, Emit, Flow, Incoming, ListModels, Prepare, ReadEvents, Refresh, Sleep
from onplan.types import CompletionRequest, CompletionResponse, Done, Resumed, StreamChunk

_CHAT = "chat"


def observed(
    flow: Flow[CompletionResponse],
    request: CompletionRequest,
    context: Context,
    instruments: Instruments,
    parent: SpanContext | None,
) -> Flow[CompletionResponse]:
    """Do as ``flow`` does, in a span below ``parent``, which begins with the first step.

    It ends with the last chunk, even if the program does not read on, or with what ended the flow.
    """
    turn = _Turn(request, context, instruments, parent)
    advance = flow.send
    outcome: object = None
    try:
        while True:
            try:
                step = advance(outcome)
            except StopIteration as stop:
                response: CompletionResponse = stop.value
                turn.answered(response)
                return response
            advance, outcome = flow.send, None
            try:
                if isinstance(step, Emit):
                    turn.note(step.chunks)
                    yield step
                elif isinstance(step, ReadEvents):
                    yield ReadEvents(_Noted(step.incoming, turn))
                else:
                    with turn.carrying_out(step):
                        outcome = yield step
            except OnplanError as error:
                advance, outcome = flow.throw, error
    except GeneratorExit as left:
        # The client closes a flow while it handles what ended it; that is another GeneratorExit where
        # the program reads no more of a stream.
        reason = left.__context__
        turn.left(None if isinstance(reason, GeneratorExit) else reason)
        raise
    except BaseException as error:
        turn.failed(error)
        raise
    finally:
        outcome = None  # an error in it would hold this frame, and this frame the error
        flow.close()


class _Turn(Unbreakable):
    """The span of one turn, and what its metrics are told."""

    def __init__(
        self,
        request: CompletionRequest,
        context: Context,
        instruments: Instruments,
        parent: SpanContext | None,
    ) -> None:
        model = request.model or context.model
        self._instruments = instruments
        self._attributes: dict[str, Value] = {"gen_ai.operation.name": _CHAT, **instruments.server}
        asked = request_attributes(request, model, context.backend)
        name = _CHAT
        self._span = Operation(instruments, name, {**self._attributes, **asked}, parent, kind=SpanKind.CLIENT)
        self._ended = False
        self._seen_at: float | None = None  # seconds after the beginning
        if model:
            self._is_for(model)
        self._span.set_contents(lambda: request_contents(request))

    def _is_for(self, model: str) -> None:
        self._attributes["gen_ai.request.model"] = model
        self._span.rename(f"{_CHAT} {model}")
        self._span.set({"gen_ai.request.model": model})

    @contextmanager
    def carrying_out(self, step: Action) -> Iterator[None]:
        """Within it, ``step`` is carried out."""
        match step:
            case Prepare(model=model):
                self._is_for(model)
            case Refresh():
                self._span.event("onplan.token_refused", {})
            case Sleep(seconds=seconds, error=error):
                self._instruments.retry(error, self._attributes)
                told = {**error_attributes(error), "onplan.retry.delay": seconds}
                self._span.event("onplan.retry", told)
            case ListModels():
                with Operation(self._instruments, "list_models", {}, self._span.context).lasting():
                    yield
                return
            case _:
                pass
        with self._span.current():
            yield

    @never_raises
    def note(self, chunks: Sequence[StreamChunk]) -> None:
        """These chunks have come together."""
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
    def answered(self, response: CompletionResponse) -> None:
        """The answer is whole."""
        if self._ended:
            return
        if response.model:
            self._attributes["gen_ai.response.model"] = response.model
        self._span.set(response_attributes(response))
        self._span.set_contents(lambda: response_contents(response))
        self._instruments.tokens(response.usage, self._attributes)
        if response.limits:
            self._instruments.limits(response.limits)
        self._end(None)

    @never_raises
    def left(self, reason: BaseException | None) -> None:
        """The program wants no more of it; ``reason``: what it was interrupted by, such as a cancellation."""
        if reason is None and not self._ended:
            self._span.set({"onplan.response.is_left": True})
        self._end(reason)

    @never_raises
    def failed(self, error: BaseException) -> None:
        """There is no answer."""
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if not self._ended:
            self._ended = True
            self._instruments.duration(self._span.seconds, self._attributes, error)
            self._span.end(error)


class _Noted:
    """Makes chunks of what is read, as ``incoming`` does, and has them written down."""

    __slots__ = ("_incoming", "_turn")

    def __init__(self, incoming: Incoming, turn: _Turn) -> None:
        self._incoming, self._turn = incoming, turn

    @property
    def finished(self) -> bool:
        return self._incoming.finished

    @property
    def grace(self) -> float | None:
        return self._incoming.grace

    def take(self, payloads: Sequence[bytes] | None) -> Sequence[StreamChunk]:
        chunks = self._incoming.take(payloads)
        if chunks:
            self._turn.note(chunks)
        return chunks
