"""onplan's errors as LangChain's: each is raised as a class that is both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from langchain_core import exceptions

from onplan import errors
from onplan.errors import OnplanError
from onplan.integrations.hints import LANGCHAIN
from onplan.integrations.told_errors import telling


class RetryableModelError(Exception):
    """A base of the errors after which the same request may succeed: what ``with_retry`` is to try again."""

    is_retryable = True  # as langchain-core 1.7 asks its own classes


class _FinalModelError(Exception):
    """A base of all others."""

    is_retryable = False


def langchain_errors() -> AbstractContextManager[None]:
    """Within it, LangChain's error is raised in place of onplan's; ``str`` of it ends with the hint."""
    return telling(LANGCHAIN, their_bases)


def their_bases(kind: type[OnplanError]) -> tuple[type, ...]:
    """LangChain's class for errors of ``kind``, and whether it may help to ask again."""
    nearest = next(name for each in kind.__mro__ if (name := _COUNTERPARTS.get(each)))
    # Before 1.7 langchain-core has no classes for failures of models.
    theirs: type[Exception] = getattr(exceptions, nearest, exceptions.LangChainException)
    return (RetryableModelError if kind.retryable else _FinalModelError, theirs)


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
