"""Reads a successful answer of the token endpoint (RFC 6749 §5.1), as leniently as possible.

The old refresh token is spent when the answer comes. So its tokens are kept even if the rest of the answer is
malformed; only an answer without any token is not a token response.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from onplan.flow import decode_json

_TOKENS = ("access_token", "refresh_token", "id_token")
_STRING_MEMBER = re.compile(rf'"({"|".join(_TOKENS)})"\s*:\s*("(?:[^"\\]|\\.)*")')
_LAST_MOMENT = 253_402_300_799.0  # 9999-12-31, the last day of Python's calendar
_MILLISECONDS = 1e11  # as seconds, that would be the year 5138


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A token response. Its tokens are not printed.

    Attributes:
        expires_in: seconds; None if it is absent or no number.
        earliest_refresh_at: Unix seconds.
    """

    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    expires_in: float | None = None
    scope: str | None = None
    earliest_refresh_at: float | None = None


def decode_token_response(body: bytes) -> TokenResponse | None:
    """The token response in ``body``, or None if there is none."""
    fields = _fields(body)
    if fields is None:
        return None
    scope = fields.get("scope")
    return TokenResponse(
        **{name: _token(fields.get(name)) for name in _TOKENS},
        expires_in=_number(fields.get("expires_in")),
        scope=_storable(" ".join(map(str, scope)) if isinstance(scope, list) else scope),
        earliest_refresh_at=moment(fields.get("earliest_refresh_at")),
    )


def moment(value: Any) -> float | None:
    """``value`` (Unix seconds, milliseconds or an ISO 8601 string) as Unix seconds; None if it is no time."""
    number = _number(value)
    if number is None:
        try:
            found = datetime.fromisoformat(value)
            number = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (TypeError, ValueError, OverflowError):
            return None
    elif number > _MILLISECONDS:
        number /= 1000
    return number if 0 <= number <= _LAST_MOMENT else None


# --- the members, however they are written ---------------------------------------------------------------


def _fields(body: bytes) -> Mapping[str, Any] | None:
    """The members of the JSON object in ``body``, or of the part of it that has tokens; None if none has."""
    strict = decode_json(body)
    if isinstance(strict, dict) and _has_tokens(strict):
        return strict
    text = _decoded(body)
    found = _first_object(text)
    candidates = (found, *(found or {}).values(), _complete_members(text), dict(parse_qsl(text.strip())))
    return next((each for each in candidates if _has_tokens(each)), None)


def _has_tokens(value: object) -> bool:
    return isinstance(value, dict) and any(_token(value.get(name)) for name in _TOKENS[:2])


def _decoded(body: bytes) -> str:
    """``body`` as text, from UTF-8, 16 or 32, with or without a byte order mark; bad bytes are replaced."""
    return body.decode(json.detect_encoding(body), "replace")


def _first_object(text: str) -> dict[str, Any] | None:
    """The first JSON object in ``text``, whatever surrounds it."""
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text, text.find("{"))
    except (ValueError, IndexError, RecursionError):  # also for a number of more digits than Python reads
        return None
    return found if isinstance(found, dict) else None


def _complete_members(text: str) -> dict[str, Any]:
    """The tokens in an object that is cut off or damaged after them, if it has a refresh token."""
    found = {name: _unquoted(value) for name, value in _STRING_MEMBER.findall(text)}
    return found if _token(found.get("refresh_token")) else {}


def _unquoted(text: str) -> object:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return None


# --- their values ----------------------------------------------------------------------------------------


def _token(value: Any) -> str | None:
    """``value`` as a token; None if it could not be sent in a header or form."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text and text.isascii() and text.isprintable() else None


def _storable(value: Any) -> str | None:
    """``value`` as text that can be encoded as UTF-8."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    """``value`` as a finite number, also from text."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
