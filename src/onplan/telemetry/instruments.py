"""Spans and metrics of one client. A failure of OpenTelemetry is logged, and never fails an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from typing import Concatenate, ParamSpec, TypeVar

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

from onplan.errors import OnplanError
from onplan.telemetry.attributes import Attributes, Value, error_attributes, error_type, is_counted, windows
from onplan.types import Limits, Usage

logger = logging.getLogger("onplan.telemetry")

P = ParamSpec("P")
S = TypeVar("S", bound="Unbreakable")
R = TypeVar("R")

# The bounds of histograms, as the conventions give them.
_TOKENS = [4**exponent for exponent in range(14)]
_SECONDS = [round(0.01 * 2**exponent, 2) for exponent in range(14)]


class Unbreakable:
    """Has methods that never raise.

    Attributes:
        has_failed: whether a failure of OpenTelemetry was logged as a warning; later ones are logged at the
            level DEBUG.
    """

    has_failed = False


def never_raises(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R | None]:
    """Make ``method`` log what it raises, and return None: a tracer, meter or exporter may be broken."""

    def call(owner: S, /, *arguments: P.args, **named: P.kwargs) -> R | None:
        try:
            return method(owner, *arguments, **named)
        except Exception as error:  # the program's provider may raise anything
            level = logging.DEBUG if Unbreakable.has_failed else logging.WARNING
            Unbreakable.has_failed = True
            logger.log(level, "OpenTelemetry failed: %s", type(error).__name__, exc_info=error)
            return None

    return call


class Instruments(Unbreakable):
    """What records the operations of one client.

    Args:
        tracer: makes spans.
        meter: makes instruments.
        server: attributes of everything: the provider, and where its API is.
        account: attributes of what concerns the sign-in.
        contents: whether spans have messages and answers.
    """

    def __init__(
        self, tracer: Tracer, meter: Meter, server: Attributes, account: Attributes, *, contents: bool
    ) -> None:
        self.tracer, self.server, self.contents = tracer, server, contents
        self._account = account
        self._tokens = _histogram(meter, "gen_ai.client.token.usage", "{token}", _TOKENS)
        self._duration = _histogram(meter, "gen_ai.client.operation.duration", "s", _SECONDS)
        self._to_first = _histogram(meter, "gen_ai.client.operation.time_to_first_chunk", "s", _SECONDS)
        self._per_chunk = _histogram(meter, "gen_ai.client.operation.time_per_output_chunk", "s", _SECONDS)
        self._retries = meter.create_counter("onplan.client.retries", "{retry}", "Requests sent again.")
        self._refreshes = meter.create_counter(
            "onplan.client.token_refreshes", "{refresh}", "Requests to the token endpoint."
        )
        self._used = meter.create_gauge("onplan.plan.used", "%", "How much of a usage window is used.")

    @never_raises
    def duration(self, seconds: float, attributes: Attributes, error: BaseException | None) -> None:
        """Record how long an operation took, and the error if it failed."""
        failed = {} if error is None else {"error.type": error_type(error)}
        self._duration.record(seconds, {**attributes, **failed})

    @never_raises
    def tokens(self, usage: Usage, attributes: Attributes) -> None:
        """Record how many tokens an answer used, if that is known."""
        if is_counted(usage):
            self._tokens.record(usage.prompt_tokens, {**attributes, "gen_ai.token.type": "input"})
            self._tokens.record(usage.completion_tokens, {**attributes, "gen_ai.token.type": "output"})

    @never_raises
    def chunk(self, seconds: float, attributes: Attributes, *, first: bool) -> None:
        """Record the seconds until a chunk came: from the request to the first, or from the chunk before."""
        (self._to_first if first else self._per_chunk).record(seconds, attributes)

    @never_raises
    def retry(self, error: OnplanError, attributes: Attributes) -> None:
        """Record that a request is sent again because of ``error``."""
        self._retries.add(1, {**attributes, "error.type": error_type(error)})

    @never_raises
    def refresh(self, error: BaseException | None) -> None:
        """Record that a token was refreshed, or the error if that failed."""
        failed = {} if error is None else {"error.type": error_type(error)}
        self._refreshes.add(1, {**self._account, **failed})

    @never_raises
    def limits(self, limits: Limits) -> None:
        """Record how much of the plan is used."""
        for percent, attributes in windows(limits):
            self._used.set(percent, {**self._account, **attributes})


def _histogram(meter: Meter, name: str, unit: str, bounds: list[float] | list[int]) -> Histogram:
    return meter.create_histogram(
        name, unit, explicit_bucket_boundaries_advisory=[float(bound) for bound in bounds]
    )


class Operation(Unbreakable):
    """One span, begun when this is made. After its end, every method does nothing.

    Args:
        instruments: make it.
        name: of the span.
        attributes: that it has from its beginning; samplers see them.
        parent: the context of the parent span; by default the current one.
        kind: ``CLIENT`` for a request to a server.
    """

    def __init__(
        self,
        instruments: Instruments,
        name: str,
        attributes: Mapping[str, Value],
        parent: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        self._began = time.perf_counter()
        self._contents = instruments.contents
        self._span: Span | None = None
        self._context: Context | None = None
        self._begin(instruments.tracer, name, attributes, parent, kind)

    @never_raises
    def _begin(
        self,
        tracer: Tracer,
        name: str,
        attributes: Mapping[str, Value],
        parent: Context | None,
        kind: SpanKind,
    ) -> None:
        self._span = tracer.start_span(name, parent, kind, attributes)
        self._context = set_span_in_context(self._span, parent)

    @property
    def seconds(self) -> float:
        """How long ago it began."""
        return time.perf_counter() - self._began

    @property
    def context(self) -> Context | None:
        """The context for spans below this one."""
        return self._context

    @never_raises
    def rename(self, name: str) -> None:
        """Give the span another name."""
        if self._span:
            self._span.update_name(name)

    @never_raises
    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        if self._span:
            self._span.set_attributes(attributes)

    @never_raises
    def set_contents(self, contents: Callable[[], Attributes]) -> None:
        """Add messages or results, if the program wants that and the span is recorded."""
        if self._contents and self._span and self._span.is_recording():
            self._span.set_attributes(contents())

    @never_raises
    def event(self, name: str, attributes: Attributes) -> None:
        """Something has happened."""
        if self._span:
            self._span.add_event(name, attributes)

    @never_raises
    def end(self, error: BaseException | None = None) -> None:
        """End the span, with the error that ended it if there was one."""
        span, self._span = self._span, None
        if span is None:
            return
        if error is not None:
            span.set_attributes(error_attributes(error))
            span.set_status(StatusCode.ERROR, str(error) if self._contents else None)
        span.end()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within it, spans and log records of this thread or task belong to this span."""
        token = self._attach()
        try:
            yield
        finally:
            self._detach(token)

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """As ``current``; the span ends with it."""
        try:
            with self.current():
                yield
        except BaseException as error:
            self.end(error)
            raise
        self.end()

    @never_raises
    def _attach(self) -> Token[Context] | None:
        return None if self._context is None else contexts.attach(self._context)

    @never_raises
    def _detach(self, token: Token[Context] | None) -> None:
        if token is not None:
            contexts.detach(token)
