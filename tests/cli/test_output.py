"""What commands print: on a full disk, without a stdout, at a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from onplan.cli.talk import broken, columns, padded
from onplan.emulator import Emulator, Options, Scenario
from onplan.emulator.options import Answer

Run = Callable[..., subprocess.CompletedProcess[str]]


FULL = Path("/dev/full")


def buffering() -> dict[str, str]:
    """The environment, in which Python buffers its output, as it does for nearly everyone."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
@pytest.mark.parametrize("arguments", [["ask", "hi"], ["models"], ["help"], ["--version"]])
def test_a_full_disk_is_no_defect_of_ours(signed_in: Emulator, arguments: list[str]) -> None:
    """Output that cannot be written is said so, once, with an exit code of its own."""
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "onplan", *arguments]
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=buffering(),
        )

    assert done.returncode == 74
    assert done.stderr.startswith("error: The output cannot be written: No space left")
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]])
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(arguments: list[str]) -> None:
    """A log that is full does not make "not signed in" something else."""
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "onplan", *arguments]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=full, timeout=60, check=False, env=buffering()
        )

    assert done.returncode == 3


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe that the child inherits")
@pytest.mark.parametrize("arguments", ["help", "--version", "help status"])
def test_a_reader_that_has_ended_is_no_defect_of_ours(arguments: str) -> None:
    """``onplan help | head -0`` ends with 1, and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "onplan", *arguments.split()]
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            command, stdout=pipe, stderr=subprocess.PIPE, timeout=60, check=False, env=buffering()
        )

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="sh(1)")
def test_without_a_stdout_nothing_breaks(signed_in: Emulator) -> None:
    """A service may start a program with it closed."""
    for arguments in ("ask hi", ""):
        command = f'exec "{sys.executable}" -m onplan {arguments} >&-'
        done = subprocess.run(
            ["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


# --- at a terminal ----------------------------------------------------------------------------------

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")


def screen(*arguments: str, columns: int = 0, **environment: str) -> str:
    """What ``onplan`` writes to a terminal that is its stdout and its stderr."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "onplan", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**env, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the end, as Linux reports it
        while read := os.read(ours, 65536):
            shown += read
    os.close(ours)
    process.wait(60)
    return shown.decode().replace("\r\n", "\n")


@needs_terminal
def test_the_spinner_leaves_the_thinking_alone(signed_in: Emulator) -> None:
    """Once there is thinking on the terminal, nothing is erased there any more."""
    before, shown, after = screen("ask", "--thinking", "hi", NO_COLOR="1").partition("**Reading")

    assert "\x1b[2K" in before
    assert shown
    assert "\x1b[2K" not in after
    assert "You said: hi" in after


@needs_terminal
def test_with_a_log_there_is_no_spinner(signed_in: Emulator) -> None:
    """-v writes to stderr meanwhile, and a spinner would erase some of it."""
    shown = screen("-v", "ask", "hi")

    assert "\x1b[2K" not in shown
    assert "/responses: 200" in shown


@needs_terminal
def test_thinking_is_dim(signed_in: Emulator) -> None:
    """So that it is told apart from the answer; with NO_COLOR both are plain."""
    assert "\x1b[2m**Reading" in screen("ask", "--thinking", "hi")
    assert "\x1b[2m" not in screen("ask", "--thinking", "hi", NO_COLOR="1")


@needs_terminal
def test_no_color_means_none(emulator: Emulator) -> None:
    """An error is red and bold at a terminal, and plain with NO_COLOR."""
    assert "\x1b[31m" in screen("status")
    assert "\x1b" not in screen("status", NO_COLOR="1")


@needs_terminal
def test_a_list_has_headers_for_people(signed_in: Emulator, run_cli: Run) -> None:
    """At a terminal the columns are named; a program that reads the list gets models only."""
    assert screen("models").splitlines()[0].split() == ["MODEL", "CONTEXT", "EFFORTS"]
    assert run_cli("models").stdout.startswith("gpt-6.2-sol ")


@needs_terminal
def test_messages_break_at_words(emulator: Emulator) -> None:
    """No line is wider than the terminal, no word is cut, and a command to copy stays on one line."""
    arguments = ("status", "--profile", "work")
    wide, narrow = screen(*arguments, NO_COLOR="1"), screen(*arguments, columns=40, NO_COLOR="1")

    assert narrow.split() == wide.split()
    assert max(map(len, narrow.splitlines())) <= 40
    assert narrow.splitlines()[-1].strip() == "`onplan login --profile work`."


@pytest.mark.parametrize(
    ("paragraph", "lines"),
    [
        ("", [""]),
        ("one two", ["one two"]),
        ("one two three", ["one two", "three"]),
        ("incomprehensible", ["incomprehensible"]),
        ("now `a b c d` then", ["now", "`a b c d`", "then"]),
        ("(`a b c d`). x", ["(`a b c d`).", "x"]),
        ("x `y", ["x `y"]),
        ("\u6a21\u578b \u6a21\u578b", ["\u6a21\u578b \u6a21\u578b"]),
        ("\u6a21\u578b \u6a21\u578b\u6a21", ["\u6a21\u578b", "\u6a21\u578b\u6a21"]),
    ],
)
def test_lines_are_filled(paragraph: str, lines: list[str]) -> None:
    """As many words as fit; one that is too long, or a command, has a line of its own."""
    assert broken(paragraph, 9) == lines


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("model", 5),
        ("caf\u00e9", 4),
        ("cafe\u0301", 4),  # a combining accent
        ("\u6a21\u578b", 4),  # Chinese
        ("\u304b\u306a", 4),  # Japanese
        ("\ud55c", 2),  # Korean
        ("\uff21", 2),  # a Latin letter as wide as a Chinese one
        ("\U0001f426", 2),
        ("a\u200bb", 2),  # a space without a width
        ("\u2026", 1),
    ],
)
def test_characters_have_one_two_or_no_columns(text: str, width: int) -> None:
    """Lines and tables count the columns of a terminal, and not characters."""
    assert columns(text) == width
    assert padded(text, width + 2) == f"{text}  "


def test_a_reader_that_has_ended_ends_the_command() -> None:
    """``onplan ask … | head -1`` prints nothing on stderr and exits with 1, as README says."""
    with Emulator(Options(scenario=Scenario(answer=Answer(deltas=20_000)))) as emulator:
        environment = {
            **os.environ,
            "ONPLAN_ISSUER": emulator.issuer,
            "ONPLAN_CODEX_BASE_URL": emulator.codex_base_url,
            "ONPLAN_STORE": "env:TOKEN",
            "TOKEN": emulator.issue_tokens()["access_token"],
        }
        command = [sys.executable, "-m", "onplan", "ask", "--json", "hi"]
        asking = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert asking.stdout
        assert asking.stderr
        asking.stdout.readline()
        asking.stdout.close()
        said = asking.stderr.read()
        asking.stderr.close()

        assert (asking.wait(60), said) == (1, b"")
