"""pydantic-ai on your plan: a model for its agents.

>>> from pydantic_ai import Agent  # doctest: +SKIP
>>> from onplan.integrations.pydantic_ai import model  # doctest: +SKIP
>>> Agent(model("gpt-5.5")).run_sync("Hello!").output  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

from onplan.integrations.missing import MissingFrameworkError
from onplan.integrations.openai import AsyncOpenAI

try:
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.settings import ModelSettings
except ImportError:
    raise MissingFrameworkError("pydantic-ai with OpenAI's models", "'pydantic-ai-slim[openai]'") from None


def model(name: str, *, settings: ModelSettings | None = None, **options: Any) -> OpenAIResponsesModel:
    """A model of your plan. It serves many runs, event loops and threads.

    Args:
        name: of the model, such as ``gpt-5.5``.
        settings: pydantic-ai's, for every request.
        options: as for ``provider``.

    Raises:
        ConfigurationError: an option cannot be used.
    """
    return OpenAIResponsesModel(name, provider=provider(**options), settings=settings)


def provider(**options: Any) -> OpenAIProvider:
    """The provider for any of pydantic-ai's models of OpenAI, ``OpenAIChatModel`` for instance.

    Args:
        options: those of ``onplan.AsyncClient``, such as ``profile``, and of the SDK's client.

    Raises:
        ConfigurationError: an option cannot be used.
    """
    return OpenAIProvider(openai_client=AsyncOpenAI(**options))
