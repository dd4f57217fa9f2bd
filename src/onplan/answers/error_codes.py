"""Tables from error codes, message texts and HTTP statuses to onplan's error classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
from onplan.lazy_pattern import LazyPattern


@dataclass(frozen=True, slots=True)
class Row:
    """An error class, and its message and hint for when the server gave no message."""

    error: type[OnplanError]
    sentence: str
    hint: str | None = None


USAGE = Row(UsageLimitError, "The usage limit is reached.")
_QUOTA = Row(UsageLimitError, "The quota is used up.")
_CONTEXT = Row(ContextLengthError, "The conversation does not fit the model's context window.")
_IMAGE = Row(InvalidImageError, "An image could not be read.")
_POLICY = Row(ContentPolicyError, "The prompt was refused by the content policy.")
_OVERLOADED = Row(OverloadedError, "The model is at capacity.")
_RATE = Row(RateLimitError, "Too many requests.")
_MODEL = Row(ModelNotAvailableError, "The model is not available.")
_INVALID = Row(InvalidRequestError, "The backend refused the request.")
_SIGN_IN = Row(SignInAgainError, "The backend does not accept the credential.")
# An error without an HTTP status that says what 401 says.
TOKEN_REFUSED = Row(SignInAgainError, _SIGN_IN.sentence)
_ENCRYPTED = Row(EncryptedReasoningError, "The reasoning of an earlier turn could not be decrypted.")
_TOO_LARGE_FOR_A_MINUTE = Row(
    InvalidRequestError,
    "The request alone is larger than what is allowed in a minute.",
    "Shorten the request or lower max_tokens. Waiting does not help: this request alone exceeds the limit.",
)
_OTHER_WORKSPACE = "Run `onplan login` and choose another workspace."

# By `error.code`, else `error.type`; compared as letters and digits in lower case, see `_plain`.
_BY_CODE: Mapping[str, Row] = {
    code.replace("_", ""): row
    for code, row in {
        "usage_limit_reached": USAGE,
        "usage_limit_exceeded": USAGE,
        "workspace_owner_usage_limit_reached": USAGE,
        "workspace_member_usage_limit_reached": USAGE,
        "insufficient_quota": _QUOTA,
        "organization_spend_limit_exceeded": _QUOTA,
        "budget_reached": _QUOTA,
        "billing_not_active": _QUOTA,
        "billing_hard_limit_reached": _QUOTA,
        "usage_not_included": Row(NotIncludedError, "The plan does not include this use."),
        "deactivated_workspace": Row(
            NotIncludedError,
            "The workspace of this sign-in is deactivated (deactivated_workspace).",
            _OTHER_WORKSPACE,
        ),
        "invalid_workspace_selected": Row(
            NotIncludedError,
            "The workspace of this sign-in is not one of the account's (invalid_workspace_selected).",
            _OTHER_WORKSPACE,
        ),
        "rate_limit_exceeded": _RATE,
        "slow_down": Row(RateLimitError, "The service asks to slow down."),
        "server_is_overloaded": _OVERLOADED,
        "flex_unavailable": _OVERLOADED,
        "server_error": Row(ServerError, "The service had an internal error."),
        "context_length_exceeded": _CONTEXT,
        "exceed_context_size_error": _CONTEXT,
        "tokens_limit_reached": _CONTEXT,
        "model_max_prompt_tokens_exceeded": _CONTEXT,
        "invalid_prompt": _POLICY,
        "cyber_policy": _POLICY,
        "bio_policy": _POLICY,
        "misalignment_policy_violation": _POLICY,
        "content_policy_violation": _POLICY,
        "image_content_policy_violation": _POLICY,
        "content_filter": _POLICY,
        "moderation_blocked": _POLICY,
        "model_not_found": Row(ModelNotAvailableError, "The model does not exist."),
        "unsupported_model": _MODEL,
        "invalid_image": _IMAGE,
        "invalid_image_format": _IMAGE,
        "invalid_image_url": _IMAGE,
        "invalid_base64_image": _IMAGE,
        "image_parse_error": _IMAGE,
        "image_too_large": _IMAGE,
        "failed_to_download_image": _IMAGE,
        "unsupported_image_media_type": _IMAGE,
        "invalid_encrypted_content": _ENCRYPTED,
        # "Sign in with ChatGPT" (docs/protocol.md).
        "subscription_sharing_user_not_eligible": Row(
            NotIncludedError, "Using the plan here is not available for this account or workspace."
        ),
        "subscription_sharing_usage_limit_exceeded": Row(
            UsageLimitError, "The limit of the plan, or the one set for this program, is reached."
        ),
        "subscription_sharing_usage_unavailable": Row(
            ServerError, "How much of the plan is used could not be checked for now."
        ),
        "subscription_sharing_user_unavailable": Row(
            ServerError, "Whose plan it is could not be checked for now."
        ),
        "subscription_sharing_unsupported_capability": Row(
            InvalidRequestError, "The backend does not take a part of this request."
        ),
        "subscription_sharing_route_not_supported": Row(
            UnexpectedReplyError,
            "The backend does not serve this address on a plan.",
            "See ONPLAN_PLAN_BASE_URL.",
        ),
        "subscription_sharing_invalid_user": Row(
            SignInAgainError,
            "The backend could not tell whose plan it is.",
            "Try again later. If you disconnected onplan in ChatGPT's settings, run `onplan login`.",
        ),
        "chatpass_v2_scope_not_authorized": Row(
            NotIncludedError, "What was permitted at the sign-in does not cover this."
        ),
        "chatpass_v2_invalid_authorization_context": Row(
            NotIncludedError, "What was permitted at the sign-in does not cover this."
        ),
    }.items()
}

# Families of codes, for servers that have their own: `insufficient_balance_error`, `Throttling.RateQuota`, …
_BY_FAMILY: tuple[tuple[LazyPattern, Row], ...] = tuple(
    (LazyPattern(pattern), row)
    for pattern, row in (
        (
            # "PerDay" is in Gemini's quotaId.
            r"insufficient\w*(balance|quota|credit|fund)|(exceeded|out)\w*(credit|quota)|arrearage|perday",
            _QUOTA,
        ),
        (r"budgetexceeded|spendlimit", _QUOTA),
        (r"contextlength|contextwindow|contextsize|prompttoolong|inputtoolong", _CONTEXT),
        (r"overload|overcapacity|capacityexceeded|enginebusy|modelbusy", _OVERLOADED),
        (r"ratelimit|toomanyrequests|throttl|resourceexhausted|requestlimit", _RATE),
        (r"contentpolicy|contentfilter|moderation|responsibleai|datainspection", _POLICY),
        (
            r"modelnotfound|modelnotexist|unknownmodel|modelnotsupported|modelnotavailable|deploymentnotfound",
            _MODEL,
        ),
    )
)

# Codes that only name the kind of error; they count if there is no HTTP status.
_BY_KIND: tuple[tuple[LazyPattern, Row], ...] = tuple(
    (LazyPattern(pattern), row)
    for pattern, row in (
        (r"^(invalidapikey|authenticationerror|autherror|invalidauthentication|unauthorized)", TOKEN_REFUSED),
        (
            r"^(permission(denied)?error|permissiondenied|forbidden)",
            Row(NotIncludedError, "The backend does not permit this."),
        ),
        (r"^(invalidrequest|badrequest|validationerror|invalidargument|unsupportedparameter)", _INVALID),
    )
)


# Messages that overrule the code: OpenAI sends `rate_limit_exceeded` both for too many requests, where
# waiting helps, and for a request that is larger than the limit of a minute, where it does not.
_TOO_LARGE = LazyPattern(r"request too large for .{0,200}(per min|TPM|RPM)")
_LIMIT_AND_REQUESTED = LazyPattern(r"\blimit:? (\d{1,15})\b.{0,80}\brequested:? (\d{1,15})\b")

_CONTEXT_WORDS = LazyPattern(
    r"context (length|window|size|limit)",
    r"(prompt|input|messages?|conversation) (is|are|was|were)? ?too long",
    r"maximum (prompt|context|input) length",
    r"(input|prompt) ?(token)?( count)?( length)?( \(?of)? ?\(?\d* ?(tokens)?\)? exceeds (the|its|max)",
    r"exceeds? (the )?max(imum)? (number of tokens|(prompt|input|context|model)\b.{0,20}(length|tokens))",
    r"exceed(s|ed)? (the )?(model'?s? )?(max(imum)? )?(model )?(token limit|message tokens)",
    r"token limit exceeded|too many (input )?tokens(?! per)|tokens too long|range of input length",
    r"reduce the length of (the|your) (messages|prompt|input)",
    r"`?inputs`? (tokens|must have)",
    r"too large for model with \d+ maximum",
)
# Messages that only look so: they are about a limit per time, not about the context window.
_NO_CONTEXT_WORDS = LazyPattern(
    r"per (second|minute|min|hour|day|month)\b", r"rate limit|too many requests|throttl"
)

# By the text of the message, if no code is known; and the statuses with which it counts (None: no status).
_REQUEST = frozenset({None, *range(400, 500)}) - {429}
_ANY = frozenset({None, *range(400, 600)})
_BUSY = frozenset({None, 429, 498, *range(500, 600)})
_BY_MESSAGE: tuple[tuple[LazyPattern, Row, frozenset[int | None]], ...] = (
    (
        LazyPattern(
            r"model is not supported|requires a newer version|model .{0,200}not (exist|found)",
            r"not a valid model|invalid model( name|:)|no endpoints? found for",
        ),
        _MODEL,
        _REQUEST | {429},
    ),
    # OpenRouter: no provider of this model supports what the request asks for.
    (LazyPattern(r"no endpoints? found|no allowed providers"), _INVALID, _REQUEST),
    (LazyPattern(r"item with id .{0,200} not found"), _INVALID, _REQUEST | {429}),
    (LazyPattern(r"encrypted content .{0,400}could not be"), _ENCRYPTED, _REQUEST | {429}),
    (LazyPattern(r"account.?id\b.{0,200} does not match|account mismatch"), _SIGN_IN, _REQUEST | {429}),
    # 400 of Gemini ("API key not valid. Please pass a valid API key.") and of xAI ("Incorrect API key
    # provided"), by their documentation in November 2026; others say it with 401.
    (
        LazyPattern(r"api.?key (is )?(not valid|invalid|expired)|(incorrect|invalid) api.?key\b"),
        _SIGN_IN,
        frozenset({None, 400, 403}),
    ),
    (
        LazyPattern(
            r"usage limit (has been |is |was )?(reached|exceeded)",
            r"(hit|reached|exceeded) your (\w+ ){0,3}usage limit",
        ),
        USAGE,
        _ANY,
    ),
    (
        LazyPattern(
            r"insufficient .{0,30}(balance|credits?|funds|quota)|balance (is )?(too low|not enough)",
            r"credit balance|out of credits|please recharge|check your plan and billing",
            r"exceeded .{0,40}(credits|budget|spend(ing)? limit)|budget has been exceeded",
            "\u4f59\u989d\u4e0d\u8db3",  # "balance insufficient", as z.ai has it in Chinese
        ),
        _QUOTA,
        frozenset({None, 400, 403, 429}),
    ),
    (
        LazyPattern(r"valid image|image.{0,200}(not valid|invalid|could not)"),
        _IMAGE,
        _REQUEST | {429},
    ),
    (
        LazyPattern(r"overloaded|over capacity|at capacity|model is busy|loading model|model is loading"),
        _OVERLOADED,
        _BUSY,
    ),
    (
        LazyPattern(r"rate.?limit|too many requests|requests per (second|minute)|high concurrency|throttled"),
        _RATE,
        frozenset({None}),
    ),
)

_BY_STATUS: Mapping[int, Row] = {
    401: _SIGN_IN,
    402: Row(NotIncludedError, "This use is not paid for."),
    403: Row(NotIncludedError, "The backend does not permit this for your account, workspace or region."),
    408: Row(ServerError, "The service timed out waiting for the request."),
    404: Row(UnexpectedReplyError, "The backend does not know this address."),
    413: Row(InvalidRequestError, "The request is too large."),
    426: Row(UnexpectedReplyError, "The backend does not speak WebSocket here."),
    429: _RATE,
    498: _OVERLOADED,
    529: _OVERLOADED,
}


def row_of(codes: Iterable[str], message: str, status: int | None, *, waits: bool) -> Row | None:
    """The row for an error's codes or message; None if only its status can tell.

    Args:
        codes: error codes and types; the first that is known counts.
        message: the text for people.
        status: the HTTP status, if there is one.
        waits: whether the server says how long to wait; then no quota is used up.
    """
    if _never_fits(message):
        return _TOO_LARGE_FOR_A_MINUTE
    plain = [_plain(code) for code in codes]
    row = next((_BY_CODE[code] for code in plain if code in _BY_CODE), None) or _first(_BY_FAMILY, plain)
    if row is None and status != 429 and _is_context(message):
        row = _CONTEXT
    if row is None:
        row = next(
            (row for words, row, statuses in _BY_MESSAGE if status in statuses and words.search(message)),
            None,
        )
        row = None if row is _QUOTA and waits else row
    if row is None and status is None:
        row = _first(_BY_KIND, plain)
    return row


def _plain(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code.lower())


def _first(table: tuple[tuple[LazyPattern, Row], ...], codes: list[str]) -> Row | None:
    return next((row for pattern, row in table if any(pattern.search(code) for code in codes)), None)


def _never_fits(message: str) -> bool:
    """Whether the request alone exceeds the limit of a minute, so that waiting does not help."""
    found = _LIMIT_AND_REQUESTED.search(message)
    return int(found[2]) > int(found[1]) if found else _TOO_LARGE.search(message) is not None


def _is_context(message: str) -> bool:
    return _CONTEXT_WORDS.search(message) is not None and _NO_CONTEXT_WORDS.search(message) is None


def row_of_status(status: int, message: str) -> Row:
    """The row for a status alone. ``message``: the server's, often only "Not Found"."""
    row = _BY_STATUS.get(status)
    if row is not None:
        said = f" ({message.rstrip('.')})." if message else "."
        return Row(row.error, row.sentence.rstrip(".") + said)
    if status >= 500:
        return Row(ServerError, message or f"The service failed (HTTP {status}).")
    if status >= 400:
        return Row(InvalidRequestError, message or f"The backend refused the request (HTTP {status}).")
    return Row(UnexpectedReplyError, f"The backend's answer is not the protocol's (HTTP {status}).")
