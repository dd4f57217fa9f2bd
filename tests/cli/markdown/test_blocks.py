"""How Markdown is cut into blocks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.cli.markdown.blocks import Block, Blocks

LINES = [
    *("", "", "", "word", "two words", "# Title", "Title", "===", "---", "***", "> quoted", ">"),
    *("- item", "* star", "  - inner", "1. one", "2. two", "7) seven", "   more", "-", "10. ten", "    deep"),
    *("```", "```python", "~~~", "````", "  ```", "x = '''", "| a | b |", "|---|--:|", "| 1 | 2 |", "a|b"),
    *(
        "**bold",
        "bold** text",
        "[a](http://b)",
        "<div>",
        "\t- tab",
        "\u6a21\u578b \U0001f426",
        "  ",
        "\x1b[2J",
    ),
]
texts = st.lists(st.sampled_from(LINES), max_size=40).map("\n".join)


def blocks_of(text: str, *cuts: int) -> list[Block]:
    blocks, done, begin = Blocks(), [], 0
    for cut in [*sorted(cuts), len(text)]:
        done += blocks.feed(text[begin:cut])
        blocks.open()
        begin = max(begin, cut)
    return done + blocks.end()


@settings(max_examples=50)
@given(texts, st.lists(st.integers(0, 400), max_size=20))
def test_any_split_gives_the_same_blocks(text: str, cuts: list[int]) -> None:
    """However the text arrives, and however often it is looked at meanwhile."""
    assert blocks_of(text, *cuts) == blocks_of(text)


@settings(max_examples=50)
@given(texts)
def test_no_line_is_lost(text: str) -> None:
    """Every line but empty ones and fences is in one block, in its place."""
    whole = [line.strip() for block in blocks_of(text) for line in block.lines if line.strip()]
    source = [line.strip() for line in text.split("\n") if line.strip()]

    assert [line for line in source if not line.startswith(("```", "~~~"))] == [
        line for line in whole if not line.startswith(("```", "~~~"))
    ]


@settings(max_examples=50)
@given(texts, st.integers(0, 400))
def test_what_is_finished_never_changes(text: str, cut: int) -> None:
    """The blocks of a beginning are the first blocks of the whole."""
    begun = Blocks().feed(text[:cut])

    assert blocks_of(text)[: len(begun)] == begun


CUT: dict[str, tuple[str, list[tuple[str, ...]]]] = {
    # the text, the kind of each of its blocks with its lines
    "a fence ends a paragraph": ("text\n```\ncode\n```", [("paragraph", "text"), ("code", "code")]),
    "a title ends a paragraph": (
        "text\n# Title\nmore",
        [("paragraph", "text"), ("line", "# Title"), ("paragraph", "more")],
    ),
    "a quotation ends a paragraph": (
        "text\n> quoted\nmore",
        [("paragraph", "text"), ("quote", "> quoted", "more")],
    ),
    "a line of stars ends a paragraph": ("text\n***", [("paragraph", "text"), ("line", "***")]),
    "an item ends a paragraph": ("text\n- item", [("paragraph", "text"), ("item", "- item")]),
    "an item without text ends no paragraph": ("text\n+\nmore", [("paragraph", "text", "+", "more")]),
    "a tilde fence": ("~~~ py x\n  a\n~~~", [("code", "  a")]),
    "a title ends an item": ("- item\n# Title", [("item", "- item"), ("line", "# Title")]),
    "a quotation ends an item": ("- item\n> quoted", [("item", "- item"), ("quote", "> quoted")]),
    "a fence ends an item": ("- item\n```\nx\n```", [("item", "- item"), ("code", "x")]),
    "a rule ends an item": ("- item\n---", [("item", "- item"), ("line", "---")]),
    "an item goes on without its indent": (
        "- item\nmore\n\nother",
        [("item", "- item", "more"), ("paragraph", "other")],
    ),
    "an item goes on below an empty line": ("- item\n\n  more", [("item", "- item", "", "  more")]),
    "an item has code": ("- item\n  ```\n  x", [("item", "- item", "  ```", "  x")]),
    "a tab is as wide as four spaces": ("10. ten\n\n\tmore", [("item", "10. ten", "", "\tmore")]),
    "too little indent for an item": (
        "10. ten\n\n   other",
        [("item", "10. ten"), ("paragraph", "   other")],
    ),
    "code that begins an item": ("-     a\n  b", [("item", "-     a", "  b")]),
    "spaces after the mark": ("-  a\n\n  b", [("item", "-  a"), ("paragraph", "  b")]),
    "a quotation goes on without its mark": (
        "> quoted\nmore\n2. on",
        [("quote", "> quoted", "more", "2. on")],
    ),
    "a title ends a quotation": ("> quoted\n# Title", [("quote", "> quoted"), ("line", "# Title")]),
    "a rule ends a quotation": ("> quoted\n***", [("quote", "> quoted"), ("line", "***")]),
    "an item ends a quotation": ("> quoted\n- item", [("quote", "> quoted"), ("item", "- item")]),
    "a fence ends a quotation": ("> quoted\n```\nx", [("quote", "> quoted"), ("code", "x")]),
    "a title by its line below": ("Title\n===\ntext", [("paragraph", "Title", "==="), ("paragraph", "text")]),
    "a title by dashes": ("Title\n---\ntext", [("paragraph", "Title", "---"), ("paragraph", "text")]),
    "a title is whole": ("# Title\n===", [("line", "# Title"), ("paragraph", "===")]),
    "no title that far in": ("    # no title", [("paragraph", "    # no title")]),
    "no title without a space": ("#no\n#", [("paragraph", "#no"), ("line", "#")]),
    "no title with seven": ("####### a", [("paragraph", "####### a")]),
    "no fence with a backtick after it": ("```a`b\ntext", [("paragraph", "```a`b", "text")]),
    "a tilde fence may have one": ("~~~a`b\ntext", [("code", "text")]),
    "code that stands in": ("  ```\n  a\n b\n   c\n```", [("code", "a", "b", " c")]),
    "a shorter fence ends no code": ("````\n```\n````", [("code", "```")]),
    "another fence ends no code": ("```\n~~~\n```", [("code", "~~~")]),
    "a fence with text ends no code": ("```\nx\n``` y\n```", [("code", "x", "``` y")]),
    "a table": ("a|b\n-|-\n1|2\n\ntext", [("table", "a|b", "-|-", "1|2"), ("paragraph", "text")]),
    "a bar is no table": ("a|b\ntext", [("paragraph", "a|b", "text")]),
    "other marks": ("* a\n- b\n+ c", [("item", "* a"), ("item", "- b"), ("item", "+ c")]),
    "ten digits are no number": ("1234567890. a", [("paragraph", "1234567890. a")]),
    "nine digits are": ("123456789. a", [("item", "123456789. a")]),
    "rules": ("- - -\n_ _ _\n--", [("line", "- - -"), ("line", "_ _ _"), ("paragraph", "--")]),
}


@pytest.mark.parametrize(("text", "expected"), CUT.values(), ids=CUT)
def test_what_belongs_to_a_block(text: str, expected: list[tuple[str, ...]]) -> None:
    """As CommonMark has it, but for nested blocks, which stay in the one around them."""
    assert [(block.kind, *block.lines) for block in blocks_of(text)] == expected


def test_a_block_is_finished_when_the_next_begins() -> None:
    """A paragraph by an empty line, an item by the next one, a heading at once."""
    blocks = Blocks()

    assert blocks.feed("One\ntwo\n") == []
    assert blocks.feed("\n") == [Block("paragraph", ("One", "two"), gap=False)]
    assert blocks.feed("# Title\n") == [Block("line", ("# Title",), gap=True)]
    assert blocks.feed("- a\n  more\n") == []
    assert blocks.feed("- b\n") == [Block("item", ("- a", "  more"), gap=True)]
    assert blocks.open() == [Block("item", ("- b",), gap=False)]
    assert blocks.end() == [Block("item", ("- b",), gap=False)]


def test_items_are_numbered_on() -> None:
    """From the first number, as CommonMark has it; another kind of mark is another list."""
    assert [block.number for block in blocks_of("3. a\n3. b\n\n3. c\n1) d\n- e")] == [3, 4, 5, 1, None]
    assert [block.gap for block in blocks_of("1. a\n2. b\n\n3. c")] == [False, False, True]


def test_a_number_in_a_paragraph_is_no_list() -> None:
    """Only a list from 1 may begin without an empty line above."""
    assert len(blocks_of("The year was\n1984. It was cold.")) == 1
    assert len(blocks_of("Steps:\n1. Sit.")) == 2


def test_code_is_finished_in_parts() -> None:
    """Each has twenty lines, and knows the lines before them."""
    lines = tuple(f"x = {number}" for number in range(45))
    parts = blocks_of("\n".join(["```py x", *lines, "```"]))

    assert [len(part.lines) for part in parts] == [20, 20, 5]
    assert [(part.begins, part.ends) for part in parts] == [(True, False), (False, False), (False, True)]
    assert parts[2].before == lines[:40]
    assert {part.language for part in parts} == {"py"}


def test_a_long_table_has_its_header_again() -> None:
    """After fifty rows there is another table with the same columns."""
    rows = [f"| {number} | x |" for number in range(60)]
    first, second = blocks_of("\n".join(["| a | b |", "|---|---|", *rows]))

    assert (len(first.lines), len(second.lines)) == (52, 12)
    assert second.lines[:2] == ("| a | b |", "|---|---|")
    assert not second.gap


def test_what_is_open_is_never_long() -> None:
    """A line, a paragraph, an item, a quotation, a table and code without an end are cut all the same."""
    endless = ["x" * 50_000, "word " * 20_000, "line\n" * 5_000, "- a\n" + "  b\n" * 5_000]
    endless += ["> q\n" * 5_000, "|a|\n|-|\n" + "|1|\n" * 5_000, "```\n" + "code\n" * 5_000]
    for text in endless:
        blocks = Blocks()
        done = [
            block for begin in range(0, len(text), 500) for block in blocks.feed(text[begin : begin + 500])
        ]
        left = sum(len(line) for block in blocks.open() for line in block.lines)

        assert left <= 16_000
        assert done


def test_a_long_item_goes_on_where_it_stands() -> None:
    """The part after a cut stands in as far as the part before it."""
    item = "\n".join(["- first", *(f"  - inner {number}" for number in range(150))])
    first, second = blocks_of(item)

    assert (first.kind, len(first.lines)) == ("item", 100)
    assert (second.kind, second.indent, second.lines[0]) == ("paragraph", 2, "- inner 99")


def test_the_end_of_code_is_not_shown_as_code() -> None:
    """A line that may become its closing fence waits until it is complete."""
    for line in ("``", "  ```", "``` "):
        blocks = Blocks()
        blocks.feed(f"```\ncode\n{line}")

        assert blocks.open()[0].lines == ("code",)


def test_where_a_long_paragraph_is_cut() -> None:
    """After the line that brings it to 8,000 characters, each line with its end, or after 100 lines."""
    line = "x" * 3_999
    assert [len(block.lines) for block in blocks_of("\n".join([line, line, "y"]))] == [2, 1]
    assert [len(block.lines) for block in blocks_of("\n".join([line, line[1:], "y", "z"]))] == [3, 1]
    assert [len(block.lines) for block in blocks_of("y\n" * 201)] == [100, 100, 1]


def test_where_a_long_line_is_cut() -> None:
    """At the last space of its first 4,000 characters, else after them."""
    half = "x" * 1_999
    for text, expected in (
        ("x" * 4_000, [4_000]),
        ("x" * 4_001, [4_000, 1]),
        (f"{half} {half} {half}", [3_999, 1_999]),
        (f" {'x' * 4_000}", [4_000, 1]),
    ):
        assert [len(line) for block in blocks_of(text) for line in block.lines] == expected
