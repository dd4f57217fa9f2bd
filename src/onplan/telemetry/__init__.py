"""Telemetry: what clients do, as spans and metrics of OpenTelemetry, by its conventions for generative AI.

OpenTelemetry is not loaded before a client wants it.
"""

from __future__ import annotations

from onplan.config.environment import environment_variable
from onplan.config.installation import missing_extra
from onplan.config.settings import Settings
from onplan.errors import ConfigurationError
from onplan.telemetry.options import Telemetry
from onplan.turn.context import Recorder

_CONTENTS = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON_SPANS = ("true", "span_only", "span_and_event")


def recorder_for(wanted: object, settings: Settings) -> Recorder:
    """The recorder of a client with these settings.

    Args:
        wanted: the client's option ``telemetry``, which is not False.
        settings: the client's.

    Raises:
        ConfigurationError: the option is neither a bool nor a ``Telemetry``.
        MissingExtraError: OpenTelemetry is not installed.
    """
    chosen = Telemetry() if wanted is True else wanted
    if not isinstance(chosen, Telemetry):
        raise ConfigurationError(
            f"telemetry is of the type {type(wanted).__name__}.",
            hint="Write `telemetry=True`, or `telemetry=onplan.Telemetry(…)` with providers of your own.",
        )
    try:
        from onplan.telemetry.recorder import SpanRecorder
    except ModuleNotFoundError:  # of OpenTelemetry; the rest is ours
        raise missing_extra("otel", "telemetry") from None
    contents = chosen.contents
    if contents is None:
        contents = (environment_variable(_CONTENTS) or "").lower() in _ON_SPANS
    return SpanRecorder(chosen, settings, contents=contents)
