"""Finds what answers a request: the routes of the service."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from onplan.async_client import AsyncClient
from onplan.async_client_parts import account_in_use, context_of
from onplan.dialects.openai_chat.kept_turns import KeptTurns
from onplan.dialects.openai_errors import failure_reply, refusal
from onplan.dialects.openai_models import model_object, models_list
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.errors import OnplanError
from onplan.service.chat import ChatCompletions
from onplan.service.images import Images
from onplan.service.options import ServiceOptions
from onplan.service.pieces import without_traceback
from onplan.service.response_stores import MemoryStore, ResponseStore
from onplan.service.responses import Responses
from onplan.service.responses_socket import ResponsesSocket
from onplan.service.stored_responses import StoredResponses
from onplan.types import ModelInfo

_Answer: TypeAlias = Callable[["Service", ServedRequest], Awaitable[ServedReply]]


def stamped(reply: ServedReply) -> ServedReply:
    """``reply`` with the headers that every one has: an id, by which SDKs name a request, among them."""
    headers = reply.headers
    if "x-request-id" not in headers:
        headers["x-request-id"] = f"req_{secrets.token_hex(12)}"
    headers.setdefault("cache-control", "no-store")
    headers["openai-version"] = "2020-10-01"
    return reply


class Service:
    """Answers requests; one for all requests of a server.

    Args:
        client: asks the models.
        options: what the person decided.
        store: where responses are kept; in memory without it, for a server of one process.
        kept: what was thought before tools were called; a new memory without it.
    """

    def __init__(
        self,
        client: AsyncClient,
        options: ServiceOptions | None = None,
        store: ResponseStore | None = None,
        kept: KeptTurns | None = None,
    ) -> None:
        self._client, self._options = client, options or ServiceOptions()
        self._stored = StoredResponses(store or MemoryStore())
        self._responses = Responses(client, self._options, self._stored)
        self._chat = ChatCompletions(client, self._options, KeptTurns() if kept is None else kept)
        self._images = Images(client, self._options)

    async def answer(self, request: ServedRequest) -> ServedReply:
        """The reply, as soon as its status is known. A failure is a reply, too, in the client's dialect.

        Cancelling it, or closing the body of its reply, ends what it asks of the backend.
        """
        try:
            reply = await self._route(request)
        except OnplanError as error:
            reply = failure_reply(without_traceback(error))
        return stamped(reply)

    def open_socket(self, request: ServedRequest) -> ResponsesSocket | None:
        """What answers over a WebSocket that ``request`` opens; None if there is none at its path."""
        is_there = request.path.removeprefix("/v1") == "/responses"
        return ResponsesSocket(self._responses, request) if is_there else None

    async def _route(self, request: ServedRequest) -> ServedReply:
        path = request.path.removeprefix("/v1") or "/"
        methods = ROUTES.get(path)
        if methods is None and path.startswith("/models/"):
            methods = {"GET": Service._model}
        if methods is None and path.startswith("/responses/"):
            methods = _of_response(path)
        if methods is None:
            return _unknown(request)
        answer = methods.get("GET" if request.method == "HEAD" else request.method)
        if answer is None:
            allowed = ", ".join(methods)
            message = f"{request.path} takes {allowed}, not {request.method}."
            return refusal(405, "method_not_allowed", message, headers={"allow": allowed})
        return await answer(self, request)

    async def _create_response(self, request: ServedRequest) -> ServedReply:
        return await self._responses.create(request)

    async def _stored_response(self, request: ServedRequest) -> ServedReply:
        return await self._stored.answer(request, request.path.rpartition("/responses/")[2])

    async def _input_items(self, request: ServedRequest) -> ServedReply:
        response_id = request.path.rpartition("/responses/")[2].removesuffix("/input_items")
        return await self._stored.input_items(request, response_id)

    async def _generate_images(self, request: ServedRequest) -> ServedReply:
        return await self._images.generate(request)

    async def _edit_images(self, request: ServedRequest) -> ServedReply:
        return await self._images.edit(request)

    async def _complete_chat(self, request: ServedRequest) -> ServedReply:
        return await self._chat.create(request)

    async def _models(self, request: ServedRequest) -> ServedReply:
        return ServedReply.json(models_list(await self._listed() or await self._client.list_models()))

    async def _model(self, request: ServedRequest) -> ServedReply:
        wanted = request.path.removeprefix("/v1").removeprefix("/models/")
        wanted = self._options.aliases.get(wanted, wanted)
        found = _named(await self._listed(), wanted) or _named(await self._client.list_models(), wanted)
        if found is None:
            return refusal(404, "model_not_found", f"The model {wanted!r} does not exist.", param="model")
        return ServedReply.json(model_object(found))

    async def _listed(self) -> Sequence[ModelInfo]:
        """The models as the backend listed them within the hour, else none: clients ask at every start."""
        context = context_of(self._client)
        return context.catalogue.models(context.now(), await account_in_use(self._client))


def _named(models: Sequence[ModelInfo], wanted: str) -> ModelInfo | None:
    return next((model for model in models if model.id == wanted), None)


# Paths below /responses that OpenAI has and that are no ids.
_NO_IDS = ("compact", "input_tokens")


def _of_response(path: str) -> Mapping[str, _Answer] | None:
    """What answers a path below ``/responses/``."""
    response_id, slash, below = path.removeprefix("/responses/").partition("/")
    if response_id in _NO_IDS or not response_id:
        return None
    if not slash:
        return {"GET": Service._stored_response, "DELETE": Service._stored_response}
    return {"GET": Service._input_items} if below == "input_items" else None


# What clients ask for that a plan does not have.
_NOT_ON_A_PLAN = frozenset(
    (
        *("assistants", "audio", "batches", "completions", "containers", "embeddings", "evals", "files"),
        *("fine_tuning", "moderations", "realtime", "threads", "uploads", "vector_stores", "videos"),
    )
)
# What else clients ask for, and what they can do.
_ADVICE: Mapping[str, str] = {
    "v1": "It has /v1 twice: the client adds it to a base URL that ends in it, so leave it out there.",
    "conversations": "No conversations are kept here: send their items, or previous_response_id.",
    "messages": "This is a path of Anthropic's API. Here are OpenAI's: /v1/responses, /v1/chat/completions.",
    "engines": "Engines were replaced by the field model of /v1/chat/completions.",
}


def _unknown(request: ServedRequest) -> ServedReply:
    kind = request.path.removeprefix("/v1").strip("/").split("/")[0]
    if kind in _NOT_ON_A_PLAN:
        message = f"A ChatGPT plan has no endpoint {request.path}: there is nothing that could answer it."
    else:
        message = f"Unknown path {request.path}. {_ADVICE.get(kind, '')}".strip()
    return refusal(404, "unknown_url", message)


ROUTES: Mapping[str, Mapping[str, _Answer]] = {
    "/chat/completions": {"POST": Service._complete_chat},
    "/images/edits": {"POST": Service._edit_images},
    "/images/generations": {"POST": Service._generate_images},
    "/models": {"GET": Service._models},
    "/responses": {"POST": Service._create_response},
}
