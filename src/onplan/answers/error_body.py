"""Reads the body of an error response, in any of the shapes that servers use, into an ``ErrorBody``.

The shapes: ``{"error": {…}}``, ``{"error": "…"}``, ``{"detail": "…"}`` and ``{"detail": [{…}]}`` (FastAPI),
flat objects, lists (Gemini), JSON inside a string, and the error of a provider behind a gateway
(``error.metadata.raw`` at OpenRouter). tests/answers/test_error_bodies.py has one of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from onplan.answers.waiting import seconds_until, try_again_in
from onplan.flow import NOTHING, decode_json


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The facts in the body of an error; a field is None, or empty, if the body does not have it.

    Attributes:
        codes: the error codes and types, unchanged; those of a provider behind a gateway come last.
        message: the text for people, on one line.
        status: the HTTP status that the body names.
        param: the field of the request that caused the error.
        plan: the plan whose limit is reached.
        resets_at: when that limit resets, in Unix seconds.
        resets_in: in how many seconds it resets.
        retry_after: seconds to wait before the next try.
        headers: those of the provider behind a gateway; names in lower case.
    """

    codes: tuple[str, ...]
    message: str
    status: int | None
    param: str | None
    plan: str | None
    resets_at: float | None
    resets_in: float | None
    retry_after: float | None
    headers: Mapping[str, str]


_LONGEST_MESSAGE = 10_000


def read_error(body: Any, now: float | None = None) -> ErrorBody:
    """Read the decoded body of an error, or the ``error`` of an event. Never raises.

    Args:
        body: any JSON value, or a plain text.
        now: Unix seconds; without it, points in time given for a retry are ignored.
    """
    objects = list(_objects(body))
    message = " ".join(_words(body).split())[:_LONGEST_MESSAGE]
    seconds = _first(objects, _WAITS, partial(_seconds, now=now))
    milliseconds = _first(objects, _WAITS_IN_MILLISECONDS, number)
    wait = seconds if milliseconds is None else milliseconds / 1000
    return ErrorBody(
        codes=tuple(_codes(objects)),
        message=message,
        status=_first(objects, _STATUSES, http_status),
        param=_first(objects, ("param",), _text),
        plan=_first(objects, ("plantype",), _text),
        resets_at=_first(objects, ("resetsat",), number),
        resets_in=_first(objects, ("resetsinseconds",), number),
        retry_after=try_again_in(message) if wait is None else wait,
        headers=_first(objects, ("headers",), _headers) or NOTHING,
    )


def number(value: Any) -> float | None:
    """``value`` as a float, if it is a number or a string of digits; else None."""
    try:
        if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None


# --- the objects of a body ----------------------------------------------------------------------------

# Field names are compared without regard to case, hyphens and underscores.
_INNER = (
    "error",
    "errors",
    "detail",
    "details",
    "message",
    "response",
    "fault",
    "baseresp",
    "innererror",
    "cause",
    "metadata",
    "raw",
    "violations",
)
_MOST_OBJECTS, _MOST_DEPTH = 100, 8


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a body that may describe the error, outer ones first, with normalised field names."""
    level, count = [value], 0
    for _ in range(_MOST_DEPTH):
        following: list[Any] = []
        for found in level:
            entry = _decoded(found)
            if isinstance(entry, list):
                following += entry
            elif isinstance(entry, dict) and count < _MOST_OBJECTS:
                count += 1
                fields = {_plain(name): inner for name, inner in entry.items()}
                yield fields
                following += [fields[name] for name in _INNER if name in fields]
        level = following


def _plain(name: Any) -> str:
    return str(name).lower().replace("_", "").replace("-", "")


def _decoded(value: Any) -> Any:
    """``value``; if it is a string of JSON, the object or list in it."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        found = decode_json(value.encode("utf-8", "replace"))
        return value if found is None else found
    return value


def _first(objects: list[dict[str, Any]], names: tuple[str, ...], read: Any) -> Any:
    """The first result of ``read`` that is not None, over all objects and their fields called ``names``."""
    return next(
        (
            found
            for fields in objects
            for name in names
            if name in fields and (found := read(fields[name])) is not None
        ),
        None,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _headers(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    return {
        str(name).lower(): str(said) for name, said in value.items() if isinstance(said, str | int | float)
    }


# --- codes --------------------------------------------------------------------------------------------

_CODES = ("code", "type", "status", "errorcode", "reason", "quotaid", "error")
_STATUSES = ("code", "status", "statuscode", "httpcode", "httpstatus", "errorcode")


def _codes(objects: list[dict[str, Any]]) -> Iterator[str]:
    """Codes and types, unchanged. Only single words: a value with spaces is a message, a URL is neither."""
    for fields in objects:
        for name in _CODES:
            code = fields.get(name)
            if isinstance(code, int) and not isinstance(code, bool):
                code = str(code)
            if isinstance(code, str) and re.fullmatch(r"[\w.-]{1,100}", code):
                yield code


def http_status(value: Any) -> int | None:
    """``value`` as an HTTP status from 400 to 599, if it is one; it may be a string."""
    found = number(value)
    return int(found) if found is not None and 400 <= found < 600 else None


# --- waits --------------------------------------------------------------------------------------------

# google.rpc.RetryInfo has `retryDelay`: "27s", or seconds and nanoseconds.
_WAITS = ("retryafter", "retryafterseconds", "retryaftersecs", "retryaftersec", "retrydelay")
_WAITS_IN_MILLISECONDS = ("retryafterms", "retryaftermilliseconds")


def _seconds(value: Any, now: float | None) -> float | None:
    if isinstance(value, dict):
        whole, nanos = number(value.get("seconds")), number(value.get("nanos"))
        return None if whole is None and nanos is None else (whole or 0.0) + (nanos or 0.0) / 1e9
    if isinstance(value, int | float):
        value = str(value)
    return seconds_until(value, now) if isinstance(value, str) else None


# --- words --------------------------------------------------------------------------------------------

# In this order: text for people comes before names of the kind of error.
_MESSAGES = (
    "message",
    "msg",
    "detail",
    "errormessage",
    "errormsg",
    "errordescription",
    "statusmsg",
    "faultstring",
    "description",
    "title",
)
_CONTAINERS = ("errors", "fault", "baseresp", "response", "innererror", "cause")


def _words(value: Any, depth: int = 0) -> str:
    """The text for people in ``value``; empty if there is none."""
    if depth > _MOST_DEPTH:
        return ""
    value = _decoded(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        said = (_entry(entry, depth) for entry in value[:_MOST_OBJECTS])
        return "; ".join(words for words in said if words)
    if not isinstance(value, dict):
        return ""
    fields = {_plain(name): inner for name, inner in value.items()}
    if words := _providers_words(fields, depth):
        return words
    # In OAuth and Spring `error` is a code, and the text is in another field.
    is_code = isinstance(fields.get("error"), str)
    order = (*_MESSAGES, "error") if is_code else ("error", *_MESSAGES)
    said = (_words(fields[name], depth + 1) for name in (*order, *_CONTAINERS) if name in fields)
    return next((words for words in said if words.strip()), "")


def _providers_words(fields: dict[str, Any], depth: int) -> str | None:
    """The message of the provider behind OpenRouter, whose own message is only "Provider returned error"."""
    metadata = fields.get("metadata")
    if not isinstance(metadata, dict):
        return None
    words, provider = _words(metadata.get("raw"), depth + 1), metadata.get("provider_name")
    return f"{provider}: {words}" if words and isinstance(provider, str) and provider else words


def _entry(entry: Any, depth: int) -> str:
    """The text of one entry in a list of errors, with the path of the field (``loc``) as FastAPI gives it."""
    if not isinstance(entry, dict) or not entry.keys().isdisjoint(("error", "message", "detail")):
        return _words(entry, depth + 1)
    where = entry.get("loc", [])
    path = ".".join(map(str, where if isinstance(where, list) else [where]))
    said = entry.get("msg") or entry.get("type") or _words(entry, depth + 1)
    return f"{path}: {said}" if path and said else str(said)
