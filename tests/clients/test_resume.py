"""With ``resume=True`` an answer that broke off goes on from its finished parts, over every transport."""

from __future__ import annotations

from typing import Any

import pytest

import onplan
from onplan import CompletionRequest, Resumed, RetryPolicy, Text, Thinking, ToolDefinition
from onplan.emulator import Emulator

QUICK = RetryPolicy(attempts=3, wait_initial=0.01)
TOOL = ToolDefinition(
    name="weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}}
)
ASKED = CompletionRequest(messages="one two three", model="gpt-5.5", reasoning_effort="low")


def posts(emulator: Emulator) -> list[dict[str, Any]]:
    """The requests for answers; over a WebSocket, the messages."""
    rows = [row for row in emulator.journal() if row["path"].endswith("/responses")]
    return [row["body"] for row in rows if row["method"] == "POST"]


def since_resumed(chunks: list[onplan.StreamChunk]) -> list[onplan.StreamChunk]:
    return chunks[max(index for index, chunk in enumerate(chunks) if chunk.type == "resumed") + 1 :]


@pytest.mark.parametrize("fault", ["response_failed_after_text", "cut_mid_event"])
def test_what_was_finished_is_kept(signed_in: Emulator, driver: Any, fault: str) -> None:
    """The finished thinking stays and is told the model; the text that broke off comes anew, whole."""
    signed_in.arm(fault, times=1)
    chunks = driver(resume=True, retry=QUICK).chunks(ASKED)

    resumed = [chunk for chunk in chunks if isinstance(chunk, Resumed)]
    (thinking,) = resumed[0].parts
    assert isinstance(thinking, Thinking)
    after = since_resumed(chunks)
    text = "".join(chunk.text for chunk in after if chunk.type == "text")
    assert text == "You said: one two three"
    response = chunks[-1].response
    finished = [chunk.part for chunk in after if chunk.type == "part_done"]
    assert response.message.content == [thinking, *finished]
    assert response.text == text

    first, second = posts(signed_in)
    told = [item for item in second["input"] if item not in first["input"]]
    assert [item["type"] for item in told] == ["reasoning"]
    assert told[0]["encrypted_content"]


def test_text_that_was_finished_is_not_asked_for_twice(signed_in: Emulator, driver: Any) -> None:
    """Where only the end was lost, the model hears its whole answer; what it adds comes after it."""
    signed_in.arm("eof_without_terminal", times=1)
    chunks = driver(resume=True, retry=QUICK).chunks(ASKED)

    kept = next(chunk for chunk in chunks if chunk.type == "resumed").parts
    assert [type(part) for part in kept] == [Thinking, Text]
    assert chunks[-1].response.message.content[:2] == kept
    assert posts(signed_in)[1]["input"][-1]["content"][0]["text"] == kept[1].text


def test_a_finished_tool_call_is_never_taken_back(signed_in: Emulator, driver: Any) -> None:
    """The program may have carried it out, so the answer is an error, with what was finished of it."""
    signed_in.arm("eof_without_terminal", times=1)
    request = CompletionRequest(messages="Lisbon?", model="gpt-5.5", tools=[TOOL])

    with pytest.raises(onplan.StreamTruncatedError) as caught:
        driver(resume=True, retry=QUICK).complete(request)
    assert [part.type for part in caught.value.parts][-1] == "tool_call"
    assert len(posts(signed_in)) == 1


def test_it_ends_after_as_many_tries_as_any_other(signed_in: Emulator, driver: Any) -> None:
    """An answer that breaks off every time is an error in the end, with the parts that were kept."""
    signed_in.arm("response_failed_after_text", times=9)
    seen: list[onplan.StreamChunk] = []
    heard: list[str] = []

    with pytest.raises(onplan.ServerError) as caught:
        driver(resume=True, retry=QUICK, on_retry=lambda error, seconds: heard.append(error.code)).chunks(
            ASKED, seen
        )
    assert len(posts(signed_in)) == 3
    assert heard == ["server_error", "server_error"]
    kept = [chunk for chunk in seen if isinstance(chunk, Resumed)][-1].parts
    assert list(caught.value.parts)[: len(kept)] == kept


def test_what_is_no_accident_is_not_asked_again(signed_in: Emulator, driver: Any) -> None:
    """A stream that contradicts itself would do so again: one request, and its error."""
    signed_in.arm("garbage_event", times=1)

    with pytest.raises(onplan.StreamCorruptError):
        driver(resume=True, retry=QUICK).complete(ASKED)
    assert len(posts(signed_in)) == 1
