"""``POST /v1/responses`` over real sockets: what the backend does, and what a client gets."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

import onplan
from onplan.dialects.served import ServedRequest
from onplan.emulator import Emulator
from onplan.emulator.faults.register import FAULTS
from onplan.service import ServiceOptions

from ..dialects.openai_responses.reading import read
from .conftest import Answer, Asking, serving

ONCE = onplan.RetryPolicy(attempts=1)
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
# These end only by a timeout of the client's, or wait for a while first.
_SLOW = ("stall", "slow_first_byte", "websocket_silence", "websocket_upgrade_slow", "open_after_end")


def posts(emulator: Emulator) -> list[Any]:
    """The bodies that the backend got."""
    return [row["body"] for row in emulator.journal() if row["path"].endswith("/responses") and row["body"]]


def asked(emulator: Emulator, *, options: ServiceOptions | None = None, **body: Any) -> Answer:
    async def use(asking: Asking) -> Answer:
        return await asking.create(**{"input": "hi", **body})

    return serving(use, options, transport="sse", retry=ONCE)


@pytest.mark.parametrize("transport", ["sse", "websocket"])
@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_whatever_goes_wrong_is_an_error_or_a_whole_answer(
    signed_in: Emulator, transport: Any, tools: list[Any]
) -> None:
    """Every fault of the emulator: an error of the dialect, or a stream that clients can read."""
    names = [
        name
        for name, fault in FAULTS.items()
        if "responses" in fault.where or "responses_message" in fault.where
    ]
    seen: dict[str, list[str]] = {}

    async def use(asking: Asking) -> None:
        for name in names:
            if name in _SLOW:
                continue
            for stream in (True, False):
                signed_in.disarm()
                signed_in.arm(name, 1)
                headers = {"session-id": f"{name} {stream}"}
                answer = await asking.create(input="hi", tools=tools, stream=stream, headers=headers)
                seen.setdefault(_outcome(name, answer, is_stream=stream), []).append(name)

    serving(use, transport=transport, retry=ONCE)
    assert {"completed", "failed", "503"} <= seen.keys()


def _outcome(name: str, answer: Answer, *, is_stream: bool) -> str:
    if answer.status != 200:
        assert answer.error["message"], name
        assert answer.error["code"], name
        assert "<html" not in answer.error["message"].lower()
        assert "retry-after" not in answer.headers or int(answer.headers["retry-after"]) <= 60
        return str(answer.status)
    try:
        response = read(answer.events).response if is_stream else answer.json
    except (AssertionError, KeyError) as error:
        error.add_note(f"after {name}: {answer.body!r}")
        raise
    assert response["status"] in (
        ("completed", "incomplete", "failed") if is_stream else ("completed", "incomplete")
    )
    return str(response["status"])


def test_a_refused_token_is_refreshed_once_and_not_seen(signed_in: Emulator) -> None:
    """Ten requests at once: one refresh, ten answers."""
    signed_in.expire_access_tokens()

    async def use(asking: Asking) -> list[Answer]:
        return await asyncio.gather(*(asking.create(input=f"hi {number}") for number in range(10)))

    answers = serving(use)
    assert [answer.status for answer in answers] == [200] * 10
    refreshes = [row for row in signed_in.journal() if row["path"] == "/oauth/token"]
    assert len(refreshes) == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "name", ["overloaded_in_stream", "error_then_failed", "connection_reset", "overloaded_503"]
)
def test_a_failure_before_the_first_delta_is_tried_again_unseen(
    signed_in: Emulator, name: str, stream: bool
) -> None:
    """Also inside a 200: the client sees one answer, whose events are those of the second try."""
    signed_in.arm(name)

    async def use(asking: Asking) -> Answer:
        return await asking.create(input="hi", stream=stream)

    answer = serving(use, transport="sse", retry=onplan.RetryPolicy(wait_initial=0))
    assert len(posts(signed_in)) == 2
    if stream:
        assert read(answer.events).response["status"] == "completed"
    else:
        assert answer.json["status"] == "completed"


@pytest.mark.parametrize(
    ("name", "status", "type_", "code"),
    [
        ("usage_limit_429", 429, "usage_limit_reached", "usage_limit_reached"),
        ("usage_limit_in_stream", 429, "usage_limit_reached", "usage_limit_reached"),
        ("usage_limit_404", 429, "usage_limit_reached", "usage_limit_reached"),
        ("context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded"),
        ("response_failed_context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded"),
        ("content_policy", 400, "invalid_request_error", "content_filter"),
        ("model_not_supported", 404, "invalid_request_error", "model_not_found"),
        ("rate_limited_429", 429, "rate_limit_error", "rate_limit_exceeded"),
        ("overloaded_in_stream", 503, "server_error", "server_is_overloaded"),
        ("cloudflare_403", 502, "server_error", "upstream_error"),
        ("server_error_500", 502, "server_error", "upstream_error"),
        ("bad_gateway_502_html", 502, "server_error", "upstream_error"),
        ("html_instead_of_json", 502, "server_error", "upstream_error"),
    ],
)
def test_failures_have_the_status_and_code_that_clients_know(
    signed_in: Emulator, name: str, status: int, type_: str, code: str
) -> None:
    """Streaming or not, as long as nothing was sent; bodies are never those of the backend."""
    for stream in (True, False):
        signed_in.arm(name)
        answer = asked(signed_in, stream=stream)
        assert (answer.status, answer.error["type"], answer.error["code"]) == (status, type_, code)
        assert "detail" not in answer.json


def test_a_usage_limit_says_when_it_resets_and_asks_for_no_second_try(signed_in: Emulator) -> None:
    """No ``Retry-After``, which some clients sleep through; the time is in the body."""
    signed_in.arm("usage_limit_429")
    answer = asked(signed_in)
    assert answer.headers["x-should-retry"] == "false"
    assert float(answer.headers["x-codex-primary-used-percent"]) == 100
    assert "retry-after" not in answer.headers
    assert isinstance(answer.error["resets_at"], int)


@pytest.mark.parametrize("name", ["cut_mid_event", "response_failed_after_text"])
def test_a_stream_that_breaks_ends_with_an_error(signed_in: Emulator, name: str) -> None:
    """After the first delta the status is sent: two events tell it, and nothing looks like a clean end."""
    signed_in.arm(name)
    answer = asked(signed_in, stream=True)
    assert answer.status == 200
    assert read(answer.events).response["status"] == "failed"
    assert [event["type"] for event in answer.events[-2:]] == ["error", "response.failed"]
    signed_in.arm(name)
    assert asked(signed_in).status in (502, 504)


def test_a_backend_that_falls_silent_is_an_error(signed_in: Emulator) -> None:
    """In a stream as its last events, else as status 504."""

    async def use(asking: Asking) -> tuple[Answer, Answer]:
        signed_in.arm("stall", 2)
        return await asking.create(input="hi", stream=True), await asking.create(input="hi")

    limits = onplan.Timeouts(idle=2.0)  # the first event must come within it
    streamed, whole = serving(use, transport="sse", retry=ONCE, timeout=limits)
    assert read(streamed.events).response["error"]["code"] == "idle_timeout"
    assert (whole.status, whole.error["code"]) == (504, "idle_timeout")


def test_refused_encrypted_reasoning_is_left_out(signed_in: Emulator) -> None:
    """Another account thought it: the request is sent again without it."""
    signed_in.arm("encrypted_content_refused")
    sealed = {"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "of another account"}
    answer = asked(
        signed_in, input=[{"role": "user", "content": "hi"}, sealed, {"role": "user", "content": "ho"}]
    )
    assert answer.status == 200
    kinds = [[item["type"] for item in body["input"]] for body in posts(signed_in)]
    assert kinds == [["message", "reasoning", "message"], ["message", "message"]]


def test_the_reply_says_what_the_plan_has_left(signed_in: Emulator) -> None:
    """The backend's own headers, whether they came as headers or in an event; the turn's state is Codex's."""

    async def use(asking: Asking) -> list[dict[str, str]]:
        codex = {"originator": "codex_exec", "session-id": "one"}
        plain = await asking.create(input="hi", stream=True)
        over_websocket = await asking.create(input="hi", headers={"session-id": "two"})
        as_codex = await asking.create(input="hi", headers=codex)
        return [plain.headers, over_websocket.headers, as_codex.headers]

    for headers in serving(use):
        assert float(headers["x-codex-primary-used-percent"]) >= 0
        assert headers["cache-control"] in ("no-store", "no-cache")
        assert headers["x-request-id"]


def test_parameters_are_named_that_are_left_out_or_carried_out(signed_in: Emulator) -> None:
    """In headers; what says what would happen anyway is not named."""
    answer = asked(
        signed_in,
        temperature=0.2,
        top_p=1,
        user="me",
        max_output_tokens=2,
        truncation="disabled",
        metadata={"a": "b"},
        safety_identifier="x",
    )
    assert answer.headers["x-onplan-ignored-parameters"] == "temperature, user, metadata, safety_identifier"
    assert answer.headers["x-onplan-emulated-parameters"] == "max_output_tokens"
    assert answer.json["status"] == "incomplete"
    assert answer.json["usage"]["output_tokens"] == 2
    assert answer.json["metadata"] == {"a": "b"}
    strict = asked(signed_in, options=ServiceOptions(strict=True), temperature=0.2)
    assert (strict.status, strict.error["param"]) == (400, "temperature")


def test_an_alias_stands_for_a_model(signed_in: Emulator) -> None:
    """The name that the person chose for it."""
    answer = asked(signed_in, options=ServiceOptions(aliases={"gpt-4o": "gpt-5.6-sol"}), model="gpt-4o")
    assert answer.status == 200
    assert [body["model"] for body in posts(signed_in)] == ["gpt-5.6-sol"]


def test_a_client_that_leaves_ends_what_it_asked(signed_in: Emulator) -> None:
    """Closing the body of a reply closes the connection to the backend; the next request works."""

    async def use(asking: Asking) -> Answer:

        signed_in.arm("stall")
        body = msgspec.json.encode({"model": "gpt-5.5", "input": "hi", "stream": True})
        reply = await asking.service.answer(ServedRequest("POST", "/v1/responses", {}, body))
        assert not isinstance(reply.body, bytes)
        assert await anext(reply.body)
        await reply.body.aclose()
        await reply.body.aclose()
        return await asking.create(input="hi")

    assert serving(use, transport="sse").status == 200


def test_conversations_of_one_name_are_not_mixed(signed_in: Emulator) -> None:
    """Programs give all their conversations one cache key; each question gets its own answer."""

    async def use(asking: Asking) -> list[tuple[str, str]]:
        async def ask(number: int) -> tuple[str, str]:
            history: list[Any] = []
            said = ""
            for turn in "abc":
                history.append({"role": "user", "content": f"question {number}{turn}"})
                answer = (await asking.create(input=history, prompt_cache_key="app", store=False)).json
                history += answer["output"]
                said = next(item for item in answer["output"] if item["type"] == "message")["content"][0][
                    "text"
                ]
            return f"question {number}c", said

        return await asyncio.gather(*(ask(number) for number in range(12)))

    assert all(question in said for question, said in serving(use))


@pytest.mark.parametrize("depth", [400, 900, 990, 5_000])
def test_a_body_that_is_nested_deeply_is_answered(signed_in: Emulator, depth: int) -> None:
    """Taken or refused, whatever part of it can be read."""
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    bodies = []
    for field in (b"input", b"tools", b"text", b"metadata"):
        value = b"[" + nested + b"]" if field in (b"input", b"tools") else nested
        bodies.append(b'{"model":"gpt-5.5","input":"hi","%b":%b}' % (field, value))

    async def use(asking: Asking) -> list[int]:
        return [(await asking.ask("POST", "/v1/responses", body)).status for body in bodies]

    assert set(serving(use, transport="sse", retry=ONCE)) <= {200, 400}


def test_a_backend_of_the_other_api_says_which_path_to_use(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform key is asked over Chat Completions unless the person says otherwise."""
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", emulator.urls["openai_base_url"])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-emulated")

    async def use(asking: Asking) -> Answer:
        return await asking.create(input="hi")

    answer = serving(use, backend="openai")
    assert (answer.status, answer.error["code"]) == (404, "unknown_url")
    assert "/v1/chat/completions" in answer.error["message"]
