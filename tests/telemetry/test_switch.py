"""How telemetry is switched on, and that nothing that is wrong with it breaks an answer."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import NoOpTracerProvider, Tracer

import onplan
from onplan.emulator import Call, Emulator, Turn
from onplan.telemetry import instruments

from .conftest import Seen


@pytest.fixture(autouse=True)
def first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test has had the warning of this process."""
    monkeypatch.setattr(instruments.Unbreakable, "has_failed", False)


def test_it_is_off_unless_it_is_wanted() -> None:
    """A turn then has nothing to tell anything to."""
    for options in ({}, {"telemetry": None}, {"telemetry": False}):
        assert onplan.Client(**options)._context.recorder is None  # type: ignore[arg-type]


def test_the_environment_switches_it_on_and_the_program_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """For programs that cannot be changed; a program that says False has decided."""
    for word, on in (("on", True), ("1", True), ("TRUE", True), ("off", False), ("0", False), ("", False)):
        monkeypatch.setenv("ONPLAN_TELEMETRY", word)
        assert bool(onplan.Client()._context.recorder) is on
        assert onplan.Client(telemetry=False)._context.recorder is None
    monkeypatch.setenv("ONPLAN_TELEMETRY", "maybe")
    with pytest.raises(onplan.ConfigurationError, match="ONPLAN_TELEMETRY is maybe"):
        onplan.Client()


def test_without_a_sdk_it_does_nothing(signed_in: Emulator, driver: Any) -> None:
    """OpenTelemetry's API alone drops everything."""
    assert driver(telemetry=True).complete("hi", model="gpt-5.5").text == "You said: hi"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: onplan.Client(telemetry="yes"), "telemetry is of the type str"),  # type: ignore[arg-type]
        (lambda: onplan.Client(telemetry=1), "telemetry is of the type int"),  # type: ignore[arg-type]
        (lambda: onplan.Telemetry(tracer_provider=3), "tracer_provider has no get_tracer"),  # type: ignore[arg-type]
        (lambda: onplan.Telemetry(meter_provider="x"), "meter_provider has no get_meter"),  # type: ignore[arg-type]
        (lambda: onplan.Telemetry(contents="yes"), "contents is neither True nor False"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_used_is_refused(make: Callable[[], object], words: str) -> None:
    """When the client is made."""
    with pytest.raises(onplan.ConfigurationError, match=words):
        make()


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    for name in ("opentelemetry", *(name for name in sys.modules if name.startswith("onplan.telemetry."))):
        monkeypatch.setitem(sys.modules, name, None) if name == "opentelemetry" else monkeypatch.delitem(
            sys.modules, name
        )
    with pytest.raises(onplan.MissingExtraError, match="`otel`") as caught:
        onplan.Client(telemetry=True)
    assert "onplan[otel]" in caught.value.hint


def test_another_process_gets_it_unless_it_has_providers(seen: Seen) -> None:
    """Global providers are set up in each process; those of this one cannot be given away."""
    for telemetry in (True, onplan.Telemetry(contents=False)):
        assert pickle.loads(pickle.dumps(onplan.Client(telemetry=telemetry)))._context.recorder
    for telemetry in (
        onplan.Telemetry(tracer_provider=seen.tracers),
        onplan.Telemetry(meter_provider=seen.meters),
    ):
        with pytest.raises(onplan.ConfigurationError, match="its telemetry has providers"):
            pickle.dumps(onplan.Client(telemetry=telemetry))


class Broken:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        def fail(*arguments: object, **named: object) -> None:
            raise RuntimeError("the tracer is broken")

        return fail


class BrokenTracers(NoOpTracerProvider):
    """Gives a tracer that cannot make spans."""

    def get_tracer(self, *arguments: Any, **named: Any) -> Tracer:
        return Broken()  # type: ignore[return-value]


class BrokenProcessor(SpanProcessor):
    """Fails when a span begins, and when it ends."""

    def on_start(self, *arguments: Any, **named: Any) -> None:
        raise RuntimeError("the processor is broken")

    def on_end(self, *arguments: Any) -> None:
        raise RuntimeError("the processor is broken")


@pytest.mark.parametrize("what", ["tracer", "processor", "instruments"])
def test_what_breaks_in_telemetry_breaks_no_answer(
    signed_in: Emulator,
    driver: Any,
    seen: Seen,
    what: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run and a stream are as without it. One warning says so; the rest is for debugging."""
    option = seen.option(contents=True)
    if what == "tracer":
        option = onplan.Telemetry(tracer_provider=BrokenTracers(), meter_provider=seen.meters)
    elif what == "processor":
        seen.tracers.add_span_processor(BrokenProcessor())
    else:
        from opentelemetry.sdk.metrics import Counter, Histogram

        for kind, name in ((Histogram, "record"), (Counter, "add")):
            monkeypatch.setattr(kind, name, Broken().fail)

    def weather(city: str) -> str:
        return city

    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), Turn(text="Take a hat."))
    with caplog.at_level(logging.DEBUG, "onplan.telemetry"):
        client = driver(telemetry=option, model="gpt-5.5")
        assert client.run("A coat?", tools=[weather]).text == "Take a hat."
        assert client.chunks("hi")[-1].type == "done"

    levels = [record.levelname for record in caplog.records if record.name == "onplan.telemetry"]
    assert levels[0] == "WARNING"
    assert set(levels[1:]) == {"DEBUG"}


def test_a_tool_result_that_cannot_be_written_breaks_nothing(signed_in: Emulator, seen: Seen) -> None:
    """Its span is without the result; what becomes of the call is as ever."""

    def weather(city: str) -> object:
        return object()

    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), Turn(text="I do not know."))
    with onplan.Client(telemetry=seen.option(contents=True), model="gpt-5.5") as client:
        answer = client.run("A coat?", tools=[weather])

    assert answer.steps[0].calls[0].outcome == "raised"
    assert "gen_ai.tool.call.result" not in (seen.one("execute_tool").attributes or {})
