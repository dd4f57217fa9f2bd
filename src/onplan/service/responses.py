"""Answers ``/v1/responses``: a turn of the client whose answer is handed on as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from onplan.async_client import AsyncClient, Exchange
from onplan.async_client_parts import context_of
from onplan.dialects.openai_errors import ParameterError, failure_reply
from onplan.dialects.openai_responses.call import (
    Destination,
    RelayCall,
    Relayed,
    conversation_of,
    relay_call,
    session_id_for,
    stored_response,
    turn_headers,
)
from onplan.dialects.openai_responses.relay import RelayStream
from onplan.dialects.openai_responses.request import ResponsesRequest, read_request
from onplan.dialects.openai_responses.stored import Before
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.errors import OnplanError
from onplan.service.bodies import read_body
from onplan.service.contexts import TurnContexts
from onplan.service.observed import Observed
from onplan.service.options import ServiceOptions
from onplan.service.pieces import TurnPieces, begun, without_traceback
from onplan.service.stored_responses import StoredResponses
from onplan.turn.models import known_model
from onplan.turn.relaying import prepare_relay, relay


class Responses:
    """Answers requests of the Responses API.

    Args:
        client: asks the models.
        options: of the service.
        stored: the responses that are kept.
    """

    def __init__(self, client: AsyncClient, options: ServiceOptions, stored: StoredResponses) -> None:
        self._client, self._options, self.stored = client, options, stored
        self._contexts = TurnContexts(client)

    async def create(self, request: ServedRequest) -> ServedReply:
        """``POST /v1/responses``, streaming or not. Raises OnplanError if nothing could be asked."""
        observed = Observed()
        try:
            asked = await self.read(request.body)
            before = await self.stored.before(asked, request.caller)
            exchange, relayed = self.begin(asked, before, request, observed)
            first = await begun(exchange)
            stored = self.stored if asked.store else None
            pieces = _RelayedPieces(exchange, first, relayed, stored, request.caller)
            return await (_streamed if asked.stream else _whole)(pieces)
        except RecursionError:
            raise ParameterError("The body is nested too deeply.", code="invalid_json") from None
        except OnplanError as error:
            reply = failure_reply(without_traceback(error))
            reply.headers |= observed.limit_headers
            return reply

    async def read(self, body: bytes) -> ResponsesRequest:
        """What a client asks. Raises ParameterError."""
        backend = context_of(self._client).backend
        if backend.api != "responses":
            raise ParameterError(
                f"{backend.name} does not speak the Responses API: use /v1/chat/completions.",
                code="unknown_url",
                status=404,
            )
        read = partial(read_request, backend=backend, strict=self._options.strict)
        return await read_body(read, body)

    def begin(
        self,
        asked: ResponsesRequest,
        before: Before,
        request: ServedRequest,
        observed: Observed,
        *,
        framed: bool = True,
    ) -> tuple[Exchange[Any], Relayed]:
        """The turn that answers ``asked``, not begun yet, and what will be known of its answer.

        Args:
            asked: what the client asks.
            before: what it goes on from.
            request: whose headers name the conversation.
            observed: gets what the turn's steps come to.
            framed: whether the client reads server-sent events; if not, it speaks WebSocket.
        """
        relayed, name = Relayed(), conversation_of(asked, request.headers)
        is_conversation = not framed or name is not None or before.previous is not None
        build = self._builder(asked, before, request, relayed, name, framed=framed)
        flow = relay(build, self._model(asked), self._contexts.of(is_conversation=is_conversation))
        return Exchange(self._client, observed.follow(flow)), relayed

    async def prewarm(self, asked: ResponsesRequest, before: Before, request: ServedRequest) -> None:
        """Let the backend read a conversation before it is asked to answer. Raises an OnplanError."""
        context = context_of(self._client)
        if context.fallback is None:
            return
        name = conversation_of(asked, request.headers)
        build = self._builder(asked, before, request, Relayed(), name, framed=False)
        async with Exchange(self._client, prepare_relay(build, self._model(asked), context)) as exchange:
            while await exchange.advance() is not None:
                pass

    def _model(self, asked: ResponsesRequest) -> str | None:
        return self._options.aliases.get(asked.model or "", asked.model)

    def _builder(
        self,
        asked: ResponsesRequest,
        before: Before,
        request: ServedRequest,
        relayed: Relayed,
        conversation: str | None,
        *,
        framed: bool,
    ) -> Callable[[str], RelayCall]:
        context = context_of(self._client)
        session_id = session_id_for(request.caller, conversation, asked, before)
        codex = turn_headers(request.headers)

        def build(model: str) -> RelayCall:
            known = known_model(model, context)
            to = Destination(context.backend, context.base_url, model, session_id, known)
            return relay_call(asked, before, to, relayed, framed=framed, headers=codex)

        return build


async def _streamed(pieces: _RelayedPieces) -> ServedReply:
    stream = pieces.stream
    reply = ServedReply.events(pieces, stream.headers())
    reply.model, pieces.reply = stream.model, reply
    return reply


async def _whole(pieces: _RelayedPieces) -> ServedReply:
    async for _ in pieces:
        pass
    if pieces.error is not None:
        raise pieces.error
    stream = pieces.stream
    reply = ServedReply.json(stream.final, 200, stream.headers())
    reply.model, reply.usage = stream.model, stream.usage
    return reply


class _RelayedPieces(TurnPieces):
    """The pieces of a relayed answer. It is kept before its client sees the end, and can go on from it.

    Args:
        exchange: carries the turn out.
        first: what it has handed out already.
        relayed: what is known of the answer.
        stored: keeps it; None if it is not to be kept.
        caller: who asks.
    """

    def __init__(
        self,
        exchange: Exchange[Any],
        first: Sequence[Any],
        relayed: Relayed,
        stored: StoredResponses | None,
        caller: str,
    ) -> None:
        super().__init__(exchange, first)
        self._relayed, self._stored, self._caller = relayed, stored, caller

    @property
    def stream(self) -> RelayStream:
        """The stream of the attempt that succeeds."""
        if self._relayed.stream is None:
            raise RuntimeError("an answer has a stream")
        return self._relayed.stream

    async def _next(self) -> bytes | None:
        piece = await super()._next()
        stream = self.stream
        if stream.final is not None:
            if self.reply is not None:
                self.reply.usage = stream.usage
            if self._stored is not None:
                stored, self._stored = self._stored, None
                if kept := stored_response(self._relayed):
                    await stored.keep(kept, self._caller)
        return piece

    def _encoded(self, chunks: Sequence[bytes]) -> bytes:
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _failed(self, error: OnplanError) -> bytes:
        return self.stream.failure_events(error)
