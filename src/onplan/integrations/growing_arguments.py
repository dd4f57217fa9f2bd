"""The arguments of a call while they arrive, for frameworks that read them from the beginning each time."""

from __future__ import annotations

# How much longer they must be than when they were last told: telling each delta would cost the square of
# their length.
_GROWTH = 1.05
_ALWAYS = 400  # characters; shorter ones are told with each delta


class GrowingArguments:
    """The arguments of one call, as far as they have come."""

    def __init__(self) -> None:
        self._told, self._new, self._length = "", [""], 0

    def add(self, delta: str) -> bool:
        """Whether they have grown enough to be told again."""
        self._new.append(delta)
        self._length += len(delta)
        return self._length < _ALWAYS or self._length > len(self._told) * _GROWTH

    def tell(self) -> tuple[str, str]:
        """All of them, and what is new since they were last told."""
        new = "".join(self._new)
        self._told, self._new = self._told + new, []
        return self._told, new
