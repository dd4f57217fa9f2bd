"""Chat Completions over the wire: what a stream says is what the program hears, and what goes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import onplan
from onplan import CompletionRequest, FinishReason, Message, RetryPolicy, ToolDefinition

from ..conftest import over_http
from .conftest import Network
from .exact import USAGE, Answer, Exact, chunk, refused, said

THRICE = RetryPolicy(attempts=3, wait_initial=0.001, wait_max=0.01)
TOOLS = [ToolDefinition("f"), ToolDefinition("g")]


@pytest.fixture
def serve(driver: Any, network: Network) -> Callable[..., Any]:
    """A way of asking, and the server that answers with these, one after the other."""

    def serve(*answers: Answer, **options: Any) -> tuple[Any, Exact]:
        left = [*answers]
        server = Exact(lambda body: left.pop(0) if len(left) > 1 else left[0])
        server.port = network.serve(server.handle)
        return driver(backend="openai", base_url=server.url, api_key="k", retry=THRICE, **options), server

    return serve


def call(index: int, id_: str, name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}, **more}


@over_http
def test_a_failure_in_a_choice_is_one_after_what_was_seen(serve: Any) -> None:
    """The text was handed out, the error says what happened, and nothing is asked again."""
    end = chunk({}, "stop")
    end["choices"][0]["error"] = {"code": 502, "message": "upstream died"}
    client, server = serve(said(chunk({"content": "half"}), end, "[DONE]"))
    seen: list[onplan.StreamChunk] = []
    with pytest.raises(onplan.ServerError, match="upstream died"):
        client.chunks(CompletionRequest(messages="hi", model="m"), seen)

    assert ["half"] == [one.text for one in seen if one.type == "text"]
    assert len(server.bodies) == 1


@over_http
@pytest.mark.parametrize("word", ["PROHIBITED_CONTENT", "refusal", "model_context_window_exceeded"])
def test_what_would_end_the_same_way_is_asked_once(serve: Any, word: str) -> None:
    """A refusal, or a full context, of which nothing was said, is an answer and no failure to retry."""
    client, server = serve(said(chunk({"content": ""}), chunk({}, word), USAGE, "[DONE]"))
    response = client.complete(CompletionRequest(messages="hi", model="m"))

    assert response.finish_reason in (FinishReason.CONTENT_FILTER, FinishReason.LENGTH)
    assert word == response.native_finish_reason
    assert len(server.bodies) == 1


@over_http
def test_a_call_that_was_sent_twice_is_answered_once_and_signed(serve: Any) -> None:
    """One call reaches the program, and goes back with its thought signature and one result."""
    signed = {"extra_content": {"google": {"thought_signature": "U0lH"}}}
    piece = chunk({"tool_calls": [call(0, "a", "f", '{"p":1}', **signed)]}, "tool_calls")
    client, server = serve(said(piece, piece, "[DONE]"), said(chunk({"content": "ok"}, "stop"), "[DONE]"))
    messages = [Message.user("hi")]
    answer = client.complete(CompletionRequest(messages=messages, model="m", tools=TOOLS))
    results = [Message.tool(called.id, "42") for called in answer.tool_calls]
    client.complete(CompletionRequest(messages=[*messages, answer.message, *results], model="m", tools=TOOLS))

    _, assistant, result = server.bodies[1]["messages"]
    (sent,) = assistant["tool_calls"]
    assert signed == {name: sent[name] for name in signed}
    assert {"role": "tool", "tool_call_id": "a", "content": "42"} == result


@over_http
def test_an_empty_answer_that_was_billed_is_an_error(serve: Any) -> None:
    """What was produced and not sent is missing, and nothing in place of it is made up."""
    client, _ = serve(said(chunk({"content": ""}), chunk({}, "stop"), USAGE, "[DONE]"))
    with pytest.raises(onplan.StreamCorruptError, match="none of it was sent"):
        client.complete(CompletionRequest(messages="hi", model="m"))


WAITS = {
    "a moment": {"code": 429, "message": "Slow", "retry_after": "2999-01-01T00:00:00Z"},
    "the provider's headers": {"code": 429, "metadata": {"headers": {"Retry-After": "7000"}}},
    "its headers, as a number": {"code": 429, "metadata": {"headers": {"Retry-After": 7000}}},
    "when its limit resets": {"code": 429, "metadata": {"headers": {"X-RateLimit-Reset": "32472144000"}}},
}
PLACES = {
    "in place of a chunk": lambda error: said({"error": error}),
    "in a choice": lambda error: said({"choices": [{"index": 0, "delta": {}, "error": error}]}),
    "in a list": lambda error: said([{"error": error}]),
    "in place of a stream": lambda error: refused({"error": error}, status=200),
}


@over_http
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("error", WAITS.values(), ids=WAITS)
def test_a_wait_that_a_stream_tells_of_is_kept(serve: Any, place: Any, error: dict[str, Any]) -> None:
    """However it is told, it is the wait of the same failure outside a stream, and too long to ask again."""
    client, server = serve(place(error))
    with pytest.raises(onplan.RateLimitError) as caught:
        client.complete(CompletionRequest(messages="hi", model="m"))

    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 7000
    assert len(server.bodies) == 1
