"""A service in this process, asked by several callers; its client speaks over sockets to the emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

import onplan
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.service import Service, ServiceOptions
from onplan.service.response_stores import ResponseStore

from ..openapi import check_answer

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """A whole reply. ``events``: of a stream."""

    reply: ServedReply
    body: bytes

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def headers(self) -> dict[str, str]:
        return self.reply.headers

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        assert error.keys() >= {"message", "type", "param", "code"}
        return error

    @property
    def events(self) -> list[dict[str, Any]]:
        return events_in(self.body)


def events_in(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream of the Responses API, whose names must be their types."""
    assert body == b"" or body.endswith(b"\n\n"), "the stream ends inside an event"
    found = []
    for frame in body.split(b"\n\n")[:-1]:
        name, data = frame.split(b"\n", 1)
        event = msgspec.json.decode(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    return found


class Asking:
    """Asks one service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = b"",
        headers: Mapping[str, str] | None = None,
        *,
        caller: str = "",
    ) -> Answer:
        path, _, query = path.partition("?")
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        reply = await self.service.answer(ServedRequest(method, path, headers or {}, data, query, caller))
        answer = (
            reply.body if isinstance(reply.body, bytes) else b"".join([piece async for piece in reply.body])
        )
        check_answer(method, path, reply.status, reply.headers, answer)
        return Answer(reply, answer)

    async def create(self, *, caller: str = "", headers: Any = None, **body: Any) -> Answer:
        """``POST /v1/responses``; the model is named unless it is given."""
        return await self.ask(
            "POST", "/v1/responses", {"model": "gpt-5.5", **body}, headers=headers, caller=caller
        )


def serving(
    use: Callable[[Asking], Awaitable[T]],
    options: ServiceOptions | None = None,
    store: ResponseStore | None = None,
    **client: Any,
) -> T:
    """What ``use`` returns, which may ask a service for as long as it runs."""

    async def main() -> T:
        async with onplan.AsyncClient(**client) as asked:
            return await use(Asking(Service(asked, options, store)))

    return asyncio.run(main())
