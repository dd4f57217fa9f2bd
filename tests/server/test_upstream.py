"""What stands behind the server: who shares a client, who has a budget, and whether there is a sign-in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onplan
from onplan.config.settings import load_settings
from onplan.dialects.served import ServedRequest
from onplan.emulator import Emulator, Limit
from onplan.server.limits import KeyLimits
from onplan.server.upstream import Upstream
from onplan.service.options import ServiceOptions
from onplan.service.service import Service
from onplan.stores import open_store

LIMITS: Mapping[str, KeyLimits] = {
    "editor": KeyLimits(window_share=0.2),
    "other": KeyLimits(requests_per_minute=5),
}


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
        shared, own = (behind.service_of(name, LIMITS) for name in ("server", "editor"))
        assert behind.service_of("other", LIMITS) is shared
        assert behind.service_of("editor", LIMITS) is own
        status, asked = 200, 0
        while status == 200:
            status, body = await ask(own)
            asked += 1
            assert asked < 100

        assert (status, body["error"]["code"]) == (429, "usage_limit_reached")
        assert asked > 2
        assert (await ask(shared))[0] == 200
        behind.reload(ServiceOptions())
        assert (await ask(behind.service_of("editor", LIMITS)))[0] == 429


async def test_other_options_are_taken_over_while_it_runs(signed_in: Emulator) -> None:
    """New requests are answered by them."""
    async with upstream() as behind:
        assert (await ask(behind.service_of("server", {}), temperature=0.5))[0] == 200
        behind.reload(ServiceOptions(strict=True))
        assert (await ask(behind.service_of("server", {}), temperature=0.5))[0] == 400


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
