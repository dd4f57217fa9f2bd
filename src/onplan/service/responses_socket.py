"""Answers what a client says over a WebSocket of ``/v1/responses``: each message is a request of its own.

A connection remembers its latest responses, also those that are not stored: Codex CLI sends only what is new,
with ``previous_response_id``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, cast

import msgspec

from onplan.dialects.openai_errors import ParameterError, error_fields, told_of
from onplan.dialects.openai_responses.call import conversation_of, session_id_for, stored_response
from onplan.dialects.openai_responses.relay import RelayStream
from onplan.dialects.openai_responses.request import ResponsesRequest
from onplan.dialects.openai_responses.response_object import response_object
from onplan.dialects.openai_responses.stored import Before, StoredResponse
from onplan.dialects.served import ServedRequest, estimated_usage
from onplan.errors import OnplanError
from onplan.field_types import prepare
from onplan.flow import JSON_ERRORS, NOTHING
from onplan.service.observed import Observed
from onplan.service.pieces import without_traceback
from onplan.service.responses import Responses
from onplan.types import Usage

_REMEMBERED = 4  # the latest responses of a connection; a client goes on from one of them


def _untold(model: str | None, usage: Usage) -> None:
    """Nothing is counted."""


class _Message(msgspec.Struct):
    type: str = ""


prepare(_Message)


class ResponsesSocket:
    """One connection.

    Attributes:
        on_usage: told of the model and the tokens of each answer; the model is None where its client
            left before the answer began.

    Args:
        responses: answers the requests.
        request: the one that opened the connection.
    """

    def __init__(self, responses: Responses, request: ServedRequest) -> None:
        self._responses, self._request = responses, request
        self.on_usage: Callable[[str | None, Usage], object] = _untold
        self._seen: dict[str, StoredResponse] = {}
        self._answering: object = None

    async def answer(self, message: bytes) -> AsyncGenerator[bytes]:
        """The messages that answer this one. It is to be closed if it is not read to its end.

        One message is answered at a time: another one that comes meanwhile is answered by an error.
        """
        if self._answering is not None:
            yield _error(ParameterError("A response is in progress.", code="response_in_progress"))
            return
        answering = self._answering = object()
        try:
            async with aclosing(self._frames(message)) as frames:
                async for frame in frames:
                    yield frame
        finally:
            if self._answering is answering:
                self._answering = None

    async def _frames(self, message: bytes) -> AsyncGenerator[bytes]:
        try:
            asked = await self._read(message)
            before = await self._before(asked)
        except OnplanError as error:
            yield _error(error)
            return
        if not asked.generate:
            for frame in await self._prepared(asked, before):
                yield frame
            return
        observed = Observed()
        exchange, relayed = self._responses.begin(asked, before, self._request, observed, framed=False)
        async with exchange:
            has_begun, has_failed, sent = False, False, 0
            try:
                while (events := await exchange.advance()) is not None:
                    if whole := stored_response(relayed):
                        await self._keep(whole, asked)
                    for left, event in enumerate(cast("Sequence[bytes]", events), 1 - len(events)):
                        if whole and left == 0:
                            self._answering = None  # the next message may come as soon as this is sent
                        sent += len(event)
                        yield event
                    has_begun = has_begun or bool(events)
            except OnplanError as error:
                has_failed = True
                yield _error(without_traceback(error), observed.limit_headers)
                if has_begun and relayed.stream:
                    yield relayed.stream.failed_event(error)
            finally:
                if relayed.stream or not has_failed:
                    self._tell_usage(relayed.stream, len(message), sent)

    def _tell_usage(self, stream: RelayStream | None, asked: int, sent: int) -> None:
        """Tell what an answer took. There is no stream where its client left before it began."""
        usage = stream.usage if stream else None
        self.on_usage(stream.model if stream else None, usage or estimated_usage(asked, sent))

    async def _keep(self, response: StoredResponse, asked: ResponsesRequest) -> None:
        """Note a whole answer before its end is sent: the client may go on from it at once."""
        self._remember(response)
        if asked.store:
            await self._responses.stored.keep(response, self._request.caller)

    async def _read(self, message: bytes) -> ResponsesRequest:
        try:
            kind = msgspec.json.decode(message, type=_Message).type
        except JSON_ERRORS:
            raise ParameterError(
                "The message is not a JSON object with a type.", code="invalid_json"
            ) from None
        if kind != "response.create":
            raise ParameterError(f"Messages of the type {kind!r} are not supported.", param="type")
        return await self._responses.read(message)

    async def _before(self, asked: ResponsesRequest) -> Before:
        seen = self._seen.get(asked.previous_response_id or "")
        return Before(seen) if seen else await self._responses.stored.before(asked, self._request.caller)

    async def _prepared(self, asked: ResponsesRequest, before: Before) -> Sequence[bytes]:
        """The answer to a request that only prepares for the next one; the backend is prepared, too."""
        with suppress(OnplanError):  # whatever is wrong will be wrong with the request itself
            await self._responses.prewarm(asked, before, self._request)
        fields: dict[str, Any] = {
            "id": f"resp_{secrets.token_hex(20)}",
            "created_at": int(time.time()),
            "model": asked.model,
        }
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        begun = response_object({**fields, "status": "in_progress"}, asked.echo)
        ended = msgspec.Raw(
            msgspec.json.encode(
                response_object({**fields, "status": "completed", "usage": usage}, asked.echo)
            )
        )
        earlier = before.previous.items if before.previous else []
        conversation = conversation_of(asked, self._request.headers)
        session_id = session_id_for(self._request.caller, conversation, asked, before)
        self._remember(StoredResponse(ended, [*earlier, *asked.items], asked.model or "", session_id))
        return [
            msgspec.json.encode({"type": "response.created", "response": begun, "sequence_number": 0}),
            msgspec.json.encode({"type": "response.completed", "response": ended, "sequence_number": 1}),
        ]

    def _remember(self, response: StoredResponse) -> None:
        self._seen[response.id] = response
        for oldest in list(self._seen)[:-_REMEMBERED]:
            del self._seen[oldest]


def _error(error: OnplanError, limit_headers: Mapping[str, str] = NOTHING) -> bytes:
    """An error as a message. Codex CLI ignores one without a status, and reads the plan's limits from it."""
    told = told_of(error)
    headers = {**told.headers, **limit_headers}
    return msgspec.json.encode(
        {"type": "error", "status": told.status, "error": error_fields(error), "headers": headers}
    )
