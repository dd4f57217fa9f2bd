"""Messages given as dicts, in the shapes of either API and in onplan's own: as values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from onplan.backends import COMPATIBLE
from onplan.chat.messages import wire_messages
from onplan.errors import InvalidRequestError
from onplan.types import (
    File,
    Image,
    Message,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from onplan.types.dicts import read_messages

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
TOOL_CALL = ToolCall("c1", "weather", '{"city":"Oslo"}')

CHAT: dict[str, tuple[dict[str, Any], Message]] = {
    "system": ({"role": "system", "content": "Be brief."}, Message.system("Be brief.")),
    "developer": ({"role": "developer", "content": "Be brief."}, Message.developer("Be brief.")),
    "user": ({"role": "user", "content": "Hi"}, Message.user("Hi")),
    "parts": (
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}},
                {"type": "image_url", "image_url": "https://x/b.png"},
                {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk=", "filename": "a.txt"}},
                {"type": "file", "file": {"file_data": "SGk="}},
            ],
        },
        Message.user(
            "Look",
            Image(url="https://x/a.png", detail="low"),
            Image(url="https://x/b.png"),
            File(data=b"Hi", mime_type="text/plain", filename="a.txt"),
            File(data=b"Hi"),
        ),
    ),
    "calls": (
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        Message.assistant(TOOL_CALL),
    ),
    "empty beside calls": (
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        Message.assistant(TOOL_CALL),
    ),
    "what the SDK dumps": (
        {
            "content": "Hi",
            "refusal": None,
            "role": "assistant",
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": None,
        },
        Message.assistant("Hi"),
    ),
    "refusal": ({"role": "assistant", "refusal": "No."}, Message.assistant(Refusal("No."))),
    "refusal part": (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        Message.assistant(Refusal("No.")),
    ),
    "result": (
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        Message.tool("c1", "sunny"),
    ),
    "result in parts": (
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sunny"}]},
        Message.tool("c1", [Text("sunny")]),
    ),
}


@pytest.mark.parametrize(("given", "message"), CHAT.values(), ids=CHAT)
def test_a_message_of_chat_completions(given: dict[str, Any], message: Message) -> None:
    """Each shape becomes the message that a program would have written with ``Message``."""
    assert read_messages([given]) == [message]
    assert read_messages(given) == [message]


ITEMS: dict[str, tuple[list[dict[str, Any]], list[Message]]] = {
    "easy": ([{"role": "user", "content": "Hi"}], [Message.user("Hi")]),
    "input": (
        [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "image_url": "https://x/a.png", "detail": "high"},
                    {"type": "input_file", "file_url": "https://x/a.pdf"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,SGk=", "filename": "a"},
                ],
            }
        ],
        [
            Message.user(
                "Look",
                Image(url="https://x/a.png", detail="high"),
                File(url="https://x/a.pdf"),
                File(data=b"Hi", mime_type="application/pdf", filename="a"),
            )
        ],
    ),
    "one answer": (
        [
            {
                "id": "rs_1",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "A"}, {"type": "summary_text", "text": "B"}],
                "encrypted_content": "gAAA",
            },
            {
                "id": "msg_1",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "phase": "commentary",
                "content": [{"type": "output_text", "text": "Hm", "annotations": [], "logprobs": []}],
            },
            {"type": "function_call", "call_id": "c1", "name": "a", "arguments": "{}", "id": "fc_1"},
            {"type": "function_call", "call_id": "c2", "name": "b", "arguments": "{}", "namespace": "n"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {
                "type": "function_call_output",
                "call_id": "c2",
                "output": [
                    {"type": "input_image", "image_url": "https://u"},
                    {"type": "input_text", "text": "two"},
                ],
            },
        ],
        [
            Message.assistant(
                Thinking("A\n\nB", "gAAA"),
                Text("Hm", "commentary"),
                ToolCall("c1", "a", "{}"),
                ToolCall("c2", "b", "{}", "n"),
            ),
            Message.tool("c1", "one"),
            Message.tool("c2", [Image(url="https://u"), Text("two")]),
        ],
    ),
    "parts alone": (
        [{"type": "input_text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "https://u"}}],
        [Message.user("Look", Image(url="https://u"))],
    ),
    "two answers": (
        [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}],
        [Message.assistant("a"), Message.assistant("b")],
    ),
}


@pytest.mark.parametrize(("given", "messages"), ITEMS.values(), ids=ITEMS)
def test_items_of_the_responses_api(given: list[dict[str, Any]], messages: list[Message]) -> None:
    """The output items of one answer are one message; what is in them for other readers is passed over."""
    assert read_messages(given) == messages


def test_strings_and_parts_in_a_row_are_one_message() -> None:
    """A message with a role ends the row; a call or result stands for a message of the model or a tool."""
    given = [
        "a",
        Image(url="https://u"),
        {"role": "assistant", "content": "b"},
        "c",
        ToolResult("c1", "d"),
        TOOL_CALL,
    ]

    assert read_messages(given) == [
        Message.user("a", Image(url="https://u")),
        Message.assistant("b"),
        Message.user("c"),
        Message.tool("c1", "d"),
        Message.assistant(TOOL_CALL),
    ]


def test_what_onplan_writes_is_read_back() -> None:
    """Messages written by ``msgspec.json`` come back as they were, with every part."""
    messages = [
        Message(
            "user", [Text("Hi", "x"), Image(data=b"\xff", mime_type="image/png"), File(url="https://u/a.pdf")]
        ),
        Message("assistant", [Thinking("Hm", "gAAA"), Refusal("No."), ToolCall("c", "f", "{}", "n", "s")]),
        Message("tool", [ToolResult("c", [Text("a"), Image(url="https://u"), File(data=b"1")])]),
        Message("tool", [ToolResult("c", "a", is_error=True)]),
    ]

    assert read_messages(msgspec.json.decode(msgspec.json.encode(messages))) == messages


def test_thinking_and_signatures_go_back_to_the_server_that_sent_them() -> None:
    """In the fields in which they came: some servers refuse a turn without them."""
    given = {
        "role": "assistant",
        "reasoning_content": "Hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}],
        "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "s"}}}],
    }

    (message,) = read_messages([given])
    (sent,) = wire_messages([message], COMPATIBLE)
    assert message.content[0] == Thinking("Hm", message.content[0].encrypted)  # type: ignore[union-attr]
    assert {name: value for name, value in sent.items() if name != "content"} == given


class Model:
    """An object of the openai SDK, which is a model of pydantic."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def model_dump(self) -> dict[str, Any]:
        return self._fields


def test_objects_of_the_openai_sdk_stand_for_their_dicts() -> None:
    """A program appends ``response.choices[0].message``, or puts its ``tool_calls`` into a dict."""
    call = Model(**CALL, index=None)
    message = Message.assistant(TOOL_CALL)

    assert read_messages(Model(role="user", content="Hi")) == [Message.user("Hi")]
    assert read_messages([Model(role="assistant", content=None, tool_calls=[CALL])]) == [message]
    assert read_messages([{"role": "assistant", "content": None, "tool_calls": [call]}]) == [message]


WRONG: dict[str, tuple[Any, str]] = {
    "no message": ([7], r"messages\[0\] has the wrong type: int"),
    "no list": (7, "messages has the wrong type: int"),
    "a class": ([Model], r"messages\[0\] has the wrong type: the class Model"),
    "no role": ([{"content": "Hi"}], r"messages\[0\]\.role is missing"),
    "another role": ([{"role": "bot", "content": "Hi"}], r"messages\[0\]\.role is wrong: .*'bot'"),
    "another field": ([{"role": "user", "content": "Hi", "name": "x"}], r"messages\[0\]\.name is not known"),
    "another kind of item": ([{"type": "item_reference"}], r"messages\[0\]\.type is 'item_reference'"),
    "a kind that is no word": ([{"type": ["x"]}], r"messages\[0\]\.type is \['x'\]"),
    "another kind of part": (
        ["a", {"role": "user", "content": [{"type": "audio"}]}],
        r"messages\[1\]\.content\[0\]\.type is wrong: .*'audio'",
    ),
    "no text": ({"role": "user", "content": [{"type": "text"}]}, r"messages\.content\[0\]\.text is missing"),
    "a text that is a number": (
        [{"role": "user", "content": [{"type": "text", "text": 5}]}],
        r"messages\[0\]\.content\[0\]\.text is wrong: expected `str`, got `int`",
    ),
    "another field of a part": (
        [{"role": "user", "content": [{"type": "text", "text": "a", "bold": True}]}],
        r"messages\[0\]\.content\[0\]\.bold is not known",
    ),
    "a file that is elsewhere": (
        [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}],
        r"messages\[0\]\.content\[0\]\.file_id is not known",
    ),
    "a file of this machine": (
        [{"role": "user", "content": [{"type": "file", "path": "/etc/passwd"}]}],
        r"messages\[0\]\.content\[0\]\.path is not known",
    ),
    "an image of this machine": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/a.png"}}]}],
        "Image.url is not a URL",
    ),
    "no base64": (
        [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:;base64,!"}}]}],
        r"messages\[0\]\.content\[0\]\.file\.file_data is neither",
    ),
    "no base64 in the other API": (
        [{"role": "user", "content": [{"type": "input_file", "file_data": "!"}]}],
        r"messages\[0\]\.content\[0\]\.file_data is neither",
    ),
    "no arguments": (
        [{"type": "function_call", "call_id": "c", "name": "f"}],
        r"messages\[0\]\.arguments is missing",
    ),
    "a refusal in a result": (
        [{"role": "tool", "tool_call_id": "c", "content": [{"type": "refusal", "refusal": "No."}]}],
        r"messages\[0\]\.content\[0\] is no text, image or file",
    ),
    "a part alone that is wrong": ([{"type": "input_text", "text": 5}], r"messages\[0\]\.text is wrong"),
}


@pytest.mark.parametrize(("given", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_place(given: Any, says: str) -> None:
    """An error of ours that says where, and what to write instead."""
    with pytest.raises(InvalidRequestError, match=says) as caught:
        read_messages(given)
    assert caught.value.hint


def test_a_role_is_one_of_five() -> None:
    """Each role of a dict is the role of the message."""
    messages = read_messages([{"role": str(role), "content": "x"} for role in Role])

    assert [message.role for message in messages] == [*Role]
