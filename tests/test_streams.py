"""What is read of a stream, given the chunks that arrive: the same for both kinds of client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

from onplan.errors import StreamError, StreamTruncatedError
from onplan.streams import AsyncCompletionStream, CompletionStream
from onplan.types import (
    CompletionResponse,
    Done,
    FinishReason,
    Message,
    PartDone,
    Resumed,
    StreamChunk,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Usage,
)

T = TypeVar("T")

RESPONSE: CompletionResponse[None] = CompletionResponse(
    Message.assistant("Hello"), Usage(), FinishReason.STOP, "m"
)
DONE = Done(RESPONSE.usage, RESPONSE.finish_reason, RESPONSE)
THOUGHT, SAID = Thinking("hm"), Text("Hel")


class Reading:
    """A stream of these chunks, read by the same steps whichever kind it is.

    Attributes:
        closed: whether the stream has closed what it reads from.
    """

    def __init__(self, kind: str, chunks: Sequence[StreamChunk]) -> None:
        self.closed = False
        self._is_async = kind == "async"
        self.stream: Any = (
            AsyncCompletionStream(self._arriving_later(chunks))
            if self._is_async
            else CompletionStream(self._arriving(chunks))
        )

    def _arriving(self, chunks: Sequence[StreamChunk]) -> Any:
        try:
            yield from chunks
        finally:
            self.closed = True

    async def _arriving_later(self, chunks: Sequence[StreamChunk]) -> Any:
        try:
            for chunk in chunks:
                yield chunk
        finally:
            self.closed = True

    async def chunks(self, count: int) -> list[StreamChunk]:
        """The next so many chunks, as they come out."""
        return [await anext(self.stream) if self._is_async else next(self.stream) for _ in range(count)]

    async def texts(self) -> list[str]:
        """What is left, as text."""
        return [text async for text in self.stream.text] if self._is_async else list(self.stream.text)

    async def first_text(self) -> str:
        """The next text, and nothing more."""
        text: str = await anext(self.stream.text) if self._is_async else next(self.stream.text)
        return text

    async def read(self) -> CompletionResponse[None]:
        """The answer, after all chunks."""
        response: CompletionResponse[None] = (
            await self.stream.read() if self._is_async else self.stream.read()
        )
        return response

    async def leave(self) -> None:
        """Enter and leave the stream by ``with``."""
        if self._is_async:
            async with self.stream as entered:
                assert entered is self.stream
        else:
            with self.stream as entered:
                assert entered is self.stream


@pytest.fixture(params=["sync", "async"])
def reading(request: pytest.FixtureRequest) -> Callable[..., Reading]:
    """``reading(chunk, …)``: a stream of these chunks."""
    return lambda *chunks: Reading(request.param, chunks)


async def test_texts_are_those_of_the_answer(reading: Callable[..., Reading]) -> None:
    """Thinking, ends of parts and empty texts are left out; the response is there afterwards."""
    chunks = (ThinkingDelta("hm"), PartDone(THOUGHT), TextDelta("Hel"), TextDelta(""), TextDelta("lo"))
    stream = reading(*chunks, PartDone(Text("Hello")), DONE)

    assert await stream.texts() == ["Hel", "lo"]
    assert stream.stream.response is RESPONSE
    assert await stream.read() is RESPONSE


async def test_chunks_are_handed_on(reading: Callable[..., Reading]) -> None:
    """Each is the one that arrived."""
    chunks = [TextDelta("Hello"), PartDone(Text("Hello")), DONE]

    assert await reading(*chunks).chunks(3) == chunks


@pytest.mark.parametrize(
    ("chunks", "parts"),
    [
        ([], []),
        ([TextDelta("Hel")], []),
        ([PartDone(THOUGHT), TextDelta("Hel")], [THOUGHT]),
        ([PartDone(THOUGHT), PartDone(SAID), Resumed([SAID]), TextDelta("lo")], [SAID]),
    ],
    ids=["nothing", "a piece", "a part", "a resumption"],
)
async def test_before_its_end_there_is_no_answer(
    reading: Callable[..., Reading], chunks: list[StreamChunk], parts: list[Any]
) -> None:
    """The error holds the parts that are finished, those of a resumption in place of earlier ones."""
    stream = reading(*chunks)
    await stream.chunks(len(chunks))

    with pytest.raises(StreamError) as caught:
        _ = stream.stream.response
    assert caught.value.parts == parts
    assert "stream.read()" in str(caught.value.hint)


RESUMED = Resumed([])


@pytest.mark.parametrize(
    ("chunks", "texts"),
    [
        ([PartDone(THOUGHT), RESUMED, TextDelta("Hello"), DONE], ["Hello"]),
        ([TextDelta("Hel"), PartDone(SAID), Resumed([SAID]), TextDelta("lo"), DONE], ["Hel", "lo"]),
        ([TextDelta("Hel"), PartDone(SAID), PartDone(THOUGHT), RESUMED, DONE], ["Hel"]),
        ([TextDelta("Hel"), RESUMED, TextDelta("Hello"), DONE], None),
        ([TextDelta("Hel"), PartDone(THOUGHT), RESUMED, DONE], None),
        ([TextDelta("Hel"), PartDone(SAID), TextDelta("lo"), RESUMED, DONE], None),
    ],
    ids=[
        "before any text",
        "after a finished text",
        "after a finished text and more",
        "within a text",
        "within a text, after thinking",
        "within the next text",
    ],
)
async def test_a_text_that_was_given_cannot_be_taken_back(
    reading: Callable[..., Reading], chunks: list[StreamChunk], texts: list[str] | None
) -> None:
    """A resumption within a text is an error for one who reads texts; between texts it is not seen."""
    stream = reading(*chunks)
    if texts is not None:
        assert await stream.texts() == texts
        return
    with pytest.raises(StreamTruncatedError) as caught:
        await stream.texts()
    assert "resumed" in str(caught.value.hint)


async def test_what_was_finished_before_the_break_comes_with_the_error(
    reading: Callable[..., Reading],
) -> None:
    """The parts that a resumed answer keeps."""
    stream = reading(TextDelta("Hel"), Resumed([THOUGHT]), DONE)

    with pytest.raises(StreamTruncatedError) as caught:
        await stream.texts()
    assert caught.value.parts == [THOUGHT]


async def test_text_that_was_read_as_a_chunk_is_not_taken_back_either(
    reading: Callable[..., Reading],
) -> None:
    """Chunks begin a text, too; a resumption that was read as a chunk has been seen."""
    stream = reading(TextDelta("Hel"), RESUMED, TextDelta("Hello"), DONE)
    await stream.chunks(1)
    with pytest.raises(StreamTruncatedError):
        await stream.first_text()

    stream = reading(TextDelta("Hel"), RESUMED, TextDelta("Hello"), DONE)
    await stream.chunks(2)
    assert await stream.texts() == ["Hello"]


async def test_leaving_closes_what_is_read_from(reading: Callable[..., Reading]) -> None:
    """An answer that has begun is given up; nothing more comes, and there is no response."""
    stream = reading(TextDelta("Hel"), DONE)
    assert await stream.first_text() == "Hel"
    await stream.leave()

    assert stream.closed
    assert await stream.texts() == []


def test_aclose_is_another_name() -> None:
    """The one that ``contextlib.aclosing`` calls."""
    stream = Reading("async", [TextDelta("Hel"), DONE])

    async def close() -> None:
        await stream.chunks(1)
        await stream.stream.aclose()

    asyncio.run(close())
    assert stream.closed
