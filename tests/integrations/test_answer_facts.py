"""What is known of an answer besides its message, as frameworks keep it: JSON values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.integrations.answer_facts import facts_of
from onplan.types import CompletionResponse, FinishReason, Limits, Message, Refusal, Usage, Window

USAGE = Usage(3, 9, 12, cache_read_tokens=1, reasoning_tokens=2)


def answer(*parts: Any, **fields: Any) -> CompletionResponse:
    said = Message.assistant(*(parts or ("Hello",)))
    return CompletionResponse(
        message=said, usage=USAGE, finish_reason=FinishReason.STOP, model="gpt-5.5", **fields
    )


def test_every_answer_has_a_model_an_end_and_usage() -> None:
    """Nothing else stands there that there is nothing to say of."""
    assert facts_of(answer()) == {
        "model": "gpt-5.5",
        "finish_reason": "stop",
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 9,
            "total_tokens": 12,
            "cache_read_tokens": 1,
            "cache_write_tokens": 0,
            "reasoning_tokens": 2,
        },
    }


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"response_id": "resp_1"}, {"response_id": "resp_1"}),
        ({"request_id": "req-1"}, {"request_id": "req-1"}),
        ({"ignored_parameters": ["seed"]}, {"ignored_parameters": ["seed"]}),
        ({"emulated_parameters": ["stop"]}, {"emulated_parameters": ["stop"]}),
        ({"history_repairs": ["One."]}, {"history_repairs": ["One."]}),
    ],
)
def test_what_else_is_known(fields: dict[str, Any], told: dict[str, Any]) -> None:
    """By the names of onplan's own answer."""
    assert facts_of(answer(**fields)) == {**facts_of(answer()), **told}


def test_a_refusal_is_told() -> None:
    """Frameworks have no part for it."""
    assert facts_of(answer(Refusal("No.")))["refusal"] == "No."


def test_limits_are_told_as_json() -> None:
    """Whatever is known of them; the values are ones that every framework can save."""
    limits = Limits(windows=[Window(300, 12.5, 1_790_000_000.0)])
    facts = facts_of(answer(limits=limits))
    assert facts["limits"]["windows"][0]["used_percent"] == 12.5
    assert json.loads(json.dumps(facts)) == facts
