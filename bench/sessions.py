"""What an open WebSocket is worth at a distance: time to the first chunk, and bytes sent, turn after turn.

`python -m bench.sessions`. Between client and emulator stands a proxy on loopback that keeps every byte for a
while in each direction, answers a new connection only after both, and counts what it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2

import onplan
from bench.tables import Table
from onplan.emulator import Emulator, Options
from onplan.stores import Record
from onplan.stores.memory import MemoryStore

DELAY = 0.04  # seconds, each way
ROUNDS, TURNS = 3, 11
SENTENCE = "and so on, and so forth, as people write to each other when they work; "

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Proxy:
    """Carries bytes to a port of this machine and back, `delay` seconds late. `sent` is what it was sent."""

    def __init__(self, port: int, delay: float = 0.0) -> None:
        self._port, self._delay = port, delay
        self._serving: set[asyncio.Task[None]] = set()
        self.sent = 0

    async def accept(self, reader: Reader, writer: Writer) -> None:
        """Join a connection with one of its own."""
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        await asyncio.sleep(2 * self._delay)  # the handshake's way there and back
        there = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._carry(reader, there[1], counts=True), self._carry(there[0], writer))

    async def _carry(self, reader: Reader, writer: Writer, *, counts: bool = False) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.sent += len(data) if counts else 0
                loop.call_later(self._delay, writer.write, data)
        loop.call_later(self._delay, writer.close)

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """Its port."""
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0, ssl=context)
        yield server.sockets[0].getsockname()[1]
        server.close()
        await asyncio.wait(self._serving, timeout=1)
        await asyncio.sleep(2 * self._delay)  # what is still on its way


@asynccontextmanager
async def distant(emulator: Emulator, folder: Path) -> AsyncIterator[tuple[str, Proxy]]:
    """The emulator's address at a distance, behind TLS; its certificate is kept in the folder."""
    place = urlsplit(emulator.codex_base_url)
    async with Proxy(place.port or 0).listening(certificate(folder)) as secured:
        distance = Proxy(secured, DELAY)
        async with distance.listening() as port:
            yield f"https://127.0.0.1:{port}{place.path}", distance


def certificate(folder: Path) -> ssl.SSLContext:
    """For 127.0.0.1, signed by itself, and trusted by this process from now on."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, *form) + signed.public_bytes(pem))
    os.environ["SSL_CERT_FILE"] = str(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def converse(
    client: onplan.AsyncClient, distance: Proxy, *, prewarmed: bool = False
) -> list[tuple[float, int]]:
    """A conversation: for each turn the milliseconds to its first chunk, and the bytes sent."""
    messages = [onplan.Message.system("Be brief.")]
    options = {"model": "gpt-5.5", "session_id": "bench"}
    if prewarmed:
        await client.prewarm(onplan.CompletionRequest(messages=messages, **options))
    turns = []
    for turn in range(TURNS):
        messages.append(onplan.Message.user(f"{turn}: {SENTENCE * 6}"))
        before, began, first = distance.sent, time.perf_counter(), 0.0
        async for chunk in client.complete_stream(onplan.CompletionRequest(messages=messages, **options)):
            first = first or time.perf_counter() - began
            if chunk.type == "done":
                messages.append(chunk.response.message)
        turns.append((1000 * first, distance.sent - before))
    return turns


async def measure(emulator: Emulator, way: str, folder: Path) -> list[tuple[float, int]]:
    """The median of some conversations, turn by turn."""
    token = emulator.issue_tokens()["access_token"]
    account = emulator.world.scenario.account_id
    record = Record(credentials=onplan.OAuthCredentials(access_token=token, account_id=account))
    rounds = []
    async with distant(emulator, folder) as (base_url, distance):
        for _ in range(ROUNDS):
            options: dict[str, Any] = {"base_url": base_url, "store": MemoryStore(record=record)}
            async with contextlib.AsyncExitStack() as stack:
                if way == ALWAYS_NEW:
                    connector = aiohttp.TCPConnector(force_close=True, ssl=httpx2.create_ssl_context())
                    session = aiohttp.ClientSession(connector=connector)
                    options["http_client"] = await stack.enter_async_context(session)
                options["transport"] = "websocket" if "WebSocket" in way else "sse"
                client = await stack.enter_async_context(onplan.AsyncClient(**options))
                rounds.append(await converse(client, distance, prewarmed="prewarmed" in way))
    return [
        (statistics.median(ms for ms, _ in turn), int(statistics.median(size for _, size in turn)))
        for turn in zip(*rounds, strict=True)
    ]


ALWAYS_NEW = "SSE, a connection for each turn"
WAYS = (ALWAYS_NEW, "SSE, one kept open", "WebSocket", "WebSocket, prewarmed")


def table() -> Table:
    """Turn by turn, against a connection for each."""
    with Emulator(Options()) as emulator, tempfile.TemporaryDirectory() as folder:
        os.environ["ONPLAN_ISSUER"] = emulator.issuer  # whose tokens these are
        found = {way: asyncio.run(measure(emulator, way, Path(folder))) for way in WAYS}
    reference = found[ALWAYS_NEW]
    rows = [
        (
            way,
            f"{turns[0][0]:.0f}",
            f"{turns[1][0]:.0f}",
            f"{turns[1][0] / reference[1][0]:.2f}",
            f"{turns[-1][1]:,}",
            f"{turns[-1][1] / reference[-1][1]:.2f}",
        )
        for way, turns in found.items()
    ]
    columns = ("way", "turn 1", "turn 2", "ratio", f"bytes sent in turn {TURNS}", "ratio")
    note = f"TLS. Median of {ROUNDS} conversations."
    return Table(f"ms to the first chunk, {1000 * DELAY:.0f} ms away each way", columns, rows, [note])


if __name__ == "__main__":
    print(table().as_text())
