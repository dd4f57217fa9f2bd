"""aimock, a mock of many services, as upstream: its Chat Completions and its Responses are not ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

import onplan
from onplan import CompletionRequest, FinishReason, Message, RetryPolicy, ToolDefinition

AIMOCK = os.environ.get("AIMOCK")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.stranger("aimock, {client}"),
    pytest.mark.skipif(not AIMOCK, reason="AIMOCK names no aimock; run `make interop`"),
]

COUNT = ToolDefinition(
    name="count",
    description="How many there are.",
    parameters={
        "type": "object",
        "properties": {"species": {"type": "string"}},
        "required": ["species"],
        "additionalProperties": False,
    },
)
# What it answers to what; the first that fits.
FIXTURES = [
    {
        "match": {"userMessage": "limit"},
        "response": {
            "error": {"message": "Slow down.", "type": "rate_limit_error", "code": "rate_limit_exceeded"},
            "status": 429,
        },
    },
    {
        "match": {"userMessage": "how many", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "count", "arguments": {"species": "robin"}}]},
    },
    {
        "match": {"userMessage": "how many", "hasToolResult": True},
        "response": {"content": "There are seven."},
    },
    {"match": {"userMessage": "a bird"}, "response": {"content": json.dumps({"name": "robin"})}},
    {
        "match": {"userMessage": "think"},
        "response": {"content": "A robin.", "reasoning": "Which birds are there?"},
    },
    {"match": {"userMessage": "hello"}, "response": {"content": "Hello! How can I help you today?"}},
]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address; it says where it listens."""
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    program = [str(AIMOCK), "--port", "0", "--chunk-size", "5", "--strict", "--fixtures", str(fixtures)]
    with subprocess.Popen(
        program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            said = iter(running.stdout or ())
            yield next(found[0] for line in said if (found := re.search(r"http://[\d.:]+", line)))
        finally:
            running.kill()


@pytest.fixture(params=["chat", "responses"])
def client(upstream: str, request: pytest.FixtureRequest) -> Iterator[onplan.Client]:
    """Ours, of the platform's backend, on one of its two wires."""
    with onplan.Client(
        backend="openai",
        base_url=f"{upstream}/v1",
        api_key="sk-mock",
        api=request.param,
        retry=RetryPolicy(attempts=1),
    ) as made:
        yield made


def test_completes(client: onplan.Client) -> None:
    """Text, model and the reason why it ends."""
    answer = client.complete(CompletionRequest(messages="hello", model="gpt-5.5"))

    assert (answer.text, answer.model) == ("Hello! How can I help you today?", "gpt-5.5")
    assert answer.finish_reason is FinishReason.STOP


def test_streams(client: onplan.Client) -> None:
    """Several deltas, which are the whole when joined."""
    chunks = list(client.complete_stream(CompletionRequest(messages="hello", model="gpt-5.5")))

    deltas = [chunk.text for chunk in chunks if isinstance(chunk, onplan.TextDelta)]
    assert len(deltas) > 1
    assert isinstance(chunks[-1], onplan.Done)
    assert "".join(deltas) == chunks[-1].response.text == "Hello! How can I help you today?"


def test_calls_a_tool(client: onplan.Client) -> None:
    """The call is whole, its result goes back, and the answer comes."""
    messages = [Message.system("Be brief."), Message.user("how many?")]
    first = client.complete(CompletionRequest(messages=messages, model="gpt-5.5", tools=[COUNT]))
    (call,) = first.tool_calls
    messages += [first.message, Message("tool", [onplan.ToolResult(call.id, "seven")])]
    second = client.complete(CompletionRequest(messages=messages, model="gpt-5.5", tools=[COUNT]))

    assert first.finish_reason is FinishReason.TOOL_CALLS
    assert (call.name, call.parse_arguments()) == ("count", {"species": "robin"})
    assert second.text == "There are seven."


def test_answers_by_a_schema(client: onplan.Client) -> None:
    """A response format is sent in the words of the api, and what comes is read."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    request = CompletionRequest(messages="a bird?", model="gpt-5.5", response_format=schema)

    assert json.loads(client.complete(request).text) == {"name": "robin"}


def test_thinks(client: onplan.Client) -> None:
    """What it thought is told apart from what it says."""
    answer = client.complete(CompletionRequest(messages="think", model="gpt-5.5"))

    thoughts = [part.text for part in answer.message.content if isinstance(part, onplan.Thinking)]
    assert (thoughts, answer.text) == (["Which birds are there?"], "A robin.")


def test_refuses_for_a_while(client: onplan.Client) -> None:
    """A 429 is a rate limit, with its words."""
    with pytest.raises(onplan.RateLimitError, match=r"Slow down\."):
        client.complete(CompletionRequest(messages="limit", model="gpt-5.5"))


def test_knows_no_answer(client: onplan.Client) -> None:
    """What no fixture fits is refused, and that is no answer."""
    with pytest.raises(onplan.OnplanError, match="fixture"):
        client.complete(CompletionRequest(messages="something else", model="gpt-5.5"))


def test_lists_models(client: onplan.Client) -> None:
    """All of them."""
    assert "gpt-4o" in [model.id for model in client.list_models()]
