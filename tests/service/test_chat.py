"""``/v1/chat/completions`` on the plan: the answers, their headers, the failures, over real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.conftest import eventually
from tests.service.asking import Answer, Asking, asked

import onplan
from onplan import RetryPolicy
from onplan.dialects.served import ServedRequest
from onplan.emulator import Call, Emulator, Turn
from onplan.service import Service, ServiceOptions

HELLO: dict[str, Any] = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "one two three"}]}
STREAM: dict[str, Any] = {**HELLO, "stream": True}
FUNCTION = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": FUNCTION}} for name in ("f", "g")]
ONCE = RetryPolicy(attempts=1)
FAST = RetryPolicy(wait_initial=0.01)


@pytest.fixture(autouse=True)
def _signed_in(signed_in: Emulator) -> None:
    """The plan is signed in at the emulator."""


def one(body: Any, **options: Any) -> Answer:
    """The answer to one request."""
    (answer,) = asked(body, **options)
    return answer


def sent(emulator: Emulator) -> list[dict[str, Any]]:
    """The bodies of the requests that the backend got, whichever way."""
    return [
        row["body"] for row in emulator.journal() if isinstance(row["body"], dict) and "input" in row["body"]
    ]


# --- answers --------------------------------------------------------------------------------------------


def test_a_whole_answer(emulator: Emulator) -> None:
    """A client that does not stream gets one object, although the backend only streams (claudex issue 10)."""
    emulator.play(Turn(thinking="Hm.", text="Hello!", input_tokens=11, output_tokens=5))
    answer = one(HELLO)
    body = answer.json
    message = body["choices"][0]["message"]
    assert answer.status == 200
    assert (body["object"], body["model"], body["system_fingerprint"]) == ("chat.completion", "gpt-5.5", None)
    assert (message["role"], message["content"], message["refusal"]) == ("assistant", "Hello!", None)
    assert (message["reasoning_content"], message["annotations"]) == ("Hm.", [])
    assert body["choices"][0]["finish_reason"] == "stop"
    assert (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (11, 16)
    assert {"audio_tokens", "reasoning_tokens"} <= body["usage"]["completion_tokens_details"].keys()
    assert answer.usage is not None
    assert (answer.model, answer.usage.prompt_tokens) == ("gpt-5.5", 11)
    assert answer.headers["x-codex-primary-used-percent"]
    assert "x-codex-turn-state" not in answer.headers


def test_a_stream(emulator: Emulator) -> None:
    """The role with the first event, thinking, text, one reason, the counts, the end mark."""
    emulator.play(Turn(thinking="Hm.", text="Hello there, world!", input_tokens=11, output_tokens=5))
    answer = one({**STREAM, "stream_options": {"include_usage": True}})
    *chunks, usage, end = answer.events
    assert end == "[DONE]"
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (11, 5)
    assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    assert answer.deltas[0] == {"role": "assistant", "content": ""}
    assert (answer.joined("reasoning_content"), answer.joined("content")) == ("Hm.", "Hello there, world!")
    assert answer.finish_reasons == ["stop"]
    heads = {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in [*chunks, usage]}
    assert len(heads) == 1
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-codex-primary-used-percent"]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 11


def test_a_warm_websocket_tells_what_the_plan_has_left(emulator: Emulator) -> None:
    """In an event, which becomes headers of the reply as it does over HTTP."""
    named = {"x-session-id": "one"}

    async def ask() -> list[dict[str, str]]:
        async with onplan.AsyncClient(transport="websocket") as client:
            service = Asking(Service(client))
            return [(await service.chat(body, named)).headers for body in (HELLO, HELLO, STREAM)]

    for headers in asyncio.run(ask()):
        assert float(headers["x-codex-primary-used-percent"]) >= 0


def test_what_was_changed_in_the_conversation_is_told(emulator: Emulator) -> None:
    """In a header, in which what the client wrote is no more than a part of a line."""
    call = {"id": "a\r\nx: é", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "tool_calls": [call]}
    answer = one({**HELLO, "messages": [{"role": "user", "content": "?"}, said, *HELLO["messages"]]})
    assert answer.headers["x-onplan-history-repairs"].startswith("The call a??x: ? to f had no result")


def test_without_counts() -> None:
    """A client that did not ask for token counts gets no chunk without a choice, and no field of counts."""
    *chunks, _ = one(STREAM).events
    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)


def test_parallel_calls(emulator: Emulator) -> None:
    """Calls are counted from 0 whatever came before them, and have one type each (CLIProxyAPI issue 5851)."""
    calls = [Call("f", {"a": "1"}), Call("g", {"a": "2"})]
    emulator.play(Turn(thinking="Hm.", text="So.", tool_calls=calls), Turn(text="So.", tool_calls=calls))
    streamed, whole = asked({**STREAM, "tools": TOOLS}, {**HELLO, "tools": TOOLS})
    pieces = [piece for delta in streamed.deltas for piece in delta.get("tool_calls", ())]
    assert [piece["index"] for piece in pieces if "id" in piece] == [0, 1]
    assert [piece["type"] for piece in pieces if "type" in piece] == ["function", "function"]
    assert [piece["function"]["name"] for piece in pieces if "name" in piece["function"]] == ["f", "g"]
    arguments = ["".join(p["function"]["arguments"] for p in pieces if p["index"] == at) for at in (0, 1)]
    assert [json.loads(text) for text in arguments] == [{"a": "1"}, {"a": "2"}]
    assert streamed.finish_reasons == ["tool_calls"]
    choice = whole.json["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "So.")
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["f", "g"]


@pytest.mark.parametrize(
    "fault",
    ["interleaved_tool_calls", "arguments_only_in_done", "arguments_only_in_item", "terminal_output_empty"],
)
def test_calls_however_they_come(emulator: Emulator, fault: str) -> None:
    """Mixed, without deltas, or missing from the last event: the client gets them whole, in their order."""
    emulator.play(Turn(tool_calls=[Call("f", {"a": "1"}), Call("g", {"a": "2"})], fault=fault))
    answer = one({**STREAM, "tools": TOOLS})
    pieces = [piece for delta in answer.deltas for piece in delta.get("tool_calls", ())]
    arguments = ["".join(p["function"]["arguments"] for p in pieces if p["index"] == at) for at in (0, 1)]
    assert [json.loads(text) for text in arguments] == [{"a": "1"}, {"a": "2"}]
    assert answer.finish_reasons == ["tool_calls"]


def test_a_terminal_event_without_output(emulator: Emulator) -> None:
    """The answer is there all the same, for clients that stream and for those that do not."""
    emulator.play(*[Turn(text="Hello!", fault="terminal_output_empty")] * 2)
    whole, streamed = asked(HELLO, STREAM)
    assert whole.json["choices"][0]["message"]["content"] == "Hello!"
    assert streamed.joined("content") == "Hello!"


def test_a_refusal(emulator: Emulator) -> None:
    """It stands in its own field, in one piece, and the reason is stop."""
    emulator.arm("refusal", times=2)
    streamed, whole = asked(STREAM, HELLO)
    message = whole.json["choices"][0]["message"]
    assert message["refusal"]
    assert message["content"] is None
    assert streamed.joined("refusal") == message["refusal"]
    assert (streamed.finish_reasons, whole.json["choices"][0]["finish_reason"]) == (["stop"], "stop")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("incomplete_max_output_tokens", "length"), ("incomplete_content_filter", "content_filter")],
)
def test_an_answer_that_was_cut_off(emulator: Emulator, fault: str, reason: str) -> None:
    """It is an answer, and its reason says what happened."""
    emulator.arm(fault, times=2)
    streamed, whole = asked(STREAM, HELLO)
    assert streamed.finish_reasons == [reason]
    assert streamed.events[-1] == "[DONE]"
    assert (whole.status, whole.json["choices"][0]["finish_reason"]) == (200, reason)


def test_structured_output(emulator: Emulator) -> None:
    """A schema goes on with its name and strictness."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "bird", "strict": True, "schema": schema}}
    answer = one({**HELLO, "response_format": wanted})
    assert json.loads(answer.json["choices"][0]["message"]["content"]).keys() == {"a"}
    assert sent(emulator)[0]["text"]["format"] == {
        "type": "json_schema",
        "name": "bird",
        "strict": True,
        "schema": schema,
    }


@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["whole", "streamed"])
def test_no_thinking_becomes_a_little_where_the_model_refuses_to_do_without(
    emulator: Emulator, body: dict[str, Any]
) -> None:
    """It is asked for as the client says, and once it is refused, for less than the model does by itself."""
    assert one({**body, "reasoning_effort": "none"}).status == 200
    assert [request["reasoning"]["effort"] for request in sent(emulator)] == ["none", "low"]


# --- parameters -----------------------------------------------------------------------------------------


def test_what_becomes_of_parameters(emulator: Emulator) -> None:
    """What is left out and what is carried out here is told before the first byte; defaults are not told."""
    emulator.play(*[Turn(text="one two STOP three")] * 2)
    more = {
        "temperature": 0.5,
        "seed": 1,
        "sparkle": True,
        "top_p": 1,
        "stop": "STOP",
        "max_completion_tokens": 50,
    }
    for answer in asked({**HELLO, **more}, {**STREAM, **more}):
        assert answer.headers["x-onplan-ignored-parameters"] == "temperature, seed, sparkle"
        assert answer.headers["x-onplan-emulated-parameters"] == "max_completion_tokens, stop"
        text = (
            answer.joined("content")
            if answer.body.startswith(b"data")
            else answer.json["choices"][0]["message"]["content"]
        )
        assert text == "one two "
    assert not {"temperature", "seed", "sparkle", "stop", "top_p"} & sent(emulator)[0].keys()


def test_a_length(emulator: Emulator) -> None:
    """An answer that gets too long ends there; a length that no answer reaches is nothing to carry out."""
    emulator.play(*[Turn(text="one two three four five six seven eight nine ten")] * 2)
    short, long = asked({**STREAM, "max_tokens": 2}, {**STREAM, "max_tokens": 100_000, "temperature": 1.0})
    assert short.finish_reasons == ["length"]
    assert len(short.joined("content")) == 8
    assert long.finish_reasons == ["stop"]
    assert not any(name.startswith("x-onplan") for name in long.headers)


def test_strict(emulator: Emulator) -> None:
    """What would be left out is refused instead, by its name; what is carried out here is not."""
    options = ServiceOptions(strict=True)
    refused, taken = asked({**HELLO, "seed": 1}, {**HELLO, "temperature": 1, "stop": "x"}, options=options)
    error = refused.json["error"]
    assert (refused.status, error["code"], error["param"]) == (400, "unsupported_parameter", "seed")
    assert taken.status == 200


def test_other_names_of_models(emulator: Emulator) -> None:
    """A model that the person gave another name answers under it."""
    options = ServiceOptions(aliases={"gpt-4o": "gpt-5.5"})
    whole, streamed = asked({**HELLO, "model": "gpt-4o"}, {**STREAM, "model": "gpt-4o"}, options=options)
    assert whole.json["model"] == "gpt-4o"
    assert streamed.events[0]["model"] == "gpt-4o"
    assert {body["model"] for body in sent(emulator)} == {"gpt-5.5"}


def test_no_model() -> None:
    """Without one the default model answers, and says its name."""
    streamed = one({"messages": HELLO["messages"], "stream": True})
    assert streamed.events[0]["model"].startswith("gpt-")
    assert streamed.model == streamed.events[0]["model"]


def test_allowed_tools(emulator: Emulator) -> None:
    """Which of the tools may be called goes on, in the form of the backend's API."""
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}
    one({**HELLO, "tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}})
    expected = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    assert sent(emulator)[-1]["tool_choice"] == expected


def test_the_other_apis_body(emulator: Emulator) -> None:
    """Cursor's body of the Responses API is answered as a chat completion."""
    answer = one({"model": "gpt-5.5", "input": [{"role": "user", "content": "hi"}], "stream": True})
    assert answer.events[0]["object"] == "chat.completion.chunk"
    assert answer.finish_reasons == ["stop"]


def test_a_history_that_broke_off(emulator: Emulator) -> None:
    """A call without a result, a result without a call, empty messages: none of them is refused."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_9", "content": "stray"},
        {"role": "developer", "content": "Now."},
        {"role": "user", "content": "Go on."},
    ]
    answer = one({**HELLO, "messages": messages})
    assert answer.status == 200
    kinds = [(item["type"], item.get("role")) for item in sent(emulator)[-1]["input"]]
    assert kinds == [
        ("message", "developer"),
        ("message", "user"),
        ("function_call", None),
        ("function_call_output", None),
        ("message", "user"),
        ("message", "developer"),
        ("message", "user"),
    ]


# --- failures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "kind", "code"),
    [
        ("overloaded_in_stream", 503, "server_error", "server_is_overloaded"),
        ("overloaded_503", 503, "server_error", "server_is_overloaded"),
        ("usage_limit_429", 429, "usage_limit_reached", "usage_limit_reached"),
        ("usage_limit_in_stream", 429, "usage_limit_reached", "usage_limit_reached"),
        ("rate_limited_429", 429, "rate_limit_error", "rate_limit_exceeded"),
        ("context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded"),
        ("content_policy", 400, "invalid_request_error", "content_filter"),
        ("model_not_supported", 404, "invalid_request_error", "model_not_found"),
        ("server_error_500", 502, "server_error", "upstream_error"),
        ("bad_gateway_502_html", 502, "server_error", "upstream_error"),
        ("cloudflare_403", 502, "server_error", "upstream_error"),
        ("html_instead_of_json", 502, "server_error", "upstream_error"),
        ("connection_reset", 502, "server_error", "upstream_error"),
    ],
)
def test_a_failure_before_the_first_byte(
    emulator: Emulator, fault: str, status: int, kind: str, code: str, *, stream: bool
) -> None:
    """It has its own status, in the words of the API, and never a page or a ``detail``; also inside a 200."""
    emulator.arm(fault, times=20)
    answer = one({**HELLO, "stream": stream}, retry=ONCE)
    error = answer.json["error"]
    assert (answer.status, error["type"], error["code"]) == (status, kind, code)
    assert error.keys() >= {"message", "type", "param", "code"}
    assert "<" not in error["message"]
    if code == "usage_limit_reached":
        assert error["resets_at"] > 1_700_000_000
        assert answer.headers["x-should-retry"] == "false"
        assert "retry-after" not in answer.headers


def test_what_the_plan_has_left_is_told_at_the_limit(emulator: Emulator) -> None:
    """The headers about the plan's windows come with the refusal, too."""
    emulator.arm("usage_limit_429")
    assert one(STREAM).headers["x-codex-primary-used-percent"] == "100"


@pytest.mark.parametrize("fault", ["unauthorized_once", "overloaded_in_stream", "connection_reset"])
def test_a_failure_that_passes_is_not_seen(emulator: Emulator, fault: str) -> None:
    """A refused token is refreshed, and what the backend could not do at once is asked again."""
    emulator.arm(fault)
    assert one(STREAM, retry=FAST).finish_reasons == ["stop"]


def test_an_expired_token(emulator: Emulator) -> None:
    """It is refreshed."""
    emulator.expire_access_tokens()
    assert one(STREAM).finish_reasons == ["stop"]


def test_not_signed_in(emulator: Emulator) -> None:
    """403 and not 401, which clients send again in a loop."""
    emulator.revoke_refresh_tokens()
    emulator.expire_access_tokens()
    answer = one(STREAM)
    assert (answer.status, answer.json["error"]["code"]) == (403, "not_signed_in")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("fault", ["cut_mid_event", "eof_without_terminal", "response_failed_after_text"])
def test_a_failure_after_the_first_byte(emulator: Emulator, fault: str) -> None:
    """It is an event of its own, and the last one: an end mark would make it a success."""
    emulator.play(Turn(text="one two three", fault=fault))
    emulator.play(Turn(text="one two three", fault=fault))
    answer = one(STREAM, retry=ONCE)
    assert answer.status == 200
    *_, last = answer.events
    assert last.keys() == {"error"}
    assert last["error"]["type"] == "server_error"
    assert answer.finish_reasons == []
    whole = one(HELLO, retry=ONCE)
    assert whole.status == 502
    assert whole.json["error"]["code"] == "upstream_error"


def test_a_backend_that_falls_silent(emulator: Emulator) -> None:
    """Before the first byte that is a 504, and after it the last event."""
    emulator.arm("stall")
    answer = one(STREAM, retry=ONCE, timeout=onplan.Timeouts(idle=2.0))  # the first byte must come within it
    assert answer.events[-1]["error"]["code"] == "idle_timeout"
    emulator.disarm()
    emulator.arm("slow_first_byte", seconds=300)
    answer = one(STREAM, retry=ONCE, timeout=onplan.Timeouts(idle=0.05))
    assert (answer.status, answer.json["error"]["code"]) == (504, "idle_timeout")


@pytest.mark.parametrize(
    ("body", "param"),
    [(b"{", None), (b"[]", None), ({"messages": []}, "messages"), ({**HELLO, "n": 2}, "n")],
    ids=str,
)
def test_what_is_wrong_is_told(emulator: Emulator, body: Any, param: str | None) -> None:
    """A request that cannot be read is a 400 that names the field, and nothing is asked."""
    answer = one(body)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert sent(emulator) == []


def test_names_of_fields_are_no_headers() -> None:
    """What a client calls its fields cannot write headers, nor make them long."""
    odd = {"a\r\nset-cookie: b": 1, "\N{SNOWMAN}": 1, **{f"field{number}": 1 for number in range(5_000)}}
    answer = one({**HELLO, **odd})
    header = answer.headers["x-onplan-ignored-parameters"]
    assert header.isascii()
    assert header.isprintable()
    assert len(header) < 1_000


@pytest.mark.parametrize("depth", [900, 960, 970, 980, 5_000])
def test_a_body_that_is_nested_deeply(depth: int) -> None:
    """However deep a value is, and wherever that is noticed: there is an answer, or the client is told."""
    deep = '{"a":' * depth + "1" + "}" * depth
    asking = json.dumps({**HELLO, "deep": "HERE"}).replace('"HERE"', deep)
    mixed_up = '{"model": "gpt-5.5", "input": [{"role": "user", "content": "hi", "x": ' + deep + "}]}"
    for answer in asked(asking.encode(), mixed_up.encode()):
        assert answer.status in (200, 400)


def test_a_body_of_megabytes(emulator: Emulator) -> None:
    """Histories and files may be large."""
    file = {"filename": "a.txt", "file_data": "data:text/plain;base64," + "QUFB" * 1_000_000}
    content = [{"type": "text", "text": "x" * 1_000_000}, {"type": "file", "file": file}]
    emulator.play(Turn(text="Seen."))
    answer = one({**HELLO, "messages": [{"role": "user", "content": content}]})
    assert answer.status == 200, answer.body
    assert answer.json["choices"][0]["message"]["content"] == "Seen."


# --- conversations --------------------------------------------------------------------------------------


def follow_up(answer: Answer, *results: str, text: str = "?") -> dict[str, Any]:
    """The request that a client sends after the calls of ``answer``, with what it kept of it."""
    message = answer.json["choices"][0]["message"]
    kept = {name: message[name] for name in ("role", "content", "tool_calls")}
    tools = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(kept["tool_calls"], results, strict=True)
    ]
    return {**HELLO, "tools": TOOLS, "messages": [{"role": "user", "content": text}, kept, *tools]}


def test_thoughts_come_back(emulator: Emulator) -> None:
    """What the model thought before it called a tool is there again with the result, in its place."""
    emulator.play(Turn(thinking="Hm.", text="So.", tool_calls=[Call("f", {"a": "1"})]), Turn(text="Done."))

    async def converse() -> Answer:
        async with onplan.AsyncClient() as client:
            service = Asking(Service(client))
            called = await service.chat(
                {**HELLO, "messages": [{"role": "user", "content": "?"}], "tools": TOOLS}
            )
            return await service.chat(follow_up(called, "42"))

    assert asyncio.run(converse()).json["choices"][0]["message"]["content"] == "Done."
    _, second = sent(emulator)
    kinds = [item["type"] for item in second["input"]]
    assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output"]
    assert second["input"][1]["encrypted_content"]


async def test_thoughts_are_kept_before_the_end_is_seen(emulator: Emulator) -> None:
    """A client that acts on the end mark at once finds them."""
    call = Turn(thinking="Hm.", tool_calls=[Call("f", {"a": "1"})])
    emulator.play(call, Turn(text="Done."))
    async with onplan.AsyncClient(transport="sse") as client:
        service = Asking(Service(client))
        asking = {**STREAM, "messages": [{"role": "user", "content": "?"}], "tools": TOOLS}
        request = ServedRequest("POST", "/v1/chat/completions", {}, json.dumps(asking).encode())
        body: Any = (await service.service.answer(request)).body
        seen = b""
        while b"[DONE]" not in seen:
            seen += await anext(body)
        called = seen.split(b'"id":"call_')[1].split(b'"')[0].decode()
        tool_call = {"id": f"call_{called}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        kept = {"role": "assistant", "content": None, "tool_calls": [tool_call]}
        result = {"role": "tool", "tool_call_id": tool_call["id"], "content": "42"}
        await service.chat({**HELLO, "tools": TOOLS, "messages": [*asking["messages"], kept, result]})
        await body.aclose()
    kinds = [item["type"] for item in sent(emulator)[-1]["input"]]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]


def test_callers_share_nothing(emulator: Emulator) -> None:
    """Neither a thought nor the name of a conversation, whatever they call it (CLIProxyAPI issue 2767)."""
    emulator.play(
        Turn(thinking="Hm.", tool_calls=[Call("f", {"a": "1"})]), Turn(text="Mine."), Turn(text="Yours.")
    )
    named = {"x-session-id": "shared"}

    async def converse() -> None:
        async with onplan.AsyncClient(transport="sse") as client:
            service = Asking(Service(client))
            first = {**HELLO, "messages": [{"role": "user", "content": "?"}], "tools": TOOLS}
            called = await service.chat(first, named, caller="ann")
            await service.chat(follow_up(called, "42"), named, caller="bob")
            await service.chat(follow_up(called, "42"), named, caller="ann")

    asyncio.run(converse())
    first, of_bob, of_ann = sent(emulator)
    assert "reasoning" not in [item["type"] for item in of_bob["input"]]
    assert "reasoning" in [item["type"] for item in of_ann["input"]]
    assert first["prompt_cache_key"] == of_ann["prompt_cache_key"] != of_bob["prompt_cache_key"]


def test_conversations_are_told_apart(emulator: Emulator) -> None:
    """By how they begin, where the client does not name them; by the client's name otherwise."""
    other = {**HELLO, "messages": [{"role": "user", "content": "something else"}]}
    later = {
        **HELLO,
        "messages": [*HELLO["messages"], {"role": "assistant", "content": "x"}, *other["messages"]],
    }
    asked(HELLO, other, later, {**other, "prompt_cache_key": "mine"}, {**HELLO, "prompt_cache_key": "mine"})
    first, second, third, *named = [body["prompt_cache_key"] for body in sent(emulator)]
    assert first == third != second
    assert named == ["mine", "mine"]


def test_thoughts_that_the_backend_cannot_read_are_forgotten(emulator: Emulator) -> None:
    """They are left out and the request is asked again, once; later requests do not send them."""
    emulator.play(Turn(thinking="Hm.", tool_calls=[Call("f", {"a": "1"})]))

    async def converse() -> list[int]:
        async with onplan.AsyncClient() as client:
            service = Asking(Service(client))
            called = await service.chat(
                {**HELLO, "messages": [{"role": "user", "content": "?"}], "tools": TOOLS}
            )
            emulator.arm("encrypted_content_refused")
            return [(await service.chat(follow_up(called, "42"))).status for _ in range(2)]

    assert asyncio.run(converse()) == [200, 200]
    with_reasoning = ["reasoning" in [item["type"] for item in body["input"]] for body in sent(emulator)]
    assert with_reasoning == [False, True, False, False]


# --- other backends -------------------------------------------------------------------------------------


@pytest.fixture(params=["chat", "responses"])
def _platform(request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's platform, in either of its APIs, with a key."""
    monkeypatch.setenv("ONPLAN_BACKEND", "openai")
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", emulator.urls["openai_base_url"])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("ONPLAN_API", request.param)


@pytest.mark.usefixtures("_platform")
def test_a_backend_with_a_key(emulator: Emulator) -> None:
    """Whichever API it speaks, answers, calls and failures look the same."""
    emulator.play(Turn(text="Hello!"), Turn(tool_calls=[Call("f", {"a": "1"})]), Turn(text="Done."))

    async def converse() -> list[Answer]:
        async with onplan.AsyncClient(retry=ONCE) as client:
            service = Asking(Service(client))
            text = await service.chat({**STREAM, "stream_options": {"include_usage": True}, "seed": 1})
            called = await service.chat({**HELLO, "tools": TOOLS})
            done = await service.chat({**follow_up(called, "42"), "stream": True})
            emulator.play(Turn(fault="overloaded_503"))
            return [text, called, done, await service.chat(STREAM)]

    text, called, done, failed = asyncio.run(converse())
    assert (text.joined("content"), text.finish_reasons) == ("Hello!", ["stop"])
    assert text.events[-2]["usage"]["total_tokens"] > 0
    assert called.json["choices"][0]["finish_reason"] == "tool_calls"
    assert done.joined("content") == "Done."
    assert (failed.status, failed.json["error"]["code"]) == (503, "server_is_overloaded")
    assert not any(
        "session" in answer.headers.get("x-onplan-ignored-parameters", "") for answer in (text, done)
    )


# --- clients that leave ---------------------------------------------------------------------------------


LEAVING = ServedRequest("POST", "/v1/chat/completions", {}, json.dumps(STREAM).encode())


async def test_a_client_that_leaves_while_the_model_thinks() -> None:
    """Cancelling the answer before there is one closes the connection to the backend."""
    asked_for, left = asyncio.Event(), asyncio.Event()

    async def think(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked_for.set()
        while await reader.read(65_536):
            pass
        left.set()
        writer.close()

    async with await asyncio.start_server(think, "127.0.0.1") as backend:
        url = f"http://127.0.0.1:{backend.sockets[0].getsockname()[1]}"
        async with onplan.AsyncClient(base_url=url, transport="sse") as client:
            answering = asyncio.ensure_future(Service(client).answer(LEAVING))
            await asked_for.wait()
            answering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await answering
            await left.wait()


@pytest.mark.parametrize("read", [False, True])
async def test_a_client_that_leaves_a_stream(emulator: Emulator, *, read: bool) -> None:
    """Closing its body closes the connection to the backend, also if none of it was read."""
    emulator.arm("stall")
    async with onplan.AsyncClient(transport="sse") as client:
        body: Any = (await Service(client).answer(LEAVING)).body
        if read:
            assert b'"role":"assistant"' in await anext(body)
        await body.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(body)
        await asyncio.to_thread(eventually, lambda: has_been_left(emulator))


def has_been_left(emulator: Emulator) -> bool:
    """Whether the emulator has seen that whoever asked last has left."""
    return [row.get("ended") for row in emulator.journal() if row["method"] == "POST"][-1:] == ["client_left"]
