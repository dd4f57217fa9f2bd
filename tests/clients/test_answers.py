"""The same suite for both clients, against the emulator over sockets: what a whole answer is."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan import CompletionRequest, FinishReason, Message, ToolDefinition
from onplan.config.settings import load_settings
from onplan.emulator import Emulator

WEATHER = ToolDefinition(
    name="weather",
    description="The weather in a city",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = ToolDefinition(
    name="clock",
    parameters={"type": "object", "properties": {"zone": {"enum": ["UTC"]}}, "required": ["zone"]},
)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def asked(emulator: Emulator) -> list[dict[str, Any]]:
    """The requests for answers; an upgrade that opened a WebSocket is none."""
    rows = [row for row in emulator.journal() if row["path"].endswith("/responses")]
    return [row for row in rows if row["status"] != 101]


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    return [row["body"] for row in asked(emulator)]


def test_a_string_is_a_request(signed_in: Emulator, driver: Any) -> None:
    """A plain string is answered, with its text, usage, model and reason."""
    answer = driver(base_url=load_settings().base_url).complete("hello there")

    assert answer.text == "You said: hello there"
    assert answer.finish_reason is FinishReason.STOP
    assert answer.model == "gpt-6.2-sol"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.response_id


def test_a_stream_ends_with_one_done(signed_in: Emulator, driver: Any) -> None:
    """Exactly one Done comes, last, and the joined deltas are the finished parts."""
    chunks = driver().chunks("hello there")

    assert [chunk.type for chunk in chunks].count("done") == 1
    assert chunks[-1].type == "done"
    joined = {
        kind: "".join(chunk.text for chunk in chunks if chunk.type == kind) for kind in ("text", "thinking")
    }
    parts = {chunk.part.type: chunk.part for chunk in chunks if chunk.type == "part_done"}
    assert joined["text"] == parts["text"].text == chunks[-1].response.text
    assert joined["thinking"] == parts["thinking"].text
    assert list(parts.values()) == chunks[-1].response.message.content


def test_parallel_calls_arrive_whole(signed_in: Emulator, driver: Any) -> None:
    """Two calls in one answer keep their own ids, names and complete arguments."""
    chunks = driver().chunks(CompletionRequest(messages="weather and time?", tools=[WEATHER, CLOCK]))

    response = chunks[-1].response
    assert response.finish_reason is FinishReason.TOOL_CALLS
    assert [call.name for call in response.tool_calls] == ["weather", "clock"]
    for call in response.tool_calls:
        mine = [chunk for chunk in chunks if getattr(chunk, "id", None) == call.id]
        assert mine[0] == onplan.ToolCallStart(call.id, call.name)
        assert mine[-1] == onplan.ToolCallEnd(call.id)
        assert "".join(chunk.arguments_delta for chunk in mine[1:-1]) == call.arguments
    assert response.tool_calls[1].parse_arguments() == {"zone": "UTC"}


def test_a_tool_round_trip_carries_the_reasoning(signed_in: Emulator, driver: Any) -> None:
    """Results of all calls and the encrypted reasoning go back, and the model goes on in text."""
    asker = driver()
    messages = [Message.user("weather and time?")]
    first = asker.complete(CompletionRequest(messages=messages, tools=[WEATHER, CLOCK]))
    results = [onplan.ToolResult(call.id, f"result of {call.name}") for call in first.tool_calls]
    messages += [first.message, Message("tool", results)]
    second = asker.complete(CompletionRequest(messages=messages, tools=[WEATHER, CLOCK]))

    assert second.finish_reason is FinishReason.STOP
    assert "result of weather" in second.text
    assert "result of clock" in second.text
    kinds = [item["type"] for item in bodies(signed_in)[-1]["input"]]
    assert kinds == ["message", "reasoning", *["function_call"] * 2, *["function_call_output"] * 2]
    assert all("id" not in item for item in bodies(signed_in)[-1]["input"])


@pytest.mark.codex
def test_a_conversation_keeps_its_session(signed_in: Emulator, driver: Any) -> None:
    """Every turn of a conversation names the same session, without which the prompt cache never hits."""
    asker = driver()
    messages = [Message.system("Be brief."), Message.user("one " * 400)]
    first = asker.complete(CompletionRequest(messages=messages))
    messages += [first.message, Message.user("two")]
    second = asker.complete(CompletionRequest(messages=messages))
    asker.complete("something else")

    sessions = [row["headers"]["session-id"] for row in asked(signed_in)]
    assert sessions[0] == sessions[1] != sessions[2]
    assert bodies(signed_in)[0]["prompt_cache_key"] == sessions[0]
    assert second.usage.cache_read_tokens > 0


def test_fields_of_a_request_are_keywords(signed_in: Emulator, driver: Any) -> None:
    """A prompt and keywords ask the same as a request that is made first; keywords replace its fields."""
    request = CompletionRequest(messages="Why?", model="gpt-5.5", reasoning_effort="high")
    asker = driver()
    asker.complete(request)
    asker.complete("Why?", model="gpt-5.5", reasoning_effort="high")
    asker.complete(request, verbosity="low")
    asker.complete(messages="Why?", model="gpt-6-sol")
    chunks = asker.chunks("Why?", model="gpt-5.5", reasoning_effort="high")

    one, other, more, named, streamed = bodies(signed_in)
    assert one == other == streamed
    assert more == {**one, "text": {"verbosity": "low"}}
    assert named["model"] == "gpt-6-sol"
    assert chunks[-1].response.text == "You said: Why?"


def test_messages_are_strings_dicts_and_messages(signed_in: Emulator, driver: Any) -> None:
    """In the shapes of either API, alone or in one list."""
    asker = driver()
    conversation = [
        Message.system("Be brief."),
        {"role": "user", "content": [{"type": "text", "text": "One"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Two"}]},
        "Three",
    ]
    answers = [asker.complete(given) for given in (Message.user("hi"), {"role": "user", "content": "hi"})]
    asker.complete(conversation)

    assert {answer.text for answer in answers} == {"You said: hi"}
    sent = bodies(signed_in)[-1]["input"]
    assert [item["role"] for item in sent] == ["developer", "user", "assistant", "user"]
    assert [item["content"][0]["text"] for item in sent] == ["Be brief.", "One", "Two", "Three"]


def test_an_answer_names_its_request_and_its_thinking(signed_in: Emulator, driver: Any) -> None:
    """By the backend's id of the request; the thinking is the summary that was streamed."""
    chunks = driver().chunks("hi", reasoning_effort="low")
    response = chunks[-1].response

    assert response.request_id
    assert response.thinking == "".join(chunk.text for chunk in chunks if chunk.type == "thinking") != ""
    assert response.refusal is None


def test_a_tool_answers_with_any_value(signed_in: Emulator, driver: Any) -> None:
    """With JSON, with an image and a file, and with an error, of which the model is told."""
    calls = [onplan.ToolCall(f"call_{number}", "weather", "{}") for number in range(3)]
    results = [
        Message.tool("call_0", {"sky": "blue"}),
        Message.tool("call_1", ["see", onplan.Image(data=PIXEL), onplan.File(data=b"1", filename="a.pdf")]),
        Message.tool("call_2", "no such city", is_error=True),
    ]
    driver().complete(["Weather?", Message.assistant(*calls), *results], tools=[WEATHER])

    outputs = [item["output"] for item in bodies(signed_in)[-1]["input"][-3:]]
    assert outputs[0] == '{"sky":"blue"}'
    assert [part["type"] for part in outputs[1]] == ["input_text", "input_image", "input_file"]
    assert outputs[2] == "Error: no such city"


def test_a_client_has_defaults_for_its_requests(
    signed_in: Emulator, driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model counts before the environment's; what a request or a keyword says counts before both."""
    monkeypatch.setenv("ONPLAN_MODEL", "gpt-6-luna")
    asker = driver(model="gpt-5.5", reasoning_effort="high", verbosity="low")
    asker.complete("hi")
    asker.complete("hi", model="gpt-6-sol", verbosity=None)
    asker.complete(CompletionRequest(messages="hi", reasoning_effort="low"))

    sent = [
        (body["model"], body["reasoning"]["effort"], body.get("text", {}).get("verbosity"))
        for body in bodies(signed_in)
    ]
    assert sent == [("gpt-5.5", "high", "low"), ("gpt-6-sol", "high", None), ("gpt-5.5", "low", "low")]


@pytest.mark.parametrize("fields", [{"modle": "gpt-5.5"}, {"model": 5}, {"messages": "again"}])
def test_a_wrong_keyword_is_refused_before_anything_is_sent(
    signed_in: Emulator, driver: Any, fields: dict[str, Any]
) -> None:
    """By an error of ours, also of a stream that nobody has begun to read."""
    asker = driver()
    with pytest.raises(onplan.InvalidRequestError):
        asker.complete("hi", **fields)
    with pytest.raises(onplan.InvalidRequestError):
        onplan.AsyncClient().complete_stream("hi", **fields)
    with pytest.raises(onplan.InvalidRequestError):
        onplan.Client().complete_stream("hi", **fields)

    assert asked(signed_in) == []


def test_refused_parameters_are_left_out_and_listed(signed_in: Emulator, driver: Any) -> None:
    """What the backend refuses does not reach it, and the answer says so."""
    request = CompletionRequest(
        messages="hi", temperature=0.5, top_p=0.9, max_tokens=10, stop="x", metadata={"a": "b"}
    )
    answer = driver().complete(request)

    assert answer.ignored_parameters == ["temperature", "top_p", "metadata"]
    assert answer.emulated_parameters == ["max_tokens", "stop"]
    assert answer.text == "You said: hi"
    assert not {"temperature", "top_p", "max_output_tokens", "stop", "metadata"} & set(bodies(signed_in)[-1])


@pytest.mark.codex
def test_an_effort_is_one_that_the_model_offers(signed_in: Emulator, driver: Any) -> None:
    """Another one is changed to the nearest, and listed; nothing is sent where that is to be an error."""
    asker = driver()
    answers = [asker.complete("hi", model="gpt-5.5", reasoning_effort=effort) for effort in ("ultra", "low")]

    assert [answer.emulated_parameters for answer in answers] == [["reasoning_effort"], []]
    assert [body["reasoning"]["effort"] for body in bodies(signed_in)] == ["xhigh", "low"]
    with pytest.raises(onplan.InvalidRequestError, match="'ultra'"):
        driver(unsupported="raise").complete("hi", model="gpt-5.5", reasoning_effort="ultra")
    assert len(bodies(signed_in)) == 2


CUTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "stop": ({"stop": ["four", "two"]}, "You said: one ", "stop"),
    "stop at the beginning": ({"stop": "You"}, "", "stop"),
    "max_tokens": ({"max_tokens": 3}, "You said: on", "length"),
    "both": ({"stop": "three", "max_tokens": 4}, "You said: one tw", "length"),
}


@pytest.mark.parametrize(("fields", "text", "reason"), CUTS.values(), ids=CUTS)
def test_an_answer_is_ended_where_the_backend_cannot(
    signed_in: Emulator, driver: Any, fields: dict[str, Any], text: str, reason: str
) -> None:
    """Nothing after the stop text or the length is given; the finished parts are those of the answer."""
    chunks = driver().chunks("one two three", **fields)

    response = chunks[-1].response
    assert (response.text, response.finish_reason) == (text, reason)
    assert response.emulated_parameters == [name for name in ("max_tokens", "stop") if name in fields]
    assert [chunk.type for chunk in chunks].count("done") == 1
    assert "".join(chunk.text for chunk in chunks if chunk.type == "text") == text
    assert [chunk.part for chunk in chunks if chunk.type == "part_done"] == response.message.content


def test_an_answer_that_is_ended_has_its_connection_closed(
    emulator: Emulator, driver: Any, far: Any, ended: Any
) -> None:
    """The server need not go on: here it would not end by itself."""
    emulator.arm("open_after_end", times=1)
    asker = driver(store=far.store(), base_url=emulator.codex_base_url)

    assert asker.complete("one two three", model="gpt-5.5", stop="said").text == "You "
    ended(emulator)


def test_parameters_can_be_refused_instead(signed_in: Emulator, driver: Any) -> None:
    """A program that must not lose a parameter is told before anything is sent."""
    with pytest.raises(onplan.InvalidRequestError, match="temperature"):
        driver(unsupported="raise").complete(CompletionRequest(messages="hi", temperature=0.5))

    assert bodies(signed_in) == []


def test_a_schema_is_obeyed(signed_in: Emulator, driver: Any) -> None:
    """The answer's text follows the JSON schema of the request."""
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 3}},
        "required": ["n"],
        "additionalProperties": False,
    }
    answer = driver().complete(CompletionRequest(messages="a number", response_format=schema))

    assert answer.text == '{"n":3}'
    assert bodies(signed_in)[-1]["text"]["format"]["strict"] is True


def test_any_json_object_may_be_asked_for(signed_in: Emulator, driver: Any) -> None:
    """The word JSON, which the backend demands, is put in front where no message has it, and reported."""
    asker = driver()
    answers = [
        asker.complete(text, response_format={"type": "json_object"}) for text in ("A bird", "A bird as JSON")
    ]

    assert all(isinstance(answer.parsed, dict) for answer in answers)
    assert [len(answer.history_repairs) for answer in answers] == [1, 0]
    assert [body["text"]["format"] for body in bodies(signed_in)] == [{"type": "json_object"}] * 2
    assert [len(body["input"]) for body in bodies(signed_in)] == [2, 1]


def test_choices_are_forwarded(signed_in: Emulator, driver: Any) -> None:
    """Effort, summary, verbosity, tier, tool choice and parallelism reach the backend as they are."""
    driver().complete(
        CompletionRequest(
            messages="hi",
            model="gpt-5.5",
            tools=[WEATHER, CLOCK],
            tool_choice=onplan.ToolChoice("clock"),
            parallel_tool_calls=False,
            reasoning_effort="high",
            reasoning_summary="none",
            verbosity="low",
            service_tier="priority",
        )
    )

    body = bodies(signed_in)[-1]
    assert body["model"] == "gpt-5.5"
    assert body["tool_choice"] == {"type": "function", "name": "clock"}
    assert body["parallel_tool_calls"] is False
    assert body["reasoning"] == {"effort": "high"}
    assert body["text"] == {"verbosity": "low"}
    assert body["service_tier"] == "priority"


def test_images_come_from_urls_bytes_and_files(signed_in: Emulator, driver: Any, tmp_path: Path) -> None:
    """An image may be named by URL, given as bytes, or read from a file when it is sent."""
    file = tmp_path / "pixel"
    file.write_bytes(PIXEL)
    images = [
        onplan.Image(url="https://example.com/a.png"),
        onplan.Image(data=PIXEL),
        onplan.Image(path=str(file)),
    ]
    driver().complete(CompletionRequest(messages=[Message.user("look", *images)]))

    sent = [part["image_url"] for part in bodies(signed_in)[-1]["input"][0]["content"][1:]]
    inline = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    assert sent == ["https://example.com/a.png", inline, inline]


def test_the_model_is_chosen_in_order(
    signed_in: Emulator, driver: Any, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    """The request names the model; else the environment, then the profile, then the first one listed."""
    asked: list[str] = []

    def ask(**options: Any) -> None:
        driver().complete(CompletionRequest(messages="hi", **options))
        asked.append(bodies(signed_in)[-1]["model"])

    ask()
    (clean_environment / "config.toml").write_text('[profiles.default]\nmodel = "gpt-5.5"\n')
    ask()
    monkeypatch.setenv("ONPLAN_MODEL", "gpt-6-sol")
    ask()
    ask(model="gpt-6-luna")

    assert asked == ["gpt-6.2-sol", "gpt-5.5", "gpt-6-sol", "gpt-6-luna"]


def test_the_catalogue_is_the_backends(signed_in: Emulator, driver: Any) -> None:
    """Models come from the backend, best first, without the hidden ones."""
    models = driver().models()

    assert models[0].id == "gpt-6.2-sol"
    assert "codex-auto-review" not in {model.id for model in models}
    assert models[0].supports_vision
    assert models[0].context_window == 500_000
    assert "ultra" in models[0].reasoning_efforts


@pytest.mark.parametrize("fault", ["models_500", "models_empty", "models_malformed"])
def test_a_catalogue_that_cannot_be_read_is_built_in(signed_in: Emulator, driver: Any, fault: str) -> None:
    """When the catalogue cannot be read there is a list all the same."""
    signed_in.arm(fault, times=50)

    models = driver(retry=onplan.RetryPolicy(attempts=1)).models()

    assert models[0].id == "gpt-6.2-sol"


@pytest.mark.codex
def test_every_part_is_in_the_clients_own_words(signed_in: Emulator, driver: Any) -> None:
    """Requests name onplan and carry the account; no credential is in anything but its header."""
    driver().complete("hi")

    (row,) = asked(signed_in)
    headers = row["headers"]
    assert headers["originator"] == "onplan"
    assert headers["user-agent"].startswith(f"onplan/{onplan.__version__} ")
    assert headers["chatgpt-account-id"] == "acct-emulated-0001"
    assert ("openai-beta" in headers) is (row.get("transport") == "websocket")
