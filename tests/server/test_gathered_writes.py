"""The beginning of a reply is written at once, and nothing else is held back."""

import asyncio

from onplan.server.gathered_writes import GatheredWrites

HEAD, PIECE, END = b"HTTP/1.1 200 OK\r\n\r\n", b"5\r\npiece\r\n", b"0\r\n\r\n"


class _Written(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


def test_a_short_reply_is_one_write() -> None:
    """A head, and the pieces that follow before the loop has its turn, go out together."""
    written = _Written()

    async def reply() -> None:
        transport = GatheredWrites(written, asyncio.get_running_loop())
        for data in (HEAD, PIECE, END):
            transport.write(data)
        await asyncio.sleep(0)
        transport.write(HEAD)  # of the next reply on this connection
        transport.write(PIECE)
        await asyncio.sleep(0)

    asyncio.run(reply())
    assert written.writes == [HEAD + PIECE + END, HEAD + PIECE]


def test_later_pieces_are_written_when_they_come() -> None:
    """Once the head is out, a piece waits for nothing."""
    written = _Written()

    async def reply() -> None:
        transport = GatheredWrites(written, asyncio.get_running_loop())
        transport.write(HEAD)
        await asyncio.sleep(0)
        for _ in range(2):
            transport.write(PIECE)
        assert written.writes == [HEAD, PIECE, PIECE]

    asyncio.run(reply())


def test_what_is_gathered_goes_out_before_the_end() -> None:
    """Closing writes what is kept; a transport that was closed otherwise is not written to."""
    closed, lost = _Written(), _Written()

    async def replies() -> None:
        loop = asyncio.get_running_loop()
        for written in (closed, lost):
            transport = GatheredWrites(written, loop)
            transport.write(HEAD)
            if written is closed:
                transport.close()
            else:
                lost.close()
        await asyncio.sleep(0)

    asyncio.run(replies())
    assert closed.writes == [HEAD]
    assert lost.writes == []


def test_a_large_beginning_is_not_kept() -> None:
    """What goes beyond 64 KiB is written at once, so that the transport can say that the client is slow."""
    written, piece = _Written(), b"x" * 40_000

    async def reply() -> None:
        transport = GatheredWrites(written, asyncio.get_running_loop())
        transport.write(HEAD)
        transport.write(piece)
        assert written.writes == []
        transport.write(piece)
        assert written.writes == [HEAD + piece + piece]
        transport.write(PIECE)
        assert written.writes[-1] == PIECE

    asyncio.run(reply())
