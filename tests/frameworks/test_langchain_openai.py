"""LangChain's own class for OpenAI, whose clients are those of the drop-in."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import Any

import pytest

from onplan.emulator import Call as ToolCall
from onplan.emulator import Emulator, Turn
from onplan.integrations.openai import AsyncOpenAI, OpenAI

from . import asking, pages

openai = pytest.importorskip("openai")
langchain = pytest.importorskip("langchain_openai")
pydantic = pytest.importorskip("pydantic")

MODEL = "gpt-5.5"
APIS = pytest.mark.parametrize("model", [True, False], ids=["responses", "chat"], indirect=True)


@pytest.fixture
def model(request: pytest.FixtureRequest, signed_in: Emulator) -> Iterator[Any]:
    """``ChatOpenAI`` over clients of the drop-in, by either API."""
    with OpenAI(retry=1) as client:
        asynchronous = AsyncOpenAI(retry=1)
        yield langchain.ChatOpenAI(
            model=MODEL,
            use_responses_api=request.param,
            stream_usage=True,
            root_client=client,
            client=client.chat.completions,
            root_async_client=asynchronous,
            async_client=asynchronous.chat.completions,
        )


@APIS
def test_answers(model: Any) -> None:
    """Whole and streamed, by the synchronous and the asynchronous client, with their usage."""

    async def ask() -> tuple[Any, list[Any]]:
        async with model.root_async_client:
            return await model.ainvoke("one two"), [chunk async for chunk in model.astream("one two")]

    whole, chunks = model.invoke("one two"), list(model.stream("one two"))
    whole_later, chunks_later = asyncio.run(ask())

    for answer in (whole, whole_later):
        assert answer.text == "You said: one two"
        assert answer.usage_metadata["output_tokens"] > 0
    for pieces in (chunks, chunks_later):
        assert "".join(piece.text for piece in pieces) == "You said: one two"
        assert [piece.usage_metadata for piece in pieces if piece.usage_metadata]


@APIS
def test_tools(model: Any, signed_in: Emulator) -> None:
    """A call and its result; the second answer is told of the first."""
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    signed_in.play(Turn(tool_calls=[ToolCall("weather", {"city": "Oslo"})]), Turn(text="Take a coat."))
    with_tools = model.bind_tools([weather])
    history: list[Any] = [HumanMessage("A coat?")]
    asked = with_tools.invoke(history)
    result = weather.invoke(asked.tool_calls[0])
    answer = with_tools.invoke([*history, asked, result])

    assert asked.tool_calls[0]["args"] == {"city": "Oslo"}
    assert result.content == "rain in Oslo"
    assert answer.text == "Take a coat."


@APIS
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # langchain-openai 1.0
def test_typed_output(model: Any, method: str) -> None:
    """``with_structured_output`` gives objects of a pydantic class."""
    bird = pydantic.create_model("Bird", __doc__="A bird.", name=(str, ...), wingspan=(int, ...))

    assert isinstance(model.with_structured_output(bird, method=method).invoke("A bird"), bird)


@APIS
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"), [("usage_limit_429", "RateLimitError"), ("cut_mid_event", "APIError")]
)
def test_failures(model: Any, signed_in: Emulator, fault: str, error: str, stream: bool) -> None:
    """They are the SDK's errors, asked for once."""
    signed_in.arm(fault, 9)
    with pytest.raises(getattr(openai, error)):
        list(model.stream("one two")) if stream else model.invoke("one two")
    assert len(asking.asked(signed_in)) == 1


@APIS
def test_a_sign_in_that_ended(model: Any, signed_in: Emulator) -> None:
    """The SDK's AuthenticationError names the command that signs in."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(openai.AuthenticationError, match="onplan login"):
        model.invoke("x")


@APIS
def test_an_expired_token_is_refreshed_once(model: Any, signed_in: Emulator) -> None:
    """Twenty threads ask with a token that the backend refuses: all are answered, after one refresh."""
    signed_in.expire_access_tokens()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: model.invoke("one").text, range(20)))
    assert answers == ["You said: one"] * 20
    assert asking.refreshes(signed_in) == 1


def _block() -> str:
    return next(code for code in pages.python_blocks("openai.md") if "langchain" in code)


def test_the_example_runs(signed_in: Emulator) -> None:
    """That of docs/integrations/openai.md."""
    assert pages.run(_block()) == "You said: Name three birds\n"


@asking.forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
@pytest.mark.parametrize("asynchronous", [False, True])
@APIS
def test_beside_a_fork(model: Any, signed_in: Emulator, asynchronous: bool) -> None:
    """A model that was used before is the child's and the parent's."""

    def ask(question: str) -> str:
        answer = asyncio.run(model.ainvoke(question)) if asynchronous else model.invoke(question)
        return str(answer.text)

    asking.beside_a_fork(ask, signed_in)
