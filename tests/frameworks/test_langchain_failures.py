"""Failures of LangChain's chat model on the plan: whose error each is, and what is tried again."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest

import onplan
from onplan.emulator import Emulator

pytest.importorskip("langchain_core")

from langchain_core import exceptions

from onplan.integrations.langchain import ChatOnplan, RetryableModelError

from .langchain_model import (  # noqa: F401
    HAS_MODEL_ERRORS,
    MODEL,
    Bird,
    added,
    bodies,
    model,
    needs_v3,
    v3_is_beta,
    weather,
)

FAULTS: list[tuple[str, type[onplan.OnplanError], str, bool]] = [
    ("usage_limit_429", onplan.UsageLimitError, "ModelRateLimitError", False),
    ("response_failed_usage_limit_reached", onplan.UsageLimitError, "ModelRateLimitError", False),
    ("usage_not_included", onplan.NotIncludedError, "ModelPermissionDeniedError", False),
    ("rate_limited_429", onplan.RateLimitError, "ModelRateLimitError", True),
    ("overloaded_503", onplan.OverloadedError, "ModelAPIError", True),
    ("cloudflare_403", onplan.BlockedError, "ModelAPIError", False),
    ("context_length_exceeded", onplan.ContextLengthError, "ContextOverflowError", False),
    ("model_not_supported", onplan.ModelNotAvailableError, "ModelNotFoundError", False),
    ("content_policy", onplan.ContentPolicyError, "ModelInvalidRequestError", False),
    ("connection_reset", onplan.DisconnectError, "ModelConnectionError", True),
    ("cut_mid_event", onplan.StreamTruncatedError, "ModelAPIError", True),
    ("eof_without_terminal", onplan.StreamTruncatedError, "ModelAPIError", True),
]


@pytest.mark.parametrize(("fault", "ours", "theirs", "retryable"), FAULTS)
async def test_failures(
    signed_in: Emulator, fault: str, ours: type[onplan.OnplanError], theirs: str, retryable: bool
) -> None:
    """Each is both onplan's error and LangChain's, whole and streamed, sync and async; asked for once."""
    model = ChatOnplan(model=MODEL, max_retries=0, client_options={"transport": "sse"})
    signed_in.arm(fault, 9)

    async def read() -> None:
        async for _ in model.astream("one two three"):
            pass

    for ask in (lambda: model.invoke("one two three"), lambda: list(model.stream("one two three"))):
        signed_in.clear_journal()
        with pytest.raises(ours) as raised:
            ask()
        assert len(bodies(signed_in)) == 1
        _check(raised.value, theirs, retryable)
    for work in (model.ainvoke("one two three"), read()):
        signed_in.clear_journal()
        with pytest.raises(ours) as raised:
            await work
        assert len(bodies(signed_in)) == 1
        _check(raised.value, theirs, retryable)


def _check(error: Any, theirs: str, retryable: bool) -> None:
    assert isinstance(error, getattr(exceptions, theirs, exceptions.LangChainException))
    assert error.is_retryable is retryable
    assert str(error) == f"{error.message} {error.hint}"
    assert "".join(traceback.format_exception(error)).count(error.hint) == 1
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.request_id == error.request_id


@pytest.mark.parametrize("attempts", [{}, {"max_retries": 3}])
async def test_a_usage_limit_is_never_tried_again(signed_in: Emulator, attempts: dict[str, Any]) -> None:
    """Neither by onplan nor by LangChain's ``with_retry``; and a fallback answers in its place."""
    signed_in.arm("usage_limit_429", 99)
    model = ChatOnplan(model=MODEL, **attempts)
    chain = model.with_structured_output(Bird).with_retry(retry_if_exception_type=(RetryableModelError,))
    for asking in (model, model.with_retry(), model.bind_tools([weather]).with_retry(), chain):
        signed_in.clear_journal()
        with pytest.raises(onplan.UsageLimitError):
            asking.invoke("x")
        assert len(bodies(signed_in)) == 1
        with pytest.raises(onplan.UsageLimitError):
            await asking.ainvoke("x")
        assert len(bodies(signed_in)) == 2
    signed_in.disarm()
    signed_in.arm("usage_limit_429", 1)
    assert model.with_fallbacks([ChatOnplan(model="gpt-6-sol")]).invoke("x").content == "You said: x"


def test_rate_limits_are_tried_again_before_the_first_chunk(signed_in: Emulator) -> None:
    """By onplan, so that a program sees nothing of it; after the first chunk the error is raised."""
    model = ChatOnplan(model=MODEL)
    signed_in.arm("rate_limited_429_milliseconds", 1)
    assert added(model.stream("one two")).content == "You said: one two"
    assert len(bodies(signed_in)) == 2
    signed_in.clear_journal()
    signed_in.arm("response_failed_after_text", 9)
    seen: list[Any] = []
    with pytest.raises(onplan.ServerError):
        seen.extend(model.stream("one two"))
    assert "".join(chunk.content for chunk in seen)
    assert len(bodies(signed_in)) == 1


def test_with_retry_tries_what_may_pass(signed_in: Emulator) -> None:
    """A program may want more attempts than onplan's."""
    signed_in.arm("overloaded_503", 2)
    model = ChatOnplan(model=MODEL, max_retries=0)
    assert model.with_retry(wait_exponential_jitter=False).invoke("x").content == "You said: x"
    assert len(bodies(signed_in)) == 3


@needs_v3
@v3_is_beta
def test_a_cut_stream_of_events_is_an_error(signed_in: Emulator) -> None:
    """The typed stream has no message then."""
    signed_in.arm("eof_without_terminal", 9)
    stream = ChatOnplan(model=MODEL, max_retries=0).stream_events("one two", version="v3")
    with pytest.raises(onplan.StreamTruncatedError):
        list(stream)


def test_who_is_not_signed_in_is_told_what_to_type(emulator: Emulator) -> None:
    """LangChain's authentication error ends with the command."""
    with pytest.raises(onplan.NotSignedInError, match="onplan login") as raised:
        ChatOnplan(model=MODEL).invoke("x")
    if HAS_MODEL_ERRORS:
        assert isinstance(raised.value, exceptions.ModelAuthenticationError)


def test_a_revoked_sign_in(model: ChatOnplan, signed_in: Emulator) -> None:
    """It is the authentication error, too, and nothing of the token is in it."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(onplan.SignInAgainError, match="onplan login"):
        model.invoke("x")
