"""Models on your plan in LlamaIndex.

>>> from onplan.integrations.llama_index import Onplan
>>> llm = Onplan(model="gpt-5.5")
>>> llm.complete("Name three birds").text  # doctest: +SKIP

Needs the package ``llama-index-core``.
"""

from __future__ import annotations

from onplan.integrations.missing import MissingFrameworkError

try:
    import llama_index.core  # noqa: F401 - to see whether it is there
except ImportError:
    raise MissingFrameworkError("LlamaIndex", "llama-index-core") from None

from onplan.integrations.llama_index.model import NoToolCallError, Onplan

__all__ = ["NoToolCallError", "Onplan"]
