"""smolagents on the plan, by its own agents."""

from __future__ import annotations

import concurrent.futures
import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from onplan import ConfigurationError, Timeouts
from onplan.emulator import Call, Emulator, Turn
from onplan.integrations.openai import OpenAI
from onplan.integrations.smolagents import OnplanModel

from ..conftest import eventually
from . import asking, pages

openai = pytest.importorskip("openai")
smolagents = pytest.importorskip("smolagents")
tool = smolagents.tool

MODEL = "gpt-5.5"
QUESTION = [{"role": "user", "content": [{"type": "text", "text": "one two"}]}]


@pytest.fixture
def model(signed_in: Emulator) -> Iterator[Any]:
    """A model that asks once."""
    with OpenAI(retry=1) as client:
        yield OnplanModel(MODEL, client=client)


@tool
def weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name.
    """
    return f"rain in {city}"


def test_answers(model: Any) -> None:
    """Whole and streamed, with the tokens that they took."""
    whole = model.generate(QUESTION)
    streamed = list(model.generate_stream(QUESTION))

    assert whole.content == "".join(each.content or "" for each in streamed) == "You said: one two"
    assert whole.token_usage.output_tokens > 0
    assert [each.token_usage.output_tokens for each in streamed if each.token_usage] != []


def test_texts_that_end_an_answer(model: Any, signed_in: Emulator) -> None:
    """They are looked for by onplan, whole and streamed; the plan never gets them."""
    turn = Turn(text="Thought: look it up. Observation: invented")
    signed_in.play(turn, turn)
    whole = model.generate(QUESTION, stop_sequences=["Observation:"])
    streamed = list(model.generate_stream(QUESTION, stop_sequences=["Observation:"]))

    assert whole.content == "".join(each.content or "" for each in streamed) == "Thought: look it up. "
    assert not [turn for turn in asking.turns(signed_in) if "stop" in turn]


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_that_calls_tools(model: Any, signed_in: Emulator, stream: bool) -> None:
    """A call, its result and the last answer."""
    signed_in.play(
        Turn(tool_calls=[Call("weather", {"city": "Oslo"})]),
        Turn(tool_calls=[Call("final_answer", {"answer": "Take a coat."})]),
    )
    agent = smolagents.ToolCallingAgent(
        tools=[weather], model=model, stream_outputs=stream, verbosity_level=0
    )

    assert agent.run("A coat?") == "Take a coat."
    first, second = asking.turns(signed_in)
    assert {tool["name"] for tool in first["tools"]} == {"weather", "final_answer"}
    assert "rain in Oslo" in json.dumps(second["input"])


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_that_writes_code(model: Any, signed_in: Emulator, stream: bool) -> None:
    """Its code is run up to where the model should have stopped, and what it invents is left out."""
    signed_in.play(
        Turn(text="I look.\n<code>\nprint(weather('Oslo'))\n</code>\nObservation: sunshine"),
        Turn(text="<code>\nfinal_answer('Take a coat.')\n</code>"),
    )
    agent = smolagents.CodeAgent(tools=[weather], model=model, stream_outputs=stream, verbosity_level=0)

    assert agent.run("A coat?") == "Take a coat."
    told = json.dumps(asking.turns(signed_in)[1]["input"])
    assert "rain in Oslo" in told
    assert "sunshine" not in told


def test_typed_output(model: Any) -> None:
    """A response format is followed."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "bird", "schema": schema, "strict": True}}
    assert json.loads(model.generate(QUESTION, response_format=form).content).keys() == {"name"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"), [("usage_limit_429", "RateLimitError"), ("cut_mid_event", "APIError")]
)
def test_failures(model: Any, signed_in: Emulator, fault: str, error: str, stream: bool) -> None:
    """They are the SDK's errors, asked for once, although smolagents tries rate limits again by default."""
    signed_in.arm(fault, 9)
    with pytest.raises(getattr(openai, error)):
        list(model.generate_stream(QUESTION)) if stream else model.generate(QUESTION)
    assert len(asking.turns(signed_in)) == 1


def test_a_sign_in_that_ended(model: Any, signed_in: Emulator) -> None:
    """The SDK's AuthenticationError names the command that signs in."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(openai.AuthenticationError, match="onplan login"):
        model.generate(QUESTION)


def test_an_expired_token_is_refreshed_once(model: Any, signed_in: Emulator) -> None:
    """Twenty threads ask with a token that the backend refuses: all are answered, after one refresh."""
    signed_in.expire_access_tokens()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: model.generate(QUESTION).content, range(20)))
    assert answers == ["You said: one two"] * 20
    assert asking.refreshes(signed_in) == 1


@asking.forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(model: Any) -> None:
    """A child that is forked after the parent has asked gets its answer from the same object."""

    def ask() -> str:
        return str(model.generate(QUESTION).content)

    assert ask() == asking.in_a_fork(ask) == ask() == "You said: one two"


def test_leaving_a_stream(model: Any, signed_in: Emulator) -> None:
    """A stream that is left ends what it asked of the backend."""
    model.generate(QUESTION)
    before = asking.open_files()
    signed_in.arm("stall", 1)
    stream = model.generate_stream(QUESTION)
    next(stream)
    stream.close()
    assert eventually(lambda: asking.open_files() <= before)
    assert model.generate(QUESTION).content == "You said: one two"


@pytest.mark.parametrize(
    ("name", "value"),
    [("profile", "x"), ("backend", "x"), ("store", "memory:"), ("timeout", Timeouts(idle=5))],
)
def test_options_of_the_client_say_where_they_go(name: str, value: object) -> None:
    """smolagents would send them with each request."""
    with pytest.raises(ConfigurationError) as caught:
        OnplanModel("gpt-5.5", **{name: value})
    assert f"client=OpenAI({name}=…)" in caught.value.hint


def test_a_name_that_is_meant() -> None:
    """A misspelt argument is refused where it stands; what smolagents and its requests take is not."""
    for wrong, meant in (("temperatur", "temperature"), ("requests_per_minut", "requests_per_minute")):
        with pytest.raises(ConfigurationError, match=f"OnplanModel has no option '{wrong}'") as caught:
            OnplanModel(MODEL, **{wrong: 1})
        assert caught.value.hint == f"Did you mean {meant!r}?"
    OnplanModel(MODEL, requests_per_minute=60, flatten_messages_as_text=True, custom_role_conversions={})


def test_parameters_of_chat_completions_are_no_options_of_the_client(model: Any, signed_in: Emulator) -> None:
    """Also where onplan's client has one of the same name: ``store`` says whether an answer is kept."""
    given = OnplanModel(MODEL, client=model.client, store=False, timeout=60)
    assert given.generate(QUESTION).content == "You said: one two"


def test_what_is_saved(model: Any) -> None:
    """A model that is saved has no client and nothing of the sign-in; one that is loaded makes its own."""
    saved = OnplanModel(MODEL, temperature=0.3).to_dict()
    assert "token" not in json.dumps({name: saved[name] for name in saved if name != "max_tokens"})
    loaded = OnplanModel.from_dict(saved)
    assert loaded.generate(QUESTION).content == "You said: one two"
    assert loaded.client is not model.client


@pytest.mark.parametrize("code", pages.python_blocks("smolagents.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of docs/integrations/smolagents.md."""
    assert pages.run(code)


def test_without_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.delitem(sys.modules, "onplan.integrations.smolagents")
    monkeypatch.setitem(sys.modules, "smolagents", None)
    with pytest.raises(ConfigurationError, match="not installed") as missing:
        importlib.import_module("onplan.integrations.smolagents")
    assert "pip install 'smolagents[openai]'" in missing.value.hint
