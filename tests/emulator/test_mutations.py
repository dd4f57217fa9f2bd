"""Whatever is wrong with a body is said in an answer: no mistake in one is an exception here."""

from __future__ import annotations

import json
import random

import pytest

from onplan.emulator import Options
from onplan.emulator.server.app import App
from onplan.emulator.wire.replies import Request
from onplan.emulator.world import World

from .test_clients import recorded

ODD = [None, True, 0, -1, 1.5, "", "x", [], {}, [1], [None], ["x"], {"type": "x"}, {"a": 1}, [[]], 10**30]
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
GRAMMAR = {"syntax": "regex", "definition": "a+"}
NAMED = {"name": "n", "strict": True, "schema": CLOSED}
RESPONSES = {
    "model": "gpt-5.5",
    "stream": True,
    "store": False,
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "json"},
                {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
            ],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "custom_tool_call", "call_id": "d", "name": "s", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "x"},
    ],
    "text": {"format": {"type": "json_schema", **NAMED}},
    "reasoning": {"effort": "low", "summary": "auto"},
    "tools": [
        {"type": "function", **FUNCTION},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", **FUNCTION}]},
        {"type": "custom", "name": "s", "format": {"type": "grammar", **GRAMMAR}},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "include": ["reasoning.encrypted_content"],
}
CHOICE = {"type": "function", "function": {"name": "f"}}
CHAT = {
    "model": "gpt-5.5",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "json"}]},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "d", "type": "custom", "custom": {"name": "s", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x"},
        {"role": "tool", "tool_call_id": "d", "content": "x"},
    ],
    "response_format": {"type": "json_schema", "json_schema": NAMED},
    "tools": [
        {"type": "function", "function": FUNCTION},
        {"type": "custom", "custom": {"name": "s", "format": {"type": "grammar", "grammar": GRAMMAR}}},
    ],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [CHOICE]}},
}
SEEDS = [
    *((row["request"].rpartition(" ")[2], row["body"]) for _, _, row in recorded("body")),
    *[("/v1/responses", RESPONSES), ("/v1/chat/completions", CHAT)] * 12,
]


def places(value, above=()):
    """Where every value within a value is."""
    yield from ([above] if above else [])
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in inside:
        yield from places(inner, (*above, name))


def mutated(body, chance):
    """A copy in which up to three values are gone or others."""
    body = json.loads(json.dumps(body))
    for _ in range(chance.choice((1, 1, 2, 3))):
        found = list(places(body))
        if not found:
            break
        *above, last = chance.choice(found)
        held = body
        for name in above:
            held = held[name]
        if chance.random() < 0.3:
            del held[last]
        else:
            held[last] = json.loads(json.dumps(chance.choice(ODD)))
    return body


@pytest.mark.parametrize("seed", range(4))
def test_every_body_has_an_answer(seed):
    """Of the platform, the backend and the plan's own route, whatever was taken out of it or put into it."""
    chance = random.Random(seed)
    world = World(Options(), "http://127.0.0.1:1")
    app = App(world, lambda scope, *, abruptly: None)
    client = world.registry.register("onplan", world.registry.consent)
    backends = {
        "/backend-api/codex/responses": world.ledger.issue()["access_token"],
        "/plan/v1/responses": world.registry.issue_for(client.client_id)["access_token"],
    }
    statuses = set()
    for _ in range(400):
        path, body = chance.choice(SEEDS)
        body = mutated(body, chance)
        routes = {path: "sk-x", **(backends if path.endswith("/responses") else {})}
        for route, token in routes.items():
            sent = body if token == "sk-x" else {**body, "stream": True, "store": False}
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            _, reply = app.answer(Request("POST", route, "", headers, json.dumps(sent).encode()))
            if reply.stream is not None:
                assert b"".join(reply.stream.writes())
            statuses.add(reply.status)
    assert {200, 400} <= statuses <= {200, 400, 404, 405, 415, 422}
