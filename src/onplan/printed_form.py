"""Values whose printed form leaves some of their fields out: those that hold a secret, or are long."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class PartlyPrinted(msgspec.Struct, frozen=True):
    """A value whose ``repr`` leaves out the fields in ``not_printed``, which may hold a secret or be long."""

    not_printed: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        """Without those fields."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """As ``__repr__``, which rich would not ask."""
        names = self.__struct_fields__
        return [(name, getattr(self, name)) for name in names if name not in self.not_printed]
