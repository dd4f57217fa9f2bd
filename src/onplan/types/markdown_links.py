"""Finds the links in a Markdown text, ``[title](https://…)``; links in code and images are left out.

The rules are CommonMark's (0.31, sections 6.1, 6.3 and 6.4) as far as models use them. A link lies within one
paragraph. Fenced code and code spans hold none; code that is only indented is taken for text, since the items
of lists are indented, too. The work grows with the length of the text, whatever is in it: no character
belongs to more than ``_DEEPEST`` attempts to read an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

_FENCE = re.compile(r"(?:[ \t]|>|[-*+] |\d{1,9}[.)] )*(`{3,}(?=[^`]*$)|~{3,})")
_MARKS = re.compile(r"\\.|`+|!?\[|\]")
_RUN = re.compile("`+")
_DESTINATION = re.compile(r"[ \t\r\n]*+(?:<((?:[^<>\\\n]|\\.)*)>)?")
_PIECE = re.compile(r"\\[!-/:-@\[-`{-~]|[()]|[^\\()\s]+|\\")
_TITLE = r""""(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|\((?:[^()\\]|\\.)*+\)"""
_TITLE_AND_END = re.compile(rf"(?:[ \t\r\n]++(?:{_TITLE}))?[ \t\r\n]*+\)", re.DOTALL)
_WEB = re.compile(r"https?://[^\s\x00-\x20\x7f]+", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_DEEPEST = 4  # parentheses within parentheses of an address
_LONGEST = 8_192  # characters of an address


@dataclass(frozen=True, slots=True)
class Link:
    """A link: where it points to, and the places of its brackets in the text."""

    url: str
    title: str
    start: int
    end: int


def links_in(text: str) -> list[Link]:
    """The links to web pages in ``text``, in order."""
    return [link for begin, end in _paragraphs(text) for link in _links(text, begin, end)]


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """The places of the text between empty lines and outside fenced code."""
    begin, at, fence = 0, 0, ""
    for line in text.split("\n"):
        size = len(line) + 1
        mark = _FENCE.match(line)
        if fence:
            closes = line.strip(" \t\r\n>")
            if set(closes) == {fence[0]} and len(closes) >= len(fence):
                fence = ""
            begin = at + size
        elif mark or not line.strip(" \t\r\n>"):
            yield begin, at
            fence = mark[1] if mark else ""
            begin = at + size
        at += size
    yield begin, min(at, len(text))


def _links(text: str, begin: int, end: int) -> Iterator[Link]:
    closing = _closing_runs(text, begin, end)
    openers: list[tuple[int, bool]] = []  # where a bracket opens, and whether it is an image's
    at = begin
    while mark := _MARKS.search(text, at, end):
        at = mark.end()
        match mark[0][0]:
            case "`":
                at = closing.get(mark.start(), at)
            case "[" | "!":
                openers.append((mark.start(), mark[0][0] == "!"))
            case "]" if openers:
                start, is_image = openers.pop()
                found = _target(text, at, end) if text.startswith("(", at, end) else None
                if found is None:
                    continue
                url, at = found
                if not is_image:
                    openers.clear()  # no link holds another one
                    if _WEB.fullmatch(url):
                        title = " ".join(_plain(text[start + 1 : mark.start()]).split())
                        yield Link(url, title, start, at)


def _closing_runs(text: str, begin: int, end: int) -> dict[int, int]:
    """For each run of backticks that opens a code span, where the span ends."""
    closing: dict[int, int] = {}
    next_end: dict[int, int] = {}  # by the length of a run: where the next one ends
    for run in reversed(list(_RUN.finditer(text, begin, end))):
        size = run.end() - run.start()
        if size in next_end:
            closing[run.start()] = next_end[size]
        next_end[size] = run.end()
    return closing


def _target(text: str, at: int, end: int) -> tuple[str, int] | None:
    """The address in the parentheses that open at ``at``, and where they end; None if it is not a link."""
    begun = cast("re.Match[str]", _DESTINATION.match(text, at + 1, end))  # nothing at all fits, too
    url, at = begun[1], begun.end()
    if url is None:
        stop = _address_end(text, at, end)
        if stop is None:
            return None
        url, at = text[at:stop], stop
    closed = _TITLE_AND_END.match(text, at, end)
    return (_plain(url).replace("&amp;", "&"), closed.end()) if closed else None


def _address_end(text: str, at: int, end: int) -> int | None:
    """Where the address that begins at ``at`` ends: before white space, or a parenthesis it did not open."""
    depth, end = 0, min(end, at + _LONGEST)
    while piece := _PIECE.match(text, at, end):
        if piece[0] == "(":
            depth += 1
            if depth > _DEEPEST:
                return None
        elif piece[0] == ")":
            if depth == 0:
                break
            depth -= 1
        at = piece.end()
    return None if depth else at


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
