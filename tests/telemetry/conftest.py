"""An OpenTelemetry SDK that keeps everything in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import onplan

# Whose span a span is below; None for none.
Tree = list[tuple[str, str | None]]


class Seen:
    """What clients told an SDK."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self._read: dict[str, Any] = {}
        self.tracer = self.tracers.get_tracer("the program's own")

    def option(self, *, contents: bool | None = None) -> onplan.Telemetry:
        """The client's option."""
        return onplan.Telemetry(tracer_provider=self.tracers, meter_provider=self.meters, contents=contents)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, beginning: str) -> list[ReadableSpan]:
        """Those whose name begins with this word."""
        return [span for span in self.spans if span.name.split()[0] == beginning]

    def one(self, beginning: str) -> ReadableSpan:
        """The only one."""
        (span,) = self.named(beginning)
        return span

    @property
    def tree(self) -> Tree:
        """Each span, and whose child it is."""
        names = {span.context.span_id: span.name for span in self.spans}
        return [(span.name, names[span.parent.span_id] if span.parent else None) for span in self.spans]

    @property
    def metrics(self) -> dict[str, Any]:
        """Those that something was recorded for, by their names, as they were read last.

        Older SDKs tell a gauge once.
        """
        data = self._reader.get_metrics_data()
        self._read |= {
            metric.name: metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
        return self._read

    def points(self, name: str) -> list[tuple[Any, dict[str, Any]]]:
        """What a metric has: the sum, value or count of each series, with its attributes."""
        metric = self.metrics.get(name)
        return [(point, dict(point.attributes)) for point in (metric.data.data_points if metric else ())]

    def everything(self) -> str:
        """All of it as text."""
        return "\n".join([*(span.to_json() for span in self.spans), str(self.metrics)])

    def close(self) -> None:
        """End it."""
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def seen() -> Iterator[Seen]:
    """An SDK of the test's own; nothing global is set."""
    told = Seen()
    yield told
    told.close()
