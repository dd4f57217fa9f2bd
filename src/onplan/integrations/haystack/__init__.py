"""Models on your plan in Haystack.

>>> from onplan.integrations.haystack import OnplanChatGenerator
>>> OnplanChatGenerator(model="gpt-5.5").run("Name three birds")["replies"][0].text  # doctest: +SKIP

Needs the package ``haystack-ai``.
"""

from __future__ import annotations

from onplan.integrations.missing import MissingFrameworkError

try:
    import haystack  # noqa: F401 - to see whether it is there
except ImportError:
    raise MissingFrameworkError("Haystack", "haystack-ai") from None

from onplan.integrations.haystack.generator import OnplanChatGenerator

__all__ = ["OnplanChatGenerator"]
