"""Which part of a request a refusal is about, and what is sent instead: tables of sentences and bodies."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from msgspec import structs

from onplan.backends import COMPATIBLE, OPENAI_CODEX, OPENAI_RESPONSES
from onplan.chat import request as chat
from onplan.errors import (
    ContextLengthError,
    EncryptedReasoningError,
    InvalidRequestError,
    NotIncludedError,
    RateLimitError,
    ServerError,
    SignInAgainError,
    UsageLimitError,
)
from onplan.responses import request as responses
from onplan.turn import amendment_table, amendments
from onplan.turn.amendment_table import AMENDMENTS, NEUTRAL_INSTRUCTIONS, amended
from onplan.turn.amendments import Remembered
from onplan.types import CompletionRequest, Image, Message, Text, Thinking, ToolCall, ToolDefinition

URL = "https://example.org"
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
THOUGHT = Thinking("hm", '{"reasoning_content":"hm"}')
SEALED = Thinking("hm", "gAAAA")
FULL = {
    "tools": [ToolDefinition("f")],
    "response_format": CLOSED,
    "max_tokens": 5,
}


def chat_call(*said, **options):
    messages = [Message.user("a"), Message.assistant(THOUGHT, "b"), Message.user(*(said or ("c",)))]
    return chat.prepare(CompletionRequest(messages=messages, **(FULL | options)), COMPATIBLE, URL, "m")


def responses_call(*, backend=OPENAI_RESPONSES, **options):
    messages = [
        Message.system("Be brief."),
        Message.user("a"),
        Message.assistant(SEALED, Text("b", "final_answer")),
        Message.user("c"),
    ]
    options = {"messages": messages, **FULL, **options}
    return responses.prepare(CompletionRequest(**options), backend, URL, "gpt-9")


def changed(call, message, kind=InvalidRequestError, status=400):
    """What is left out of the body, or new in it, as dotted paths; None where nothing is changed."""
    found = amended(kind(message, status_code=status), call, [])
    if found is None:
        return None
    before, after = (set(_paths(json.loads(body))) for body in (call.body, found[1].body))
    return before ^ after


def _paths(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{path}{key}"
            yield from _paths(inner, f"{path}{key}.")
    if isinstance(value, list):
        for inner in value:
            yield from _paths(inner, path)


USAGE_OPTION = {"stream_options", "stream_options.include_usage"}
STREAM = {"stream", *USAGE_OPTION}
ABOUT_CHAT = {
    "stream_options: Extra inputs are not permitted": USAGE_OPTION,
    "body.stream_options.include_usage: Extra inputs are not permitted": USAGE_OPTION,
    "Validation error at #/stream_options: Extra inputs are not permitted": USAGE_OPTION,
    "Unrecognized request argument supplied: stream_options": USAGE_OPTION,
    "Unknown parameter: 'stream_options'.": USAGE_OPTION,
    'json: unknown field "stream_options"': USAGE_OPTION,
    "unknown field `stream_options`, expected one of `model`, `messages`, `stream`": USAGE_OPTION,
    "This model cannot stream with stream_options here.": USAGE_OPTION,
    "Completions.create() got an unexpected keyword argument 'stream_options'": USAGE_OPTION,
    "Additional properties are not allowed ('stream_options' was unexpected)": USAGE_OPTION,
    "The parameter stream_options is not supported by this model.": USAGE_OPTION,
    "property 'stream_options' is unsupported": USAGE_OPTION,
    "Bad request (Parameter: stream_options.)": USAGE_OPTION,
    "{'type': 'extra_forbidden', 'loc': ('body', 'stream_options')}": USAGE_OPTION,
    "mistral does not support parameters: ['stream_options'], for model=m": USAGE_OPTION,
    'Invalid JSON payload received. Unknown name "stream_options": Cannot find field.': USAGE_OPTION,
    "Your organization must be verified to stream this model. Please go to: https://…": STREAM,
    "Unsupported value: 'stream' does not support true with this model.": STREAM,
    "stream: Extra inputs are not permitted": STREAM,
    "Streaming is not supported for this model.": STREAM,
    "This deployment does not support streaming": STREAM,
    "Not supported. (Parameter: stream.)": STREAM,
    "'messages.1' : for 'role:assistant' … [('messages.1' : property 'reasoning_content' is unsupported)]": {
        "messages.reasoning_content"
    },
    "messages.1.assistant.reasoning_content: property '…' is unsupported": {"messages.reasoning_content"},
    "body.messages.1.assistant.reasoning_content: Extra inputs are not permitted": {
        "messages.reasoning_content"
    },
    "Corrupted thought signature.": {"messages.reasoning_content"},
    "messages.1.content.0: Invalid `signature` in `thinking` block": {"messages.reasoning_content"},
    "Thought signature is not valid": {"messages.reasoning_content"},
    "property 'reasoning' is unsupported": {"messages.reasoning_content"},
    "messages.1.thinking_blocks: Extra inputs are not permitted": {"messages.reasoning_content"},
    "Unknown parameter: 'input[2].encrypted_content'.": {"messages.reasoning_content"},
    "response_format.json_schema.strict: Extra inputs are not permitted": {
        "response_format.json_schema.strict"
    },
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead.": {"max_tokens", "max_completion_tokens"},
}


@pytest.mark.parametrize("message", ABOUT_CHAT)
def test_what_a_chat_server_names_is_left_out(message):
    """The field that the server's own words name goes, and nothing else does."""
    assert changed(chat_call(), message) == ABOUT_CHAT[message]


PHASE, SUMMARY = {"input.phase"}, {"reasoning", "reasoning.summary"}
SEALED_ITEM = {"input.encrypted_content", "input.summary", "input.summary.type", "input.summary.text"}
ABOUT_RESPONSES = {
    "Unknown parameter: 'prompt_cache_key'.": {"prompt_cache_key"},
    "Unsupported parameter: prompt_cache_key": {"prompt_cache_key"},
    "Encrypted content is not supported with this model. (Parameter: include.)": {"include"},
    "Unsupported parameter: include": {"include"},
    "include: Extra inputs are not permitted": {"include"},
    "Unsupported parameter: 'store'": {"store"},
    "store is not supported": {"store"},
    "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.": {"parallel_tool_calls"},
    '"tool_choice" is not supported by vLLM without a tool parser': {"tool_choice"},
    "Unknown parameter: 'tools[0].strict'.": {"tools.strict"},
    "body.text.format.strict: Extra inputs are not permitted": {"text.format.strict"},
    "Unknown parameter: 'input[2].phase'.": PHASE,
    "Unknown parameter: 'input[2].encrypted_content'.": SEALED_ITEM,
    "input.2: reasoning items are not supported": SEALED_ITEM,
    "Unknown parameter: 'input[2].summary'.": SEALED_ITEM,
    "messages.1.assistant.reasoning_content: Extra inputs are not permitted": SEALED_ITEM,
}


@pytest.mark.parametrize("message", ABOUT_RESPONSES)
def test_what_a_responses_server_names_is_left_out(message):
    """The same over the Responses API."""
    assert changed(responses_call(), message) == ABOUT_RESPONSES[message]


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: 'reasoning.summary' is not supported with this model.",
        "Your organization must be verified to generate reasoning summaries. (Parameter: reasoning.summary.)",
        "Unknown parameter: 'reasoning'.",
    ],
)
def test_an_unasked_summary_is_left_out(message):
    """A summary that only the backend's row asks for goes when it is refused; the effort stays."""
    assert changed(responses_call(backend=OPENAI_CODEX), message) == SUMMARY
    with_effort = responses_call(backend=OPENAI_CODEX, reasoning_effort="low")
    expected = None if message.endswith("'reasoning'.") else {"reasoning.summary"}
    assert changed(with_effort, message) == expected


ASKED = {
    "reasoning.summary": ({"reasoning_summary": "detailed"}, "Unsupported parameter: 'reasoning.summary'"),
    "tool_choice": ({"tool_choice": "auto"}, "Unsupported parameter: 'tool_choice'"),
    "parallel_tool_calls": ({"parallel_tool_calls": True}, "Unsupported parameter: 'parallel_tool_calls'"),
    "temperature": ({"temperature": 0.5}, "Unsupported parameter: 'temperature'"),
    "tools": ({}, "Unsupported parameter: 'tools'"),
    "the effort": ({"reasoning_effort": "low"}, "Unsupported parameter: 'reasoning.effort'"),
    "that a tool is strict": (
        {"tools": [ToolDefinition("f", strict=True)]},
        "Unknown parameter: 'tools[0].strict'.",
    ),
    "the schema": ({}, "Unsupported parameter: 'text.format'"),
    "the model": ({}, "Unknown parameter: 'model'."),
}


@pytest.mark.parametrize(("options", "message"), ASKED.values(), ids=ASKED)
def test_what_the_program_asked_for_is_not_changed(options, message):
    """A parameter that the program gave is refused in the server's words."""
    assert changed(responses_call(**options), message) is None


OTHER_WORDS = (
    "Store must be set to false",
    "Stream must be set to true",
    "Item with id 'rs_0' not found. Items are not persisted when `store` is set to false. Remove it.",
    "Invalid schema for function 'f': In context=(), 'oneOf' is not permitted.",
    "The model `m` does not exist, or you do not have access to it; stream later.",
    "This request cannot include that many messages.",
    "Unknown parameter: 'stream_options_of_mine'.",
    "Unrecognized request argument supplied: reasoning_effort",
    "Function call is missing a thought_signature in functionCall parts.",
    "bad request",
    "",
)


@pytest.mark.parametrize("message", OTHER_WORDS)
def test_words_that_refuse_nothing_unasked_change_nothing(message):
    """A sentence in which a field's name is only a word, or not refused, leaves the request as it is."""
    assert changed(chat_call("c", "d"), message) is None
    assert changed(responses_call(), message) is None


NO_EFFORT = (
    "Unsupported value: 'none' is not supported with the 'gpt-9' model. (Parameter: reasoning.effort.)"
)


@pytest.mark.parametrize("effort", ["none", "minimal"])
def test_an_effort_that_another_program_asks_for_by_itself_becomes_one_that_all_models_offer(effort):
    """So a client of the server is answered. A program's own wish, by our parameter, stays an error."""
    call = responses_call(reasoning_effort=effort)
    served = structs.replace(call, given=frozenset({"reasoning"}))
    error = InvalidRequestError(NO_EFFORT, status_code=400)

    assert amended(error, call, []) is None
    _, changed_call = amended(error, served, [])
    assert json.loads(changed_call.body)["reasoning"]["effort"] == "low"
    assert amended(error, changed_call, []) is None


@pytest.mark.parametrize("effort", ["low", "high"])
def test_another_effort_stays_as_it_is(effort):
    """One that a model would offer less of is not for us to choose."""
    served = structs.replace(responses_call(reasoning_effort=effort), given=frozenset())

    assert amended(InvalidRequestError(NO_EFFORT, status_code=400), served, []) is None


def test_a_parameter_called_reasoning_is_no_thinking():
    """Where the Responses API refuses ``reasoning``, earlier thinking stays in the input."""
    assert changed(responses_call(reasoning_effort="low"), "Unknown parameter: 'reasoning'.") is None


def test_thinking_that_is_not_there_is_not_refused():
    """A server that names thinking although none was sent is not asked again, in either API."""
    for api, backend in ((chat, COMPATIBLE), (responses, OPENAI_RESPONSES)):
        plain = api.prepare(CompletionRequest(messages="a"), backend, URL, "gpt-9")

        assert changed(plain, "property 'reasoning_content' is unsupported") is None
        assert amended(EncryptedReasoningError("It could not be decrypted."), plain, []) is None


@pytest.mark.parametrize(
    "message", ["Unknown parameter: 'stream_options'.", "Unknown parameter: 'max_tokens'."]
)
@pytest.mark.parametrize("kind", [RateLimitError, UsageLimitError, SignInAgainError, ContextLengthError])
def test_other_failures_change_nothing(kind, message):
    """A limit, a sign-in or a full context window is no refusal of a field, whatever its words."""
    assert changed(chat_call(), message, kind) is None


@pytest.mark.parametrize(
    "message", ["Invalid `signature` in `thinking` block", "Invalid schema for response_format 'response'"]
)
@pytest.mark.parametrize("kind", [RateLimitError, UsageLimitError, SignInAgainError, ServerError])
def test_other_failures_refuse_no_content(kind, message):
    """Nor does one say that thinking or a schema is to be sent otherwise."""
    assert changed(chat_call(), message, kind) is None


@pytest.mark.parametrize(
    ("kind", "status"), [(NotIncludedError, 403), (ServerError, 500), (ServerError, 501)]
)
def test_the_status_does_not_matter(kind, status):
    """Servers refuse with all kinds of statuses; the words count."""
    assert changed(chat_call(), "unexpected keyword argument 'stream_options'", kind, status) == USAGE_OPTION


def test_the_length_is_asked_for_by_its_other_name():
    """Either name may be the one that a server does not know; a name that was not sent is not refused."""
    old, new = ({"max_tokens"}, {"max_completion_tokens"})
    unknown = "Unknown parameter: '{}'."
    assert changed(chat_call(), unknown.format("max_tokens")) == old | new
    assert changed(chat_call(), unknown.format("max_completion_tokens")) is None
    _, call = amended(InvalidRequestError(unknown.format("max_tokens"), status_code=400), chat_call(), [])
    assert b'"max_completion_tokens":5' in call.body

    assert changed(call, unknown.format("max_completion_tokens")) == old | new
    assert changed(call, unknown.format("max_tokens")) is None


TEXT_WANTED = (
    "'messages.0' : for 'role:user' … [('messages.0.content' : value must be a string)]",
    "Failed to deserialize the JSON body: messages[0]: invalid type: sequence, expected a string",
    "messages.2.content: Input should be a valid string",
)


@pytest.mark.parametrize("message", TEXT_WANTED)
def test_texts_become_one_where_one_is_wanted(message):
    """Several texts of the user go as one string to a server that takes no list."""
    amendment, call = amended(InvalidRequestError(message, status_code=400), chat_call("c", "d"), [])

    assert "text as one string" == amendment.name
    assert "c\nd" == json.loads(call.body)["messages"][2]["content"]


@pytest.mark.parametrize("message", TEXT_WANTED)
def test_where_nothing_but_text_is_sent_as_text_there_is_no_more_to_do(message):
    """An image cannot be said as a string; in the Responses API contents are lists."""
    image = Image("https://example.org/a.png")
    assert changed(chat_call("c"), message) is None
    assert changed(chat_call("c", image), message) is None
    assert changed(responses_call(), message) is None


@pytest.mark.parametrize("kind", [RateLimitError, SignInAgainError])
def test_other_failures_want_no_text(kind):
    """A limit that mentions the content is a limit."""
    assert changed(chat_call("c", "d"), TEXT_WANTED[0], kind) is None


SCHEMA_REFUSED = "Invalid schema for response_format 'response': In context=(), 'oneOf' is not permitted."


def test_a_schema_that_strict_mode_refuses_is_not_strict():
    """Where the subset of strict mode has changed, the schema goes without strict."""
    error = InvalidRequestError(SCHEMA_REFUSED, status_code=400)
    for call, path in (
        (chat_call(), ("response_format", "json_schema")),
        (responses_call(), ("text", "format")),
    ):
        _, after = amended(error, call, [])
        before, sent = (json.loads(body)[path[0]][path[1]] for body in (call.body, after.body))

        assert {**before, "strict": False} == sent
        assert before["strict"]
        assert amended(error, after, []) is None


def test_thinking_is_reported():
    """Whichever way earlier thinking is refused, the answer lists it as ignored."""
    for call, error in (
        (chat_call(), InvalidRequestError("property 'reasoning_content' is unsupported", status_code=400)),
        (responses_call(), EncryptedReasoningError("It could not be decrypted.", status_code=400)),
        (responses_call(), EncryptedReasoningError("It could not be decrypted.")),
    ):
        _, without = amended(error, call, [])
        assert ("thinking",) == without.reports.ignored
        assert b"reasoning_content" not in without.body
        assert b"encrypted_content" not in without.body.replace(b'"reasoning.encrypted_content"', b"")


def test_signatures_of_calls_go_with_the_thinking():
    """What a server wants back with its calls is left out where another one refuses it."""
    call = ToolCall("x", "f", "{}", signature='{"extra_content":{"google":{"thought_signature":"c2ln"}}}')
    messages = [Message.user("a"), Message.assistant(call), Message.tool("x", "1")]
    prepared = chat.prepare(CompletionRequest(messages=messages), COMPATIBLE, URL, "m")
    message = "messages.1.tool_calls.0.extra_content: Extra inputs are not permitted"

    assert b"extra_content" in prepared.body
    assert changed(prepared, message) >= {"messages.tool_calls.extra_content"}


def test_so_do_signatures_within_the_function():
    """Some gateways have them in the function of a call."""
    inner = {"function": {"provider_specific_fields": {"thought_signature": "c2ln"}}}
    messages = [
        Message.user("a"),
        Message.assistant(ToolCall("x", "f", "{}", signature=json.dumps(inner))),
        Message.tool("x", "1"),
    ]
    prepared = chat.prepare(CompletionRequest(messages=messages), COMPATIBLE, URL, "m")
    message = "messages.1.tool_calls.0.function.provider_specific_fields: Extra inputs are not permitted"

    assert changed(prepared, message) == {
        "messages.tool_calls.function.provider_specific_fields",
        "messages.tool_calls.function.provider_specific_fields.thought_signature",
    }


def test_a_session_id_that_was_given_is_reported():
    """The cache key is ours, the name of the conversation the program's: it is listed if it was given."""
    error = InvalidRequestError("Unknown parameter: 'prompt_cache_key'.", status_code=400)

    for call in (chat_call(), responses_call()):
        unasked = InvalidRequestError("Unsupported parameter: 'stream_options', 'store'", status_code=400)
        assert () == amended(unasked, call, [])[1].reports.ignored
    assert () == amended(error, responses_call(), [])[1].reports.ignored
    assert ("session_id",) == amended(error, responses_call(session_id="s"), [])[1].reports.ignored


BODY = {
    "a": {"b": 1},
    "list": [{"x": 1}, {"y": 2}, "z", {"x": {"only": 3}}],
    "text": "x",
    "none": None,
    "empty": {},
}


@pytest.mark.parametrize(
    ("path", "left"),
    [
        (("text",), {name: BODY[name] for name in ("a", "list", "none", "empty")}),
        (("a", "b"), {name: BODY[name] for name in ("list", "text", "none", "empty")}),
        (("list", "*", "x"), {**BODY, "list": [{}, {"y": 2}, "z", {}]}),
        (("list", "*", "x", "only"), {**BODY, "list": [{"x": 1}, {"y": 2}, "z", {}]}),
        (("none",), {name: BODY[name] for name in ("a", "list", "text", "empty")}),
        *(
            (path, BODY)
            for path in [
                ("c",),
                ("a", "c"),
                ("empty", "c"),
                ("list", "*", "w"),
                ("text", "x"),
                ("none", "*", "x"),
            ]
        ),
        *((path, BODY) for path in [("a", "*", "b"), ("a", "b", "c"), ("list", "x"), ("text", "*", "x")]),
        (("none", "*", "x"), BODY),
    ],
    ids=str,
)
def test_a_field_by_its_path(path, left):
    """It is taken out wherever it is, with an object that held nothing else."""
    body = json.loads(json.dumps(BODY))

    assert amendment_table._has(body, path) is (left != BODY)
    assert amendment_table._remove(body, path) is (left != BODY)
    assert body == left


def test_each_row_is_applied_once():
    """The same refusal again is an error."""
    error = InvalidRequestError("Unknown parameter: 'stream_options'.", status_code=400)
    row, call = amended(error, chat_call(), [])

    assert amended(error, call, [row]) is None
    assert amended(error, chat_call(), [row]) is None
    assert len({row.name for row in AMENDMENTS}) == len(AMENDMENTS)


class TestInstructions:
    WANTED = InvalidRequestError("Instructions are required", status_code=400)

    @pytest.mark.parametrize(
        ("messages", "instructions", "roles"),
        [
            ([Message.system("Be brief."), Message.user("a")], "Be brief.", ["user"]),
            ([Message.developer("Be", "brief."), Message.user("a")], "Be\nbrief.", ["user"]),
            (
                [Message.system("A"), Message.developer("B"), Message.user("a")],
                "A",
                ["developer", "user"],
            ),
            ([Message.user("a")], NEUTRAL_INSTRUCTIONS, ["user"]),
            ([Message.user("a"), Message.system("late")], NEUTRAL_INSTRUCTIONS, ["user", "developer"]),
            ([Message.system("alone")], "alone", ["developer"]),
        ],
        ids=["system", "developer", "the first", "none", "not leading", "alone"],
    )
    def test_they_are_the_leading_text(self, messages, instructions, roles):
        """They are what the program said first to the model about its task, else one neutral sentence."""
        call = responses_call(backend=OPENAI_CODEX, messages=messages)
        _, given = amended(self.WANTED, call, [])
        body = json.loads(given.body)

        assert instructions == body["instructions"]
        assert roles == [item["role"] for item in body["input"]]

    def test_the_role_is_that_of_the_row(self):
        """A backend may take system messages as such."""
        backend = replace(OPENAI_CODEX, system_role="system")
        call = responses_call(backend=backend, messages=[Message.system("Be brief."), Message.user("a")])

        assert json.loads(amended(self.WANTED, call, [])[1].body)["instructions"] == "Be brief."

    def test_an_image_is_no_text(self):
        """A message that holds more than text stays where it is."""
        first = Message.developer("Look.", Image("https://example.org/a.png"))
        call = responses_call(backend=OPENAI_CODEX, messages=[first, Message.user("a")])
        body = json.loads(amended(self.WANTED, call, [])[1].body)

        assert body["instructions"] == NEUTRAL_INSTRUCTIONS
        assert [item["role"] for item in body["input"]] == ["developer", "user"]

    @pytest.mark.parametrize(
        "message", ["Instructions are required", " instructions are required.\n", "INSTRUCTIONS ARE REQUIRED"]
    )
    def test_how_it_is_written_does_not_matter(self, message):
        """The sentence is the same with a full stop, or in capitals."""
        error = InvalidRequestError(message, status_code=400)

        assert amended(error, responses_call(backend=OPENAI_CODEX), [])[0].name == "instructions"

    def test_where_they_were_sent_there_are_no_others(self):
        """A request that has them, and one of the other API, is not changed."""
        given = amended(self.WANTED, responses_call(backend=OPENAI_CODEX), [])[1]

        assert amended(self.WANTED, given, []) is None
        assert amended(self.WANTED, chat_call(), []) is None

    @pytest.mark.parametrize(
        "error",
        [
            InvalidRequestError("Instructions are not valid", status_code=400),
            InvalidRequestError("Instructions are required", status_code=422),
            InvalidRequestError("Instructions are required for this model", status_code=400),
        ],
    )
    def test_only_that_answer_counts(self, error):
        """Another sentence, or another status, changes nothing."""
        assert amended(error, responses_call(backend=OPENAI_CODEX), []) is None

    def test_the_process_remembers(self):
        """Every later request to that server has them, of any client and model; others have not."""
        call = responses_call(backend=OPENAI_CODEX)
        row, _ = amended(self.WANTED, call, [])
        Remembered().keep(row, call)

        assert b'"instructions"' in Remembered().apply(call).body
        amendments.forget()
        assert b'"instructions"' not in Remembered().apply(call).body


@pytest.mark.parametrize(
    "message", ["Invalid schema for response_format 'r'", "Invalid `signature` in `thinking` block"]
)
def test_what_concerns_one_request_is_not_remembered(message):
    """Another schema may be taken, and thinking that comes from this server."""
    row, call = amended(InvalidRequestError(message, status_code=400), chat_call(), [])
    remembered = Remembered()
    remembered.keep(row, call)

    assert row.remembered == "never"
    assert remembered.apply(chat_call()).body == chat_call().body


def test_a_client_remembers_what_a_model_refuses():
    """What was refused with one model is not sent with it again, and is sent with another."""
    error = InvalidRequestError("Unknown parameter: 'stream_options'.", status_code=400)
    call, other = chat_call(), chat.prepare(CompletionRequest(messages="a"), COMPATIBLE, URL, "n")
    remembered = Remembered()
    remembered.keep(amended(error, call, [])[0], call)

    assert b"stream_options" not in remembered.apply(call).body
    assert b"stream_options" in remembered.apply(other).body
    assert b"stream_options" in Remembered().apply(call).body


def test_stop_is_emulated_where_the_row_says_so():
    """At other backends its refusal stays an error, as that of all else that the program asked for."""
    refusal = InvalidRequestError("Unsupported parameter: 'stop' is not supported with this model.")
    call = chat_call(stop=["a", "b"])
    _, emulated = amended(refusal, call, [])
    assert "stop" not in json.loads(emulated.body)
    assert (emulated.reports.emulated, emulated.reports.cut_at.stop) == (("stop",), ("a", "b"))
    other = structs.replace(call, backend=replace(COMPATIBLE, parameter_support={}))
    assert amended(refusal, other, []) is None
