"""The deterministic model and the events it answers in."""

from __future__ import annotations

import json

import pytest

from onplan.emulator import Emulator, Options, Scenario
from onplan.emulator.api.schema_instance import instance
from onplan.emulator.options import Answer

SEALED = ["reasoning.encrypted_content"]
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "minLength": 5}, "unit": {"enum": ["C", "F"]}},
        "required": ["city", "unit"],
    },
}
CLOCK = {"type": "function", "name": "get_time", "parameters": {"type": "object", "properties": {}}}
SHELL = {"type": "function", "name": "exec_command", "parameters": {"type": "object"}}


def text_of(response):
    (message,) = [item for item in response["output"] if item["type"] == "message"]
    return message["content"][0]["text"]


def calls_of(response):
    return [item for item in response["output"] if item["type"] == "function_call"]


def kinds(events):
    return [event["type"].removeprefix("response.") for event in events]


def test_it_echoes_word_by_word(client):
    """Every event of a plain answer is there, numbered, in the API's order; the deltas make up the text."""
    events = client.events("hi there")
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * 4,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [event["delta"] for event in events if event["type"].endswith(".delta")]
    assert "".join(deltas) == text_of(events[-1]["response"]) == "You said: hi there"


def test_a_delta_has_every_field(client):
    """As long as real ones are, too."""
    delta = next(event for event in client.events() if event["type"] == "response.output_text.delta")
    fields = "type sequence_number item_id output_index content_index delta logprobs obfuscation"
    assert set(delta) == set(fields.split())
    frame = f"event: {delta['type']}\ndata: {json.dumps(delta, separators=(',', ':'))}\n\n"
    assert 230 <= len(frame) <= 290


def test_it_shows_its_thoughts_when_asked(client):
    """Summary events come only with reasoning.summary; the sealed text only with include."""
    thinking = client.events(reasoning={"summary": "auto"}, include=SEALED)
    shown = list(dict.fromkeys(kind for kind in kinds(thinking) if "summary" in kind))
    steps = ("part.added", "text.delta", "text.done", "part.done")
    assert shown == [f"reasoning_summary_{step}" for step in steps]
    reasoning = thinking[-1]["response"]["output"][0]
    assert reasoning["summary"][0]["text"] == "".join(
        event["delta"] for event in thinking if event["type"] == "response.reasoning_summary_text.delta"
    )
    assert reasoning["encrypted_content"]
    plain = client.events()
    assert not any("summary" in kind for kind in kinds(plain))
    assert plain[-1]["response"]["output"][0]["encrypted_content"] is None


def test_encrypted_reasoning_comes_back_or_is_refused(client):
    """It is accepted for the same model, and by no other."""
    reasoning = client.completed(include=SEALED)["output"][0]
    question = {"role": "user", "content": "and?"}
    assert client.completed(input=[reasoning, question])["status"] == "completed"
    refused = client.turn(model="gpt-6-sol", input=[reasoning, question])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_encrypted_content")


def test_it_calls_each_function_once_in_parallel(client):
    """Arguments fit the schema and arrive in several deltas, each keyed by its item."""
    events = client.events(tools=[WEATHER, CLOCK, {"type": "web_search"}])
    first, second = calls_of(events[-1]["response"])
    assert (first["name"], json.loads(first["arguments"])) == ("get_weather", {"city": "textx", "unit": "C"})
    assert (second["name"], second["arguments"]) == ("get_time", "{}")
    deltas = [event for event in events if event["type"] == "response.function_call_arguments.delta"]
    own = [event["delta"] for event in deltas if event["item_id"] == first["id"]]
    assert len(own) == 4
    assert "".join(own) == first["arguments"]
    assert first["call_id"] != second["call_id"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "required"}, ["get_weather", "get_time"]),
        ({"tool_choice": {"type": "function", "name": "get_time"}}, ["get_time"]),
        ({"parallel_tool_calls": False}, ["get_weather"]),
    ],
)
def test_tool_choice_is_respected(client, fields, names):
    """None, any, one, or one at a time."""
    response = client.completed(tools=[WEATHER, CLOCK], **fields)
    assert [call["name"] for call in calls_of(response)] == names


@pytest.mark.parametrize(
    ("properties", "arguments"),
    [
        ({"query": {"type": "string"}, "days": {"type": "integer"}}, {"query": "text"}),
        ({"urls": {"type": "array", "items": {"type": "string"}}}, {"urls": ["text"]}),
        ({"urls": {"type": "array", "items": {"$ref": "#/$defs/url"}, "minItems": 2}}, {"urls": [5, 5]}),
        ({"url": {"$ref": "#/$defs/url"}}, {"url": 5}),
        ({"any": True}, {"any": None}),
        ({}, {}),
    ],
)
def test_a_call_says_something(client, properties, arguments):
    """Of a function that requires nothing, the first argument is given, and one item of a list."""
    parameters = {"type": "object", "properties": properties, "$defs": {"url": {"const": 5}}}
    (call,) = calls_of(client.completed(tools=[{"type": "function", "name": "f", "parameters": parameters}]))
    assert json.loads(call["arguments"]) == arguments


def test_after_tool_results_it_answers_in_text(client):
    """And names the tools and what they returned."""
    (call,) = calls_of(client.completed(tools=[CLOCK]))
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "12:00"}
    response = client.completed(input=[{"role": "user", "content": "time?"}, call, result], tools=[CLOCK])
    assert text_of(response) == "get_time returned: 12:00"


def test_known_tools_are_used_harmlessly_and_alone(client):
    """Where a tool would really act, its arguments are from a table and its neighbours are left alone."""
    (call,) = calls_of(client.completed(tools=[WEATHER, SHELL]))
    assert (call["name"], call["arguments"]) == ("exec_command", '{"cmd":"echo hello-tool"}')


def test_tools_may_come_inside_the_input(client):
    """Lite models have them in an additional_tools item, in namespaces, custom ones too."""
    exec_tool = {"type": "custom", "name": "exec"}
    item = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [{"type": "namespace", "name": "functions", "tools": [exec_tool, WEATHER]}],
    }
    events = client.events(model="gpt-6.1-sol", input=[item, {"role": "user", "content": "hi"}])
    call = events[-1]["response"]["output"][-1]
    assert (call["type"], call["name"], call["namespace"]) == ("custom_tool_call", "exec", "functions")
    deltas = [event["delta"] for event in events if event["type"].endswith("custom_tool_call_input.delta")]
    assert "".join(deltas) == call["input"]


def test_a_custom_tool_is_called_with_a_text_of_its_format(client):
    """Once, as functions are, or when it is chosen among others."""
    note = {"type": "custom", "name": "note"}
    grammar = {"type": "grammar", "syntax": "regex", "definition": r"SELECT \d+"}
    sql = {"type": "custom", "name": "sql", "format": grammar}
    said = [(call["name"], call["input"]) for call in client.completed(tools=[note, sql])["output"][1:]]
    assert said == [("note", "text"), ("sql", "SELECT 0")]
    chosen = client.completed(tools=[note, sql], tool_choice={"type": "custom", "name": "sql"})["output"][1:]
    assert [(call["type"], call["name"]) for call in chosen] == [("custom_tool_call", "sql")]
    result = {"type": "custom_tool_call_output", "call_id": chosen[0]["call_id"], "output": "7"}
    response = client.completed(input=[{"role": "user", "content": "?"}, *chosen, result], tools=[sql])
    assert text_of(response) == "sql returned: 7"


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({}, "tools[0].name"),
        ({"name": "a", "description": 5}, "tools[0].description"),
        ({"name": "a", "format": "text"}, "tools[0].format"),
        ({"name": "a", "format": {}}, "tools[0].format.type"),
        ({"name": "a", "format": {"type": "grammar", "definition": "a"}}, "tools[0].format.syntax"),
        ({"name": "a", "format": {"type": "grammar", "syntax": "lark"}}, "tools[0].format.definition"),
        (
            {"name": "a", "format": {"type": "grammar", "syntax": "peg", "definition": "a"}},
            "tools[0].format.syntax",
        ),
        (
            {"name": "a", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "a"}}},
            "tools[0].format.syntax",
        ),
    ],
)
def test_a_custom_tool_that_is_malformed_is_refused(client, tool, param):
    """With its place; the last one has the shape of the other API."""
    reply = client.turn(tools=[{"type": "custom", **tool}])
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_a_grammar_without_a_known_text_is_told(client):
    """No other text is made up: a program would take it for one that fits."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: start "a"'}
    reply = client.turn(tools=[{"type": "custom", "name": "sql", "format": grammar}])
    assert reply.status_code == 400
    assert "Scenario.turns" in reply.json()["error"]["message"]


def test_structured_output_obeys_the_schema(client):
    """The answer is JSON that fits; json_object is JSON."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "n": {"type": "integer", "minimum": 3}},
        "required": ["a", "n"],
        "additionalProperties": False,
    }
    text_format = {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}
    assert json.loads(text_of(client.completed(text={"format": text_format}))) == {"a": "text", "n": 3}
    text_format = {"type": "json_object"}
    assert json.loads(text_of(client.completed("Answer in JSON.", text={"format": text_format})))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 4}, 4),
        ({"enum": ["b", "a"]}, "b"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"oneOf": [{"type": "integer"}]}, 0),
        ({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}]}, {"a": 1}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, True),
        ({"type": ["string", "null"], "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "number", "exclusiveMinimum": 1}, 1.5),
        ({"type": "integer", "exclusiveMinimum": 1}, 2),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"properties": {"a": {}}, "required": ["a"]}, {"a": "text"}),
        ({}, "text"),
        (
            {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
                "required": ["next"],
            },
            {"next": {"next": None}},
        ),
    ],
)
def test_instances_are_minimal(schema, value):
    """What is required, no more; recursion ends where it may."""
    assert instance(schema) == value


def test_usage_adds_up_and_repeats_are_cached(client):
    """A repeated prefix is cached for the session-id header that sent it; without the header nothing is."""
    question = {"role": "user", "content": "hi " * 100}
    headers = client.headers(session_id="s-usage")
    first = client.completed(input=[question], headers=headers)["usage"]
    again = client.completed(input=[question, question], headers=headers)["usage"]
    other = client.completed(input=[{"role": "user", "content": "else"}, question], headers=headers)["usage"]
    bare = [client.completed(input=[question], prompt_cache_key="k")["usage"] for _ in range(2)]
    assert first["input_tokens"] > 50
    assert first["total_tokens"] == first["input_tokens"] + first["output_tokens"]
    assert first["output_tokens_details"]["reasoning_tokens"] > 0
    cached = [usage["input_tokens_details"]["cached_tokens"] for usage in (first, again, other, *bare)]
    assert cached == [0, first["input_tokens"], 0, 0, 0]


@pytest.mark.parametrize(
    ("answer", "deltas"),
    [
        (Answer(text="Fixed words here"), ["Fixed", " words", " here"]),
        (Answer(deltas=3, padding=8), [" wordsss"] * 3),
        (Answer(text="abcdef", deltas=3), ["ab", "cd", "ef"]),
        (Answer(deltas=2, interval=0.001), [" words"] * 2),
    ],
)
def test_a_scenario_chooses_the_answer(connect, answer, deltas):
    """Fixed text, a number of pieces, their length, and one event at a time."""
    with Emulator(Options(scenario=Scenario(answer=answer, input_tokens=7))) as emulator:
        events = connect(emulator).events()
    assert [event["delta"] for event in events if event["type"] == "response.output_text.delta"] == deltas
    assert events[-1]["response"]["usage"]["input_tokens"] == 7


@pytest.mark.parametrize(
    "text_format",
    [
        {"type": "json_object"},
        {"type": "json_schema", "name": "answer", "schema": {"type": "object", "properties": {}}},
    ],
    ids=lambda text_format: text_format["type"],
)
def test_a_scenario_chooses_answers_in_json(connect, text_format):
    """What is to be said to a question is said as it is; other questions get what fits."""
    said = '{"a": 5}'
    with Emulator(Options(scenario=Scenario(answers={"JSON?": said}))) as emulator:
        client = connect(emulator)
        told, made = (
            text_of(client.completed(question, text={"format": text_format}))
            for question in ("JSON?", "More JSON?")
        )
    assert told == said
    assert json.loads(made) != json.loads(said)


def test_a_scenario_chooses_the_account(connect):
    """Plan, account, e-mail and models."""
    scenario = Scenario(plan="pro", account_id="acct-9", models=({"slug": "own-model"},))
    with Emulator(Options(scenario=scenario)) as emulator:
        client = connect(emulator)
        headers = client.headers(chatgpt_account_id="acct-9")
        assert client.completed(model="own-model", headers=headers)["model"] == "own-model"
        assert client.turn(headers=headers).status_code == 400
        assert client.get("/backend-api/wham/usage", headers=headers).json()["plan_type"] == "pro"
