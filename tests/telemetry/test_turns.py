"""A turn is one span, whatever becomes of it, and its metrics; nothing of what was said is in them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import onplan
from onplan import TextDelta
from onplan.emulator import Emulator, Turn
from onplan.turn.context import Context
from onplan.turn.steps import Flow, ListModels, ReadEvents, Refresh, Sleep

from ..conftest import eventually
from .conftest import Seen

QUICK = onplan.RetryPolicy(attempts=3, wait_initial=0.001)


def events(span: Any) -> list[tuple[str, Any]]:
    return [(event.name, event.attributes.get("error.type")) for event in span.events]


def test_a_turn_is_a_span(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """It has what was asked for and what came, by the names of the conventions."""
    answer = driver(telemetry=seen.option()).complete(
        "hi", model="gpt-5.5", session_id="talk-1", reasoning_effort="low", service_tier="flex"
    )

    span = seen.one("chat")
    assert (span.name, span.kind, span.status.status_code) == (
        "chat gpt-5.5",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    told = dict(span.attributes or {})
    assert 0 < told.pop("gen_ai.response.time_to_first_chunk") < 60  # type: ignore[operator]
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "talk-1",
        "gen_ai.request.model": "gpt-5.5",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": answer.response_id,
        "gen_ai.response.model": answer.model,
        "gen_ai.usage.input_tokens": answer.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": answer.usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": answer.usage.cache_read_tokens,
        "gen_ai.usage.reasoning.output_tokens": answer.usage.reasoning_tokens,
        "openai.api.type": "responses",
        "openai.request.service_tier": "flex",
        "onplan.request.reasoning_effort": "low",
        "onplan.response.request_id": answer.request_id,
        "server.address": "127.0.0.1",
        "server.port": int(signed_in.codex_base_url.split(":")[2].split("/")[0]),
    }


def test_the_metrics_of_a_turn(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """Tokens, duration, the time to the first chunk and between chunks, and what the plan has left."""
    answer = driver(telemetry=seen.option()).complete("one two three four", model="gpt-5.5")

    tokens = {
        told["gen_ai.token.type"]: point.sum for point, told in seen.points("gen_ai.client.token.usage")
    }
    assert tokens == {"input": answer.usage.prompt_tokens, "output": answer.usage.completion_tokens}
    for name in ("duration", "time_to_first_chunk"):
        ((point, told),) = seen.points(f"gen_ai.client.operation.{name}")
        assert (point.count, point.sum > 0) == (1, True)
        assert (told["gen_ai.request.model"], told["gen_ai.provider.name"]) == ("gpt-5.5", "openai")
        assert point.explicit_bounds[:3] == (0.01, 0.02, 0.04)
        assert (len(point.explicit_bounds), point.explicit_bounds[-1]) == (14, 81.92)
    ((point, _),) = seen.points("gen_ai.client.token.usage")[:1]
    assert point.explicit_bounds[:4] == (1, 4, 16, 64)
    used = {told["onplan.plan.window"]: point.value for point, told in seen.points("onplan.plan.used")}
    assert used == {window.name: window.used_percent for window in answer.limits.windows}
    assert {name: metric.unit for name, metric in seen.metrics.items()} == {
        "gen_ai.client.token.usage": "{token}",
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.operation.time_to_first_chunk": "s",
        "onplan.plan.used": "%",
    } | {name: "s" for name in seen.metrics if name.endswith("time_per_output_chunk")}


def test_what_the_plan_has_left_is_told_when_it_is_asked(
    signed_in: Emulator, driver: Any, seen: Seen
) -> None:
    """``client.limits()`` sets the same gauge."""
    limits = driver(telemetry=seen.option()).limits()

    used = {told["onplan.plan.window"]: point.value for point, told in seen.points("onplan.plan.used")}
    assert used == {window.name: window.used_percent for window in limits.windows}


class Pieces:
    """An answer that arrives in three reads, the second of which holds no chunk."""

    finished, grace = False, None

    def __init__(self) -> None:
        self._left = [[TextDelta("one"), TextDelta("two")], [], [TextDelta("three")]]

    def take(self, payloads: object) -> list[onplan.StreamChunk]:
        return list(self._left.pop(0))


def test_chunks_are_timed_as_they_come(signed_in: Emulator, seen: Seen) -> None:
    """What comes together counts as one; each time after the first is an interval."""

    def turn(request: onplan.CompletionRequest, context: Context) -> Flow[onplan.CompletionResponse]:
        yield ReadEvents(Pieces())
        raise onplan.StreamTruncatedError("The end of the test.")

    context = onplan.Client(telemetry=seen.option(), model="gpt-5.5")._context
    assert context.recorder
    flow = context.recorder.observed(turn)(onplan.CompletionRequest(messages="hi"), context)
    step = next(flow)
    assert isinstance(step, ReadEvents)
    read = [step.incoming.take([]) for _ in range(3)]
    with pytest.raises(onplan.StreamTruncatedError):
        flow.send(None)

    assert [len(chunks) for chunks in read] == [2, 0, 1]
    for name in ("time_to_first_chunk", "time_per_output_chunk"):
        ((point, _),) = seen.points(f"gen_ai.client.operation.{name}")
        assert point.count == 1


def test_nothing_of_what_was_said_is_told(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """Neither the question nor the answer, unless contents are asked for; nor in a failure."""
    client = driver(telemetry=seen.option(), retry=QUICK)
    client.complete("my-question", model="gpt-5.5", metadata={"owner": "my-name"})
    signed_in.arm("content_policy")
    with pytest.raises(onplan.OnplanError):
        client.complete("my-question", model="gpt-5.5", stop=["my-stop"], temperature=0.5)

    assert len(seen.named("chat")) == 2
    assert "my-question" not in seen.everything()
    assert "my-name" not in seen.everything()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_contents_are_told_if_they_are_asked_for(
    signed_in: Emulator, seen: Seen, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the client's option, or by the variable that other instrumentations read; words of errors, too."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")
    option = seen.option(contents=True) if how == "option" else seen.option()
    with onplan.Client(telemetry=option, model="gpt-5.5") as client:
        client.complete("my-question")
        with pytest.raises(onplan.ModelNotAvailableError):
            client.complete("hi", model="no-such-model")

    answered, failed = seen.named("chat")
    said = dict(answered.attributes or {})
    assert said["gen_ai.input.messages"] == (
        '[{"role": "user", "parts": [{"type": "text", "content": "my-question"}]}]'
    )
    assert '"content": "You said: my-question"' in str(said["gen_ai.output.messages"])
    assert "no-such-model" in str(failed.status.description)


def test_the_variable_is_overruled(signed_in: Emulator, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """``contents=False`` holds, whatever the environment says."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    with onplan.Client(telemetry=seen.option(contents=False), model="gpt-5.5") as client:
        client.complete("my-question")

    assert "my-question" not in seen.everything()


def test_a_slow_answer_explains_itself(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """A refused token and a failure of the server are events of its span; a refresh is a span below it."""
    signed_in.arm("unauthorized_once", times=1)
    signed_in.arm("server_error_500", times=1)
    driver(telemetry=seen.option(), retry=QUICK).complete("hi", model="gpt-5.5")

    assert set(events(seen.one("chat"))) == {("onplan.token_refused", None), ("onplan.retry", "server_error")}
    reads = ("get_credentials", "chat gpt-5.5")
    assert seen.tree == [("chat gpt-5.5", None), reads, reads, ("refresh_token", "get_credentials")]
    ((retries, why),) = seen.points("onplan.client.retries")
    assert (retries.value, why["error.type"]) == (1, "server_error")
    ((refreshes, _),) = seen.points("onplan.client.token_refreshes")
    assert refreshes.value == 1


def test_a_refresh_that_fails_is_told(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """By the error's code; the turn fails with the same one."""
    signed_in.expire_access_tokens()
    signed_in.arm("token_invalid_grant")
    with pytest.raises(onplan.SignInAgainError):
        driver(telemetry=seen.option(), retry=QUICK).complete("hi", model="gpt-5.5")

    for name in ("chat", "refresh_token"):
        span = seen.one(name)
        assert (span.status.status_code, (span.attributes or {})["error.type"]) == (
            StatusCode.ERROR,
            "sign_in_again",
        )
    ((_, told),) = seen.points("onplan.client.token_refreshes")
    assert told["error.type"] == "sign_in_again"


def test_a_turn_that_fails_ends_its_span(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """With the error's code and the status of the response, and without its words."""
    signed_in.arm("usage_limit_429")
    with pytest.raises(onplan.UsageLimitError) as caught:
        driver(telemetry=seen.option()).complete("hi", model="gpt-5.5")

    span = seen.one("chat")
    told = dict(span.attributes or {})
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert (told["error.type"], told["http.response.status_code"]) == ("usage_limit", 429)
    assert told["onplan.response.request_id"] == caught.value.request_id
    ((point, why),) = seen.points("gen_ai.client.operation.duration")
    assert (point.count, why["error.type"]) == (1, "usage_limit")
    assert seen.points("gen_ai.client.token.usage") == []


def test_the_model_of_the_catalogue_is_told(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """A request without a model is named by the one that is chosen; asking for the list is a span."""
    answer = driver(telemetry=seen.option()).complete("hi")

    span = seen.one("chat")
    assert span.name == f"chat {answer.model}"
    assert (span.attributes or {})["gen_ai.request.model"] == answer.model
    assert ("list_models", span.name) in seen.tree


def test_a_resumed_answer_says_so(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """It is still one span."""
    signed_in.arm("cut_mid_event", times=1)
    driver(telemetry=seen.option(), resume=True, retry=QUICK).chunks("one two three", model="gpt-5.5")

    assert [name for name, _ in events(seen.one("chat"))] == ["onplan.retry", "onplan.resumed"]


def test_a_stream_that_is_left_ends_its_span(signed_in: Emulator, seen: Seen) -> None:
    """That is no error; and there is no answer, so no tokens are counted."""
    signed_in.arm("stall", times=1)
    with onplan.Client(telemetry=seen.option(), model="gpt-5.5") as client:
        try:
            int("of the program")
        except ValueError:
            with client.stream("one two three") as stream:
                next(stream)
                assert seen.spans[-1].name != "chat gpt-5.5"

    span = seen.one("chat")
    told = dict(span.attributes or {})
    assert (span.status.status_code, told["onplan.response.is_left"]) == (StatusCode.UNSET, True)
    assert "error.type" not in told
    assert seen.points("gen_ai.client.token.usage") == []


def test_a_stream_is_whole_with_its_last_chunk(signed_in: Emulator, seen: Seen) -> None:
    """Also for a program that does not ask whether there is another."""
    with onplan.Client(telemetry=seen.option(), model="gpt-5.5") as client:
        for chunk in client.complete_stream("one two three"):
            if chunk.type == "done":
                assert seen.one("chat")
                break

    assert "onplan.response.is_left" not in (seen.one("chat").attributes or {})


async def test_a_cancelled_turn_says_so(signed_in: Emulator, seen: Seen) -> None:
    """Its span ends with the name of what ended it."""
    signed_in.arm("stall", times=1)
    async with onplan.AsyncClient(telemetry=seen.option(), model="gpt-5.5") as client:
        task = asyncio.ensure_future(client.complete("hi"))
        await asyncio.to_thread(eventually, lambda: "/responses" in str(signed_in.journal()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert (seen.one("chat").attributes or {})["error.type"] == "CancelledError"


async def test_an_asynchronous_stream_that_is_left_ends_its_span(signed_in: Emulator, seen: Seen) -> None:
    """As with the other client."""
    signed_in.arm("stall", times=1)
    async with (
        onplan.AsyncClient(telemetry=seen.option(), model="gpt-5.5") as client,
        client.stream("one two three") as stream,
    ):
        await anext(stream)

    assert (seen.one("chat").attributes or {})["onplan.response.is_left"] is True


def test_what_the_program_raises_ends_the_span(signed_in: Emulator, seen: Seen) -> None:
    """Such as Ctrl-C, and an exception of ``on_retry``, within which the turn's span is the current one."""
    current: list[str] = []

    def on_retry(error: onplan.OnplanError, seconds: float) -> None:
        current.append(trace.get_current_span().name)  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    signed_in.arm("server_error_500")
    with (
        onplan.Client(telemetry=seen.option(), model="gpt-5.5", on_retry=on_retry) as client,
        pytest.raises(KeyboardInterrupt),
    ):
        client.complete("hi")

    assert current == ["chat gpt-5.5"]
    assert (seen.one("chat").attributes or {})["error.type"] == "KeyboardInterrupt"


def test_a_repair_is_a_turn_of_its_own(signed_in: Emulator, driver: Any, seen: Seen) -> None:
    """Both have the same parent, which was current when the program asked."""
    signed_in.play(Turn(text="no number"), Turn(text='{"value": 7}'))
    with seen.tracer.start_as_current_span("mine"):
        answer = driver(telemetry=seen.option()).complete(
            "a number", model="gpt-5.5", response_format=int, repairs=1
        )

    assert answer.parsed == 7
    assert [pair for pair in seen.tree if pair[0] != "get_credentials"] == [
        ("mine", None),
        ("chat gpt-5.5", "mine"),
        ("chat gpt-5.5", "mine"),
    ]
    assert (seen.named("chat")[0].attributes or {})["gen_ai.output.type"] == "json"


def test_an_image_is_a_span(signed_in: Emulator, seen: Seen) -> None:
    """So is every request beside the turns, under its path; what delays it is told there."""
    with onplan.Client(telemetry=seen.option(), retry=QUICK) as client:
        client.credentials()
        signed_in.expire_access_tokens()
        client.images.generate("my-fox")

    span = seen.one("images/generations")
    assert (span.kind, [name for name, _ in events(span)]) == (SpanKind.CLIENT, ["onplan.token_refused"])
    assert (span.attributes or {})["server.address"] == "127.0.0.1"
    assert ("refresh_token", "get_credentials") in seen.tree
    assert ("get_credentials", "images/generations") in seen.tree
    assert "my-fox" not in seen.everything()


def test_a_compaction_is_a_span_with_its_tokens(signed_in: Emulator, seen: Seen) -> None:
    """They are counted apart from those of turns. One within a turn is below it."""
    with onplan.Client(telemetry=seen.option(), retry=QUICK, model="gpt-5.5") as client:
        talk = client.conversation(compact="auto")
        talk.say("one")
        talk.compact()
        talk.say("two")
        signed_in.play(Turn(fault="context_length_exceeded"))
        assert talk.say("three").text == "You said: three"

    asked, within = seen.named("compact")
    names = {span.context.span_id: span for span in seen.spans}
    assert asked.parent is None
    assert within.parent
    assert names[within.parent.span_id].name == "chat gpt-5.5"
    used = sum((span.attributes or {})["gen_ai.usage.input_tokens"] for span in (asked, within))  # type: ignore[misc]
    counted = {
        told["gen_ai.token.type"]: point.sum
        for point, told in seen.points("gen_ai.client.token.usage")
        if told["gen_ai.operation.name"] == "compact" and told["gen_ai.request.model"] == "gpt-5.5"
    }
    assert counted["input"] == used > 0


def test_what_an_inner_span_tells_is_not_told_again(signed_in: Emulator, seen: Seen) -> None:
    """A retry, a refusal of a token or a catalogue, of a part of a turn, is that part's alone."""
    context = onplan.Client(telemetry=seen.option(), model="gpt-5.5")._context
    recorder = context.recorder
    assert recorder

    def part() -> Flow[None]:
        yield Sleep(0.0, onplan.ServerError("x"))
        yield Refresh("token")
        yield ListModels(0)

    def turn(request: onplan.CompletionRequest, context: Context) -> Flow[onplan.CompletionResponse]:
        yield from recorder.observed_flow("part", part())
        raise onplan.StreamTruncatedError("The end of the test.")

    flow = recorder.observed(turn)(onplan.CompletionRequest(messages="hi"), context)
    assert [isinstance(next(flow), kind) for kind in (Sleep, Refresh, ListModels)] == [True] * 3
    with pytest.raises(onplan.StreamTruncatedError):
        next(flow)

    assert seen.tree == [("chat gpt-5.5", None), ("part", "chat gpt-5.5"), ("list_models", "part")]
    assert events(seen.one("chat")) == []
    assert events(seen.one("part")) == [("onplan.retry", "server_error"), ("onplan.token_refused", None)]
    ((retries, _),) = seen.points("onplan.client.retries")
    assert retries.value == 1
