"""``onplan ask``: pipes, conversations that go on, Markdown at a terminal, and functions of a file."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.cli import ask_input
from onplan.cli.ask_output import result_line
from onplan.cli.kept_conversations import KeptConversations
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Turn

from .screens import at_screen

Run = Callable[..., Any]

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
TOOLS = '''
from beside import PLACE

def weather(city: str) -> str:
    """The weather in a city."""
    return f"3 degrees in {city}, {PLACE}"
'''


@pytest.fixture
def tool(tmp_path: Path) -> str:
    (tmp_path / "beside.py").write_text("PLACE = 'Norway'")
    (tmp_path / "my tools.py").write_text(TOOLS)
    return f"{tmp_path / 'my tools.py'}:weather"


def messages(emulator: Emulator) -> list[dict[str, Any]]:
    """The messages of the last request."""
    return [item for item in emulator.journal()[-1]["body"]["input"] if item.get("type") == "message"]


def texts(emulator: Emulator) -> list[str]:
    return [message["content"][0]["text"] for message in messages(emulator)]


# --- stdin ------------------------------------------------------------------------------------------


def test_what_is_piped_stands_below_the_prompt(signed_in: Emulator, run_cli: Run, tmp_path: Path) -> None:
    """A pipe that has something, and a file; an empty one adds nothing."""
    (tmp_path / "log").write_text("from a file\n")
    with (tmp_path / "log").open() as file:
        run_cli("ask", "Explain", stdin=file)
    assert texts(signed_in) == ["Explain\n\nfrom a file"]
    run_cli("ask", "Explain", "-", input="from a pipe\n")
    assert texts(signed_in) == ["Explain\n\nfrom a pipe"]
    run_cli("ask", "Explain", input="\n")
    assert texts(signed_in) == ["Explain"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes that can be waited for")
def test_a_silent_pipe_does_not_hold_a_prompt_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said that nothing came, in case that more was meant to."""
    monkeypatch.setattr(ask_input, "_PATIENCE", 0.0)
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)

        assert ask_input.read_prompt("Explain", wait=False) == "Explain"
        assert "`onplan ask PROMPT -` waits for it" in capsys.readouterr().err


# --- conversations ----------------------------------------------------------------------------------


def test_a_conversation_goes_on(signed_in: Emulator, run_cli: Run, clean_environment: Path) -> None:
    """``-c`` has all that was said, the instructions and the model; its file is for its owner alone."""
    run_cli("ask", "-m", "gpt-5.5", "-s", "Be brief", "one")
    run_cli("ask", "-c", "two")
    assert texts(signed_in) == ["Be brief", "one", "You said: one", "two"]
    assert signed_in.journal()[-1]["body"]["model"] == "gpt-5.5"
    run_cli("ask", "-c", "--no-save", "three")
    run_cli("ask", "-c", "four")

    assert texts(signed_in)[-2:] == ["You said: two", "four"]
    (kept,) = clean_environment.rglob("*.jsonl")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 or sys.platform == "win32"


def test_nothing_is_kept_if_so_wished(signed_in: Emulator, run_cli: Run, clean_environment: Path) -> None:
    """With ``--no-save``, and for a profile whose setting says so; there is nothing to go on with then."""
    run_cli("ask", "--no-save", "one")
    (clean_environment / "config.toml").write_text('[profiles.default]\nconversations = "forget"\n')
    assert run_cli("ask", "one").returncode == 0
    done = run_cli("ask", "-c", "two")

    assert not list(clean_environment.rglob("*.jsonl"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no conversation to go on with" in done.stderr
    assert "Leave out `-c`" in done.stderr


def test_what_came_of_an_answer_is_kept(signed_in: Emulator, run_cli: Run) -> None:
    """The command fails, and ``-c`` goes on with what was printed."""
    signed_in.play(Turn(text="one two three", fault="response_failed_after_text"))
    done = run_cli("ask", "Count")

    assert done.returncode != 0
    assert done.stdout == "one\n"
    run_cli("ask", "-c", "Go on")
    assert texts(signed_in) == ["Count", "one", "Go on"]


def test_a_wish_that_is_not_understood(run_cli: Run, clean_environment: Path) -> None:
    """Nothing is asked, since it might be kept against that wish."""
    clean_environment.mkdir()
    (clean_environment / "config.toml").write_text('[profiles.default]\nconversations = "never"\n')
    done = run_cli("ask", "one")

    assert (done.returncode, done.stdout) == (2, "")
    assert 'neither "keep" nor "forget"' in done.stderr


def test_an_answer_that_cannot_be_kept_is_printed(
    signed_in: Emulator, run_cli: Run, clean_environment: Path
) -> None:
    """Where no file can be written, that is said, and the command succeeds."""
    (clean_environment / "conversations").write_text("a file in its place")
    done = run_cli("ask", "one")

    assert (done.returncode, done.stdout) == (0, "You said: one\n")
    assert "The conversation is not kept: " in done.stderr


def test_profiles_have_conversations_of_their_own(clean_environment: Path) -> None:
    """So ``-c`` never sends what was said with one account to another."""
    folders = {KeptConversations(load_settings(profile=name)).folder for name in ("work", "home")}

    assert folders == {clean_environment / "conversations" / name for name in ("work", "home")}


def test_the_last_hundred_questions_are_kept(clean_environment: Path) -> None:
    """Older ones go; chats are left for their owner to remove."""
    kept = KeptConversations(load_settings())
    kept.folder.mkdir(parents=True)
    asked = [kept.new(asked=True) for _ in range(102)]
    chats = [kept.new(asked=False) for _ in range(102)]
    for number, path in enumerate([*chats, *asked]):
        path.touch()
        os.utime(path, (number, number))
    kept.forget_old()

    assert set(kept.folder.iterdir()) == {*chats, *asked[2:]}
    assert kept.last() == asked[-1]


# --- at a terminal ----------------------------------------------------------------------------------


@needs_terminal
def test_markdown_is_drawn_at_a_terminal_alone(signed_in: Emulator, run_cli: Run) -> None:
    """A pipe gets what the model wrote, byte for byte, and so does a terminal with ``--plain``."""
    text = "# Title\n\n**bold** \x1b[2J text\n"
    signed_in.play(*[Turn(text=text)] * 3)
    assert run_cli("ask", "hi").stdout == text
    with at_screen("ask", "hi", NO_COLOR="") as terminal:
        terminal.end()
    assert terminal.shown == "Title\n\nbold \u241b[2J text"
    with at_screen("ask", "--plain", "hi") as terminal:
        terminal.end()
    assert terminal.shown == "# Title\n\n**bold** \u241b[2J text"


# --- functions --------------------------------------------------------------------------------------


def test_a_function_is_called(signed_in: Emulator, run_cli: Run, tool: str) -> None:
    """What is called is on stderr, and the answer alone on stdout; ``-c`` knows of the call."""
    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), Turn(text="Cold"))
    done = run_cli("ask", "--tool", tool, "--yes", "A coat?")

    assert (done.returncode, done.stdout) == (0, "Cold\n")
    assert done.stderr == 'weather({"city":"Oslo"}): 3 degrees in Oslo, Norway\n'
    run_cli("ask", "-c", "Sure?")
    assert "function_call_output" in [item.get("type") for item in signed_in.journal()[-1]["body"]["input"]]


def test_a_result_is_shown_on_a_line() -> None:
    """Its beginning; the model gets all of it, images and files, too."""
    call = onplan.ToolCall("1", "look", '{"a":\n 1}')
    parts = [onplan.Text("a\nb"), onplan.Image(data=b"")]
    for content, shown in ((parts, "a b [image]"), ("x" * 300, "x" * 200 + "…")):
        run = onplan.ToolRun(call, onplan.ToolResult("1", content), "raised")
        assert result_line(run) == f'look({{"a": 1}}) (raised): {shown}'


def test_the_chunks_of_calls_are_json(signed_in: Emulator, run_cli: Run, tool: str) -> None:
    """With --json each line is a chunk of the run."""
    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), Turn(text="Cold"))
    lines = run_cli("ask", "--json", "--tool", tool, "-y", "A coat?").stdout.splitlines()
    kinds = [json.loads(line)["type"] for line in lines]

    assert kinds.index("turn_done") < kinds.index("tool_done") < kinds.index("done") == len(kinds) - 1


@needs_terminal
def test_a_person_is_asked_before_a_call(signed_in: Emulator, tool: str) -> None:
    """No is told to the model; always asks no more; Ctrl-C ends the command."""
    call = Turn(text="Let me look.", tool_calls=[Call("weather", {"city": "Oslo\x1b[2J"})])
    signed_in.play(call, call, call, Turn(text="Cold"), call)
    with at_screen("ask", "--tool", tool, "A coat?") as terminal:
        terminal.until("[n]o")
        terminal.type("n\r")
        terminal.until(lambda shown: shown.count("[n]o") == 2)
        terminal.type("a\r")
        assert terminal.end() == 0
    assert terminal.shown.count("[n]o") == 2
    assert terminal.shown.count("3 degrees") == 2
    assert "The user declined this call." in terminal.shown
    with at_screen("ask", "--tool", tool, "A coat?") as terminal:
        terminal.until("[n]o")
        terminal.interrupt()
        assert terminal.end() == 130


@needs_terminal
def test_a_function_named_as_the_search_is_asked_about(signed_in: Emulator, tmp_path: Path) -> None:
    """Only the search of ``--search`` is called without asking, and not shown."""
    file = tmp_path / "own.py"
    file.write_text('def search_web(word: str) -> str:\n    """Look a word up."""\n    return "my " + word\n')
    signed_in.play(Turn(tool_calls=[Call("search_web", {"word": "files"})]), Turn(text="Found"))
    with at_screen("ask", "--tool", f"{file}:search_web", "Where?") as terminal:
        terminal.until("[n]o")
        terminal.type("y\r")
        assert terminal.end() == 0
    assert "my files" in terminal.shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tools.py", "names no function"),
        ("{folder}/none.py:f", "There is no file"),
        ("{folder}/beside.py:f", "has no function f"),
        ("{folder}/beside.py:PLACE", "has no function PLACE"),
        ("{folder}/broken.py:f", "cannot be run: ZeroDivisionError"),
        ("{folder}/leaves.py:f", "cannot be run: SystemExit"),
        ("{folder}/text.txt:f", "no Python file"),
    ],
)
def test_what_is_no_function(tmp_path: Path, tool: str, name: str, said: str) -> None:
    """The error says what is wrong with the file or the name, before anything is sent."""
    import click

    from onplan.cli.ask_tools import load_tools

    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "leaves.py").write_text("import sys; sys.exit(0)")
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(click.BadParameter, match=said):
        load_tools([name.format(folder=tmp_path)])


def test_nobody_can_be_asked_without_a_terminal(run_cli: Run, tool: str) -> None:
    """The error names the option that calls functions unasked."""
    done = run_cli("ask", "--tool", tool, "A coat?")

    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr


@pytest.mark.parametrize(("fault", "code"), [("refusal", 13), ("incomplete_max_output_tokens", 12)])
def test_what_is_no_whole_answer_has_an_exit_code(
    signed_in: Emulator, run_cli: Run, tmp_path: Path, fault: str, code: int
) -> None:
    """Also with --schema: 13 where the model declines, 12 where the answer was cut off."""
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {}}')
    signed_in.play(Turn(fault=fault), Turn(fault=fault))

    assert run_cli("ask", "hi").returncode == code
    assert run_cli("ask", "--schema", str(schema), "hi").returncode == code
