"""What a server says of a failure, in every shape that it says it in, and which error that is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.answers.error_body import http_status, number, read_error
from onplan.answers.failures import (
    Complaint,
    complaint_of_body,
    complaint_of_payload,
    failure_of_complaint,
    failure_of_response,
    words_in,
)
from onplan.answers.sse import Body
from onplan.errors import (
    BlockedError,
    ContentPolicyError,
    ContextLengthError,
    EncryptedReasoningError,
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
from onplan.flow import Response

NOW = 1_800_000_000.0


@dataclass
class Case:
    id: str
    status: int
    body: Any
    error: type[OnplanError]
    says: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None


def error(message=None, code=None, **fields):
    return {"error": {"message": message, "code": code, **fields}}


def raw(said, **fields):
    """An error of a provider, as OpenRouter wraps it."""
    metadata = {"raw": said, "provider_name": "Acme"}
    return error("Provider returned error", 400, metadata={**metadata, **fields})


def quota(quota_id, *details, words=""):
    """A used-up quota, as Gemini tells it."""
    message = f"You exceeded your current quota, please check your plan and billing details.{words}"
    violations = [{"quotaId": quota_id}]
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}
    return [error(message, 429, status="RESOURCE_EXHAUSTED", details=[failure, *details])]


def retry_info(delay):
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
INNER = {"error": {"message": "at most 1 image per prompt", "type": "invalid_request_error"}}
PYDANTIC = {"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}

SHAPES = [
    Case("a provider's sentence", 400, raw("no images, please"), InvalidRequestError, "Acme: no images"),
    Case("a provider's JSON text", 400, raw(json.dumps(INNER)), InvalidRequestError, "at most 1 image"),
    Case("a provider's object", 400, raw(INNER), InvalidRequestError, "Acme: at most 1 image"),
    Case("a provider that says nothing", 400, raw(""), InvalidRequestError, "Provider returned error"),
    Case(
        "a provider's code",
        400,
        raw({"error": {"message": "x", "code": "context_length_exceeded"}}),
        ContextLengthError,
    ),
    Case("flat", 404, {"message": "No.", "code": "model_not_found"}, ModelNotAvailableError, "No."),
    Case("flat, msg", 400, {"code": 1213, "msg": "No such thing"}, InvalidRequestError, "No such thing"),
    Case("flat, by its param", 400, {"message": "No.", "param": "model"}, ModelNotAvailableError),
    Case(
        "an object as message",
        422,
        {"message": {"detail": [PYDANTIC]}},
        InvalidRequestError,
        "body.stream_options: E",
    ),
    Case(
        "an object as message, by its code",
        400,
        {"message": {"code": "context_length_exceeded", "text": "x"}},
        ContextLengthError,
    ),
    Case(
        "a param that the message does not name",
        400,
        error("Bad value.", param="tools[0]"),
        InvalidRequestError,
        "Bad value. (Parameter: tools[0].)",
    ),
    Case(
        "JSON text as message",
        422,
        {"object": "error", "message": json.dumps({"detail": [PYDANTIC]})},
        InvalidRequestError,
        "body.stream_options: Extra",
    ),
    Case(
        "text that only looks like JSON", 400, error("{model} is unknown"), InvalidRequestError, "{model} is"
    ),
    Case("where it is, as a number", 422, {"detail": [{"loc": 5, "msg": "x"}]}, InvalidRequestError, "5: x"),
    Case("where it is, as a text", 422, {"detail": [{"loc": "a", "msg": "x"}]}, InvalidRequestError, "a: x"),
    Case("errors in a list", 400, {"errors": [{"message": "a"}, {"detail": "b"}]}, InvalidRequestError, "a"),
    Case("an error in an error", 400, {"error": error("deep down")}, InvalidRequestError, "deep down"),
    Case(
        "OAuth's",
        400,
        {"error": "invalid_x", "error_description": "It is bad."},
        InvalidRequestError,
        "It is bad",
    ),
    Case(
        "Spring's",
        404,
        {"status": 404, "error": "Not Found", "message": "No static"},
        UnexpectedReplyError,
        "No static",
    ),
    Case(
        "problem+json",
        400,
        {"type": "about:blank", "title": "Bad", "detail": "Worse."},
        InvalidRequestError,
        "Worse",
    ),
    Case("a code alone", 403, {"detail": {"code": "not_yours"}}, NotIncludedError, "not_yours"),
    Case("a number alone", 400, {"code": 7}, InvalidRequestError, "HTTP 400"),
    Case("plain text", 503, b"upstream connect error", ServerError, "upstream connect error"),
    Case("plain text, several lines", 400, b"no\r\n\tway\n", InvalidRequestError, "no way"),
    Case("bytes", 400, b"\x00\x01\xff\xfe", InvalidRequestError, "HTTP 400"),
]

CONTEXT = {
    "OpenAI": "This model's maximum context length is 8192 tokens, however you requested 9000.",
    "OpenAI, Responses": "Your input exceeds the context window of this model.",
    "Anthropic": "prompt is too long: 210000 tokens > 200000 maximum",
    "Anthropic, output": "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "Bedrock": "Input is too long for requested model.",
    "Gemini": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Gemini, without": "The input token count exceeds the maximum number of tokens allowed 1048576.",
    "xAI": "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Groq": "Please reduce the length of the messages or completion.",
    "Copilot": "prompt token count of 130000 exceeds the limit of 128000",
    "llama.cpp": "the request exceeds the available context size. try increasing the context size",
    "LM Studio": "tokens to keep from the initial prompt is greater than the context length",
    "MiniMax": "invalid params, context window exceeds limit (2013)",
    "Kimi": "Invalid request: Your request exceeded model token limit: 262144",
    "Mistral": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "z.ai": "Prompt exceeds max length",
    "Ollama": "prompt too long; exceeded max context length by 4 tokens",
    "Together": "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 4000 `inputs` tokens",
    "TGI": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
    "SGLang": "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Qwen": "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]",
    "Ark": "Input length 140000 exceeds the maximum length 131072",
    "Doubao": "Total tokens of image and text exceed max message tokens",
    "Fireworks": "The prompt is too long: 200000, model maximum context length: 131071",
    "Cohere": "too many tokens: size limit exceeded by 11326 tokens.",
    "a gateway": "context_length_exceeded: token limit exceeded",
}
NO_CONTEXT = {
    "an allowance of a day": "Too many tokens per day, please wait before trying again.",
    "a rate limit": "Rate limit reached: too many tokens. The prompt is too long for it.",
    "throttling": "Throttling error: Too many tokens, please wait before trying again.",
    "a parameter": "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
    "a name": "tools[0].name exceeds max length of 64 characters",
}
TPM = "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000"
LIMITS = [
    Case("too large for a minute, 413", 413, error(TPM, "rate_limit_exceeded"), InvalidRequestError, "TPM"),
    Case(
        "the same, with a wait",
        429,
        error(TPM, "rate_limit_exceeded"),
        InvalidRequestError,
        headers={"retry-after": "1"},
        retry_after=1.0,
    ),
    Case("by its numbers alone", 429, error("TPM: Limit 30000, Requested 40000."), InvalidRequestError),
    Case(
        "one that fits",
        429,
        error("TPM: Limit 30000, Used 29000, Requested 4000. Try again in 6s."),
        RateLimitError,
        retry_after=6.0,
    ),
    Case("RetryInfo", 429, quota(PER_MINUTE, retry_info("0.25s")), RateLimitError, retry_after=0.25),
    Case(
        "RetryInfo as an object",
        429,
        quota(PER_MINUTE, retry_info({"seconds": 2, "nanos": 5e8})),
        RateLimitError,
        retry_after=2.5,
    ),
    Case(
        "a quota that says when, in words",
        429,
        quota(PER_MINUTE, words=" Please retry in 58.9s."),
        RateLimitError,
        retry_after=58.9,
    ),
    Case(
        "the same far behind",
        429,
        quota(PER_MINUTE, words=" x" * 400 + " Please retry in 3s."),
        RateLimitError,
        retry_after=3.0,
    ),
    Case(
        "a quota of a day",
        429,
        quota("GenerateRequestsPerDayPerProject", retry_info("30s")),
        UsageLimitError,
        retry_after=30.0,
    ),
    Case(
        "seconds in the body",
        429,
        {"error": {"message": "x"}, "retryAfter": 7},
        RateLimitError,
        retry_after=7.0,
    ),
    Case("a number in the message", 429, error("Busy. Retry-After: 5"), RateLimitError, retry_after=5.0),
    Case(
        "milliseconds in a header",
        429,
        error("x"),
        RateLimitError,
        headers={"retry-after-ms": "1500", "retry-after": "2"},
        retry_after=1.5,
    ),
    Case(
        "milliseconds in Azure's header",
        429,
        error("x"),
        RateLimitError,
        headers={"x-ms-retry-after-ms": "1500"},
        retry_after=1.5,
    ),
    Case(
        "a limit that is not used up does not count",
        429,
        error("x"),
        RateLimitError,
        headers={
            "x-ratelimit-reset-requests": "200ms",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-tokens": "6m",
            "x-ratelimit-remaining-tokens": "500",
        },
        retry_after=0.2,
    ),
    Case(
        "a balance that is too low, with a wait",
        429,
        error("Insufficient quota. Please retry in 5s."),
        RateLimitError,
        retry_after=5.0,
    ),
    Case("milliseconds in the body", 429, error("x", retry_after_ms=500), RateLimitError, retry_after=0.5),
    Case("a moment in the body", 429, error("x", retry_after=1_800_000_004), RateLimitError, retry_after=4.0),
    Case(
        "a date in the body",
        429,
        error("x", retry_after="2027-01-15T08:00:30Z"),
        RateLimitError,
        retry_after=30.0,
    ),
    Case(
        "a date without a zone in the body",
        429,
        error("x", retry_after="2027-01-15T08:00:30"),
        RateLimitError,
        retry_after=30.0,
    ),
    Case(
        "a number left that is no number",
        429,
        error("x"),
        RateLimitError,
        headers={"x-ratelimit-reset-requests": "200ms", "x-ratelimit-remaining-requests": "none"},
        retry_after=0.2,
    ),
    Case("a duration in the body", 429, error("x", retry_after="1m30s"), RateLimitError, retry_after=90.0),
    Case(
        "by what is left",
        429,
        error("x"),
        RateLimitError,
        headers={"x-ratelimit-reset-requests": "200ms", "x-ratelimit-remaining-requests": "0"},
        retry_after=0.2,
    ),
    Case(
        "a provider's headers",
        429,
        error("x", metadata={"headers": {"X-RateLimit-Reset": "1800000004000"}}),
        RateLimitError,
        retry_after=4.0,
    ),
    Case(
        "what is left says nothing of another failure",
        500,
        error("x"),
        ServerError,
        headers={"x-ratelimit-reset-requests": "6m"},
    ),
    Case(
        "too fast, by its type",
        429,
        {"message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"},
        RateLimitError,
    ),
    Case("overloaded, in a 429", 429, error("x", type="engine_overloaded_error"), OverloadedError),
    Case("overloaded, in words", 429, error("The model is overloaded, try later"), OverloadedError),
    Case(
        "over capacity, 498",
        498,
        error("m is currently over capacity.", type="capacity_exceeded"),
        OverloadedError,
    ),
    Case("529", 529, error("Overloaded", type="overloaded_error"), OverloadedError),
    Case("529, empty", 529, b"", OverloadedError),
    Case(
        "used up, by its type",
        429,
        error("Suspended", type="exceeded_current_quota_error"),
        UsageLimitError,
        "Suspended",
    ),
    Case(
        "no balance, in words",
        429,
        error("Insufficient balance or no resource package. Please recharge.", "1113"),
        UsageLimitError,
    ),
    Case("no balance, by its type", 429, error("(1008)", type="insufficient_balance_error"), UsageLimitError),
    Case(
        "no balance, in capitals",
        403,
        {"code": "INSUFFICIENT_BALANCE", "message": "Insufficient account balance"},
        UsageLimitError,
        "Insufficient account",
    ),
    Case(
        "no balance, in Chinese",
        429,
        error("\u4f59\u989d\u4e0d\u8db3\u6216\u65e0\u53ef\u7528\u8d44\u6e90\u5305"),
        UsageLimitError,
    ),
    Case("AWS's type", 400, {"__type": "ThrottlingException", "message": "Slow."}, RateLimitError, "Slow."),
    Case("Azure's name for a model", 404, error("No.", "DeploymentNotFound"), ModelNotAvailableError),
    Case("LiteLLM's model", 400, error("Invalid model name passed in model=x."), ModelNotAvailableError),
    Case("LiteLLM's budget", 400, error("Budget has been exceeded! Current cost: 5"), UsageLimitError),
    Case("a month's credits", 429, error("You have exceeded your monthly included credits"), UsageLimitError),
    Case("a usage limit that was hit", 429, error("You've reached your weekly usage limit"), UsageLimitError),
    Case("no credits", 400, error("Your credit balance is too low to access the API"), UsageLimitError),
    Case("no balance, 402", 402, error("Insufficient Balance"), NotIncludedError, "Insufficient Balance"),
    Case("a usage limit in words", 429, error("The usage limit has been reached"), UsageLimitError),
    Case(
        "reasoning that cannot be decrypted, in words",
        400,
        error("The encrypted content gAAA could not be verified."),
        EncryptedReasoningError,
    ),
    Case(
        "no provider serves it so",
        404,
        error("No endpoints found that support tool use.", 404),
        InvalidRequestError,
        "tool use",
    ),
    Case(
        "no provider serves it",
        404,
        error("No endpoints found for acme/m."),
        ModelNotAvailableError,
        "acme/m",
    ),
    Case(
        "a workspace that is gone",
        402,
        {"detail": {"code": "deactivated_workspace"}},
        NotIncludedError,
        "deactivated_workspace",
    ),
    Case(
        "another workspace",
        403,
        {"detail": {"code": "invalid_workspace_selected"}},
        NotIncludedError,
        "invalid_workspace_selected",
    ),
]

CLOUDFLARE = {"server": "cloudflare", "cf-ray": "8a1b2c-FRA"}
PROBLEM = {
    "type": "https://developers.cloudflare.com/error-1010/",
    "title": "Error 1010: Access denied",
    "status": 403,
    "detail": "Blocked by your browser's signature.",
    "error_code": 1010,
    "cloudflare_error": True,
}
FIREWALLS = [
    Case(
        "a number", 403, b"error code: 1020", BlockedError, "error code 1020, cf-ray 8a1b2c-FRA", CLOUDFLARE
    ),
    Case("a number, no header", 403, b"error code: 1006\n", BlockedError, "error code 1006"),
    Case("nothing", 403, b"", BlockedError, "cf-ray", CLOUDFLARE),
    Case("problem+json", 403, PROBLEM, BlockedError, "error code 1010"),
    Case(
        "its limit",
        429,
        b"error code: 1015",
        RateLimitError,
        "how often it lets you through (error code 1015)",
        CLOUDFLARE,
    ),
    Case("its failure", 530, b"error code: 1033", ServerError, "1033", CLOUDFLARE),
    Case("a challenge", 403, b"", BlockedError, "", {"cf-mitigated": "challenge"}),
    Case("a challenge with another status", 503, b"", BlockedError, "", {"cf-mitigated": "challenge"}),
    Case("a page with a byte order mark", 403, b"\xef\xbb\xbf<html></html>", BlockedError),
    Case(
        "a company's proxy",
        403,
        b"Access Denied by security policy",
        BlockedError,
        "Access Denied",
        {"server": "Zscaler/6.2"},
    ),
    Case("Squid", 403, b"Denied", BlockedError, "Denied", {"x-squid-error": "ERR_ACCESS_DENIED 0"}),
    Case("another region's law", 451, b"", BlockedError, "", CLOUDFLARE),
    Case("a stranger's text", 403, b"Nope", NotIncludedError, "Nope"),
    Case("nothing at all", 403, b"", NotIncludedError),
    Case(
        "the backend behind it", 403, error("Country not supported"), NotIncludedError, "Country", CLOUDFLARE
    ),
    Case("the sign-in behind it", 401, b"", SignInAgainError, "", CLOUDFLARE),
    Case("a request that speaks of it", 400, b"error code: 1010", InvalidRequestError, "1010"),
]


@pytest.mark.parametrize("case", [*SHAPES, *LIMITS, *FIREWALLS], ids=lambda case: case.id)
def test_what_a_refusal_says_is_told(case):
    """Each shape gives the right error, with the server's own words and the wait it asks for."""
    body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()

    found = failure_of_response(Response(case.status, case.headers, body), NOW)

    assert type(found) is case.error
    assert case.says in found.message
    assert (found.status_code, found.retry_after) == (case.status, pytest.approx(case.retry_after))


@pytest.mark.parametrize("wording", CONTEXT.values(), ids=CONTEXT)
@pytest.mark.parametrize("status", [400, 413, 422, 500, None])
def test_a_conversation_that_is_too_long_is_told_in_many_words(wording, status):
    """Every server's wording is a ContextLengthError, as a reply and inside a stream."""
    if status is None:
        found = failure_of_complaint(Complaint({"message": wording}))
    else:
        found = failure_of_response(Response(status, {}, json.dumps(error(wording)).encode()), NOW)

    assert type(found) is ContextLengthError
    assert not found.retryable


@pytest.mark.parametrize("wording", NO_CONTEXT.values(), ids=NO_CONTEXT)
def test_what_only_looks_like_a_conversation_that_is_too_long(wording):
    """An allowance for a time, and a parameter, are no window."""
    found = failure_of_response(Response(400, {}, json.dumps(error(wording)).encode()), NOW)

    assert not isinstance(found, ContextLengthError)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (error("x", "401")["error"], SignInAgainError),
        (error("x", 401)["error"], SignInAgainError),
        (error("x", "400")["error"], InvalidRequestError),
        (error("x", "429", type="throttling_error")["error"], RateLimitError),
        (error("x", 503)["error"], ServerError),
        (error("x", "1302")["error"], StreamFailedError),
        (error("High concurrency usage", "1302")["error"], RateLimitError),
        (error("x", type="invalid_request_error")["error"], InvalidRequestError),
        (error("x", type="authentication_error")["error"], SignInAgainError),
        (error("x", type="permission_error")["error"], NotIncludedError),
        (error("x", type="content_filter")["error"], ContentPolicyError),
        ([error("Resource exhausted", 429, status="RESOURCE_EXHAUSTED")], RateLimitError),
        (raw("m is temporarily rate-limited upstream"), InvalidRequestError),
        ("boom", StreamFailedError),
    ],
)
def test_what_is_final_inside_a_stream_is_told_as_that(given, expected):
    """A status as number or text, and the kind of failure, count where there is no reply to count."""
    assert type(failure_of_complaint(Complaint(given))) is expected


@pytest.mark.parametrize(
    ("body", "expected", "says"),
    [
        (b"Ollama is running", UnexpectedReplyError, "not a stream: Ollama is running"),
        (b"<html></html>", UnexpectedReplyError, "a web page"),
        (b"{}", UnexpectedReplyError, "not a stream"),
        (b'{"message": "no Route matched with those values"}', UnexpectedReplyError, "no Route"),
        (b'{"code": 1113, "msg": "Insufficient balance", "success": false}', UsageLimitError, "Insufficient"),
        (
            b'{"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}',
            UsageLimitError,
            "insuff",
        ),
        (b'{"detail": "Model is loading, retry later"}', OverloadedError, "loading"),
        (b'[{"error": {"code": 429, "message": "Resource exhausted"}}]', RateLimitError, "Resource"),
        (b'{"error": {"message": "boom"}}', StreamFailedError, "boom"),
        (b"\x00\x01", UnexpectedReplyError, "not a stream"),
    ],
)
def test_what_comes_in_place_of_an_answer_is_told(body, expected, says):
    """A 200 that is neither stream nor answer is reported with its words, and not as a cut stream."""
    found = failure_of_complaint(complaint_of_body(body), request_id="req-1")

    assert type(found) is expected
    assert says in found.message
    assert found.request_id == "req-1"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "The answer is not a stream."),
        (b"\x00\x01", "The answer is not a stream."),
        (b"no", "The answer is not a stream: no"),
        (b"x" * 400, f"The answer is not a stream: {'x' * 300}"),
        (b"<html>", "The answer is not a stream, but a web page."),
        (b'{"message": "<html>"}', "The answer is not a stream: <html>"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_the_sentence_for_what_is_no_stream(body: bytes, message: str) -> None:
    """With the beginning of what was said instead, if that is text for people."""
    assert failure_of_complaint(complaint_of_body(body)).message == message


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("12", 12.0),
        ("1.5", 1.5),
        (7, 7.0),
        (7.5, 7.5),
        ("0", 0.0),
        (" 12", None),
        ("-1", None),
        ("1e5", None),
        ("", None),
        (True, None),
        (None, None),
        ([1], None),
        (10**400, None),
    ],
    ids=lambda each: str(each)[:20],
)
def test_what_is_read_as_a_number(value: object, read: float | None) -> None:
    """A number, or digits; no truth value, and nothing that is too large for one."""
    assert number(value) == read


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (400, 400),
        ("599", 599),
        (429.0, 429),
        (599.5, 599),
        (399, None),
        (600, None),
        ("x", None),
        (200, None),
        (None, None),
    ],
)
def test_which_numbers_are_a_failing_status(value: object, status: int | None) -> None:
    """Those of HTTP, from 400 to 599."""
    assert http_status(value) == status


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"code": "a.b-c_D"}, ("a.b-c_D",)),
        ({"code": 1113}, ("1113",)),
        ({"code": True}, ()),
        ({"code": "two words"}, ()),
        ({"code": ""}, ()),
        ({"code": "x" * 100}, ("x" * 100,)),
        ({"code": "x" * 101}, ()),
        ({"type": "https://x/y"}, ()),
        ({"type": "t", "code": "c"}, ("c", "t")),
        ({"status": "s", "errorCode": "e", "reason": "r", "quotaId": "q"}, ("s", "e", "r", "q")),
        ({"error": "o"}, ("o",)),
        ({"error": {"code": "inner"}, "type": "outer"}, ("outer", "inner")),
    ],
    ids=lambda each: str(each)[:40],
)
def test_which_words_are_codes(fields: dict[str, object], codes: tuple[str, ...]) -> None:
    """Single words in the fields that hold codes, of outer objects first."""
    assert read_error(fields).codes == codes


@pytest.mark.parametrize(
    "name",
    [
        *("message", "msg", "detail", "errorMessage", "error_msg", "error_description"),
        *("status_msg", "faultstring", "description", "title", "error"),
    ],
)
def test_which_fields_hold_text_for_people(name: str) -> None:
    """All of these names, also inside an object that a server wraps its error in."""
    said = {"code": "x", name: "It is bad."}

    assert read_error(said).message == "It is bad."
    for container in ("errors", "fault", "base_resp", "response", "innerError", "cause"):
        assert read_error({container: said}).message == "It is bad."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (raw("no"), "Acme: no"),
        (raw("no", provider_name=""), "no"),
        (raw("no", provider_name=7), "no"),
        ({"message": " ", "detail": "b"}, "b"),
        ({"errors": [{"error": "a", "type": "x"}, {"message": "b", "type": "x"}]}, "a; b"),
        ({"errors": [{"detail": "c", "type": "x"}, {"type": "x"}, {"loc": "d", "msg": "e"}]}, "c; x; d: e"),
        ({"message": "x" * 20_000}, "x" * 10_000),
    ],
    ids=lambda each: str(each)[:60],
)
def test_the_words_of_a_body(body: object, message: str) -> None:
    """Words for people come before the kind of error, and the provider's name before its words."""
    assert read_error(body).message == message


def test_everything_that_a_body_says() -> None:
    """Each fact has its place in the result, however its name is written."""
    said = {"message": "No.", "param": "model", "planType": "plus", "resets_at": 5, "resets-in-seconds": 7}
    found = read_error({"error": said})

    assert (found.message, found.param, found.plan) == ("No.", "model", "plus")
    assert (found.resets_at, found.resets_in) == (5.0, 7.0)
    assert (read_error({"param": "", "plan_type": ""}).param, read_error({"plan_type": ""}).plan) == (
        None,
    ) * 2
    for name in ("code", "status", "statusCode", "http_code", "httpStatus", "error_code"):
        assert read_error({name: 429}).status == 429


@pytest.mark.parametrize(
    "container",
    [
        *("error", "errors", "detail", "details", "message", "response", "fault", "base_resp"),
        *("innerError", "cause", "metadata", "raw", "violations"),
    ],
)
def test_a_code_may_be_further_inside(container: str) -> None:
    """In an object, or in a list of objects."""
    for inner in ({"code": "x"}, [{"code": "x"}]):
        assert read_error({container: inner}).codes == ("x",)


@pytest.mark.parametrize(
    ("name", "wait"),
    [
        *[(name, 5.0) for name in ("retry_after", "retryAfterSeconds", "retry-after-secs", "retryAfterSec")],
        *[("retryDelay", 5.0), ("retry_after_ms", 0.005), ("retryAfterMilliseconds", 0.005), ("retry", None)],
    ],
)
def test_which_fields_hold_a_wait(name: str, wait: float | None) -> None:
    """In seconds; in milliseconds where the name says so."""
    assert read_error({name: 5}).retry_after == wait


@pytest.mark.parametrize(("depth", "words"), [(8, "deep"), (9, "")])
def test_how_deep_words_may_be(depth: int, words: str) -> None:
    """Eight objects deep, and no deeper; the text of a provider counts as one of them."""
    plain: Any = "deep"
    wrapped: Any = {"metadata": {"raw": "deep"}}
    listed: Any = "deep"
    for level in range(depth):
        plain, listed = {"error": plain}, [listed]
        wrapped = {"error": wrapped} if level else wrapped

    assert read_error(plain).message == read_error(wrapped).message == read_error(listed).message == words


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"loc": ["body", 0, "a"], "msg": "No."}, "body.0.a: No."),
        ({"loc": "a", "type": "missing"}, "a: missing"),
        ({"loc": 5, "title": "No."}, "5: No."),
        ({"loc": [], "msg": "No."}, "No."),
        ({"msg": "No."}, "No."),
        ({"title": "No."}, "No."),
        ({"loc": "a", "message": "No."}, "No."),
        ({"loc": "a"}, ""),
        ({}, ""),
        ("No.", "No."),
    ],
    ids=str,
)
def test_an_entry_in_a_list_of_errors(entry: object, words: str) -> None:
    """Its text, after the path of the field that it is about, if it names one."""
    assert read_error({"errors": [entry]}).message == words


@pytest.mark.parametrize(("depth", "words"), [(4, "deep"), (5, "")])
def test_how_deep_entries_may_be(depth: int, words: str) -> None:
    """A list and the object in it count as two."""
    said: Any = "deep"
    for _ in range(depth):
        said = [{"cause": said}]

    assert read_error(said).message == words


def test_a_turn_that_failed_says_what_it_can() -> None:
    """A code, if there is no text."""
    assert failure_of_complaint(Complaint({"code": "sparkle"})).message == "sparkle"
    assert failure_of_complaint(Complaint({})).message == "The model's turn failed."


@pytest.mark.parametrize(
    ("status", "headers", "body", "message"),
    [
        (502, {}, b"<html></html>", "The service failed (HTTP 502)."),
        (
            403,
            CLOUDFLARE,
            b"<html></html>",
            "A firewall in front of the backend refused this connection (cf-ray 8a1b2c-FRA).",
        ),
        (400, {"content-type": "text/html"}, b'{"detail": "No."}', "No."),
        (418, {}, b"<html></html>", "A web page came back instead of an answer (HTTP 418)."),
        (
            403,
            CLOUDFLARE,
            b"",
            "A firewall in front of the backend refused this connection (cf-ray 8a1b2c-FRA).",
        ),
        (
            403,
            {"server": "Zscaler/6.2"},
            b"x" * 301,
            f"A firewall in front of the backend refused this connection ({'x' * 300}).",
        ),
        (
            403,
            {"server": "Zscaler/6.2"},
            b"No.",
            "A firewall in front of the backend refused this connection (No).",
        ),
    ],
    ids=[
        "a page",
        "a firewall's page",
        "JSON",
        "a page with another status",
        "nothing",
        "long text",
        "a sentence",
    ],
)
def test_the_sentence_for_what_a_firewall_or_proxy_says(
    status: int, headers: dict[str, str], body: bytes, message: str
) -> None:
    """With the beginning of its own words, without their full stop."""
    assert failure_of_response(Response(status, headers, body), NOW).message == message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('{"detail": "No."}', "No."),
        (' {"detail": "No."}', "No."),
        ('["No.", "Never."]', "No.; Never."),
        ('{"detail": "\ud800"}', "?"),
        ("{model} is unknown", "{model} is unknown"),
        ("[1", "[1"),
        ("1213", "1213"),
        ('"No."', '"No."'),
    ],
)
def test_a_message_that_is_json_text(given: str, words: str) -> None:
    """An object or a list in it is read; other text stays as it is."""
    assert read_error({"message": given}).message == words


@pytest.mark.parametrize(
    ("given", "wait"),
    [
        ({"seconds": 2, "nanos": 500_000_000}, 2.5),
        ({"seconds": "2"}, 2.0),
        ({"nanos": 500_000_000}, 0.5),
        ({"seconds": 0, "nanos": 0}, 0.0),
        ({"seconds": True}, None),
        ({}, None),
        (True, None),
        ([7], None),
        ("soon", None),
    ],
    ids=str,
)
def test_which_values_are_a_wait(given: object, wait: float | None) -> None:
    """A duration may be an object, and each of its two parts may be missing; other values say nothing."""
    assert read_error({"retryDelay": given}, NOW).retry_after == wait


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'[{"error": {"code": 429, "message": "Resource exhausted"}}]', RateLimitError),
        (Body(b"Ollama is running"), UnexpectedReplyError),
        (Body(b'{"error": {"code": 429, "message": "Slow."}}'), RateLimitError),
        (b"Ollama is running", None),
        (b'[{"error": {}}]', None),
        (b'[{"text": "a"}]', None),
        (b'["error"]', None),
        (b"[]", None),
        (b"[DONE]", None),
        (b"null", None),
    ],
)
def test_an_error_in_place_of_a_chunk_is_a_failure(payload, expected):
    """Gemini puts it into a list, and a whole body is one in any case; other payloads are no failure."""
    complaint = complaint_of_payload(payload)

    assert (complaint and type(failure_of_complaint(complaint))) is expected


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"upstream  connect\nerror", "upstream connect error"),
        (b"x" * 400, "x" * 300),
        (b"[DONE]", ""),
        (b" null ", ""),
        (b'{"a": 1}', ""),
        (b"<html>busy</html>", ""),
        (b"\x00\x01", ""),
        (b"", ""),
    ],
    ids=["text", "long text", "the end", "null", "JSON", "a page", "bytes", "nothing"],
)
def test_plain_text_in_place_of_an_event(payload, words):
    """Some gateways end a stream with it: one line of at most 300 characters, and only if it is text."""
    assert words_in(payload) == words


@pytest.mark.parametrize(
    ("headers", "now", "wait"),
    [
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, NOW, 30.0),
        ({"x-ratelimit-reset": "1800000004"}, NOW, 4.0),
        ({"retry-after": "7"}, None, None),
        ({}, NOW, None),
    ],
    ids=["a date", "a reset", "no time", "no header"],
)
def test_headers_beside_an_error_inside_a_stream_say_how_long_to_wait(headers, now, wait):
    """Those of the error count if the time is known; those of the 200 response around it do not."""
    around = {"retry-after": "99"}
    found = failure_of_complaint(Complaint({"message": "Slow."}, 429, headers), around, now)

    assert found.retry_after == wait


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "detail",
                    "code",
                    "type",
                    "status",
                    "metadata",
                    "raw",
                    "loc",
                    "msg",
                    "headers",
                    "details",
                    "violations",
                    "retryDelay",
                    "retry_after",
                    "resets_at",
                    "resets_in_seconds",
                    "plan_type",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(body=JSON, status=st.sampled_from([200, 400, 403, 404, 413, 429, 500]))
def test_no_body_is_too_odd_to_be_read(body, status):
    """Whatever a body holds in place of what it should, it becomes an OnplanError of one line."""
    encoded = json.dumps(body).encode()
    found = [
        failure_of_response(Response(status, {}, encoded), NOW),
        failure_of_complaint(Complaint(body)),
        failure_of_complaint(complaint_of_body(encoded)),
    ]

    assert all(isinstance(one, OnplanError) and one.message and "\n" not in one.message for one in found)


def test_a_body_without_end_is_read_as_far_as_it_makes_sense():
    """Neither depth nor breadth makes work without end."""
    deep: Any = "deep"
    for _ in range(200):
        deep = {"error": deep, "message": None}
    wide = {"errors": [{"message": "a"}] * 100_000, "details": [{"code": "x"}] * 100_000}

    assert read_error(deep).message == ""
    assert len(read_error(wide).message) <= 10_000
    coded = [{"code": "x"}] * 1_000
    assert len(read_error({"details": coded, "violations": coded}).codes) == 99  # and the object around them


def test_a_moment_says_nothing_where_the_time_is_not_known():
    """It is no reason to come back at once."""
    assert read_error({"retry_after": "2027-01-15T08:00:30Z"}).retry_after is None
    assert read_error({"retry_after": 1_800_000_004}).retry_after is None
    assert read_error({"retry_after": "1.5s"}).retry_after == 1.5
