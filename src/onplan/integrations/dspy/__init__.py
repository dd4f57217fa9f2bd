"""Models on your plan in DSPy.

>>> import dspy
>>> from onplan.integrations.dspy import lm
>>> dspy.configure(lm=lm("gpt-5.5"))  # doctest: +SKIP

Needs the package ``dspy``, 3.4 or newer.
"""

from __future__ import annotations

from onplan.integrations.missing import MissingFrameworkError

try:
    import dspy.lm15  # noqa: F401 - to see whether it is there
except ImportError:
    raise MissingFrameworkError("DSPy 3.4 or newer", "'dspy>=3.4'") from None

from onplan.integrations.dspy.engines import AsyncEngine, Engine, lm

__all__ = ["AsyncEngine", "Engine", "lm"]
