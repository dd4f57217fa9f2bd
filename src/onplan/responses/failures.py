"""What a refusal means: from a response, an event or a body that is no stream to one of our errors.

What it says is read by error_body.py, what that means stands in the tables of error_codes.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from onplan.errors import (
    InvalidRequestError,
    ModelNotAvailableError,
    OnplanError,
    RateLimitError,
    StreamFailedError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.firewall import is_page
from onplan.responses.error_body import ErrorBody, read_error
from onplan.responses.error_codes import USAGE, Row, row_of, row_of_status
from onplan.responses.firewalls import failure_on_the_way
from onplan.responses.limits import NO_LIMIT, limit_reached
from onplan.responses.sse import Body
from onplan.retry import rate_limit_reset, retry_after
from onplan.wire import NOTHING, Response, decode_json, request_id_of

_LONGEST_SENTENCE = 500


def failure_of_response(response: Response, now: float) -> OnplanError:
    """The error that a response with a failing status, or with a body that is no stream, stands for."""
    body = response.json()
    facts = read_error(_text(response) if body is None else body, now)
    error = failure_on_the_way(response, body, facts)
    if error is None:
        status = response.status
        error = _failure(
            _Case(facts, status, request_id_of(response.headers), response.headers, now),
            row_of_status(status, _named(facts)),
        )
    if error.retry_after is None:
        error.retry_after = retry_after(response.headers, now)
    if error.retry_after is None and isinstance(error, RateLimitError):
        error.retry_after = rate_limit_reset({**facts.headers, **response.headers}, now)
    return error


@dataclass(frozen=True, slots=True)
class Complaint:
    """A failure that came inside an answer, for which the status of the answer itself says nothing.

    Attributes:
        error: the ``error`` object; or whatever else came in its place.
        status: the HTTP status that it stands for, if it names one beside ``error``.
        headers: what came with it, and of limits before it; names in lower case.
    """

    error: Any
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)


def failure_of_complaint(
    complaint: Complaint, headers: Mapping[str, str], now: float | None, request_id: str | None
) -> OnplanError:
    """The error that ``complaint`` stands for: the same as if it had come as a response of its own.

    ``headers``: of the answer that it came in, for what they say of limits. ``now``: Unix seconds.
    """
    facts = read_error(complaint.error, now)
    status = complaint.status or facts.status
    failed = Row(StreamFailedError, facts.message or _named(facts) or "The model's turn failed.")
    case = _Case(facts, status, request_id, {**headers, **complaint.headers}, now)
    error = _failure(case, row_of_status(status, _named(facts)) if status else failed)
    if error.retry_after is None and now is not None:
        error.retry_after = retry_after(complaint.headers, now)
    if error.retry_after is None and now is not None and isinstance(error, RateLimitError):
        error.retry_after = rate_limit_reset({**facts.headers, **complaint.headers}, now)
    return error


def failure_of_event(error: Any, status: int | None, request_id: str | None) -> OnplanError:
    """The error that an ``error`` event's or a ``response.failed``'s ``error`` object stands for."""
    return failure_of_complaint(Complaint(error, status), NOTHING, None, request_id)


def failure_of_body(body: bytes, request_id: str | None) -> OnplanError:
    """The error that the body of a 200 stands for which is no stream and no answer."""
    response = Response(200, body=body)
    decoded = decode_json(body)
    facts = read_error(_text(response) if decoded is None else decoded)
    said = f": {facts.message[:300]}" if facts.message else "."
    if decoded is None and is_page(response):
        said = ", but a web page."
    case = _Case(facts, facts.status, request_id, NOTHING, None)
    silent = Row(UnexpectedReplyError, f"The answer is no stream{said}")
    if isinstance(decoded, dict) and decoded.get("error"):
        silent = Row(StreamFailedError, facts.message or _named(facts) or "The model's turn failed.")
    return _failure(case, row_of_status(facts.status, _named(facts)) if facts.status else silent)


def failure_of_payload(payload: bytes, request_id: str | None) -> OnplanError | None:
    """The failure that a payload stands for which is no chunk of an answer; None if it is none.

    That is the body of an answer that is no stream, or an error in a list, as Gemini has them.
    """
    if type(payload) is Body:
        return failure_of_body(payload, request_id)
    if payload[:1] == b"[":
        body = decode_json(payload)
        if isinstance(body, list) and body and isinstance(body[0], dict) and body[0].get("error"):
            return failure_of_event(body[0], None, request_id)
    return None


def words_in(payload: bytes) -> str:
    """The words of a payload that is no JSON, as some gateways end a stream."""
    if payload.strip() in (b"[DONE]", b"null") or decode_json(payload) is not None:
        return ""
    return " ".join(_text(Response(200, body=payload)).split())[:300]


def _text(response: Response) -> str:
    """A body in plain text, as proxies write; of anything else there is nothing to read."""
    if is_page(response):
        return ""
    text = response.body[:10_000].decode("utf-8", "replace").strip()
    return text if text.replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable() else ""


def _named(facts: ErrorBody) -> str:
    """What is said in words; else a code that is more than a number."""
    words = (code for code in facts.codes if not code.isdigit())
    return facts.message[:_LONGEST_SENTENCE] or next(words, "")


# --- what is made of it -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """What a failure says, and what came with it."""

    facts: ErrorBody
    status: int | None
    request_id: str | None
    headers: Mapping[str, str]
    now: float | None

    @property
    def resets_at(self) -> float | None:
        facts = self.facts
        if facts.resets_at is None and facts.resets_in is not None and self.now is not None:
            return self.now + facts.resets_in
        return facts.resets_at or None


def _failure(case: _Case, fallback: Row) -> OnplanError:
    facts = case.facts
    found = row_of(facts.codes, facts.message, case.status, waits=facts.retry_after is not None)
    if found is USAGE:
        return _usage_limit(case)
    row = found or fallback
    sentence = (facts.message[:_LONGEST_SENTENCE] or row.sentence) if found else row.sentence
    if facts.param == "model" and row.error is InvalidRequestError:
        row = replace(row, error=ModelNotAvailableError)
    if facts.param and issubclass(row.error, InvalidRequestError) and facts.param not in sentence:
        sentence = f"{sentence} (Parameter: {facts.param}.)"
    return row.error(
        sentence,
        hint=row.hint,
        status=case.status,
        request_id=case.request_id,
        retry_after=facts.retry_after,
        resets_at=case.resets_at,
    )


def _usage_limit(case: _Case) -> UsageLimitError:
    """The plan's allowance is used up: which one, until when, and what else is possible."""
    limit = limit_reached(case.headers, case.resets_at) or NO_LIMIT
    plan = case.facts.plan or case.headers.get("x-codex-plan-type") or None
    resets_at = limit.resets_at if case.resets_at is None else case.resets_at
    error = UsageLimitError(
        f"{limit.sentence(plan)}{_until(resets_at)}.",
        hint=limit.advice(plan),
        status=case.status,
        request_id=case.request_id,
        resets_at=resets_at,
    )
    error.window_minutes = limit.minutes
    return error


def _until(resets_at: float | None) -> str:
    """When that is on the reader's own clock."""
    try:
        moment = datetime.fromtimestamp(math.nan if resets_at is None else resets_at).astimezone()
    except (ValueError, OverflowError, OSError):  # unknown, or no time that there is
        return ""
    return f"; it resets at {moment:%Y-%m-%d %H:%M %Z}"
