"""Does ``onplan serve`` stay flat? 10,000 requests in both dialects, and 2,000 streams that clients leave."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.clients import MODEL
from bench.processes import resident_megabytes
from bench.tables import Table
from bench.upstream import ROOT, Upstream, upstream

AT_ONCE, DELTAS, REST = 20, 20, 3.0  # clients, pieces of text, seconds
_BLOCKS = (  # how many requests, and whether their clients leave
    (500, False),
    (3_000, False),
    (1_000, True),
    (3_000, False),
    (1_000, True),
    (4_000, False),
)
_GAUGES = re.compile(r"^onplan_(requests_running|requests_waiting|streams) ([0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Served:
    """A running server."""

    pid: int
    host: str
    port: int
    key: str

    def state(self) -> tuple[float, int, int]:
        """Megabytes that are resident, open descriptors, and what is running, waiting or streamed."""
        request = urllib.request.Request(
            f"http://{self.host}:{self.port}/metrics", headers={"authorization": f"Bearer {self.key}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as page:
            gauges = _GAUGES.findall(page.read().decode())
        descriptors = sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())
        return resident_megabytes(self.pid), descriptors, int(sum(float(value) for _, value in gauges))

    def request(self, number: int, *, streams: bool) -> bytes:
        """One of four kinds: each dialect, whole and streamed."""
        text, stream = f"question {number}", streams or number % 2 == 0
        path, asked = (
            ("/v1/responses", {"input": text})
            if number % 4 < 2
            else ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]})
        )
        body = json.dumps({"model": MODEL, "stream": stream, **asked}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode() + body


async def _asked(served: Served, number: int, leave_after: int | None) -> bool:
    """Ask once; whether it was answered with 200. ``leave_after``: bytes after which the client is gone."""
    reader, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(served.request(number, streams=leave_after is not None))
    received = b""
    try:
        while leave_after is None or len(received) < leave_after:
            piece = await asyncio.wait_for(reader.read(65_536), 60)
            if not piece:
                break
            received += piece
    finally:
        writer.transport.abort()
    return leave_after is not None or received.startswith(b"HTTP/1.1 200")


async def _block(served: Served, count: int, *, leaving: bool) -> int:
    """Ask ``count`` times, a few at once; how many failed."""
    numbers, chance, failed = iter(range(count)), random.Random(count), 0

    async def client() -> None:
        nonlocal failed
        for number in numbers:
            failed += not await _asked(served, number, chance.randrange(2_500) if leaving else None)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return failed


@contextmanager
def _serving(folder: Path, target: Upstream) -> Iterator[Served]:
    ready, home = folder / "serving.json", Path(target.environment["ONPLAN_HOME"])
    command = [sys.executable, "-m", "onplan", "serve", "--port", "0", "--ready-file", str(ready)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=target.environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError("onplan serve ended")
            time.sleep(0.05)
        address = urlsplit(json.loads(ready.read_bytes())["url"])
        key = (home / "server-key").read_text().strip()
        yield Served(process.pid, address.hostname or "", address.port or 0, key)
    finally:
        process.terminate()
        process.wait(60)


def table(folder: Path, *, quick: bool = False) -> Table:
    """What is resident and open after each block. ``quick``: a tenth of the requests."""
    rows = []
    with upstream(folder, "serving", DELTAS) as target, _serving(folder, target) as served:

        def add(after: str, failed: int) -> None:
            resident, descriptors, running = served.state()
            rows.append((after, f"{resident:.0f}", str(descriptors), str(running), str(failed)))

        for whole, leaving in _BLOCKS:
            count = whole // 10 if quick else whole
            failed = asyncio.run(_block(served, count, leaving=leaving))
            add(f"{count:,} {'that clients leave' if leaving else 'requests'}", failed)
        time.sleep(REST)
        add(f"{REST:.0f} s of rest", 0)
    note = f"{AT_ONCE} clients at once. The page with the figures is a request itself."
    columns = ("onplan serve, after", "MB resident", "descriptors", "running", "failed")
    return Table("Requests and streams that clients leave", columns, rows, [note])
