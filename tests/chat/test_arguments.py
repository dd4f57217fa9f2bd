"""The arguments of one call, piece by piece: what each adds, and where the JSON text ends."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.chat.arguments import Arguments, meaning_of, text_of


def added(pieces: list[str]) -> tuple[Arguments, list[str]]:
    arguments = Arguments()
    return arguments, [arguments.add(piece) for piece in pieces]


WHOLE: dict[str, list[str]] = {
    "one piece": ['{"a": 1}'],
    "several": ['{"a":', " 1", "}"],
    "each character": list('{"a": [1, {"b": "}"}]}'),
    "a brace in a string": ['{"a": "', "}", '"}'],
    "a bracket in a string": ['{"a": "]', "[", '"}'],
    "an escaped quote": ['{"a": "\\"}', '"}'],
    "a quote whose backslash came before": ['{"a": "\\', '"}', '"}'],
    "a letter whose backslash came before": ['{"a": "\\', 'n"', "}"],
    "a backslash that is escaped": ['{"a": "\\\\', '"}'],
    "a backslash whose backslash came before": ['{"a": "\\', '\\"', "}"],
    "an escaped line end": ['{"a": "\\\n', '"}'],
    "lists": ["[1, [2", "], ", "[3]]"],
    "a string": ['"x', '}y"'],
    "an object in an object": ['{"a": {"b"', ': {"c": 1}}', "}"],
    "space before": [" \n", '{"a": 1}'],
    "space before in the same piece": ['  {"a": 1}'],
    "an empty object": ["{", "}"],
    "an empty list": ["[]"],
    "an object like the text before it, as a value": ['{"a":', '{"a":', "1}}"],
    "an object in a list": ['{"a":[', '{"a":[', "]}]}"],
    "an object after another one": ['{"a":[{},', '{"a":[{},', "2]}]}"],
}


@pytest.mark.parametrize("pieces", WHOLE.values(), ids=WHOLE)
def test_the_text_of_pieces(pieces: list[str]) -> None:
    """Every piece is added as it is, and the last one ends the text."""
    arguments = Arguments()
    for piece in pieces:
        assert not arguments.whole
        assert arguments.add(piece) == piece
        assert bool(arguments)
    text = "".join(pieces)

    assert arguments.text == text
    assert arguments.whole
    assert arguments.finish() == ""
    assert arguments.text == text


@pytest.mark.parametrize(
    ("pieces", "is_whole"),
    [
        (["12", "3"], True),
        (["true"], True),
        (["tru"], False),
        (["null"], False),  # which is no arguments
        (["1" * 32], True),
        (["1" * 33], False),
        (["1"] * 32, True),
        (["1"] * 33, False),
        (["1", "e"], False),
        (['{"a":'], False),
        (['{"a": 1}'], True),
        ([], False),
    ],
    ids=lambda each: str(each)[:30],
)
def test_a_number_or_a_word_has_no_end(pieces: list[str], is_whole: bool) -> None:
    """Nothing marks it, so what is short and valid counts as whole."""
    arguments, said = added(pieces)

    assert said == pieces
    assert arguments.is_whole is is_whole
    assert arguments.whole is (pieces == ['{"a": 1}'])
    assert bool(arguments) is bool(pieces)


CHANGED: dict[str, tuple[list[str], list[str], str]] = {
    # pieces, what each adds, the text
    "a placeholder": (["{}", '{"a":', "1}"], ["{}", '{"a":', "1}"], '{"a":1}'),
    "a placeholder with space": (["{ \n}", ' {"a":1}'], ["{ \n}", ' {"a":1}'], ' {"a":1}'),
    "a placeholder in the same piece": (['{} {"a":1}'], ['{"a":1}'], '{"a":1}'),
    "several in the same piece": (['{}\n{ } {"a"', ":1}"], ['{"a"', ":1}"], '{"a":1}'),
    "only placeholders": (["{}{}"], ["{}"], "{}"),
    "the same again": (['{"a":1}', '{"a":1}'], ['{"a":1}', ""], '{"a":1}'),
    "the same again in pieces": (['{"a":1}', '{"a"', ":1}"], ['{"a":1}', "", ""], '{"a":1}'),
    "the same again, spaced": (
        ['{"b":2,"a":1}', '{ "a": 1, "b": 2 }'],
        ['{"b":2,"a":1}', ""],
        '{"b":2,"a":1}',
    ),
    "the same again in one piece": (['{"a":1} {"a":1}'], ['{"a":1}'], '{"a":1}'),
    "the same twice again": (['{"a":1}', ' {"a":1}\n', '{"a":1}'], ['{"a":1}', "", ""], '{"a":1}'),
    "space at the end": (['{"a":1}', " ", "\n"], ['{"a":1}', "", ""], '{"a":1}'),
    "all of it so far": (['{"a"', '{"a":', '{"a":1}'], ['{"a"', ":", "1}"], '{"a":1}'),
    "all of it so far, in a string": (
        ['{"a":"x', '{"a":"xy', '{"a":"xyz"}'],
        ['{"a":"x', "y", 'z"}'],
        '{"a":"xyz"}',
    ),
    "all of it so far, and nothing new": (
        ['{"a"', '{"a":', '{"a":', '{"a":1}'],
        ['{"a"', ":", "", "1}"],
        '{"a":1}',
    ),
    "all of it so far, several pieces before": (
        ['{"a', '"', '{"a":', '{"a":{"b', '{"a":{"b":1}}'],
        ['{"a', '"', ":", '{"b', '":1}}'],
        '{"a":{"b":1}}',
    ),
    "all of it so far, then an object without it": (
        ['{"a"', '{"a":', '{"b":1}}'],
        ['{"a"', ":", '{"b":1}}'],
        '{"a":{"b":1}}',
    ),
}


@pytest.mark.parametrize(("pieces", "said", "text"), CHANGED.values(), ids=CHANGED)
def test_what_is_said_again_is_left_out(pieces: list[str], said: list[str], text: str) -> None:
    """Placeholders before the arguments, and repetitions of them, add nothing."""
    arguments, found = added(pieces)

    assert (found, arguments.text) == (said, text)
    assert (arguments.whole, arguments.is_whole) == (True, True)
    assert arguments.finish() == ""
    assert arguments.text == text


AFTER: dict[str, tuple[list[str], str]] = {
    "another object": (['{"a":1}', '{"b":2}'], '{"b":2}'),
    "another object in the same piece": (['{"a":1}{"b":2}'], '{"b":2}'),
    "a brace too many": (['{"a":1}', "}"], "}"),
    "words": (['{"a":1} so', " what"], " so what"),
    "an object after words": (["{}", "so", '{"a":1}'], 'so{"a":1}'),
    "a list after an empty object": (["{}", "[1]"], "[1]"),
}


@pytest.mark.parametrize(("pieces", "after"), AFTER.values(), ids=AFTER)
def test_what_else_comes_after_the_end_is_kept(pieces: list[str], after: str) -> None:
    """It is added when no more comes, and the result is not whole: the program can answer with an error."""
    arguments, _ = added(pieces)
    before = arguments.text

    assert arguments.whole
    assert arguments.finish() == after
    assert arguments.text == before + after
    assert (arguments.whole, arguments.is_whole) == (False, False)
    assert arguments.finish() == ""


@pytest.mark.parametrize(
    ("pieces", "is_placeholder"),
    [
        (["{}"], True),
        ([" { \r\n\t} "], True),
        (["{", "}"], False),
        (['{"a":1}'], False),
        (["{"], False),
        (["[]"], False),
        ([], False),
    ],
    ids=str,
)
def test_what_may_be_a_placeholder(pieces: list[str], is_placeholder: bool) -> None:
    """An empty object that came in one piece."""
    assert added(pieces)[0].is_placeholder is is_placeholder


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (['{"a":'], True),
        (['{"a": ', " ", "\n"], True),
        (['{"a": [1,'], True),
        (["["], True),
        (['{"a"'], False),
        (["{"], False),
        (['{"a":1'], False),
        (['{"a":1}'], False),
        (['{"a":"x:'], False),
        ([], False),
    ],
    ids=str,
)
def test_where_a_value_may_come(pieces: list[str], expected: bool) -> None:
    """After a colon, a comma or an opening bracket, outside of strings."""
    assert added(pieces)[0].expect_a_value is expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"a":1}', '{"a":1}'),
        ("", ""),
        ({"a": 1}, '{"a":1}'),
        ({}, "{}"),
        ([], "{}"),
        ([1], "[1]"),
        (None, ""),
        (False, ""),
        (True, "true"),
        (0, "0"),
    ],
    ids=repr,
)
def test_arguments_that_are_no_text(arguments: Any, text: str) -> None:
    """Objects are written as JSON; what stands for none is empty, and an empty list an empty object."""
    assert text_of(arguments) == text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a":1,"b":[1, 2]}', ' { "b": [1,2], "a": 1 }', True),
        ('{"a":1}', '{"a":2}', False),
        ("[1,2]", "[2,1]", False),
        ("no JSON", " no JSON\n", True),
        ("no JSON", "no", False),
        ("null", " null ", True),
    ],
)
def test_which_texts_mean_the_same(one: str, other: str, same: bool) -> None:
    """White space and the order of keys make no difference."""
    assert (meaning_of(one) == meaning_of(other)) is same
