"""How Markdown is cut into blocks."""

from __future__ import annotations

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
    blocks = Blocks()
    blocks.feed("```\ncode\n``")

    assert blocks.open()[0].lines == ("code",)
