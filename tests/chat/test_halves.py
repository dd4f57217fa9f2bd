r"""Characters whose halves came in two payloads, such as ``"\ud83d"`` and ``"\ude00"``."""

from __future__ import annotations

import json

import pytest

from onplan.chat.halves import Halves

CASES: dict[str, tuple[list[str], list[str]]] = {
    # payloads, and the texts in them
    "two halves": (['{"a":"x\\ud83d"}', '{"a":"\\ude00y"}'], ["x", "😀y"]),
    "in capitals": (['"\\uD83D"', '"\\uDE00"'], ["", "😀"]),
    "another field in between": (['"\\ud83d"', '"z"', '"\\ude00"'], ["", "z", "😀"]),
    "a whole character": (['"\\ud83d\\ude00"'], ["😀"]),
    "a first half that is not last": (['"\\ud83dx"', '"\\ude00"'], ["\ufffdx", "\ufffd"]),
    "a second half that is not first": (['"\\ud83d"', '"x\\ude00"'], ["", "x\ufffd"]),
    "a second half alone": (['"\\ude00"'], ["\ufffd"]),
    "a second half twice": (['"\\ud83d"', '"\\ude00\\ude00"', '"\\ude00"'], ["", "😀\ufffd", "\ufffd"]),
    "two first halves": (['"\\ud83d"', '"\\ud83e"', '"\\ude00"'], ["", "", "🨀"]),
    "other escapes": (['"\\u00e9\\n\\"\\\\"'], ['é\n"\\']),
    "an escaped backslash before": (['"\\\\ud83d"'], ["\\ud83d"]),
    "no escapes": (['"plain 😀"'], ["plain 😀"]),
    "the ends of the halves' ranges": (['"\\udbff"', '"\\udfff"'], ["", "\U0010ffff"]),
    "the beginnings of the halves' ranges": (['"\\ud800"', '"\\udc00"'], ["", "\U00010000"]),
    "beyond the halves": (['"\\ue000\\ud7ff"'], ["\ue000\ud7ff"]),
}


@pytest.mark.parametrize(("payloads", "texts"), CASES.values(), ids=CASES)
def test_halves_are_joined(payloads: list[str], texts: list[str]) -> None:
    """The first half waits for the second; a half without the other becomes the replacement character."""
    halves = Halves()
    found = [json.loads(halves.mend(payload.encode())) for payload in payloads]

    assert [each["a"] if isinstance(each, dict) else each for each in found] == texts
