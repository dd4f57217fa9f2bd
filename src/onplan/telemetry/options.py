"""What a program chooses about telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onplan.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """Where spans and metrics go: ``Client(telemetry=onplan.Telemetry(contents=True))``.

    ``Client(telemetry=True)`` is the same with these defaults.

    Attributes:
        tracer_provider: makes the spans; without it, OpenTelemetry's global one.
        meter_provider: takes the metrics; without it, OpenTelemetry's global one.
        contents: whether spans have the messages, the answers, and the arguments and results of tools, and
            the words of errors. None: whether OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is ``true``,
            ``span_only`` or ``span_and_event``.
    """

    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    contents: bool | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what cannot be used."""
        for name, method in (("tracer_provider", "get_tracer"), ("meter_provider", "get_meter")):
            given = getattr(self, name)
            if given is not None and not callable(getattr(given, method, None)):
                raise ConfigurationError(
                    f"{name} has no {method}, but is of the type {type(given).__name__}.",
                    hint="Give it a provider of an OpenTelemetry SDK, or leave it out for the global one.",
                )
        wanted: object = self.contents
        if wanted is not None and not isinstance(wanted, bool):
            raise ConfigurationError(
                f"contents is neither True nor False, but of the type {type(wanted).__name__}."
            )

    @property
    def is_portable(self) -> bool:
        """Whether it can be sent to another process: it has no providers of its own."""
        return self.tracer_provider is None and self.meter_provider is None
