"""Entries of thinking that arrive in pieces: chunks of entries in, entries out."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.chat.details import Details
from onplan.chat.signatures import merge
from onplan.chat.thinking import fields_of, text_of
from onplan.types import Thinking

Entry = dict[str, Any]

# the entries of each chunk -> the assembled entries
PIECES: dict[str, tuple[list[list[Entry]], list[Entry]]] = {
    "nothing": ([], []),
    "one text in pieces": (
        [[{"type": "t", "text": "a"}], [{"type": "t", "text": "b"}]],
        [{"type": "t", "text": "ab"}],
    ),
    "each growing field": (
        [
            [{"summary": "a", "thinking": "c"}],
            [{"summary": "b", "thinking": "d"}],
        ],
        [{"summary": "ab", "thinking": "cd"}],
    ),
    "fields keep their order": ([[{"text": "a"}], [{"text": "b", "id": "x"}]], [{"text": "ab", "id": "x"}]),
    "a later value counts": (
        [[{"format": "x"}], [{"format": "x", "n": 1}], [{"n": 2}]],
        [{"format": "x", "n": 2}],
    ),
    "null takes nothing away": (
        [[{"text": "a", "n": 1}], [{"n": None, "m": None}]],
        [{"text": "a", "n": 1, "m": None}],
    ),
    "a text that is none": ([[{"text": None}], [{"text": "a"}]], [{"text": "a"}]),
    "two indexes": (
        [[{"index": 0, "text": "a"}], [{"index": 1, "text": "b"}], [{"index": 0, "text": "c"}]],
        [{"index": 0, "text": "ac"}, {"index": 1, "text": "b"}],
    ),
    "two ids": (
        [[{"id": "x", "text": "a"}], [{"id": "y", "text": "b"}], [{"id": "x", "text": "c"}]],
        [{"id": "x", "text": "ac"}, {"id": "y", "text": "b"}],
    ),
    "one id, two types": (
        [[{"type": "t", "id": "x", "text": "a"}], [{"type": "u", "id": "x", "text": "b"}]],
        [{"type": "t", "id": "x", "text": "a"}, {"type": "u", "id": "x", "text": "b"}],
    ),
    "one id, two indexes": (
        [[{"id": "x", "index": 0, "text": "a"}], [{"id": "x", "index": 1, "text": "b"}]],
        [{"id": "x", "index": 0, "text": "a"}, {"id": "x", "index": 1, "text": "b"}],
    ),
    "the id in the first piece alone": (
        [[{"id": "x", "text": "a"}], [{"text": "b"}]],
        [{"id": "x", "text": "ab"}],
    ),
    "another format": (
        [[{"format": "f", "text": "a"}], [{"format": "g", "text": "b"}]],
        [{"format": "f", "text": "a"}, {"format": "g", "text": "b"}],
    ),
    "a signature ends an entry": (
        [[{"text": "a"}], [{"signature": "s"}], [{"text": "b"}]],
        [{"text": "a", "signature": "s"}, {"text": "b"}],
    ),
    "the same signature again": (
        [[{"text": "a"}], [{"signature": "s"}], [{"signature": "s"}]],
        [{"text": "a", "signature": "s"}],
    ),
    "another signature": (
        [[{"text": "a"}], [{"signature": "s"}], [{"signature": "z"}]],
        [{"text": "a", "signature": "s"}, {"signature": "z"}],
    ),
    "sealed data of one index in pieces": (
        [[{"index": 0, "data": "a"}], [{"index": 0, "data": "b"}]],
        [{"index": 0, "data": "ab"}],
    ),
    "sealed data of one id in pieces": (
        [[{"id": "x", "data": "a"}], [{"id": "x", "data": "b"}]],
        [{"id": "x", "data": "ab"}],
    ),
    "sealed data again": (
        [[{"id": "x", "data": "a"}], [{"id": "x", "data": "a"}]],
        [{"id": "x", "data": "a"}],
    ),
    "a text again is more text": ([[{"text": "a"}], [{"text": "a"}]], [{"text": "aa"}]),
    "sealed data without an index": ([[{"data": "a"}], [{"data": "b"}]], [{"data": "a"}, {"data": "b"}]),
    "sealed data of a new id at one index": (
        [[{"index": 0, "data": "a"}], [{"index": 0, "id": "x", "data": "b"}]],
        [{"index": 0, "data": "a"}, {"index": 0, "id": "x", "data": "b"}],
    ),
    "two sealed entries in one chunk": (
        [[{"index": 0, "data": "a"}, {"index": 0, "data": "b"}]],
        [{"index": 0, "data": "a"}, {"index": 0, "data": "b"}],
    ),
    "two texts in one chunk": ([[{"text": "a"}, {"text": "b"}]], [{"text": "ab"}]),
    "an index that is none": (
        [[{"index": [1], "text": "a"}], [{"index": [1], "text": "b"}]],
        [{"index": [1], "text": "ab"}],
    ),
    "an id that is none": ([[{"id": 5, "text": "a"}], [{"id": 5, "text": "b"}]], [{"id": 5, "text": "ab"}]),
}


@pytest.mark.parametrize(("chunks", "entries"), PIECES.values(), ids=PIECES)
def test_entries_are_not_mixed(chunks: list[list[Entry]], entries: list[Entry]) -> None:
    """A piece belongs to the entry that its id, its index or its place says, if nothing speaks against it."""
    details = Details()
    for chunk in chunks:
        details.feed(chunk)

    assert details.entries == entries
    assert [list(entry) for entry in details.entries] == [list(entry) for entry in entries]


def test_whole_entries_are_no_pieces() -> None:
    """Of an answer that is sent back each is one; only a signature may have come apart from its text."""
    details = Details()
    details.feed([{"text": "a"}, {"text": "b"}, {"signature": "s"}, {"data": "c"}], whole=True)

    assert details.entries == [{"text": "a"}, {"text": "b", "signature": "s"}, {"data": "c"}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (["a", {"text": "b"}, 5], "ab"),
        ({"text": "a", "summary": "b"}, "a"),
        ({"text": "", "summary": "b"}, "b"),
        ({"thinking": "a"}, "a"),
        ({"content": [{"text": "a"}]}, "a"),
        ({"data": "sealed"}, ""),
        (None, ""),
        (5, ""),
    ],
    ids=str,
)
def test_the_text_of_an_entry(value: object, text: str) -> None:
    """The first of its fields that has some; of a list all of it."""
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("carried", "fields"),
    [
        ([], {}),
        ([None], {}),
        (["gAAAA"], {}),
        (["[1]"], {}),
        (['{"reasoning_content":"a"}', '{"reasoning_content":"b"}'], {"reasoning_content": "ab"}),
        (['{"reasoning":"a","reasoning_text":"b"}'], {"reasoning": "a", "reasoning_text": "b"}),
        (['{"reasoning_content":5,"other":"x"}'], {}),
        (
            ['{"reasoning_details":[{"text":"a"},5]}', '{"reasoning_details":[{"text":"b"}]}'],
            {"reasoning_details": [{"text": "a"}, {"text": "b"}]},
        ),
        (['{"thinking_blocks":{"text":"a"}}'], {}),
        (['{"reasoning_opaque":"x"}', '{"reasoning_opaque":"y"}'], {"reasoning_opaque": "y"}),
        (
            ['{"extra_content":{"google":{"a":1}}}', '{"extra_content":{"google":{"b":2}}}'],
            {"extra_content": {"google": {"a": 1, "b": 2}}},
        ),
        (['{"extra_content":[1]}'], {}),
    ],
    ids=str,
)
def test_the_fields_that_send_thinking_back(carried: list[str | None], fields: Entry) -> None:
    """Texts are joined, entries listed and objects merged; what is of another type was not ours."""
    assert fields_of(Thinking("", encrypted) for encrypted in carried) == fields


@pytest.mark.parametrize(
    ("known", "more", "merged"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": None, "b": None}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": 1}}, {"a": "x"}, {"a": "x"}),
        ({"a": {"b": 1}}, {"a": None}, {"a": {"b": 1}}),
        ({"a": "x"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
    ids=str,
)
def test_signatures_are_merged(known: Entry, more: Entry, merged: Entry) -> None:
    """Objects field by field; any other value takes the place of the one before."""
    merge(known, more)

    assert known == merged
