"""Answers ``/v1/responses``: a turn of the client whose answer is handed on as it comes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onplan.async_client import AsyncClient, Exchange
from onplan.async_client_parts import context_of
from onplan.dialects.openai_responses.call import (
    Destination,
    Relayed,
    conversation_of,
    relay_call,
    session_id_for,
    turn_headers,
)
from onplan.dialects.openai_responses.request import ResponsesRequest, read_request
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.responses.items import Item
from onplan.service.options import ServiceOptions
from onplan.service.pieces import TurnPieces, begun
from onplan.turn.context import Context
from onplan.turn.relaying import relay


class Responses:
    """Answers requests of the Responses API.

    Args:
        client: asks the models.
        options: of the service.
    """

    def __init__(self, client: AsyncClient, options: ServiceOptions) -> None:
        self._client, self._options = client, options

    async def create(self, request: ServedRequest) -> ServedReply:
        """``POST /v1/responses``, streaming or not."""
        context = context_of(self._client)
        asked = read_request(request.body, context.backend, strict=self._options.strict)
        exchange, relayed = self._begin(asked, request, context)
        first = await begun(exchange)
        headers = _headers(relayed, asked)
        pieces = TurnPieces(
            exchange,
            first,
            b"".join,
            lambda error: _stream(relayed).failure_events(error),
            lambda: None,
        )
        if asked.stream:
            return ServedReply.events(pieces, headers)
        async for _ in pieces:
            pass
        if pieces.error is not None:
            raise pieces.error
        return ServedReply.json(_stream(relayed).final, 200, headers)

    def _begin(
        self, asked: ResponsesRequest, request: ServedRequest, context: Context
    ) -> tuple[Exchange[Any], Relayed]:
        """The turn that answers ``asked``, not begun yet."""
        items: list[Item] = list(asked.items)
        conversation = conversation_of(asked, request.headers)
        session_id = session_id_for(request.caller, conversation, items)
        relayed = Relayed()
        codex = turn_headers(request.headers)

        def build(model: str) -> Any:
            where = Destination(context.backend, context.base_url, model, session_id)
            return relay_call(asked, items, where, relayed, headers=codex)

        model = self._options.aliases.get(asked.model or "", asked.model)
        # A single question goes over a pooled connection; a WebSocket is worth opening for a conversation.
        if conversation is None:
            context = replace(context, fallback=None)
        flow = relay(build, model, replace(context, resume=False))
        return Exchange(self._client, flow), relayed


def _stream(relayed: Relayed) -> Any:
    if relayed.stream is None:
        raise RuntimeError("an answer has a stream")
    return relayed.stream


def _headers(relayed: Relayed, asked: ResponsesRequest) -> dict[str, str]:
    """What the reply says beside its body: what became of parameters, and what the plan has left."""
    stream = _stream(relayed)
    headers = {name: value for name, value in stream.limit_headers.items() if name.startswith("x-codex-")}
    if ignored := stream.reports.ignored:
        headers["x-onplan-ignored-parameters"] = ", ".join(ignored)
    if emulated := stream.reports.emulated:
        headers["x-onplan-emulated-parameters"] = ", ".join(emulated)
    return headers
