"""What is built on LangChain's core: graphs, agents, checkpoints; OpenAI's class for ChatGPT plans."""

from __future__ import annotations

import asyncio
import json
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Turn
from onplan.stores import open_store

from ..conftest import issued
from . import pages
from .asking import asked, refreshes

pytest.importorskip("deepagents")

import httpx2
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import MemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.prebuilt import create_react_agent
from pydantic import BaseModel

from onplan.integrations.langchain import ChatGPTTokenProvider, ChatOnplan

MODEL = "gpt-5.5"

pytestmark = [
    # Each of these is about that library's own future.
    pytest.mark.filterwarnings("ignore:create_react_agent has been moved"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"),
]


@tool
def weather(city: str) -> str:
    """The weather."""
    return f"rain in {city}"


class Bird(BaseModel):
    """A bird."""

    name: str
    wingspan: int


@pytest.fixture
def model(signed_in: Emulator) -> ChatOnplan:
    """A model over HTTP, so that each request has the whole conversation."""
    return ChatOnplan(model=MODEL, client_options={"transport": "sse"})


def _bodies(emulator: Emulator) -> list[Any]:
    return [row["body"] for row in asked(emulator)]


def _kinds(body: Any) -> list[str]:
    return [item["type"] for item in body["input"]]


_LOOK = Turn(thinking="I need to look.", tool_calls=[Call("weather", {"city": "Oslo"})])
_COAT = Turn(text="Take a coat.")
_QUESTION = {"messages": [HumanMessage("A coat in Oslo?")]}


def _react_agent(model: Any, **options: Any) -> Any:
    return create_react_agent(model, [weather], **options)


def _agent(model: Any, **options: Any) -> Any:
    return create_agent(model, [weather], **options)


def _deep_agent(model: Any, **options: Any) -> Any:
    return create_deep_agent(model=model, tools=[weather], **options)


AGENTS = [_react_agent, _agent, _deep_agent]


@pytest.mark.parametrize("agent", AGENTS)
async def test_agents(model: ChatOnplan, signed_in: Emulator, agent: Callable[..., Any]) -> None:
    """They call tools and answer, whole and streamed, sync and async; reasoning goes back to the model."""
    signed_in.play(*[_LOOK, _COAT] * 4)
    graph = agent(model)
    whole = [graph.invoke(_QUESTION), await graph.ainvoke(_QUESTION)]
    *_, streamed = graph.stream(_QUESTION, stream_mode="values")
    *_, async_streamed = [part async for part in graph.astream(_QUESTION, stream_mode="values")]

    for state in (*whole, streamed, async_streamed):
        assert state["messages"][-1].content == "Take a coat."
    bodies = _bodies(signed_in)
    assert len(bodies) == 8
    for body in bodies[1::2]:
        kinds = _kinds(body)
        assert kinds.index("reasoning") < kinds.index("function_call")


@pytest.mark.parametrize("agent", AGENTS)
async def test_tokens_of_agents(model: ChatOnplan, signed_in: Emulator, agent: Callable[..., Any]) -> None:
    """``stream_mode="messages"`` has them as they come, under one id for each answer."""
    signed_in.play(_LOOK, _COAT)
    pieces = [piece async for piece, _ in agent(model).astream(_QUESTION, stream_mode="messages")]
    said = [piece for piece in pieces if piece.type == "AIMessageChunk"]
    assert "".join(piece.content for piece in said) == "Take a coat."
    assert len({piece.id for piece in said}) == 2


async def test_typed_events_of_agents(model: ChatOnplan, signed_in: Emulator) -> None:
    """Events of version 3: the message that comes of them still has its reasoning in the next turn."""
    signed_in.play(_LOOK, _COAT)
    stream = await create_agent(model, [weather]).astream_events(_QUESTION, version="v3")
    state = await stream.output()
    assert state["messages"][-1].text == "Take a coat."
    assert "reasoning" in _kinds(_bodies(signed_in)[1])


@contextmanager
def _memory(folder: Path) -> Iterator[Any]:
    yield MemorySaver()


@contextmanager
def _sqlite(folder: Path) -> Iterator[Any]:
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        yield saver


@pytest.mark.parametrize("saver", [_memory, _sqlite])
@pytest.mark.parametrize("agent", AGENTS)
def test_checkpoints(
    model: ChatOnplan, signed_in: Emulator, tmp_path: Path, saver: Any, agent: Callable[..., Any]
) -> None:
    """An agent that is stopped after each step, and goes on from what was saved, keeps its reasoning."""
    signed_in.play(_LOOK, _COAT, Turn(text="Goodbye."))
    config: Any = {"configurable": {"thread_id": "1"}}
    with saver(tmp_path) as checkpoints:
        agent(model, checkpointer=checkpoints).invoke(_QUESTION, config, interrupt_before=["tools"])
        assert len(_bodies(signed_in)) == 1
        again = agent(ChatOnplan(model=MODEL), checkpointer=checkpoints)  # as in another process
        assert again.invoke(None, config)["messages"][-1].content == "Take a coat."
        again.invoke({"messages": [HumanMessage("Thanks.")]}, config)

    _, second, third = _bodies(signed_in)
    for body in (second, third):
        reasoning = [item for item in body["input"] if item["type"] == "reasoning"]
        assert reasoning
        assert all(item["encrypted_content"] for item in reasoning)


@pytest.mark.parametrize("how", [Bird, ProviderStrategy(Bird, strict=True), ToolStrategy(Bird)])
def test_typed_answers_of_agents(model: ChatOnplan, signed_in: Emulator, how: Any) -> None:
    """LangChain knows from the model's profile that the backend holds answers to a schema."""
    values = {"name": "Wren", "wingspan": 15}
    by_tool = isinstance(how, ToolStrategy)
    answer = Turn(tool_calls=[Call("Bird", values)]) if by_tool else Turn(text=json.dumps(values))
    signed_in.play(_LOOK, answer)
    state = create_agent(model, [weather], response_format=how).invoke(_QUESTION)
    assert state["structured_response"] == Bird(**values)
    assert all(("format" in body.get("text", {})) is not by_tool for body in _bodies(signed_in))


def test_a_usage_limit_in_an_agent(model: ChatOnplan, signed_in: Emulator) -> None:
    """It is not tried again by the agent's own retries, and another model may answer in its place."""
    signed_in.arm("usage_limit_429", 1)
    with pytest.raises(onplan.UsageLimitError):
        create_agent(model, [], middleware=[ModelRetryMiddleware(on_failure="error")]).invoke(_QUESTION)
    assert len(_bodies(signed_in)) == 1
    signed_in.arm("usage_limit_429", 1)
    other = ChatOnplan(model="gpt-6-sol")
    state = create_agent(model, [], middleware=[ModelFallbackMiddleware(other)]).invoke(_QUESTION)
    assert state["messages"][-1].response_metadata["model_name"] == "gpt-6-sol"


def test_summaries(model: ChatOnplan, signed_in: Emulator) -> None:
    """A share of the window is understood, since the profile says how large that is."""
    trigger = ("fraction", 0.00001)
    summarizing = SummarizationMiddleware(model=model, trigger=trigger, keep=("messages", 1))
    talk = [HumanMessage(f"{n} " * 50) for n in range(3)]
    state = create_agent(model, [], middleware=[summarizing]).invoke({"messages": talk})
    assert len(_bodies(signed_in)) == 2
    assert len(state["messages"]) < 4


# --- OpenAI's own class for ChatGPT plans ---------------------------------------------------------------


def _codex_model(emulator: Emulator, **options: Any) -> Any:
    """That class over a client that is led to the emulator, since its address cannot be set."""
    from langchain_openai.chat_models.codex import _ChatOpenAICodex

    def led(request: Any) -> None:
        target = httpx2.URL(emulator.codex_base_url)
        path = request.url.path.replace("/backend-api/codex", target.path)
        request.url = target.copy_with(path=path)
        request.headers["host"] = f"{target.host}:{target.port}"

    async def led_async(request: Any) -> None:
        led(request)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says of itself that it is experimental
        return _ChatOpenAICodex(
            model=MODEL,
            token_provider=ChatGPTTokenProvider(**options),
            http_client=httpx2.Client(event_hooks={"request": [led]}),
            http_async_client=httpx2.AsyncClient(event_hooks={"request": [led_async]}),
        )


async def test_a_token_provider_for_their_class(signed_in: Emulator) -> None:
    """It asks with onplan's sign-in; a token that has expired is refreshed once, by onplan."""
    settings = load_settings()
    signed_in.set_access_token_lifetime(1)
    store = open_store(settings.store)
    store.save(issued(signed_in.issue_tokens(), settings.issuer), store.load().version)
    signed_in.set_access_token_lifetime(3600)
    model = _codex_model(signed_in)
    answers = await asyncio.gather(*(model.ainvoke("one two") for _ in range(5)))
    assert [answer.text for answer in answers] == ["You said: one two"] * 5
    assert model.invoke("one two").text == "You said: one two"
    assert refreshes(signed_in) == 1
    await model.http_async_client.aclose()
    model.http_client.close()


async def test_the_token_provider(signed_in: Emulator) -> None:
    """A token, its end and account; never the refresh token, and none of it is printed."""
    provider = ChatGPTTokenProvider()
    token = provider.get_token()
    credentials = onplan.Client().credentials()
    assert token == await provider.aget_token()
    assert token.access_token == provider.get_access_token() == await provider.aget_access_token()
    assert token.access_token == credentials.access_token
    assert token.account_id == credentials.account_id
    assert token.expires_at > datetime.now(UTC)
    assert credentials.refresh_token not in (token.refresh_token, token.id_token)
    assert credentials.access_token not in repr(token) + repr(provider) + str(pickle.dumps(provider))


def test_the_token_provider_without_a_sign_in(emulator: Emulator) -> None:
    """It says what to type, as LangChain's authentication error."""
    from langchain_core.exceptions import ModelAuthenticationError

    with pytest.raises(ModelAuthenticationError, match="onplan login"):
        ChatGPTTokenProvider().get_token()


@pytest.mark.parametrize(
    "code", [code for code in pages.python_blocks("langchain.md") if "from langchain" in code]
)
def test_the_examples_run(signed_in: Emulator, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of docs/integrations/langchain.md that need agents, or OpenAI's class, which warns of itself."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    pages.run(code)
