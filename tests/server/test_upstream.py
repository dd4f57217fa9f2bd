"""What stands behind the server: who shares a client, who has a budget, and whether there is a sign-in."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.dialects.served import ServedRequest
from onplan.emulator import Call, Emulator, Limit, Turn
from onplan.server.limits import UNLIMITED, KeyLimits
from onplan.server.upstream import Upstream
from onplan.service.options import ServiceOptions
from onplan.service.service import Service
from onplan.stores import open_store

from ..conftest import issued

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


@pytest.mark.parametrize("has_expired", [True, False])
async def test_a_sign_in_that_has_ended_makes_it_not_ready(signed_in: Emulator, has_expired: bool) -> None:
    """From the request on that finds it out; another sign-in makes it ready again."""
    settings = load_settings()
    store = open_store(settings.store)
    signed_in.revoke_refresh_tokens()
    signed_in.expire_access_tokens()
    if has_expired:
        before = store.load()
        assert before
        assert before.record.credentials
        expired = msgspec.structs.replace(before.record.credentials, expires_at=1.0)
        store.save(msgspec.structs.replace(before.record, credentials=expired), before.version)
    async with upstream() as behind:
        service = behind.service_of("", UNLIMITED)
        assert await behind.why_not_ready() is None
        status, body = await ask(service)
        assert (status, body["error"]["code"]) == (403, "not_signed_in")

        asked = len(signed_in.journal())
        error = await behind.why_not_ready()
        assert isinstance(error, onplan.SignInAgainError)
        assert "onplan login" in error.hint
        assert len(signed_in.journal()) == asked

        ended = store.load()
        assert ended
        store.save(issued(signed_in.issue_tokens(), settings.issuer), ended.version)
        assert await behind.why_not_ready() is None
        assert (await ask(service))[0] == 200


async def test_a_token_that_has_expired_and_cannot_be_refreshed_makes_it_not_ready(
    signed_in: Emulator,
) -> None:
    """That is known without a request."""
    settings = load_settings()
    store = open_store(settings.store)
    before = store.load()
    assert before
    assert before.record.credentials
    bare = msgspec.structs.replace(before.record.credentials, expires_at=1.0, refresh_token=None)
    store.save(msgspec.structs.replace(before.record, credentials=bare), before.version)
    async with upstream() as behind:
        behind.warm()
        assert isinstance(await behind.why_not_ready(), onplan.SignInAgainError)
    assert signed_in.journal() == []
