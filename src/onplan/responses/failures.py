"""What a refusal means: from statuses, codes and bodies to one of our errors. A table and its reader."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from onplan.errors import (
    BlockedError,
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
    StreamFailedError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.responses.limits import NO_LIMIT, Limit, limit_reached
from onplan.retry import retry_after, try_again_in
from onplan.wire import Response, request_id_of


@dataclass(frozen=True, slots=True)
class _Row:
    """Which error, and what it says when the backend gave no message of its own."""

    error: type[OnplanError]
    sentence: str
    hint: str | None = None


_USAGE = _Row(UsageLimitError, "The usage limit is reached.")
_QUOTA = _Row(UsageLimitError, "The quota is used up.")
_CONTEXT = _Row(ContextLengthError, "The conversation does not fit the model's context window.")
_IMAGE = _Row(InvalidImageError, "An image could not be read.")
_POLICY = _Row(ContentPolicyError, "The prompt was refused by the content policy.")
_OVERLOADED = _Row(OverloadedError, "The model is at capacity.")

# By `error.code`, else `error.type`.
_BY_CODE: Mapping[str, _Row] = {
    "usage_limit_reached": _USAGE,
    "usage_limit_exceeded": _USAGE,
    "workspace_owner_usage_limit_reached": _USAGE,
    "workspace_member_usage_limit_reached": _USAGE,
    "insufficient_quota": _QUOTA,
    "organization_spend_limit_exceeded": _QUOTA,
    "budget_reached": _QUOTA,
    "billing_not_active": _QUOTA,
    "billing_hard_limit_reached": _QUOTA,
    "usage_not_included": _Row(NotIncludedError, "The plan does not include this use."),
    "rate_limit_exceeded": _Row(RateLimitError, "Too many requests."),
    "slow_down": _Row(RateLimitError, "The service asks to slow down."),
    "server_is_overloaded": _OVERLOADED,
    "flex_unavailable": _OVERLOADED,
    "server_error": _Row(ServerError, "The service had an internal error."),
    "context_length_exceeded": _CONTEXT,
    "exceed_context_size_error": _CONTEXT,
    "tokens_limit_reached": _CONTEXT,
    "invalid_prompt": _POLICY,
    "cyber_policy": _POLICY,
    "bio_policy": _POLICY,
    "misalignment_policy_violation": _POLICY,
    "content_policy_violation": _POLICY,
    "image_content_policy_violation": _POLICY,
    "content_filter": _POLICY,
    "moderation_blocked": _POLICY,
    "model_not_found": _Row(ModelNotAvailableError, "The model does not exist."),
    "unsupported_model": _Row(ModelNotAvailableError, "The model is not available."),
    "invalid_image": _IMAGE,
    "invalid_image_format": _IMAGE,
    "invalid_image_url": _IMAGE,
    "invalid_base64_image": _IMAGE,
    "image_parse_error": _IMAGE,
    "image_too_large": _IMAGE,
    "failed_to_download_image": _IMAGE,
    "invalid_encrypted_content": _Row(
        EncryptedReasoningError, "The reasoning of an earlier turn could not be decrypted."
    ),
    "unsupported_image_media_type": _IMAGE,
    # "Sign in with ChatGPT" (docs/protocol.md).
    "subscription_sharing_user_not_eligible": _Row(
        NotIncludedError, "Using the plan here is not available for this account or workspace."
    ),
    "subscription_sharing_usage_limit_exceeded": _Row(
        UsageLimitError, "The limit of the plan, or the one set for this program, is reached."
    ),
    "subscription_sharing_usage_unavailable": _Row(
        ServerError, "How much of the plan is used could not be checked for now."
    ),
    "subscription_sharing_user_unavailable": _Row(
        ServerError, "Whose plan it is could not be checked for now."
    ),
    "subscription_sharing_unsupported_capability": _Row(
        InvalidRequestError, "The backend does not take a part of this request."
    ),
    "subscription_sharing_route_not_supported": _Row(
        UnexpectedReplyError,
        "The backend does not serve this address on a plan.",
        "See ONPLAN_PLAN_BASE_URL.",
    ),
    "subscription_sharing_invalid_user": _Row(
        SignInAgainError,
        "The backend could not tell whose plan it is.",
        "Try again later. If you disconnected onplan in ChatGPT's settings, run `onplan login`.",
    ),
    "chatpass_v2_scope_not_authorized": _Row(
        NotIncludedError, "What was permitted at the sign-in does not cover this."
    ),
    "chatpass_v2_invalid_authorization_context": _Row(
        NotIncludedError, "What was permitted at the sign-in does not cover this."
    ),
}

# By what the message says, where the backend gives no code.
_BY_MESSAGE: tuple[tuple[re.Pattern[str], type[OnplanError]], ...] = (
    (
        re.compile(
            r"model is not supported|requires a newer version|model .*not (exist|found)|"
            r"not a valid model|invalid model:",
            re.IGNORECASE,
        ),
        ModelNotAvailableError,
    ),
    (re.compile(r"item with id .* not found", re.IGNORECASE), InvalidRequestError),
    (re.compile(r"encrypted content .*could not be", re.IGNORECASE), EncryptedReasoningError),
    (re.compile(r"account.?id\b.* does not match|account mismatch", re.IGNORECASE), SignInAgainError),
    (re.compile(r"context (length|window|size)|prompt is too long", re.IGNORECASE), ContextLengthError),
    (
        re.compile(r"valid image|image.*(not valid|invalid|could not)", re.IGNORECASE),
        InvalidImageError,
    ),
)

_BY_STATUS: Mapping[int, _Row] = {
    401: _Row(SignInAgainError, "The backend does not accept the credential."),
    402: _Row(NotIncludedError, "This use is not paid for."),
    403: _Row(NotIncludedError, "The backend does not permit this for your account, workspace or region."),
    408: _Row(ServerError, "The service gave up waiting for the request."),
    404: _Row(UnexpectedReplyError, "The backend does not know this address."),
    413: _Row(InvalidRequestError, "The request is too large."),
    426: _Row(UnexpectedReplyError, "The backend does not speak WebSocket here."),
    429: _Row(RateLimitError, "Too many requests."),
}


def failure_of_response(response: Response, now: float) -> OnplanError:
    """The error that a response with a failing status, or with a body that is no stream, stands for."""
    body = response.json()
    facts = _Facts.read(body, response, now)
    if body is None and _is_page(response):
        error = _page(response, facts)
    else:
        error = _failure(facts, _by_status(response.status, facts.message))
    if error.retry_after is None:
        error.retry_after = retry_after(response.headers, now)
    if response.status == 429 and error.retry_after is None:
        error.retryable = False  # it may be a limit that does not say so; nobody told us to come back
    return error


def failure_of_event(
    error: Mapping[str, Any] | None, status: int | None, request_id: str | None
) -> OnplanError:
    """The error that an ``error`` event's or a ``response.failed``'s ``error`` object stands for."""
    facts = _Facts.read({"error": error or {}}, None, None)
    facts = replace(facts, status=status, request_id=request_id)
    failed = _Row(StreamFailedError, facts.message or "The model's turn failed.")
    return _failure(facts, _by_status(status, facts.message) if status else failed)


def refusal_of_event(error: Any, status: int, headers: Any, request_id: str | None) -> Response:
    """The HTTP response that an ``error`` event with a status stands for."""
    body = error if isinstance(error, dict) and "detail" in error else {"error": error}
    told = headers if isinstance(headers, dict) else {}
    named = {"x-request-id": request_id} if request_id else {}
    lower = {str(name).lower(): str(value) for name, value in told.items()}
    return Response(status, {**named, **lower}, msgspec.json.encode(body))


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a failure says about itself, in whichever shape it came."""

    codes: tuple[str, str]
    message: str
    param: str | None
    resets_at: float | None
    plan: str | None
    status: int | None
    request_id: str | None
    limit: Limit | None
    retry_after: float | None

    @classmethod
    def read(cls, body: Any, response: Response | None, now: float | None) -> _Facts:
        """From ``{"error": {…}}``, ``{"error": "…"}``, ``{"detail": "…"}`` or ``{"detail": [{…}]}``."""
        if isinstance(body, list) and len(body) == 1:  # as Gemini wraps it
            body = body[0]
        body = body if isinstance(body, dict) else {}
        detail = body.get("detail")
        error = body.get("error") or (detail if isinstance(detail, dict) else None)
        error = error if isinstance(error, dict) else {"message": error}
        message = error.get("message") or _detail(body.get("detail")) or body.get("message") or ""
        resets_at, resets_in = error.get("resets_at"), error.get("resets_in_seconds")
        if resets_at is None and now is not None and isinstance(resets_in, int | float):
            resets_at = now + resets_in
        headers = response.headers if response else {}
        return cls(
            codes=(str(error.get("code") or "").lower(), str(error.get("type") or "").lower()),
            message=" ".join(str(message).split())[:500],
            param=param if isinstance(param := error.get("param"), str) else None,
            resets_at=_number(resets_at),
            plan=plan if isinstance(plan := error.get("plan_type"), str) else None,
            status=response.status if response else None,
            request_id=request_id_of(headers),
            limit=limit_reached(headers),
            retry_after=_number(error.get("retry_after", body.get("retry_after"))),
        )


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def _detail(detail: Any) -> str:
    if isinstance(detail, list):
        return "; ".join(
            f"{'.'.join(map(str, entry.get('loc') or ()))}: {entry.get('msg') or entry.get('type') or ''}"
            for entry in detail
            if isinstance(entry, dict)
        )
    return detail if isinstance(detail, str) else ""


def _failure(facts: _Facts, fallback: _Row) -> OnplanError:
    row = next((_BY_CODE[code] for code in facts.codes if code in _BY_CODE), None)
    if row is None:
        by_message = next((kind for pattern, kind in _BY_MESSAGE if pattern.search(facts.message)), None)
        row = _Row(by_message, facts.message) if by_message and _blames_request(facts) else fallback
        sentence = row.sentence
    elif row is _USAGE:
        return _usage_limit(facts)
    else:
        sentence = facts.message or row.sentence
    if facts.param == "model" and row.error is InvalidRequestError:
        row = replace(row, error=ModelNotAvailableError)
    if facts.param and issubclass(row.error, InvalidRequestError) and facts.param not in sentence:
        sentence = f"{sentence} (Parameter: {facts.param}.)"
    return row.error(
        sentence,
        hint=row.hint,
        status=facts.status,
        request_id=facts.request_id,
        retry_after=try_again_in(facts.message) if facts.retry_after is None else facts.retry_after,
        resets_at=facts.resets_at,
    )


def _blames_request(facts: _Facts) -> bool:
    return facts.status is None or 400 <= facts.status < 500


def _by_status(status: int, message: str) -> _Row:
    """What a status alone means; ``message`` is the backend's, which may be no more than "Not Found"."""
    row = _BY_STATUS.get(status)
    if row is not None:
        said = f" ({message.rstrip('.')})." if message else "."
        return _Row(row.error, row.sentence.rstrip(".") + said)
    if status >= 500:
        return _Row(ServerError, message or f"The service failed (HTTP {status}).")
    if status >= 400:
        return _Row(InvalidRequestError, message or f"The backend refused the request (HTTP {status}).")
    return _Row(UnexpectedReplyError, f"The backend's answer is not the protocol's (HTTP {status}).")


def _usage_limit(facts: _Facts) -> UsageLimitError:
    """The plan's allowance is used up: which one, until when, and what else is possible."""
    limit = facts.limit or NO_LIMIT
    resets_at = limit.resets_at if facts.resets_at is None else facts.resets_at
    error = UsageLimitError(
        f"{limit.sentence(facts.plan)}{_until(resets_at)}.",
        hint=limit.advice(facts.plan),
        status=facts.status,
        request_id=facts.request_id,
        resets_at=resets_at,
    )
    error.window_minutes = limit.minutes
    return error


def _until(resets_at: float | None) -> str:
    """When that is on the reader's own clock."""
    try:
        moment = datetime.fromtimestamp(math.nan if resets_at is None else resets_at).astimezone()
    except (ValueError, OverflowError, OSError):  # not told, or no time that there is
        return ""
    return f"; it resets at {moment:%Y-%m-%d %H:%M %Z}"


def _is_page(response: Response) -> bool:
    return response.body.lstrip()[:1] == b"<" or "text/html" in response.headers.get("content-type", "")


def _page(response: Response, facts: _Facts) -> OnplanError:
    """A web page where JSON was expected: never evidence about the sign-in."""
    status, request_id = response.status, facts.request_id
    if status == 403:
        ray = response.headers.get("cf-ray")
        named = f" (cf-ray {ray})" if ray else ""
        sentence = f"A firewall in front of the backend refused this connection{named}."
        return BlockedError(sentence, status=status, request_id=request_id)
    if status == 429 or status >= 500:
        row = _by_status(status, "")
        return row.error(row.sentence, status=status, request_id=request_id)
    sentence = f"A web page came back instead of an answer (HTTP {status})."
    return UnexpectedReplyError(sentence, status=status, request_id=request_id)
