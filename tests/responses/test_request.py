from __future__ import annotations

import json
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from onplan.backends import OPENAI_CODEX, OPENAI_RESPONSES
from onplan.errors import InvalidRequestError
from onplan.responses.request import prepare
from onplan.structured.strict_schema import is_strict
from onplan.types import (
    CompletionRequest,
    CustomTool,
    Grammar,
    HostedTool,
    Image,
    Message,
    OAuthCredentials,
    Text,
    ToolCall,
    ToolChoice,
    ToolDefinition,
)

BASE = "https://example.org/codex"
CREDENTIALS = OAuthCredentials(
    access_token="secret-token", refresh_token="secret-refresh", account_id="acct-1"
)
TOOL = ToolDefinition("weather", "Tells it.", {"type": "object", "properties": {"a": {"type": "integer"}}})


def call(messages="Hi", *, backend=OPENAI_CODEX, raise_unsupported=False, **fields):
    request = CompletionRequest(messages=messages, **fields)
    return prepare(request, backend, BASE, "gpt-5.5", raise_unsupported=raise_unsupported)


def body(*args, **fields):
    return json.loads(call(*args, **fields).body)


def test_the_body_has_the_fields_that_the_backend_requires():
    """A bare question becomes a body that the Codex backend accepts, and nothing more."""
    prepared = call("Hi", session_id="s-1")

    assert {
        "model": "gpt-5.5",
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "prompt_cache_key": "s-1",
        "reasoning": {"summary": "auto"},
    } == json.loads(prepared.body)
    assert f"{BASE}/responses" == prepared.url
    assert () == prepared.reports.ignored


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, {}),
        ({"tools": [TOOL]}, {"parallel_tool_calls": True, "tool_choice": "auto"}),
        (
            {"tools": [TOOL], "parallel_tool_calls": False},
            {"parallel_tool_calls": False, "tool_choice": "auto"},
        ),
        ({"tools": [TOOL], "tool_choice": "none"}, {"parallel_tool_calls": True, "tool_choice": "none"}),
        (
            {"tools": [TOOL], "tool_choice": ToolChoice("weather")},
            {"parallel_tool_calls": True, "tool_choice": {"type": "function", "name": "weather"}},
        ),
    ],
    ids=str,
)
def test_how_tools_are_called(fields, sent):
    """With tools the choice is the model's, several at once, unless the program says otherwise."""
    found = body("Hi", **fields)

    assert {name: found[name] for name in ("tool_choice", "parallel_tool_calls") if name in found} == sent


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"temperature": 0.0, "top_p": 0.0}, {"temperature": 0.0, "top_p": 0.0}),
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"metadata": {}}, {}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ({"reasoning_summary": "none"}, {}),
        ({"reasoning_summary": "concise"}, {"reasoning": {"summary": "concise"}}),
    ],
    ids=str,
)
def test_each_parameter_has_its_field(fields, sent):
    """At a backend that takes all of them; one that was not given, or is empty, is not sent."""
    plain = body("Hi", backend=OPENAI_RESPONSES)
    found = body("Hi", backend=OPENAI_RESPONSES, **fields)

    assert {name: value for name, value in found.items() if name not in plain} == sent


def test_what_the_backend_takes_is_sent():
    """Every parameter that the backend knows is in the body, under its name there."""
    sent = body(
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="high",
        reasoning_summary="detailed",
        verbosity="low",
        service_tier="priority",
        response_format={"type": "string", "title": "My answer!"},
    )

    assert [
        {
            "type": "function",
            "name": "weather",
            "description": "Tells it.",
            "parameters": TOOL.parameters,
            "strict": False,
        }
    ] == sent["tools"]
    assert "required" == sent["tool_choice"]
    assert sent["parallel_tool_calls"] is False
    assert {"effort": "high", "summary": "detailed"} == sent["reasoning"]
    assert "priority" == sent["service_tier"]
    assert "low" == sent["text"]["verbosity"]
    assert "json_schema" == sent["text"]["format"]["type"]
    assert "My_answer_" == sent["text"]["format"]["name"]


def test_a_summary_can_be_declined():
    """``none`` asks for no summary, which the backend says by leaving the field out."""
    assert "reasoning" not in body(reasoning_summary="none")
    assert {"effort": "low"} == body(reasoning_summary="none", reasoning_effort="low")["reasoning"]


DROPPED = {"temperature": 0.0, "top_p": 1.0, "metadata": {"a": "b"}}
EMULATED = {"max_tokens": 5, "stop": "END"}


@pytest.mark.parametrize("name", DROPPED)
class TestDroppedParameters:
    def test_reported(self, name):
        """What the backend refuses is left out of the body and listed, also where its value looks empty."""
        prepared = call(**{name: DROPPED[name]})

        assert (name,) == prepared.reports.ignored
        assert json.loads(call(session_id="s").body) == json.loads(
            call(session_id="s", **{name: DROPPED[name]}).body
        )

    def test_refused(self, name):
        """With ``raise_unsupported`` the same parameter is an error that names it."""
        with pytest.raises(InvalidRequestError, match=name):
            call(raise_unsupported=True, **{name: DROPPED[name]})


def test_tools_are_strict_or_hosted_as_the_program_says():
    """A hosted tool is sent as the backend names it, and chosen by its type."""
    search = HostedTool("web_search", {"search_context_size": "low"})
    strict, other = ToolDefinition("a", strict=True), ToolDefinition("b")
    sent = body(tools=[strict, other, search], tool_choice=ToolChoice("web_search"))

    assert [True, False, None] == [tool.get("strict") for tool in sent["tools"]]
    assert {"type": "web_search", "search_context_size": "low"} == sent["tools"][2]
    assert {"type": "web_search"} == sent["tool_choice"]
    assert ("strict" in call(tools=[strict]).given, "strict" in call(tools=[other, search]).given) == (
        True,
        False,
    )


def test_fields_that_onplan_does_not_know_are_sent():
    """Objects are merged with those of the request, and win over what is in them."""
    sent = body(
        reasoning_effort="low",
        verbosity="low",
        extra_body={"reasoning": {"context": "all_turns"}, "text": {"verbosity": "high"}, "x": [1]},
    )

    assert {"effort": "low", "summary": "auto", "context": "all_turns"} == sent["reasoning"]
    assert ({"verbosity": "high"}, [1]) == (sent["text"], sent["x"])


@pytest.mark.parametrize("name", ["model", "input", "stream", "store"])
def test_fields_that_the_backend_demands_stay(name):
    """What it would refuse otherwise, or what is said in another way, cannot be changed there."""
    with pytest.raises(InvalidRequestError, match=f"extra_body cannot change {name}"):
        call(extra_body={name: "x"})


def test_more_may_be_included():
    """Beside what onplan needs."""
    sent = body(extra_body={"include": ["web_search_call.results"]})
    assert sent["include"] == ["reasoning.encrypted_content", "web_search_call.results"]


@pytest.mark.parametrize("name", EMULATED)
def test_what_is_emulated_is_not_sent(name):
    """It is listed, and no error where parameters that are left out are one."""
    prepared = call(session_id="s", raise_unsupported=True, **{name: EMULATED[name]})

    assert ((name,), ()) == (prepared.reports.emulated, prepared.reports.ignored)
    assert prepared.reports.cut_at
    assert json.loads(call(session_id="s").body) == json.loads(prepared.body)


def test_every_parameter_reaches_the_body_or_is_listed():
    """No field of a request is quietly ignored, those of tomorrow included."""
    values = {
        **DROPPED,
        **EMULATED,
        "tools": [TOOL],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
        "reasoning_summary": "concise",
        "verbosity": "high",
        "service_tier": "flex",
        "response_format": {"type": "object"},
        "session_id": "another",
        "extra_body": {"extra": 1},
    }
    assert set(CompletionRequest.__struct_fields__) == {*values, "messages", "model"}

    for name, value in values.items():
        context = {"tools": [TOOL]} if name == "tool_choice" else {}
        changed, plain = call(**context, **{name: value}), call(**context)
        listed = {*changed.reports.ignored, *changed.reports.emulated}
        assert (changed.body != plain.body) != (name in listed), name


FUNCTION = {
    "type": "function",
    "name": "weather",
    "description": "Tells it.",
    "parameters": TOOL.parameters,
    "strict": False,
}


@pytest.mark.parametrize("shape", ["flat", "namespace", "additional_tools"])
def test_the_shape_in_which_tools_are_offered(shape):
    """In a list, in a namespace of that list, or as an item before the conversation; never in two of them."""
    sent = body(backend=replace(OPENAI_CODEX, tool_shape=shape), tools=[TOOL])
    first = sent["input"][0]

    assert sent["tool_choice"] == "auto"
    assert sent["input"][-1]["role"] == "user"
    assert len(body(backend=replace(OPENAI_CODEX, tool_shape=shape))["input"]) == 1
    if shape == "additional_tools":
        assert first == {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}
        assert "tools" not in sent
    elif shape == "namespace":
        (namespace,) = sent["tools"]
        assert namespace == {
            "type": "namespace",
            "name": "program",
            "description": "Functions of the program that asks.",
            "tools": [FUNCTION],
        }
        assert len(sent["input"]) == 1
    else:
        assert sent["tools"] == [FUNCTION]
        assert len(sent["input"]) == 1


@pytest.mark.parametrize(
    ("tools", "choice", "sent"),
    [
        ([TOOL], None, "auto"),
        ([TOOL], "auto", "auto"),
        ([TOOL], "none", "none"),
        ([TOOL], "required", "required"),
        ([TOOL], ToolChoice("weather"), {"type": "function", "name": "weather"}),
        ([], None, None),
    ],
)
def test_tool_choice(tools, choice, sent):
    """A choice is one of three words, or one tool."""
    assert sent == body(tools=tools, tool_choice=choice).get("tool_choice")


def test_a_hosted_tool_is_chosen_by_its_type():
    """A function of the same request is chosen as a function."""
    tools = [TOOL, HostedTool("web_search")]
    for name, sent in (
        ("web_search", {"type": "web_search"}),
        ("weather", {"type": "function", "name": "weather"}),
    ):
        assert (
            body(backend=OPENAI_RESPONSES, tools=tools, tool_choice=ToolChoice(name))["tool_choice"] == sent
        )


@pytest.mark.parametrize(
    ("tool", "sent"),
    [
        (CustomTool("run"), {"type": "custom", "name": "run", "format": {"type": "text"}}),
        (
            CustomTool("run", "Runs it.", Grammar("lark", "start: WORD")),
            {
                "type": "custom",
                "name": "run",
                "description": "Runs it.",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: WORD"},
            },
        ),
    ],
    ids=["any text", "a grammar"],
)
def test_a_custom_tool(tool, sent):
    """It has the shape of its text in place of a schema, and is chosen by its own type."""
    found = body(backend=OPENAI_RESPONSES, tools=[tool], tool_choice=ToolChoice("run"))

    assert found["tools"] == [sent]
    assert found["tool_choice"] == {"type": "custom", "name": "run"}


TRIGGERS = {
    "auto": {"reason": "context_limit", "phase": "mid_turn"},
    "manual": {"reason": "user_requested", "phase": "standalone_turn"},
}


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_call_that_has_its_conversation_compacted(trigger):
    """As the official client asks: an item at the end, and why, in the body and in a header."""
    plain = call(session_id="s-1")
    compacting = plain.compacting(trigger)
    sent, before = json.loads(compacting.body), json.loads(plain.body)
    metadata = sent["client_metadata"]["x-codex-turn-metadata"]

    assert sent == {
        **before,
        "input": [*before["input"], {"type": "compaction_trigger"}],
        "client_metadata": {"x-codex-turn-metadata": metadata},
    }
    assert json.loads(metadata) == {
        "session_id": "s-1",
        "model": "gpt-5.5",
        "request_kind": "compaction",
        "compaction": {
            "implementation": "responses_compaction_v2",
            "strategy": "memento",
            "trigger": trigger,
            **TRIGGERS[trigger],
        },
    }
    assert compacting.request(CREDENTIALS).headers["x-codex-turn-metadata"] == metadata


def test_what_is_sent_to_models_that_reason_alone():
    """The platform seals the thinking of those that think, if it is asked to."""
    for model, include in (("gpt-5.5", ["reasoning.encrypted_content"]), ("gpt-4.1", None)):
        prepared = prepare(CompletionRequest(messages="Hi"), OPENAI_RESPONSES, BASE, model)
        assert json.loads(prepared.body).get("include") == include


def test_any_json_object():
    """The format has no schema, and the word that servers demand is put in front; not so with a schema."""
    sent = body("Hi", response_format={"type": "json_object"})
    assert sent["text"]["format"] == {"type": "json_object"}
    assert "JSON" in sent["input"][0]["content"][0]["text"]

    sent = body("Hi", response_format=closed(a={"type": "string"}))
    assert sent["text"]["format"]["schema"] == closed(a={"type": "string"})
    assert len(sent["input"]) == 1


def test_a_result_may_come_after_what_was_said_meanwhile():
    """This API finds the call by its id."""
    messages = [
        Message.assistant(ToolCall("c", "weather", "{}")),
        Message.assistant("Let me see."),
        Message.tool("c", "sun"),
    ]

    assert [item["type"] for item in body(messages)["input"]] == [
        "function_call",
        "message",
        "function_call_output",
    ]


def test_each_request_has_an_id_of_its_own():
    """A random UUID, by which the server's operators find it."""
    prepared = call()
    ids = [
        sent.headers["x-client-request-id"]
        for sent in (prepared.request(CREDENTIALS), prepared.upgrade(CREDENTIALS))
    ]

    assert ids[0] != ids[1]
    assert [(str(UUID(each)), UUID(each).version) for each in ids] == [(each, 4) for each in ids]


def test_what_is_asked_is_not_printed():
    """A call may be in a log or a traceback."""
    assert "my question" not in repr(call("my question"))


def test_a_schema_that_json_cannot_express_is_refused():
    """The error names the place in the request, and what stands there."""
    unwritable = ToolDefinition("now", parameters={"type": "object", "default": object()})
    with pytest.raises(InvalidRequestError, match=r"parameters\.default has an object of the type object"):
        call(tools=[unwritable])


@pytest.mark.parametrize("tools", [[], [TOOL]], ids=["no tools", "another tool"])
def test_a_choice_of_a_tool_that_is_not_there_is_refused(tools):
    """A tool choice that names no tool of the request never reaches the backend."""
    with pytest.raises(InvalidRequestError, match="teleport"):
        call(tools=tools, tool_choice=ToolChoice("teleport"))


@pytest.mark.parametrize(
    "messages",
    [[], Message("user", []), Message.user(Image(path="a.png"))],
    ids=["no messages", "no content", "an image that was not read"],
)
def test_an_empty_request_is_refused(messages):
    """A request that says nothing, or not all it should, never reaches the backend."""
    with pytest.raises(InvalidRequestError):
        call(messages)


def closed(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@dataclass
class Schema:
    id: str
    schema: dict
    strict: bool


SCHEMAS = [
    Schema("closed", closed(a={"type": "string"}), True),
    Schema("closed, nested", closed(a={"type": "array", "items": closed(b={"type": "string"})}), True),
    Schema("open", {**closed(a={}), "additionalProperties": True}, False),
    Schema("nothing said of additional properties", {"type": "object", "properties": {}}, False),
    Schema("optional property", {**closed(a={}, b={}), "required": ["a"]}, False),
    Schema("open inside", closed(a={"anyOf": [{"type": "null"}, {"type": "object"}]}), False),
    Schema("open in a definition", {**closed(), "$defs": {"x": {"type": "object"}}}, False),
    Schema("an object or null, open", closed(a={"type": ["object", "null"]}), False),
    Schema("an object or null, closed", closed(a={**closed(), "type": ["object", "null"]}), True),
    Schema("a property called type", closed(type={"type": "string"}), True),
]


@pytest.mark.parametrize("case", SCHEMAS, ids=lambda case: case.id)
def test_only_a_closed_schema_is_sent_as_strict(case):
    """A schema is strict where every object in it is closed; another would be refused as strict."""
    assert case.strict is is_strict(case.schema)
    assert case.strict is body(response_format=case.schema)["text"]["format"]["strict"]


class TestSession:
    def test_the_turns_of_a_conversation_share_one(self):
        """Whatever is added to a conversation, its derived session id stays."""
        first = [Message.system("Be brief."), Message.user("Hi")]
        later = [*first, Message.assistant("Hello"), Message.user("More")]

        assert call(first).session_id == call(later).session_id == call(later, tools=[TOOL]).session_id

    def test_conversations_have_their_own(self):
        """Conversations that begin differently have different session ids."""
        beginnings = [
            "Hi",
            "Hello",
            [Message.system("Be brief."), Message.user("Hi")],
            [Message.system("Be long."), Message.user("Hi")],
            [Message.user("Hi", Image(data=b"1"))],
            [Message.user("Hi", Image(data=b"2"))],
        ]

        assert len(beginnings) == len({call(beginning).session_id for beginning in beginnings})

    def test_a_given_one_is_used(self):
        """The program's session id is used in the header and as the cache key alike."""
        prepared = call(session_id="mine")

        assert "mine" == prepared.request(CREDENTIALS).headers["session-id"]
        assert "mine" == json.loads(prepared.body)["prompt_cache_key"]

    @pytest.mark.parametrize("session_id", ["two\r\nlines: x", "línea", "emoji 🐦", "nul\0"])
    def test_one_that_no_header_can_hold_is_refused(self, session_id):
        """A session id that would break out of its header is an error of the request, told before sending."""
        with pytest.raises(InvalidRequestError):
            call(session_id=session_id)


class TestHeaders:
    def test_who_asks_and_for_whom(self):
        """The request names the account, onplan, the conversation and itself."""
        request = call(session_id="s-1").request(CREDENTIALS)

        assert "POST" == request.method
        assert "Bearer secret-token" == request.headers["authorization"]
        assert "acct-1" == request.headers["chatgpt-account-id"]
        assert "onplan" == request.headers["originator"]
        assert request.headers["user-agent"].startswith("onplan/")
        assert "s-1" == request.headers["session-id"]
        assert "text/event-stream" == request.headers["accept"]
        assert "application/json" == request.headers["content-type"]

    def test_the_token_is_in_one_header_only(self):
        """No header but ``authorization``, no URL and no body holds a token."""
        request = call().request(CREDENTIALS)

        assert ["authorization"] == [name for name, value in request.headers.items() if "secret" in value]
        assert "secret" not in request.url
        assert b"secret" not in request.body
        assert "secret" not in repr(request)

    def test_no_account_no_header(self):
        """Without an account id, or where the backend wants none, the account header is absent."""
        anonymous = OAuthCredentials(access_token="t")
        other = replace(OPENAI_CODEX, account_header=None)

        assert "chatgpt-account-id" not in call().request(anonymous).headers
        assert "acct-1" not in call(backend=other).request(CREDENTIALS).headers.values()

    def test_each_try_has_its_own_id(self):
        """Two tries of one call can be told apart."""
        prepared = call()

        ids = {prepared.request(CREDENTIALS).headers["x-client-request-id"] for _ in range(2)}
        assert 2 == len(ids)


class TestOverWebSocket:
    def test_the_upgrade_carries_the_headers_of_the_request(self):
        """It names the account and the conversation as the POST does, and has no body."""
        prepared = call(session_id="s-1")
        upgrade, posted = prepared.upgrade(CREDENTIALS), prepared.request(CREDENTIALS)

        assert ("GET", posted.url, b"") == (upgrade.method, upgrade.url, upgrade.body or b"")
        assert "responses_websockets=2026-02-06" == upgrade.headers["openai-beta"]
        for name in ("authorization", "chatgpt-account-id", "originator", "session-id"):
            assert posted.headers[name] == upgrade.headers[name]
        assert "content-type" not in upgrade.headers

    def test_the_message_is_the_body_in_items(self):
        """Its fields are those of the body, and its input is apart from them."""
        prepared = call(session_id="s-1")
        whole, message = json.loads(prepared.body), prepared.create()

        assert {*whole} == {*message.fields, "input"}
        assert whole["input"] == [json.loads(bytes(item)) for item in message.items]
        assert len(prepared.body) == message.size


class TestContinuing:
    FIRST = Text("Hello")
    CALL = ToolCall("c", "weather", "{}")

    def inputs(self, prepared):
        items = json.loads(prepared.body)["input"]
        return [item.get("role") or item["type"] for item in items]

    def test_what_was_finished_is_added_to_the_conversation(self):
        """The next request ends with it, and everything else of the request is the same."""
        prepared = call(session_id="s-1")
        later = prepared.after([self.FIRST])

        assert ["user"] == self.inputs(prepared)
        assert ["user", "assistant"] == self.inputs(later)
        assert (self.FIRST,) == later.kept
        assert {**json.loads(prepared.body), "input": None} == {**json.loads(later.body), "input": None}
        assert prepared.session_id == later.session_id

    def test_what_was_kept_before_is_not_added_again(self):
        """Each time only the parts that are new are added."""
        later = call().after([self.FIRST]).after([self.FIRST, self.CALL])

        assert ["user", "assistant", "function_call"] == self.inputs(later)
        assert (self.FIRST, self.CALL) == later.kept

    def test_the_answer_begins_with_what_was_kept(self):
        """Its stream has the earlier parts before the first event, and the facts of the request."""
        prepared = call(temperature=0.5).after([self.FIRST])
        stream = prepared.stream("req-1")
        done = {"type": "response.completed", "response": {"id": "r", "output": []}}
        chunks = stream.feed([json.dumps(done).encode()])
        response = chunks[-1].response

        assert [self.FIRST] == response.message.content
        assert ["temperature"] == response.ignored_parameters
        assert "gpt-5.5" == response.model
