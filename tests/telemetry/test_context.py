"""Spans belong to what was going on when the program asked, and what its functions do belongs to theirs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import onplan
from onplan.emulator import Call, Emulator, Turn

from .conftest import Seen

OSLO, ROME = Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Rome"})


@pytest.mark.parametrize("kind", ["plain", "asynchronous", "returns an awaitable"])
@pytest.mark.parametrize("calls", [[OSLO], [OSLO, ROME]], ids=["one call", "two calls"])
def test_a_run_is_a_span_with_its_turns_and_calls(
    signed_in: Emulator, driver: Any, seen: Seen, kind: str, calls: list[Call]
) -> None:
    """What a function does is below its call, on whichever thread or loop it runs."""

    def look(city: str) -> str:
        with seen.tracer.start_as_current_span("look"):
            return f"sunny in {city}"

    async def look_later(city: str) -> str:
        await asyncio.sleep(0)
        return look(city)

    def returns_an_awaitable(city: str) -> Coroutine[Any, Any, str]:
        return look_later(city)

    function: Any = {
        "plain": look,
        "asynchronous": look_later,
        "returns an awaitable": returns_an_awaitable,
    }[kind]
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    weather = onplan.tool(function, name="weather", description="The weather", parameters=schema)
    signed_in.play(Turn(tool_calls=calls), Turn(text="Take a hat."))
    with seen.tracer.start_as_current_span("mine"):
        answer = driver(telemetry=seen.option(), model="gpt-5.5").run(
            "A coat?", tools=[weather], session_id="talk"
        )

    tree = sorted((name, str(parent)) for name, parent in seen.tree if name != "get_credentials")
    of_calls = [("execute_tool weather", "invoke_agent"), ("look", "execute_tool weather")] * len(calls)
    of_turns = [("chat gpt-5.5", "invoke_agent")] * 2
    assert tree == sorted([("mine", "None"), ("invoke_agent", "mine"), *of_turns, *of_calls])
    told = dict(seen.one("invoke_agent").attributes or {})
    assert told["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert (told["gen_ai.conversation.id"], told["gen_ai.response.finish_reasons"]) == ("talk", ("stop",))
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == ("invoke_agent", "openai")
    called = [dict(span.attributes or {}) for span in seen.named("execute_tool")]
    ids = {str(told.pop("gen_ai.tool.call.id")) for told in called}
    assert ids == {call.call.id for call in answer.steps[0].calls}
    assert called == [
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "weather",
            "gen_ai.tool.type": "function",
        }
    ] * len(calls)
    assert not seen.one("invoke_agent").events
    assert "sunny" not in seen.everything()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_that_fails_or_is_not_carried_out(
    signed_in: Emulator, driver: Any, seen: Seen, is_async: bool
) -> None:
    """The exception's class is told; a call that is declined is an event of the run."""

    def weather(city: str) -> str:
        raise LookupError(f"no such city: {city}")

    async def weather_later(city: str) -> str:
        return weather(city)

    function = onplan.tool(weather_later if is_async else weather, name="weather")

    def approve(call: onplan.ToolCall) -> bool:
        return "Oslo" in call.arguments

    signed_in.play(Turn(tool_calls=[OSLO, ROME]), Turn(text="I do not know."))
    answer = driver(telemetry=seen.option(), model="gpt-5.5").run(
        "A coat?", tools=[function], approve=approve
    )

    span = seen.one("execute_tool")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "LookupError"
    (event,) = seen.one("invoke_agent").events
    declined = answer.steps[0].calls[1].call.id
    assert (event.name, dict(event.attributes or {})) == (
        "onplan.tool_not_called",
        {"gen_ai.tool.call.id": declined, "onplan.tool.outcome": "declined"},
    )
    assert "no such city" not in seen.everything()


def test_what_tools_are_given_is_told_if_it_is_asked_for(
    signed_in: Emulator, driver: Any, seen: Seen
) -> None:
    """Their arguments and their results, as the model gives and is told them."""
    signed_in.play(Turn(tool_calls=[OSLO]), Turn(text="Take a hat."))

    def weather(city: str) -> dict[str, int]:
        return {city: 3}

    driver(telemetry=seen.option(contents=True), model="gpt-5.5").run("A coat?", tools=[weather])

    told = dict(seen.one("execute_tool").attributes or {})
    assert told["gen_ai.tool.call.arguments"].replace(" ", "") == '{"city":"Oslo"}'  # type: ignore[union-attr]
    assert told["gen_ai.tool.call.result"] == '{"Oslo":3}'


def test_a_run_that_fails_or_is_left_ends_its_span(signed_in: Emulator, seen: Seen) -> None:
    """With the error's code and the tokens that were used until then; to leave it is no error."""

    def weather(city: str) -> str:
        return city

    signed_in.play(*[Turn(tool_calls=[OSLO])] * 2)
    with onplan.Client(telemetry=seen.option(), model="gpt-5.5") as client:
        with pytest.raises(onplan.RunLimitError) as caught:
            client.run("A coat?", tools=[weather], max_turns=1)
        for _ in client.run_stream("A coat?", tools=[weather]):
            break

    failed, left = seen.named("invoke_agent")
    told = dict(failed.attributes or {})
    assert (told["error.type"], told["gen_ai.usage.input_tokens"]) == (
        "run_limit",
        caught.value.run.usage.prompt_tokens,
    )
    assert (left.attributes or {})["onplan.response.is_left"] is True
    assert left.status.status_code is StatusCode.UNSET


def test_nothing_of_ours_is_current_in_the_program(signed_in: Emulator, seen: Seen) -> None:
    """While it reads a stream, or a run, its own span stays the current one; so it is afterwards."""
    signed_in.play(Turn(tool_calls=[OSLO]), Turn(text="Take a hat."), Turn(text="one two"))

    def weather(city: str) -> str:
        return city

    async def read() -> None:
        async with onplan.AsyncClient(telemetry=seen.option(), model="gpt-5.5") as client:
            async for _ in client.complete_stream("hi"):
                assert trace.get_current_span() is mine

    with (
        onplan.Client(telemetry=seen.option(), model="gpt-5.5") as client,
        seen.tracer.start_as_current_span("mine") as mine,
    ):
        for _ in client.run_stream("A coat?", tools=[weather]):
            assert trace.get_current_span() is mine
        for _ in client.complete_stream("hi"):
            assert trace.get_current_span() is mine
        asyncio.run(read())
        assert trace.get_current_span() is mine


def test_a_stream_belongs_to_where_it_was_asked_for(signed_in: Emulator, seen: Seen) -> None:
    """And not to where it is read, as by a web server that has left the handler by then."""
    with onplan.Client(telemetry=seen.option(), model="gpt-5.5") as client:
        with seen.tracer.start_as_current_span("handler"):
            chunks = client.complete_stream("hi")
        with seen.tracer.start_as_current_span("sender"):
            read = threading.Thread(target=list, args=[chunks])
            read.start()
            read.join()

    assert ("chat gpt-5.5", "handler") in seen.tree


def test_many_requests_belong_to_where_they_were_asked(signed_in: Emulator, seen: Seen) -> None:
    """Although threads and tasks of their own carry them out; refreshing is done once, and told once."""
    signed_in.expire_access_tokens()

    async def ask() -> None:
        async with onplan.AsyncClient(telemetry=seen.option(), model="gpt-5.5") as client:
            async for result in client.map(["d", "e", "f"], concurrency=3):
                result.response_or_raise()

    with (
        onplan.Client(telemetry=seen.option(), model="gpt-5.5") as client,
        seen.tracer.start_as_current_span("mine"),
    ):
        for result in client.map(["a", "b", "c"], concurrency=3):
            result.response_or_raise()
        asyncio.run(ask())

    assert seen.tree.count(("chat gpt-5.5", "mine")) == len(seen.named("chat")) == 6
    assert ("refresh_token", "get_credentials") in seen.tree
    ((refreshes, _),) = seen.points("onplan.client.token_refreshes")
    assert refreshes.value == 1


def test_a_conversation_has_one_name(signed_in: Emulator, seen: Seen) -> None:
    """Each of its turns is told with the session's id."""
    with onplan.Client(telemetry=seen.option(), model="gpt-5.5") as client:
        talk = client.conversation()
        talk.say("hi")
        talk.say("and again")

    names = [(span.attributes or {})["gen_ai.conversation.id"] for span in seen.named("chat")]
    assert names == [talk.session_id] * 2
