"""The first bytes of a request over HTTP/1.1: its line and its headers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, urlsplit

from onplan.backends import USER_AGENT
from onplan.errors import TransportError
from onplan.flow import Request
from onplan.header_lines import are_names, has_lines
from onplan.secret import SecretBytes, SecretText

_METHOD = re.compile(r"[A-Z]+")
_DEFAULT_PORTS: Mapping[str, str] = {"http": ":80", "https": ":443"}
_SAFE = "/%:=&?+$!*'(),;@~[]"  # in a URL as it is written; the rest is encoded
# Those that ask for the same if they are sent twice (RFC 9110 §9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


def request_head(request: Request, accepted: str) -> SecretBytes:
    """The bytes before the body.

    Args:
        request: its own headers take the place of those that are added.
        accepted: the value of ``Accept-Encoding``.

    Raises:
        TransportError: it cannot be written, because its method, its host or a header is not valid.
    """
    target, host = _place(request.url)
    lines = header_lines(_headers(request, host, accepted))
    if lines is None or not _METHOD.fullmatch(request.method):
        raise unwritable(request.origin)
    return SecretBytes(f"{request.method} {target} HTTP/1.1\r\n".encode() + lines + b"\r\n")


def header_lines(headers: Mapping[str, str]) -> SecretBytes | None:
    """``headers`` as they are sent; None if one of them cannot be."""
    text = SecretText("".join([f"{name}: {value}\r\n" for name, value in headers.items()]))
    try:
        lines = SecretBytes(text.encode("latin-1"))
    except UnicodeEncodeError:
        return None
    names = [name.encode() for name in headers]
    return lines if are_names(names) and has_lines(lines, len(headers)) else None


def unwritable(origin: str) -> TransportError:
    """The error for a request that cannot be sent. It does not say why, for that may be a secret."""
    return TransportError(f"The request to {origin} could not be written.")


def is_idempotent(method: str) -> bool:
    """Whether a request that may have been carried out already can be sent again."""
    return method in _IDEMPOTENT


@lru_cache(maxsize=8)  # a client asks at few addresses, and quoting costs as much as all headers together
def _place(url: str) -> tuple[str, str]:
    """The target of the request line, and the value of ``Host``.

    That is in ASCII if it can be, without the port that the scheme has by default.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    host = parts.netloc.rpartition("@")[2].removesuffix(_DEFAULT_PORTS.get(parts.scheme, ""))
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        host = "\0"  # which no header can hold
    return quote(target, safe=_SAFE), host


def _headers(request: Request, host: str, accepted: str) -> dict[str, str]:
    headers = {
        "host": host,
        "accept": "*/*",
        "accept-encoding": accepted,
        "user-agent": USER_AGENT,
        **{name.lower(): value for name, value in request.headers.items()},
    }
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        headers["content-length"] = str(len(request.body or b""))
    return headers
