"""What ``llm``'s messages have no place for, kept with them: read and written as values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("llm")

from onplan.integrations.kept_parts import KEY
from onplan.integrations.llm.kept import metadata_of, parsed, restored, written
from onplan.types import ContentPart, Text, Thinking, ToolCall


def part_of(metadata: Any) -> Any:
    """A part of ``llm`` with what was kept of it."""
    return SimpleNamespace(provider_metadata=metadata)


@pytest.mark.parametrize(
    ("part", "own", "kept"),
    [
        (Text("a"), {"text": "a"}, None),
        (Text("a", "commentary"), {"text": "a"}, {"type": "text", "phase": "commentary"}),
        (Thinking("a"), {"text": "a"}, None),
        (Thinking("a", "sealed"), {"text": "a"}, {"type": "thinking", "encrypted": "sealed"}),
        (ToolCall("c1", "f", '{"a":1}'), {"id": "c1", "name": "f", "arguments": '{"a":1}'}, None),
        (
            ToolCall("c1", "f", '{"a": 1}'),
            {"id": "c1", "name": "f", "arguments": '{"a":1}'},
            {"type": "tool_call", "arguments": '{"a": 1}'},
        ),
    ],
    ids=str,
)
def test_what_llm_cannot_say_is_kept(
    part: ContentPart, own: dict[str, str], kept: dict[str, Any] | None
) -> None:
    """And is there again in the next turn, beside what the part itself says."""
    metadata = metadata_of(part)
    found = None if metadata is None else metadata[KEY]
    assert (found is None) is (kept is None)
    if kept is not None:
        assert {name: found[name] for name in kept} == kept
        assert restored(part_of(metadata), **own) == part


def test_changed_arguments_are_not_those_of_before() -> None:
    """The program's own count."""
    metadata = metadata_of(ToolCall("c1", "f", '{"a": 1}'))
    changed = restored(part_of(metadata), id="c1", name="f", arguments='{"a":2}')
    assert changed == ToolCall("c1", "f", '{"a":2}')


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {KEY: 5}, {KEY: {}}, {KEY: {"type": "of tomorrow"}}, {KEY: {"type": "image", "path": "/a"}}],
    ids=str,
)
def test_what_was_never_kept_is_not_restored(metadata: Any) -> None:
    """Nor what another version has kept, or another program."""
    assert restored(part_of(metadata), text="a") is None


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("", {}),
        (None, {}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"_raw": "[1]"}),
        ("{", {"_raw": "{"}),
        (5, {"_raw": 5}),
        ("[" * 100_000, {"_raw": "[" * 100_000}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_arguments_as_llm_has_them(arguments: Any, value: dict[str, Any]) -> None:
    """A dict; what is none stands in one."""
    assert parsed(arguments) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ({"a": "ü", "b": [1]}, '{"a":"ü","b":[1]}'),
        ({"_raw": "[1]"}, "[1]"),
        ({"_raw": 5}, '{"_raw":5}'),
        ({"_raw": "x", "a": 1}, '{"_raw":"x","a":1}'),
    ],
    ids=str,
)
def test_arguments_as_the_backend_gets_them(value: dict[str, Any], text: str) -> None:
    """As short as it sends them; what was no dict as it came."""
    assert written(value) == text
