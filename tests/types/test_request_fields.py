"""A prompt and keywords as a request: what replaces what, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.errors import InvalidRequestError
from onplan.types import CompletionRequest, Image, Message, RequestFields, Text, as_request

REQUEST = CompletionRequest(messages="Hi", model="gpt-5.5", temperature=0.5)


def test_the_keywords_are_the_fields_of_a_request() -> None:
    """A new field of a request is a keyword, too."""
    assert RequestFields.__optional_keys__ == set(CompletionRequest.__struct_fields__)
    assert RequestFields.__required_keys__ == frozenset()


@pytest.mark.parametrize(
    ("prompt", "messages"),
    [
        ("Hi", [Message.user("Hi")]),
        (Message.system("Hi"), [Message.system("Hi")]),
        ({"role": "user", "content": "Hi"}, [Message.user("Hi")]),
        ([Message.system("a"), {"role": "user", "content": "b"}], [Message.system("a"), Message.user("b")]),
        (["What?", Image(url="https://u")], [Message.user("What?", Image(url="https://u"))]),
        ((text for text in ["Hi"]), [Message.user("Hi")]),
    ],
    ids=["string", "message", "dict", "list", "parts", "generator"],
)
def test_a_prompt_is_the_messages_of_a_request(prompt: Any, messages: list[Message]) -> None:
    """Whether it stands first or is named ``messages``."""
    given = list(prompt) if not isinstance(prompt, str | dict | Message) else prompt

    assert as_request(given).messages == messages
    assert as_request(None, {"messages": given}).messages == messages


def test_a_request_stays_itself() -> None:
    """No copy is made where there is nothing to change."""
    assert as_request(REQUEST) is REQUEST
    assert as_request(REQUEST, {}) is REQUEST


def test_keywords_replace_the_fields_of_a_request() -> None:
    """The others stay, and the request that was given does not change."""
    changed = as_request(REQUEST, {"temperature": 0.0, "stop": "END", "messages": "Ho"})

    assert changed == CompletionRequest(messages="Ho", model="gpt-5.5", temperature=0.0, stop=["END"])
    assert REQUEST.temperature == 0.5
    assert as_request(REQUEST, {"model": None}).model is None


def test_keywords_stand_beside_a_prompt() -> None:
    """Or make a request alone, if ``messages`` is one of them."""
    expected = CompletionRequest(messages=[Message("user", [Text("Hi")])], reasoning_effort="high")

    assert as_request("Hi", {"reasoning_effort": "high"}) == expected
    assert as_request(None, {"messages": "Hi", "reasoning_effort": "high"}) == expected


DEFAULTS = {"temperature": 1.0, "stop": ["END"], "verbosity": "low"}


@pytest.mark.parametrize(
    ("prompt", "fields", "expected"),
    [
        ("Hi", {}, {"messages": "Hi", **DEFAULTS}),
        ("Hi", {"temperature": 0.0}, {"messages": "Hi", **DEFAULTS, "temperature": 0.0}),
        ("Hi", {"temperature": None, "stop": None}, {"messages": "Hi", "verbosity": "low"}),
        (REQUEST, {}, {"messages": "Hi", "model": "gpt-5.5", **DEFAULTS, "temperature": 0.5}),
        (
            CompletionRequest(messages="Hi", temperature=0.0),
            {},
            {"messages": "Hi", **DEFAULTS, "temperature": 0.0},
        ),
        (
            REQUEST,
            {"stop": None, "verbosity": "high"},
            {"messages": "Hi", "model": "gpt-5.5", "temperature": 0.5, "verbosity": "high"},
        ),
    ],
    ids=["prompt", "keyword", "none", "request", "zero", "request and keywords"],
)
def test_defaults_stand_for_what_is_not_said(prompt: Any, fields: Any, expected: dict[str, Any]) -> None:
    """By neither the request nor a keyword; a keyword that is None says that there is to be none."""
    assert as_request(prompt, fields, DEFAULTS) == CompletionRequest(**expected)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("modle", "Did you mean `model`?"),
        ("effort", "`reasoning_effort=`"),
        ("schema", "`response_format=`"),
        ("output_type", "`response_format=`"),
        ("max_workers", "`concurrency=`"),
        ("reasoning_efort", "Did you mean `reasoning_effort`?"),
        ("max_completion_tokens", "Write `max_tokens=`."),
        ("instructions", "Message.system"),
        ("stream", "complete_stream"),
        ("zzz", "There are: extra_body, max_tokens, messages, metadata, model,"),
    ],
)
def test_a_keyword_that_is_no_field_is_refused(name: str, hint: str) -> None:
    """The error names the one that was meant, or all that there are."""
    fields: Any = {name: 1}
    with pytest.raises(InvalidRequestError, match=f"no field '{name}'") as caught:
        as_request("Hi", fields)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("prompt", "fields", "says"),
    [
        (None, {}, "There are no messages"),
        (None, {"model": "gpt-5.5"}, "There are no messages"),
        ("Hi", {"messages": "Ho"}, "messages twice"),
        ({"messages": "Hi"}, {}, "not a dict"),
        (7, {}, "messages has the wrong type: int"),
        (Message, {}, "the class Message"),
    ],
    ids=["nothing", "a model", "twice", "dict", "number", "class"],
)
def test_what_makes_no_request_is_refused(prompt: Any, fields: Any, says: str) -> None:
    """By an error of ours, which says what to write."""
    with pytest.raises(InvalidRequestError, match=says) as caught:
        as_request(prompt, fields)
    assert caught.value.hint
