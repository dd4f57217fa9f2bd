"""What other people's clients were recorded to send is accepted, over every wire that they spoke."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

RECORDINGS = Path(__file__).parent.parent / "recordings" / "clients"
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
# What models that reason refuse, as they should: asked of one that does not.
SAMPLING = {"stop", "max_tokens"}
# Cline sends both to compatible servers. Models of the platform take one of them: as they reason, or do not.
FOR_OTHER_SERVERS = {"max_tokens", "reasoning_effort"}
# The path of the platform's API -> the end of what was recorded.
PATHS = ("responses", "chat/completions")


def whole(value):
    """With a schema in the place of each that was shortened."""
    if isinstance(value, dict):
        return {name: whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return CLOSED if isinstance(value, str) and value.startswith("<schema") else value


def recorded(kind):
    for path in sorted(RECORDINGS.glob("*.json")):
        for number, row in enumerate(json.loads(path.read_text())):
            if isinstance(row.get(kind), dict):
                yield path.stem, number, {**row, kind: whole(row[kind])}


def posted():
    for name, number, row in recorded("body"):
        for path in PATHS:
            if row["request"].endswith(f"/{path}") and not FOR_OTHER_SERVERS <= row["body"].keys():
                yield pytest.param(path, row["body"], id=f"{name}-{number}")


@pytest.mark.parametrize(("path", "body"), list(posted()))
def test_every_recorded_request_is_accepted_by_the_platform(client, path, body):
    """With a model that exists here; `stop` and `max_tokens` are for models that do not reason."""
    model = "gpt-4.1" if SAMPLING & {name for name in body if body[name] is not None} else "gpt-5.5"
    reply = client.http.post(
        f"{client.emulator.urls['openai_base_url']}/{path}",
        json={**body, "model": model},
        headers={"authorization": "Bearer sk-x"},
    )
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("gpt-6-sol", 200),
        ("gpt-6-luna", 200),
        ("gpt-6.1-terra", 200),
        ("gpt-6-astra", 400),
        ("gpt-6.1-sol", 400),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_some_models_need_not_reason(client, model, status, path):
    """At the platform, though no catalogue says which; then no token is spent on it."""
    said = [{"role": "user", "content": "hi"}]
    asked = {
        "responses": {"input": said, "reasoning": {"effort": "none"}},
        "chat/completions": {"messages": said, "reasoning_effort": "none"},
    }
    reply = client.http.post(
        f"{client.emulator.urls['openai_base_url']}/{path}",
        json={"model": model, **asked[path]},
        headers={"authorization": "Bearer sk-x"},
    )
    assert reply.status_code == status, reply.text
    if status == 200:
        usage = reply.json()["usage"]
        details = usage.get("output_tokens_details") or usage["completion_tokens_details"]
        assert details["reasoning_tokens"] == 0


NEWEST = [row for name, _, row in recorded("body") if name.startswith("codex-cli")]


@pytest.mark.parametrize("row", NEWEST, ids=range(len(NEWEST)))
def test_the_newest_official_clients_requests_are_accepted(client, row):
    """By the Codex backend, its own models and all."""
    sent = {name: row["headers"][name] for name in ("session-id", "originator", "user-agent")}
    reply = client.turn(headers=client.headers(**sent), **row["body"])
    assert reply.status_code == 200, reply.text
    assert "event: response.completed\n" in reply.text


def test_the_newest_official_clients_messages_are_accepted(client):
    """A prewarm, then a turn that names the response to it."""
    frames = [
        row["websocket_frame"] for name, _, row in recorded("websocket_frame") if name.startswith("codex-cli")
    ]
    assert [frame.get("generate") for frame in frames] == [False, None]
    with client.websocket() as opened:
        last = opened.completed(*frames[0].pop("input"), **frames[0])
        last = opened.completed(*frames[1].pop("input"), **{**frames[1], "previous_response_id": last["id"]})
    assert last["status"] == "completed"
