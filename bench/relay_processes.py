"""The processes that measuring relays takes: the upstream, the clients, the relays themselves."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.clients import BODY
from bench.playback import MARK, RELEASE, delta_text
from bench.processes import cpu_seconds
from bench.relays import PATHS, Command, Place, request
from bench.upstream import ROOT, Upstream

DELTAS = 20
AT_ONCE = "play at once"
TERMINALS = {"responses": "response.completed", "chat": "[DONE]"}
ANSWERS_WITHIN, IDLE_WITHIN = 90.0, 10.0  # seconds
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class FailedError(Exception):
    """A relay that does not do what is measured. Its sentence stands below the tables."""


def free_port() -> int:
    """One that nothing listens on, below those that the system gives to whoever asks for any."""
    while True:
        port = random.randrange(10_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Load:
    """The process that plays the clients."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, what: str, seconds: float, **command: Any) -> dict[str, Any]:
        """See bench/load.py."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, "seconds": seconds, **command}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("bench.load ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)


@dataclass
class Running:
    """A relay that was started, or the upstream itself.

    Attributes:
        pid: of its process.
        marks: how often the mark of a delta stands in a whole short answer, by dialect.
    """

    name: str
    label: str
    port: int
    key: str
    paths: dict[str, str]
    pid: int
    marks: dict[str, int] = field(default_factory=dict)

    def target(self, dialect: str, prompt: str) -> dict[str, Any]:
        """For bench/load.py."""
        return {
            "port": self.port,
            "request": request(self.paths[dialect], self.port, self.key, prompt),
            "terminal": TERMINALS["chat" if self.paths[dialect] == PATHS["chat"] else "responses"],
            "marks": self.marks[dialect] if prompt == AT_ONCE else 0,
        }

    def check(self, dialect: str) -> None:
        """Ask once. Raises FailedError unless the whole text came and the stream ended."""
        path = self.paths[dialect]
        head, _, body = request(path, self.port, self.key, AT_ONCE).partition("\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:])
        del fields["accept-encoding"]
        question = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body.encode(), fields)
        try:
            with _OPENER.open(question, timeout=30) as response:
                answer = response.read().decode()
        except OSError as error:
            words = error.read()[:200].decode() if isinstance(error, urllib.request.HTTPError) else ""
            raise FailedError(f"{error} {words}".strip()) from None
        text = "".join(deltas(dialect, answer))
        if text != "".join(map(delta_text, range(DELTAS))) or TERMINALS[dialect] not in answer:
            raise FailedError(f"it gave {text!r} and ended with {answer[-80:]!r}")
        self.marks[dialect] = answer.count(MARK)

    def wait_until_idle(self) -> None:
        """A relay that could not keep up is still busy: the next one is not to suffer from it."""
        until = time.monotonic() + IDLE_WITHIN
        while time.monotonic() < until:
            before = cpu_seconds(self.pid)
            time.sleep(0.2)
            if cpu_seconds(self.pid) - before <= 0.02:
                return


def deltas(dialect: str, answer: str) -> Iterator[str]:
    """The pieces of text in the body of a stream."""
    for line in answer.splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        if dialect == "responses":
            if event["type"] == "response.output_text.delta":
                yield event["delta"]
        elif event.get("choices"):
            yield event["choices"][0]["delta"].get("content") or ""


def recorded(target: Upstream, folder: Path) -> Path:
    """What the emulator answers, in a file for bench/playback.py."""
    environment = target.environment
    base_url = f"{environment['ONPLAN_ISSUER']}{urlsplit(environment['BENCH_BASE_URL']).path}"
    headers = {
        "authorization": f"Bearer {environment['BENCH_ACCESS_TOKEN']}",
        "chatgpt-account-id": environment["BENCH_ACCOUNT_ID"],
        "content-type": "application/json",
    }
    with _OPENER.open(urllib.request.Request(f"{base_url}/responses", BODY, headers)) as response:
        events = [json.loads(line[6:]) for line in response if line.startswith(b"data: ")]
        kept = {
            name: value
            for name, value in response.headers.items()
            if name not in ("connection", "transfer-encoding")
        }
    with _OPENER.open(
        urllib.request.Request(f"{base_url}/models?client_version=0.171.0", headers=headers)
    ) as found:
        catalogue = found.read().decode()
    content = {
        "token": environment["BENCH_ACCESS_TOKEN"],
        "events": events,
        "headers": kept,
        "catalogue": catalogue,
    }
    path = folder / "recording.json"
    path.write_text(json.dumps(content))
    return path


@contextmanager
def answering(command: Command, place: Place) -> Iterator[tuple[int, float]]:
    """A relay's process, and the seconds from its start until it answered. Raises FailedError."""
    began = time.perf_counter()
    with (place.folder / "log").open("ab") as log:
        running = subprocess.Popen(
            command.arguments,
            cwd=place.folder,
            env={**place.environment, "HOME": str(place.folder), **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for_answer(running, place)
        yield running.pid, time.perf_counter() - began
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for_answer(running: subprocess.Popen[bytes], place: Place) -> None:
    """Until it answers anything at all. Raises FailedError if it ends, or takes too long."""
    host = f"127.0.0.1:{place.port}"
    question = f"GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()
    until = time.monotonic() + ANSWERS_WITHIN
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", place.port), timeout=1) as connection:
                connection.settimeout(ANSWERS_WITHIN)
                connection.sendall(question)
                if connection.recv(1):
                    return
        except OSError:
            if running.poll() is not None:
                said = " ".join((place.folder / "log").read_text(errors="replace").split())
                raise FailedError(f"its process ended: {said[-200:] or 'nothing was said'}") from None
            time.sleep(0.001)
    raise FailedError(f"it did not answer within {ANSWERS_WITHIN:.0f} s")


def release(playback: int) -> None:
    """Let the upstream on that port end all streams."""
    with _OPENER.open(f"http://127.0.0.1:{playback}{RELEASE.decode()}", b"") as response:
        response.read()
