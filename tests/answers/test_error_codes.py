"""What each code, message and status of an error means, in the forms in which servers say them."""

from __future__ import annotations

import pytest

from onplan.answers.error_codes import Row, row_of, row_of_status
from onplan.errors import (
    ContentPolicyError,
    ContextLengthError,
    EncryptedReasoningError,
    InvalidImageError,
    InvalidRequestError,
    ModelNotAvailableError,
    NotIncludedError,
    OnplanError,
    OverloadedError,
    RateLimitError,
    ServerError,
    SignInAgainError,
    UnexpectedReplyError,
    UsageLimitError,
)

Kind = type[OnplanError]


def meaning(
    code: str = "", message: str = "", status: int | None = 400, *, waits: bool = False
) -> Kind | None:
    row = row_of([code], message, status, waits=waits)
    return row and row.error


CODES: dict[Kind, str] = {
    UsageLimitError: """usage_limit_reached usage_limit_exceeded workspace_owner_usage_limit_reached
        workspace_member_usage_limit_reached insufficient_quota organization_spend_limit_exceeded
        budget_reached billing_not_active billing_hard_limit_reached
        subscription_sharing_usage_limit_exceeded""",
    NotIncludedError: """usage_not_included deactivated_workspace invalid_workspace_selected
        subscription_sharing_user_not_eligible chatpass_v2_scope_not_authorized
        chatpass_v2_invalid_authorization_context""",
    RateLimitError: "rate_limit_exceeded slow_down",
    OverloadedError: "server_is_overloaded flex_unavailable",
    ServerError: """server_error subscription_sharing_usage_unavailable
        subscription_sharing_user_unavailable""",
    ContextLengthError: """context_length_exceeded exceed_context_size_error tokens_limit_reached
        model_max_prompt_tokens_exceeded""",
    ContentPolicyError: """invalid_prompt cyber_policy bio_policy misalignment_policy_violation
        content_policy_violation image_content_policy_violation content_filter moderation_blocked""",
    ModelNotAvailableError: "model_not_found unsupported_model",
    InvalidImageError: """invalid_image invalid_image_format invalid_image_url invalid_base64_image
        image_parse_error image_too_large failed_to_download_image unsupported_image_media_type""",
    EncryptedReasoningError: "invalid_encrypted_content",
    InvalidRequestError: "subscription_sharing_unsupported_capability",
    UnexpectedReplyError: "subscription_sharing_route_not_supported",
    SignInAgainError: "subscription_sharing_invalid_user",
}
PAIRS = [(code, error) for error, codes in CODES.items() for code in codes.split()]


@pytest.mark.parametrize(("code", "error"), PAIRS)
def test_every_code(code: str, error: Kind) -> None:
    """Whatever status comes with it, in whatever case and with whatever hyphens it is written."""
    for status in (None, 200, 400, 429, 500):
        assert meaning(code, "", status) is error
    assert meaning(code.upper().replace("_", "-")) is error
    assert meaning(code, "Anything.") is error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("insufficient_balance_error", UsageLimitError),
        ("InsufficientUserQuota", UsageLimitError),
        ("insufficient_credits", UsageLimitError),
        ("insufficient_funds", UsageLimitError),
        ("exceeded_current_quota_error", UsageLimitError),
        ("out_of_credits", UsageLimitError),
        ("Arrearage", UsageLimitError),
        ("GenerateRequestsPerDayPerProject", UsageLimitError),
        ("budget_exceeded", UsageLimitError),
        ("SpendLimit", UsageLimitError),
        ("string_above_max_context_length", ContextLengthError),
        ("context_window_exceeded", ContextLengthError),
        ("ContextSize", ContextLengthError),
        ("prompt_too_long", ContextLengthError),
        ("input_too_long", ContextLengthError),
        ("overloaded_error", OverloadedError),
        ("over_capacity", OverloadedError),
        ("capacity_exceeded", OverloadedError),
        ("EngineBusy", OverloadedError),
        ("model_busy", OverloadedError),
        ("rate_limit_error", RateLimitError),
        ("too_many_requests", RateLimitError),
        ("Throttling.RateQuota", RateLimitError),
        ("RESOURCE_EXHAUSTED", RateLimitError),
        ("RequestLimit", RateLimitError),
        ("content_policy", ContentPolicyError),
        ("CONTENT_FILTERED", ContentPolicyError),
        ("moderation", ContentPolicyError),
        ("ResponsibleAIPolicyViolation", ContentPolicyError),
        ("DataInspectionFailed", ContentPolicyError),
        ("ModelNotFoundError", ModelNotAvailableError),
        ("ModelNotExist", ModelNotAvailableError),
        ("unknown_model", ModelNotAvailableError),
        ("model_not_supported", ModelNotAvailableError),
        ("ModelNotAvailable", ModelNotAvailableError),
        ("DeploymentNotFound", ModelNotAvailableError),
        ("something_else", None),
        ("", None),
    ],
)
def test_families_of_codes(code: str, error: Kind | None) -> None:
    """Servers have codes of their own, and build them from the same words."""
    assert meaning(code) is error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("invalid_api_key", SignInAgainError),
        ("authentication_error", SignInAgainError),
        ("auth_error", SignInAgainError),
        ("invalid_authentication", SignInAgainError),
        ("Unauthorized", SignInAgainError),
        ("permission_error", NotIncludedError),
        ("PermissionDeniedError", NotIncludedError),
        ("PERMISSION_DENIED", NotIncludedError),
        ("forbidden", NotIncludedError),
        ("invalid_request_error", InvalidRequestError),
        ("bad_request", InvalidRequestError),
        ("validation_error", InvalidRequestError),
        ("INVALID_ARGUMENT", InvalidRequestError),
        ("unsupported_parameter", InvalidRequestError),
        ("not_unauthorized", None),
    ],
)
def test_kinds_of_errors(code: str, error: Kind | None) -> None:
    """A code that names only the kind counts where no HTTP status tells it."""
    assert meaning(code, "", None) is error
    assert meaning(code, "", 418) is None


WORDS: list[tuple[str, Kind, list[int | None], list[int | None]]] = [
    # message, meaning, with these statuses, and not with these
    ("No allowed providers.", InvalidRequestError, [None, 400, 428, 430, 499], [399, 429, 500]),
    ("Model m is not supported: the model does not exist", ModelNotAvailableError, [None, 404, 429], [500]),
    ("The usage limit has been reached", UsageLimitError, [None, 400, 429, 500, 599], [399, 600]),
    ("The engine is overloaded", OverloadedError, [None, 429, 498, 500, 599], [400, 428, 430, 497, 499, 600]),
    ("Incorrect API key provided", SignInAgainError, [None, 400, 403], [399, 401, 402, 404]),
    ("Insufficient balance", UsageLimitError, [None, 400, 403, 429], [399, 401, 402, 404, 428, 430, 500]),
    ("余额不足", UsageLimitError, [None, 429], [402]),
    ("Not a valid image", InvalidImageError, [None, 400, 429, 499], [500]),
    ("Rate limit reached", RateLimitError, [None], [400, 429, 500]),
    ("Encrypted content x could not be verified", EncryptedReasoningError, [None, 400, 429], [500]),
    ("Item with id 'rs_0' not found", InvalidRequestError, [None, 404, 429], [500]),
    ("account_id x does not match", SignInAgainError, [None, 400, 429], [500]),
    ("maximum context length is 5 tokens", ContextLengthError, [None, 400, 413, 500], [429]),
    ("too large for model with 8192 maximum", ContextLengthError, [None, 400], [429]),
    ("maximum context length per minute", ContextLengthError, [], [None, 400]),
    ("too many requests: reduce the length of the prompt", ContextLengthError, [], [400]),
]


@pytest.mark.parametrize(
    ("message", "error", "with_these", "without_these"), WORDS, ids=lambda each: str(each)[:20]
)
def test_messages_count_with_some_statuses(
    message: str, error: Kind, with_these: list[int | None], without_these: list[int | None]
) -> None:
    """Words without a known code mean something where that status can mean it."""
    assert [meaning("", message, status) for status in with_these] == [error] * len(with_these)
    assert error not in [meaning("", message, status) for status in without_these]


def test_a_quota_that_comes_back_is_no_used_up_quota() -> None:
    """If the server says how long to wait, the words about a quota are about its rate."""
    assert meaning("", "Insufficient quota", 429, waits=True) is None
    assert meaning("", "Insufficient quota", None, waits=True) is None
    assert meaning("insufficient_quota", "", 429, waits=True) is UsageLimitError
    assert meaning("", "The usage limit has been reached", 429, waits=True) is UsageLimitError


@pytest.mark.parametrize(
    ("message", "never"),
    [
        ("Rate limit reached for m: Limit 30000, Used 20000, Requested 40000.", True),
        ("Limit: 100, Requested: 101", True),
        ("Limit 100, Requested 100", False),
        ("Limit 100, Used 90, Requested 20. Try again in 3s.", False),
        ("Request too large for m on tokens per min (TPM)", True),
        ("Request too large for m: 5 RPM", True),
        ("Request too large.", False),
    ],
)
def test_a_request_that_never_fits(message: str, never: bool) -> None:
    """A request that alone exceeds the limit of a minute is wrong, whatever code says; waiting is no help."""
    row = row_of(["rate_limit_exceeded"], message, 429, waits=True)

    assert row
    assert row.error is (InvalidRequestError if never else RateLimitError)
    assert ("Waiting does not help" in (row.hint or "")) is never


@pytest.mark.parametrize(("code", "error"), PAIRS)
def test_the_first_of_several_codes_counts(code: str, error: Kind) -> None:
    """Every code is known before the others that stand behind it, which are of another kind."""
    for other in ("slow_down", "server_error"):
        row = row_of([code, other], "", 400, waits=False)
        assert row
        assert row.error is error


def test_a_code_says_more_than_words() -> None:
    """Of the context window, too."""
    assert meaning("content_filter", "Please reduce the length of the messages.") is ContentPolicyError


def test_the_first_known_code_counts() -> None:
    """Before families, and those before messages; among several codes the first that is known."""
    row = row_of(["x", "server_error", "invalid_image"], "overloaded", 429, waits=False)
    assert row
    assert row.error is ServerError
    assert meaning("too_many_requests", "The usage limit has been reached", 429) is RateLimitError


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, SignInAgainError),
        (402, NotIncludedError),
        (403, NotIncludedError),
        (404, UnexpectedReplyError),
        (408, ServerError),
        (413, InvalidRequestError),
        (426, UnexpectedReplyError),
        (429, RateLimitError),
        (498, OverloadedError),
        (529, OverloadedError),
        *(
            (status, InvalidRequestError)
            for status in (400, 405, 407, 409, 412, 414, 425, 427, 428, 430, 499)
        ),
        (497, InvalidRequestError),
        *((status, ServerError) for status in (500, 503, 528, 530, 599)),
        *((status, UnexpectedReplyError) for status in (204, 302, 399)),
    ],
)
def test_what_a_status_alone_means(status: int, error: Kind) -> None:
    """Where neither code nor message is known."""
    assert row_of_status(status, "").error is error
    assert row_of_status(status, "Some words").error is error


@pytest.mark.parametrize(
    ("status", "message", "sentence"),
    [
        (404, "", "The backend does not know this address."),
        (404, "Not Found.", "The backend does not know this address (Not Found)."),
        (413, "", "The request is too large."),
        (413, "Payload Too Large", "The request is too large (Payload Too Large)."),
        (500, "", "The service failed (HTTP 500)."),
        (500, "It broke.", "It broke."),
        (400, "", "The backend refused the request (HTTP 400)."),
        (400, "It is wrong.", "It is wrong."),
        (302, "Moved", "The backend's answer is not the protocol's (HTTP 302)."),
    ],
)
def test_what_is_said_of_a_status(status: int, message: str, sentence: str) -> None:
    """The server's words if they say more than the status; else what the status means."""
    assert row_of_status(status, message).sentence == sentence


def test_a_sign_in_that_is_refused() -> None:
    """With a status or without, the same sentence."""
    without = row_of(["invalid_api_key"], "", None, waits=False)

    assert isinstance(without, Row)
    assert without.sentence == row_of_status(401, "").sentence
