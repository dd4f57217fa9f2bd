"""The format of a conversation's file, without a file: what is written, and hostile bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.conversation import file_format
from onplan.conversation.file_format import LARGEST_LINE, Header, decode
from onplan.errors import ConversationFileError
from onplan.types import (
    Compaction,
    CompletionRequest,
    File,
    Image,
    Message,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolDefinition,
)

HEADER = Header("s-1", {"model": "gpt-5.5"}, ("response_format",))
MESSAGES = (
    Message.system("Be brief."),
    Message.user("hi", Image(url="https://example.org/a.png", detail="low"), Image(data=b"\x89PNG\0")),
    Message.assistant(
        Thinking("hm", "sealed"),
        Text("I look.", "commentary"),
        ToolCall("c", "look", '{"a": "\\u2028"}', "program", '{"google": 1}'),
    ),
    Message.tool("c", ["a bird", File(path="/tmp/a.pdf", filename="b.pdf")], is_error=True),
    Message.assistant(Refusal("No."), Text("\x00\u2028\U0001f426\r\n", "final_answer")),
)
DIGESTS = {"/tmp/a.pdf": "ab" * 32}
LINES = (
    file_format.encode_header(HEADER),
    *(file_format.encode_message(message, DIGESTS) for message in MESSAGES),
)
WHOLE = b"".join(LINES)
ENDS = [sum(map(len, LINES[: count + 1])) for count in range(len(LINES))]


def _lines(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]] + [
        rest for rest in data.split(b"\n")[-1:] if rest
    ]


def test_what_is_written_is_read() -> None:
    """Every kind of part, with encrypted reasoning, phases and signatures; and where each line ends."""
    found = decode(LINES, "talk.jsonl")

    assert found.header == HEADER
    assert found.entries == MESSAGES
    assert list(found.ends) == ENDS
    assert (found.torn, found.complete) == (0, True)
    assert found.digests == ({}, {}, {}, DIGESTS, {})


def test_each_line_is_json_that_says_what_it_is() -> None:
    """Other programs can read a file: one object in each line, no line end inside, parts by their types."""
    objects = [json.loads(line) for line in LINES]

    assert [line.count(b"\n") for line in LINES] == [1] * len(LINES)
    assert objects[0] == {
        "type": "onplan.conversation",
        "version": 1,
        "session_id": "s-1",
        "settings": {"model": "gpt-5.5"},
        "left_out": ["response_format"],
    }
    assert [entry["role"] for entry in objects[1:]] == ["system", "user", "assistant", "tool", "assistant"]
    file = objects[4]["content"][0]["content"][1]
    assert file == {"type": "file", "path": "/tmp/a.pdf", "filename": "b.pdf", "sha256": "ab" * 32}


@given(st.integers(ENDS[0], len(WHOLE)))
def test_a_file_that_was_cut_off_loses_its_last_line_alone(size: int) -> None:
    """Wherever a crash has cut it off; a message without its line end is whole."""
    found = decode(_lines(WHOLE[:size]), "talk.jsonl")
    kept = max(count for count, end in enumerate(ENDS) if end - 1 <= size)

    assert found.entries == MESSAGES[:kept]
    assert found.ends[-1] + found.torn == size
    assert found.complete is (found.ends[-1] == ENDS[kept])


def test_zeros_at_the_end_are_left_out() -> None:
    """So a file ends after a power failure, where its size was kept and its content was not."""
    assert decode(_lines(WHOLE + bytes(4096)), "talk.jsonl").entries == MESSAGES
    assert decode(_lines(WHOLE[:-20] + bytes(20)), "talk.jsonl").entries == MESSAGES[:-1]


@pytest.mark.parametrize(
    "data",
    [
        WHOLE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + WHOLE,
        WHOLE.replace(b"\n", b"\n\n"),
        b"\n \n" + WHOLE,
        WHOLE + b"  \n",
        WHOLE[:-1],
    ],
    ids=["CRLF", "BOM", "empty lines", "empty lines first", "an empty line last", "no last line end"],
)
def test_an_editor_may_have_saved_it(data: bytes) -> None:
    """Line ends of Windows, a byte order mark and empty lines change nothing."""
    found = decode(_lines(data), "talk.jsonl")

    assert found.entries == MESSAGES
    assert found.torn == 0


def later(**fields: Any) -> bytes:
    return json.dumps({"type": "onplan.conversation", "version": 1, "session_id": "s", **fields}).encode()


HELLO = b'{"role":"user","content":[{"type":"text","text":"hi"}]}\n'


def compacted(covers: object) -> bytes:
    fields = {"type": "compaction", "covers": covers, "encrypted": "x", "account": "a", "family": "f"}
    return LINES[0] + HELLO + json.dumps(fields).encode() + b"\n"


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "talk.jsonl is empty"),
    "blank": (b"\n\n", "talk.jsonl is empty"),
    "a message first": (HELLO, "not a conversation that onplan saved"),
    "a list": (b"[1]\n", "not a conversation that onplan saved"),
    "another program's": (b'{"custom_id":"1","method":"POST"}\n', "not a conversation that onplan saved"),
    "an image": (b"\x89PNG\r\n\x1a\n\0\0", "not a conversation that onplan saved"),
    "UTF-16": (WHOLE.decode().encode("utf-16"), "not a conversation that onplan saved"),
    "a header that was cut off": (LINES[0][:30], "not a conversation that onplan saved"),
    "zeros": (bytes(100), "not a conversation that onplan saved"),
    "a later version": (later(version=3), "has version 3 of the format"),
    "no version": (later(version=None), "has version None of the format"),
    "True for a version": (later(version=True), "has version True of the format"),
    "a version as text": (later(version="1"), "has version '1' of the format"),
    "no session": (later(session_id=None), "line 1 is damaged"),
    "settings of another kind": (later(settings=[1]), "line 1 is damaged"),
    "two headers": (WHOLE + WHOLE, "line 7 is a second header"),
    "a damaged line in the middle": (LINES[0] + b"{oops\n" + HELLO, "line 2 is damaged: it is not JSON"),
    "a damaged line at the end": (LINES[0] + HELLO + b"{oops\n", "line 3 is damaged: it is not JSON"),
    "zeros in the middle": (LINES[0] + bytes(10) + b"\n" + HELLO, "line 2 is damaged: it is not JSON"),
    "deep": (LINES[0] + b"[" * 100_000 + b"\n", "line 2 is damaged"),
    "text that is not UTF-8": (LINES[0] + b'{"role":"\xff"}\n', "line 2 is damaged"),
    "another object": (LINES[0] + b'{"a":1}\n', "line 2 is damaged"),
    "a number": (LINES[0] + b"7\n", "line 2 is damaged: it is not a JSON object"),
    "a role of nobody": (LINES[0] + b'{"role":"boss","content":[]}\n', "line 2 is damaged"),
    "a part of no kind": (LINES[0] + b'{"role":"user","content":[{"type":"smell"}]}\n', "line 2 is damaged"),
    "a part with a wrong field": (
        LINES[0] + b'{"role":"user","content":[{"type":"text","text":1}]}\n',
        "line 2 is damaged",
    ),
    "a path alone": (
        LINES[0] + b'{"role":"user","content":[{"type":"file","path":"/etc/passwd"}]}\n',
        "names the local file '/etc/passwd' without its sha256",
    ),
    "a path alone in a result": (
        LINES[0]
        + b'{"role":"tool","content":[{"type":"tool_result","tool_call_id":"c","content":'
        + b'[{"type":"image","path":"/etc/passwd"}]}]}\n',
        "names the local file '/etc/passwd' without its sha256",
    ),
    "a path that is none": (
        LINES[0] + b'{"role":"user","content":[{"type":"file","path":7,"sha256":"a"}]}\n',
        "names the local file 7 without its sha256",
    ),
    "a compaction of nothing": (compacted(0), "line 3 is damaged: a compaction covers 0 of 1 messages"),
    "a compaction of more": (compacted(2), "line 3 is damaged: a compaction covers 2 of 1 messages"),
    "a compaction of some": (compacted("1"), "line 3 is damaged"),
    "a compaction of true": (compacted(True), "line 3 is damaged"),
    "a compaction in a message": (
        LINES[0] + b'{"role":"assistant","content":[' + compacted(1).splitlines()[-1] + b"]}\n",
        "line 2 is damaged",
    ),
    "a line without end": (LINES[0] + b" " * LARGEST_LINE + b" ", "line 2 is longer than 64 MiB"),
    "a header without end": (b" " * (LARGEST_LINE + 1), "line 1 is longer than 64 MiB"),
}


@pytest.mark.parametrize(("data", "words"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_conversation_is_refused(data: bytes, words: str) -> None:
    """With the line and what is wrong with it; nothing that is read is executed, opened or trusted."""
    with pytest.raises(ConversationFileError) as caught:
        decode(_lines(data), "talk.jsonl")

    assert words in str(caught.value)
    assert caught.value.hint


def test_a_later_version_says_to_update() -> None:
    """Not that the file is damaged."""
    with pytest.raises(ConversationFileError) as caught:
        decode([later(version=3)], "talk.jsonl")
    assert "pip install --upgrade onplan" in caught.value.hint


def test_a_message_that_could_not_be_read_is_not_written() -> None:
    """A line has a largest length, when it is written as when it is read."""
    with pytest.raises(ConversationFileError, match="too long for a conversation's file: 64 MiB"):
        file_format.encode_message(Message.user("x" * LARGEST_LINE), {})


def test_settings_are_fields_of_requests() -> None:
    """They are read as they were; a type cannot be saved, and is named instead."""
    request = CompletionRequest(
        messages="hi",
        model="gpt-5.5",
        tools=[ToolDefinition("look", "Looks.", {"type": "object"})],
        tool_choice=ToolChoice("look"),
        stop=["x"],
        temperature=0.5,
        response_format=int,
        session_id="s-1",
        metadata={"a": "b"},
    )
    header = file_format.header_of(request, "s-1")
    again, missing = file_format.settings_of(decode([file_format.encode_header(header)], "f").header, "f")

    assert set(header.settings) == {"model", "tools", "tool_choice", "stop", "temperature", "metadata"}
    assert missing == ("response_format",)
    assert [getattr(again, name) for name in header.settings] == [
        getattr(request, name) for name in header.settings
    ]


def test_settings_of_a_newer_onplan_are_named() -> None:
    """A setting that this version does not know is said to be missing, and a wrong one is an error."""
    assert file_format.settings_of(Header("s", {"mood": "good", "model": "m"}), "f")[1] == ("mood",)
    with pytest.raises(ConversationFileError, match=r"line 1 is damaged"):
        file_format.settings_of(Header("s", {"model": 7}), "f")


def test_a_compaction_is_a_line() -> None:
    """A file with one has version 2, and others version 1."""
    compaction = Compaction(2, "sealed", "me", "3000", "cmp_1")
    entries = [*MESSAGES[:2], compaction, *MESSAGES[2:]]
    lines = [
        file_format.encode_header(HEADER, file_format.version_for(entries)),
        *(LINES[1:3]),
        file_format.encode_compaction(compaction),
        *LINES[3:],
    ]
    found = decode(lines, "talk.jsonl")

    assert found.entries == tuple(entries)
    assert (found.version, found.header) == (2, HEADER)
    assert len(found.digests) == len(entries)
    assert file_format.version_for(MESSAGES) == decode(LINES, "talk.jsonl").version == 1
    for end in range(len(lines[3])):
        torn = decode([*lines[:3], lines[3][:end]] if end else lines[:3], "talk.jsonl")
        whole = lines[3][:end] == lines[3][:-1]
        assert torn.entries == tuple(entries[:3] if whole else entries[:2])
