"""Answers that are read while they arrive: what ``stream`` of the two clients returns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Generic, Self

from onplan.errors import StreamError, StreamTruncatedError
from onplan.types import CompletionResponse, ContentPart, Done, PartDone, Resumed, StreamChunk, TextDelta
from onplan.types.answer import T_co


class _Reading(Generic[T_co]):
    """What has been read so far of one answer."""

    def __init__(self) -> None:
        self._response: CompletionResponse[T_co] | None = None
        self._parts: list[ContentPart] = []
        self._loose = False  # whether there was text that no finished part has yet

    @property
    def response(self) -> CompletionResponse[T_co]:
        """The whole answer, once its last chunk was read.

        Raises StreamError before that, with the ``parts`` that are finished.
        """
        if self._response is None:
            error = StreamError(
                "The answer was not read to its end.",
                hint="Iterate over the stream until it ends, or have the rest read by `stream.read()`.",
            )
            error.parts = list(self._parts)
            raise error
        return self._response

    def _note(self, chunk: StreamChunk) -> None:
        match chunk:
            case TextDelta():
                self._loose = True
            case PartDone(part=part):
                self._parts.append(part)
                self._loose = self._loose and part.type != "text"
            case Resumed(parts=parts):
                self._parts, self._loose = list(parts), False
            case Done(response=response):
                self._response = response

    def _text_of(self, chunk: StreamChunk, *, loose: bool) -> str:
        """The text of ``chunk``, maybe none.

        Raises StreamTruncatedError at a resumption after ``loose`` text, which would have to be taken back.
        """
        if isinstance(chunk, Resumed) and loose:
            error = StreamTruncatedError(
                "The connection broke in the middle of a text, which a resumed answer begins anew.",
                hint="Read the chunks of the stream: `resumed` says what to discard.",
            )
            error.parts = list(self._parts)
            raise error
        return chunk.text if isinstance(chunk, TextDelta) else ""


class CompletionStream(_Reading[T_co]):
    """An answer that is read while it arrives; use it with ``with``, which closes the connection.

    Iterate over it for the chunks, or over ``text`` for the text alone. Nothing is sent before the first
    chunk is asked for. Errors are raised while reading.
    """

    def __init__(self, chunks: Generator[StreamChunk]) -> None:
        super().__init__()
        self._chunks = chunks

    @property
    def text(self) -> Iterator[str]:
        """The pieces of the answer's text, as they arrive."""
        loose = self._loose
        for chunk in self:
            if text := self._text_of(chunk, loose=loose):
                yield text
            loose = self._loose

    def read(self) -> CompletionResponse[T_co]:
        """Read what is left, and return the whole answer."""
        for _ in self:
            pass
        return self.response

    def close(self) -> None:
        """Stop reading. An answer that has not ended yet is given up, and its connection closed."""
        self._chunks.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamChunk:
        chunk = next(self._chunks)
        self._note(chunk)
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncCompletionStream(_Reading[T_co]):
    """An answer that is read while it arrives; use it with ``async with``, which closes the connection.

    Iterate over it for the chunks, or over ``text`` for the text alone. Nothing is sent before the first
    chunk is asked for. Errors are raised while reading.
    """

    def __init__(self, chunks: AsyncGenerator[StreamChunk]) -> None:
        super().__init__()
        self._chunks = chunks

    @property
    async def text(self) -> AsyncIterator[str]:
        """The pieces of the answer's text, as they arrive."""
        loose = self._loose
        async for chunk in self:
            if text := self._text_of(chunk, loose=loose):
                yield text
            loose = self._loose

    async def read(self) -> CompletionResponse[T_co]:
        """Read what is left, and return the whole answer."""
        async for _ in self:
            pass
        return self.response

    async def close(self) -> None:
        """Stop reading. An answer that has not ended yet is given up, and its connection closed."""
        await self._chunks.aclose()

    aclose = close

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamChunk:
        chunk = await anext(self._chunks)
        self._note(chunk)
        return chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
