"""What becomes of parameters at each kind of backend."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.backends import COMPATIBLE, COMPATIBLE_RESPONSES, OPENAI, OPENAI_CODEX, OPENAI_RESPONSES, Backend
from onplan.dialects.openai_chat.parameters import Fitted, fitted
from onplan.dialects.openai_chat.request import read_request
from onplan.dialects.openai_errors import ParameterError

TOOLS = [{"type": "function", "function": {"name": "f"}}]
ALLOWED = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}


def fit(backend: Backend, *, strict: bool = False, **fields: Any) -> Fitted:
    body = {"model": "gpt-9", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return fitted(read_request(json.dumps(body).encode()), backend, strict=strict)


@pytest.mark.parametrize(
    ("backend", "fields", "ignored"),
    [
        (OPENAI_CODEX, {"temperature": 0.5}, ["temperature"]),
        (OPENAI_CODEX, {"temperature": 1, "top_p": 1.0}, []),
        (OPENAI_CODEX, {"metadata": {"a": "b"}, "seed": 0, "user": "me"}, ["metadata", "seed", "user"]),
        (OPENAI_CODEX, {"metadata": {}}, []),
        (
            OPENAI_CODEX,
            {"frequency_penalty": 0.5, "logit_bias": {"1": 2}},
            ["frequency_penalty", "logit_bias"],
        ),
        (OPENAI_CODEX, {"prediction": {"type": "content"}, "logprobs": True}, ["prediction", "logprobs"]),
        (OPENAI_CODEX, {"max_tokens": 32_000, "stop": "x"}, []),
        (OPENAI_CODEX, {"service_tier": "auto"}, []),
        (OPENAI, {"temperature": 1, "seed": 0, "user": "me"}, []),
        (OPENAI, {"logprobs": True, "top_logprobs": 3, "store": True}, ["logprobs", "top_logprobs", "store"]),
        (OPENAI, {"parallel_tool_calls": False}, ["parallel_tool_calls"]),
        (OPENAI, {"parallel_tool_calls": False, "tools": TOOLS}, []),
        (COMPATIBLE, {"top_k": 5, "seed": 0}, []),
        (COMPATIBLE, {"prompt_cache_key": "mine"}, ["prompt_cache_key"]),
        (OPENAI_RESPONSES, {"temperature": 0.5, "seed": 0}, ["seed"]),
        (COMPATIBLE_RESPONSES, {"top_k": 5}, ["top_k"]),
    ],
)
def test_what_is_ignored(backend: Backend, fields: dict[str, Any], ignored: list[str]) -> None:
    """By the row of the backend, under the client's own names; under --strict it is refused."""
    assert list(fit(backend, **fields).ignored) == ignored
    if not ignored:
        assert fit(backend, strict=True, **fields).ignored == ()
        return
    with pytest.raises(ParameterError) as caught:
        fit(backend, strict=True, **fields)
    assert (caught.value.param, caught.value.told.code) == (ignored[0], "unsupported_parameter")


def test_other_fields_go_on_to_servers_of_this_api() -> None:
    """A server that speaks it may know fields that there is no word for here."""
    more = {"top_k": 5, "seed": 0, "chat_template_kwargs": {"thinking": False}}
    assert fit(COMPATIBLE, **more, logprobs=True).request.extra_body == more
    assert fit(OPENAI_RESPONSES, **more).request.extra_body == {}


def test_defaults_are_sent_where_they_count() -> None:
    """A compatible server may have another default temperature than OpenAI's."""
    assert fit(COMPATIBLE, temperature=1).request.temperature == 1
    assert fit(OPENAI_CODEX, temperature=1).request.temperature is None


def test_a_length_that_no_answer_reaches() -> None:
    """It is not counted out, but sent to a backend that takes it."""
    assert fit(OPENAI_CODEX, max_tokens=100_000).request.max_tokens is None
    assert fit(OPENAI_CODEX, max_tokens=99_999).request.max_tokens == 99_999
    assert fit(OPENAI, max_tokens=100_000).request.max_tokens == 100_000


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        (OPENAI, {"type": "allowed_tools", "allowed_tools": ALLOWED}),
        (
            OPENAI_CODEX,
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_allowed_tools(backend: Backend, expected: dict[str, Any]) -> None:
    """Each API has a form of its own; without tools there is nothing to allow."""
    choice = {"type": "allowed_tools", "allowed_tools": ALLOWED}
    assert fit(backend, tools=TOOLS, tool_choice=choice).request.extra_body == {"tool_choice": expected}
    assert fit(backend, tool_choice=choice).request.extra_body == {}


def test_names() -> None:
    """What onplan reports of its fields is told in the client's words; the rest is onplan's own affair."""
    names = fit(OPENAI_CODEX, max_completion_tokens=5)
    assert names.named(["max_tokens", "session_id", "thinking"]) == ["max_completion_tokens", "thinking"]
    assert fit(OPENAI_CODEX, prompt_cache_key="x").named(["session_id"]) == ["prompt_cache_key"]


@pytest.mark.parametrize(
    ("backend", "expected"),
    [(OPENAI, {"reasoning_effort": "none"}), (OPENAI_CODEX, {"reasoning": {"effort": "none"}})],
)
def test_no_effort(backend: Backend, expected: dict[str, Any]) -> None:
    """It is sent as it is, for models take it that do not list it."""
    request = fit(backend, reasoning_effort="none").request
    assert (request.reasoning_effort, request.extra_body) == (None, expected)


def test_nothing_is_refused_unasked() -> None:
    """Being strict is the person's decision."""
    body = b'{"messages": [{"role": "user", "content": "Hi"}], "seed": 1}'
    assert fitted(read_request(body), OPENAI_CODEX).ignored == ("seed",)
