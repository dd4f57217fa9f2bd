"""Assembles the arguments of one tool call, and finds where their JSON text ends.

Some servers send the arguments again when they are whole, or ``{}`` before them (vLLM's xlam parser, vllm
issue 51697; LocalAI issue 9722; bridges from Anthropic's API; all seen November 2026). Each character is
scanned once.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from onplan.flow import decode_json

_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'"|\\.?', re.DOTALL)
_SORTED = msgspec.json.Encoder(order="sorted")
_EMPTY = re.compile(r"\s*(?:\{\s*\}\s*)+(?=\{)")  # empty objects before another object
# The beginning of an object that cannot be inside a string: after a closing quote comes one of `:,]}`.
_OBJECT = re.compile(r"\{\s*\"[^:,\]}\s\"]")
_SHORT = 32  # characters; arguments that are a number or a word are not longer


class Arguments:
    """The arguments of one call, as far as they have arrived.

    Attributes:
        whole: whether their JSON text has ended; only an object, an array or a string can show that.
    """

    __slots__ = ("_after", "_begun", "_depth", "_escaped", "_grows", "_inside", "_pieces", "whole")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pieces: list[str] = []
        self._after: list[str] = []  # what came after the end
        self._begun = self._inside = self._escaped = self.whole = False
        self._depth = 0  # of braces and brackets; -1 if the text is a number or a word
        # _inside: within a string; _escaped: the next character there is escaped.
        self._grows = False  # whether each piece repeats all of the text so far

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def text(self) -> str:
        """The text, up to its end."""
        return "".join(self._pieces)

    @property
    def is_placeholder(self) -> bool:
        """Whether they are an empty object, which bridges from Anthropic's API send before the arguments."""
        return self.whole and len(self._pieces) == 1 and not self._pieces[0].strip("{} \t\r\n")

    @property
    def expect_a_value(self) -> bool:
        """Whether a value, such as an inner object, may come next."""
        if self.whole or self._inside:
            return False
        last = next(filter(None, map(str.rstrip, reversed(self._pieces))), "")
        return last.endswith((":", ",", "["))

    def add(self, piece: str) -> str:
        """Add a piece. Returns what it adds to the text: nothing once the JSON text has ended."""
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
        """The new part of a piece that repeats all of the text so far.

        The first such piece is recognised because an object begins where JSON does not allow one.
        """
        begins = self._grows or (_OBJECT.match(piece) if self._inside else not self.expect_a_value)
        # No piece is empty, so a repetition of all of them is at least as long as their number: a cheap test.
        if not begins or len(piece) < len(self._pieces) or len(piece) < sum(map(len, self._pieces)):
            return piece
        text = self.text
        if not piece.startswith(text) or (piece == text and not self._grows):
            return piece
        self._grows = True
        self._pieces = [text]
        return piece[len(text) :]

    def _is_replaced_by(self, piece: str) -> bool:
        """Whether ``piece`` begins the arguments, and the empty object before was a placeholder."""
        return self.is_placeholder and not self._after and piece.lstrip().startswith("{")

    def _end_in(self, piece: str) -> int | None:
        """The position in ``piece`` where the JSON text ends; None if it does not end in it."""
        if not self._begun:
            begun = piece.lstrip()
            if not begun:
                return None
            self._begun = True
            if begun[0] not in '{["':  # a number or a word: no character marks its end
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
                self._escaped = len(mark) == 1  # the escaped character is in the next piece
            else:
                self._depth += 1 if mark in "{[" else -1
            if self._depth <= 0 and not self._inside:
                return position
        return None

    def finish(self) -> str:
        """Note that no more pieces come. Text after the end is added and returned, unless it is a repetition.

        If the result is not valid JSON, the program can answer the call with an error.
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
        """Whether they are valid JSON, also if they are a number or a word."""
        if self.whole:
            return True
        short = len(self._pieces) <= _SHORT and sum(map(len, self._pieces)) <= _SHORT
        return short and decode_json(self.text.encode()) is not None


class FreeText:
    """The text for a custom tool, as far as it has arrived; the same interface as ``Arguments``.

    Nothing in it shows where it ends, so it counts as whole when the server says that the answer has ended.
    """

    __slots__ = ("_pieces",)
    whole = is_placeholder = expect_a_value = False
    is_whole = True

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def text(self) -> str:
        """The text."""
        return "".join(self._pieces)

    def add(self, piece: str) -> str:
        """Add a piece. Returns it."""
        self._pieces.append(piece)
        return piece

    def finish(self) -> str:
        """Note that no more pieces come."""
        return ""


def text_of(arguments: Any) -> str:
    """``arguments`` as JSON text. Ollama sends an object; gateways in PHP send ``[]`` for ``{}``."""
    if isinstance(arguments, str):
        return arguments
    if arguments is None or arguments is False:
        return ""
    return "{}" if arguments == [] else msgspec.json.encode(arguments).decode()


def meaning_of(arguments: str) -> str | bytes:
    """A normal form, equal for two JSON texts that differ only in white space and the order of keys."""
    value = decode_json(arguments.encode())
    return arguments.strip() if value is None else _SORTED.encode(value)
