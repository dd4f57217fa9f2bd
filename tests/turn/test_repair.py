"""What the model is told of an answer that does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from onplan.errors import InvalidRequestError
from onplan.structured.output_format import output_format
from onplan.turn.repair import correction, repaired, require_repairs
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    FinishReason,
    Message,
    Refusal,
    Text,
    Usage,
    read_by,
)


@dataclass
class Bird:
    name: str


def request(given: Any = Bird) -> CompletionRequest:
    return CompletionRequest(messages="A bird", model="m", response_format=given)


def answer(
    *content: Text | Refusal, given: Any = Bird, reason: FinishReason = FinishReason.STOP, **usage: int
) -> CompletionResponse:
    response: CompletionResponse = CompletionResponse(
        Message.assistant(*content), Usage(**usage), reason, "m"
    )
    read_by(response, None if given is None else output_format(given))
    return response


def test_the_model_is_told_what_does_not_fit() -> None:
    """The conversation goes on with the answer and a message that names the place and the reason."""
    wrong = answer(Text('{"name": 3}'))
    asked = correction(request(), wrong)

    assert asked
    assert asked.messages[:2] == [Message.user("A bird"), wrong.message]
    assert asked.messages[2].text == (
        "That answer cannot be used at $.name: expected `str`, got `int`. "
        "Answer again with the whole JSON that the schema asks for, corrected, and nothing else."
    )
    assert (asked.model, asked.response_format, len(asked.messages)) == ("m", Bird, 3)


PLACES: dict[str, tuple[Any, str, str]] = {
    "no JSON": (Bird, "An owl.", "cannot be used: it is not JSON"),
    "in what is wrapped": (list[Bird], '{"value": [{"name": 3}]}', "at $.value[0].name: expected `str`"),
    "what is wrapped": (int, '{"value": "x"}', "at $.value: expected `int`"),
}


@pytest.mark.parametrize(("given", "text", "says"), PLACES.values(), ids=PLACES)
def test_places_are_those_of_the_text(given: Any, text: str, says: str) -> None:
    """The model is told of places as it has written them, not as the program reads them."""
    asked = correction(request(given), answer(Text(text), given=given))

    assert asked
    assert says in asked.messages[-1].text


DONE: dict[str, CompletionResponse] = {
    "an answer that fits": answer(Text('{"name": "Owl"}')),
    "a refusal": answer(Refusal("No.")),
    "an answer that was cut off": answer(Text('{"name'), reason=FinishReason.LENGTH),
    "an answer that was filtered": answer(Text('{"name'), reason=FinishReason.CONTENT_FILTER),
    "calls": answer(Text("Let me see."), reason=FinishReason.TOOL_CALLS),
}


@pytest.mark.parametrize("response", DONE.values(), ids=DONE)
def test_what_is_not_repaired(response: CompletionResponse) -> None:
    """Nothing is asked again where the answer fits, or where another would not be better."""
    assert correction(request(), response) is None


def test_the_usage_of_all_answers_is_added_up() -> None:
    """The latest answer counts, with the tokens of all, and can be read."""
    one = answer(Text("?"), prompt_tokens=10, completion_tokens=2, total_tokens=12, cache_read_tokens=5)
    two = answer(
        Text('{"name": "Owl"}'), prompt_tokens=20, completion_tokens=3, total_tokens=23, reasoning_tokens=1
    )
    response = repaired(repaired(one, answer(Text("!"), prompt_tokens=1)), two)

    assert response.usage == Usage(
        prompt_tokens=31, completion_tokens=5, total_tokens=35, cache_read_tokens=5, reasoning_tokens=1
    )
    assert (response.repairs, response.parsed) == (2, Bird("Owl"))


@pytest.mark.parametrize("repairs", [0, 1, 3, True])
def test_numbers_of_repairs(repairs: int) -> None:
    """Any number of turns, and True for one."""
    require_repairs(repairs, request())


@pytest.mark.parametrize("repairs", [-1, 0.5, "1", None])
def test_what_is_no_number_of_repairs(repairs: Any) -> None:
    """Anything else is refused before it is asked."""
    with pytest.raises(InvalidRequestError, match="not a number of turns"):
        require_repairs(repairs, request())


def test_repairs_without_a_format() -> None:
    """Without a format any answer fits; asking for repairs is a mistake."""
    with pytest.raises(InvalidRequestError, match="no response_format"):
        require_repairs(1, CompletionRequest(messages="A bird"))
    require_repairs(0, CompletionRequest(messages="A bird"))
