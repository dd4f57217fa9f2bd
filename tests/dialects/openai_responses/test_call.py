"""The call that is made of a client's request: its name at the backend, what is known of it afterwards."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from onplan.backends import COMPATIBLE_RESPONSES, OPENAI_CODEX, Backend
from onplan.dialects.conversation_names import session_name
from onplan.dialects.openai_responses.call import (
    Destination,
    RelayCall,
    Relayed,
    conversation_of,
    relay_call,
    session_id_for,
    stored_response,
)
from onplan.dialects.openai_responses.relay import RelayStream
from onplan.dialects.openai_responses.request import ResponsesRequest, read_request
from onplan.dialects.openai_responses.stored import Before, StoredResponse
from onplan.request.token_counts import tokens_in
from onplan.responses.items import Item

from .streams import encoded, whole_stream

WORDS = "one two three four five"
PART = {"type": "input_text", "text": WORDS}
BEFORE = StoredResponse(msgspec.Raw(b'{"id":"resp_0","output":[]}'), [], "gpt-5.5", "of before")


def read(input_: Any = "hi", **body: Any) -> ResponsesRequest:
    return read_request(json.dumps({"input": input_, **body}).encode(), OPENAI_CODEX)


def call_of(asked: ResponsesRequest, relayed: Relayed | None = None, **options: Any) -> RelayCall:
    to = Destination(OPENAI_CODEX, "https://example.org", "gpt-5.5", "session-1")
    return relay_call(asked, Before(), to, relayed or Relayed(), **options)


# --- what is known of it ---


def test_each_attempt_has_a_stream_of_its_own() -> None:
    """The latest one is what is known of the answer; before the backend answers there is none."""
    relayed = Relayed()
    call = call_of(read(), relayed)
    assert relayed.stream is None

    first, second = call.stream("req-1"), call.stream(None)
    assert isinstance(first, RelayStream)
    assert first is not second
    assert relayed.stream is second


@pytest.mark.parametrize(
    ("options", "begins", "is_told"),
    [
        ({}, b"event: response.created\n", False),
        ({"framed": False}, b"{", False),
        ({"headers": {}}, b"event: r", True),
    ],
    ids=["a program", "over a WebSocket", "Codex"],
)
def test_the_stream_is_as_the_client_wants_it(options: dict[str, Any], begins: bytes, is_told: bool) -> None:
    """Framed or bare; only a Codex client gets the backend's own events."""
    stream = call_of(read(), **options).stream(None)
    events = encoded(whole_stream())
    own = json.dumps({"type": "codex.rate_limits", "plan_type": "plus"}).encode()

    told = b"".join([*stream.feed(events[:5]), *stream.feed([own, *events[5:]])])
    assert told.startswith(begins)
    assert (b"codex.rate_limits" in told) is is_told


@pytest.mark.parametrize(("backend", "is_sent"), [(OPENAI_CODEX, True), (COMPATIBLE_RESPONSES, False)])
def test_the_conversation_is_named_where_that_is_understood(backend: Backend, is_sent: bool) -> None:
    """Other servers may refuse a field that they do not know."""
    to = Destination(backend, "https://example.org", "gpt-5.5", "session-1")
    body = json.loads(relay_call(read(), Before(), to, Relayed()).body)
    assert body.get("prompt_cache_key") == ("session-1" if is_sent else None)


def test_an_answer_is_kept_once_it_is_whole() -> None:
    """With the whole input, the model and the conversation's name, for the requests that go on from it."""
    relayed = Relayed()
    assert stored_response(relayed) is None
    call = call_of(read(instructions="Be brief."), relayed)
    stream, events = call.stream(None), encoded(whole_stream())
    stream.feed(events[:-1])
    assert stored_response(relayed) is None
    stream.feed(events[-1:])

    kept = stored_response(relayed)
    assert kept is not None
    assert (kept.id, kept.model, kept.session_id) == ("resp_1", "gpt-5.5", "session-1")
    assert [item["role"] for item in kept.items] == ["user"]
    assert len(kept.output) == 4


# --- the conversation ---


@pytest.mark.parametrize(
    ("body", "headers", "name"),
    [
        ({"prompt_cache_key": "mine"}, {"session-id": "theirs"}, "mine"),
        ({}, {"session-id": "theirs"}, "theirs"),
        ({}, {}, None),
    ],
)
def test_a_client_may_name_its_conversation(
    body: dict[str, Any], headers: dict[str, str], name: str | None
) -> None:
    """In the body, else in a header."""
    assert conversation_of(read(**body), headers) == name


def test_a_conversation_keeps_the_name_of_the_response_that_it_goes_on_from() -> None:
    """Unless its client gives it another one."""
    asked, before = read(), Before(previous=BEFORE)
    assert session_id_for("ann", None, asked, before) == "of before"
    assert session_id_for("ann", "mine", asked, before) == session_name("ann", "mine", [])


def test_a_conversation_without_a_name_is_known_by_its_beginning() -> None:
    """Instructions and all up to the user's first message: what every request of it has in common."""

    def name_of(*roles: str, said: str = "hi", **body: Any) -> str:
        items = [{"role": role, "content": said} for role in roles]
        return session_id_for("ann", None, read(items, **body), Before())

    short = name_of("user", instructions="Be brief.")
    assert name_of("user", "assistant", "user", instructions="Be brief.") == short
    others = {
        name_of("user"),
        name_of("user", instructions="Be long."),
        name_of("user", instructions="Be brief.", said="ho"),
        name_of("developer", "user", instructions="Be brief."),
        session_id_for("bob", None, read("hi", instructions="Be brief."), Before()),
    }
    assert len(others) == 5
    assert short not in others


# --- the tokens of a request whose answer does not come to its end ---


@pytest.mark.parametrize(
    ("items", "texts"),
    [
        ([{"role": "user", "content": WORDS}], [WORDS]),
        ([{"role": "user", "content": [PART, PART]}], [WORDS, WORDS]),
        ([{"type": "function_call_output", "call_id": "c", "output": WORDS}], [WORDS]),
        ([{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": WORDS}], [WORDS]),
        (
            [
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": WORDS},
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_text", "text": WORDS}],
                },
            ],
            [WORDS, WORDS],
        ),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "data:image/png;base64," + "A" * 9_000}],
                }
            ],
            [],
        ),
        ([{"type": "reasoning", "summary": [], "encrypted_content": "x" * 9_000}], []),
    ],
    ids=["text", "parts", "output", "input", "call", "image", "reasoning"],
)
def test_the_texts_of_the_input_are_counted(items: list[Item], texts: list[str]) -> None:
    """Neither images nor what only the server reads; instructions count as well."""
    counted = call_of(read(items, instructions=WORDS)).options.input_tokens()
    missing = sum(map(tokens_in, [WORDS, *texts]))
    assert counted >= missing > 0
    assert counted <= missing + 20  # a call without its result gets one, a few words
