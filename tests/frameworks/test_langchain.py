"""LangChain's chat model on the plan: answers, parameters, arguments, its page and distribution."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.emulator import Emulator

from ..conftest import issued
from . import distributions, pages

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage
from pydantic import ValidationError

from onplan.config.settings import load_settings
from onplan.integrations.langchain import ChatOnplan
from onplan.integrations.langchain.answers import message_of
from onplan.stores import open_store

from .langchain_model import (  # noqa: F401
    HAS_PROFILES,
    MODEL,
    added,
    bodies,
    model,
    needs_v3,
    v3_is_beta,
    weather,
)

# --- answers --------------------------------------------------------------------------------------------


async def test_answers(model: ChatOnplan) -> None:
    """Whole and streamed, sync and async: text, thinking, usage, finish and model are the same."""
    streamed = [chunk async for chunk in model.astream("one two")]
    answers = [
        model.invoke("one two"),
        await model.ainvoke("one two"),
        added(model.stream("one two")),
        added(streamed),
    ]

    for answer in answers:
        assert answer.content == "You said: one two"
        assert "Reading the request" in answer.additional_kwargs["reasoning_content"]
        assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
        assert answer.usage_metadata["total_tokens"] == answers[0].usage_metadata["total_tokens"] > 0
        assert answer.usage_metadata["output_token_details"]["reasoning"] > 0
        assert answer.response_metadata["model_name"] == MODEL
        assert answer.response_metadata["model_provider"] == "onplan"
        assert answer.response_metadata["finish_reason"] == "stop"
        assert answer.response_metadata["limits"]["windows"]
    texts = [chunk.content for chunk in streamed if chunk.content]
    assert texts == ["You", " said:", " one", " two"]
    assert [chunk.chunk_position for chunk in streamed][-1] == "last"


class _Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)


async def test_events_and_callbacks(signed_in: Emulator) -> None:
    """``streaming=True`` reports tokens to callbacks once each, also from ``invoke``; v2 events have them."""
    model, seen = ChatOnplan(model=MODEL, streaming=True), _Tokens()
    model.invoke("one two", config={"callbacks": [seen]})
    async_seen = _Tokens()
    await model.ainvoke("one two", config={"callbacks": [async_seen]})
    events = [event async for event in model.astream_events("one two", version="v2")]

    assert "".join(seen.tokens) == "".join(async_seen.tokens) == "You said: one two"
    assert events[0]["event"] == "on_chat_model_start"
    assert events[-1]["event"] == "on_chat_model_end"
    assert events[-1]["data"]["output"].content == "You said: one two"


@needs_v3
@v3_is_beta
def test_events_v3(model: ChatOnplan) -> None:
    """The typed stream has text, reasoning and calls, and its message goes on as any other."""
    bound = model.bind_tools([weather])
    stream = bound.stream_events("Oslo?", version="v3")
    [call] = stream.tool_calls.get()
    result = weather.invoke(call)
    again = bound.stream_events([HumanMessage("Oslo?"), stream.output, result], version="v3")

    assert "Reading the request" in str(stream.reasoning)
    assert "rain in" in str(again.text)


def test_parameters(signed_in: Emulator) -> None:
    """What a plan does not take is left out and named; ``stop`` and ``max_tokens`` are carried out."""
    model = ChatOnplan(model=MODEL, temperature=0.3, stop=["two"], reasoning_effort="low")
    answer = model.invoke("one two three", max_tokens=500)

    assert answer.content == "You said: one "
    assert answer.response_metadata["ignored_parameters"] == ["temperature"]
    assert set(answer.response_metadata["emulated_parameters"]) == {"stop", "max_tokens"}
    [body] = bodies(signed_in)
    assert "temperature" not in body
    assert body["reasoning"]["effort"] == "low"
    with pytest.raises(onplan.InvalidRequestError, match="does not take temperature"):
        ChatOnplan(model=MODEL, unsupported="raise").invoke("x", temperature=0.3)
    with pytest.raises(onplan.InvalidRequestError, match="Did you mean `verbosity`"):
        model.invoke("x", verbosit="low")


def test_an_answer_without_usage() -> None:
    """Where onplan ended it before the backend had counted there is none, rather than zeros."""
    said = onplan.Message.assistant("x")
    response = onplan.CompletionResponse(said, onplan.Usage(), onplan.FinishReason.STOP, MODEL)
    assert message_of(response).usage_metadata is None


# --- arguments ------------------------------------------------------------------------------------------


def test_a_store_at_a_path(signed_in: Emulator, tmp_path: Path) -> None:
    """It is written down as the spec that it stands for, and found again."""
    store = tmp_path / "elsewhere.json"
    settings = load_settings()
    open_store(f"file:{store}").save(issued(signed_in.issue_tokens(), settings.issuer), None)
    model = ChatOnplan(model=MODEL, store=store)
    assert model.invoke("x").content == "You said: x"
    assert json.loads(dumps(model))["kwargs"]["store"] == f"file:{store}"


def test_arguments(signed_in: Emulator) -> None:
    """LangChain's names and onplan's; what belongs elsewhere is said so."""
    assert ChatOnplan(model=MODEL).model_name == ChatOnplan(model_name=MODEL).model_name == MODEL
    assert ChatOnplan(stop_sequences=["x"]).stop == ["x"]
    if HAS_PROFILES:
        assert ChatOnplan(model=MODEL).profile["max_input_tokens"] == 272_000
        assert ChatOnplan(model="gpt-none").profile is None
        with pytest.raises(onplan.ConfigurationError, match="what a model can do"):
            ChatOnplan(profile="work")
    assert ChatOnplan().invoke("x").response_metadata["model_name"]
    for wrong in (
        {"client_options": {"api_key": "x"}},
        {"client_options": {"resume": True}},
        {"client_options": {"proxi": "x"}},
        {"base_url": "https://user:pass@example.org"},
    ):
        with pytest.raises(onplan.ConfigurationError) as raised:
            ChatOnplan(**wrong)
        assert "pass@" not in str(raised.value)
    for name, value in (("max_retries", -1), ("temperature", "hot")):
        with pytest.raises(ValidationError):
            ChatOnplan(**{name: value})
    with pytest.raises(onplan.OnplanError, match="proxy"):
        ChatOnplan(client_options={"proxy": "no proxy"}).invoke("x")


def test_token_counts(model: ChatOnplan) -> None:
    """Estimates of messages with tools, without a request, where LangChain would want GPT-2's tokenizer."""
    few = model.get_num_tokens("Name three birds")
    more = model.get_num_tokens_from_messages([HumanMessage("Name three birds")], tools=[weather])
    assert 0 < few < more


# --- the page and the distribution ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [code for code in pages.python_blocks("langchain.md") if "from langchain" not in code]
)
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of docs/integrations/langchain.md that need no more than langchain-core."""
    assert pages.run(code)


def test_the_distribution(signed_in: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``langchain-onplan`` is the same class under its own name."""
    site = distributions.installed("langchain-onplan", tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    code = "import langchain_onplan as l; print(l.ChatOnplan(model='gpt-5.5').invoke('x').content)"
    assert pages.run(code) == "You said: x\n"
    assert (site / "langchain_onplan/py.typed").exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("modle", "Did you mean 'model'?"),
        ("tempreture", "Did you mean 'temperature'?"),
        ("retry", "Give it as `max_retries=…`."),
        ("max_window_share", "Give it as `client_options={'max_window_share': …}`."),
        ("qqq", "Options of `onplan.Client` go into `client_options`"),
    ],
)
def test_an_argument_that_there_is_not(name: str, hint: str) -> None:
    """It is told with the one that is meant, or with where it goes."""
    with pytest.raises(onplan.ConfigurationError, match=f"no argument '{name}'") as caught:
        ChatOnplan(model="gpt-5.5", **{name: 1})
    assert hint in caught.value.hint
