"""What a refusal means: from a response, an event or a body that is no stream to one of our errors.

What it says is read by error_body.py, what that means stands in the tables of error_codes.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from onplan.answers.error_body import ErrorBody, read_error
from onplan.answers.error_codes import USAGE, Row, row_of, row_of_status
from onplan.answers.firewall import cloudflare_number, is_page, refused_by_firewall
from onplan.answers.limits import NO_LIMIT, limit_reached
from onplan.answers.sse import Body
from onplan.answers.waiting import duration, rate_limit_reset, retry_after
from onplan.errors import (
    BlockedError,
    InvalidRequestError,
    ModelNotAvailableError,
    OnplanError,
    RateLimitError,
    StreamFailedError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.flow import NOTHING, Response, decode_json, request_id_of

_LONGEST_SENTENCE = 500


def failure_of_response(response: Response, now: float) -> OnplanError:
    """The error that a response with a failing status, or with a body that is no stream, stands for."""
    body = response.json()
    facts = read_error(_text(response) if body is None else body, now)
    error = _failure_on_the_way(response, body, facts)
    if error is None:
        status = response.status
        error = _failure(
            _Case(facts, status, request_id_of(response.headers), response.headers, now),
            row_of_status(status, _named(facts)),
        )
    _note_wait(error, facts, response.headers, now)
    return error


@dataclass(frozen=True, slots=True)
class Complaint:
    """A failure that came inside an answer, for which the status of the answer itself says nothing.

    Attributes:
        error: the ``error`` object; or whatever else came in its place.
        status: the HTTP status that it stands for, if it names one beside ``error``.
        headers: what came with it, and of limits before it; names in lower case.
        otherwise: what it is where it says nothing that is known; None for a turn that failed.
    """

    error: Any
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    otherwise: Row | None = None


def failure_of_complaint(
    complaint: Complaint,
    headers: Mapping[str, str] = NOTHING,
    now: float | None = None,
    request_id: str | None = None,
) -> OnplanError:
    """The error that ``complaint`` stands for: the same as if it had come as a response of its own.

    ``headers``: of the answer that it came in, for what they say of limits. ``now``: Unix seconds, without
    which waits that are told as moments, or in headers, are not known.
    """
    facts = read_error(complaint.error, now)
    status = complaint.status or facts.status
    failed = Row(StreamFailedError, facts.message or _named(facts) or "The model's turn failed.")
    case = _Case(facts, status, request_id, {**headers, **complaint.headers}, now)
    row = row_of_status(status, _named(facts)) if status else complaint.otherwise or failed
    error = _failure(case, row)
    if now is not None:
        _note_wait(error, facts, complaint.headers, now)
    return error


def complaint_of_body(body: bytes) -> Complaint:
    """The complaint in the body of a 200 that is neither a stream nor an answer."""
    response, decoded = Response(200, body=body), decode_json(body)
    said = _text(response) if decoded is None else decoded
    if isinstance(decoded, dict) and decoded.get("error"):
        return Complaint(said)
    message = read_error(said).message
    what = f": {message[:300]}" if message else "."
    if decoded is None and is_page(response):
        what = ", but a web page."
    return Complaint(said, otherwise=Row(UnexpectedReplyError, f"The answer is no stream{what}"))


def complaint_of_payload(payload: bytes) -> Complaint | None:
    """The complaint in a payload that is no chunk of an answer; None if it is not one.

    That is the body of an answer that is no stream, or an error in a list, as Gemini has them.
    """
    if type(payload) is Body:
        return complaint_of_body(payload)
    if payload[:1] == b"[":
        body = decode_json(payload)
        if isinstance(body, list) and body and isinstance(body[0], dict) and body[0].get("error"):
            return Complaint(body[0])
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
    """The message, else the first code that is not only a number."""
    words = (code for code in facts.codes if not code.isdigit())
    return facts.message[:_LONGEST_SENTENCE] or next(words, "")


# --- what is in front of the backend -------------------------------------------------------------------


def _failure_on_the_way(response: Response, body: Any, facts: ErrorBody) -> OnplanError | None:
    """What something in front of the backend says; None if the answer is the backend's, as far as is known.

    Args:
        response: the whole answer, of a failing status or with a page as its body.
        body: the decoded JSON of the answer; None if it is none.
        facts: what it says as an error's body.
    """
    status, page = response.status, body is None and is_page(response)
    number = cloudflare_number(response, body)
    if refused_by_firewall(response, body):
        return _blocked(response, number, "" if page else facts.message)
    if number and status == 429:
        sentence = f"A firewall in front of the backend limits how often it lets you through ({number})."
        return _plain_error(RateLimitError, sentence, response)
    if not page:
        return None
    if status == 429 or status >= 500:
        row = row_of_status(status, "")
        return _plain_error(row.error, row.sentence, response)
    return _plain_error(
        UnexpectedReplyError, f"A web page came back instead of an answer (HTTP {status}).", response
    )


def _blocked(response: Response, number: str, said: str) -> OnplanError:
    ray = response.headers.get("cf-ray")
    named = [number or said.rstrip(".")[:300], f"cf-ray {ray}" if ray else ""]
    why = ", ".join(filter(None, named))
    sentence = f"A firewall in front of the backend refused this connection{f' ({why})' if why else ''}."
    return _plain_error(BlockedError, sentence, response)


def _plain_error(kind: type[OnplanError], sentence: str, response: Response) -> OnplanError:
    return kind(sentence, status_code=response.status, request_id=request_id_of(response.headers))


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
        status_code=case.status,
        request_id=case.request_id,
        retry_after=facts.retry_after,
        resets_at=case.resets_at,
    )


_MOMENT = 10.0  # seconds that need not be counted for the person who waits


def _note_wait(error: OnplanError, facts: ErrorBody, headers: Mapping[str, str], now: float) -> None:
    """Note how long the server asks to wait, if its words have not said it.

    ``headers``: of the failure itself, or of what it came from, never those of an answer that it came in.
    """
    said = {**facts.headers, **headers}
    if error.retry_after is None:
        error.retry_after = retry_after(said, now)
    if error.retry_after is None and isinstance(error, RateLimitError):
        error.retry_after = rate_limit_reset(said, now)
    if isinstance(error, RateLimitError) and (error.retry_after or 0) > _MOMENT:
        error.hint = f"Wait {duration(error.retry_after or 0)} and try again."


def _usage_limit(case: _Case) -> UsageLimitError:
    """The plan's allowance is used up: which one, until when, and what else is possible."""
    limit = limit_reached(case.headers, case.resets_at) or NO_LIMIT
    plan = case.facts.plan or case.headers.get("x-codex-plan-type") or None
    resets_at = limit.resets_at if case.resets_at is None else case.resets_at
    error = UsageLimitError(
        f"{limit.sentence(plan)}{_until(resets_at)}.",
        hint=limit.advice(plan),
        status_code=case.status,
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
