"""The body of a streamed reply: what one turn hands out, read while it arrives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from onplan.async_client import Exchange
from onplan.dialects.served import ServedReply
from onplan.errors import OnplanError


class TurnPieces(ABC):
    """The pieces of one turn: one for each read, so that nothing waits.

    Args:
        exchange: carries the turn out; it is open, and is closed here.
        first: what it has handed out already.

    Attributes:
        error: what the turn failed with after its first piece, or None.
        reply: whose body this is, until it has ended; None for a reply that is not streamed.
    """

    def __init__(self, exchange: Exchange[Any], first: Sequence[Any]) -> None:
        self._exchange, self._first = exchange, first
        self._is_over = False
        self.error: OnplanError | None = None
        self.reply: ServedReply | None = None

    @abstractmethod
    def _encoded(self, chunks: Sequence[Any]) -> bytes:
        """The bytes of what is handed out."""

    @abstractmethod
    def _failed(self, error: OnplanError) -> bytes:
        """The bytes that tell a failure after the first piece."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        try:
            piece = await self._next()
        except OnplanError as error:
            await self.aclose()
            self.error = without_traceback(error)
            return self._failed(error)
        except BaseException:
            await self.aclose()
            raise
        if piece is None:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def _next(self) -> bytes | None:
        chunks: Sequence[Any] | None = self._first
        self._first = ()
        while not chunks:
            chunks = await self._exchange.advance()
            if chunks is None:
                return None
        return self._encoded(chunks)

    async def aclose(self) -> None:
        """End the turn, also at the backend if it has not ended."""
        self._is_over, self.reply = True, None  # which holds this
        await self._exchange.__aexit__(None, None, None)


async def begun(exchange: Exchange[Any]) -> Sequence[Any]:
    """The first that ``exchange`` hands out; it is closed if it fails, or is cancelled, before that."""
    try:
        return await exchange.advance() or ()
    except BaseException:
        await exchange.__aexit__(None, None, None)
        raise


def without_traceback(error: OnplanError) -> OnplanError:
    """The same error, which is told to a client and not raised again.

    A traceback holds frames, and one of them the error: until the collector looks, which it does rarely, that
    would keep all that had come of the answer.
    """
    each: BaseException | None = error
    while each is not None and each.__traceback__ is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
