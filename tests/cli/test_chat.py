"""``onplan chat``, as a person at a terminal does it."""

from __future__ import annotations

import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.cli.chat.command import require_prompt_toolkit
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Options, Scenario, Turn
from onplan.emulator.options import Answer
from onplan.errors import MissingExtraError
from onplan.stores import open_store

from ..conftest import issued
from .screens import CTRL_C, CTRL_D, ScreenTerminal, at_screen

ON_AND_ON = "One " * 500

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
PIXEL = Path(__file__).parent.parent / "pixel.png"
ALT_ENTER = "\x1b\r"


@pytest.fixture
def emulator(point_at: Callable[[Emulator], None]) -> Iterator[Emulator]:
    """An emulator whose model speaks a word at a time."""
    with Emulator(Options(scenario=Scenario(answer=Answer(interval=0.01)))) as running:
        point_at(running)
        yield running


def chatting(*options: str, **terminal: Any) -> AbstractContextManager[ScreenTerminal]:
    return at_screen("chat", *options, **terminal)


def at_prompt(text: str = "") -> Callable[[str], bool]:
    """Whether the chat waits, with ``text`` at the prompt."""

    def fits(shown: str) -> bool:
        lines = [line for line in shown.splitlines() if line]
        return bool(lines) and lines[-1].endswith("/help") and f"> {text}".rstrip() in lines[-2:-1]

    return fits


def said(emulator: Emulator) -> list[list[Any]]:
    """What each request for an answer said last."""
    bodies = [row["body"] for row in emulator.journal() if row["path"].endswith("/responses")]
    return [body["input"][-1]["content"] for body in bodies]


def words(emulator: Emulator) -> list[str]:
    return [content[-1]["text"] for content in said(emulator)]


@needs_terminal
def test_a_chat(signed_in: Emulator, clean_environment: Path) -> None:
    """Answers are drawn as Markdown; thinking is dim; what is kept is for its owner alone."""
    signed_in.play(
        Turn(text="# Birds\n\nA **wren**, and a `robin`.\n\n- x\n- y", thinking="Let me see."),
        Turn(text="\x1b]0;title\x07\x1b]52;c;aGk=\x07\x1b[2JSecond"),
    )
    with chatting(columns=60, NO_COLOR="") as terminal:
        terminal.until(at_prompt())
        terminal.type("Name birds\r")
        terminal.until(lambda shown: "• y" in shown and at_prompt()(shown))
        shown = terminal.shown
        assert {"bold"} == terminal.styles("wren")
        assert {"cyan"} == terminal.styles("robin")
        terminal.type("And?\r")
        terminal.until("2JSecond")
        terminal.until(at_prompt())
        terminal.type(CTRL_D)
        assert terminal.end() == 0

    assert shown.startswith("> Name birds\n\nLet me see.\n\nBirds\n\nA wren, and a robin.\n\n • x\n • y\n\n>")
    assert b"\x1b[2mLet me see." in terminal.written
    assert b"\x1b]" not in terminal.written
    assert words(signed_in) == ["Name birds", "And?"]
    kept = list(clean_environment.rglob("*.jsonl"))
    assert len(kept) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}


@needs_terminal
def test_keys(signed_in: Emulator) -> None:
    """Alt-Enter and a backslash add lines, pasted ones are as they were, Ctrl-C clears, and all come back."""
    with chatting() as terminal:
        terminal.until(at_prompt())
        terminal.type(f"nonsense{CTRL_C}a{ALT_ENTER}b\\\r\x1b[200~c\rd\r\x1b[201~e\r")
        terminal.until("You said")
        terminal.until(at_prompt())
        terminal.type("/mo\t")
        terminal.until("> /model")
        terminal.type(CTRL_C)
        terminal.until(at_prompt())
        terminal.type("\x1b[A")
        terminal.until(lambda shown: shown.count("> a\n  b\n  c\n  d\n  e\n") == 2)

    assert words(signed_in) == ["a\nb\nc\nd\ne"]


@needs_terminal
def test_ctrl_c_stops_the_answer_and_keeps_what_came(signed_in: Emulator) -> None:
    """The model sees it in the next turn. What is typed meanwhile is at the next prompt."""
    signed_in.play(Turn(text=ON_AND_ON))
    with chatting() as terminal:
        terminal.until(at_prompt())
        terminal.type("Count\r")
        terminal.until("\nOne")
        terminal.type(f"typed {CTRL_C}")
        terminal.until(at_prompt("typed"))
        assert "Stopped. What came of the answer is kept." in terminal.shown
        terminal.type("on\r")
        terminal.until("You said: typed on")

    last = [item for item in signed_in.journal()[-1]["body"]["input"] if item["type"] == "message"]
    assert [item["role"] for item in last] == ["user", "assistant", "user"]
    assert last[1]["content"][0]["text"].startswith("One")


@needs_terminal
def test_a_usage_limit_keeps_the_message(signed_in: Emulator) -> None:
    """It is said when the limit resets, and Enter sends the message again, with what was attached."""
    signed_in.arm("usage_limit_429")
    with chatting(columns=100) as terminal:
        terminal.until(at_prompt())
        terminal.type(f"/image {PIXEL}\r")
        terminal.until("Attached pixel.png")
        terminal.type("What is it?\r")
        terminal.until(at_prompt("What is it?"))
        assert "resets" in terminal.shown
        assert "1 image attached" in terminal.shown
        terminal.type("\r")
        terminal.until("You said: What is it?")

    assert [part["type"] for part in said(signed_in)[-1]] == ["input_image", "input_text"]


@needs_terminal
def test_a_lost_network_loses_nothing(signed_in: Emulator) -> None:
    """What came of the answer is kept; a message that could not be sent is at the prompt again."""
    signed_in.play(Turn(text=ON_AND_ON))
    with chatting() as terminal:
        terminal.until(at_prompt())
        terminal.type("Count\r")
        terminal.until("\nOne")
        signed_in.__exit__(None, None, None)
        terminal.until("What came of the answer is kept.")
        terminal.until(at_prompt())
        assert "error: The connection broke" in terminal.shown
        terminal.type("Go on\r")
        terminal.until(at_prompt("Go on"))
        assert terminal.shown.count("error: ") == 2


@needs_terminal
def test_a_missing_sign_in_keeps_the_message(emulator: Emulator) -> None:
    """Someone signs in at another terminal, and the message can be sent."""
    with chatting() as terminal:
        terminal.until(at_prompt())
        terminal.type("hi\r")
        terminal.until("onplan login")
        terminal.until(at_prompt("hi"))
        settings = load_settings()
        open_store(settings.store).save(issued(emulator.issue_tokens(), settings.issuer), None)
        terminal.type("\r")
        terminal.until("You said: hi")


@needs_terminal
def test_a_killed_chat_goes_on(signed_in: Emulator) -> None:
    """SIGKILL in the middle of a turn loses nothing: ``-c`` shows where it was, and Enter asks again."""
    signed_in.play(Turn(text="A wren."), Turn(text=ON_AND_ON))
    with chatting() as terminal:
        terminal.until(at_prompt())
        terminal.type("Name a bird\r")
        terminal.until("A wren.")
        terminal.until(at_prompt())
        terminal.type("Count\r")
        terminal.until("\nOne")
        terminal.process.send_signal(signal.SIGKILL)
        terminal.end()
    with chatting("--continue") as terminal:
        terminal.until(at_prompt())
        assert "> Count\n" in terminal.shown
        assert "has no answer yet" in terminal.shown
        terminal.type("\r")
        terminal.until("You said: Count")
        terminal.until(at_prompt())
        terminal.type("/undo\r")
        terminal.until(at_prompt("Count"))

    last = [item for item in signed_in.journal()[-1]["body"]["input"] if item["type"] == "message"]
    assert [item["content"][0]["text"] for item in last] == ["Name a bird", "A wren.", "Count"]


@needs_terminal
def test_a_copy_is_saved_where_its_path_says(
    signed_in: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tilde is the home folder; a copy may replace an earlier one, or an empty file, but nothing else.

    Neither notes nor another conversation are replaced.
    """
    notes, empty, copy = tmp_path / "notes.md", tmp_path / "empty.jsonl", tmp_path / "copy.jsonl"
    notes.write_text("my notes\n")
    empty.touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    with chatting(lines=60, columns=200) as terminal:
        for typed, shown in (
            ("hi", "You said: hi"),
            ("/save ~/notes.md", "Choose another name."),
            ("/save ~/empty.jsonl", f"Saved in {empty}."),
            ("/save ~/copy.jsonl", f"Saved in {copy}."),
            ("/save  ~/copy.jsonl", lambda shown: shown.count(f"Saved in {copy}.") == 2),
            ("/new", "another conversation"),
            ("other", "You said: other"),
            ("/save ~/copy.jsonl", lambda shown: shown.count("Choose another name.") == 2),
            ("/load ~/copy.jsonl", lambda shown: shown.count("You said: hi") == 2),
        ):
            terminal.until(at_prompt())
            terminal.type(f"{typed}\r")
            terminal.until(shown)
        terminal.until(at_prompt())
    assert notes.read_text() == "my notes\n"
    assert empty.read_bytes() == copy.read_bytes() != b""
    assert not list(Path.cwd().glob("~"))


@needs_terminal
def test_commands(signed_in: Emulator, tmp_path: Path, clean_environment: Path) -> None:
    """Model and effort are changed, conversations saved, left and loaded; what goes wrong is explained."""
    copy = tmp_path / "a copy.jsonl"
    with chatting("-s", "Be brief", lines=60) as terminal:
        for typed, shown in (
            ("/modle", "Did you mean `/model`?"),
            ("/image", "/image needs a path or an address."),
            ("/save x", "nothing was said yet"),
            ("/undo", "nothing was said yet"),
            ("/effort wild", "The model has no effort wild."),
            ("/effort low", " low ·"),
            ("/model gpt-5.5", "gpt-5.5 · low"),
            ("//hi", "You said: /hi"),
            ("/usage", "weekly"),
            (f"/save {copy}", "Saved in"),
            ("/new", "another conversation"),
            (f"/load '{copy}'", "> /hi\n"),
            ("and", "You said: and"),
            ("/compact", "The conversation is compacted"),
            ("/help", "Alt-Enter"),
        ):
            terminal.until(at_prompt())
            terminal.type(f"{typed}\r")
            terminal.until(shown)
        terminal.until(at_prompt())
        for path in clean_environment.glob("conversations/*/*.jsonl"):
            path.write_bytes(path.read_bytes() + b"\n")
        terminal.type("lost?\r")
        terminal.until("was changed by another program")
        terminal.until(at_prompt("lost?"))
        assert "`/new`" in terminal.shown
        terminal.type(f"{CTRL_C}/quit\r")
        assert terminal.end() == 0

    first, second, *_ = [row["body"] for row in signed_in.journal() if row["path"].endswith("/responses")]
    for body in (first, second):
        assert (body["model"], body["reasoning"]["effort"]) == ("gpt-5.5", "low")
        assert body["input"][0]["content"][0]["text"] == "Be brief"
    assert len([item for item in second["input"] if item["type"] == "message"]) == 4


@needs_terminal
def test_an_unknown_model_is_answered_with_a_command_of_the_chat(signed_in: Emulator) -> None:
    """The error names `/model`, which lists the others, and what was typed is at the prompt again."""
    with chatting("-m", "gpt-0") as terminal:
        terminal.until(at_prompt())
        terminal.type("hi\r")
        shown = terminal.until(lambda shown: "error:" in shown and at_prompt("hi")(shown))

    assert "`/model` lists all." in shown
    assert "onplan models" not in shown


@needs_terminal
def test_help_is_broken_at_words(signed_in: Emulator) -> None:
    """Each command's text is in a column of its own, and no word is cut in two, on a narrow screen, too."""
    with chatting(columns=50, lines=60) as terminal:
        terminal.until(at_prompt())
        terminal.type("/help\r")
        shown = terminal.until(lambda shown: "attached." in shown and at_prompt()(shown))

    assert "/compact         make room in a conversation that\n                 has become long\n" in shown
    assert "pasted here are attached." in " ".join(shown.split())


@needs_terminal
def test_a_dragged_file_is_attached(signed_in: Emulator) -> None:
    """Its path, which the terminal pastes, becomes its name, and the model gets the file."""
    with chatting() as terminal:
        terminal.until(at_prompt())
        terminal.type(f"What is \x1b[200~'{PIXEL}'\x1b[201~ ?\r")
        terminal.until("You said: What is [pixel.png] ?")

    assert said(signed_in)[0][0]["type"] == "input_image"


@needs_terminal
def test_nothing_is_kept_if_so_wished(signed_in: Emulator, clean_environment: Path) -> None:
    """With ``--no-save`` neither the conversation nor what is typed is written, also of one that goes on."""
    with onplan.Client() as client:
        talk = client.conversation(model="gpt-5.5", reasoning_effort="low")
        talk.say("before")
        talk.save(clean_environment / "conversations" / "default" / "one.jsonl")
    (kept,) = clean_environment.rglob("*.jsonl")
    before = kept.read_bytes()
    with chatting("--no-save", "-c") as terminal:
        terminal.until(at_prompt())
        terminal.type("hi\r")
        terminal.until("You said: hi")
        terminal.until(at_prompt())
        assert "gpt-5.5 · low" in terminal.shown
        terminal.type(CTRL_D)
        terminal.end()

    assert list(clean_environment.rglob("*.jsonl")) == [kept]
    assert kept.read_bytes() == before
    assert words(signed_in) == ["before", "hi"]


@needs_terminal
def test_a_dumb_terminal_gets_text(signed_in: Emulator) -> None:
    """Answers are printed there as they are, without a single escape sequence."""
    signed_in.play(Turn(text="A **wren**\x1b[2J"))
    with chatting(TERM="dumb") as terminal:
        terminal.until(">")
        terminal.type("hi\r")
        terminal.until("A **wren**\u241b[2J")
        terminal.type(CTRL_D)
        assert terminal.end() == 0

    assert b"\x1b" not in terminal.written


def test_without_a_terminal_there_is_ask(run_cli: Callable[..., Any]) -> None:
    """A pipe is for `onplan ask`, and the error says so."""
    done = run_cli("chat")

    assert (done.returncode, done.stdout) == (2, "")
    assert "onplan ask" in done.stderr


def test_the_prompt_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prompt_toolkit the error says how to install it."""
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)

    with pytest.raises(MissingExtraError, match="chat") as error:
        require_prompt_toolkit()
    assert "onplan[chat]" in error.value.hint
