"""Microsoft's Agent Framework on the plan: its chat client with a client whose requests onplan answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from onplan.emulator import Call, Emulator, Turn

from . import asking
from .asking import asked, refreshes
from .pages import python_blocks, run

pytest.importorskip("agent_framework")

from agent_framework import Agent
from agent_framework.exceptions import ChatClientException
from agent_framework.openai import OpenAIChatClient
from pydantic import BaseModel

from onplan.integrations.openai import AsyncOpenAI


class Bird(BaseModel):
    """A bird."""

    name: str
    wingspan: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@pytest.fixture
def client(signed_in: Emulator) -> Any:
    """A chat client of the framework's."""
    return OpenAIChatClient(model="gpt-5.5", async_client=AsyncOpenAI())


async def test_an_agent(client: Any, signed_in: Emulator) -> None:
    """It calls a tool and answers; streamed and typed, too."""
    called, said = Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), Turn(text="Take a coat.")
    signed_in.play(called, said, called, said)
    agent = Agent(client=client, instructions="Be brief.", tools=[weather])
    whole = await agent.run("A coat?")
    stream = agent.run("A coat?", stream=True)
    updates = [update.text async for update in stream]
    told = await stream.get_final_response()
    outputs = [item for row in asked(signed_in) for item in row["body"]["input"] if "output" in item]

    assert whole.text == told.text == "Take a coat."
    assert "".join(updates).startswith("Take a coat.")
    assert all("rain in Oslo" in str(output["output"]) for output in outputs)
    assert len(asked(signed_in)) == 4
    assert whole.usage_details["output_token_count"] > 0
    typed = await Agent(client=client).run("A bird", options={"response_format": Bird})
    assert isinstance(typed.value, Bird)


async def test_a_session(client: Any, signed_in: Emulator) -> None:
    """A conversation goes on."""
    agent = Agent(client=client)
    session = agent.create_session()
    await agent.run("one", session=session)
    await agent.run("two", session=session)
    body = asked(signed_in)[-1]["body"]
    assert "one" in str(body["input"])


async def test_a_usage_limit(client: Any, signed_in: Emulator) -> None:
    """It is the framework's error, with the reason, asked for once."""
    signed_in.arm("usage_limit_429", 9)
    with pytest.raises(ChatClientException, match="limit"):
        await Agent(client=client).run("x")
    assert len(asked(signed_in)) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_breaks_off(client: Any, signed_in: Emulator, stream: bool) -> None:
    """It is the framework's error, and never a whole answer."""
    signed_in.arm("cut_mid_event", 9)
    agent = Agent(client=client)

    async def ask() -> Any:
        if stream:
            return await agent.run("one two three", stream=True).get_final_response()
        return await agent.run("one two three")

    with pytest.raises(ChatClientException):
        await ask()
    assert len(asked(signed_in)) == 1


async def test_an_expired_token_is_refreshed_once(client: Any, signed_in: Emulator) -> None:
    """By onplan: the agent is answered."""
    signed_in.expire_access_tokens()
    assert (await Agent(client=client).run("x")).text == "You said: x"
    assert refreshes(signed_in) == 1


@pytest.mark.parametrize("code", python_blocks("agent-framework.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of the page, without an error."""
    run(code)


@asking.forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_beside_a_fork(client: Any, signed_in: Emulator) -> None:
    """A chat client that was used before is the child's and the parent's."""
    agent = Agent(client=client)

    def ask(question: str) -> str:
        async def answer() -> str:
            return str((await agent.run(question)).text)

        return asyncio.run(answer())

    asking.beside_a_fork(ask, signed_in)
