"""Answers ``/v1/chat/completions``: a turn of the client, told in chunks or as a whole."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from msgspec import structs

from onplan.async_client import AsyncClient, Exchange
from onplan.async_client_parts import account_in_use, context_of
from onplan.dialects.conversation_names import beginning_of, named_by_client, session_name
from onplan.dialects.openai_chat.answer import response_body
from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.dialects.openai_chat.kept_turns import KeptTurns, TurnOwner
from onplan.dialects.openai_chat.parameters import Fitted, fitted
from onplan.dialects.openai_chat.request import ChatRequest, read_request
from onplan.dialects.openai_errors import ParameterError, failure_reply
from onplan.dialects.served import ServedReply, ServedRequest, reported_parameters, reported_repairs
from onplan.errors import OnplanError
from onplan.parameters import NOTHING_REPORTED
from onplan.service.bodies import read_body
from onplan.service.contexts import TurnContexts
from onplan.service.observed import Observed
from onplan.service.options import ServiceOptions
from onplan.service.pieces import TurnPieces, begun, without_traceback
from onplan.turn.flows import completion
from onplan.types import CompletionResponse, Done, Role, StreamChunk, as_request


class ChatCompletions:
    """Answers requests of Chat Completions.

    Args:
        client: asks the models.
        options: of the service.
        kept: what was thought before tools were called.
    """

    def __init__(self, client: AsyncClient, options: ServiceOptions, kept: KeptTurns) -> None:
        self._client, self._options, self._kept = client, options, kept
        self._contexts = TurnContexts(client)

    async def create(self, request: ServedRequest) -> ServedReply:
        """``POST /v1/chat/completions``, streaming or not. Raises OnplanError if nothing could be asked."""
        try:
            return await self._create(request)
        except RecursionError:
            raise ParameterError("The body is nested too deeply.", code="invalid_json") from None

    async def _create(self, request: ServedRequest) -> ServedReply:
        parsed = await read_body(read_request, request.body)
        fit = fitted(parsed, context_of(self._client).backend, strict=self._options.strict)
        turn = await self._turn(fit, request)
        try:
            return await (self._streamed if parsed.stream else self._whole)(turn, parsed)
        except OnplanError as error:
            reply = failure_reply(without_traceback(error))
            reply.headers |= turn.observed.limit_headers
            return reply

    async def _turn(self, fit: Fitted, request: ServedRequest) -> _Turn:
        """The turn that answers a request, not begun yet."""
        context = context_of(self._client)
        given = fit.request
        name = named_by_client(given.session_id, request.headers)
        session_id = session_name(request.caller, name, beginning_of(given.messages))
        model = self._options.aliases.get(given.model or "", given.model)
        owner = TurnOwner(request.caller, session_id, "", model or "")
        messages = given.messages
        if self._kept and any(message.tool_calls for message in messages):
            owner = owner._replace(account=await account_in_use(self._client))
            messages = self._kept.restored(owner, messages, time.monotonic())
        sent = session_id if context.backend.sends("session_id") else None
        asked = copy(given)  # with other values of the same kinds, which are not looked at once more
        for field, value in (("messages", messages), ("model", model), ("session_id", sent)):
            structs.force_setattr(asked, field, value)
        has_history = any(message.role is Role.ASSISTANT for message in messages)
        context = self._contexts.of(is_conversation=name is not None or has_history)
        observed = Observed()
        flow = observed.follow(completion(as_request(asked, {}, context.defaults), context))
        return _Turn(fit, owner, observed, Exchange(self._client, flow))

    async def _streamed(self, turn: _Turn, parsed: ChatRequest) -> ServedReply:
        first = await begun(turn.exchange)
        encoder = ChunkEncoder(_new_id(), turn.model, int(time.time()), include_usage=parsed.include_usage)
        pieces = _ChatPieces(first, turn, encoder, self._kept)
        reply = ServedReply.events(pieces, turn.headers())
        reply.model, pieces.reply = turn.asked_model, reply
        return reply

    async def _whole(self, turn: _Turn, parsed: ChatRequest) -> ServedReply:
        async with turn.exchange as exchange:
            while await exchange.advance() is not None:
                pass
        response = exchange.result
        tier = parsed.request.service_tier
        body = response_body(response, _new_id(), turn.model, int(time.time()), tier)
        reply = ServedReply.json(body, 200, turn.headers(response))
        reply.model, reply.usage = turn.asked_model, response.usage
        turn.answered(response, self._kept)
        return reply


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn while it is answered.

    Attributes:
        fit: the request.
        owner: whose it is; the account is known when it was asked.
        observed: what is known of it.
        exchange: carries it out.
    """

    fit: Fitted
    owner: TurnOwner
    observed: Observed
    exchange: Exchange[CompletionResponse]

    @property
    def asked_model(self) -> str:
        """The model that the backend was asked for."""
        return self.observed.call.model if self.observed.call else self.owner.model

    @property
    def model(self) -> str:
        """The model as the client calls it."""
        return self.fit.request.model or self.asked_model

    def headers(self, response: CompletionResponse | None = None) -> dict[str, str]:
        """What became of parameters, and what the plan has left. ``response``: the answer, if it is whole."""
        reports = self.observed.call.reports if self.observed.call else NOTHING_REPORTED
        ignored = reports.ignored if response is None else response.ignored_parameters
        emulated = reports.emulated if response is None else response.emulated_parameters
        left_out = dict.fromkeys((*self.fit.ignored, *self.fit.named(ignored)))
        headers = {**self.observed.limit_headers, **reported_parameters(left_out, self.fit.named(emulated))}
        repairs = self.observed.call.history_repairs if self.observed.call else ()
        return headers | reported_repairs(repairs) if repairs else headers

    def answered(self, response: CompletionResponse, kept: KeptTurns) -> None:
        """The answer is whole: keep what the client cannot send back."""
        owner = self.owner._replace(account=self.observed.account)
        if "thinking" in response.ignored_parameters:
            kept.forget(owner)
        kept.keep(owner, response.message, time.monotonic())


class _ChatPieces(TurnPieces):
    """The chunks of an answer. What is kept of it is kept before its client sees the end, and asks again."""

    def __init__(
        self, first: Sequence[StreamChunk], turn: _Turn, encoder: ChunkEncoder, kept: KeptTurns
    ) -> None:
        super().__init__(turn.exchange, first)
        self._turn, self._encoder, self._kept = turn, encoder, kept

    def _encoded(self, chunks: Sequence[StreamChunk]) -> bytes:
        if isinstance(last := chunks[-1], Done):
            self._turn.answered(last.response, self._kept)
            if self.reply is not None:
                self.reply.usage = last.response.usage
        return self._encoder.encode(chunks)

    def _failed(self, error: OnplanError) -> bytes:
        return self._encoder.encode_failure(error)


def _new_id() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"
