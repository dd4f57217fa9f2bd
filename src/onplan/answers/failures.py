"""Turns a failed response, an error event or an unexpected body into one of onplan's errors.

``error_body`` reads what the server says; ``error_codes`` has the tables that say what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onplan.answers.error_body import ErrorBody, read_error
from onplan.answers.error_codes import TOKEN_REFUSED, USAGE, Row, row_of, row_of_status
from onplan.answers.firewall import cloudflare_number, is_page, refused_by_firewall
from onplan.answers.limits import NO_LIMIT, limit_reached, until_reset
from onplan.answers.sse import Body
from onplan.answers.waiting import duration, rate_limit_reset, retry_after
from onplan.errors import (
    BlockedError,
    InvalidRequestError,
    ModelNotAvailableError,
    OnplanError,
    RateLimitError,
    SignInAgainError,
    StreamFailedError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.flow import NOTHING, Response, decode_json, request_id_of

_LONGEST_SENTENCE = 500


def failure_of_response(response: Response, now: float) -> OnplanError:
    """The error for a response with an error status, or with a body that is not a stream.

    ``now``: Unix seconds.
    """
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
    """An error that the server reported inside a response whose own status was 200.

    Attributes:
        error: the ``error`` object, or whatever came in its place.
        status: the HTTP status that was given beside ``error``.
        headers: headers that came with it, and earlier ones about limits; names in lower case.
        otherwise: the row to use if ``error`` has no known code or message; None: the turn failed.
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
    """The error for ``complaint``: the same as if it had come as an HTTP response.

    Args:
        complaint: what the server reported.
        headers: those of the response that it came in, for what they say about limits.
        now: Unix seconds; without it, waits given as points in time or in headers are not known.
        request_id: the server's id of the request.
    """
    facts = read_error(complaint.error, now)
    status = complaint.status or facts.status
    failed = Row(StreamFailedError, _named(facts) or "The model's turn failed.")
    case = _Case(facts, status, request_id, {**headers, **complaint.headers}, now)
    row = row_of_status(status, _named(facts)) if status else complaint.otherwise or failed
    error = _failure(case, row)
    if now is not None:
        _note_wait(error, facts, complaint.headers, now)
    return error


def complaint_of_body(body: bytes) -> Complaint:
    """The complaint in the body of a 200 response that is neither a stream nor an answer."""
    response, decoded = Response(200, body=body), decode_json(body)
    said = _text(response) if decoded is None else decoded
    if isinstance(decoded, dict) and decoded.get("error"):
        return Complaint(said)
    message = read_error(said).message
    what = f": {message[:300]}" if message else "."
    if is_page(response):
        what = ", but a web page."
    return Complaint(said, otherwise=Row(UnexpectedReplyError, f"The answer is not a stream{what}"))


def complaint_of_payload(payload: bytes) -> Complaint | None:
    """The complaint in a payload that is not a chunk; None if there is none.

    It is the body of a response that is not a stream, or an error inside a list (Gemini, seen November 2026).
    """
    if type(payload) is Body:
        return complaint_of_body(payload)
    if payload[:1] == b"[":
        body = decode_json(payload)
        if body and isinstance(body[0], dict) and body[0].get("error"):
            return Complaint(body[0])
    return None


def words_in(payload: bytes) -> str:
    """The text of a payload that is not JSON, in case a gateway ends a stream with an error in plain text.

    That is a precaution: no such stream has been seen.
    """
    if payload.strip() in (b"[DONE]", b"null") or decode_json(payload) is not None:
        return ""
    return " ".join(_text(Response(200, body=payload)).split())[:300]


def _text(response: Response) -> str:
    """The body if it is plain text, which proxies send; empty if it is a web page or binary."""
    if is_page(response):
        return ""
    text = response.body[:10_000].decode("utf-8", "replace")
    return text if text.replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable() else ""


def _named(facts: ErrorBody) -> str:
    """The message, or else the first code that is not just a number."""
    words = (code for code in facts.codes if not code.isdigit())
    return facts.message[:_LONGEST_SENTENCE] or next(words, "")


# --- firewalls and proxies in front of the backend --------------------------------------------------


def _failure_on_the_way(response: Response, body: Any, facts: ErrorBody) -> OnplanError | None:
    """The error for a response of a firewall or proxy; None if it seems to be the backend's own.

    Args:
        response: the whole response, with an error status or a web page as its body.
        body: the decoded JSON of the response; None if it is not JSON.
        facts: what the response says, read as the body of an error.
    """
    status, page = response.status, body is None and is_page(response)
    number = cloudflare_number(response, body)
    if refused_by_firewall(response, body):
        return _blocked(response, number, "" if page else facts.message)
    if number and status == 429:
        sentence = f"A firewall in front of the backend limits how often it lets you through ({number})."
        return _plain_error(RateLimitError, sentence, response)
    if not page or status == 429 or status >= 500:
        return None
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


# --- building the error -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """An error body and the response that it came in."""

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
    error = row.error(
        sentence,
        hint=row.hint,
        status_code=case.status,
        request_id=case.request_id,
        retry_after=facts.retry_after,
        resets_at=case.resets_at,
    )
    if isinstance(error, SignInAgainError):
        error.token_refused = case.status == 401 or row is TOKEN_REFUSED
    return error


_MOMENT = 10.0  # seconds; a shorter wait is not worth a hint


def _note_wait(error: OnplanError, facts: ErrorBody, headers: Mapping[str, str], now: float) -> None:
    """Set ``error.retry_after`` from headers, if the message did not say how long to wait.

    ``headers``: those of the error itself or of the provider that sent it, not those of the 200 response that
    an error event came in.
    """
    said = {**facts.headers, **headers}
    if error.retry_after is None:
        error.retry_after = retry_after(said, now)
    if error.retry_after is None and isinstance(error, RateLimitError):
        error.retry_after = rate_limit_reset(said, now)
    if isinstance(error, RateLimitError) and (error.retry_after or 0) > _MOMENT:
        error.hint = f"Wait {duration(error.retry_after or 0)} and try again."


def _usage_limit(case: _Case) -> UsageLimitError:
    """The error for a used-up allowance: which one, when it resets, and what else is possible."""
    limit = limit_reached(case.headers, case.resets_at) or NO_LIMIT
    plan = case.facts.plan or case.headers.get("x-codex-plan-type")
    resets_at = limit.resets_at if case.resets_at is None else case.resets_at
    error = UsageLimitError(
        f"{limit.sentence(plan)}{until_reset(resets_at)}.",
        hint=limit.advice(plan),
        status_code=case.status,
        request_id=case.request_id,
        resets_at=resets_at,
    )
    error.window_minutes = limit.minutes
    return error
