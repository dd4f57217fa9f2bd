"""What a request says must be text that UTF-8 can write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from onplan.errors import InvalidRequestError


@contextmanager
def encodable() -> Iterator[None]:
    """Raise InvalidRequestError where the body of a request is encoded and its text cannot be."""
    try:
        yield
    except UnicodeEncodeError:
        raise InvalidRequestError(
            "The request holds half of a character (a lone surrogate), which cannot be sent.",
            hint='Where the text comes from bytes, decode them with errors="replace".',
        ) from None
