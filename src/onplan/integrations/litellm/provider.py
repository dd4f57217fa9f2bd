"""The provider: what LiteLLM calls, and how it is registered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any, Unpack

import litellm
from litellm.utils import custom_llm_setup

from onplan import async_client_parts, client_parts
from onplan.assembly import AsyncClientOptions
from onplan.async_client import Exchange as AsyncExchange
from onplan.client import Exchange
from onplan.errors import ConfigurationError
from onplan.integrations.client_pair import ClientPair
from onplan.integrations.litellm.call import Call, Given, Memory
from onplan.integrations.litellm.errors import PROVIDER
from onplan.types import ModelInfo


class Onplan(litellm.CustomLLM):
    """Answers LiteLLM's requests on your plan. One object serves threads, tasks and event loops.

    Args:
        options: those of ``onplan.AsyncClient`` but ``http_client`` and ``resume``.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(self, **options: Unpack[AsyncClientOptions]) -> None:
        super().__init__()
        self._clients, self._memory = ClientPair(options, type(self).__name__, ("name",)), Memory()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __getstate__(self) -> dict[str, Any]:
        """Without what it remembers. Raises ConfigurationError if an option is a secret."""
        return {"_clients": self._clients}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._clients, self._memory = state["_clients"], Memory()

    @property
    def models(self) -> Sequence[ModelInfo]:
        """The models that are built in for the backend; those that it lists now can be asked as well."""
        return client_parts.context_of(self._clients.sync).backend.fallback_models

    def completion(self, *_: Any, **given: Unpack[Given]) -> Any:
        """The whole answer. Raises LiteLLM's errors."""
        call = Call(given, self._memory)
        with call.telling_errors():
            client = self._clients.sync
            flow = call.begin(client_parts.context_of(client))
            with Exchange(client, flow, call.timeout) as exchange:
                while exchange.advance() is not None:
                    pass
            return call.whole(exchange.result)

    async def acompletion(self, *_: Any, **given: Unpack[Given]) -> Any:
        """As ``completion``."""
        call = Call(given, self._memory)
        with call.telling_errors():
            client = self._clients.asynchronous
            flow = call.begin(async_client_parts.context_of(client))
            async with AsyncExchange(client, flow, call.timeout) as exchange:
                while await exchange.advance() is not None:
                    pass
            return call.whole(exchange.result)

    def streaming(self, *_: Any, **given: Unpack[Given]) -> Generator[Any]:
        """The chunks of an answer, which has begun when this returns. Raises LiteLLM's errors."""
        chunks = self._chunks(Call(given, self._memory))
        next(chunks)
        return chunks

    def _chunks(self, call: Call) -> Generator[Any]:
        with call.telling_errors():
            client = self._clients.sync
            flow = call.begin(client_parts.context_of(client))
            with Exchange(client, flow, call.timeout) as exchange:
                read = exchange.advance()
                yield None  # it has begun; LiteLLM passes over this
                while read is not None:
                    for chunk in read:
                        yield from call.chunks_of(chunk)
                    read = exchange.advance()

    async def astreaming(self, *_: Any, **given: Unpack[Given]) -> AsyncGenerator[Any]:
        """As ``streaming``, but nothing is asked before the first chunk is read: LiteLLM does not wait."""
        call = Call(given, self._memory)
        with call.telling_errors(at_first=True):
            client = self._clients.asynchronous
            flow = call.begin(async_client_parts.context_of(client))
            async with AsyncExchange(client, flow, call.timeout) as exchange:
                while (read := await exchange.advance()) is not None:
                    for chunk in read:
                        for made in call.chunks_of(chunk):
                            yield made

    def embedding(self, *_: Any, **given: Any) -> Any:
        """Raises LiteLLM's NotFoundError: a plan has no embeddings."""
        raise _not_there("A ChatGPT plan has no embeddings. Take another provider's model for them.", given)

    async def aembedding(self, *_: Any, **given: Any) -> Any:
        """As ``embedding``."""
        self.embedding(**given)

    def image_generation(self, *_: Any, **given: Any) -> Any:
        """Raises LiteLLM's NotFoundError: images are made by onplan's own client."""
        advice = "Type `onplan image`, or call `onplan.Client().images.generate(…)`."
        raise _not_there(f"Images are not made through LiteLLM on a plan. {advice}", given)

    async def aimage_generation(self, *_: Any, **given: Any) -> Any:
        """As ``image_generation``."""
        self.image_generation(**given)


def _not_there(message: str, given: Mapping[str, Any]) -> Exception:
    made: Exception = litellm.NotFoundError(
        message=message, model=given.get("model") or "", llm_provider=PROVIDER
    )
    return made


handler = Onplan()
"""For the ``custom_provider_map`` of LiteLLM's proxy."""


def register(name: str = PROVIDER, **options: Unpack[AsyncClientOptions]) -> Onplan:
    """Have LiteLLM ask your plan for the models called ``NAME/…``, and tell it what they can do.

    Args:
        name: of the provider. Of two registrations under one name the later counts.
        options: as for ``Onplan``; also defaults for requests, such as ``reasoning_effort``.

    Returns:
        The provider.

    Raises:
        ConfigurationError: an option cannot be used, or LiteLLM itself has a provider of this name.
    """
    called: Any = name
    if not isinstance(called, str) or not called or "/" in called:
        raise ConfigurationError(
            f"A provider cannot be called {name!r}: models are named NAME/MODEL.", hint='Use "onplan".'
        )
    if name in [each.value for each in litellm.LlmProviders]:
        raise ConfigurationError(
            f"LiteLLM itself has a provider {name!r}, which would answer.", hint="Choose another name."
        )
    provider = Onplan(**options)
    others = [row for row in litellm.custom_provider_map if row["provider"] != name]
    litellm.custom_provider_map = [*others, {"provider": name, "custom_handler": provider}]
    custom_llm_setup()
    litellm.register_model({f"{name}/{model.id}": _described(model, name) for model in provider.models})
    return provider


_PRICES = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_creation_input_token_cost",
    "cache_read_input_token_cost",
)


def _described(model: ModelInfo, name: str) -> dict[str, Any]:
    """What LiteLLM wants to know of a model; a plan has no price by the token."""
    known = {
        "litellm_provider": name,
        "mode": "chat",
        "max_input_tokens": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "max_tokens": model.max_output_tokens or model.context_window,
        **dict.fromkeys(_PRICES, 0.0),
        "supports_function_calling": True,
        "supports_parallel_function_calling": True,
        "supports_response_schema": True,
        "supports_tool_choice": True,
        "supports_system_messages": True,
        "supports_vision": model.supports_vision,
        "supports_reasoning": bool(model.reasoning_efforts),
        "supports_web_search": bool(model.supports_web_search),
    }
    return {field: value for field, value in known.items() if value is not None}
