"""``client.stream``: chunks, texts and the whole answer of one stream, over every transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import onplan
from onplan import CompletionRequest, RetryPolicy
from onplan.emulator import Emulator

ASKED = CompletionRequest(messages="one two three", model="gpt-5.5", reasoning_effort="low")
SAID = "You said: one two three"


class Steps:
    """Reads a stream in steps, each of which gives an outcome or an error of onplan's."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def take(self, *steps: str) -> list[Any]:
        if isinstance(self._client, onplan.AsyncClient):
            async with self._client, self._client.stream(ASKED) as stream:
                return [await self._outcome(getattr(self, f"_await_{step}"), stream) for step in steps]
        with self._client, self._client.stream(ASKED) as stream:
            return [await self._outcome(getattr(self, f"_{step}"), stream) for step in steps]

    async def _outcome(self, step: Callable[[Any], Any], stream: Any) -> Any:
        try:
            outcome = step(stream)
            return await outcome if asyncio.iscoroutine(outcome) else outcome
        except onplan.OnplanError as error:
            return error

    def _chunk(self, stream: onplan.CompletionStream) -> Any:
        return next(stream)

    def _chunks(self, stream: onplan.CompletionStream) -> Any:
        return list(stream)

    def _text(self, stream: onplan.CompletionStream) -> Any:
        return next(stream.text)

    def _texts(self, stream: onplan.CompletionStream) -> Any:
        return list(stream.text)

    def _read(self, stream: onplan.CompletionStream) -> Any:
        return stream.read()

    def _response(self, stream: onplan.CompletionStream) -> Any:
        return stream.response

    def _close(self, stream: onplan.CompletionStream) -> Any:
        return stream.close()

    async def _await_chunk(self, stream: onplan.AsyncCompletionStream) -> Any:
        return await anext(stream)

    async def _await_chunks(self, stream: onplan.AsyncCompletionStream) -> Any:
        return [chunk async for chunk in stream]

    async def _await_text(self, stream: onplan.AsyncCompletionStream) -> Any:
        return await anext(aiter(stream.text))

    async def _await_texts(self, stream: onplan.AsyncCompletionStream) -> Any:
        return [text async for text in stream.text]

    async def _await_read(self, stream: onplan.AsyncCompletionStream) -> Any:
        return await stream.read()

    async def _await_response(self, stream: onplan.AsyncCompletionStream) -> Any:
        return stream.response

    async def _await_close(self, stream: onplan.AsyncCompletionStream) -> Any:
        return await stream.close()


@pytest.fixture
def take(driver: Any) -> Callable[..., list[Any]]:
    """``take("text", "response")``: the outcomes of these steps with a stream."""

    def run(*steps: str, **options: Any) -> list[Any]:
        return asyncio.run(Steps(driver(**options).client()).take(*steps))

    return run


def test_the_texts_and_then_the_answer(signed_in: Emulator, take: Any) -> None:
    """The joined texts are the answer's text; the response has the usage and everything else."""
    texts, response, again = take("texts", "response", "read")

    assert "".join(texts) == SAID == response.text
    assert len(texts) > 1
    assert all(texts)
    assert response.usage.total_tokens
    assert again is response


def test_the_chunks_are_those_of_complete_stream(signed_in: Emulator, take: Any, driver: Any) -> None:
    """One ``done``, last, with the response."""
    chunks, response = take("chunks", "response")

    assert [chunk.type for chunk in chunks] == [chunk.type for chunk in driver().chunks(ASKED)]
    assert chunks[-1].response is response


def test_one_stream_is_read_in_several_ways(signed_in: Emulator, take: Any) -> None:
    """What was read in one way does not come again in another."""
    first, text, texts, rest = take("chunk", "text", "texts", "chunks")

    assert first.type == "thinking"
    assert text + "".join(texts) == SAID
    assert rest == []


def test_the_rest_is_read_on_demand(signed_in: Emulator, take: Any) -> None:
    """``read`` gives the whole answer, whatever was read before."""
    text, response = take("text", "read")

    assert SAID.startswith(text)
    assert response.text == SAID


@pytest.mark.parametrize("before", [(), ("chunk",), ("text",), ("text", "close")])
def test_the_answer_is_not_there_before_its_end(
    signed_in: Emulator, take: Any, before: tuple[str, ...]
) -> None:
    """An error says how to get it, and holds what is finished."""
    *_, error = take(*before, "response")

    assert isinstance(error, onplan.StreamError)
    assert "stream.read()" in error.hint
    assert [part.type for part in error.parts] == (["thinking"] if "text" in before else [])


def test_nothing_is_sent_before_it_is_read(signed_in: Emulator, take: Any) -> None:
    """A stream that is closed at once asks nothing."""
    assert take("close", "chunks", "texts") == [None, [], []]
    assert [row for row in signed_in.journal() if row["path"].endswith("/responses")] == []


def test_a_failure_is_raised_where_it_is_read(signed_in: Emulator, take: Any) -> None:
    """After the texts before it; then there is no response, either."""
    signed_in.arm("response_failed_after_text", times=1)
    text, error, missing = take("text", "texts", "response")

    assert SAID.startswith(text)
    assert isinstance(error, onplan.ServerError)
    assert isinstance(missing, onplan.StreamError)


def test_a_text_that_was_given_is_not_taken_back(signed_in: Emulator, take: Any) -> None:
    """With ``resume``, chunks say what to discard; but a break within a text is an error."""
    signed_in.arm("response_failed_after_text", times=1)
    quick = RetryPolicy(attempts=3, wait_initial=0.01)
    text, error = take("text", "texts", resume=True, retry=quick)

    assert text
    assert isinstance(error, onplan.StreamTruncatedError)
    assert "resumed" in error.hint
    assert [part.type for part in error.parts] == ["thinking"]


@pytest.mark.parametrize("fault", ["eof_without_terminal", "cut_mid_event"])
def test_finished_texts_go_on(signed_in: Emulator, take: Any, fault: str) -> None:
    """Where a break comes after a finished text, or before it, the texts of the resumed answer follow."""
    signed_in.arm(fault, times=1)
    quick = RetryPolicy(attempts=3, wait_initial=0.01)
    texts, response = take("texts", "response", resume=True, retry=quick)

    assert "".join(texts) == response.text


def test_leaving_early_closes_the_connection(emulator: Emulator, far: Any, ended: Any) -> None:
    """The server sees the client leave when the ``with`` is left, while the client stays open."""
    emulator.arm("stall", times=1)
    with onplan.Client(store=far.store(), base_url=emulator.codex_base_url) as client:
        with client.stream(ASKED) as stream:
            assert next(stream)
        ended(emulator)


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_leaving_early_closes_the_connection_of_an_event_loop(
    emulator: Emulator, far: Any, ended: Any, transport: Any
) -> None:
    """The same for the asynchronous client, over HTTP and over a WebSocket."""
    emulator.arm("stall", times=1)
    async with onplan.AsyncClient(
        store=far.store(), base_url=emulator.codex_base_url, transport=transport
    ) as client:
        async with client.stream(ASKED) as stream:
            assert await anext(stream)
        await asyncio.to_thread(ended, emulator)
