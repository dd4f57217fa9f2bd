"""What becomes of each field of a request, and what is said of one that is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onplan.backends import OPENAI_CODEX
from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_responses.call import Destination, RelayCall, Relayed, relay_call, turn_headers
from onplan.dialects.openai_responses.request import ResponsesRequest, read_request
from onplan.dialects.openai_responses.stored import Before
from onplan.types import ModelInfo

RECORDINGS = Path(__file__).parents[2] / "recordings" / "clients"
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
STRICT = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
SCHEMA = {"type": "json_schema", "name": "p", "schema": STRICT, "strict": True}


PART = "input[0].content[0]"
USER = {"role": "user", "content": "a"}


def with_part(part: Any) -> dict[str, Any]:
    """A body whose one message has this part."""
    return {"input": [{"role": "user", "content": [part]}]}


def read(*, strict: bool = False, **body: Any) -> ResponsesRequest:
    return read_request(
        json.dumps({"model": "gpt-5.5", "input": "hi", **body}).encode(), OPENAI_CODEX, strict=strict
    )


def call_of(asked: ResponsesRequest, *, headers: Any = None, known: ModelInfo | None = None) -> RelayCall:
    to = Destination(OPENAI_CODEX, "http://127.0.0.1", "gpt-5.5", "s", known)
    return relay_call(asked, Before(), to, Relayed(), headers=headers)


def sent(*, headers: Any = None, known: ModelInfo | None = None, **body: Any) -> dict[str, Any]:
    """The body that the backend gets."""
    decoded: dict[str, Any] = msgspec.json.decode(call_of(read(**body), headers=headers, known=known).body)
    return decoded


def test_the_backend_gets_what_it_wants() -> None:
    """A list that is not stored, streamed, with sealed reasoning and the conversation's name."""
    assert sent() == {
        "model": "gpt-5.5",
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "prompt_cache_key": "s",
        **OPENAI_CODEX.reasoning_required,
    }


@pytest.mark.parametrize(
    ("body", "handed_on"),
    [
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "function", "name": "f"}},
            {"tool_choice": {"type": "function", "name": "f"}},
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "f"}],
                }
            },
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "f"}],
                }
            },
        ),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        (
            {"reasoning": {"effort": "high", "summary": "detailed"}},
            {"reasoning": {"effort": "high", "summary": "detailed"}},
        ),
        ({"reasoning": {"context": "all_turns"}}, {"reasoning": {"context": "all_turns"}}),
        ({"text": {"verbosity": "low"}}, {"text": {"verbosity": "low"}}),
        ({"text": {"format": SCHEMA}}, {"text": {"format": SCHEMA}}),
        ({"service_tier": "priority"}, {"service_tier": "priority"}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"service_tier": "auto"}, {}),
        ({"service_tier": "default"}, {}),
        ({"tools": [TOOL]}, {"tools": [{**TOOL, "strict": False}]}),
        (
            {"tools": [{**TOOL, "parameters": STRICT}]},
            {"tools": [{**TOOL, "parameters": STRICT, "strict": True}]},
        ),
        ({"tools": [{**TOOL, "strict": True}]}, {"tools": [{**TOOL, "strict": True}]}),
        ({"tools": [{"type": "web_search"}]}, {"tools": [{"type": "web_search"}]}),
        ({"tools": [{"type": "tool_search"}]}, {"tools": [{"type": "tool_search"}]}),
        ({"tools": [{"type": "local_shell"}]}, {"tools": [{"type": "local_shell"}]}),
        ({"tools": [{"type": "custom", "name": "c"}]}, {"tools": [{"type": "custom", "name": "c"}]}),
        ({"tools": []}, {}),
        ({"stream": True, "store": True, "include": []}, {}),
        ({"temperature": None, "tools": None, "reasoning": None, "text": None, "metadata": None}, {}),
    ],
)
def test_what_the_backend_takes_is_handed_on(body: dict[str, Any], handed_on: dict[str, Any]) -> None:
    """As it came; what says what would happen anyway is left out without a word."""
    asked = read(**body)
    assert sent(**body) == {**sent(), **OPENAI_CODEX.reasoning_required, **handed_on}
    assert (asked.ignored, asked.emulated) == ((), ())


@pytest.mark.parametrize(
    ("body", "ignored"),
    [
        *(({name: value}, (name,)) for name, value in {
            "temperature": 0.2,
            "top_p": 0.5,
            "top_logprobs": 3,
            "seed": 1,
            "presence_penalty": 1,
            "frequency_penalty": 1,
            "logit_bias": {"1": 2},
            "user": "me",
            "metadata": {"a": "b"},
            "safety_identifier": "x",
            "truncation": "auto",
            "prompt_cache_retention": "24h",
            "max_tool_calls": 3,
            "of_tomorrow": [1],
            "include": ["message.output_text.logprobs"],
        }.items()),
        ({"temperature": 1, "top_p": 1.0, "truncation": "disabled", "top_logprobs": 0, "metadata": {}}, ()),
        ({"stream_options": {"include_obfuscation": False}}, ()),
        ({"max_output_tokens": 100_000}, ()),
        ({"client_metadata": {"a": "b"}}, ()),
    ],
)  # fmt: skip
def test_what_the_backend_does_not_take_is_left_out_and_named(
    body: dict[str, Any], ignored: tuple[str, ...]
) -> None:
    """And refused where the person wants that."""
    assert read(**body).ignored == ignored
    assert sent(**body) == sent()
    if ignored:
        with pytest.raises(ParameterError) as refused:
            read(strict=True, **body)
        assert refused.value.param == ignored[0]
        assert refused.value.told.code == "unsupported_parameter"
    else:
        read(strict=True, **body)


def test_a_length_is_carried_out_here() -> None:
    """Unless it is one that no answer reaches."""
    asked = read(max_output_tokens=50)
    assert asked.cut_at is not None
    assert (asked.cut_at.max_tokens, asked.emulated) == (50, ("max_output_tokens",))
    assert "max_output_tokens" not in sent(max_output_tokens=50)
    assert read(max_output_tokens=128_000).cut_at is None


def test_an_effort_becomes_one_that_the_model_offers() -> None:
    """As far as it is known without asking; it is named as carried out."""
    known = ModelInfo("gpt-5.5", "GPT-5.5", "openai", reasoning_efforts=["low", "medium", "high"])
    for wanted, offered in (
        ("minimal", "low"),
        ("xhigh", "high"),
        ("low", "low"),
        ("of tomorrow", "of tomorrow"),
    ):
        body = {"reasoning": {"effort": wanted, "summary": "auto"}}
        assert sent(known=known, **body)["reasoning"] == {"effort": offered, "summary": "auto"}
        reports = call_of(read(**body), known=known).reports
        assert reports.emulated == (() if wanted == offered else ("reasoning.effort",))
    assert sent(reasoning={"effort": "minimal"})["reasoning"]["effort"] == "minimal"


def test_json_object_comes_with_the_word() -> None:
    """The backend demands the word JSON in the input; a message says it where none does."""
    wanted = {"format": {"type": "json_object"}}
    call = call_of(read(text=wanted))
    first = msgspec.json.decode(call.body)["input"][0]
    assert (first["role"], first["content"][0]["text"]) == ("developer", "Answer with a JSON object.")
    assert len(call.history_repairs) == 1
    assert len(sent(text=wanted, input="Give me json")["input"]) == 1
    assert len(sent(text=wanted, instructions="JSON!")["input"]) == 2
    assert "JSON" not in json.dumps(call.items)  # it is not kept for later requests


def test_instructions_are_the_first_message() -> None:
    """And no part of what later requests go on from."""
    asked = read(instructions="Be brief")
    call = call_of(asked)
    [first, second] = msgspec.json.decode(call.body)["input"]
    assert (first["role"], first["content"]) == ("developer", [{"type": "input_text", "text": "Be brief"}])
    assert call.items == [second]


def test_only_codex_says_something_of_its_turn() -> None:
    """Its metadata and some of its headers go on; another client's do not, nor do headers that cannot be."""
    metadata = {"turn_id": "1"}
    codex = turn_headers(
        {
            "originator": "codex_exec",
            "x-codex-turn-state": "t",
            "x-codex-window-id": "w\r\nx: y",
            "authorization": "Bearer secret",
            "thread-id": "x" * 20_000,
        }
    )
    assert codex == {"x-codex-turn-state": "t"}
    for named in ({}, {"originator": "Codex Desktop"}):
        assert turn_headers({**named, "x-codex-window-id": "w"}) == {"x-codex-window-id": "w"}
    assert turn_headers({"originator": "other", "x-codex-turn-state": "t"}) is None
    assert turn_headers({"thread-id": "t"}) is None
    assert sent(headers=codex, client_metadata=metadata)["client_metadata"] == metadata
    assert "client_metadata" not in sent(client_metadata=metadata)
    assert call_of(read(), headers=codex).headers == codex


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": {"role": "user"}}, "input", "invalid_type"),
        ({"input": [5]}, "input[0]", "invalid_value"),
        ({"input": ["hi"]}, "input[0]", "invalid_value"),
        ({"input": [{}]}, "input[0]", "invalid_value"),
        ({"input": [{"type": 5}]}, "input[0]", "invalid_value"),
        ({"input": [USER, {"role": "user"}]}, "input[1].content", "invalid_value"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content", "invalid_value"),
        (with_part(5), "input[0].content[0].type", "invalid_value"),
        (with_part({"type": "input_text"}), "input[0].content[0].text", "invalid_value"),
        ({"input": [{"role": "king", "content": "a"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"type": "message", "content": "a"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": ["user"], "content": "a"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id", "invalid_value"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id", "invalid_value"),
        ({"input": [{"role": "assistant", "content": [5]}]}, "input[0]", "invalid_value"),
        ({"input": [{"type": "reasoning", "summary": [5]}]}, "input[0]", "invalid_value"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id", "invalid_value"),
        (with_part({"type": "input_audio", "input_audio": {}}), "input[0].content[0]", "unsupported_value"),
        (with_part({"type": "input_image", "file_id": "f"}), f"{PART}.file_id", "unsupported_value"),
        (with_part({"type": "input_file", "file_id": "f"}), f"{PART}.file_id", "unsupported_value"),
        ({"model": 5}, "model", "invalid_type"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"store": 1}, "store", "invalid_type"),
        ({"instructions": [1]}, "instructions", "invalid_type"),
        ({"include": "all"}, "include", "invalid_type"),
        ({"include": [1]}, "include[0]", "invalid_type"),
        ({"tools": {"a": 1}}, "tools", "invalid_type"),
        ({"tools": [1]}, "tools[0]", "invalid_type"),
        ({"tools": [{}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [TOOL, {"type": "function"}]}, "tools[1].name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": TOOL}]}, "tools[0].name", "missing_required_parameter"),
        *(({"tools": [{"type": kind}]}, "tools[0]", "unsupported_parameter") for kind in (
            "file_search", "code_interpreter", "image_generation", "mcp", "computer", "computer_use_preview"
        )),
        ({"reasoning": "high"}, "reasoning", "invalid_type"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort", "invalid_type"),
        ({"text": "json"}, "text", "invalid_type"),
        ({"text": {"format": "json"}}, "text.format", "invalid_type"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"max_output_tokens": "many"}, "max_output_tokens", "invalid_type"),
        ({"max_output_tokens": 1.5}, "max_output_tokens", "invalid_type"),
        ({"previous_response_id": 5}, "previous_response_id", "invalid_type"),
        ({"prompt_cache_key": 5}, "prompt_cache_key", "invalid_type"),
        ({"service_tier": 5}, "service_tier", "invalid_type"),
        ({"client_metadata": "x"}, "client_metadata", "invalid_type"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "unsupported_parameter"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(body: dict[str, Any], param: str, code: str) -> None:
    """A 400 that names the field, and quotes nothing of it."""
    with pytest.raises(ParameterError) as refused:
        read(**body)
    assert (refused.value.told.status, refused.value.param, refused.value.told.code) == (400, param, code)


@pytest.mark.parametrize("name", ["conversation", "prompt"])
def test_what_is_null_is_not_asked_for(name: str) -> None:
    """A client may send every field, also those that are refused with a value."""
    assert sent(**{name: None}) == sent()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"input": "\xff"}', b"[" * 100_000, b"null", b"[]", b'"hi"']
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(ParameterError) as refused:
        read_request(body, OPENAI_CODEX)
    assert refused.value.told.status == 400


def test_the_response_repeats_the_client_s_own_fields() -> None:
    """As the client wrote them; what it did not say is not among them."""
    asked = read(
        instructions="Be brief",
        temperature=0.2,
        store=False,
        metadata={"a": "b"},
        reasoning={"effort": "low"},
    )
    assert {name: msgspec.json.decode(raw) for name, raw in asked.echo.items()} == {
        "instructions": "Be brief",
        "temperature": 0.2,
        "store": False,
        "metadata": {"a": "b"},
    }


def _recorded() -> list[Any]:
    found = []
    for path in sorted(RECORDINGS.glob("*.json")):
        for number, row in enumerate(json.loads(path.read_bytes())):
            is_post = str(row.get("request", "")).startswith("POST /v1/responses")
            body = row.get("body") if is_post else row.get("websocket_frame")
            if isinstance(body, dict) and body.get("type", "response.create") == "response.create":
                found.append(pytest.param(body, row.get("headers", {}), id=f"{path.stem} {number}"))
    assert len(found) > 25
    return found


@pytest.mark.parametrize(("body", "headers"), _recorded())
def test_every_recorded_request_is_taken(body: dict[str, Any], headers: dict[str, str]) -> None:
    """As the clients sent them (the long texts are shortened): nothing is lost of what is said."""
    if any(not isinstance(tool, dict) for tool in body.get("tools", [])):
        body = {**body, "tools": []}
    asked = read_request(json.dumps(body).encode(), OPENAI_CODEX)
    codex = turn_headers({name.lower(): str(value) for name, value in headers.items()})
    decoded = msgspec.json.decode(call_of(asked, headers=codex).body)
    given = body["input"] if isinstance(body["input"], list) else [{"role": "user"}]
    assert [item.get("role") for item in decoded["input"] if item["type"] == "message"] == [
        item["role"] for item in given if "role" in item and item.get("type", "message") == "message"
    ]
    assert all("id" not in item for item in decoded["input"])
    assert asked.stream == bool(body.get("stream"))


def test_the_page_says_what_becomes_of_each_field() -> None:
    """docs/server.md has a row for each fate, and each field that is read or named here is in one."""
    page = (Path(__file__).parents[3] / "docs/server.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| (sent|carried out|left out|refused)", page, re.MULTILINE)
    fates = {fate: re.findall(r"`(\w+)`", names) for names, fate in rows}
    values: dict[str, Any] = {
        "input": "other",
        "tools": [TOOL],
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low"},
        "parallel_tool_calls": True,
        "background": True,
        "stream": True,
        "store": False,
        "max_output_tokens": 5,
    }
    for name in fates["sent"]:
        body = {name: values.get(name, "priority")}
        assert read(**body).ignored == ()
        # The model and the name are those of the call, which the service chooses.
        assert name in ("model", "prompt_cache_key") or sent(**body) != sent()
    for name in fates["carried out"]:
        body = {name: values.get(name, "resp_1")}
        assert read(**body).ignored == ()
        assert sent(**body) == sent()
    for name in fates["left out"]:
        assert read(**{name: values.get(name, "x")}).ignored == (name,)
    for name in fates["refused"]:
        with pytest.raises(ParameterError):
            read(**{name: values.get(name, "x")})


@pytest.mark.parametrize(("tokens", "is_cut"), [(1, True), (99_999, True), (100_000, False), (10**9, False)])
def test_a_limit_that_no_answer_reaches_is_none(tokens: int, *, is_cut: bool) -> None:
    """The answer may be as long as it wants; nothing is carried out for it."""
    asked = read(max_output_tokens=tokens)
    assert (asked.cut_at is not None) is is_cut
    assert asked.emulated == (("max_output_tokens",) if is_cut else ())


def test_a_request_asks_for_little_by_itself() -> None:
    """What the body does not say: no events, and the response may be asked for again."""
    asked = read()
    assert ResponsesRequest(model="gpt-5.5", items=asked.items, fields=asked.fields) == asked
    assert (asked.stream, asked.store, asked.generate) == (False, True, True)
