"""LangChain on your plan: ``onplan.integrations.langchain`` under the name that its users look for."""

from __future__ import annotations

from onplan.integrations.langchain import (
    ChatGPTToken,
    ChatGPTTokenProvider,
    ChatOnplan,
    RetryableModelError,
)

__all__ = ["ChatGPTToken", "ChatGPTTokenProvider", "ChatOnplan", "RetryableModelError"]
