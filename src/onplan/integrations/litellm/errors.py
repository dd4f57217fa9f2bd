"""Tells errors as LiteLLM's own classes, which its callers, its router and its proxy know."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import httpx
import litellm

from onplan import errors
from onplan.dialects.openai_errors import NEVER_AGAIN, failure_reply, told_of
from onplan.integrations.hints import LITELLM, in_words

PROVIDER = "onplan"


def as_litellms(error: errors.OnplanError, model: str) -> Exception:
    """``error`` as LiteLLM tells it, with the next command; to be raised ``from`` it."""
    message = f"{error.message} {in_words(error.hint, LITELLM)}".strip()
    known = {"message": message, "llm_provider": PROVIDER, "model": model}
    if told_of(error).code == "unsupported_parameter":
        return _made(litellm.UnsupportedParamsError, known)
    make = next(make for kind, make in _CLASSES if isinstance(error, kind))
    return make(known, error)


def at_first_read(error: Exception) -> Exception:
    """The same error for a stream that fails before its first chunk, to pass through LiteLLM as it is.

    LiteLLM begins an asynchronous stream when it is first read, and wraps what that raises, unless it is
    of the wrapper's class: ``except litellm.RateLimitError`` would not see a limit.
    """
    kind = _wrapped(cast("Any", type(error)))
    made: Exception = kind.__new__(kind)
    made.args = error.args
    vars(made).update(original_exception=None, generated_content="", is_pre_first_chunk=True)
    vars(made).update(vars(error))
    return made


@cache
def _wrapped(kind: Any) -> Any:
    """A class that is both; made once for each, so that they are the same classes every time."""
    wrapper = litellm.exceptions.MidStreamFallbackError
    if issubclass(wrapper, kind):
        return wrapper
    return type(kind.__name__, (kind, wrapper), {})


def _made(kind: Callable[..., Any], known: dict[str, Any], **more: Any) -> Exception:
    made: Exception = kind(**known, **more)
    return made


def _with_response(
    kind: Callable[..., Any], status: int
) -> Callable[[dict[str, Any], errors.OnplanError], Exception]:
    """Of a class that is made with the reply: its headers say whether, and when, to ask again."""

    def make(known: dict[str, Any], error: errors.OnplanError) -> Exception:
        headers = {
            name: value
            for name, value in failure_reply(error).headers.items()
            if name in ("retry-after", *NEVER_AGAIN)
        }
        request = httpx.Request("POST", "https://onplan.invalid/v1/chat/completions")
        return _made(kind, known, response=httpx.Response(status, headers=headers, request=request))

    return make


def _plain(kind: Callable[..., Any]) -> Callable[[dict[str, Any], errors.OnplanError], Exception]:
    return lambda known, _: _made(kind, known)


def _api_error(status: int) -> Callable[[dict[str, Any], errors.OnplanError], Exception]:
    return lambda known, _: _made(litellm.APIError, known, status_code=status)


_CLASSES: tuple[
    tuple[type[errors.OnplanError], Callable[[dict[str, Any], errors.OnplanError], Exception]], ...
] = (
    (errors.NotIncludedError, _with_response(litellm.PermissionDeniedError, 403)),
    (errors.LimitError, _with_response(litellm.RateLimitError, 429)),
    (errors.ModelNotAvailableError, _plain(litellm.NotFoundError)),
    (errors.ContextLengthError, _plain(litellm.ContextWindowExceededError)),
    (errors.ContentPolicyError, _plain(litellm.ContentPolicyViolationError)),
    (errors.InvalidRequestError, _plain(litellm.BadRequestError)),
    (errors.ConfigurationError, _plain(litellm.BadRequestError)),
    (errors.RefreshError, _plain(litellm.ServiceUnavailableError)),  # temporary: nothing is lost
    (errors.CredentialError, _plain(litellm.AuthenticationError)),
    (errors.BlockedError, _with_response(litellm.PermissionDeniedError, 403)),
    (errors.OverloadedError, _plain(litellm.ServiceUnavailableError)),
    (errors.ServerError, _plain(litellm.InternalServerError)),
    (errors.IdleTimeoutError, _plain(litellm.Timeout)),
    (errors.TotalTimeoutError, _plain(litellm.Timeout)),
    (errors.TransportError, _plain(litellm.APIConnectionError)),
    (errors.StreamFailedError, _api_error(502)),
    (errors.StreamError, _plain(litellm.APIConnectionError)),
    (errors.OnplanError, _api_error(502)),
)
