"""The interface that every provider has, and the models that it lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol, Unpack, runtime_checkable

import msgspec

from onplan.types.answer import CompletionResponse, StreamChunk
from onplan.types.dicts import Prompt
from onplan.types.request import CompletionRequest
from onplan.types.request_fields import RequestFields


class ModelInfo(msgspec.Struct, frozen=True):
    """A model that a provider offers. Costs are in US dollars per million tokens; on a plan they are zero.

    ``supports_web_search``: whether it takes the hosted web search (``onplan.web_search``). None: the backend
    does not say. ``client.search`` serves the others.
    Models of one ``compaction_family`` read each other's compacted conversations; without one, no other does.
    """

    id: str
    name: str
    provider: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    supports_vision: bool = False
    reasoning_efforts: list[str] = []
    default_reasoning_effort: str | None = None
    input_cost_per_million: float | None = None
    output_cost_per_million: float | None = None
    supports_web_search: bool | None = None
    compaction_family: str | None = None


@runtime_checkable
class Provider(Protocol):
    """The interface of ``AsyncClient`` and ``OpenAICodexProvider``, which a program may implement itself.

    ``onplan.as_request(request, fields)`` makes a ``CompletionRequest`` of what ``complete`` is given.
    """

    @property
    def name(self) -> str:
        """The backend's name, such as ``openai-codex``."""
        ...

    def list_models(self) -> Awaitable[Sequence[ModelInfo]]:
        """The models that the provider offers now, best first."""
        ...

    def complete(
        self, request: Prompt | CompletionRequest, **fields: Unpack[RequestFields]
    ) -> Awaitable[CompletionResponse]:
        """The whole answer. Raises an ``OnplanError``."""
        ...

    def complete_stream(
        self, request: Prompt | CompletionRequest, **fields: Unpack[RequestFields]
    ) -> AsyncIterator[StreamChunk]:
        """The answer as it arrives, ending with one ``Done``. Raises an ``OnplanError``."""
        ...
