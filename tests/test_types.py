from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from rich.pretty import pretty_repr

from onplan.errors import InvalidRequestError
from onplan.oauth.credentials import TokenResponse
from onplan.parameters import given_by
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    ContentPart,
    Done,
    File,
    FinishReason,
    Image,
    Message,
    ModelInfo,
    OAuthCredentials,
    PartDone,
    Refusal,
    Role,
    StreamChunk,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolDefinition,
    ToolResult,
    Usage,
)

PARTS = {
    "text": Text("Hi", "final_answer"),
    "image": Image(data=b"\x00\xff", mime_type="image/png"),
    "file": File(url="https://example.org/a.pdf", filename="a.pdf"),
    "tool_call": ToolCall("call_1", "weather", '{"a": 1}'),
    "tool_result": ToolResult(
        "call_1",
        [Text("sun"), Image(url="https://example.org/a.png"), File(data=b"1", filename="a.pdf")],
        is_error=True,
    ),
    "thinking": Thinking("Hm", "gAAA"),
    "refusal": Refusal("No."),
}
RESPONSE = CompletionResponse(
    Message.assistant("Hi"), Usage(1, 2, 3), FinishReason.STOP, "gpt-5.5", "resp_1", ["stop"]
)
CHUNKS = {
    "text": TextDelta("H"),
    "thinking": ThinkingDelta("H"),
    "tool_call_start": ToolCallStart("call_1", "weather"),
    "tool_call_delta": ToolCallDelta("call_1", "{"),
    "tool_call_end": ToolCallEnd("call_1"),
    "part_done": PartDone(ToolCall("call_1", "weather", "{}")),
    "done": Done(Usage(1, 2, 3), FinishReason.STOP, RESPONSE),
}


@pytest.mark.parametrize(
    ("union", "tag", "value"),
    [(ContentPart, *row) for row in PARTS.items()] + [(StreamChunk, *row) for row in CHUNKS.items()],
    ids=[f"part {tag}" for tag in PARTS] + [f"chunk {tag}" for tag in CHUNKS],
)
def test_a_tagged_value_reads_its_tag_and_survives_json(union, tag, value):
    """A part or chunk has a readable ``type``, which its JSON carries and by which it is read back."""
    written = msgspec.json.encode(value)

    assert tag == value.type == msgspec.json.decode(written)["type"]
    assert value == msgspec.json.decode(written, type=union)


@pytest.mark.parametrize(
    "value",
    [
        RESPONSE,
        CompletionRequest(
            messages=[Message("user", list(PARTS.values()))], tools=[ToolDefinition("x")], stop="END"
        ),
        ModelInfo("x", "X", "openai-codex", reasoning_efforts=["low"]),
        OAuthCredentials(access_token="a", refresh_token="r", expires_at=5.5, scopes=["openid"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whole_values_survive_json(value):
    """What is written as JSON is read back as the same value."""
    assert value == msgspec.json.decode(msgspec.json.encode(value), type=type(value))


def test_enumerations_equal_their_strings():
    """Roles and finish reasons compare, print and hash as plain strings."""
    assert "user" == Role.USER == str(Role.USER)
    assert "tool_calls" == FinishReason.TOOL_CALLS == f"{FinishReason.TOOL_CALLS}"
    assert 1 == {FinishReason.STOP: 1}["stop"]


class TestMessage:
    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            ("Hi", [Text("Hi")]),
            ("", [Text("")]),
            (["Hi", Refusal("No.")], [Text("Hi"), Refusal("No.")]),
            (Refusal("No."), [Refusal("No.")]),
            ((part for part in ("a", "b")), [Text("a"), Text("b")]),
            ([], []),
        ],
        ids=["string", "empty string", "mixed list", "one part", "generator", "nothing"],
    )
    def test_content_reads_as_parts(self, content, parts):
        """However content is given, it reads as a list of parts."""
        message = Message("user", content)

        assert parts == message.content
        assert isinstance(message.content, list)
        assert message.role is Role.USER

    def test_a_role_that_is_none_is_refused(self):
        """A role must be one of the five; the hint lists them."""
        for role in ("robot", None, ["user"]):
            with pytest.raises(InvalidRequestError, match="role of a message is not") as caught:
                Message(role, "Hi")
            assert "developer" in caught.value.hint

    @pytest.mark.parametrize(
        "content",
        [None, 7, [7], [None], [{"type": "text", "text": "Hi"}], {"type": "text", "text": "Hi"}],
        ids=str,
    )
    def test_content_that_is_none_is_refused(self, content):
        """What is neither text nor a content part is refused when the message is made."""
        with pytest.raises(InvalidRequestError, match="strings and content parts, not"):
            Message("user", content)

    def test_the_short_spellings(self):
        """Each role has a spelling of its own."""
        assert [
            Message("system", "a"),
            Message("developer", "b"),
            Message("user", ["c", Image(url="https://u")]),
            Message("assistant", "d"),
            Message("tool", ToolResult("call_1", "e")),
        ] == [
            Message.system("a"),
            Message.developer("b"),
            Message.user("c", Image(url="https://u")),
            Message.assistant("d"),
            Message.tool("call_1", "e"),
        ]

    def test_text_and_calls_are_found_among_the_parts(self):
        """A message's text is its text parts joined; its calls come in order."""
        calls = [ToolCall("1", "a", "{}"), ToolCall("2", "b", "{}")]
        message = Message.assistant(Thinking("Hm"), "One", calls[0], "Two", calls[1])

        assert "OneTwo" == message.text
        assert calls == message.tool_calls


class TestParts:
    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (
                lambda: ToolCall("c", "weather", {"city": "Rome"}),
                "ToolCall.arguments is a string, and not dict",
            ),
            (lambda: ToolCall("c", "weather", None), "ToolCall.arguments is a string, and not NoneType"),
            (lambda: ToolCall(None, "weather", "{}"), "ToolCall.id is a string"),
            (lambda: Text(None), "Text.text is a string, and not NoneType"),
            (lambda: Text(["a"]), "Text.text is a string, and not list"),
            (lambda: Image(data="iVBORw0KGgo="), "Image.data is bytes, and not str"),
            (lambda: Image(7), "Image.url is a string, and not int.*`path=`"),
            (lambda: Image("a.png"), r"Image.url is not a URL.*`Image\(path=…\)`"),
            (lambda: Image(url="C:\\a.png"), r"Image.url is not a URL.*`Image\(path=…\)`"),
            (lambda: Image("file:///a.png"), r"Image.url is not a URL.*`Image\(path=…\)`"),
            (lambda: Image("iVBORw0KGgo="), r"Image.url is not a URL.*`Image\(data=…\)`"),
            (lambda: File("a.pdf"), r"File.url is not a URL.*`File\(path=…\)`"),
            (lambda: File(path=b"a.pdf"), "File.path is a string, and not bytes"),
            (lambda: ToolResult("c", b"Rome"), "A tool's result is a string.* not bytes.*File"),
            (lambda: ToolResult("c", {1: object()}), "A tool's result is a string.* not dict.*`str`"),
            (
                lambda: ToolResult("c", [Text("a"), {"type": "text"}]),
                "parts of a tool's result are.* not dict",
            ),
            (lambda: Message.tool("c", [Refusal("No.")]), "parts of a tool's result are.* not Refusal"),
            (lambda: Message.tool(None, "sunny"), "ToolResult.tool_call_id is a string"),
        ],
    )
    def test_a_field_that_holds_what_it_cannot_is_refused_where_it_is_written(self, make, says):
        """The sentence names the field and what makes the right thing of the wrong one, and no value."""
        with pytest.raises(InvalidRequestError) as caught:
            make()
        said = f"{caught.value} {caught.value.hint}"
        assert re.search(says, said)
        assert "Rome" not in said

    def test_the_short_spellings(self):
        """A path may be a Path, bytes any buffer, and strings beside parts of a tool's result are texts."""
        assert Image(path="a.png") == Image(path=Path("a.png")) == Image(Path("a.png"))
        assert Image("DATA:image/png;base64,AA==").url
        assert File(path="a.pdf") == File(path=Path("a.pdf")) == File(Path("a.pdf"))
        assert Image(data=b"x") == Image(data=bytearray(b"x")) == Image(data=memoryview(b"x"))
        assert [Text("a"), Text("b")] == ToolResult("c", ["a", Text("b")]).content
        assert [Text("a")] == ToolResult("c", Text("a")).content

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ({"sky": "blue", "°C": [1, 2.5, None]}, '{"sky":"blue","°C":[1,2.5,null]}'),
            (["a", "b"], '["a","b"]'),
            ((1, 2), "[1,2]"),
            ([], "[]"),
            (None, "null"),
            (True, "true"),
            (3, "3"),
            (Usage(1), '{"prompt_tokens":1,"completion_tokens":0'),
            (datetime(2026, 11, 30, tzinfo=UTC), '"2026-11-30T00:00:00Z"'),
        ],
        ids=str,
    )
    def test_a_tools_result_is_any_json_value(self, value, text):
        """What is no text and has no part in it is written as JSON."""
        assert ToolResult("c", value).content.startswith(text)
        assert Message.tool("c", value, is_error=True).content == [ToolResult("c", value, True)]

    def test_a_tools_result_is_a_model_of_pydantic(self):
        """It knows its JSON value."""

        class Model:
            def model_dump(self, mode):
                return {"mode": mode}

        assert ToolResult("c", Model()).content == '{"mode":"json"}'

    def test_a_tools_result_is_an_array_of_numpy(self):
        """And so is a number of it, also inside something else."""

        class Array:
            def tolist(self):
                return [1, 2]

        assert ToolResult("c", {"numbers": Array()}).content == '{"numbers":[1,2]}'

    def test_what_may_be_absent_may_be_none(self):
        """An optional field takes None, as the default says."""
        assert Text("a") == Text("a", None)
        assert ToolCall("c", "weather", "") == ToolCall("c", "weather", "", None, None)
        assert Image(url="https://u") == Image("https://u", None, None, None)


class TestRequest:
    @pytest.mark.parametrize(
        "messages",
        ["Hi", Message.user("Hi"), [Message.user("Hi")], (m for m in [Message.user("Hi")])],
        ids=["string", "message", "list", "generator"],
    )
    def test_messages_may_be_given_shortly(self, messages):
        """A string or a message stands for a conversation of one."""
        assert [Message.user("Hi")] == CompletionRequest(messages=messages).messages

    def test_one_stop_text_is_a_list_of_one(self):
        """``stop`` may be a string."""
        assert ["END"] == CompletionRequest(messages="Hi", stop="END").stop

    def test_none_is_the_same_as_nothing(self):
        """``tools=found or None``, as other libraries want it, asks for no tools."""
        request = CompletionRequest(messages="Hi", tools=None, stop=None, metadata=None)

        assert CompletionRequest(messages="Hi") == request
        assert [] == given_by(request)

    @pytest.mark.parametrize(
        ("given", "says", "advice"),
        [
            ({"type": "text"}, "text", "Give it a schema"),
            ({"type": "json_schema", "json_schema": {"name": "n"}}, "no JSON schema", "Give it a schema"),
            ("json", "a str is neither", "a JSON schema as a dict"),
            (object, "'object'> is not supported", "a dataclass"),
        ],
    )
    def test_a_response_format_that_is_no_schema_is_refused(self, given, says, advice):
        """What has no JSON schema is refused where the request is made, with what to give."""
        with pytest.raises(InvalidRequestError, match=says) as caught:
            CompletionRequest(messages="Hi", response_format=given)
        assert advice in caught.value.hint

    @pytest.mark.parametrize(
        "schema", [None, {}, {"type": "object"}, {"type": ["object", "null"]}, {"anyOf": []}, int, list[int]]
    )
    def test_any_schema_stays(self, schema):
        """The request keeps what it is given. Whether a schema is a good one is the server's to say."""
        assert schema == CompletionRequest(messages="Hi", response_format=schema).response_format


def test_a_request_does_not_share_its_lists():
    """Two requests made without tools do not share one list of them."""
    one, two = CompletionRequest(messages="a"), CompletionRequest(messages="b")
    one.tools.append(ToolDefinition("x"))

    assert [] == two.tools


def test_the_parts_of_an_answer_have_names():
    """Its text, its thinking and its refusal are the parts of their kind, joined; its calls come in order."""
    call = ToolCall("1", "a", "{}")
    parts = [Thinking("A"), Thinking(encrypted="x"), "One", Thinking("B"), "Two", Refusal("No."), call]
    response = CompletionResponse(Message.assistant(*parts), Usage(), FinishReason.STOP, "gpt-5.5")

    assert (response.text, response.thinking, response.refusal) == ("OneTwo", "A\n\nB", "No.")
    assert response.tool_calls == [call]
    assert ("", None) == (RESPONSE.thinking, RESPONSE.refusal)


def test_arguments_are_parsed():
    """A call's arguments read as Python values; a call without any has none."""
    assert {"a": 1} == ToolCall("1", "x", '{"a": 1}').parse_arguments()
    assert {} == ToolCall("1", "x", "").parse_arguments()
    with pytest.raises(msgspec.DecodeError):
        ToolCall("1", "x", "{").parse_arguments()


@pytest.mark.parametrize("show", [repr, str, "{}".format, pretty_repr], ids=["repr", "str", "format", "rich"])
@pytest.mark.parametrize(
    "value",
    [
        OAuthCredentials(
            access_token="secret-a", refresh_token="secret-r", id_token="secret-i", email="a@example.org"
        ),
        TokenResponse("secret-a", "secret-r", "secret-i"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_token_has_no_printed_form(value, show):
    """Printing credentials, also through rich and inside other values, shows no token."""
    assert "secret" not in show(value)
    assert "secret" not in show([value])
