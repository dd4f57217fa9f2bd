"""Records what a client does, as spans and metrics of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TypeVar

from opentelemetry import context as contexts
from opentelemetry.metrics import get_meter
from opentelemetry.trace import get_tracer

from onplan._version import __version__
from onplan.config.settings import Settings
from onplan.telemetry.attributes import server_attributes
from onplan.telemetry.instruments import Instruments, Operation
from onplan.telemetry.options import Telemetry
from onplan.telemetry.runs import ObservedRun
from onplan.telemetry.turns import ObservedTurn, begun, observed
from onplan.turn.context import Context, RunRecorder, Turn
from onplan.turn.steps import Flow
from onplan.types import CompletionRequest, CompletionResponse, Limits

T = TypeVar("T")

_LIBRARY = "onplan"


class SpanRecorder:
    """Makes the spans and metrics of one client; a ``turn.context.Recorder``."""

    def __init__(self, wanted: Telemetry, settings: Settings, *, contents: bool) -> None:
        self._instruments = Instruments(
            get_tracer(_LIBRARY, __version__, wanted.tracer_provider),
            get_meter(_LIBRARY, __version__, wanted.meter_provider),
            server_attributes(settings.base_url),
            {"onplan.profile": settings.profile, "onplan.backend": settings.backend.name},
            contents=contents,
        )

    def observed(self, turn: Turn) -> Turn:
        """The same turns, in spans below the one that is current now."""
        parent = contexts.get_current()

        def ask(request: CompletionRequest, context: Context) -> Flow[CompletionResponse]:
            begin = partial(ObservedTurn, request, context, self._instruments, parent)
            return observed(turn(request, context), begin)

        return ask

    def observed_flow(self, name: str, flow: Flow[T], operation: str | None = None) -> Flow[T]:
        """The same flow, in a span of this name."""
        return observed(flow, partial(begun, self._instruments, name, operation))

    def run(self, context: Context) -> RunRecorder:
        """The span of a run that begins."""
        return ObservedRun(self._instruments, context)

    def limits(self, told: Limits) -> None:
        """What the plan has left."""
        self._instruments.limits(told)

    def waiting_for_credentials(self) -> AbstractContextManager[None]:
        """A span for what a turn waits for before it can be sent."""
        return Operation(self._instruments, "get_credentials", {}).lasting()

    @contextmanager
    def refreshing(self) -> Iterator[None]:
        """A span for a request to the token endpoint."""
        span = Operation(self._instruments, "refresh_token", {})
        try:
            with span.lasting():
                yield
        except BaseException as error:
            self._instruments.refresh(error)
            raise
        self._instruments.refresh(None)
