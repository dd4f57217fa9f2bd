"""The tasks of docs/comparison.md: what the emulator plays for a program, and what the program has to do."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onplan.emulator import Call, Emulator, Limit, Options, Scenario, Turn
from onplan.emulator.options import Answer

from .conftest import eventually

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "docs" / "comparison"

NOTES = [f"On day {day} I saw {day + 1} wrens." for day in range(200)]
SEEN = [f"{day + 1} wren" for day in range(200)]


# Seconds after which a program that hangs is ended, so that its test fails.
PATIENCE = 110


def cell(row: str, library: str, section: str = "") -> str:
    """What the page says of a library, in the first row that begins so below a heading."""
    page = (ROOT / "docs" / "comparison.md").read_text().partition(f"\n## {section}")[2]
    for table in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        head, _, *rows = [[part.strip() for part in line[1:-1].split("|")] for line in table.splitlines()]
        for first, *cells in rows:
            if first == row:
                return dict(zip(head[1:], cells, strict=True))[library]
    raise LookupError(row)


@dataclass
class Machine:
    """Where a program runs: a folder, an emulator, and the Codex CLI's sign-in there, which all can read.

    ``command(emulator, folder, program)`` is the command line for a program of docs/comparison.
    """

    emulator: Emulator
    folder: Path
    command: Callable[[Emulator, Path, str], list[Any]]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, program: str) -> subprocess.Popen[str]:
        """A program that is running; it talks through pipes."""
        codex = self.folder / "codex"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CODEX_HOME": str(codex),
            "ONPLAN_HOME": str(self.folder / "onplan"),
            "ONPLAN_STORE": f"codex:{codex}",
            "ONPLAN_ISSUER": self.emulator.issuer,
            "ONPLAN_CODEX_BASE_URL": self.emulator.codex_base_url,
            "OPENAI_BASE_URL": self.emulator.codex_base_url,
            "NO_PROXY": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",  # as at a terminal, for which the chats are written
        }
        process = subprocess.Popen(
            self.command(self.emulator, self.folder, str(PROGRAMS / program)),
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def kill(self) -> None:
        """End what was started and is still running."""
        for process in self.started:
            process.kill()

    def asked(self) -> list[dict[str, Any]]:
        """The requests for an answer so far."""
        return [row for row in self.emulator.journal() if row["path"].endswith("/responses")]


@contextmanager
def machine(folder: Path, command: Callable[[Emulator, Path, str], list[Any]]) -> Iterator[Machine]:
    """A machine with an emulator, whose model knows what was seen on each day."""
    answers = {note: f'{{"species": "wren", "count": {day + 1}}}' for day, note in enumerate(NOTES)}
    answers |= {f"{note}\n": answer for note, answer in answers.items()}  # a program may leave the line end
    scenario = Scenario(answers=answers, answer=Answer(interval=0.005))
    options = Options(codex_home=folder / "codex", codex_auth=True, scenario=scenario)
    with Emulator(options) as emulator:
        found = Machine(emulator, folder, command)
        patience = threading.Timer(PATIENCE, found.kill)
        patience.start()
        try:
            yield found
        finally:
            patience.cancel()
            found.kill()
            for process in found.started:
                process.communicate()


def try_agent(machine: Machine, program: str) -> None:
    """Three calls in one turn, one of which fails: the model is told of all, with its sealed reasoning."""
    calls = [
        Call("weather", {"city": "Bergen"}),
        Call("appointments", {"day": "tomorrow"}),
        Call("trains", {"origin": "Oslo", "destination": "Bergen"}),
    ]
    machine.emulator.play(Turn(tool_calls=calls), Turn(text="Not by train, I think."))
    process = machine.start(program)
    printed, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert printed == "Not by train, I think.\n"
    first, second = (row["body"]["input"] for row in machine.asked())
    told = [item["output"] for item in second if item.get("type") == "function_call_output"]
    assert [len(first), len(told)] == [1, 3]
    for text, output in zip(("3 degrees", "15:00 Ada", "timetable does not answer"), told, strict=True):
        assert text in output
    assert any(item.get("encrypted_content") for item in second)


@dataclass
class Extracted:
    """What a program did with the notes. ``refused``: the requests that were refused at the usage limit."""

    status: int
    lines: list[str]
    complaints: str
    refused: int
    refreshes: int

    @property
    def outcome(self) -> str:
        """In the words of the page."""
        assert self.lines == SEEN[: len(self.lines)]
        return "200 of 200" if (self.status, self.lines) == (0, SEEN) else "the rest is lost"


def try_extraction(machine: Machine, program: str, *, refuse_token: bool) -> Extracted:
    """In the middle the usage limit is reached, for two seconds, and the token perhaps refused."""
    process = machine.start(program)
    assert process.stdin
    process.stdin.write("".join(f"{note}\n" for note in NOTES))
    process.stdin.flush()

    def wait_for(count: int, status: int) -> None:
        moment = threading.Event()
        while process.poll() is None and count > sum(row["status"] == status for row in machine.asked()):
            moment.wait(0.005)

    process.stdin.close()
    process.stdin = None
    wait_for(40, 200)
    machine.emulator.set_limits(Limit(300, tokens=10**9, used=10**9, resets_in=2))
    wait_for(1, 429)
    if refuse_token:
        machine.emulator.expire_access_tokens()
    printed, complaints = process.communicate(timeout=120)
    refused = sum(row["status"] == 429 for row in machine.asked())
    refreshes = sum(row["path"] == "/oauth/token" for row in machine.emulator.journal())
    return Extracted(process.returncode, printed.splitlines(), complaints, refused, refreshes)


def try_chat(machine: Machine, program: str) -> list[str]:
    """What a model was sent of a chat that was killed while an answer was awaited: the texts of both."""
    process = machine.start(program)
    assert say(process, "one") == "You said: one\n"
    machine.emulator.arm("stall")
    write(process, "two")
    eventually(lambda: len(machine.asked()) == 2)
    process.kill()
    process.communicate(timeout=60)
    machine.emulator.disarm()

    process = machine.start(program)
    assert process.stdout
    assert process.stdout.readline() == "You said: two\n"  # what had no answer is answered now
    assert say(process, "three") == "You said: three\n"
    process.communicate(timeout=60)
    assert process.returncode == 0
    items = machine.asked()[-1]["body"]["input"]
    assert sum(bool(item.get("encrypted_content")) for item in items) == 2
    return sent_texts(items)


def write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def say(process: subprocess.Popen[str], line: str) -> str:
    """The line that a program prints for a line that it reads."""
    write(process, line)
    assert process.stdout
    return process.stdout.readline()


def sent_texts(items: list[dict[str, Any]]) -> list[str]:
    """What the person and the model said, of the input of a request."""
    return [_text(item["content"]) for item in items if item.get("role") in ("user", "assistant")]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


WHOLE_CHAT = ["one", "You said: one", "two", "You said: two", "three"]
