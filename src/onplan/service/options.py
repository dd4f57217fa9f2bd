"""What the person who runs the service decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """What the person who runs the service decides.

    Attributes:
        strict: whether a parameter that the backend does not take is refused instead of left out and named.
        aliases: names of models that clients may use, and the models that they mean.
    """

    strict: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
