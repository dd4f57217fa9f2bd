"""What a request says must be text that UTF-8 can write."""

from __future__ import annotations

from types import TracebackType

from onplan.errors import InvalidRequestError


class _Encodable:
    """A context manager without state; a generator would cost each request more than the check."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, UnicodeEncodeError):
            raise InvalidRequestError(
                "The request holds half of a character (a lone surrogate), which cannot be sent.",
                hint='Where the text comes from bytes, decode them with errors="replace".',
            ) from None


_ENCODABLE = _Encodable()


def encodable() -> _Encodable:
    """Raise InvalidRequestError where the body of a request is encoded and its text cannot be."""
    return _ENCODABLE
