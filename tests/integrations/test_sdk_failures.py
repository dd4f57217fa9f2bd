"""Which of onplan's errors are no answer, and what OpenAI's SDK is told of them; without the SDK itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from onplan import errors
from onplan.integrations.sdk_failures import SDKFailures


class _ConnectionError(Exception):
    def __init__(self, *, message: str = "Connection error.", request: object) -> None:
        super().__init__(message)
        self.message, self.request = message, request


class _TimeoutError(_ConnectionError):
    def __init__(self, request: object) -> None:
        super().__init__(message="Request timed out.", request=request)


SDK = SimpleNamespace(APIConnectionError=_ConnectionError, APITimeoutError=_TimeoutError)


def _refresh_failed(*, unanswered: bool) -> errors.RefreshError:
    error = errors.RefreshError("x")
    error.unanswered = unanswered
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.ConnectError("x"), _ConnectionError),
        (errors.CertificateError("x"), _ConnectionError),
        (errors.ProxyError("x"), _ConnectionError),
        (errors.DisconnectError("x"), _ConnectionError),
        (errors.StreamTruncatedError("x"), _ConnectionError),
        (errors.IdleTimeoutError("x"), _TimeoutError),
        (errors.TotalTimeoutError("x"), _TimeoutError),
        (_refresh_failed(unanswered=True), _ConnectionError),
        (_refresh_failed(unanswered=False), None),
        (errors.StreamFailedError("x"), None),
        (errors.StreamCorruptError("x"), None),
        (errors.ServerError("x"), None),
        (errors.BlockedError("x"), None),
        (errors.UnexpectedReplyError("x"), None),
        (errors.UsageLimitError("x"), None),
        (errors.NotSignedInError("x"), None),
        (errors.InvalidRequestError("x"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_is_no_answer(error: errors.OnplanError, kind: type[Exception] | None) -> None:
    """No connection, a broken one and silence; what anybody has said is an answer."""
    made = SDKFailures(SDK).unanswered(error, "request")
    assert (type(made) if made else None) is kind


def test_what_is_told() -> None:
    """The message and the hint, for the class that the program has; the cause is onplan's error."""
    error = errors.IdleTimeoutError("The backend stopped answering.")
    error.__context__ = OSError("of a library")
    made: Any = SDKFailures(SDK).unanswered(error, "request")
    assert str(made) == made.message == f"{error.message} {error.hint.replace('Client', 'OpenAI')}"
    assert made.request == "request"
    assert made.__cause__ is error
    assert error.__context__ is None


def test_its_own_timeout_and_a_closed_stream() -> None:
    """Both say what happened, and a timeout how long it was."""
    made: list[Any] = [SDKFailures(SDK).timed_out("r", 0.25), SDKFailures(SDK).closed("r")]
    assert [type(each) for each in made] == [_TimeoutError, _ConnectionError]
    assert "0.25 seconds" in made[0].message
    assert "not the whole answer" in made[1].message
