"""The value in an answer, and answers that have none."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from onplan.errors import InvalidRequestError, OutputError, OutputRefusedError, OutputTruncatedError
from onplan.structured.output_format import output_format
from onplan.types import (
    CompletionResponse,
    ContentPart,
    FinishReason,
    Message,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    Usage,
    output_of,
    read_by,
)


@dataclass
class Bird:
    name: str


OWL = '{"name": "Owl"}'
CALL = ToolCall(id="c", name="weather", arguments="{}")


def answer(
    *content: ContentPart, reason: FinishReason = FinishReason.STOP, given: Any = Bird
) -> CompletionResponse:
    response: CompletionResponse = CompletionResponse(Message.assistant(*content), Usage(), reason, "m")
    read_by(response, None if given is None else output_format(given))
    return response


PARSED: dict[str, tuple[ContentPart, ...]] = {
    "a text": (Text(OWL),),
    "several texts": (Text('{"name":'), Text('"Owl"}')),
    "thinking before": (Thinking("An owl?"), Text(OWL)),
    "a remark before": (Text("I think of a bird.", phase="commentary"), Text(OWL, phase="final_answer")),
}


@pytest.mark.parametrize("content", PARSED.values(), ids=PARSED)
def test_the_value_is_read_from_the_text(content: tuple[ContentPart, ...]) -> None:
    """The parts of the answer are one JSON text; thinking and remarks on the way to it are not part of it."""
    assert answer(*content).parsed == Bird("Owl")


def test_the_value_is_read_once() -> None:
    """A program that changes the value finds it changed."""
    response = answer(Text(OWL))
    response.parsed.name = "Emu"

    assert response.parsed.name == "Emu"


NONE: dict[str, tuple[CompletionResponse, type[OutputError], str, str]] = {
    "a refusal": (answer(Refusal("No.")), OutputRefusedError, "declined", "No."),
    "a refusal beside a text that fits": (
        answer(Text(OWL), Refusal("No.")),
        OutputRefusedError,
        "declined",
        "No.",
    ),
    "a refusal in two parts": (answer(Refusal("No"), Refusal(".")), OutputRefusedError, "declined", "No."),
    "a filtered answer": (
        answer(Text('{"na'), reason=FinishReason.CONTENT_FILTER),
        OutputRefusedError,
        "filtered",
        '{"na',
    ),
    "a cut answer": (
        answer(Text('{"na'), reason=FinishReason.LENGTH),
        OutputTruncatedError,
        "cut off",
        '{"na',
    ),
    "an answer that was cut at its end": (
        answer(Text(OWL), reason=FinishReason.LENGTH),
        OutputTruncatedError,
        "cut off",
        OWL,
    ),
    "calls": (
        answer(CALL, reason=FinishReason.TOOL_CALLS),
        OutputError,
        "calls tools before it answers: weather",
        "",
    ),
    "nothing": (answer(), OutputError, "it is empty", ""),
    "thinking alone": (answer(Thinking(OWL)), OutputError, "it is empty", ""),
    "something else": (answer(Text('{"name": 3}')), OutputError, "at $.name: expected `str`", '{"name": 3}'),
}


@pytest.mark.parametrize(("response", "kind", "says", "text"), NONE.values(), ids=NONE)
def test_an_answer_without_a_value(
    response: CompletionResponse, kind: type[OutputError], says: str, text: str
) -> None:
    """Each time it is asked for, an error of its own kind says why, and holds the text."""
    for _ in range(2):
        with pytest.raises(OutputError) as caught:
            _ = response.parsed
        assert type(caught.value) is kind
        assert says in str(caught.value)
        assert caught.value.text == text


def test_the_error_has_the_id_of_the_request() -> None:
    """As every error of a request has, to quote it in a report."""
    response = msgspec.structs.replace(answer(Text("?")), request_id="req_1")
    read_by(response, output_format(Bird))

    with pytest.raises(OutputError) as caught:
        _ = response.parsed
    assert caught.value.request_id == "req_1"


def test_an_answer_to_a_request_without_a_format() -> None:
    """There is nothing to read, and the error says what to give the request."""
    with pytest.raises(InvalidRequestError, match="no response_format") as caught:
        _ = answer(Text(OWL), given=None).parsed

    assert "response_format=" in caught.value.hint


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda response: pickle.loads(pickle.dumps(response))])
def test_copies_have_the_value_too(copied: Any) -> None:
    """An answer that comes from another process has the same value."""
    response = copied(answer(Text(OWL)))

    assert response == answer(Text(OWL))
    assert response.parsed == Bird("Owl")


def test_the_format_is_no_part_of_the_answer() -> None:
    """Answers are equal, and have the same JSON form, whatever their text is read as."""
    plain, typed = answer(Text(OWL), given=None), answer(Text(OWL))

    assert output_of(typed)
    assert plain == typed
    assert msgspec.json.encode(plain) == msgspec.json.encode(typed)
    assert repr(plain) == repr(typed)
