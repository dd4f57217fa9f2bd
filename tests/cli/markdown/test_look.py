"""What Markdown looks like at a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from onplan.cli.markdown.blocks import Blocks
from onplan.cli.markdown.look import Look

from .test_blocks import texts

CODE = "```py\nif x:\n\n    y = 'long enough for the width to matter'\n```"
MODELS = "\u6a21\u578b\u6a21\u578b"  # eight columns


def drawn(text: str, *, width: int = 40, look: Look = Look(colour=False), colour: bool = False) -> str:  # noqa: B008
    blocks = Blocks()
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=True, no_color=not colour, color_system="standard"
    )
    for content in look.of([*blocks.feed(text), *blocks.end()]):
        console.print(content, crop=False)
    shown = out.getvalue()
    return shown if colour else "\n".join(line.rstrip() for line in _plain(shown).splitlines())


def _plain(text: str) -> str:
    from click import unstyle

    return unstyle(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# One\n\n## Two\ntext *a* **b** ~~c~~", "One\n\nTwo\n\ntext a b c"),
        ("a\nb  \nc", "a b\nc"),
        ("- a\n- b\n  - c\n\n- d", " • a\n • b\n    • c\n\n • d"),
        ("9. a\n9. b\n\n   second", " 9. a\n10. b\n\n    second"),
        ("- [ ] todo", " • [ ] todo"),
        ("> a\n> > b", "│ a\n│\n│ │ b"),
        ("---", "─" * 20),
        ("`x` and ``a`b``", "`x` and `a`b`"),
        ("[a](http://b.c) <http://d.e>", "a (http://b.c) http://d.e"),
        ("![alt](http://b.c/d.png)", "alt (http://b.c/d.png)"),
        ("see [a][1]\n\n[1]: http://b.c", "see [a][1]\n\n[1]: http://b.c"),
        ("[a](javascript:alert)", "[a](javascript:alert)"),
        ("use <b>html</b>\n\n<div>\n\n&lt;", "use <b>html</b>\n\n<div>\n\n<"),
        (CODE, CODE),
        ("    indented", "```\nindented\n```"),
        ("- a\n\n  ```\n  b\n  ```", " • a\n\n   ```\n   b\n   ```"),
        ("| a | b |\n|---|--:|\n| one | 2 |", "a     b\n───────\none   2"),
        (f"{MODELS} " * 5, f"{MODELS} {MODELS} {MODELS} {MODELS}\n{MODELS}"),
        ("a\x1b[2Jb\x07\x9bc", "a\u241b[2Jb\u2407\ufffdc"),
        ("&#7;&#27;", "\ufffd\ufffd"),
    ],
)
def test_markdown_is_drawn(text: str, shown: str) -> None:
    """Each kind of block and mark; code is as it was written, and nothing is left out."""
    assert drawn(text) == shown


@pytest.mark.parametrize("width", [1, 4, 7, 20])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Words, wide characters, tables and nested lists are broken; only code is for the terminal to break."""
    text = f"# Title of it\n\n- item\n  - {MODELS} \U0001f426\n\n> quoted words\n\nincomprehensibilities\n\n"
    text += "| name | age |\n|---|---|\n| wren | 2 |\n\n---\n"
    lines = drawn(text, width=width).splitlines()

    assert max(map(cell_len, lines)) <= max(width, 5)
    assert "wren" in "".join("".join(lines).split())


def test_a_table_is_a_list_where_it_does_not_fit() -> None:
    """Each row has its cells one below the other, with their names."""
    table = "| name | age |\n|---|---|\n| wren | 2 |\n| robin | |"

    assert drawn(table, width=10) == "name: wren\nage: 2\n\nname:\nrobin\nage:"


def test_colours_are_the_terminals_own() -> None:
    """Code is coloured by sixteen colours; without colours, inline code keeps its marks."""
    shown = drawn("`a`\n\n```py\nx = 'y'\n```", look=Look(), colour=True)

    assert "\x1b[36ma\x1b[0m" in shown
    assert "\x1b[33" in shown
    assert "38;" not in shown
    assert "`a`" in drawn("`a`")


def test_there_is_a_look_for_ascii() -> None:
    """For a terminal that has no other characters."""
    text = "- a\n\n> b\n\n---\n\n| a | b |\n|---|---|\n| c | d |"

    assert drawn(text, look=Look(colour=False, symbols=False)).isascii()


def test_colours_go_on_over_the_parts_of_code() -> None:
    """A text over many lines is one in each part that is finished."""
    text = '```py\nx = """\n' + "word\n" * 60 + '"""\n```'
    words = [line for line in drawn(text, look=Look(), colour=True).splitlines() if "word" in line]

    assert len(set(words)) == 1


@settings(max_examples=30)
@given(texts, st.integers(2, 50))
def test_everything_can_be_drawn(text: str, width: int) -> None:
    """No text fails, and no control character of it is left."""
    shown = drawn(text, width=width)

    assert "\x1b" not in shown
    for character in "\u6a21\U0001f426":
        assert shown.count(character) == text.count(character)


@pytest.mark.parametrize(
    "nasty", ["[" * 7_000, "*" * 7_000, "`" * 7_001, "> " * 3_000, "- " * 3_000, "(<" * 3_000, "![](" * 1_500]
)
def test_nothing_takes_long_to_draw(nasty: str) -> None:
    """Marks that go with nothing, and blocks in blocks in blocks, as deep as a block can be."""
    assert drawn(nasty, width=80)
