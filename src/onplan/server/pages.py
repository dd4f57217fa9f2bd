"""What the server answers itself: that it is there, whether it can answer, what is used, its metrics."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from onplan.dialects.openai_errors import failure_reply, refusal
from onplan.dialects.served import ServedReply
from onplan.errors import OnplanError
from onplan.server.keys import OWNER, Keys
from onplan.server.ledger import Ledger
from onplan.server.limits import UNLIMITED, KeyLimits, tokens_today
from onplan.server.metrics import Metrics
from onplan.types import Limits

# Seconds for which what the plan has left is not asked again.
_FRESH = 15.0


class Plan(Protocol):
    """What the server asks about the plan besides answers."""

    async def limits(self) -> Limits:
        """What the plan has left. Raises OnplanError."""

    async def why_not_ready(self) -> OnplanError | None:
        """Why no request can be answered, as far as it is known: nothing is asked. None if all is well."""


class Pages:
    """The pages of the server itself.

    Args:
        plan: asked for what it has left.
        ledger: what each key has used.
        metrics: the metrics.
    """

    def __init__(self, plan: Plan, ledger: Ledger, metrics: Metrics) -> None:
        self._plan, self._ledger, self._metrics = plan, ledger, metrics
        self._asking = asyncio.Lock()
        self._limits: tuple[float, Limits] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def ready(self, *, draining: bool) -> ServedReply:
        """Whether requests can be answered."""
        if draining:
            return refusal(503, "draining", "The server is about to end.", type="server_error")
        error = await self._plan.why_not_ready()
        if error is None:
            return ServedReply.json({"status": "ready"})
        reply = failure_reply(error)
        return ServedReply(503, reply.headers, reply.body)

    def document(self) -> ServedReply:
        """The OpenAPI document."""
        from onplan.server.openapi import openapi_document

        return ServedReply.json(openapi_document())

    async def usage(self, caller: str, keys: Keys) -> ServedReply:
        """What the plan has left, and what the caller has used; for the owner, what each key has used."""
        try:
            limits = msgspec.to_builtins(await self._current_limits())
        except OnplanError as error:
            limits = {"error": error.message}
        names = [OWNER, *keys.limits] if caller == OWNER else [caller]
        used = [self._used(name, keys.limits.get(name, UNLIMITED)) for name in names]
        return ServedReply.json({"object": "usage", "plan": limits, "keys": used})

    def metrics(self) -> ServedReply:
        """The page for Prometheus. What the plan has left is asked meanwhile, for the next time."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        return self._metrics.page()

    async def _refresh(self) -> None:
        with suppress(OnplanError):  # the backend does not say, or cannot be asked now
            await self._current_limits()

    async def _current_limits(self) -> Limits:
        async with self._asking:
            if self._limits is None or time.monotonic() - self._limits[0] > _FRESH:
                limits = await self._plan.limits()
                self._limits = (time.monotonic(), limits)
                self._metrics.plan(limits)
            return self._limits[1]

    def _used(self, name: str, limits: KeyLimits) -> dict[str, Any]:
        used = self._ledger.read(name)
        return {
            "name": name,
            "requests": used.requests,
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "tokens_today": tokens_today(used, time.time()),
            "limits": msgspec.to_builtins(limits),
        }
