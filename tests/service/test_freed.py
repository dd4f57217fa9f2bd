"""What came of an answer is freed when the answer has ended: the collector of the server looks rarely."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest

import onplan
from onplan.dialects.served import ServedRequest
from onplan.responses.stream import ResponseStream
from onplan.service import Service
from onplan.stores import Record
from onplan.stores.memory import MemoryStore

from ..conftest import eventually, use_http
from ..dialects.openai_responses.streams import Event, encoded, whole_stream

FAILED: Event = {
    "type": "response.failed",
    "response": {"status": "failed", "error": {"code": "server_error"}},
}
# What follows the beginning of an answer; None if the backend says nothing more, and the client leaves.
ENDINGS: dict[str, Event | bytes | None] = {
    "the client leaves": None,
    "it breaks off": b"",
    "it is cut within an event": b'data: {"type":',
    "it fails": FAILED,
    "it is damaged": {"type": "response.output_text.delta", "delta": 5},
}
BODIES: dict[str, Any] = {
    "/v1/responses": {"input": "hi"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
}


@contextmanager
def without_collector() -> Iterator[None]:
    """Only what nothing refers to is freed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def streams() -> int:
    return sum(isinstance(each, ResponseStream) for each in gc.get_objects())


@pytest.mark.parametrize(
    ("http", "path", "stream"),
    [
        *[("httptools", path, stream) for path in BODIES for stream in (True, False)],
        *[(http, "/v1/responses", False) for http in ("aiohttp", "httpx2")],
    ],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_answer_waits_for_the_collector(
    http: str, path: str, ending: str, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """However it ended, in either dialect."""
    use_http(http, monkeypatch)
    last = ENDINGS[ending]
    payload = b"data: %b\n\n" % encoded([last])[0] if isinstance(last, dict) else last
    has_begun = asyncio.Event()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        writer.write(b"".join(b"data: %b\n\n" % each for each in encoded(whole_stream()[:12])))
        await writer.drain()
        has_begun.set()
        if payload is None:
            await reader.read()
        else:
            writer.write(payload)
        writer.close()

    async def ask(service: Service) -> None:
        body = msgspec.json.encode({"model": "gpt-5.5", "stream": stream, **BODIES[path]})
        reply = await service.answer(ServedRequest("POST", path, body=body))
        if not isinstance(reply.body, bytes):
            async for _ in reply.body:
                pass

    async def main() -> None:
        server = await asyncio.start_server(backend, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="token")))
        options: dict[str, Any] = {"base_url": f"http://127.0.0.1:{port}", "transport": "sse", "retry": 1}
        async with server, onplan.AsyncClient(store=store, **options) as client:
            asking = asyncio.create_task(ask(Service(client)))
            await has_begun.wait()
            if payload is None:
                assert await asyncio.to_thread(eventually, streams)
                asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            del asking
            assert await asyncio.to_thread(eventually, lambda: not streams())

    with without_collector():
        asyncio.run(asyncio.wait_for(main(), 60))
