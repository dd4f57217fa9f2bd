"""Errors in OpenAI's words: the status, the type and the code that its clients act on."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from onplan import errors
from onplan.dialects.openai_errors import (
    NEVER_AGAIN,
    ParameterError,
    error_fields,
    failure_reply,
    parameter_error,
    refusal,
)
from onplan.errors import OnplanError

CALLERS, SERVERS = "invalid_request_error", "server_error"


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (errors.ModelNotAvailableError("x"), 404, CALLERS, "model_not_found"),
        (errors.ContextLengthError("x"), 400, CALLERS, "context_length_exceeded"),
        (errors.ContentPolicyError("x"), 400, CALLERS, "content_filter"),
        (errors.InvalidImageError("x"), 400, CALLERS, "invalid_image"),
        (errors.InvalidRequestError("x"), 400, CALLERS, "invalid_request"),
        (errors.NotSignedInError("x"), 403, "authentication_error", "not_signed_in"),
        (errors.SignInAgainError("x"), 403, "authentication_error", "not_signed_in"),
        (errors.PlanNotPermittedError("x"), 403, "authentication_error", "plan_not_permitted"),
        (errors.StoreError("x"), 503, SERVERS, "credential_unavailable"),
        (errors.BudgetError("x"), 429, "usage_limit_reached", "usage_limit_reached"),
        (errors.UsageLimitError("x"), 429, "usage_limit_reached", "usage_limit_reached"),
        (errors.NotIncludedError("x"), 403, "insufficient_quota", "usage_not_included"),
        (errors.RateLimitError("x"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (errors.OverloadedError("x"), 503, SERVERS, "server_is_overloaded"),
        (errors.ServerError("x"), 502, SERVERS, "upstream_error"),
        (errors.BlockedError("x"), 502, SERVERS, "upstream_error"),
        (errors.ConnectError("x"), 502, SERVERS, "upstream_error"),
        (errors.StreamTruncatedError("x"), 502, SERVERS, "upstream_error"),
        (errors.IdleTimeoutError("x"), 504, SERVERS, "idle_timeout"),
        (errors.TotalTimeoutError("x"), 504, SERVERS, "total_timeout"),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_errors_are_told_in_their_words(error: OnplanError, status: int, kind: str, code: str) -> None:
    """Other people's clients look for the platform's types and codes; sentence and advice are onplan's."""
    reply = failure_reply(error)
    assert isinstance(reply.body, bytes)
    told = msgspec.json.decode(reply.body)["error"]
    assert (reply.status, told["type"], told["code"]) == (status, kind, code)
    assert {"message", "type", "param", "code"} == set(told)
    assert told["message"].startswith("x")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.UsageLimitError("It is used up.", hint="Wait."), "It is used up. Wait."),
        (errors.CertificateError("x"), "x Run `onplan doctor`, where the server runs."),
        (errors.BudgetError("x"), "x `GET /v1/usage` tells what this key may use."),
        (errors.InvalidRequestError("x", hint="Write `n=1`."), f"x {errors.InvalidRequestError.hint}"),
        (errors.InvalidImageError("x", hint="Give `Image(data=…)`."), f"x {errors.InvalidImageError.hint}"),
        (
            errors.ContextLengthError("x", hint='`compact="auto"` helps.'),
            f"x {errors.ContextLengthError.hint}",
        ),
    ],
)
def test_clients_of_http_get_no_advice_for_programs_in_python(error: OnplanError, told: str) -> None:
    """Commands and what a request may say are for everyone; a call of onplan's is left out."""
    assert error_fields(error)["message"] == told


def test_no_error_s_own_advice_is_for_programs_in_python_alone() -> None:
    """Whatever its class: the reply shows no call, no method and no keyword argument."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, OnplanError) and kind.__init__ is OnplanError.__init__:
            message = error_fields(kind("x"))["message"]
            assert not {"Client(", "client.", "timeout=", "onplan."} & set(re.findall(r"\w+[(.=]", message))


@pytest.mark.parametrize("wait", [None, 0.2, 5.0, 7_200.0])
def test_nobody_is_told_to_wait_for_hours(wait: float | None) -> None:
    """openai-node 6 would sleep as long as it is told."""
    headers = failure_reply(errors.RateLimitError("x", retry_after=wait)).headers
    assert 1 <= int(headers["retry-after"]) <= 60


def test_a_usage_limit_is_not_asked_about_again() -> None:
    """Its reset is told in the body, and SDKs are told not to retry."""
    error = errors.UsageLimitError("x", resets_at=1_790_000_000.4, retry_after=7_200.0)
    reply = failure_reply(error)
    assert error_fields(error)["resets_at"] == 1_790_000_000
    assert reply.headers["x-should-retry"] == "false"
    assert "retry-after" not in reply.headers


def test_an_error_of_ours_is_told_as_it_says() -> None:
    """With the field that is wrong, its own code and status, and no hint."""
    error = ParameterError("n is wrong.", param="n", code="of_ours", status=404)
    reply = failure_reply(error)

    assert reply.status == 404
    assert error_fields(error) == {
        "message": "n is wrong.",
        "type": CALLERS,
        "param": "n",
        "code": "of_ours",
    }
    plain = ParameterError("n is wrong.")
    assert (plain.told.status, plain.told.code, plain.param) == (400, "invalid_value", None)


def test_a_refusal_has_the_same_shape() -> None:
    """The reply to what is refused without a turn: when a limit ends is told where it is known."""
    plain = refusal(404, "unknown_url", "No such path.")
    assert plain.status == 404
    assert isinstance(plain.body, bytes)
    assert msgspec.json.decode(plain.body) == {
        "error": {"message": "No such path.", "type": CALLERS, "param": None, "code": "unknown_url"}
    }
    assert plain.headers == {"content-type": "application/json"}

    full = refusal(429, "x", "y", type="z", param="n", headers=NEVER_AGAIN, resets_at=0)
    assert isinstance(full.body, bytes)
    assert msgspec.json.decode(full.body) == {
        "error": {"message": "y", "type": "z", "param": "n", "code": "x", "resets_at": 0}
    }
    assert full.headers == {"content-type": "application/json", **NEVER_AGAIN}


class _Shape(msgspec.Struct):
    name: str
    size: int = 0
    inner: list[dict[str, int]] = []


@pytest.mark.parametrize(
    ("value", "param", "message"),
    [
        ({}, "field.name", "field.name is missing."),
        ({"name": 5}, "field.name", "field.name: Expected string, got integer."),
        ({"name": "x", "size": "x"}, "field.size", "field.size: Expected integer, got string."),
        (
            {"name": "x", "inner": [{"a": True}]},
            "field.inner[0]",
            "field.inner[0]: Expected integer, got boolean.",
        ),
        ([], "field", "field: Expected object, got array."),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_value(value: Any, param: str, message: str) -> None:
    """It is told in the words of JSON, with its place."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(value), type=_Shape)
    error = parameter_error(caught.value, "field")
    assert (error.param, error.message) == (param, message)
