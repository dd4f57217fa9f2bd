from __future__ import annotations

from dataclasses import dataclass

import pytest

from onplan.errors import InvalidRequestError
from onplan.responses.items import input_items, parts_in
from onplan.types import (
    Compaction,
    File,
    HostedToolCall,
    Image,
    Message,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)


def said(role, *content, **fields):
    return {"type": "message", "role": role, "content": list(content), **fields}


def heard(text):
    return {"type": "input_text", "text": text}


def spoken(text):
    return {"type": "output_text", "text": text}


CALL = ToolCall("call_1", "weather", '{"a":1}')
CALL_ITEM = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"a":1}'}
OTHER = ToolCall("call_2", "time", "{}")
OTHER_ITEM = {"type": "function_call", "call_id": "call_2", "name": "time", "arguments": "{}"}


def result(call_id, output):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


@dataclass
class Case:
    id: str
    messages: list[Message]
    items: list[dict]


CASES = [
    Case("system", [Message.system("Be brief.")], [said("developer", heard("Be brief."))]),
    Case("developer", [Message.developer("Be brief.")], [said("developer", heard("Be brief."))]),
    Case("user", [Message.user("Hi", "there")], [said("user", heard("Hi"), heard("there"))]),
    Case("assistant", [Message.assistant("Hello")], [said("assistant", spoken("Hello"))]),
    Case(
        "refusal",
        [Message.assistant(Refusal("No."))],
        [said("assistant", {"type": "refusal", "refusal": "No."})],
    ),
    Case(
        "thinking, text and calls keep their order",
        [Message.assistant(Thinking("Hm", "gAAA"), "Look.", CALL, Thinking("", "gBBB"), OTHER, "Done.")],
        [
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "Hm"}],
                "encrypted_content": "gAAA",
            },
            said("assistant", spoken("Look.")),
            CALL_ITEM,
            {"type": "reasoning", "summary": [], "encrypted_content": "gBBB"},
            OTHER_ITEM,
            said("assistant", spoken("Done.")),
        ],
    ),
    Case(
        "thinking that is not encrypted stays behind",
        [Message.assistant(Thinking("Hm"), "Hello")],
        [said("assistant", spoken("Hello"))],
    ),
    Case(
        "thinking of a server of the other API stays behind",
        [Message.assistant(Thinking("Hm", '{"reasoning_content":"Hm"}'), "Hello")],
        [said("assistant", spoken("Hello"))],
    ),
    Case(
        "a call of a namespace",
        [Message.assistant(ToolCall("call_1", "weather", '{"a":1}', "program"))],
        [{**CALL_ITEM, "namespace": "program"}],
    ),
    Case(
        "a search of the server's, without what it read",
        [
            Message(
                "assistant",
                [
                    HostedToolCall(
                        "web_search", {"id": "ws", "action": {"type": "search", "sources": [{"url": "u"}]}}
                    ),
                    HostedToolCall("web_search", {"id": "x", "action": None}),
                ],
            )
        ],
        [
            {"type": "web_search_call", "id": "ws", "action": {"type": "search"}},
            {"type": "web_search_call", "id": "x", "action": None},
        ],
    ),
    Case(
        "a compaction",
        [Message("assistant", [Compaction(2, "sealed", "me", "3000", "cmp_1")]), Message.user("And?")],
        [
            {"type": "compaction", "encrypted_content": "sealed", "id": "cmp_1"},
            said("user", heard("And?")),
        ],
    ),
    Case(
        "a compaction without an id",
        [Message("assistant", [Compaction(2, "sealed", "me", "3000")])],
        [{"type": "compaction", "encrypted_content": "sealed"}],
    ),
    Case(
        "phases",
        [Message.assistant(Text("a", "commentary"), Text("b", "commentary"), Text("c", "final_answer"), "d")],
        [
            said("assistant", spoken("a"), spoken("b"), phase="commentary"),
            said("assistant", spoken("c"), phase="final_answer"),
            said("assistant", spoken("d")),
        ],
    ),
    Case(
        "results of one message",
        [
            Message.assistant(CALL, OTHER),
            Message("tool", [ToolResult("call_1", "sun"), ToolResult("call_2", "noon")]),
        ],
        [CALL_ITEM, OTHER_ITEM, result("call_1", "sun"), result("call_2", "noon")],
    ),
    Case(
        "results of two messages, one empty",
        [Message.assistant(CALL, OTHER), Message.tool("call_2", "noon"), Message.tool("call_1", "")],
        [CALL_ITEM, OTHER_ITEM, result("call_2", "noon"), result("call_1", "")],
    ),
    Case(
        "a result with an image",
        [
            Message.assistant(CALL),
            Message.tool("call_1", [Text("a map"), Image(data=b"\x01", mime_type="image/gif")]),
        ],
        [
            CALL_ITEM,
            result(
                "call_1",
                [heard("a map"), {"type": "input_image", "image_url": "data:image/gif;base64,AQ=="}],
            ),
        ],
    ),
    Case(
        "an error with a file",
        [
            Message.assistant(CALL),
            Message.tool("call_1", ["see", File(data=b"\x01", filename="a.pdf")], is_error=True),
        ],
        [
            CALL_ITEM,
            result(
                "call_1",
                [
                    heard("Error:"),
                    heard("see"),
                    {
                        "type": "input_file",
                        "filename": "a.pdf",
                        "file_data": "data:application/octet-stream;base64,AQ==",
                    },
                ],
            ),
        ],
    ),
    Case(
        "an error",
        [Message.assistant(CALL), Message.tool("call_1", {"code": 5}, is_error=True)],
        [CALL_ITEM, result("call_1", 'Error: {"code":5}')],
    ),
    Case(
        "images",
        [
            Message.user(
                "See", Image(url="https://example.org/a.png"), Image(data=b"\x01\x02", detail="original")
            )
        ],
        [
            said(
                "user",
                heard("See"),
                {"type": "input_image", "image_url": "https://example.org/a.png"},
                {
                    "type": "input_image",
                    "image_url": "data:image/png;base64,AQI=",
                    "detail": "original",
                },
            )
        ],
    ),
    Case(
        "files",
        [
            Message.user(
                File(url="https://example.org/a.pdf"),
                File(data=b"\x01", mime_type="application/pdf", filename="a.pdf"),
                File(data=b"\x01"),
            )
        ],
        [
            said(
                "user",
                {"type": "input_file", "file_url": "https://example.org/a.pdf"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AQ=="},
                {"type": "input_file", "file_data": "data:application/octet-stream;base64,AQ=="},
            )
        ],
    ),
    Case("a message without content", [Message("user", [])], []),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_messages_become_items(case):
    """Every message becomes the items that say it, in its order and without item ids."""
    assert case.items == input_items(case.messages, "developer")


def test_the_backend_decides_what_a_system_message_is():
    """The role that system messages take is the caller's to name."""
    assert [said("system", heard("Hi"))] == input_items([Message.system("Hi")], "system")


IMAGE, FILE = Image(url="https://example.org/a.png"), File(data=b"\x01")


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("assistant", IMAGE),
        ("assistant", FILE),
        ("assistant", ToolResult("call_1", "x")),
        ("user", Refusal("No.")),
        ("user", CALL),
        ("user", Thinking("Hm", "gAAA")),
        ("system", Refusal("No.")),
        ("system", CALL),
        ("developer", ToolResult("call_1", "x")),
        ("tool", Text("x")),
        ("tool", IMAGE),
        ("tool", CALL),
        ("user", Image()),
        ("user", File()),
        ("user", Image(path="a.png")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.type,
)
def test_what_a_role_cannot_hold_is_refused(role, part):
    """A part that its message's role cannot say, or that has no content, never reaches the backend."""
    with pytest.raises(InvalidRequestError, match=part.type):
        input_items([Message.assistant(CALL), Message(role, [part])], "developer")


ARRIVED = {
    # the item, its parts
    "text": (
        {"type": "message", "content": [{"type": "output_text", "text": "a"}], "phase": "final_answer"},
        [Text("a", "final_answer")],
    ),
    "text under its other names": (
        {"type": "message", "content": [{"type": kind, "text": kind} for kind in ("text", "input_text")]},
        [Text("text"), Text("input_text")],
    ),
    "text without a type": ({"type": "message", "content": [{"text": "a"}]}, [Text("a")]),
    "a string": ({"type": "message", "content": "a"}, [Text("a")]),
    "a list of strings": ({"type": "message", "content": ["a", "b"]}, [Text("a"), Text("b")]),
    "one entry alone": ({"type": "message", "content": {"type": "text", "text": "a"}}, [Text("a")]),
    "a refusal": ({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}, [Refusal("no")]),
    "thinking in a message": (
        {"type": "message", "content": [{"type": "reasoning_text", "text": "hm"}]},
        [Thinking("hm")],
    ),
    "an unknown kind": ({"type": "message", "content": [{"type": "sparkle", "text": "a"}]}, []),
    "an empty text": ({"type": "message", "content": [{"type": "text", "text": ""}], "phase": ""}, []),
    "an empty phase": ({"type": "message", "content": "a", "phase": ""}, [Text("a", None)]),
    "no content": ({"type": "message", "content": None}, []),
    "reasoning": (
        {
            "type": "reasoning",
            "summary": [{"text": "one"}, {"text": ""}, {"text": "two"}],
            "encrypted_content": "x",
        },
        [Thinking("one\n\ntwo", "x")],
    ),
    "reasoning under its other names": (
        {
            "type": "reasoning",
            "content": [{"type": kind, "text": kind} for kind in ("reasoning_text", "text", "output_text")],
        },
        [Thinking("reasoning_text\n\ntext\n\noutput_text")],
    ),
    "reasoning without a type": ({"type": "reasoning", "content": [{"text": "hm"}]}, [Thinking("hm")]),
    "an unknown kind of reasoning": (
        {"type": "reasoning", "content": [{"type": "sparkle", "text": "a"}]},
        [],
    ),
    "a refusal in reasoning": (
        {"type": "reasoning", "content": [{"type": "refusal", "refusal": "no"}]},
        [Thinking("no")],
    ),
    "no type, a message's fields": ({"role": "assistant", "content": [{"text": "a"}]}, [Text("a")]),
    "a type that is none": ({"type": 7, "role": "assistant", "content": [{"text": "a"}]}, [Text("a")]),
    "an unknown type, a message's fields": (
        {"type": "output_message", "role": "assistant", "content": [{"text": "a"}]},
        [Text("a")],
    ),
    "no type, another role": ({"role": "user", "content": [{"text": "a"}]}, []),
    "no type, no list of contents": ({"role": "assistant", "content": "a"}, []),
    "a call, a message's fields": (
        {"type": "function_call", "role": "assistant", "content": [], "id": "i", "name": "f"},
        [ToolCall("i", "f", "")],
    ),
    "sealed reasoning": ({"type": "reasoning", "encrypted_content": "x"}, [Thinking("", "x")]),
    "empty reasoning": ({"type": "reasoning", "encrypted_content": "", "summary": []}, []),
    "a call": (
        {"type": "function_call", "call_id": "c", "id": "i", "name": "f", "arguments": '{"a":1}'},
        [ToolCall("c", "f", '{"a":1}')],
    ),
    "a call with an id alone": (
        {"type": "function_call", "id": "i", "name": "f", "arguments": None, "namespace": ""},
        [ToolCall("i", "f", "")],
    ),
    "a call of a namespace": (
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}, "namespace": "n"},
        [ToolCall("c", "f", '{"a":1}', "n")],
    ),
    "another item": ({"type": "file_search_call", "content": "a"}, []),
    "a search": (
        {"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "q"}, "x": None},
        [HostedToolCall("web_search", {"id": "w", "status": "completed", "action": {"query": "q"}})],
    ),
    "a search that was cut off": ({"type": "web_search_call", "id": "w", "status": "searching"}, []),
    "an image, whatever its status says": (
        {"type": "image_generation_call", "id": "ig", "status": "generating", "result": "eA==", "x": None},
        [HostedToolCall("image_generation", {"id": "ig", "status": "generating", "result": "eA=="})],
    ),
    "an image that was not made": ({"type": "image_generation_call", "id": "ig", "status": "failed"}, []),
    "text with annotations": (
        {
            "type": "message",
            "content": [
                {
                    "type": "output_text",
                    "text": "a",
                    "annotations": [{"type": "file_citation", "x": 1}, None],
                },
                {"type": "output_text", "text": ""},
                {"type": "output_text", "text": "b", "annotations": "no list"},
            ],
        },
        [Text("a", None, [{"type": "file_citation", "x": 1}]), Text("b")],
    ),
}


@pytest.mark.parametrize(("item", "parts"), ARRIVED.values(), ids=ARRIVED)
def test_the_parts_of_an_item(item, parts):
    """What a finished item holds, however servers name the parts of it."""
    assert parts_in(item) == parts
