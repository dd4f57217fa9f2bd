"""onplan's errors as LangChain's: each is raised as a class that is both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langchain_core import exceptions

from onplan import errors
from onplan.errors import OnplanError


class RetryableModelError(Exception):
    """A base of the errors after which the same request may succeed: what ``with_retry`` is to try again."""


@contextmanager
def langchain_errors() -> Iterator[None]:
    """Raise LangChain's error in place of onplan's, from the same place."""
    try:
        yield
    except OnplanError as error:
        raise as_langchain(error).with_traceback(error.__traceback__) from error.__cause__


def as_langchain(error: OnplanError) -> OnplanError:
    """The same error as an instance of LangChain's class, too; ``str`` of it ends with the hint."""
    if hasattr(error, "is_retryable"):  # it is one
        return error
    state = {**vars(error)}
    if notes := [note for note in state.pop("__notes__", ()) if note != error.hint]:  # it would be told twice
        state["__notes__"] = notes
    return _restored(type(error), error.args, state)


def _restored(kind: type[OnplanError], arguments: tuple[Any, ...], state: dict[str, Any]) -> OnplanError:
    combined = combined_class(kind)
    error = combined.__new__(combined, *arguments)
    vars(error).update(state)
    return error


def combined_class(kind: type[OnplanError]) -> type[OnplanError]:
    """The class for errors of ``kind``, which ``except`` finds by either name; always the same one."""
    return _made.get(kind) or _made.setdefault(kind, _combined(kind))


_made: dict[type[OnplanError], type[OnplanError]] = {}


def _combined(kind: type[OnplanError]) -> type[OnplanError]:
    nearest = next(name for each in kind.__mro__ if (name := _COUNTERPARTS.get(each)))
    # Before 1.7 langchain-core has no classes for failures of models.
    theirs: type[Exception] = getattr(exceptions, nearest, exceptions.LangChainException)
    bases = (kind, theirs, RetryableModelError) if kind.retryable else (kind, theirs)
    return type(
        kind.__name__,
        bases,
        {
            "__doc__": kind.__doc__,
            "__module__": kind.__module__,
            "__str__": _with_hint,
            "__reduce__": lambda self: (_restored, (kind, self.args, vars(self))),
            "is_retryable": kind.retryable,
        },
    )


def _with_hint(error: OnplanError) -> str:
    return f"{error.message} {error.hint}"


# The class of LangChain for each of onplan's and those below it.
_COUNTERPARTS: Mapping[type, str] = {
    OnplanError: "ModelError",
    errors.InvalidRequestError: "ModelInvalidRequestError",
    errors.ContextLengthError: "ContextOverflowError",
    errors.ModelNotAvailableError: "ModelNotFoundError",
    errors.CredentialError: "ModelAuthenticationError",
    errors.PlanNotPermittedError: "ModelPermissionDeniedError",
    errors.NotIncludedError: "ModelPermissionDeniedError",
    errors.LimitError: "ModelRateLimitError",
    errors.BackendError: "ModelAPIError",
    errors.StreamError: "ModelAPIError",
    errors.TransportError: "ModelConnectionError",
    errors.IdleTimeoutError: "ModelTimeoutError",
    errors.TotalTimeoutError: "ModelTimeoutError",
}
