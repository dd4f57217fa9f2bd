"""The responses that a service keeps: gone on from, shown again, deleted."""

from __future__ import annotations

from urllib.parse import parse_qsl

from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_responses.request import ResponsesRequest
from onplan.dialects.openai_responses.stored import (
    Before,
    StoredResponse,
    decode,
    encode,
    input_items_page,
    name_for,
    names_of,
    references_in,
)
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.service.response_stores import ResponseStore


class StoredResponses:
    """Responses by their callers and ids. What is kept for one caller does not exist for another.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def before(self, asked: ResponsesRequest, caller: str) -> Before:
        """What a request goes on from.

        Raises:
            ParameterError: a response or an item that it names is not kept.
        """
        wanted, references = asked.previous_response_id, references_in(asked.items)
        if not (wanted or references):
            return Before()
        previous = await self._find(caller, wanted) if wanted else None
        if wanted and (previous is None or previous.id != wanted):  # it may be the id of an item
            raise ParameterError(
                f"Previous response with id '{wanted}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        referenced: dict[str, StoredResponse] = {}
        for item_id in references:
            if item_id not in referenced:
                stored = await self._find(caller, item_id)
                if stored is None or all(item.get("id") != item_id for item in stored.output):
                    message = f"Item with id '{item_id}' not found."
                    raise ParameterError(message, param="input", code="item_not_found")
                referenced[item_id] = stored
        return Before(previous, referenced)

    async def keep(self, stored: StoredResponse, caller: str) -> None:
        """Keep a response."""
        name, items = names_of(stored, caller)
        await self._store.put(name, items, encode(stored))

    async def answer(self, request: ServedRequest, response_id: str) -> ServedReply:
        """``GET`` or ``DELETE`` of ``/v1/responses/{id}``."""
        if request.method == "DELETE":
            if not await self._store.remove(name_for(request.caller, response_id)):
                raise _not_found(response_id)
            return ServedReply.json({"id": response_id, "object": "response", "deleted": True})
        if dict(parse_qsl(request.query)).get("stream", "false").lower() not in ("false", "0"):
            message = "A stored response is not streamed again: leave out stream."
            raise ParameterError(message, param="stream", code="unsupported_parameter")
        return ServedReply.json((await self._kept(request, response_id)).response)

    async def input_items(self, request: ServedRequest, response_id: str) -> ServedReply:
        """``GET /v1/responses/{id}/input_items``."""
        stored = await self._kept(request, response_id)
        return ServedReply.json(input_items_page(stored, dict(parse_qsl(request.query))))

    async def _kept(self, request: ServedRequest, response_id: str) -> StoredResponse:
        stored = await self._find(request.caller, response_id)
        if stored is None or stored.id != response_id:
            raise _not_found(response_id)
        return stored

    async def _find(self, caller: str, kept_id: str) -> StoredResponse | None:
        data = await self._store.get(name_for(caller, kept_id))
        return decode(data) if data is not None else None


def _not_found(response_id: str) -> ParameterError:
    message = f"Response with id '{response_id}' not found."
    return ParameterError(message, code="response_not_found", status=404)
