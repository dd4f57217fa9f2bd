"""The OpenAI Agents SDK on the plan, by its own runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import json
import pickle
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from onplan import ConfigurationError
from onplan.emulator import Call, Emulator, Turn
from onplan.integrations.agents import OnplanProvider
from onplan.integrations.openai import PLACEHOLDER

from ..conftest import eventually
from . import asking, pages

agents = pytest.importorskip("agents")
openai = pytest.importorskip("openai")
pydantic = pytest.importorskip("pydantic")

MODEL = "gpt-5.5"
T = TypeVar("T")


def on_plan(work: Callable[[Any], Coroutine[Any, Any, T]], **options: Any) -> T:
    """What ``work`` gives for a configuration of runs on the plan."""

    async def begin() -> T:
        provider = OnplanProvider(**options)
        try:
            return await work(agents.RunConfig(model_provider=provider))
        finally:
            await provider.aclose()

    return asyncio.run(begin())


def guide(**given: Any) -> Any:
    # The Agents SDK asks for the effort "none" if none is set, which onplan corrects with a second request.
    settings = agents.ModelSettings(reasoning=openai.types.Reasoning(effort="low"))
    named = {"name": "Guide", "model": MODEL, "instructions": "Be brief.", "model_settings": settings}
    return agents.Agent(**{**named, **given})


@pytest.fixture
def weather() -> Any:
    @agents.function_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    return weather


@pytest.mark.parametrize("use_responses", [True, False], ids=["responses", "chat"])
def test_runs(signed_in: Emulator, use_responses: bool) -> None:
    """An answer, whole and streamed, with the tokens that it took."""

    async def work(config: Any) -> tuple[Any, Any, str]:
        whole = await agents.Runner.run(guide(), "one two", run_config=config)
        streamed = agents.Runner.run_streamed(guide(), "one two", run_config=config)
        text = ""
        async for event in streamed.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                text += event.data.delta
        return whole, streamed, text

    whole, streamed, text = on_plan(work, use_responses=use_responses)
    assert whole.final_output == streamed.final_output == text == "You said: one two"
    assert whole.context_wrapper.usage.output_tokens > 0
    assert whole.context_wrapper.usage.requests == 1


@pytest.mark.parametrize("use_responses", [True, False], ids=["responses", "chat"])
def test_tools(signed_in: Emulator, weather: Any, use_responses: bool) -> None:
    """A tool is called and its result told; the model's sealed thinking goes with it."""
    turns = [
        Turn(thinking="I need to look.", tool_calls=[Call("weather", {"city": "Oslo"})]),
        Turn(text="Take a coat."),
    ]
    signed_in.play(*turns)
    agent = guide(
        tools=[weather],
        model_settings=agents.ModelSettings(
            reasoning=openai.types.Reasoning(effort="low", summary="auto"), temperature=0.3
        ),
    )
    run = on_plan(
        lambda config: agents.Runner.run(agent, "A coat?", run_config=config), use_responses=use_responses
    )

    assert run.final_output == "Take a coat."
    assert run.context_wrapper.usage.requests == 2
    first, second = asking.turns(signed_in)
    assert "temperature" not in first
    assert first["tools"][0]["strict"] is True
    kinds = [item["type"] for item in second["input"]]
    assert kinds[-2:] == ["function_call", "function_call_output"]
    assert "rain in Oslo" in str(second["input"][-1])
    assert "reasoning" in kinds


def test_typed_output(signed_in: Emulator) -> None:
    """An ``output_type`` is what the run gives, whole and streamed."""
    bird = pydantic.create_model("Bird", name=(str, ...), wingspan=(int, ...))

    async def work(config: Any) -> list[Any]:
        streamed = agents.Runner.run_streamed(guide(output_type=bird), "A bird", run_config=config)
        async for _ in streamed.stream_events():
            pass
        whole = await agents.Runner.run(guide(output_type=bird), "A bird", run_config=config)
        return [whole.final_output, streamed.final_output]

    assert all(isinstance(output, bird) for output in on_plan(work))


def test_handoffs(signed_in: Emulator) -> None:
    """One agent hands the conversation to another, whose model is the plan's, too."""
    signed_in.play(Turn(tool_calls=[Call("transfer_to_translator", {})]), Turn(text="Bonjour"))
    translator = guide(name="Translator", model="gpt-5.6-sol")
    agent = guide(handoffs=[translator])
    run = on_plan(lambda config: agents.Runner.run(agent, "Translate: hello", run_config=config))

    assert (run.final_output, run.last_agent.name) == ("Bonjour", "Translator")
    # The translator's model refuses the sealed thinking of another one, which onplan then leaves out.
    assert list(dict.fromkeys(turn["model"] for turn in asking.turns(signed_in))) == [MODEL, "gpt-5.6-sol"]


def test_sessions(signed_in: Emulator, tmp_path: Path) -> None:
    """What was said is kept by the Agents SDK, and sent again, also after the program has ended."""

    def ask(question: str) -> Any:
        async def work(config: Any) -> Any:
            session = agents.SQLiteSession("one", tmp_path / "sessions.db")
            try:
                return await agents.Runner.run(guide(), question, session=session, run_config=config)
            finally:
                session.close()

        return on_plan(work)

    ask("My name is Ada.")
    ask("What is my name?")
    said = json.dumps(asking.turns(signed_in)[-1]["input"])
    assert "My name is Ada." in said
    assert "You said: My name is Ada." in said


def test_images(signed_in: Emulator) -> None:
    """A picture in the input reaches the model."""
    url = "https://example.com/bird.png"
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": url}]
    question = [{"role": "user", "content": content}]
    on_plan(lambda config: agents.Runner.run(guide(), question, run_config=config))

    assert url in str(asking.turns(signed_in)[0]["input"])


def test_agents_without_a_model(signed_in: Emulator) -> None:
    """They get the one of the provider, or else one that the plan has."""
    agent = agents.Agent(name="Guide")
    for model in ("gpt-5.6-sol", None):
        run = on_plan(lambda config: agents.Runner.run(agent, "one", run_config=config), model=model)
        assert run.final_output == "You said: one"
    assert asking.turns(signed_in)[0]["model"] == "gpt-5.6-sol"


def test_a_prefix_of_model_names(signed_in: Emulator) -> None:
    """``onplan/…`` beside models of other providers."""

    from agents.models.multi_provider import MultiProvider, MultiProviderMap

    async def work(config: Any) -> Any:
        names = MultiProviderMap()
        names.add_provider("onplan", config.model_provider)
        both = agents.RunConfig(model_provider=MultiProvider(provider_map=names))
        return await agents.Runner.run(guide(model=f"onplan/{MODEL}"), "one", run_config=both)

    assert on_plan(work).final_output == "You said: one"


def test_traces_get_no_token(signed_in: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the export of traces nor the default client of the Agents SDK is given anything."""
    from agents.tracing.processors import default_exporter

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    provider = OnplanProvider()
    run = on_plan(lambda config: agents.Runner.run(guide(), "one", run_config=config))

    assert run.final_output == "You said: one"
    assert PLACEHOLDER not in str([row["headers"] for row in asking.asked(signed_in)])
    assert default_exporter().api_key is None
    with pytest.raises(openai.OpenAIError, match="api_key"):  # it has neither a client nor a key of ours
        agents.OpenAIProvider().get_model(MODEL)
    with pytest.raises(Exception, match="pickle"):
        pickle.dumps(provider)


FAILURES = [
    ("usage_limit_429", "RateLimitError"),
    ("cut_mid_event", "APIError"),
    ("response_failed_after_text", "APIError"),
]


@pytest.mark.parametrize(("fault", "error"), FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_failures(signed_in: Emulator, fault: str, error: str, stream: bool) -> None:
    """They are the SDK's own errors, asked for once; an answer that breaks off is none."""
    signed_in.arm(fault, 9)

    async def work(config: Any) -> None:
        if not stream:
            await agents.Runner.run(guide(), "one two", run_config=config)
        else:
            async for _ in agents.Runner.run_streamed(guide(), "one two", run_config=config).stream_events():
                pass

    with pytest.raises(getattr(openai, error)):
        on_plan(work, retry=1)
    assert len(asking.turns(signed_in)) == 1


def test_a_rate_limit_is_tried_again(signed_in: Emulator) -> None:
    """By onplan, once."""
    signed_in.arm("rate_limited_429_milliseconds", 1)
    on_plan(lambda config: agents.Runner.run(guide(), "one", run_config=config))
    assert len(asking.turns(signed_in)) == 2


def test_a_sign_in_that_ended(signed_in: Emulator) -> None:
    """The SDK's AuthenticationError names the command that signs in."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(openai.AuthenticationError, match="onplan login"):
        on_plan(lambda config: agents.Runner.run(guide(), "one", run_config=config))


def test_an_expired_token_is_refreshed_once(signed_in: Emulator) -> None:
    """Twenty runs at once with a token that the backend refuses: all are answered, after one refresh."""

    async def work(config: Any) -> list[Any]:
        runs = (agents.Runner.run(guide(), f"q{number}", run_config=config) for number in range(20))
        return await asyncio.gather(*runs)

    signed_in.expire_access_tokens()
    assert [run.final_output for run in on_plan(work)] == [f"You said: q{number}" for number in range(20)]
    assert asking.refreshes(signed_in) == 1


def test_leaving_a_stream(signed_in: Emulator) -> None:
    """A run that is cancelled ends what it asked of the backend."""

    async def work(config: Any) -> Any:
        await agents.Runner.run(guide(), "one", run_config=config)
        before = asking.open_files()
        signed_in.arm("stall", 1)
        run = agents.Runner.run_streamed(guide(), "one two", run_config=config)
        async for event in run.stream_events():
            if event.type == "raw_response_event":
                break
        run.cancel()
        await asyncio.to_thread(eventually, lambda: asking.open_files() <= before)
        return await agents.Runner.run(guide(), "three", run_config=config)

    assert on_plan(work).final_output == "You said: three"


def test_twenty_event_loops_and_threads(signed_in: Emulator) -> None:
    """One provider serves one loop after another, and loops of threads at the same time."""
    config = agents.RunConfig(model_provider=OnplanProvider())

    def ask(number: int) -> str:
        return str(asyncio.run(agents.Runner.run(guide(), f"q{number}", run_config=config)).final_output)

    before = asking.open_files()
    answers = [ask(number) for number in range(20)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers += pool.map(ask, range(8))
    assert asking.open_files() <= before + 10
    assert answers == [f"You said: q{number}" for number in [*range(20), *range(8)]]


@asking.forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(signed_in: Emulator) -> None:
    """A child that is forked after the parent has asked gets its answer from the same object."""
    config = agents.RunConfig(model_provider=OnplanProvider())

    def ask() -> str:
        return str(asyncio.run(agents.Runner.run(guide(), "one", run_config=config)).final_output)

    assert ask() == asking.in_a_fork(ask) == ask() == "You said: one"


@pytest.mark.parametrize("code", pages.python_blocks("agents.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of docs/integrations/agents.md."""
    assert "You said: " in pages.run(code)


def test_without_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.delitem(sys.modules, "onplan.integrations.agents")
    monkeypatch.setitem(sys.modules, "agents", None)
    with pytest.raises(ConfigurationError, match="not installed") as missing:
        importlib.import_module("onplan.integrations.agents")
    assert "pip install openai-agents" in missing.value.hint
