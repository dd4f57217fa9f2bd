"""Answers ``/v1/chat/completions``: a turn of the client, told in chunks or as a whole."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from onplan.async_client import AsyncClient, Exchange
from onplan.async_client_parts import account_in_use, context_of
from onplan.dialects.conversation_names import named_by_client, session_name
from onplan.dialects.openai_chat.answer import response_body
from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.dialects.openai_chat.kept_turns import KeptTurns, TurnOwner
from onplan.dialects.openai_chat.parameters import Fitted, fitted
from onplan.dialects.openai_chat.request import ChatRequest, read_request
from onplan.dialects.openai_errors import failure_reply
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.errors import OnplanError
from onplan.parameters import NOTHING_REPORTED
from onplan.service.observed import Observed
from onplan.service.options import ServiceOptions
from onplan.service.pieces import TurnPieces, begun
from onplan.turn.flows import completion
from onplan.types import CompletionResponse, Message, Role, as_request


class ChatCompletions:
    """Answers requests of Chat Completions.

    Args:
        client: asks the models.
        options: of the service.
    """

    def __init__(self, client: AsyncClient, options: ServiceOptions) -> None:
        self._client, self._options = client, options
        self._kept = KeptTurns()

    async def create(self, request: ServedRequest) -> ServedReply:
        """``POST /v1/chat/completions``, streaming or not. Raises OnplanError if nothing could be asked."""
        parsed = read_request(request.body)
        fit = fitted(parsed, context_of(self._client).backend, strict=self._options.strict)
        turn = await self._turn(fit, request)
        try:
            return await (self._streamed if parsed.stream else self._whole)(turn, parsed)
        except OnplanError as error:
            reply = failure_reply(error)
            reply.headers |= turn.observed.limit_headers
            return reply

    async def _turn(self, fit: Fitted, request: ServedRequest) -> _Turn:
        """The turn that answers a request, not begun yet."""
        context = context_of(self._client)
        given = fit.request
        name = named_by_client(given.session_id, request.headers)
        session_id = session_name(request.caller, name, _beginning(given.messages))
        model = self._options.aliases.get(given.model or "", given.model)
        owner = TurnOwner(request.caller, session_id, "", model or "")
        messages = given.messages
        if self._kept and any(message.tool_calls for message in messages):
            owner = owner._replace(account=await account_in_use(self._client))
            messages = self._kept.restored(owner, messages, time.monotonic())
        sent = session_id if context.backend.sends("session_id") else None
        asked = structs.replace(given, messages=messages, model=model, session_id=sent)
        # A single question goes over a pooled connection; a WebSocket is worth opening for a conversation.
        if name is None and not any(message.role is Role.ASSISTANT for message in messages):
            context = replace(context, fallback=None)
        context = replace(context, resume=False)
        observed = Observed()
        flow = observed.follow(completion(as_request(asked, {}, context.defaults), context))
        return _Turn(fit, owner, observed, Exchange(self._client, flow))

    async def _streamed(self, turn: _Turn, parsed: ChatRequest) -> ServedReply:
        first = await begun(turn.exchange)
        encoder = ChunkEncoder(_new_id(), turn.model, int(time.time()), include_usage=parsed.include_usage)
        reply = ServedReply.events(
            TurnPieces(
                turn.exchange, first, encoder.encode, encoder.encode_failure, lambda: self._end(turn, reply)
            ),
            turn.headers(),
        )
        reply.model = turn.asked_model
        return reply

    async def _whole(self, turn: _Turn, parsed: ChatRequest) -> ServedReply:
        async with turn.exchange as exchange:
            while await exchange.advance() is not None:
                pass
        response = exchange.result
        body = response_body(response, _new_id(), turn.model, int(time.time()), parsed.request.service_tier)
        reply = ServedReply.json(body, 200, turn.headers(response))
        reply.model = turn.asked_model
        self._end(turn, reply)
        return reply

    def _end(self, turn: _Turn, reply: ServedReply) -> None:
        """The answer is whole: count it, and keep what the client cannot send back."""
        response = turn.exchange.result
        reply.usage = response.usage
        owner = turn.owner._replace(account=turn.observed.account)
        if "thinking" in response.ignored_parameters:
            self._kept.forget(owner)
        self._kept.keep(owner, response.message, time.monotonic())


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
        lists = {
            "x-onplan-ignored-parameters": (*self.fit.ignored, *self.fit.named(ignored)),
            "x-onplan-emulated-parameters": tuple(self.fit.named(emulated)),
        }
        named = {name: ", ".join(dict.fromkeys(listed)) for name, listed in lists.items() if listed}
        return {**self.observed.limit_headers, **named}


def _beginning(messages: Sequence[Message]) -> list[Message]:
    """The messages up to the user's first, with which all requests of a conversation begin."""
    users = (place for place, message in enumerate(messages) if message.role is Role.USER)
    return list(messages[: next(users, len(messages)) + 1])


def _new_id() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"
