"""pydantic-ai on the plan, by its own agents."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from onplan import ConfigurationError
from onplan.emulator import Call, Emulator, Turn
from onplan.integrations.pydantic_ai import model, provider

from ..conftest import eventually
from . import asking, pages

openai = pytest.importorskip("openai")
pydantic = pytest.importorskip("pydantic")
pydantic_ai = pytest.importorskip("pydantic_ai")
exceptions = pytest.importorskip("pydantic_ai.exceptions")
chat = pytest.importorskip("pydantic_ai.models.openai")

MODEL = "gpt-5.5"
APIS = pytest.mark.parametrize("api", ["responses", "chat"])
T = TypeVar("T")


def made(api: str = "responses", **options: Any) -> Any:
    """A model of pydantic-ai's, by either API."""
    return (
        model(MODEL, **options)
        if api == "responses"
        else chat.OpenAIChatModel(MODEL, provider=provider(**options))
    )


def on_plan(work: Callable[[Any], Coroutine[Any, Any, T]], api: str = "responses", **options: Any) -> T:
    """What ``work`` gives for a model, whose connections are closed with the event loop."""

    async def begin() -> T:
        used = made(api, **options)
        async with used.client:
            return await work(used)

    return asyncio.run(begin())


@APIS
def test_runs(signed_in: Emulator, api: str) -> None:
    """An answer, whole and streamed, with the tokens that it took."""

    async def work(used: Any) -> tuple[Any, list[str]]:
        agent = pydantic_ai.Agent(used, instructions="Be brief.")
        whole = await agent.run("one two")
        async with agent.run_stream("one two") as stream:
            texts = [text async for text in stream.stream_text(delta=True, debounce_by=None)]
        return whole, texts

    whole, texts = on_plan(work, api)
    assert whole.output == "".join(texts) == "You said: one two"
    assert len(texts) > 1
    last = whole.all_messages()[-1]
    assert last.usage.output_tokens > 0
    assert last.model_name == MODEL


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of ``run_sync``, which pydantic-ai makes without one, and does not close."""
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        yield runner.get_loop()
    asyncio.set_event_loop(None)


@APIS
@pytest.mark.usefixtures("loop")
def test_synchronous_runs(signed_in: Emulator, api: str) -> None:
    """``run_sync`` and then another, in the same program."""
    agent = pydantic_ai.Agent(made(api))
    assert agent.run_sync("one").output == "You said: one"
    assert agent.run_sync("two").output == "You said: two"


@APIS
def test_tools(signed_in: Emulator, api: str) -> None:
    """A tool is called and its result told; the model's sealed thinking goes with it."""
    signed_in.play(
        Turn(thinking="I need to look.", tool_calls=[Call("weather", {"city": "Oslo"})]),
        Turn(text="Take a coat."),
    )

    async def work(used: Any) -> Any:
        agent = pydantic_ai.Agent(used, model_settings={"openai_reasoning_effort": "low"})

        @agent.tool_plain
        def weather(city: str) -> str:
            """The weather of a city."""
            return f"rain in {city}"

        return await agent.run("A coat?")

    assert on_plan(work, api).output == "Take a coat."
    _, second = asking.turns(signed_in)
    kinds = [item["type"] for item in second["input"]]
    assert kinds[-2:] == ["function_call", "function_call_output"]
    assert "rain in Oslo" in str(second["input"][-1])
    assert "reasoning" in kinds


@APIS
@pytest.mark.parametrize("native", [False, True])
def test_typed_output(signed_in: Emulator, api: str, native: bool) -> None:
    """An ``output_type`` is what the run gives, by a tool call and by a response format."""
    bird = pydantic.create_model("Bird", name=(str, ...), wingspan=(int, ...))
    output = pydantic_ai.NativeOutput(bird) if native else bird

    async def work(used: Any) -> Any:
        return (await pydantic_ai.Agent(used, output_type=output).run("A bird")).output

    assert isinstance(on_plan(work, api), bird)


def test_history_and_thinking(signed_in: Emulator) -> None:
    """What was said goes with the next question, and so does the sealed thinking."""
    signed_in.play(Turn(thinking="A list.", text="Robin."), Turn(text="Wren."))

    async def work(used: Any) -> Any:
        settings = {"openai_reasoning_effort": "low", "openai_reasoning_summary": "auto"}
        agent = pydantic_ai.Agent(used, model_settings=settings)
        first = await agent.run("A bird?")
        second = await agent.run("Another?", message_history=first.all_messages())
        return first, second

    first, second = on_plan(work)
    assert "A list." in [getattr(part, "content", "") for part in first.all_messages()[-1].parts]
    assert second.output == "Wren."
    items = asking.turns(signed_in)[1]["input"]
    assert [item["type"] for item in items] == ["message", "reasoning", "message", "message"]
    assert items[1]["encrypted_content"]


@APIS
def test_images(signed_in: Emulator, api: str) -> None:
    """A picture in the question reaches the model."""
    url = pydantic_ai.ImageUrl("https://example.com/bird.png")

    async def work(used: Any) -> Any:
        return await pydantic_ai.Agent(used).run(["What is it?", url])

    on_plan(work, api)
    assert "https://example.com/bird.png" in str(asking.turns(signed_in)[0]["input"])


FAILURES = [("usage_limit_429", 429), ("context_length_exceeded", 400), ("overloaded_503", 503)]


@APIS
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "status"), FAILURES)
def test_failures(signed_in: Emulator, api: str, stream: bool, fault: str, status: int) -> None:
    """They are pydantic-ai's ``ModelHTTPError``, asked for once."""
    signed_in.arm(fault, 9)
    with pytest.raises(exceptions.ModelHTTPError) as failed:
        on_plan(lambda used: _ask(used, stream=stream), api, retry=1)
    assert failed.value.status_code == status
    assert len(asking.turns(signed_in)) == 1


@APIS
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["cut_mid_event", "response_failed_after_text"])
def test_answers_that_break_off(signed_in: Emulator, api: str, stream: bool, fault: str) -> None:
    """They are errors of pydantic-ai's, or the SDK's in its old releases, and never whole answers."""
    signed_in.arm(fault, 9)
    with pytest.raises((exceptions.ModelAPIError, openai.APIError)):
        on_plan(lambda used: _ask(used, stream=stream), api, retry=1)
    assert len(asking.turns(signed_in)) == 1


async def _ask(used: Any, *, stream: bool) -> str:
    agent = pydantic_ai.Agent(used)
    if not stream:
        return str((await agent.run("one two")).output)
    async with agent.run_stream("one two") as streamed:
        return str(await streamed.get_output())


@APIS
def test_a_rate_limit_is_tried_again(signed_in: Emulator, api: str) -> None:
    """By onplan, once."""
    signed_in.arm("rate_limited_429_milliseconds", 1)
    assert on_plan(lambda used: _ask(used, stream=False), api) == "You said: one two"
    assert len(asking.turns(signed_in)) == 2


def test_a_usage_limit_falls_back(signed_in: Emulator) -> None:
    """``FallbackModel`` asks the next model when the plan has nothing left."""
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.test import TestModel

    signed_in.arm("usage_limit_429", 9)
    other = TestModel(custom_output_text="from another model")
    assert on_plan(lambda used: _ask(FallbackModel(used, other), stream=False)) == "from another model"
    assert len(asking.turns(signed_in)) == 1


@APIS
def test_a_sign_in_that_ended(signed_in: Emulator, api: str) -> None:
    """The error has the status 401, and names the command that signs in."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(exceptions.ModelHTTPError, match="onplan login") as failed:
        on_plan(lambda used: _ask(used, stream=False), api)
    assert failed.value.status_code == 401


def test_an_expired_token_is_refreshed_once(signed_in: Emulator) -> None:
    """Twenty runs at once with a token that the backend refuses: all are answered, after one refresh."""

    async def work(used: Any) -> list[str]:
        return list(await asyncio.gather(*(_ask(used, stream=False) for _ in range(20))))

    signed_in.expire_access_tokens()
    assert on_plan(work) == ["You said: one two"] * 20
    assert asking.refreshes(signed_in) == 1


def test_leaving(signed_in: Emulator) -> None:
    """Runs that are cancelled end what they asked of the backend, whole and streamed."""

    async def work(used: Any) -> str:
        await _ask(used, stream=False)
        before = asking.open_files()
        signed_in.arm("stall", 2)
        tasks = [asyncio.ensure_future(_ask(used, stream=stream)) for stream in (False, True)]
        await asyncio.to_thread(eventually, lambda: len(asking.turns(signed_in)) == 3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.to_thread(eventually, lambda: asking.open_files() <= before)
        return await _ask(used, stream=True)

    assert on_plan(work) == "You said: one two"


def test_twenty_event_loops_and_threads(signed_in: Emulator) -> None:
    """One model serves one loop after another, and loops of threads at the same time."""
    used = made()

    def ask(_: int) -> str:
        return asyncio.run(_ask(used, stream=False))

    before = asking.open_files()
    answers = [ask(number) for number in range(20)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers += pool.map(ask, range(8))
    assert asking.open_files() <= before + 10
    assert answers == ["You said: one two"] * 28


@asking.forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(signed_in: Emulator) -> None:
    """A child that is forked after the parent has asked gets its answer from the same object."""
    used = made()

    def ask() -> str:
        return asyncio.run(_ask(used, stream=False))

    assert ask() == asking.in_a_fork(ask) == ask() == "You said: one two"


@pytest.mark.usefixtures("loop")
def test_settings(signed_in: Emulator) -> None:
    """Those of the model go with every request; what a plan does not take is an error, if that is wanted."""
    settings = {"max_tokens": 400, "openai_reasoning_effort": "high"}
    agent = pydantic_ai.Agent(model(MODEL, settings=settings))
    assert agent.run_sync("one").output == "You said: one"
    assert asking.turns(signed_in)[0]["reasoning"]["effort"] == "high"

    strict = pydantic_ai.Agent(model(MODEL, unsupported="raise"))
    with pytest.raises(exceptions.ModelHTTPError, match="top_logprobs"):
        strict.run_sync("one", model_settings={"extra_body": {"top_logprobs": 2}})


@pytest.mark.parametrize("code", pages.python_blocks("pydantic-ai.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of docs/integrations/pydantic-ai.md."""
    assert "You said: " in pages.run(code)


def test_without_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.delitem(sys.modules, "onplan.integrations.pydantic_ai")
    monkeypatch.setitem(sys.modules, "pydantic_ai.models.openai", None)
    with pytest.raises(ConfigurationError, match="not installed") as missing:
        importlib.import_module("onplan.integrations.pydantic_ai")
    assert "pip install 'pydantic-ai-slim[openai]'" in missing.value.hint
