from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from onplan.answers.failures import Complaint, failure_of_complaint, failure_of_response
from onplan.errors import (
    BlockedError,
    ContentPolicyError,
    ContextLengthError,
    InvalidImageError,
    InvalidRequestError,
    ModelNotAvailableError,
    NotIncludedError,
    OnplanError,
    OverloadedError,
    RateLimitError,
    ServerError,
    SignInAgainError,
    StreamFailedError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.flow import NOTHING, Response

NOW = 1_800_000_000.0


def error(code=None, message=None, **fields):
    return {"error": {"code": code, "message": message, **fields}}


@dataclass
class Case:
    id: str
    status: int
    body: object
    error: type[OnplanError]
    headers: dict[str, str] = field(default_factory=dict)
    says: str = ""
    known: dict[str, object] = field(default_factory=dict)


PAGE = b"<!DOCTYPE html><html><body>Sorry, you have been blocked</body></html>"
HTML = {"content-type": "text/html; charset=UTF-8"}
WAIT = {"retry-after": "2"}

CASES = [
    Case("400", 400, error(None, "Bad input."), InvalidRequestError, says="Bad input"),
    Case("400, empty", 400, b"", InvalidRequestError, says="HTTP 400"),
    Case(
        "400, detail",
        400,
        {"detail": "Unsupported parameter: max_output_tokens"},
        InvalidRequestError,
        says="Unsupported parameter: max_output_tokens",
    ),
    Case(
        "422, list of details",
        422,
        {"detail": [{"loc": ["body", "model"], "msg": "Field required"}, {"type": "missing"}, "x"]},
        InvalidRequestError,
        says="body.model: Field required; missing",
    ),
    Case("400, error is a string", 400, {"error": "Nope."}, InvalidRequestError, says="Nope"),
    Case("400, a top-level message", 400, {"message": "Nope."}, InvalidRequestError, says="Nope"),
    Case("400, no object but a list", 400, ["Nope."], InvalidRequestError, says="Nope."),
    Case("400, a number", 400, 7, InvalidRequestError, says="HTTP 400"),
    Case("400, context", 400, error("context_length_exceeded"), ContextLengthError),
    Case(
        "400, context in words",
        400,
        {"detail": "Your input exceeds the context window of this model."},
        ContextLengthError,
    ),
    Case("400, policy", 400, error("cyber_policy", "Flagged."), ContentPolicyError, says="Flagged"),
    Case("400, code in capitals", 400, error("Invalid_Prompt"), ContentPolicyError),
    Case(
        "400, image in words",
        400,
        error("invalid_value", "The image data you provided is not valid."),
        InvalidImageError,
    ),
    Case(
        "400, model in words",
        400,
        {"detail": "The 'x' model is not supported when using Codex with a ChatGPT account."},
        ModelNotAvailableError,
    ),
    Case(
        "400, version in words",
        400,
        {"detail": "The 'x' model requires a newer version of Codex."},
        ModelNotAvailableError,
    ),
    Case("404, model", 404, error("model_not_found", "No such model."), ModelNotAvailableError),
    Case("404", 404, {"detail": "Not Found"}, UnexpectedReplyError),
    Case(
        "404 that is a usage limit",
        404,
        error(None, None, type="usage_limit_reached", plan_type="plus", resets_at=1.5e9),
        UsageLimitError,
        says="2017-07-1",
        known={"resets_at": 1.5e9},
    ),
    Case("401", 401, error("token_expired", "Expired."), SignInAgainError, says="Expired"),
    Case("401, empty", 401, b"", SignInAgainError),
    Case("402", 402, {"detail": {"code": "deactivated_workspace"}}, NotIncludedError),
    Case("403", 403, {"detail": "Not in your country."}, NotIncludedError, says="Not in your country"),
    Case("403, page", 403, PAGE, BlockedError, {**HTML, "cf-ray": "8abc-OSL"}, says="8abc-OSL"),
    Case("403, page without a type", 403, PAGE, BlockedError),
    Case("403, empty page", 403, b"", BlockedError, HTML),
    Case(
        "400, a key that Gemini refuses",
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "API key not valid. Please pass a valid API key.",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        SignInAgainError,
        says="API key not valid",
    ),
    Case(
        "400, a key that has expired",
        400,
        error(None, "API key expired. Please refresh the API key."),
        SignInAgainError,
    ),
    Case(
        "400, a key that xAI refuses",
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***."},
        SignInAgainError,
    ),
    Case("403, a key", 403, error(None, "Invalid API Key"), SignInAgainError),
    Case(
        "400, a field that only sounds like it",
        400,
        error(None, "Invalid value for 'api_key_hint'."),
        InvalidRequestError,
    ),
    Case("401, page", 401, PAGE, UnexpectedReplyError, HTML),
    Case("407, page", 407, PAGE, UnexpectedReplyError, HTML),
    Case("413", 413, b"", InvalidRequestError),
    Case(
        "429, usage limit",
        429,
        error(None, None, type="usage_limit_reached"),
        UsageLimitError,
        says="usage limit",
    ),
    Case(
        "429, usage limit, with a wait",
        429,
        error(None, None, type="usage_limit_reached", resets_at=1.5e9),
        UsageLimitError,
        WAIT,
        known={"retry_after": 2.0},
    ),
    Case("429, quota", 429, error("insufficient_quota"), UsageLimitError),
    Case("429, not included", 429, error(None, None, type="usage_not_included"), NotIncludedError),
    Case(
        "429, code unknown, type known",
        429,
        error("moonrise", None, type="usage_limit_reached"),
        UsageLimitError,
    ),
    Case("429", 429, error("moonrise", "Slow."), RateLimitError, says="Slow"),
    Case("429, seconds", 429, b"", RateLimitError, WAIT, known={"retry_after": 2.0}),
    Case("520, seconds in the body", 520, b'{"retry_after": 60}', ServerError, known={"retry_after": 60.0}),
    Case(
        "429, a date",
        429,
        b"",
        RateLimitError,
        {"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"},
        known={"retry_after": 30.0},
    ),
    Case(
        "429, in words",
        429,
        error("rate_limit_exceeded", "Try again in 250ms."),
        RateLimitError,
        known={"retry_after": 0.25},
    ),
    Case(
        "429, in words and in a header",
        429,
        error("rate_limit_exceeded", "Try again in 1.5s."),
        RateLimitError,
        WAIT,
        known={"retry_after": 1.5},
    ),
    Case("429, page", 429, PAGE, RateLimitError, {**HTML, **WAIT}, known={"retry_after": 2.0}),
    Case("500", 500, error("moonrise", "Oops."), ServerError, says="Oops"),
    Case("500, page", 500, PAGE, ServerError, HTML),
    Case("502, empty", 502, b"", ServerError, says="HTTP 502"),
    Case("500 that speaks of images", 500, error(None, "invalid image service"), ServerError),
    Case(
        "503, overloaded",
        503,
        error("server_is_overloaded"),
        OverloadedError,
        WAIT,
        known={"retry_after": 2.0},
    ),
    Case("503, slow down", 503, error("slow_down"), RateLimitError),
    Case("503, page with a wait", 503, PAGE, ServerError, {**HTML, **WAIT}, known={"retry_after": 2.0}),
    Case("499, page", 499, PAGE, UnexpectedReplyError, HTML),
    Case("503, about the model", 503, error(None, "Gone.", param="model"), ServerError, says="Gone."),
    Case("200, page", 200, PAGE, UnexpectedReplyError, HTML, says="web page"),
    Case("200, neither JSON nor page", 200, b"OK", UnexpectedReplyError),
    Case("302", 302, b"", UnexpectedReplyError, {"location": "https://example.org/"}),
    Case(
        "request id",
        500,
        b"{}",
        ServerError,
        {"x-request-id": "req-1", "x-oai-request-id": "req-2"},
        known={"request_id": "req-1"},
    ),
    Case(
        "other request id",
        500,
        b"{}",
        ServerError,
        {"x-request-id": "", "x-oai-request-id": "req-2"},
        known={"request_id": "req-2"},
    ),
    Case(
        "page, request id", 502, PAGE, ServerError, {"x-request-id": "req-1"}, known={"request_id": "req-1"}
    ),
    Case(
        "reset in the far future",
        429,
        error(None, None, type="usage_limit_reached", resets_at=1.8e12),
        UsageLimitError,
    ),
    Case(
        "reset that is no time",
        429,
        error(None, None, type="usage_limit_reached", resets_at="soon"),
        UsageLimitError,
        known={"resets_at": None},
    ),
    Case(
        "reset at zero",
        429,
        error(None, None, type="usage_limit_reached", resets_at=0),
        UsageLimitError,
        known={"resets_at": None},
    ),
    Case(
        "reset at a time and in some seconds",
        429,
        error(None, None, type="usage_limit_reached", resets_at=NOW + 9, resets_in_seconds=5),
        UsageLimitError,
        known={"resets_at": NOW + 9},
    ),
    Case(
        "the window that is used up",
        429,
        error(None, None, type="usage_limit_reached"),
        UsageLimitError,
        {"x-codex-primary-used-percent": "100", "x-codex-primary-window-minutes": "300"},
        known={"window_minutes": 300},
    ),
    Case(
        "a detail that says nothing of where",
        422,
        {"detail": [{"loc": None, "msg": "Bad."}]},
        InvalidRequestError,
        says="Bad",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_a_reply_means(case):
    """A status, a body and headers together mean one error, with what is known about it."""
    body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()

    found = failure_of_response(Response(case.status, case.headers, body), NOW)

    assert case.error is type(found)
    assert case.says in str(found)
    assert case.status == found.status_code
    for name, value in case.known.items():
        assert value == getattr(found, name), name


@pytest.mark.parametrize(
    ("found", "retryable"),
    [
        (RateLimitError, True),
        (ServerError, True),
        (OverloadedError, True),
        (UsageLimitError, False),
        (NotIncludedError, False),
        (InvalidRequestError, False),
        (SignInAgainError, False),
        (BlockedError, False),
        (UnexpectedReplyError, False),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_only_what_may_pass_is_worth_another_try(found, retryable):
    """Asking again is for failures that time heals; a used-up plan is not among them."""
    assert retryable is found.retryable


@pytest.mark.parametrize(
    ("seconds", "hint"),
    [
        ("2", "Wait a moment and try again."),
        ("30", "Wait 30 seconds and try again."),
        ("3600", "Wait 60 minutes and try again."),
        ("86400", "Wait 24 hours and try again."),
    ],
)
def test_a_long_wait_is_named_in_the_hint(seconds, hint):
    """Who is to wait for an hour is not sent back after a moment."""
    error = failure_of_response(Response(429, {"retry-after": seconds}, b""), NOW)

    assert hint == error.hint


@pytest.mark.parametrize(("headers", "wait"), [({}, None), (WAIT, 2.0)], ids=["no wait", "a wait"])
def test_too_many_requests_are_asked_again_whether_or_not_the_server_says_when(headers, wait):
    """A bare 429 is a rate limit, which passes: retryable, as every error of its class."""
    error = failure_of_response(Response(429, headers, b""), NOW)

    assert (error.retryable, error.retry_after) == (True, wait)


def test_a_message_is_one_line_of_bearable_length():
    """Whatever the backend writes, the sentence is one line that fits a terminal."""
    body = json.dumps(error(None, "a\n\tb " + "x" * 10_000)).encode()

    sentence = str(failure_of_response(Response(400, {}, body), NOW))

    assert sentence == "a b " + "x" * 496


def test_a_long_message_in_a_stream_is_cut_as_well():
    """The same sentence as in a reply of its own, whatever is known of the error."""
    for code in (None, "server_error"):
        assert str(complaint({"code": code, "message": "x" * 10_000})) == "x" * 500


@pytest.mark.parametrize(
    ("status", "message", "says"),
    [
        (400, "Bad value.", "Bad value. (Parameter: top_p.)"),
        (400, "Bad top_p.", "Bad top_p."),
        (503, "Bad value.", "Bad value."),
    ],
)
def test_the_parameter_is_named(status, message, says):
    """Once, and only where the request is to blame."""
    body = json.dumps(error(None, message, param="top_p")).encode()

    assert str(failure_of_response(Response(status, {}, body), NOW)).startswith(says)
    assert str(failure_of_response(Response(status, {}, body), NOW)).count("top_p") == says.count("top_p")


@pytest.mark.parametrize(
    ("given", "status", "expected"),
    [
        (None, None, StreamFailedError),
        ({}, None, StreamFailedError),
        ("It broke.", None, StreamFailedError),
        ({"code": None, "message": None}, None, StreamFailedError),
        ({"code": "server_error"}, None, ServerError),
        ({"message": "Your input exceeds the context window."}, None, ContextLengthError),
        ({"message": "x"}, 401, SignInAgainError),
        ({"message": "x"}, 429, RateLimitError),
        ({"message": "x"}, 400, InvalidRequestError),
        ({"message": "x"}, 503, ServerError),
        ({"type": "usage_limit_reached"}, 429, UsageLimitError),
    ],
    ids=str,
)
def test_what_a_failure_inside_a_stream_means(given, status, expected):
    """A failure that is told inside a stream means what it would mean as a reply of its own."""
    found = failure_of_complaint(Complaint(given, status), request_id="req-1")

    assert expected is type(found)
    assert status == found.status_code
    assert "req-1" == found.request_id
    assert str(found)


def test_a_limit_may_say_in_how_many_seconds_it_resets():
    """``resets_in_seconds`` counts from now where no time is given."""
    body = json.dumps(error("usage_limit_reached", "No more.", resets_in_seconds=60)).encode()

    assert failure_of_response(Response(429, {}, body), NOW).resets_at == NOW + 60


def response(status: int, body: object = b"", headers: Mapping[str, str] = NOTHING) -> OnplanError:
    """The error for a response."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure_of_response(Response(status, dict(headers), data), NOW)


def complaint(body: object, status: int | None = None) -> OnplanError:
    """The error for what a stream reports."""
    return failure_of_complaint(Complaint(body, status))


REFUSED_TOKENS: dict[str, tuple[OnplanError, bool]] = {
    "a response of 401": (response(401), True),
    "401 with a known code": (response(401, error("subscription_sharing_invalid_user")), True),
    "401 of a key": (response(401, error("invalid_api_key", "Incorrect API key provided: sk-x.")), True),
    "400 about a key": (response(400, error(None, "API key not valid.")), False),
    "the same code at 403": (response(403, error("subscription_sharing_invalid_user")), False),
    "another account's header": (response(400, error(None, "Account id does not match the token.")), False),
    "401 in an error event": (complaint({"message": "x"}, 401), True),
    "401 as the code in a stream": (complaint({"code": 401, "message": "x"}), True),
    "a kind without a status": (complaint({"type": "authentication_error", "message": "x"}), True),
    "a kind beside another status": (complaint({"type": "authentication_error", "message": "x"}, 400), False),
    "words without a status": (complaint({"message": "Account id does not match the token."}), False),
}


@pytest.mark.parametrize("name", REFUSED_TOKENS)
def test_whether_the_api_refused_the_token(name: str) -> None:
    """401 refuses the token wherever it is said, and so does an error of that kind that has no status."""
    found, refused = REFUSED_TOKENS[name]
    assert refused == (isinstance(found, SignInAgainError) and found.token_refused)


@pytest.mark.parametrize(
    "found", [response(401, error("insufficient_quota")), response(401, PAGE, HTML)], ids=["quota", "page"]
)
def test_401_about_something_else_refuses_no_token(found: OnplanError) -> None:
    """A code that says more than 401, or a page that the API did not send, is its own error."""
    assert not isinstance(found, SignInAgainError)


@pytest.mark.parametrize(
    ("fields", "headers", "whose"),
    [
        ({"plan_type": "plus"}, {}, "the plus plan"),
        ({}, {"x-codex-plan-type": "pro"}, "the pro plan"),
        ({"plan_type": "plus"}, {"x-codex-plan-type": "pro"}, "the plus plan"),
        ({}, {}, "the ChatGPT plan"),
    ],
    ids=["the body", "a header", "both", "neither"],
)
def test_whose_limit_is_reached(fields: dict[str, str], headers: dict[str, str], whose: str) -> None:
    """The body of the error says it, or else a header."""
    body = json.dumps({"error": {"type": "usage_limit_reached", **fields}}).encode()

    assert failure_of_response(Response(429, headers, body), NOW).message == (
        f"The usage limit of {whose} is reached."
    )


@pytest.mark.parametrize(
    ("status", "seconds", "is_told"),
    [(429, "11", True), (429, "10", False), (429, "9.5", False), (503, "11", False)],
)
def test_the_hint_says_how_long_a_rate_limit_lasts(status: int, seconds: str, is_told: bool) -> None:
    """If that is more than a moment; a failing server is something else."""
    found = failure_of_response(Response(status, {"retry-after": seconds}, b""), NOW)

    assert found.retry_after == float(seconds)
    assert found.hint.endswith(" seconds and try again.") is is_told
