"""Finds errors that a server reports inside a chunk, after HTTP status 200.

The protocol has no field for them. Seen November 2026: ``error`` beside the choices or in one of them
(OpenRouter), ``x_groq.error`` (Groq), ``base_resp`` (MiniMax), and instead of choices a code and a message,
or ``detail``, as in the body of an error response.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onplan.answers.error_body import http_status
from onplan.answers.failures import Complaint, complaint_of_payload
from onplan.chat.events import Chunk
from onplan.flow import decode_json

_CODES = ("code", "error_code", "status_code", "statusCode", "status")
_SENTENCES = ("message", "msg", "error_msg", "status_msg", "detail")
_FINE = frozenset({"", "0", "200", "ok", "success", "succeeded", "completed", "none", "null", "[]", "{}"})


def complaint_in_chunk(chunk: Chunk, payload: bytes) -> Complaint | None:
    """The error in a chunk, outside of its choices; None if there is none. ``payload``: its bytes."""
    body = decode_json(payload)
    body = body if isinstance(body, dict) else {}
    errors = [chunk.error, chunk.x_groq.error if chunk.x_groq else None, _complaint(chunk.base_resp)]
    if not chunk.choices:
        errors += _in_place_of_choices(body)
    found = next(filter(is_error, errors), None)
    if found is not None:
        statuses = (http_status(body.get(name)) for name in _CODES)
        return Complaint(found, next(filter(None, statuses), None))
    return complaint_of_payload(payload) if not chunk.choices else None


def _in_place_of_choices(body: dict[str, Any]) -> Iterable[Any]:
    if isinstance(body.get("errors"), list):
        yield from body["errors"]
    failed = "error" in (body.get("object"), body.get("type")) or body.get("success") is False
    yield body if failed or body.get("detail") else _complaint(body)


def _complaint(body: Any) -> Any:
    """``body``, if it has a message and the code of a failure; else None."""
    if not isinstance(body, dict) or not any(body.get(name) for name in _SENTENCES):
        return None
    status = str(body.get("status")).lower()
    # Any other status is that of a job, such as "queued".
    if not (status.isdecimal() or "error" in status or "fail" in status):
        body = {**body, "status": None}
    codes = [str(body[name]).lower() for name in _CODES if body.get(name) is not None]
    return None if all(code in _FINE for code in codes) else body


def is_error(error: Any) -> bool:
    """Whether ``error`` says that something failed.

    An empty one, or one with a code for success such as MiniMax's ``base_resp`` has, does not. In ``error``
    itself that is a precaution: it has been seen in no answer.
    """
    if isinstance(error, dict):
        return any(str(value).lower() not in _FINE for value in error.values())
    return bool(error)
