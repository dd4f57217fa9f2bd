"""A service, asked as its server asks it, but without a socket in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import onplan
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.service import Service, ServiceOptions

from ..openapi import check_answer


class Answer:
    """What came back: the status, the headers and the body, whose events are read."""

    def __init__(self, reply: ServedReply, body: bytes) -> None:
        self.status, self.headers, self.body = reply.status, reply.headers, body
        self.usage, self.model = reply.usage, reply.model

    @property
    def json(self) -> Any:
        """The body, which is one JSON value."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of each event, in order; that of the end mark is a string."""
        assert self.headers["content-type"].startswith("text/event-stream")
        assert self.body.endswith(b"\n\n")
        events = self.body.removesuffix(b"\n\n").split(b"\n\n")
        data = [event.removeprefix(b"data: ") for event in events]
        return [piece.decode() if piece == b"[DONE]" else json.loads(piece) for piece in data]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        """The deltas of the chunks, without the empty one at the end."""
        chunks = [event for event in self.events if event != "[DONE]" and "choices" in event]
        found = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        return [delta for delta in found if delta]

    def joined(self, field: str) -> str:
        """A text in pieces of the deltas."""
        return "".join(delta.get(field) or "" for delta in self.deltas)

    @property
    def finish_reasons(self) -> list[str]:
        """All of them; there is to be one."""
        choices = [
            choice for event in self.events if event != "[DONE]" for choice in event.get("choices", ())
        ]
        return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


class Asking:
    """Asks one service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def chat(
        self,
        body: Any,
        headers: Mapping[str, str] | None = None,
        caller: str = "",
        path: str = "/v1/chat/completions",
    ) -> Answer:
        """The answer to a request of Chat Completions, read to its end."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = await self.service.answer(ServedRequest("POST", path, headers or {}, data, caller=caller))
        answer = (
            reply.body if isinstance(reply.body, bytes) else b"".join([piece async for piece in reply.body])
        )
        check_answer("POST", path, reply.status, reply.headers, answer)
        return Answer(reply, answer)


def asked(*bodies: Any, options: ServiceOptions | None = None, **client: Any) -> list[Answer]:
    """The answers of one service to some requests, one after the other."""

    async def ask() -> list[Answer]:
        async with onplan.AsyncClient(**client) as asking:
            service = Asking(Service(asking, options))
            return [await service.chat(body) for body in bodies]

    return asyncio.run(ask())
