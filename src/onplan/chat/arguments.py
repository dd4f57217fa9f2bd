"""The arguments of one tool call while they arrive: where their JSON text ends, and what comes after it.

Servers are known that send the arguments once more when they are whole, or ``{}`` before them (seen November
2026: vLLM's xlam parser, LocalAI, bridges from Anthropic's API). Every character is looked at once.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from onplan.flow import decode_json

_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'"|\\.?', re.DOTALL)
_SORTED = msgspec.json.Encoder(order="sorted")
_EMPTY = re.compile(r"\s*(?:\{\s*\}\s*)+(?=\{)")  # objects before another one
# The beginning of an object, and no more of a text: what may follow the mark that ends a text is not here.
_OBJECT = re.compile(r"\{\s*\"[^:,\]}\s\"]")
_SHORT = 32  # characters, of a text that is no object: a number or a word


class Arguments:
    """The arguments so far.

    Attributes:
        whole: whether their JSON text, if it is an object, an array or a string, has ended.
    """

    __slots__ = ("_after", "_begun", "_depth", "_escaped", "_grows", "_inside", "_pieces", "whole")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pieces: list[str] = []
        self._after: list[str] = []  # what came after the end
        self._begun = self._inside = self._escaped = self.whole = False
        self._depth = 0  # of braces and brackets; -1 in a text that has none
        # _inside: a string, where _escaped: the next character is.
        self._grows = False  # whether every piece is all of the text so far

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def text(self) -> str:
        """The text, up to its end."""
        return "".join(self._pieces)

    @property
    def is_placeholder(self) -> bool:
        """Whether they are an empty object, which some servers put before the arguments."""
        return self.whole and len(self._pieces) == 1 and not self._pieces[0].strip("{} \t\r\n")

    @property
    def expect_a_value(self) -> bool:
        """Whether the next character may begin an object inside of this one."""
        if self.whole or self._inside:
            return False
        last = next(filter(None, map(str.rstrip, reversed(self._pieces))), "")
        return last.endswith((":", ",", "["))

    def add(self, piece: str) -> str:
        """Take one more piece. Returns what it adds to the text, which is nothing once the JSON has ended."""
        if self._inside and '"' not in piece and "\\" not in piece and not self._escaped:
            self._pieces.append(piece)
            return piece
        if self.whole:
            if not self._is_replaced_by(piece):
                self._after.append(piece)
                return ""
            self._begin()
        elif self._begun and piece[:1] == "{":
            piece = self._without_what_came(piece)
        if not self._begun and (empty := _EMPTY.match(piece)):
            piece = piece[empty.end() :]
        end = self._end_in(piece)
        if end is not None:
            self.whole = True
            if end < len(piece):
                self._after.append(piece[end:])
                piece = piece[:end]
        if piece:
            self._pieces.append(piece)
        return piece

    def _without_what_came(self, piece: str) -> str:
        """What is new of a piece that is all of the text so far, and more.

        The first such piece is known by an object that begins where no JSON goes on so; in a text, or in
        what may be one, by how it begins.
        """
        begins = self._grows or (_OBJECT.match(piece) if self._inside else not self.expect_a_value)
        # No piece is empty: one that is shorter than their number is not all of them, which costs no look.
        if not begins or len(piece) < len(self._pieces) or len(piece) < sum(map(len, self._pieces)):
            return piece
        text = self.text
        if not piece.startswith(text) or (piece == text and not self._grows):
            return piece
        self._grows = True
        self._pieces = [text]
        return piece[len(text) :]

    def _is_replaced_by(self, piece: str) -> bool:
        """Whether ``piece`` begins the arguments for which an empty object was a placeholder."""
        return self.is_placeholder and not self._after and piece.lstrip().startswith("{")

    def _end_in(self, piece: str) -> int | None:
        """How much of ``piece`` belongs to the JSON text, if that ends there; None if it does not end yet."""
        if not self._begun:
            begun = piece.lstrip()
            if not begun:
                return None
            self._begun = True
            if begun[0] not in '{["':  # a number, or a word: no character says that it ends
                self._depth = -1
        if self._depth < 0:
            return None
        position = int(self._escaped)
        self._escaped = False
        while found := (_INSIDE if self._inside else _OUTSIDE).search(piece, position):
            position = found.end()
            mark = found[0]
            if mark == '"':
                self._inside = not self._inside
            elif self._inside:
                self._escaped = len(mark) == 1  # what it escapes is in the next piece
            else:
                self._depth += 1 if mark in "{[" else -1
            if self._depth <= 0 and not self._inside:
                return position
        return None

    def finish(self) -> str:
        """No more pieces come: add what came after the end, unless it repeats the text. Gives what it added.

        What a model wrote and is no JSON is for the program to answer.
        """
        after, self._after = "".join(self._after), []
        text = self.text.strip()
        if not after.replace(text, "").strip() or meaning_of(text) == meaning_of(after):
            return ""
        self._pieces.append(after)
        self.whole = False
        return after

    @property
    def is_whole(self) -> bool:
        """Whether they can be read: also where it is a number or a word, and after ``finish``."""
        if self.whole:
            return True
        short = len(self._pieces) <= _SHORT and sum(map(len, self._pieces)) <= _SHORT
        return short and decode_json(self.text.encode()) is not None


def text_of(arguments: Any) -> str:
    """As text: some servers send an object, and PHP an empty list where an empty object is meant."""
    if isinstance(arguments, str):
        return arguments
    if arguments is None or arguments is False:
        return ""
    return "{}" if arguments == [] else msgspec.json.encode(arguments).decode()


def meaning_of(arguments: str) -> str | bytes:
    """A normal form: the same for two JSON texts that differ only in spaces and in the order of keys."""
    value = decode_json(arguments.encode())
    return arguments.strip() if value is None else _SORTED.encode(value)
