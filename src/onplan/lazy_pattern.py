"""Regular expressions for words of errors, which most programs never meet."""

from __future__ import annotations

import re
from functools import cached_property


class LazyPattern:
    """A regular expression, without regard to case, that is compiled when it is first searched for.

    The tables of errors have some sixty. To compile them all would take a tenth of the time to import onplan.
    """

    def __init__(self, *alternatives: str) -> None:
        self._text = "|".join(alternatives)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self._text, re.IGNORECASE)

    def search(self, text: str) -> re.Match[str] | None:
        """As ``re.Pattern.search``."""
        return self._compiled.search(text)
