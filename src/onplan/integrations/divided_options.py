"""Options that a program gives at once, and that belong to two: to onplan's client and to the framework."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any


def divided(options: Mapping[str, Any], names: Container[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that are called as one of ``names``, and all others."""
    own = {name: value for name, value in options.items() if name in names}
    return own, {name: value for name, value in options.items() if name not in own}
