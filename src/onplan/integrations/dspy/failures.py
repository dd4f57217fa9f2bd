"""onplan's errors as those of ``dspy.lm15``, which DSPy makes its own of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dspy import lm15

from onplan import errors
from onplan.integrations.dspy.parts import PROVIDER
from onplan.integrations.hints import DSPY, in_words

# The first that fits counts. DSPy tries again after a rate limit, a timeout, a server's error and one of the
# transport; not when the plan is used up, which is why that is no rate limit here.
_CLASSES: tuple[tuple[type[errors.OnplanError], Any], ...] = (
    (errors.ContextLengthError, lm15.ContextLengthError),
    (errors.ModelNotAvailableError, lm15.UnsupportedModelError),
    (errors.InvalidRequestError, lm15.InvalidRequestError),
    (errors.NotSignedInError, lm15.NotConfiguredError),
    (errors.CredentialError, lm15.AuthError),
    (errors.RateLimitError, lm15.RateLimitError),
    (errors.LimitError, lm15.BillingError),
    (errors.ServerError, lm15.ServerError),
    (errors.BackendError, lm15.ProviderError),
    (errors.IdleTimeoutError, lm15.TimeoutError),
    (errors.TotalTimeoutError, lm15.TimeoutError),
    (errors.TransportError, lm15.TransportError),
    (errors.StreamTruncatedError, lm15.TransportError),
    (errors.StreamFailedError, lm15.ServerError),
    (errors.StreamError, lm15.StreamAssemblyError),
    (errors.ConfigurationError, lm15.ConfigurationError),
)


def failure(error: errors.OnplanError) -> Exception:
    """The error of ``dspy.lm15`` for ``error``; its message says what to do, too."""
    kind = next((theirs for ours, theirs in _CLASSES if isinstance(error, ours)), lm15.ProviderError)
    known: dict[str, Any] = {}
    hint = in_words(error.hint, DSPY)
    message = f"{error.message} {hint}".strip()
    if kind in (lm15.AuthError, lm15.NotConfiguredError):
        message, known["credential_hint"] = error.message, hint
    made: Exception = kind(
        message,
        provider=PROVIDER,
        provider_code=error.code,
        status=error.status_code,
        request_id=error.request_id,
        retry_after=error.retry_after,
        **known,
    )
    return made


@contextmanager
def translated() -> Iterator[None]:
    """Raises what ``failure`` makes of an OnplanError."""
    try:
        yield
    except errors.OnplanError as error:
        raise failure(error) from error
