"""Read streams in a process of its own, and say what that cost: `python -m bench.readers NAME STREAMS`.

Prints JSON: events read, CPU seconds and wall seconds while reading, resident megabytes at the end. The
emulator's address and the credential come through the environment, as for any application.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import onplan
from onplan.types import OAuthCredentials

MODEL, PROMPT = "gpt-5.5", "hi"
Read = Callable[[], Awaitable[int]]


async def read_onplan(measure: Callable[[Read], Awaitable[None]]) -> None:
    """Through ``AsyncClient``."""
    async with onplan.AsyncClient() as client:

        async def read() -> int:
            chunks = 0
            async for _ in client.complete_stream(onplan.CompletionRequest(messages=PROMPT, model=MODEL)):
                chunks += 1
            return chunks

        await measure(read)


async def read_openai(measure: Callable[[Read], Awaitable[None]]) -> None:
    """Through the openai SDK's ``AsyncOpenAI.responses``."""
    from openai import AsyncOpenAI

    credentials, base_url = _target()
    async with AsyncOpenAI(
        api_key=credentials.access_token,
        base_url=base_url,
        default_headers={"chatgpt-account-id": str(credentials.account_id)},
    ) as client:

        async def read() -> int:
            events = 0
            stream = await client.responses.create(
                model=MODEL, input=[{"role": "user", "content": PROMPT}], store=False, stream=True
            )
            async for _ in stream:
                events += 1
            return events

        await measure(read)


async def read_bytes(measure: Callable[[Read], Awaitable[None]]) -> None:
    """Receive the bytes and look at nothing: what the machine itself costs."""
    credentials, base_url = _target()
    place = urlsplit(base_url)
    body = json.dumps(
        {
            "model": MODEL,
            "stream": True,
            "store": False,
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": PROMPT}]}
            ],
        }
    )
    head = (
        f"POST {place.path}/responses HTTP/1.1\r\nhost: {place.netloc}\r\nconnection: close\r\n"
        f"authorization: Bearer {credentials.access_token}\r\n"
        f"chatgpt-account-id: {credentials.account_id}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    async def read() -> int:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write((head + body).encode())
        events = 0
        while data := await reader.read(65_536):
            events += data.count(b"\ndata:")
        writer.close()
        return events

    await measure(read)


READERS = {"onplan": read_onplan, "openai": read_openai, "bytes": read_bytes}


def _target() -> tuple[OAuthCredentials, str]:
    with onplan.Client() as client:
        return client.credentials(), client.settings.base_url


def main() -> None:
    """Warm up with one stream, then measure."""
    name, streams = sys.argv[1], int(sys.argv[2])

    async def measure(read: Read) -> None:
        await read()
        cpu, wall = time.process_time(), time.perf_counter()
        events = 0
        for _ in range(streams):
            events += await read()
        result = {
            "events": events,
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(json.dumps(result))

    asyncio.run(READERS[name](measure))


if __name__ == "__main__":
    main()
