"""Many cases in one test, where a test for each would take longer than what is tested."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def case(*names: object) -> Iterator[None]:
    """What fails within is of this case, and says so."""
    try:
        yield
    except Exception as error:
        error.add_note(f"The case: {', '.join(map(str, names))}")
        raise
