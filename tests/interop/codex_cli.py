"""The official Codex CLI as a program: its commands, and its app server, which speaks JSON-RPC over stdio."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from onplan.emulator import Emulator

# As `make interop` installs them: in FOLDER/codex-VERSION, the newest first.
FOLDER, VERSIONS = os.environ.get("CODEX_FOLDER"), os.environ.get("CODEX_VERSIONS", "").split()
with_clients = pytest.mark.skipif(
    not FOLDER or not VERSIONS,
    reason="CODEX_FOLDER and CODEX_VERSIONS do not name official clients; run `make interop`",
)
TIMEOUT = 90
# Its sandbox needs rights that not every machine gives, so it runs without one.
UNCONFINED = "--dangerously-bypass-approvals-and-sandbox"

Message = dict[str, Any]


def installed(version: str) -> Path:
    """The program of a version."""
    path = Path(str(FOLDER), f"codex-{version}", "node_modules", ".bin", "codex")
    assert path.exists(), f"{path} is not there; run `make interop`"
    return path


@dataclass
class Codex:
    """The client in a folder of its own, knowing nothing of this machine's user."""

    binary: Path
    emulator: Emulator
    home: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """What it may know: where to look for programs, and its own folder."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home.parent),
            "CODEX_HOME": str(self.home),
            "NO_COLOR": "1",
            **variables,
        }

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        return subprocess.run(
            [self.binary, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=self.environment(**variables),
            cwd=self.home.parent,
            check=False,
        )

    def sign_in(self) -> None:
        """By device code."""
        done = self.run("login", "--device-auth", "--experimental_issuer", self.emulator.issuer)
        assert done.returncode == 0, done.stderr

    def execute(self, *options: str, said: str = "say hi") -> list[Message]:
        """The events of a turn that ends well; options may begin with a subcommand of `exec`."""
        done = self.attempt(*options, said=said)
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def attempt(self, *options: str, said: str = "say hi") -> subprocess.CompletedProcess[str]:
        """A turn, however it ends."""
        return self.run("exec", "--json", "--skip-git-repo-check", UNCONFINED, *options, said)

    @contextmanager
    def app_server(self) -> Iterator[AppServer]:
        """The app server, initialized; sign-ins that it starts are the emulator's."""
        with AppServer(self) as server:
            about = {"name": "onplan-tests", "title": "onplan", "version": "0"}
            server.call("initialize", {"clientInfo": about})
            server.notify("initialized")
            yield server

    @property
    def auth(self) -> Message:
        """What it keeps of the sign-in."""
        return dict(json.loads((self.home / "auth.json").read_text()))

    @property
    def tokens(self) -> Message:
        """The tokens in it."""
        return dict(self.auth["tokens"])

    def requests(self, path: str) -> list[Message]:
        """The journal's rows of a path."""
        return [row for row in self.emulator.journal() if row["path"] == path]

    @property
    def turns(self) -> list[Message]:
        """The requests for a response."""
        return [row for row in self.requests("/backend-api/codex/responses") if row["method"] == "POST"]


class AppServer:
    """`codex app-server` and what it says, message by message."""

    def __init__(self, codex: Codex) -> None:
        self._codex = codex
        variables = {
            "CODEX_APP_SERVER_LOGIN_ISSUER": codex.emulator.issuer,
            "CODEX_REVOKE_TOKEN_URL_OVERRIDE": f"{codex.emulator.issuer}/oauth/revoke",
        }
        self._process = subprocess.Popen(
            [codex.binary, "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=codex.environment(**variables),
            cwd=codex.home.parent,
        )
        self._said: queue.Queue[Message | None] = queue.Queue()
        self._calls = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)

    def notify(self, method: str, **fields: Any) -> None:
        """Say something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"method": method, **fields}) + "\n")
        self._process.stdin.flush()

    def call(self, method: str, params: Message | None = None) -> Message:
        """The result of a call."""
        self._calls += 1
        number = self._calls
        self.notify(method, id=number, params=params or {})
        answer = self._wait(lambda said: said.get("id") == number and "method" not in said)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def notified(self, method: str) -> Message:
        """The parameters of the next notification of a method."""
        return dict(self._wait(lambda said: said.get("method") == method)["params"])

    def start_thread(self, model: str) -> str:
        """The id of a thread in which nothing has to be approved."""
        params = {
            "model": model,
            "cwd": str(self._codex.home.parent),
            "approvalPolicy": "never",
            "sandbox": "danger-full-access",
        }
        return str(self.call("thread/start", params)["thread"]["id"])

    def turn(self, method: str, **params: Any) -> None:
        """A turn of a thread, to its end."""
        self.call(method, params)
        ended = self.notified("turn/completed")["turn"]
        assert (ended["status"], ended["error"]) == ("completed", None)

    def _wait(self, fits: Callable[[Message], bool]) -> Message:
        while (said := self._said.get(timeout=TIMEOUT)) is not None:
            if fits(said):
                return said
        raise AssertionError("the app server ended")

    def __enter__(self) -> AppServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        self._process.stdout.close()


def completed(events: list[Message], kind: str) -> list[Any]:
    """The items of a kind, in the order in which they were completed."""
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    return [item for item in items if item["type"] == kind]


def check_tool_turn(events: list[Message]) -> None:
    """A command was run as the model asked, and its output is in the answer."""
    (command,) = completed(events, "command_execution")
    (message,) = completed(events, "agent_message")
    assert (command["exit_code"], command["aggregated_output"]) == (0, "hello-tool\n")
    assert "hello-tool" in message["text"]
    assert events[-1]["type"] == "turn.completed"
    assert events[-1]["usage"]["output_tokens"] > 0
    assert events[-1]["usage"]["cached_input_tokens"] > 0
