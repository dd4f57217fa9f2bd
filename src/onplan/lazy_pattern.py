"""Regular expressions that most programs never need, such as those for words of errors."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any


class LazyPattern:
    """A regular expression, without regard to case, that is compiled when it is first searched for.

    The tables of errors have some sixty. To compile them all would take a tenth of the time to import onplan.

    Attributes:
        pattern: its text.
    """

    def __init__(self, *alternatives: str) -> None:
        self.pattern = "|".join(alternatives)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE)

    def search(self, text: str) -> re.Match[str] | None:
        """As ``re.Pattern.search``."""
        return self._compiled.search(text)

    def match(self, text: str) -> re.Match[str] | None:
        """As ``re.Pattern.match``."""
        return self._compiled.match(text)

    def findall(self, text: str) -> list[Any]:
        """As ``re.Pattern.findall``."""
        return self._compiled.findall(text)
