"""What stands behind the server: who shares a client, who has a budget, and whether there is a sign-in."""

from __future__ import annotations

import json
from typing import Any

import onplan
from onplan.config.settings import load_settings
from onplan.dialects.served import ServedRequest
from onplan.emulator import Call, Emulator, Limit, Turn
from onplan.server.limits import UNLIMITED, KeyLimits
from onplan.server.upstream import Upstream
from onplan.service.options import ServiceOptions
from onplan.service.service import Service
from onplan.stores import open_store

FIFTH, SLOW = KeyLimits(window_share=0.2), KeyLimits(requests_per_minute=5)


def upstream() -> Upstream:
    """That of the default profile."""
    settings = load_settings()
    return Upstream(settings, open_store(settings.store, settings.backend), ServiceOptions(), {})


async def ask(service: Service, **fields: Any) -> tuple[int, Any]:
    """One short answer: its status and body."""
    body = json.dumps({"model": "gpt-5.5", "input": "hi", **fields}).encode()
    reply = await service.answer(ServedRequest("POST", "/v1/responses", {}, body, caller="editor"))
    assert isinstance(reply.body, bytes)
    return reply.status, json.loads(reply.body)


async def test_a_share_of_the_windows_is_kept_for_its_key_alone(signed_in: Emulator) -> None:
    """A key with a fifth of a window is refused when that is used; the others go on, and share a client."""
    signed_in.set_limits(Limit(300, tokens=2000))
    async with upstream() as behind:
        shared, own = behind.service_of("", UNLIMITED), behind.service_of("editor:1", FIFTH)
        assert behind.service_of("other:1", SLOW) is shared
        assert behind.service_of("editor:1", FIFTH) is own
        status, asked = 200, 0
        while status == 200:
            status, body = await ask(own)
            asked += 1
            assert asked < 100

        assert (status, body["error"]["code"]) == (429, "usage_limit_reached")
        assert asked > 2
        assert (await ask(shared))[0] == 200
        behind.reload(ServiceOptions())
        assert (await ask(behind.service_of("editor:1", FIFTH)))[0] == 429
        assert (await ask(behind.service_of("editor:2", FIFTH)))[0] == 200


async def test_other_options_are_taken_over_while_it_runs(signed_in: Emulator) -> None:
    """New requests are answered by them."""
    async with upstream() as behind:
        assert (await ask(behind.service_of("", UNLIMITED), temperature=0.5))[0] == 200
        behind.reload(ServiceOptions(strict=True))
        assert (await ask(behind.service_of("", UNLIMITED), temperature=0.5))[0] == 400


async def test_what_was_thought_before_a_tool_outlives_a_reload(signed_in: Emulator) -> None:
    """The client of Chat Completions that brings the tool's result cannot send it back."""
    signed_in.play(Turn(thinking="Hm.", tool_calls=[Call("f", {})]), Turn(text="Done."))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    said: list[Any] = [{"role": "user", "content": "?"}]
    async with upstream() as behind:
        for _ in range(2):
            body = json.dumps({"model": "gpt-5.5", "messages": said, "tools": [tool]}).encode()
            service = behind.service_of("", UNLIMITED)
            reply = await service.answer(ServedRequest("POST", "/v1/chat/completions", {}, body))
            assert isinstance(reply.body, bytes)
            message = json.loads(reply.body)["choices"][0]["message"]
            calls = message.get("tool_calls") or []
            said.append({"role": "assistant", "content": None, "tool_calls": calls})
            said += [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in calls]
            behind.reload(ServiceOptions())
    sent = [row["body"] for row in signed_in.journal() if "input" in (row["body"] or {})]
    assert "reasoning" in [item["type"] for item in sent[-1]["input"]]


async def test_readiness_is_read_from_the_store_alone(signed_in: Emulator) -> None:
    """An access token that has expired is no reason, and is not refreshed for the question."""
    signed_in.expire_access_tokens()
    async with upstream() as behind:
        assert await behind.why_not_ready() is None
        assert signed_in.journal() == []
        settings = load_settings()
        store = open_store(settings.store, settings.backend)
        asked = len(signed_in.journal())
        store.delete()
        error = await behind.why_not_ready()
        assert isinstance(error, onplan.NotSignedInError)
        assert len(signed_in.journal()) == asked
