"""Streams as common servers send them, byte for byte in their framing, and what they amount to.

``servers/`` has them: after the servers' documentation and source, shortened, with other words in them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.backends import COMPATIBLE
from onplan.chat.request import prepare
from onplan.flow import decode_json
from onplan.types import CompletionRequest, FinishReason, Message, Text, Thinking, ToolCall

SAID = "Two and two."
FOUR = [Text("Four")]
# file -> its thinking, the rest of its answer, the fields that its thinking is in
SERVERS = {
    "openrouter": (SAID, FOUR, {"reasoning", "reasoning_details"}),
    "deepseek": (SAID, FOUR, {"reasoning_content"}),
    "vllm": (SAID, [("sum", '{"a": 2}')], {"reasoning_content"}),
    "llama.cpp": (SAID, FOUR, {"reasoning_content"}),
    "ollama": (SAID, [("sum", '{"a":2}'), ("sum", '{"a":3}')], {"reasoning"}),
    "lm-studio": (SAID, [("sum", '{"a":2}')], {"reasoning"}),
    "mistral": (SAID, FOUR, set()),
    "azure": ("", FOUR, set()),
    "groq": (SAID, FOUR, {"reasoning"}),
    "gemini": ("", [("sum", '{"a":2}'), ("sum", '{"a":3}')], set()),
}
FOLDER = Path(__file__).with_name("servers")
STREAMS = {server: (FOLDER / f"{server}.sse").read_bytes() for server in SERVERS}


@pytest.mark.parametrize("server", SERVERS)
def test_a_servers_stream_is_understood(listen, server):
    """Thinking, text, calls, the finish reason and the token counts, wherever this server puts them."""
    thinking, expected, _ = SERVERS[server]
    response = listen.bytes(STREAMS[server]).done.response
    kept = [part for part in response.message.content if not isinstance(part, Thinking)]
    calls = response.tool_calls

    assert thinking == "".join(part.text for part in response.message.content if isinstance(part, Thinking))
    assert expected == [(part.name, part.arguments) if isinstance(part, ToolCall) else part for part in kept]
    assert len({call.id for call in calls}) == len(calls)
    assert response.finish_reason is (FinishReason.TOOL_CALLS if calls else FinishReason.STOP)
    counts = response.usage
    assert (counts.prompt_tokens, counts.completion_tokens, counts.total_tokens) == (9, 7, 16)


@pytest.mark.parametrize("server", SERVERS)
def test_an_answer_goes_back_in_the_fields_that_it_came_in(listen, server):
    """The next turn repeats the thinking where this server showed it, and in no field that it lacks."""
    thinking, _, fields = SERVERS[server]
    answer = listen.bytes(STREAMS[server]).done.response.message
    results = [Message.tool(call.id, "5") for call in answer.tool_calls]
    request = CompletionRequest(messages=[Message.user("2+2?"), answer, *results, Message.user("Sure?")])
    sent = decode_json(prepare(request, COMPATIBLE, "http://127.0.0.1/v1", "m").body)["messages"]

    said = sent[1]
    assert fields == said.keys() - {"role", "content", "tool_calls"}
    for name in fields - {"reasoning_details"}:
        assert said[name] == thinking
    if "reasoning_details" in fields:
        (detail,) = said["reasoning_details"]
        assert (detail["text"], detail["signature"]) == (thinking, "c2lnbmF0dXJl")


@settings(max_examples=200, deadline=None)
@given(data=st.sampled_from(sorted(STREAMS.values())), draw=st.data())
def test_any_split_of_a_servers_bytes_gives_the_same_chunks(listen, data, draw):
    """Wherever the network cuts, the chunks are the same."""
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=12))

    assert listen.bytes(data).chunks == listen.bytes(data, cuts).chunks
