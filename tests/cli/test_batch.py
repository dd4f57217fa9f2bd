"""``onplan batch``: files of requests, answered in processes of their own that may be killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from onplan.emulator import Emulator, Limit

from ..conftest import eventually
from .terminal import screen_of


def write_requests(path: Path, names: Iterable[str], **fields: Any) -> Path:
    rows = [
        {
            "custom_id": name,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "gpt-5.5", "messages": [{"role": "user", "content": name}], **fields},
        }
        for name in names
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def texts_of(path: Path) -> dict[str, str]:
    return {
        row["custom_id"]: row["response"]["body"]["choices"][0]["message"]["content"] for row in rows_of(path)
    }


def asked(emulator: Emulator) -> Counter[str]:
    """How often each prompt was asked."""
    return Counter(
        row["body"]["input"][-1]["content"][0]["text"]
        for row in emulator.journal()
        if row["path"].endswith("/responses")
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "in.jsonl", tmp_path / "out.jsonl"


def test_every_request_gets_a_line(
    signed_in: Emulator, run_cli: Callable[..., Any], files: tuple[Path, Path]
) -> None:
    """The answers are in the output file, the numbers on stdout, and nothing is drawn without a terminal."""
    given, output = files
    write_requests(given, map(str, range(20)), seed=7)
    done = run_cli("batch", str(given), str(output), "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert texts_of(output) == {str(number): f"You said: {number}" for number in range(20)}
    summary = json.loads(done.stdout)
    assert (summary["requests"], summary["answered"], summary["failed"]) == (20, 20, 0)
    assert summary["ignored_parameters"] == {"seed": 20}


def test_the_same_command_asks_only_what_has_no_answer(
    signed_in: Emulator, run_cli: Callable[..., Any], files: tuple[Path, Path]
) -> None:
    """Failures are asked again; a last line that was torn is repaired."""
    given, output = files
    write_requests(given, ["a", "b", "c"])
    signed_in.arm("context_length_exceeded")
    first = run_cli("batch", str(given), str(output), "--concurrency", "1")
    assert first.returncode == 12
    assert "2 of 3 requests are answered, 1 failed" in first.stderr
    assert [row["response"]["status_code"] for row in rows_of(output)] == [400, 200, 200]
    output.write_bytes(output.read_bytes()[:-40])
    second = run_cli("batch", str(given), str(output))

    assert second.returncode == 0
    assert "3 of 3 requests are answered, 1 of them before" in second.stderr
    assert sorted(row["custom_id"] for row in rows_of(output)) == ["a", "b", "c"]
    assert asked(signed_in) == {"a": 2, "b": 1, "c": 2}


def test_what_is_wrong_in_the_input_is_told_before_anything_is_asked(
    signed_in: Emulator, run_cli: Callable[..., Any], files: tuple[Path, Path]
) -> None:
    """Two lines of one name, and a line that is none."""
    given, output = files
    write_requests(given, ["a", "b", "a"])
    done = run_cli("batch", str(given), str(output))
    assert (done.returncode, output.exists()) == (10, False)
    assert "Lines 1 and 3 have the same custom_id" in done.stderr
    assert signed_in.journal() == []


def test_a_request_that_cannot_be_sent_fails_alone(
    signed_in: Emulator, run_cli: Callable[..., Any], files: tuple[Path, Path]
) -> None:
    """It gets a line as the API would have answered, and the command ends with its exit code."""
    given, output = files
    write_requests(given, ["a", "b"])
    with given.open("a") as file:
        file.write(json.dumps({"custom_id": "c", "url": "/v1/responses", "body": {"input": 5}}) + "\n")
    done = run_cli("batch", str(given), str(output))

    assert done.returncode == 10
    statuses = {row["custom_id"]: row["response"]["status_code"] for row in rows_of(output)}
    assert statuses == {"a": 200, "b": 200, "c": 400}


def test_at_the_usage_limit_the_rest_is_left_for_the_next_run(
    signed_in: Emulator, run_cli: Callable[..., Any], files: tuple[Path, Path]
) -> None:
    """They have no line, and the exit code is that of the limit."""
    given, output = files
    write_requests(given, map(str, range(12)))
    signed_in.arm("usage_limit_429", times=12)
    done = run_cli("batch", str(given), str(output), "--concurrency", "2", "--json")
    assert done.returncode == 20
    assert "`--wait`" in done.stderr
    assert json.loads(done.stdout)["not_asked"] == 12
    assert rows_of(output) == []
    signed_in.disarm()

    assert run_cli("batch", str(given), str(output)).returncode == 0
    assert len(texts_of(output)) == 12


def test_it_waits_for_the_limit_to_reset(
    signed_in: Emulator, run_cli: Callable[..., Any], files: tuple[Path, Path]
) -> None:
    """With ``--wait``; it says on stderr why it takes so long."""
    given, output = files
    write_requests(given, ["a", "b"])
    signed_in.set_limits(Limit(300, tokens=10_000, used=10_000, resets_in=8))
    done = run_cli("batch", str(given), str(output), "--wait")

    assert done.returncode == 0
    assert "Waiting." in done.stderr
    assert texts_of(output) == {"a": "You said: a", "b": "You said: b"}


def test_no_other_file_is_overwritten(
    signed_in: Emulator, run_cli: Callable[..., Any], files: tuple[Path, Path]
) -> None:
    """Neither the input, nor a file that is no batch's output."""
    given, output = files
    write_requests(given, ["a"])
    before = given.read_bytes()
    output.write_text("my notes\n")
    assert run_cli("batch", str(given), str(output)).returncode == 10
    assert run_cli("batch", str(given), str(given)).returncode == 2
    assert (given.read_bytes(), output.read_text()) == (before, "my notes\n")
    assert signed_in.journal() == []


def test_a_dash_is_no_output_file(
    signed_in: Emulator,
    run_cli: Callable[..., Any],
    files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other commands write to stdout then; here it would be a file of that name, so it is refused."""
    given, _ = files
    write_requests(given, ["a"])
    monkeypatch.chdir(given.parent)
    done = run_cli("batch", str(given), "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Name a file" in done.stderr
    assert not (given.parent / "-").exists()
    assert signed_in.journal() == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_batch_that_is_killed_goes_on(signed_in: Emulator, files: tuple[Path, Path]) -> None:
    """Killed at random moments, it has each answer once in the end, and asks nothing that has one again."""
    given, output = files
    names = [f"number {number}" for number in range(60)]
    write_requests(given, names)
    command = [sys.executable, "-m", "onplan", "batch", str(given), str(output), "--concurrency", "4"]
    had_line: dict[str, int] = {}  # how often a prompt had been asked when its line was there
    for least in sorted(random.sample(range(1, 50), 3)):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ)) as running:
            eventually(lambda least=least: output.exists() and output.read_bytes().count(b"\n") >= least)
            running.send_signal(signal.SIGKILL)
        lines = output.read_bytes().splitlines(keepends=True)
        named = [json.loads(line)["custom_id"] for line in lines if line.endswith(b"\n")]
        had_line |= {name: asked(signed_in)[name] for name in named}
    subprocess.run(command, check=True, capture_output=True, timeout=60)

    assert Counter(row["custom_id"] for row in rows_of(output)) == Counter(names)
    assert texts_of(output) == {name: f"You said: {name}" for name in names}
    assert {name: asked(signed_in)[name] for name in had_line} == had_line


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
def test_a_terminal_shows_how_far_it_is(signed_in: Emulator, files: tuple[Path, Path]) -> None:
    """A bar with the numbers, which comes to its end."""
    given, output = files
    write_requests(given, ["a", "b", "c"])
    code, shown = screen_of("batch", str(given), str(output))

    assert code == 0
    assert "3/3" in shown
    assert "3 of 3 requests are answered" in shown


def test_one_run_at_a_time_writes_a_file(
    signed_in: Emulator, run_cli: Callable[..., Any], files: tuple[Path, Path]
) -> None:
    """A second one would ask everything a second time."""
    given, output = files
    write_requests(given, ["a"])
    with FileLock(output.with_name(f".{output.name}.lock")):
        done = run_cli("batch", str(given), str(output))

    assert done.returncode == 2
    assert "Another `onplan batch` is writing" in done.stderr
    assert signed_in.journal() == []
