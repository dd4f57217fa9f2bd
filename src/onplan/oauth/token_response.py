"""A successful answer of the token endpoint (RFC 6749 §5.1), read as leniently as its tokens permit.

The old refresh token is spent when the answer comes. So whatever is odd beside the tokens, or about how they
are written down, they are kept; only an answer that holds none is no token response.
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
_LAST_MOMENT = 253_402_300_799.0  # 9999-12-31: what is later is no time that a calendar can show
_MILLISECONDS = 1e11  # as seconds, that would be the year 5138


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """Its tokens have no printed form.

    Attributes:
        expires_in: seconds; None if the answer does not say, or says what is no number.
        earliest_refresh_at: Unix seconds.
    """

    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    expires_in: float | None = None
    scope: str | None = None
    earliest_refresh_at: float | None = None


def decode_token_response(body: bytes) -> TokenResponse | None:
    """The token response in ``body``, or None if it is something else."""
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
    """Unix seconds, of Unix seconds or milliseconds or an ISO 8601 string; None for what is no time."""
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
    """The members of the JSON object that ``body`` is; or, if it is none, of whatever holds tokens in it."""
    strict = decode_json(body)
    if isinstance(strict, dict) and (_has_tokens(strict) or not any(map(_has_tokens, strict.values()))):
        return strict
    text = _decoded(body)
    found = _first_object(text)
    candidates = (found, *(found or {}).values(), _complete_members(text), dict(parse_qsl(text.strip())))
    return next((each for each in candidates if _has_tokens(each)), None)


def _has_tokens(value: object) -> bool:
    return isinstance(value, dict) and any(_token(value.get(name)) for name in _TOKENS[:2])


def _decoded(body: bytes) -> str:
    """As text: with a byte order mark or without, in UTF-8, 16 or 32, whatever cannot be read replaced."""
    return body.decode(json.detect_encoding(body), "replace")


def _first_object(text: str) -> dict[str, Any] | None:
    """The first JSON object, whatever stands before and after it."""
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text, text.find("{"))
    except (ValueError, IndexError, RecursionError):  # also for a number of more digits than Python reads
        return None
    return found if isinstance(found, dict) else None


def _complete_members(text: str) -> dict[str, Any]:
    """The tokens in an object that is cut off or damaged behind them, if the refresh token is among them."""
    found = {name: _unquoted(value) for name, value in _STRING_MEMBER.findall(text)}
    return found if _token(found.get("refresh_token")) else {}


def _unquoted(text: str) -> object:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return None


# --- their values ----------------------------------------------------------------------------------------


def _token(value: Any) -> str | None:
    """A token goes into a header or a form; what could not stand there is none."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text and text.isascii() and text.isprintable() else None


def _storable(value: Any) -> str | None:
    """Text that can be written as UTF-8."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    """A finite number, also where it is written as text."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
