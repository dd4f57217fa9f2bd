"""What a framework's message has no place for, kept beside it as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.errors import InvalidRequestError
from onplan.integrations.call_arguments import arguments_of, written
from onplan.integrations.kept_parts import ENCRYPTED, KEY, is_plain, kept, restored
from onplan.types import ContentPart, HostedToolCall, Image, Refusal, Text, Thinking, ToolCall

PARTS = [
    Thinking("Hm.", "sealed"),
    Text("Yes.", "commentary", [{"type": "url_citation", "url": "https://example.com"}]),
    ToolCall("c1", "weather", '{"city":  "Oslo"}', signature='{"x": 1}'),
    HostedToolCall("web_search", {"id": "ws_1", "action": {"type": "search"}}),
]


def test_parts_are_kept_as_json() -> None:
    """And are restored as they were."""
    assert restored(json.loads(json.dumps(kept(PARTS)))) == PARTS


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        [1],
        [{}],
        [{"type": "text"}],
        [{"type": "image", "path": "/etc/passwd"}],
        {"type": "text"},
    ],
)
def test_what_was_never_kept_is_not_restored(value: object) -> None:
    """Such as what another program has put there."""
    assert restored(value) == []


@pytest.mark.parametrize(
    "text", ["[1]", '{"city": "Os', '{"n": NaN}', '{"n": 1e400}', '{"n": ' + "[" * 20_000, '{"a": "\ud800"}']
)
def test_arguments_that_are_no_json_object(text: str) -> None:
    """They are put into one as they are, however they are wrong: nothing is completed or guessed."""
    assert arguments_of(text) == {"invalid_arguments": text}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [("", {}), ("{}", {}), ('{"city":  "Oslo"}', {"city": "Oslo"}), ('{"a": null}', {"a": None})],
)
def test_arguments_as_a_dict(text: str, arguments: dict[str, Any]) -> None:
    """A call without arguments has none."""
    assert arguments_of(text) == arguments


def test_names_under_which_it_stands() -> None:
    """They are in histories that people have saved."""
    assert (KEY, ENCRYPTED) == ("onplan", "encrypted")


@pytest.mark.parametrize(
    ("part", "plain"),
    [
        (Text("a"), True),
        (Text("a", "commentary"), False),
        (Text("a", annotations=[{"type": "url_citation"}]), False),
        (ToolCall("c1", "f", "{}"), True),
        (ToolCall("c1", "f", '{"a":1}'), True),
        (ToolCall("c1", "f", '{"a": 1}'), False),
        (ToolCall("c1", "f", '{"a":'), False),
        (ToolCall("c1", "f", ""), False),
        (ToolCall("c1", "f", "{}", signature="x"), False),
        (Thinking("a", "sealed"), True),
        (Refusal("No."), True),
        (HostedToolCall("web_search"), False),
        (Image(url="data:,"), False),
    ],
    ids=str,
)
def test_a_part_is_plain_if_nothing_of_it_is_lost(part: ContentPart, plain: bool) -> None:
    """Where text is a string and arguments are a dict, it needs not be kept beside the message."""
    assert is_plain(part) is plain


def test_arguments_may_be_nested_at_any_depth() -> None:
    """A little more deeply than can be written can be read: such a call is kept, and is no error."""
    texts = ['{"a":' + "[" * depth + "]" * depth + "}" for depth in range(1, 1_100)]
    plain = [is_plain(ToolCall("c1", "f", text)) for text in texts]
    assert plain[:100] == [True] * 100
    assert plain[-1] is False
    assert plain == sorted(plain, reverse=True)


def test_arguments_are_written_as_json() -> None:
    """As short as the backend sends them."""
    assert written({"a": [1, None], "b": "\u00fc"}, "it") == '{"a":[1,null],"b":"\u00fc"}'


@pytest.mark.parametrize("arguments", [object(), {"a": object()}, {(1, 2): 3}, {"a": "\ud800"}])
def test_arguments_that_are_no_json(arguments: object) -> None:
    """The program gave a call that came in no answer."""
    with pytest.raises(InvalidRequestError) as caught:
        written(arguments, "the call c1")
    assert caught.value.message == "The arguments of the call c1 are not JSON values."
    assert caught.value.hint == "Give the call as it came in an answer."
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(InvalidRequestError):
        written(circle, "the call c1")
