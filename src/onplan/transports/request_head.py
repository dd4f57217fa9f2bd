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
_MOST_NAMES = 64  # of headers; no request of onplan's has as many
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # they have a length, if only of 0
# Those that ask for the same if they are sent twice (RFC 9110 §9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class RequestHeads:
    """Writes the heads of one client's requests: the bytes before the body.

    Most header lines are those of the request before, so the last line of each name is kept: to check a token
    and to write its line takes longer than all else.
    """

    def __init__(self) -> None:
        # By the header's name: its last value, its name in lower case, and its line.
        self._last: dict[str, tuple[str, str, bytes]] = {}

    def head_of(self, request: Request, accepted: str) -> SecretBytes:
        """The request line and the headers.

        Args:
            request: its own headers take the place of those that are added.
            accepted: the value of ``Accept-Encoding``.

        Raises:
            TransportError: it cannot be written, because its method, its host or a header is not valid.
        """
        beginning = _beginning(request.method, request.url, accepted)
        lines = beginning and self._with_lines(beginning[1], request.headers)
        if not beginning or not lines:
            raise unwritable(request.origin)
        if request.body or request.method in _WITH_BODY:
            lines["content-length"] = b"content-length: %d\r\n" % len(request.body or b"")
        return SecretBytes(b"".join((beginning[0], *lines.values(), b"\r\n")))

    def _with_lines(self, added: Mapping[str, bytes], headers: Mapping[str, str]) -> dict[str, bytes] | None:
        """``added`` with the lines of ``headers``, by name; None if one of these cannot be sent."""
        lines, last = dict(added), self._last
        for name, value in headers.items():
            kept = last.get(name)
            if kept is None or kept[0] != value:
                lower = name.lower()
                line = header_lines({lower: value})
                if line is None:
                    return None
                if len(last) >= _MOST_NAMES:
                    last.clear()
                last[name] = kept = SecretText(value), lower, line
            lines[kept[1]] = kept[2]
        return lines


def header_lines(headers: Mapping[str, str]) -> SecretBytes | None:
    """``headers`` as they are sent; None if one of them cannot be."""
    text = SecretText("".join([f"{name}: {value}\r\n" for name, value in headers.items()]))
    if all(_is_plain(name, value) for name, value in headers.items()):
        return SecretBytes(text.encode("ascii"))
    try:
        lines = SecretBytes(text.encode("latin-1"))
    except UnicodeEncodeError:
        return None
    names = [name.encode() for name in headers]
    return lines if are_names(names) and has_lines(lines, len(headers)) else None


def _is_plain(name: str, value: str) -> bool:
    """Whether a header has nothing but characters that can stand in any, as nearly all have."""
    letters = name.replace("-", "")
    return letters.isascii() and letters.isalnum() and value.isascii() and value.isprintable()


def unwritable(origin: str) -> TransportError:
    """The error for a request that cannot be sent. It does not say why, for that may be a secret."""
    return TransportError(f"The request to {origin} could not be written.")


def is_idempotent(method: str) -> bool:
    """Whether a request that may have been carried out already can be sent again."""
    return method in _IDEMPOTENT


@lru_cache(maxsize=16)  # a client asks at few addresses, and quoting costs as much as all headers together
def _beginning(method: str, url: str, accepted: str) -> tuple[bytes, Mapping[str, bytes]] | None:
    """The request line, and by name the header lines that are added; None if they cannot be written."""
    target, host = _place(url)
    added = {"host": host, "accept": "*/*", "accept-encoding": accepted, "user-agent": USER_AGENT}
    lines = {name: header_lines({name: value}) for name, value in added.items()}
    if None in lines.values() or not _METHOD.fullmatch(method):
        return None
    return f"{method} {target} HTTP/1.1\r\n".encode(), {name: line for name, line in lines.items() if line}


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
