"""A request as it was received, and the replies to it. Knows nothing of sockets, tokens or models."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
import zstandard

from onplan.emulator.wire.stream import Stream

LARGEST_BODY = 64 * 1024 * 1024
EVENT_STREAM = "text/event-stream; charset=utf-8"

# "reset": the connection ends without a reply. "cut": it ends half-way through the body.
Ending = Literal["complete", "cut", "reset"]
Headers = tuple[tuple[str, str], ...]
# Encodes the bytes of one write in a content coding; None: returns what ends it.
Encode = Callable[[bytes | None], bytes]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer: a body, or a stream of events, and how the connection ends.

    `compressed`: it is to be sent in a content coding that the client takes; `encode`: in this one.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    stream: Stream | None = None
    delay: float = 0.0
    ending: Ending = "complete"
    compressed: bool = False
    encode: Encode | None = None

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


class Refusal(Exception):  # noqa: N818 - it is an answer, not a mistake
    """Raised when a request is refused; has the reply that says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body.decode())
        self.reply = reply


@dataclass(frozen=True)
class Request:
    """One request, received in full."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    raw: bytes
    query: list[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def plain(self) -> bytes | None:
        """The decompressed body; None if it cannot be decompressed."""
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        decode = DECODINGS.get(encoding)
        return decode(self.raw) if decode else None

    @cached_property
    def body(self) -> Any:
        """JSON and forms as objects, anything else as text, no body as None."""
        plain = self.plain
        if plain is None:
            return f"<{len(self.raw)} bytes, not decodable>"
        if not plain:
            return None
        text = plain.decode(errors="replace")
        if self.media_type == "application/x-www-form-urlencoded":
            return dict(parse_qsl(text, keep_blank_values=True))
        try:
            return msgspec.json.decode(plain)
        except msgspec.DecodeError:
            return text

    @property
    def fields(self) -> dict[str, Any]:
        """The body's members, or nothing when it is not an object or a form."""
        return self.body if isinstance(self.body, dict) else {}


def _unzstd(data: bytes) -> bytes | None:
    # A frame need not state its size, so the size is bounded while reading.
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
            plain = reader.read(LARGEST_BODY + 1)
    except zstandard.ZstdError:
        return None
    return plain if len(plain) <= LARGEST_BODY else None


DECODINGS = {"identity": lambda data: data, "": lambda data: data, "zstd": _unzstd}


def json_reply(value: Any, status: int = 200, headers: Headers = ()) -> Reply:
    """JSON, as both services send it."""
    body = msgspec.json.encode(value)
    return Reply(status=status, headers=(("content-type", "application/json"), *headers), body=body)


def html_reply(text: str, status: int = 200, headers: Headers = ()) -> Reply:
    """A page."""
    page = (("content-type", "text/html; charset=utf-8"), *headers)
    return Reply(status=status, headers=page, body=text.encode())


def detail(text: Any, status: int = 400) -> Reply:
    """The Codex backend's own error shape; reported in 2026."""
    return json_reply({"detail": text}, status)


def api_error(
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    status: int = 400,
    headers: Headers = (),
) -> Reply:
    """The platform's error shape."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json_reply({"error": error}, status, headers)


def oauth_error(code: str, description: str, status: int = 400) -> Reply:
    """RFC 6749, section 5.2."""
    value = {"error": code, "error_description": description}
    return json_reply(value, status, (("cache-control", "no-store"),))


# --- refusals of the sign-in service that faults repeat ------------------------------------------------

NO_STORE = (("cache-control", "no-store"), ("pragma", "no-cache"))
DEVICE_PENDING = api_error(
    "Device authorization is unknown. Please try again.", code="deviceauth_authorization_unknown", status=403
)
REFRESH_MESSAGES = {
    "refresh_token_expired": "Your refresh token has expired. Please sign in again.",
    "refresh_token_reused": (
        "Your refresh token was already used to generate a new access token. Please try signing in again."
    ),
    "refresh_token_invalidated": "Your refresh token has been revoked. Please sign in again.",
}


def refresh_refused(code: str) -> Reply:
    """The three permanent failures of a refresh, all 401 (docs/protocol.md)."""
    return api_error(REFRESH_MESSAGES[code], code=code, status=401, headers=NO_STORE)
