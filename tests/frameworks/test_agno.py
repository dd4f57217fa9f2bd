"""Agno on the plan: its model class with clients whose requests onplan answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from onplan.emulator import Call, Emulator, Turn

from . import asking
from .asking import asked, refreshes
from .pages import python_blocks, run

os.environ["AGNO_TELEMETRY"] = "false"
pytest.importorskip("agno")

from agno.agent import Agent
from agno.exceptions import ModelProviderError, ModelRateLimitError
from agno.models.openai import OpenAIResponses
from agno.run.base import RunStatus
from pydantic import BaseModel

from onplan.integrations.openai import AsyncOpenAI, OpenAI


class Bird(BaseModel):
    """A bird."""

    name: str
    wingspan: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@pytest.fixture
def model(signed_in: Emulator) -> Iterator[Any]:
    """A model of Agno's."""
    with OpenAI() as client:
        yield OpenAIResponses(id="gpt-5.5", client=client, async_client=AsyncOpenAI())


def test_an_agent(model: Any, signed_in: Emulator) -> None:
    """It calls a tool and answers; streamed, awaited and typed."""
    called, said = Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), Turn(text="Take a coat.")
    signed_in.play(called, said, called, said, called, said)
    agent = Agent(model=model, tools=[weather], telemetry=False)
    whole = agent.run("A coat?")
    told = "".join(event.content or "" for event in agent.run("A coat?", stream=True) if event.content)
    awaited = asyncio.run(agent.arun("A coat?"))
    outputs = [item for row in asked(signed_in) for item in row["body"]["input"] if "output" in item]

    assert whole.content == awaited.content == "Take a coat."
    assert "Take a coat." in told
    assert all("rain in Oslo" in str(output["output"]) for output in outputs)
    assert len(asked(signed_in)) == 6
    assert whole.metrics.output_tokens > 0
    typed = Agent(model=model, output_schema=Bird, telemetry=False).run("A bird")
    assert isinstance(typed.content, Bird)


def test_a_usage_limit(model: Any, signed_in: Emulator) -> None:
    """It is Agno's error for rates, with the reason, asked for once."""
    signed_in.arm("usage_limit_429", 9)
    with pytest.raises(ModelProviderError) as caught:
        model.response([_message("x")])
    assert isinstance(caught.value, ModelRateLimitError)
    assert "limit" in str(caught.value)
    assert len(asked(signed_in)) == 1
    ended = Agent(model=model, telemetry=False).run("x")
    assert ended.status is RunStatus.error


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_breaks_off(model: Any, signed_in: Emulator, stream: bool) -> None:
    """It is Agno's error, and never a whole answer."""
    signed_in.arm("cut_mid_event", 9)
    asking = model.response_stream if stream else model.response
    with pytest.raises(ModelProviderError):
        list(asking([_message("one two three")]))
    assert len(asked(signed_in)) == 1


def test_an_expired_token_is_refreshed_once(model: Any, signed_in: Emulator) -> None:
    """By onplan: the agent is answered."""
    signed_in.expire_access_tokens()
    assert Agent(model=model, telemetry=False).run("x").content == "You said: x"
    assert refreshes(signed_in) == 1


def _message(text: str) -> Any:
    from agno.models.message import Message

    return Message(role="user", content=text)


@pytest.mark.parametrize("code", python_blocks("agno.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of the page, without an error."""
    run(code)


@asking.forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
@pytest.mark.parametrize("asynchronous", [False, True])
def test_beside_a_fork(model: Any, signed_in: Emulator, asynchronous: bool) -> None:
    """A model that was used before is the child's and the parent's."""
    agent = Agent(model=model, telemetry=False)

    def ask(question: str) -> str:
        answer = asyncio.run(agent.arun(question)) if asynchronous else agent.run(question)
        return str(answer.content)

    asking.beside_a_fork(ask, signed_in)
