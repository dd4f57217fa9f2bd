"""What a program chooses about telemetry, as a value."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from onplan.errors import ConfigurationError
from onplan.telemetry.options import Telemetry

TRACER, METER = NoOpTracerProvider(), NoOpMeterProvider()


@pytest.mark.parametrize(
    ("options", "is_portable"),
    [
        ({}, True),
        ({"contents": True}, True),
        ({"contents": False}, True),
        ({"tracer_provider": TRACER}, False),
        ({"meter_provider": METER}, False),
        ({"tracer_provider": TRACER, "meter_provider": METER}, False),
    ],
    ids=lambda value: "-".join(value) or "none" if isinstance(value, dict) else str(value),
)
def test_providers_stay_in_their_process(options: dict[str, Any], is_portable: bool) -> None:
    """Without one of its own it can be sent to another."""
    assert Telemetry(**options).is_portable is is_portable


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"tracer_provider": METER},
            "tracer_provider has no get_tracer, but is of the type NoOpMeterProvider.",
        ),
        (
            {"meter_provider": TRACER},
            "meter_provider has no get_meter, but is of the type NoOpTracerProvider.",
        ),
        ({"tracer_provider": 0}, "tracer_provider has no get_tracer, but is of the type int."),
        ({"contents": 1}, "contents is neither True nor False, but of the type int."),
        ({"contents": ""}, "contents is neither True nor False, but of the type str."),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    """At once, where the program gives it."""
    with pytest.raises(ConfigurationError) as caught:
        Telemetry(**options)
    assert caught.value.message == message


def test_a_wrong_attribute_is_no_provider() -> None:
    """A provider's method can be called."""

    class Wrong:
        get_tracer = "x"

    with pytest.raises(ConfigurationError, match="has no get_tracer"):
        Telemetry(tracer_provider=Wrong())  # type: ignore[arg-type]
