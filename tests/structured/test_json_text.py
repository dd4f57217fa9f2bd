"""The one JSON value in a text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from onplan.structured.json_text import json_value
from onplan.structured.misfit import Misfit

READ: dict[str, tuple[str, Any]] = {
    "an object": ('{"a": [1, 2.5, "x", true, null]}', {"a": [1, 2.5, "x", True, None]}),
    "space around it": (' \n{"a": 1}\n', {"a": 1}),
    "a byte order mark": ('\ufeff{"a": 1}', {"a": 1}),
    "a fence": ('```json\n{"a": 1}\n```', {"a": 1}),
    "a fence without a language": ('```\n{"a": 1}\n```', {"a": 1}),
    "a fence on one line": ('```{"a": 1}```', {"a": 1}),
    "JSON right after the fence": ('```{"a":\n1}\n```', {"a": 1}),
    "a fence in prose": ('Here it is:\n\n```json\n{"a": 1}\n```\nAnything else?', {"a": 1}),
    "a fence in a string": ('{"a": "```json\\n1\\n```"}', {"a": "```json\n1\n```"}),
    "a fence in a string in a fence": ('```json\n{"a": "```"}\n```', {"a": "```"}),
    "a large integer": ("123456789012345678901234567890", 123456789012345678901234567890),
    "other planes": ('"\\ud83d\\udc26 \U0001f426"', "\U0001f426 \U0001f426"),
}


@pytest.mark.parametrize(("text", "value"), READ.values(), ids=READ)
def test_what_is_read(text: str, value: Any) -> None:
    """JSON is read, also when it is the only code block in Markdown."""
    assert json_value(text) == value


REFUSED = {
    "nothing": ("", "it is empty"),
    "space": (" \n", "it is empty"),
    "prose": ("No.", "it is not JSON (invalid character"),
    "text before": ('So: {"a": 1}', "invalid character"),
    "text after": ('{"a": 1} so', "trailing characters"),
    "two values": ("1 2", "trailing characters"),
    "two fences": ("```\n1\n```\n```\n2\n```", "trailing characters"),
    "an open fence": ('```json\n{"a": 1}', "invalid character"),
    "an empty fence": ("```json\n```", "truncated"),
    "half an object": ('{"a": {"b": 1}', "truncated"),
    "single quotes": ("{'a': 1}", "object keys must be strings"),
    "a comma too many": ("[1,]", "trailing comma"),
    "a comment": ("[1 // one\n]", "expected ',' or ']'"),
    "NaN": ("[NaN]", "invalid character"),
    "Infinity": ("-Infinity", "invalid"),
    "a number out of range": ("1e400", "out of range"),
    "an endless integer": ("1" * 5_000, "out of range"),
    "a control character": ('"\x01"', "invalid character"),
    "half of a character": ('"\ud800"', "half of a character"),
    "half of a character, escaped": ('"\\ud800"', "it is not JSON"),
    "a property twice": ('[{"a": 1, "b": 2, "a": 1}]', "has the property 'a' twice"),
    "an open depth": ("[" * 100_000, "nested too deeply"),
    "a closed depth": ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deeply"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(text: str, words: str) -> None:
    """What is not JSON, or could be read in two ways, is refused with the reason."""
    with pytest.raises(Misfit) as caught:
        json_value(text)

    assert words in caught.value.problem


def test_numbers_keep_their_digits() -> None:
    """A number with a fraction is made by the function that is given for that."""
    assert json_value("[1, 0.10, 1e2]", Decimal) == [1, Decimal("0.10"), Decimal("1e2")]
    assert str(json_value("0.10", Decimal)) == "0.10"
