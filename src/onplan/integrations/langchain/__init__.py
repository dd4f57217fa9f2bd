"""LangChain on your plan: a chat model for its chains, graphs and agents.

>>> from onplan.integrations.langchain import ChatOnplan
>>> ChatOnplan(model="gpt-5.5").invoke("Name three birds").content  # doctest: +SKIP

Needs the package ``langchain-core``. ``langchain_onplan``, of the distribution ``langchain-onplan``, is the
same under the name that LangChain's users look for.
"""

from __future__ import annotations

from onplan.integrations.missing import MissingFrameworkError

try:
    import langchain_core  # noqa: F401 - to see whether it is there
except ImportError:
    raise MissingFrameworkError("LangChain", "langchain-core") from None

from onplan.integrations.langchain.chat_model import ChatOnplan
from onplan.integrations.langchain.chatgpt_tokens import ChatGPTToken, ChatGPTTokenProvider
from onplan.integrations.langchain.errors import RetryableModelError

__all__ = ["ChatGPTToken", "ChatGPTTokenProvider", "ChatOnplan", "RetryableModelError"]
