"""The errors of OpenAI's SDK where no answer came, or not all of it.

What the backend answers is a status error of the SDK's, and what it says within a stream an ``APIError``. If
there is no answer, for no connection was made or it broke, it is an ``APIConnectionError``, before the answer
and within: the SDK 3.x raises that itself, and 2.x lets errors of httpx through there. Its cause is onplan's
error.
"""

from __future__ import annotations

from typing import Any

from onplan.errors import (
    IdleTimeoutError,
    OnplanError,
    RefreshError,
    StreamTruncatedError,
    TotalTimeoutError,
    TransportError,
)
from onplan.integrations.service_transport import UNANSWERED


class SDKFailures:
    """Makes them. ``sdk`` is the module ``openai``."""

    def __init__(self, sdk: Any) -> None:
        self._sdk = sdk

    def unanswered(self, error: OnplanError, request: Any) -> Exception | None:
        """The SDK's error for ``error``, with its message and hint; None if that is an answer."""
        if not _is_without_answer(error):
            return None
        # The classes are called the same; a hint has one of them.
        told = f"{error.message} {error.hint.replace('`Client(', '`OpenAI(')}".strip()
        is_late = isinstance(error, IdleTimeoutError | TotalTimeoutError)
        made = self._timeout(told, request) if is_late else self._connection(told, request)
        error.__context__ = None  # an error of a library, which has its own request
        made.__cause__ = error
        return made

    def timed_out(self, request: Any, seconds: float) -> Exception:
        """The SDK's error for its own timeout, which came with the request."""
        told = (
            f"Nothing of the answer came for {seconds:g} seconds, the timeout of this request. "
            "Allow more: `client.with_options(timeout=…)`."
        )
        return self._timeout(told, request)

    def closed(self, request: Any) -> Exception:
        """The SDK's error for reading a stream that was closed."""
        told = "The stream was closed before its end: what came is not the whole answer."
        return self._connection(told, request)

    def _timeout(self, message: str, request: Any) -> Exception:
        made: Exception = self._sdk.APITimeoutError(request=request)
        made.message, made.args = message, (message,)  # type: ignore[attr-defined] # it takes none
        return made

    def _connection(self, message: str, request: Any) -> Exception:
        made: Exception = self._sdk.APIConnectionError(message=message, request=request)
        return made


def failure_of(error: Any) -> Exception | None:
    """What a request fails with if its status error is no answer of anybody; None for other ones."""
    failure: Exception | None = error.response.extensions.pop(UNANSWERED, None)
    return failure


def _is_without_answer(error: OnplanError) -> bool:
    if isinstance(error, RefreshError):  # the sign-in service is asked as well
        return error.unanswered
    return isinstance(error, TransportError | StreamTruncatedError)
