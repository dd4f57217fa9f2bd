"""What LangChain's messages hold, read and written as values: no model is asked."""

from __future__ import annotations

import base64
import traceback
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.messages import AIMessage, AIMessageChunk
from onplan.integrations.langchain.merged_parts import arguments_of, merged

from onplan.errors import InvalidRequestError, RateLimitError
from onplan.integrations.kept_parts import KEY, kept
from onplan.integrations.langchain.blocks import blocks_of, blocks_of_chunk
from onplan.integrations.langchain.content import answered_parts, given_parts
from onplan.integrations.langchain.errors import as_langchain, langchain_errors
from onplan.types import ContentPart, File, HostedToolCall, Image, Refusal, Text, ToolCall

DATA = b"\x89PNG"
ENCODED = base64.b64encode(DATA).decode()
URL = "https://example.org/a.png"


# --- content ---


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("Hi", Text("Hi")),
        *(({"type": kind, "text": "Hi"}, Text("Hi")) for kind in ("text", "text-plain", "input_text")),
        ({"type": "image_url", "image_url": URL}, Image(url=URL)),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, Image(url=URL, detail="low")),
        (
            {"type": "image", "base64": ENCODED, "mime_type": "image/png"},
            Image(data=DATA, mime_type="image/png"),
        ),
        ({"type": "image", "url": URL}, Image(url=URL)),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": f"{ENCODED}\n"},
            },
            Image(data=DATA, mime_type="image/png"),
        ),
        (
            {"type": "file", "data": DATA, "mime_type": "application/pdf"},
            File(data=DATA, mime_type="application/pdf"),
        ),
        (
            {"type": "file", "base64": f"data:application/pdf;base64,{ENCODED}"},
            File(data=DATA, mime_type="application/pdf"),
        ),
    ],
    ids=str,
)
def test_a_block_is_a_part(block: Any, part: ContentPart) -> None:
    """LangChain's own, OpenAI's and Anthropic's."""
    assert given_parts([block], "messages[0]") == [part]
    if isinstance(block, str):
        assert given_parts(block, "messages[0]") == [part]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "text", "text": 5}, "a block of the type 'text' without usable content"),
        ({"type": "of tomorrow"}, "of the type 'of tomorrow', which cannot be sent"),
        ({"type": "image", "file_id": "file-1"}, "a block of the type 'image' without usable content"),
        ({"type": "image", "base64": 5}, "a block of the type 'image' without usable content"),
        ({"type": "image", "base64": "a" * 5}, "holds data that are not base64"),
    ],
    ids=str,
)
def test_a_block_that_cannot_be_sent(block: Any, message: str) -> None:
    """The error names its place."""
    with pytest.raises(InvalidRequestError, match=message) as caught:
        given_parts(["Hi", block], "messages[3]")
    assert caught.value.message.startswith("messages[3].content[1] ")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("Hello", [Text("Hello")]),
        ("", []),
        (["a", {"type": "output_text", "text": "b"}, {"type": "text", "text": ""}], [Text("a"), Text("b")]),
        ([{"type": "refusal", "refusal": "No."}, {"type": "refusal"}], [Refusal("No."), Refusal("")]),
        ([{"type": "reasoning", "text": "Hm."}, {"type": "tool_use"}], []),
    ],
    ids=str,
)
def test_what_a_model_said(content: Any, parts: list[ContentPart]) -> None:
    """Texts and refusals, perhaps another provider's."""
    assert answered_parts(content) == parts


# --- blocks ---

SEARCH = HostedToolCall(
    "web_search", {"id": "ws_1", "status": "failed", "action": {"type": "search", "sources": [URL]}}
)
IMAGE = HostedToolCall("image_generation", {"id": "ig_1", "result": ENCODED, "output_format": "webp"})
CITED = Text(
    "Hello",
    annotations=[
        {"type": "url_citation", "url": URL, "start_index": 1, "end_index": 3},
        {"type": "url_citation", "url": URL, "start_index": 3, "end_index": 9},
        {"type": "file_citation", "file_id": "f"},
    ],
)
CITATIONS = [
    {"type": "citation", "url": URL, "start_index": 1, "end_index": 3, "cited_text": "el"},
    {"type": "citation", "url": URL},
    {"type": "non_standard_annotation", "value": {"type": "file_citation", "file_id": "f"}},
]
SEARCHED = [
    {"type": "server_tool_call", "id": "ws_1", "name": "web_search", "args": {"type": "search"}},
    {"type": "server_tool_result", "tool_call_id": "ws_1", "status": "error", "output": [URL]},
]


def holding(*parts: ContentPart) -> dict[str, Any]:
    return {KEY: kept(parts)}


def test_an_answer_has_standard_blocks() -> None:
    """Citations, searches, images and refusals; calls whose arguments are no JSON are invalid ones."""
    parts = [CITED, Refusal("No."), SEARCH, IMAGE]
    assert blocks_of(AIMessage("Hello", additional_kwargs=holding(*parts))) == [
        {"type": "text", "text": "Hello", "annotations": CITATIONS},
        {"type": "refusal", "refusal": "No."},
        *SEARCHED,
        {"type": "image", "id": "ig_1", "base64": ENCODED, "mime_type": "image/webp"},
    ]
    wrong = {"name": "f", "args": "[1]", "id": "c1", "error": None, "type": "invalid_tool_call"}
    message = AIMessage("", invalid_tool_calls=[wrong], additional_kwargs=holding(ToolCall("c1", "f", "[1]")))
    (block,) = blocks_of(message)
    assert (block["type"], block["args"]) == ("invalid_tool_call", "[1]")
    assert block["error"] == "the arguments are no JSON object"


def test_the_last_chunk_says_what_no_earlier_one_has_said() -> None:
    """Citations count from the beginning of all texts; chunks that were added say all."""
    parts = [Text("Oh. "), CITED, SEARCH, Refusal("No.")]
    last = AIMessageChunk("", additional_kwargs=holding(*parts))
    moved = {**CITATIONS[0], "start_index": 5, "end_index": 7}
    assert blocks_of_chunk(last) == [
        {"type": "text", "text": "", "annotations": [moved, *CITATIONS[1:]]},
        *SEARCHED,
        {"type": "refusal", "refusal": "No."},
    ]
    added = AIMessageChunk("Oh. Hello") + last
    assert blocks_of_chunk(added)[0] == {"type": "text", "text": "Oh. "}


@pytest.mark.parametrize(
    "chunk",
    [
        AIMessageChunk("Hello"),
        AIMessageChunk("Hel", additional_kwargs=holding(CITED)),
        AIMessageChunk([{"type": "text", "text": "Hello"}], additional_kwargs=holding(CITED)),
    ],
    ids=["nothing was kept", "another text", "its own blocks"],
)
def test_langchains_own_reading_counts_elsewhere(chunk: AIMessageChunk) -> None:
    """Where nothing was kept, or the message no longer says the same."""
    with pytest.raises(NotImplementedError):
        blocks_of_chunk(chunk)
    with pytest.raises(NotImplementedError):
        blocks_of(chunk)


# --- parts that were kept ---


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall("c1", "f", '{"a": 1}'), {"a": 1}),
        (ToolCall("c1", "f", ""), {}),
        (ToolCall("c1", "f", '{"a": "\n"}'), {"a": "\n"}),
        (ToolCall("c1", "f", "select 1", is_custom=True), {"__arg1": "select 1"}),
    ],
    ids=str,
)
def test_arguments_are_a_dict(call: ToolCall, arguments: dict[str, Any]) -> None:
    """Text of a custom tool stands under a name."""
    found = arguments_of(call)
    assert list(found.values()) == list(arguments.values())
    assert call.is_custom or found == arguments


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "no JSON object"), ("{", "Expecting property name"), ("[" * 100_000, "nested too deeply")],
    ids=["list", "half", "deep"],
)
def test_arguments_that_are_none(text: str, message: str) -> None:
    """However deep they are."""
    with pytest.raises(ValueError, match=message):
        arguments_of(ToolCall("c1", "f", text))


def test_what_was_kept_is_updated_by_what_the_message_says() -> None:
    """A changed call is sent as it is now, one that is gone is not, a new one is; a new text replaces all."""
    first, gone, wrong = (
        ToolCall(f"c{number}", "f", text) for number, text in enumerate(('{"a":1}', "{}", "{"), 1)
    )
    before = [CITED, first, gone, wrong]
    same = merged(before, [Text("Hello")], [ToolCall("c1", "f", '{"a": 1}'), wrong])
    assert same == [CITED, first, wrong]
    new = ToolCall("c4", "g", "{}")
    changed = ToolCall("c1", "f", '{"a": 2}')
    assert merged(before, [Text("Other")], [changed, new]) == [Text("Other"), changed, new]


# --- errors ---


def test_an_error_is_langchains_too() -> None:
    """Once; its notes stay but for the hint, which its text ends with."""
    error = RateLimitError("Too many.", hint="Wait.")
    error.add_note("Wait.")
    error.add_note("It was the third.")
    with pytest.raises(RateLimitError) as caught, langchain_errors():
        raise error
    assert type(caught.value) is not RateLimitError
    assert str(caught.value).endswith("Wait.")
    assert caught.value.__notes__ == ["It was the third."]
    assert as_langchain(caught.value) is caught.value
    assert "raise error" in "".join(traceback.format_tb(caught.value.__traceback__))
    with langchain_errors():
        pass
