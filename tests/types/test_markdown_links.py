"""Which links a Markdown text has."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.types.markdown_links import Link, links_in

from ..amount_of_work import lines_run

A = "https://a.example"
FOUND = {
    "a link": ("See [the page](https://a.example).", [("the page", A)]),
    "in parentheses": (
        "Paris ([a.example](https://a.example/x?utm_source=openai)).",
        [("a.example", f"{A}/x?utm_source=openai")],
    ),
    "two": ("[a](https://a.example)[b](http://b.example)", [("a", A), ("b", "http://b.example")]),
    "parentheses in the address": ("[a](https://a.example/b_(c))", [("a", f"{A}/b_(c)")]),
    "an address in angle brackets": ("[a](<https://a.example/(>)", [("a", f"{A}/(")]),
    "a title": ("[a]( https://a.example 'b' ) [c](https://a.example (d))", [("a", A), ("c", A)]),
    "brackets in the text": ("[a [b] c](https://a.example)", [("a [b] c", A)]),
    "over two lines": ("[a\nb](\nhttps://a.example\n)", [("a b", A)]),
    "escapes": (r"[a\]b](https://a.example/\(c) \[d](https://d.example)", [("a]b", f"{A}/(c")]),
    "an ampersand": ("[a](https://a.example?b&amp;copy=1)", [("a", f"{A}?b&copy=1")]),
    "a link inside another": ("[a [b](https://a.example) c](https://c.example)", [("b", A)]),
    "an image": ("![a](https://a.example/a.png)", []),
    "an image inside a link": (
        "[![a](https://i.example)](https://a.example)",
        [("![a](https://i.example)", A)],
    ),
    "another scheme": ("[a](mailto:a@a.example) [b](/b) [c](javascript:x) [d](#d)", []),
    "white space in the address": ("[a](https://a.example/b c)", []),
    "an empty line inside": ("[a\n\nb](https://a.example) [c](https:\n\n//c.example)", []),
    "a code span": ("`[a](https://a.example)` ``[a](https://a.example)` ``", []),
    "a code span that is not closed": ("` [a](https://a.example)\n\n`", [("a", A)]),
    "a link that begins in code": ("`[a`](https://a.example)", []),
    "fenced code": ("```py\n[a](https://a.example)\n```\n[b](https://a.example)", [("b", A)]),
    "a fence in a list": ("- x\n  ~~~\n  [a](https://a.example)\n  ~~~\n", []),
    "a fence that is not closed": ("~~~\n[a](https://a.example)\n```\n", []),
    "a long last line in it": ("~~~\n[a](https://a.example)\n" + "x" * 60, []),
    "a line of words at the end of fenced code": ("~~~\n~~~ a\n[a](https://a.example)", []),
    "a longer fence": ("````\n```\n[a](https://a.example)\n````\n", []),
    "line ends of Windows": (
        "```\r\n[a](https://a.example)\r\n```\r\n[b](https://a.example)\r\n",
        [("b", A)],
    ),
    "a long end of fenced code": ("```\n[a](https://a.example)\n```" + " " * 60 + "\n", []),
    "an empty line of spaces": (
        "[a](https://a.example)\n" + " " * 60 + "\n[b\n   \nc](https://a.example) [d](https://a.example)",
        [("a", A), ("d", A)],
    ),
    "parentheses in parentheses": (f"[a]({A}/((((b)))))", [("a", f"{A}/((((b))))")]),
    "too many of them": (f"[a]({A}/(((((b))))))", []),
    "a long address": (f"[a]({A.ljust(8_192, 'x')})", [("a", A.ljust(8_192, "x"))]),
    "a longer one": (f"[a]({A.ljust(8_193, 'x')})", []),
    "not closed": ("[a](https://a.example", []),
    "nothing": ("", []),
    "a control character": ("[a](https://a.example/\x1b]8;;)", []),
}


@pytest.mark.parametrize(("text", "links"), FOUND.values(), ids=FOUND)
def test_the_links_of_a_text(text: str, links: list[tuple[str, str]]) -> None:
    """Links to web pages in the text, and none in code, nor images."""
    found = links_in(text)
    assert [(link.title, link.url) for link in found] == links
    assert all(text[link.start] == "[" and text[link.end - 1] == ")" for link in found)


@given(st.text("[]()<>!`~\\\"' \nax:/#", max_size=60))
def test_whatever_the_text_is_a_known_link_after_it_is_found(text: str) -> None:
    """Nothing fails, places are in order and do not overlap; a later paragraph is read in any case."""
    found = links_in(text)
    places = [place for link in found for place in (link.start, link.end)]
    assert places == sorted(places)
    if "```" not in text and "~~~" not in text:
        whole = f"{text}\n\n[end](https://end.example)"
        assert links_in(whole)[-1] == Link("https://end.example", "end", len(text) + 2, len(whole))


HOSTILE = (
    *(
        "[",
        "]",
        "[a](",
        "[a]((",
        "![a](",
        "[a](<",
        '[a](x "',
        "[a](x '[a](x (",
        "[a](x[a](",
        "[x](" * 9 + "[a](b)",
    ),
    *("`", "\\", "> ", "1. ", "~~~\n", "a\n\n", "[a](\n", "[a](x ", "(x", "[a](" + " " * 99, '[a](x \\"'),
)


@pytest.mark.parametrize("piece", HOSTILE, ids=repr)
def test_hostile_text_is_read_in_steps_that_grow_with_its_length(piece: str) -> None:
    """Four times the text is about four times the work."""
    small, large = (lines_run(partial(links_in, piece * count)) for count in (300, 1_200))
    assert large < 5 * small + 100
