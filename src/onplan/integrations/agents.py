"""The OpenAI Agents SDK on your plan: a model provider for its runs.

>>> from agents import Agent, RunConfig, Runner  # doctest: +SKIP
>>> from onplan.integrations.agents import OnplanProvider  # doctest: +SKIP
>>> on_plan = RunConfig(model_provider=OnplanProvider())  # doctest: +SKIP
>>> Runner.run_sync(Agent(name="Guide", model="gpt-5.5"), "Hello!", run_config=on_plan)  # doctest: +SKIP

The provider's client never becomes the default client of the Agents SDK, which would give its key to the
export of traces. It would be a placeholder even then.
"""

from __future__ import annotations

from typing import Any

from onplan.integrations.missing import MissingFrameworkError
from onplan.integrations.openai import AsyncOpenAI

try:
    from agents import Model, ModelProvider, OpenAIChatCompletionsModel, OpenAIResponsesModel
except ImportError:
    raise MissingFrameworkError("The OpenAI Agents SDK", "openai-agents") from None


class OnplanProvider(ModelProvider):
    """Models of your plan. One provider serves many runs, event loops and threads.

    Args:
        model: for agents that name none; without it, the plan's first one.
        use_responses: False asks by Chat Completions instead of by Responses.
        options: those of ``onplan.AsyncClient``, such as ``profile``, and of the SDK's client.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(self, *, model: str | None = None, use_responses: bool = True, **options: Any) -> None:
        self._model = model
        self._kind = OpenAIResponsesModel if use_responses else OpenAIChatCompletionsModel
        self._client = AsyncOpenAI(**options)

    def get_model(self, model_name: str | None) -> Model:
        """The model for an agent, which the Agents SDK asks for with each turn."""
        return self._kind(model=model_name or self._model or "", openai_client=self._client)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; they are opened again if they are needed."""
        await self._client.close()
