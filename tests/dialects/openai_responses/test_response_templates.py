"""Templates give what ``response_object`` would give for each response, whatever stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from onplan.dialects.openai_responses import response_templates
from onplan.dialects.openai_responses.response_object import response_object
from onplan.dialects.openai_responses.response_templates import (
    LARGEST_KEPT,
    begun_response,
    completed_response,
    with_gaps,
)

encode = msgspec.json.encode
ECHO: Mapping[str, Any] = {"instructions": msgspec.Raw(b'"be brief"'), "store": msgspec.Raw(b"false")}
# Responses in which the values that differ stand in odd places as well, or are written in odd ways.
ODD: Mapping[str, dict[str, Any]] = {
    "nothing": {},
    "a new field": {"future": {"a": [1, None, "x"]}},
    "the id and the time elsewhere, first": {"about": {"id": "resp_1", "created_at": 5}},
    "an output elsewhere, first": {"about": {"output": [], "usage": {"total_tokens": 3}}},
    "fields named in a text": {"about": '"id":"resp_1","created_at":5'},
    "the id as a text": {"about": "resp_1"},
    "nulls": {"service_tier": None, "reasoning": None},
    "a name of the conversation": {"prompt_cache_key": "resp_1", "user": "5"},
    "more than ASCII": {"about": "Grüße \u2028 5"},
}


def texts(**values: Any) -> dict[str, bytes]:
    return {name.replace("__", " "): encode(value) for name, value in values.items()}


def as_object(sent: Mapping[str, Any], echo: Mapping[str, Any], **fields: Any) -> bytes:
    raw = {name: msgspec.Raw(encode(value)) for name, value in sent.items()}
    return encode(response_object(raw, echo, **fields))


def begun(response: dict[str, Any], response_id: str, echo: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """What clients get for a response that begins, and what they would get of the whole object."""
    payload = encode({"type": "response.created", "sequence_number": 0, "response": response})
    values = texts(opened__id=response_id, opened__created_at=5)
    all_values = {**values, **texts(told__id=response_id, told__created_at=5)}
    told = begun_response(with_gaps(payload, values), "m", echo, all_values)
    fields = {"id": response_id, "created_at": 5, "object": "response", "model": "m"}
    sent = {**response, "status": "in_progress"}
    return told, as_object(sent, echo, **fields, output=[], usage=None)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("echo", [{}, ECHO], ids=["echoes nothing", "echoes"])
def test_a_response_that_begins_is_as_if_it_was_made_alone(
    odd: dict[str, Any], echo: Mapping[str, Any]
) -> None:
    """The first response and the ones after it, for which the template is there, have their own values."""
    for response_id in ("resp_1", "resp_2", 'a \\ " é', "resp_1"):
        told, alone = begun({**odd, "id": response_id, "created_at": 5}, response_id, echo)
        assert told == alone


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("where", ["opened", "final"])
def test_a_response_that_is_complete_is_as_if_it_was_made_alone(odd: dict[str, Any], where: str) -> None:
    """Of what the two events say, the last one counts; output and usage are those that are told."""
    for number in (1, 2):
        same = {"id": f"resp_{number}", "created_at": 5}
        opened = {**(odd if where == "opened" else {}), **same, "background": True}
        final = {**(odd if where == "final" else {}), **same, "output": [], "usage": {"total_tokens": 3}}
        final["completed_at"] = 5 + number
        items, usage = [{"id": f"msg_{number}"}], {"total_tokens": number}
        opening = texts(opened__id=same["id"], opened__created_at=5)
        last = texts(
            final__output=[],
            final__usage={"total_tokens": 3},
            final__id=same["id"],
            final__created_at=5,
            final__completed_at=5 + number,
            final__sequence_number=number,
        )
        told = texts(told__id=same["id"], told__created_at=5, told__output=items, told__usage=usage)
        event = {"type": "response.completed", "response": final, "sequence_number": number}
        found = completed_response(
            with_gaps(encode({"response": opened}), opening),
            with_gaps(encode(event), last),
            "m",
            ECHO,
            {**opening, **last, **told},
        )
        fields = {**same, "object": "response", "model": "m", "status": "completed"}
        more = {"output": items, "incomplete_details": None, "usage": usage}
        assert found == as_object({**opened, **final}, ECHO, **fields, **more)


def test_one_template_serves_responses_that_differ_in_values_alone() -> None:
    """Another id finds what was worked out for the first one; another field does not."""
    response_templates._begun.cache_clear()
    for response_id in ("resp_1", "resp_2", "resp_3"):
        begun({"id": response_id, "created_at": 5}, response_id, ECHO)
    assert response_templates._begun.cache_info().misses == 1
    begun({"id": "resp_4", "created_at": 5, "future": 1}, "resp_4", ECHO)
    assert response_templates._begun.cache_info().misses == 2


def test_templates_of_large_responses_are_not_kept() -> None:
    """They would take up memory for as long as the process lives."""
    response_templates._begun.cache_clear()
    large = {"id": "resp_1", "created_at": 5, "future": "x" * LARGEST_KEPT}
    told, alone = begun(large, "resp_1", {})
    assert told == alone
    assert response_templates._begun.cache_info().currsize == 0


def test_a_time_that_stands_in_a_longer_number_is_no_answer() -> None:
    """Such an event counts as unusual, and is read carefully: nobody gets half of a number."""
    values = texts(opened__created_at=5, told__created_at=5, told__id="resp_1")
    payload = encode({"response": {"about": {"created_at": 55}, "id": "resp_1", "created_at": 5}})
    gaps = with_gaps(payload, texts(opened__created_at=5))
    with pytest.raises(msgspec.DecodeError):
        begun_response(gaps, "m", {}, values)
