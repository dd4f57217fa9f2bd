"""Conversations that name themselves go over a WebSocket to the backend, which is sent only what is new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onplan.emulator import Emulator

from .conftest import Asking, serving

Item = dict[str, Any]
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


def as_sdk(output: list[Item]) -> list[Item]:
    """As openai-python sends output items back: all their fields, also those that are null."""
    return [{**item, "status": item.get("status"), "phase": item.get("phase")} for item in output]


def as_codex(output: list[Item]) -> list[Item]:
    """As Codex CLI does: without most of what it got."""
    kept = ("type", "id", "role", "call_id", "name", "arguments", "encrypted_content", "summary", "phase")
    items = [{name: item[name] for name in kept if name in item} for item in output]
    for item, whole in zip(items, output, strict=True):
        if whole["type"] == "message":
            item["content"] = [{"type": "output_text", "text": part["text"]} for part in whole["content"]]
    return items


def as_ai_sdk(output: list[Item]) -> list[Item]:
    """As the AI SDK does with ``store: false``: messages by their role, no states."""
    items = []
    for item in output:
        if item["type"] == "message":
            content = [{"type": "output_text", "text": part["text"]} for part in item["content"]]
            items.append({"role": "assistant", "content": content, "id": item["id"]})
        elif item["type"] == "reasoning":
            items.append({name: item[name] for name in ("type", "id", "encrypted_content", "summary")})
        else:
            items.append({name: item[name] for name in ("type", "call_id", "name", "arguments", "id")})
    return items


@pytest.mark.parametrize("back", [as_sdk, as_codex, as_ai_sdk])
@pytest.mark.parametrize("named", [{"prompt_cache_key": "talk"}, {"headers": {"session-id": "talk"}}])
def test_the_second_turn_carries_only_what_is_new(
    signed_in: Emulator, back: Callable[[list[Item]], list[Item]], named: Any
) -> None:
    """However the client repeats the answer: a tool's result, and then a message, are all that is sent."""

    async def use(asking: Asking) -> None:
        history: list[Item] = [{"role": "user", "content": "Weather?"}]
        for turn in range(3):
            answer = await asking.create(
                input=history, tools=[TOOL], store=False, instructions="Be brief", **named
            )
            output = answer.json["output"]
            history += back(output)
            calls = [item["call_id"] for item in output if item["type"] == "function_call"]
            history += [{"type": "function_call_output", "call_id": call, "output": "Rain"} for call in calls]
            if not calls:
                history.append({"role": "user", "content": f"And then? {turn}"})

    serving(use)
    rows = [row["body"] for row in signed_in.journal() if row["path"].endswith("/responses") and row["body"]]
    kinds = [[item["type"] for item in row["input"]] for row in rows]
    assert kinds == [["message", "message"], ["function_call_output"], ["message"]]
    assert [bool(row.get("previous_response_id")) for row in rows] == [False, True, True]


def test_what_codex_tells_of_each_turn_does_not_hinder_it(signed_in: Emulator) -> None:
    """Its metadata differs from turn to turn, and goes on with each."""

    async def use(asking: Asking) -> None:
        codex = {"originator": "codex_exec", "session-id": "talk", "thread-id": "talk"}
        history: list[Item] = [{"type": "message", "role": "user", "content": "One"}]
        for turn in ("1", "2"):
            metadata = {"turn_id": turn}
            answer = await asking.create(input=history, store=False, headers=codex, client_metadata=metadata)
            history += [
                *as_codex(answer.json["output"]),
                {"type": "message", "role": "user", "content": "Two"},
            ]

    serving(use)
    rows = [row["body"] for row in signed_in.journal() if row["path"].endswith("/responses") and row["body"]]
    assert [row["client_metadata"]["turn_id"] for row in rows] == ["1", "2"]
    assert len(rows[1]["input"]) == 1


def test_single_questions_share_a_pooled_connection(signed_in: Emulator) -> None:
    """No WebSocket is opened for a request of which no other is known to follow."""

    async def use(asking: Asking) -> None:
        for _ in range(3):
            await asking.create(input="One")

    serving(use)
    rows = [row for row in signed_in.journal() if row["path"].endswith("/responses")]
    assert [row["method"] for row in rows] == ["POST"] * 3
    assert all(row.get("transport") != "websocket" for row in rows)


def test_two_callers_with_one_name_are_kept_apart(signed_in: Emulator) -> None:
    """Neither a prompt's cache nor a connection is shared, whatever they call their conversations."""

    async def use(asking: Asking) -> None:
        for caller in ("alice", "bob"):
            await asking.create(input="One", prompt_cache_key="talk", caller=caller)

    serving(use)
    rows = [row for row in signed_in.journal() if row["path"].endswith("/responses") and row["body"]]
    names = {row["body"]["prompt_cache_key"] for row in rows}
    assert len(names) == 2
    assert "talk" not in names
