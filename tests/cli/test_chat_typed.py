"""What is typed at the prompt of a chat: a message, a command or files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.cli.chat.typed import Command, Dropped, Said, Typed, read, unquoted

FILES = {"/tmp/a.png", "/tmp/my cat.png", "~/b.pdf", "/help"}


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("hi", Said("hi")),
        ("  indented\n  code\n", Said("  indented\n  code")),
        ("a /help", Said("a /help")),
        ("/help", Command("help")),
        (" /help ", Command("help")),
        ("/?", Command("help")),
        ("/exit", Command("quit")),
        ("/model  gpt-5.5 ", Command("model", "gpt-5.5")),
        ("/save my talk.jsonl", Command("save", "my talk.jsonl")),
        ("/modle x", Command("modle", "x")),
        ("/", Command("")),
        ("//help", Said("/help")),
        ("//", Said("/")),
        ("/etc/hosts is what?", Said("/etc/hosts is what?")),
        ("/usage\nof words", Said("/usage\nof words")),
        ("/save x\nand more", Said("/save x\nand more")),
        ("/tmp/a.png", Dropped(("/tmp/a.png",))),
        ("'/tmp/my cat.png' /tmp/a.png ", Dropped(("/tmp/my cat.png", "/tmp/a.png"))),
        ("/tmp/my\\ cat.png", Dropped(("/tmp/my cat.png",))),
        ("/tmp/my cat.png", Dropped(("/tmp/my cat.png",))),
        ("file:///tmp/my%20cat.png", Dropped(("/tmp/my cat.png",))),
        ("~/b.pdf", Dropped(("~/b.pdf",))),
        ("/tmp/a.png what is it?", Said("/tmp/a.png what is it?")),
        ("a.png", Said("a.png")),
        ("'unfinished", Said("'unfinished")),
    ],
)
def test_what_is_typed(text: str, typed: Typed) -> None:
    """A command is a slash and its name; files are known by absolute paths; all else is said as it is."""
    assert read(text, FILES.__contains__) == typed


@given(st.text(st.sampled_from("/'\"\\ ahelp~\nfile:%20\x00\ud800"), max_size=30))
def test_anything_can_be_typed(text: str) -> None:
    """No text is an error, and what is said is what was typed, but for a doubled slash and empty lines."""
    typed = read(text, FILES.__contains__)

    if isinstance(typed, Said):
        assert typed.text in (text.strip("\n"), text.strip()[1:])


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("a.png", "a.png"),
        ("'my cat.png'", "my cat.png"),
        ("my cat.png", "my cat.png"),
        ("my\\ cat.png", "my cat.png"),
        ("it's.png", "it's.png"),
        ("file:///tmp/my%20cat.png", "/tmp/my cat.png"),
        ("https://a.example/b%20c.png", "https://a.example/b%20c.png"),
        ("", ""),
    ],
)
def test_marks_around_a_path_are_no_part_of_it(argument: str, path: str) -> None:
    """As a shell has them, or as people type paths with spaces."""
    assert unquoted(argument) == path
