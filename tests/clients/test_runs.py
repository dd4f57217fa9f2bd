"""Runs of tools by both clients, over every transport and in both APIs; the model is told what to do."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn
from onplan.tools.loop import DECLINED

from ..conftest import eventually, interrupt

OSLO = Call("weather", {"city": "Oslo"})
ROME = Call("weather", {"city": "Rome"})


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def weather_later(city: str) -> str:
    """The weather in a city."""
    await asyncio.sleep(0)
    return f"sunny in {city}"


def told(answer: onplan.RunResponse) -> list[str]:
    parts = (part for message in answer.messages for part in message.content)
    return [str(part.content) for part in parts if isinstance(part, onplan.ToolResult)]


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    rows = emulator.journal()
    return [row["body"] for row in rows if row["method"] == "POST" and row["path"].endswith("/responses")]


@pytest.mark.parametrize("function", [weather, onplan.tool(weather_later, name="weather")])
def test_the_model_calls_and_is_told(signed_in: Emulator, driver: Any, function: Any) -> None:
    """Functions, asynchronous or not; the answer has the whole conversation and every step."""
    signed_in.play(Turn(tool_calls=[OSLO], output_tokens=7, input_tokens=100), Turn(text="Take a hat."))
    answer = driver().run("A coat?", tools=[function], model="gpt-5.5")
    assert (answer.text, told(answer)) == ("Take a hat.", ["sunny in Oslo"])
    assert [message.role for message in answer.messages] == ["user", "assistant", "tool", "assistant"]
    assert answer.usage.total_tokens == sum(step.response.usage.total_tokens for step in answer.steps)
    assert answer.usage.total_tokens > 107
    (run,) = answer.steps[0].calls
    assert (run.call.name, run.outcome, run.result.content) == ("weather", "returned", "sunny in Oslo")
    assert signed_in.turns_left == 0


def test_encrypted_reasoning_goes_back_to_the_model(signed_in: Emulator, driver: Any) -> None:
    """With the calls that came of it; the emulator would refuse it changed or without them."""
    signed_in.play(Turn(thinking="Hm.", tool_calls=[OSLO]), Turn(text="Well."))
    answer = driver().run("A coat?", tools=[weather], model="gpt-5.5")
    thinking = answer.messages[1].content[0]
    assert isinstance(thinking, onplan.Thinking)
    assert thinking.encrypted
    if not any(row.get("transport") for row in signed_in.journal()):  # a WebSocket has sent it before
        kinds = [item.get("type", "message") for item in bodies(signed_in)[-1]["input"]]
        assert kinds[-3:] == ["reasoning", "function_call", "function_call_output"]


def test_half_a_character_is_an_error_of_the_tool(signed_in: Emulator, driver: Any) -> None:
    """A name of a file may have one. The run goes on, and the model is told."""

    def listing(folder: str) -> Any:
        """List a folder."""
        if folder == "broken":
            raise FileNotFoundError("no file caf\udce9")
        return onplan.Text("caf\udce9") if folder == "parts" else "caf\udce9"

    signed_in.play(
        Turn(tool_calls=[Call("listing", {"folder": name}) for name in ("text", "parts", "broken")]),
        Turn(text="I see."),
    )
    answer = driver().run("?", tools=[listing], model="gpt-5.5")
    assert answer.text == "I see."
    text, parts, broken = told(answer)
    assert text == parts
    assert "half of a character" in text
    assert broken == r"FileNotFoundError: no file caf\udce9"
    assert [run.outcome for run in answer.steps[0].calls] == ["raised"] * 3


def test_calls_of_one_turn_run_at_the_same_time(signed_in: Emulator, driver: Any) -> None:
    """Each waits for the other, which would never end one after the other."""
    together = threading.Barrier(2, timeout=20)

    def meet(city: str) -> str:
        together.wait()
        return city

    signed_in.play(Turn(tool_calls=[OSLO, ROME]), Turn(text="Well."))
    answer = driver().run("A coat?", tools=[onplan.tool(meet, name="weather")], model="gpt-5.5")
    assert told(answer) == ["Oslo", "Rome"]


def test_asynchronous_calls_of_one_turn_run_at_the_same_time(signed_in: Emulator, driver: Any) -> None:
    """Also where each has an event loop of its own, under the synchronous client."""
    together = threading.Barrier(2, timeout=20)

    async def meet(city: str) -> str:
        await asyncio.to_thread(together.wait)
        return city

    signed_in.play(Turn(tool_calls=[OSLO, ROME]), Turn(text="Well."))
    answer = driver().run("A coat?", tools=[onplan.tool(meet, name="weather")], model="gpt-5.5")
    assert told(answer) == ["Oslo", "Rome"]


def test_functions_see_the_context_of_the_program(signed_in: Emulator, driver: Any) -> None:
    """On whatever thread they run: traces and logs belong to the request that they serve."""
    variable = contextvars.ContextVar("variable", default="not set")

    def read(city: str) -> str:
        return f"{city}: {variable.get()}"

    variable.set("set")
    signed_in.play(Turn(tool_calls=[OSLO, ROME]), Turn(text="Well."))
    answer = driver().run("A coat?", tools=[onplan.tool(read, name="weather")], model="gpt-5.5")
    assert told(answer) == ["Oslo: set", "Rome: set"]


def test_a_failure_is_told_and_the_run_goes_on(signed_in: Emulator, driver: Any) -> None:
    """A function that raises and wrong arguments, beside a call that works: in the order of the calls."""

    def fail() -> str:
        raise ValueError("no network")

    calls = [Call("fail"), Call("weather", {"town": "Oslo"}), Call("weather", "{"), OSLO]
    signed_in.play(Turn(tool_calls=calls), Turn(text="Well."))
    answer = driver().run("A coat?", tools=[weather, fail], model="gpt-5.5")
    assert [run.outcome for run in answer.steps[0].calls] == [
        "raised",
        "wrong_arguments",
        "wrong_arguments",
        "returned",
    ]
    assert told(answer)[0] == "ValueError: no network"
    assert answer.text == "Well."


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (onplan.Image(data=b"<svg/>"), "InvalidImageError: The image is of type SVG, and not a PNG"),
        ([onplan.Text("Look:"), onplan.Image(path="missing.png")], "missing.png cannot be read"),
        ([onplan.File(path="missing.pdf")], "missing.pdf cannot be read"),
    ],
    ids=["a type that no backend takes", "no such image", "no such file"],
)
@pytest.mark.parametrize("later", [False, True], ids=["plain", "async"])
def test_a_result_that_cannot_be_sent_is_an_error_of_its_tool(
    signed_in: Emulator, driver: Any, returned: Any, words: str, later: bool
) -> None:
    """It would end the run at the next turn; the model is told instead, and what else was called is kept."""

    def draw() -> Any:
        return returned

    async def draw_later() -> Any:
        return returned

    tool = onplan.tool(draw_later if later else draw, name="draw")
    signed_in.play(Turn(tool_calls=[Call("draw"), OSLO]), Turn(text="Well."))
    answer = driver().run("A coat?", tools=[tool, weather], model="gpt-5.5")
    assert [run.outcome for run in answer.steps[0].calls] == ["raised", "returned"]
    assert words in told(answer)[0]
    assert answer.text == "Well."


def test_calls_that_nobody_offered_are_told(signed_in: Emulator, driver: Any) -> None:
    """A conversation may end with a call of a tool that is gone."""
    left = onplan.Message.assistant(onplan.ToolCall("call_1", "gone", "{}"))
    signed_in.play(Turn(text="Well."))
    answer = driver().run([onplan.Message.user("hi"), left], tools=[weather], model="gpt-5.5")
    assert told(answer) == ["There is no tool 'gone'. There are: weather."]


@pytest.mark.parametrize(
    ("verdict", "text"), [(True, "sunny in Oslo"), (False, f"{DECLINED}"), ("Later.", "Later.")]
)
@pytest.mark.parametrize("later", [False, True], ids=["plain", "async"])
def test_calls_are_approved(
    signed_in: Emulator, driver: Any, verdict: bool | str, text: str, later: bool
) -> None:
    """By a function of the call, under AsyncClient also an asynchronous one."""
    asked = []

    def approve(call: onplan.ToolCall) -> bool | str:
        asked.append(call.parse_arguments())
        return verdict

    async def approve_later(call: onplan.ToolCall) -> bool | str:
        return approve(call)

    if later and "Async" not in str(driver):
        pytest.skip("the synchronous client takes a plain function")
    signed_in.play(Turn(tool_calls=[OSLO]), Turn(text="Well."))
    options = {"approve": approve_later if later else approve, "model": "gpt-5.5"}
    answer = driver().run("A coat?", tools=[weather], **options)
    assert (asked, told(answer)) == ([{"city": "Oslo"}], [text])


def test_a_run_goes_on_after_its_limit(signed_in: Emulator, driver: Any) -> None:
    """With the messages of the error: the calls that were left are carried out first."""
    signed_in.play(Turn(tool_calls=[OSLO]), Turn(tool_calls=[ROME]), Turn(text="Well."))
    with pytest.raises(onplan.RunLimitError) as raised:
        driver().run("A coat?", tools=[weather], max_turns=2, model="gpt-5.5")
    answer = driver().run(raised.value.run.messages, tools=[weather], model="gpt-5.5")
    assert (answer.text, told(answer)) == ("Well.", ["sunny in Oslo", "sunny in Rome"])


def test_a_budget_stops_a_run_before_the_next_calls(signed_in: Emulator, driver: Any) -> None:
    """Once the turns have used so many tokens."""
    signed_in.play(*[Turn(tool_calls=[OSLO], input_tokens=900, output_tokens=100)] * 3)
    with pytest.raises(onplan.RunLimitError, match="used 2000 tokens of its budget of 1500") as raised:
        driver().run("A coat?", tools=[weather], token_budget=1_500, model="gpt-5.5")
    assert raised.value.run.usage.total_tokens == 2_000


def test_an_error_in_the_middle_holds_what_was_done(signed_in: Emulator, driver: Any) -> None:
    """A usage limit after the first turn; when it has reset, the run goes on where it was."""
    signed_in.play(Turn(tool_calls=[OSLO]), Turn(fault="usage_limit_429"), Turn(text="Well."))
    with pytest.raises(onplan.UsageLimitError) as raised:
        driver().run("A coat?", tools=[weather], model="gpt-5.5")
    messages = raised.value.run.messages
    assert [message.role for message in messages] == ["user", "assistant", "tool"]
    assert driver().run(messages, tools=[weather], model="gpt-5.5").text == "Well."


def test_a_turn_is_retried_within_a_run(signed_in: Emulator, driver: Any) -> None:
    """Functions are not called again for it."""
    called: list[str] = []

    def note(city: str) -> None:
        called.append(city)

    tool = onplan.tool(note, name="weather")
    signed_in.play(Turn(tool_calls=[OSLO]), Turn(fault="overloaded_503"), Turn(text="Well."))
    answer = driver(retry=onplan.RetryPolicy(wait_initial=0.01)).run("hi", tools=[tool], model="gpt-5.5")
    assert (answer.text, called, told(answer)) == ("Well.", ["Oslo"], ["null"])


def test_the_chunks_of_a_run(signed_in: Emulator, driver: Any) -> None:
    """Those of each turn, the end of each turn but the last, each call, and one Done at the end."""
    signed_in.play(Turn(text="Let me see.", tool_calls=[OSLO, ROME]), Turn(text="Take a hat."))
    chunks = driver().run_chunks("A coat?", tools=[weather], model="gpt-5.5")
    kinds = [chunk.type for chunk in chunks]
    assert kinds.count("turn_done") == kinds.count("done") == 1
    assert kinds[-1] == "done"
    between = kinds.index("turn_done")
    assert kinds[between : between + 3] == ["turn_done", "tool_done", "tool_done"]
    texts = [(number > between, chunk.text) for number, chunk in enumerate(chunks) if chunk.type == "text"]
    assert "".join(text for later, text in texts if not later) == "Let me see."
    assert "".join(text for later, text in texts if later) == "Take a hat."
    assert isinstance(chunks[-1].response, onplan.RunResponse)
    assert [chunk.run.call.id for chunk in chunks if chunk.type == "tool_done"] == [
        run.call.id for run in chunks[-1].response.steps[0].calls
    ]


def test_the_answer_of_a_run_can_be_a_value(signed_in: Emulator, driver: Any) -> None:
    """Of the type in response_format, repaired if need be; a copy in another process has it as well."""
    turns = [Turn(tool_calls=[OSLO]), Turn(text="Three."), Turn(text='{"value": 3}')]
    signed_in.play(*turns)
    asked = {"tools": [weather], "model": "gpt-5.5", "response_format": int, "repairs": 1}
    answer = driver().run("How warm?", **asked)
    assert (answer.parsed, answer.repairs, len(answer.steps)) == (3, 1, 2)
    assert pickle.loads(pickle.dumps(answer)).parsed == 3
    assert pickle.loads(pickle.dumps(answer)) == answer


def test_a_run_over_chat_completions(emulator: Emulator) -> None:
    """The same, at a server of the other API."""
    emulator.play(Turn(text="Let me see.", tool_calls=[OSLO, ROME]), Turn(text="Take a hat."))
    options = {"backend": "openai", "base_url": emulator.urls["openai_base_url"], "api_key": "sk-any"}
    with onplan.Client(api="chat", **options) as client:
        answer = client.run("A coat?", tools=[weather], model="gpt-5.5")
    assert (answer.text, told(answer)) == ("Take a hat.", ["sunny in Oslo", "sunny in Rome"])
    (_, second) = [row["body"] for row in emulator.journal() if row["path"].endswith("/chat/completions")]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool", "tool"]


def test_hosted_tools_are_offered_beside_functions(signed_in: Emulator, driver: Any) -> None:
    """The backend runs them; functions whose parameters allow it are strict."""
    signed_in.play(Turn(tool_calls=[OSLO]), Turn(text="Well."))
    tools = [weather, onplan.HostedTool("web_search"), {"type": "image_generation"}]
    assert driver().run("A coat?", tools=tools, model="gpt-5.5").text == "Well."
    offered = bodies(signed_in)[0]["tools"]
    assert [tool.get("name", tool["type"]) for tool in offered] == [
        "weather",
        "web_search",
        "image_generation",
    ]
    assert offered[0]["strict"] is True


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "There are no tools to run"),
        ({"tools": []}, "There are no tools to run"),
        ({"tools": weather}, "tools has the wrong type: function"),
        ({"tools": [weather, weather]}, "Two tools are called weather"),
        ({"tools": [onplan.ToolDefinition(name="weather")]}, "The tool weather has no function"),
        ({"tools": [5]}, "A tool is a function, and not of the type int"),
        ({"tools": [weather], "max_turn": 5}, "run has no option 'max_turn'"),
        ({"tools": [weather], "modle": "x"}, "A request has no field 'modle'"),
        ({"tools": [weather], "approve": True}, "approve cannot be called"),
        ({"tools": [weather], "max_turns": 0}, "max_turns is 0"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_asked(
    options: dict[str, Any], sentence: str
) -> None:
    """Also by ``run_stream``, at once and not at the first chunk."""
    client = onplan.Client()
    with pytest.raises(onplan.InvalidRequestError, match=sentence):
        client.run("hi", **options)
    with pytest.raises(onplan.InvalidRequestError, match=sentence):
        client.run_stream("hi", **options)
    with pytest.raises(onplan.InvalidRequestError, match=sentence):
        onplan.AsyncClient().run_stream("hi", **options)


# --- leaving ---------------------------------------------------------------------------------------------


def test_cancelling_a_run_cancels_its_calls(signed_in: Emulator) -> None:
    """Asynchronous functions end cleanly before the cancellation goes on; plain ones are not waited for."""
    ended, plain = threading.Event(), threading.Event()
    signed_in.play(Turn(tool_calls=[Call("wait"), Call("block")]))

    async def main() -> None:
        both = asyncio.Barrier(3)

        async def wait() -> None:
            try:
                await both.wait()
                await asyncio.Event().wait()
            finally:
                ended.set()

        loop = asyncio.get_running_loop()

        def block() -> None:
            asyncio.run_coroutine_threadsafe(both.wait(), loop).result()
            plain.wait(20)

        async with onplan.AsyncClient() as client:
            running = asyncio.create_task(client.run("hi", tools=[wait, block], model="gpt-5.5"))
            await both.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert ended.is_set()

    asyncio.run(main())
    plain.set()


def test_a_call_that_cancels_itself_is_an_error_of_the_call(signed_in: Emulator) -> None:
    """Nobody cancelled the run."""

    async def give_up() -> None:
        raise asyncio.CancelledError("given up")

    signed_in.play(Turn(tool_calls=[Call("give_up")]), Turn(text="Well."))

    async def main() -> onplan.RunResponse:
        async with onplan.AsyncClient() as client:
            return await client.run("hi", tools=[give_up], model="gpt-5.5")

    assert told(asyncio.run(main())) == ["RuntimeError: given up"]


def test_a_stream_that_is_left_closes_its_connection(signed_in: Emulator, driver: Any) -> None:
    """In the middle of a turn."""
    signed_in.play(Turn(fault="stall"))

    def first(client: onplan.Client) -> None:
        stream = client.run_stream("hi", tools=[weather], model="gpt-5.5", reasoning_summary="auto")
        next(stream)
        stream.close()

    async def first_async(client: onplan.AsyncClient) -> None:
        stream = client.run_stream("hi", tools=[weather], model="gpt-5.5", reasoning_summary="auto")
        await anext(stream)
        await stream.aclose()

    client = driver()
    if isinstance(driver, functools.partial):

        async def main() -> None:
            async with onplan.AsyncClient(**client._options) as inner:
                await first_async(inner)

        asyncio.run(main())
    else:
        with onplan.Client() as inner:
            first(inner)
    assert eventually(lambda: signed_in.journal()[-1]["ended"]) == "client_left"


PROGRAM = """
import asyncio, os, threading
import onplan

async def wait() -> None:
    os.write(1, b"waiting\\n")
    try:
        await asyncio.Event().wait()
    finally:
        os.write(1, b"ended\\n")

def block() -> None:
    os.write(1, b"waiting\\n")
    threading.Event().wait()

with onplan.Client() as client:
    client.run("hi", tools=[wait, block], model="gpt-5.5")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("calls", [["wait"], ["block"], ["wait", "block"], ["wait", "wait"]])
def test_ctrl_c_ends_the_calls(signed_in: Emulator, calls: list[str]) -> None:
    """Asynchronous functions clean up; the program ends at once, also while a plain function blocks."""
    signed_in.play(Turn(tool_calls=[Call(name) for name in calls]))
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert program.stdout
    for _ in calls:
        assert program.stdout.readline() == "waiting\n"
    interrupt(program)
    output, errors = program.communicate(timeout=20)
    assert output.count("ended") == calls.count("wait")
    assert "KeyboardInterrupt" in errors
    assert program.returncode != 0
