"""Reads the one JSON value in an answer's text, and refuses what could be read in two ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from onplan.structured.misfit import Misfit

_FENCE = "```"


def json_value(text: str, number: Callable[[str], Any] = float) -> Any:
    """The JSON value that ``text`` is, or that is the only fenced code block in it.

    Models that no strict schema holds like to answer in Markdown. Any other text around the JSON is refused:
    which of several values is meant would be a guess.

    Args:
        text: the answer.
        number: makes a number of the digits of one that is not an integer.

    Raises:
        Misfit: it is not JSON (RFC 8259), is nested too deeply, or names a property twice.
    """
    text = text.strip().removeprefix("\ufeff")
    if not text:
        raise Misfit("it is empty")
    try:
        return _value(text, number)
    except Misfit:
        block = _fenced(text)
        if block is None:
            raise
    return _value(block, number)


def _value(text: str, number: Callable[[str], Any]) -> Any:
    try:
        # The first reader takes JSON and nothing else: no NaN, no half of a character, no number out of
        # range. It keeps the last of several properties of one name, which the second reader refuses.
        msgspec.json.decode(text)
        return json.loads(text, object_pairs_hook=_object, parse_float=number)
    except msgspec.DecodeError as error:
        raise Misfit(f"it is not JSON ({_words(error)})") from None
    except UnicodeEncodeError:
        raise Misfit("it holds half of a character (a lone surrogate)") from None
    except RecursionError:
        raise Misfit("it is nested too deeply") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise Misfit(f"it is not JSON ({error})") from None


def _words(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Misfit(f"an object in it has the property {twice!r} twice")
    return found


def _fenced(text: str) -> str | None:
    """What stands between the first fence and the last, if there are two."""
    block, closed, _ = text.partition(_FENCE)[2].rpartition(_FENCE)
    if not closed:
        return None
    language, newline, inside = block.partition("\n")
    return inside if newline and language.strip().isalnum() else block
