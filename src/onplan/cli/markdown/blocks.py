"""Cuts Markdown that arrives in pieces into blocks.

A block is finished when something after it has begun, and never changes then. Blocks are those of CommonMark
0.31 with the tables of GFM, seen line by line; each item of a list is one of its own. Long ones are cut at
places that depend on the text alone, so what is still open is never long, and however the text was split on
its way, the blocks are the same.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["paragraph", "line", "quote", "item", "table", "code"]

_LONGEST_LINE = 4_000  # characters; a longer one is cut at a space
_LONGEST = 8_000  # characters of a block that is no code
_MOST_LINES = 100
_CODE_LINES = 20  # of code, after which they are finished; the colours of the next ones may look back
_LOOK_BACK = 100
_ROWS = 50

_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})[ \t]*(.*)")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")  # makes a heading of the paragraph above
_QUOTE = re.compile(r" {0,3}>")
_ITEM = re.compile(r"( {0,3})([-*+]|(\d{1,9})[.)])(?:( +)(?=\S)|\s*$)")
_DELIMITER = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")  # of a table


@dataclass(frozen=True, slots=True)
class Block:
    """A block of Markdown, or a part of a long one.

    Attributes:
        kind: what it is; a ``line`` is a heading or a rule.
        lines: of its source; of code, without the fences.
        gap: whether an empty line stands before it.
        number: of an item in a numbered list.
        indent: columns by which a part of an item stands in.
        language: what the fence says that the code is.
        before: the lines of the same code before these, as far as colours look back.
        begins, ends: whether it is the first and the last part of its code.
    """

    kind: Kind
    lines: tuple[str, ...]
    gap: bool
    number: int | None = None
    indent: int = 0
    language: str = ""
    before: tuple[str, ...] = ()
    begins: bool = True
    ends: bool = True


@dataclass(frozen=True, slots=True)
class _Open:
    """The block that the next line may belong to.

    Attributes:
        size: characters of its lines.
        marker: of an item: the character that items of the same list have.
        offset: of an item: the column at which its content begins; of code: that of its fence.
        fence: of code: what ends it.
        blank: whether its last line is empty.
    """

    kind: Kind
    gap: bool
    lines: tuple[str, ...] = ()
    size: int = 0
    number: int | None = None
    marker: str = ""
    offset: int = 0
    language: str = ""
    fence: str = ""
    before: tuple[str, ...] = ()
    begins: bool = True
    blank: bool = False

    def plus(self, line: str) -> _Open:
        return replace(
            self, lines=(*self.lines, line), size=self.size + len(line) + 1, blank=not line.strip()
        )


class Blocks:
    """Takes text and gives the blocks that are finished. ``open()`` is the rest, as it looks so far."""

    def __init__(self) -> None:
        self._rest = ""  # of a line that is not complete
        self._now: _Open | None = None
        self._before: _Open | None = None  # the block above, if it was an item: another one may follow
        self._blank = False  # whether there was an empty line since then
        self._begun = False
        self._done: list[Block] = []

    def feed(self, text: str) -> list[Block]:
        """The blocks that are finished with ``text``."""
        text, begin = self._rest + text, 0
        while True:
            end = text.find("\n", begin, begin + _LONGEST_LINE + 1)
            after = end + 1
            if end < 0:
                if len(text) - begin <= _LONGEST_LINE:
                    break
                end = text.rfind(" ", begin + 1, begin + _LONGEST_LINE)
                after = end + 1
                if end < 0:
                    end = after = begin + _LONGEST_LINE
            self._line(text[begin:end])
            begin = after
        self._rest = text[begin:]
        done, self._done = self._done, []
        return done

    def end(self) -> list[Block]:
        """What is left when the text has ended; the next text begins anew, below an empty line."""
        if self._rest:
            self._line(self._rest)
        self._finish()
        done, self._done = self._done, []
        self._rest, self._before, self._blank = "", None, False
        return done

    def open(self) -> list[Block]:
        """What is not finished, as it would be if the text ended here, but for the end of a code block."""
        rest = copy(self)
        rest._done = []
        if rest._rest and not rest._may_end_code():
            rest._line(rest._rest)
        rest._finish(ends=False)
        return rest._done

    def _may_end_code(self) -> bool:
        """Whether the line that is not complete can become the end of a code block."""
        now, rest = self._now, self._rest.strip()
        return bool(now and now.fence and rest and now.fence.startswith(rest))

    # --- lines --------------------------------------------------------------------------------------

    def _line(self, line: str) -> None:
        now = self._now
        if now and now.kind == "code":
            self._code_line(now, line)
        elif not line.strip():
            self._empty_line(now)
        elif now and _belongs(now, line):
            self._add(now, line)
        else:
            self._finish()
            self._begin(line)

    def _empty_line(self, now: _Open | None) -> None:
        if now and now.kind == "item":
            self._now = now.plus("")
        else:
            self._finish()
        self._blank = True

    def _add(self, now: _Open, line: str) -> None:
        if now.kind == "paragraph" and _UNDERLINE.match(line):
            self._now = now.plus(line)
            self._finish()
            return
        if len(now.lines) == 1 and "|" in now.lines[0] and "|" in line and _DELIMITER.match(line):
            now = replace(now, kind="table")
        self._now = now = now.plus(line)
        if now.kind == "table":
            if len(now.lines) >= _ROWS + 2:
                self._done.append(_block(now))
                self._now = replace(now, lines=now.lines[:2], gap=False, begins=False)
        elif len(now.lines) >= _MOST_LINES or now.size >= _LONGEST:
            self._done.append(_block(now))
            self._now = replace(now, lines=(), size=0, gap=False, begins=False)

    def _begin(self, line: str) -> None:
        gap, above, self._begun = self._begun, self._before, True
        self._before = None
        if fence := _fence(line):
            indent, marks, info = fence.groups()
            language = info.split()[0] if info.strip() else ""
            self._now = _Open("code", gap, offset=len(indent), fence=marks, language=language)
        elif _HEADING.match(line) or _RULE.match(line):
            self._now = _Open("line", gap).plus(line)
            self._finish()
        elif item := _ITEM.match(line.expandtabs(4)):
            self._begin_item(line, item, gap=gap, above=above)
        else:
            self._now = _Open("quote" if _QUOTE.match(line) else "paragraph", gap).plus(line)
        self._blank = False

    def _begin_item(self, line: str, item: re.Match[str], *, gap: bool, above: _Open | None) -> None:
        indent, mark, number, spaces = item.groups()
        marker = mark[-1]
        same_list = above is not None and above.marker == marker
        if same_list and not self._blank:
            gap = False
        count = int(number) if number else None
        if same_list and above and above.number is not None:
            count = above.number + 1
        inside = len(spaces) if spaces and len(spaces) <= 4 else 1
        offset = len(indent) + len(mark) + inside
        self._now = _Open("item", gap, number=count, marker=marker, offset=offset).plus(line)

    def _code_line(self, now: _Open, line: str) -> None:
        closing = _FENCE.fullmatch(line)
        if closing and closing[2].startswith(now.fence) and not closing[3].strip():
            self._finish()
            return
        here = min(now.offset, len(line) - len(line.lstrip(" ")))
        now = now.plus(line[here:])
        self._now = now
        if len(now.lines) >= _CODE_LINES:
            self._done.append(_block(now, ends=False))
            before = (*now.before, *now.lines)[-_LOOK_BACK:]
            self._now = replace(now, lines=(), size=0, gap=False, begins=False, before=before)

    def _finish(self, *, ends: bool = True) -> None:
        now, self._now = self._now, None
        if now is None:
            return
        self._before = now if now.kind == "item" else None
        self._blank = now.blank
        rows = len(now.lines) - (2 if now.kind == "table" and not now.begins else 0)
        if rows or now.kind == "code":
            self._done.append(_block(now, ends=ends or now.kind != "code"))


def _belongs(now: _Open, line: str) -> bool:
    """Whether ``line``, which is not empty, goes on with the block."""
    interrupts = bool(_fence(line) or _HEADING.match(line) or _QUOTE.match(line))
    if now.kind == "item":
        shown = line.expandtabs(4)
        if len(shown) - len(shown.lstrip(" ")) >= now.offset:
            return True
        return not (now.blank or interrupts or _RULE.match(line) or _ITEM.match(shown))
    if now.kind == "quote":
        return bool(_QUOTE.match(line)) or not (interrupts or _RULE.match(line) or _interrupting_item(line))
    if now.kind == "paragraph" and _UNDERLINE.match(line):
        return True
    return not (interrupts or _RULE.match(line) or _interrupting_item(line))


def _interrupting_item(line: str) -> bool:
    """Whether a list begins here even without an empty line above: not with any number, nor without text."""
    item = _ITEM.match(line.expandtabs(4))
    return bool(item and item[4] and item[3] in (None, "1"))


def _fence(line: str) -> re.Match[str] | None:
    found = _FENCE.fullmatch(line)
    return found if found and not (found[2][0] == "`" and "`" in found[3]) else None


def _block(now: _Open, *, ends: bool = True) -> Block:
    lines, indent = now.lines, 0
    if now.kind == "item":
        while lines and not lines[-1]:
            lines = lines[:-1]
        if not now.begins and lines:  # without its marker it is a text of its own, that stands in
            first = lines[0].expandtabs(4)
            indent = len(first) - len(first.lstrip(" "))
            lines = tuple(_without_indent(line, indent) for line in lines)
    kind: Kind = "paragraph" if now.kind == "item" and not now.begins else now.kind
    return Block(
        kind,
        lines,
        now.gap,
        number=now.number,
        indent=indent,
        language=now.language,
        before=now.before,
        begins=now.begins,
        ends=ends,
    )


def _without_indent(line: str, indent: int) -> str:
    shown = line.expandtabs(4)
    return shown[min(indent, len(shown) - len(shown.lstrip(" "))) :]
