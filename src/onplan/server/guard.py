"""Decides who may ask: the headers Host, Origin and Content-Type, and the key.

A page in a browser is kept out three times: it sends an Origin; a name that its owner points at 127.0.0.1
stands in Host (DNS rebinding); and what a page may send without asking first is not JSON. No OpenAI client
that was tried sends an Origin (November 2026). Node's fetch sends ``Sec-Fetch-Mode: cors``, which therefore
decides nothing.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from onplan.dialects.openai_errors import NEVER_AGAIN, refusal
from onplan.dialects.served import ServedReply
from onplan.server.keys import Keys
from onplan.server.options import ServerOptions
from onplan.service.service import ROUTES

_OF_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
# What the guard and the reading of bodies depend on; of two values, each program would choose its own.
_ONCE = (
    b"host",
    b"origin",
    b"authorization",
    b"x-api-key",
    b"content-type",
    b"content-encoding",
    b"content-length",
)
_PREFLIGHT_HEADERS = re.compile(
    r"authorization|content-type|accept|x-stainless-[a-z-]+|openai-[a-z-]+|anthropic-[a-z-]+|x-api-key"
)
# What SDKs read in a browser: without x-should-retry they would send again what is refused for hours.
_EXPOSED = (
    "x-request-id, x-should-retry, retry-after, "
    "x-onplan-ignored-parameters, x-onplan-emulated-parameters, x-onplan-history-repairs"
)
# Looked at first, for most requests are for these.
_USUAL = frozenset({"/v1/responses", "/v1/chat/completions"})
# Needs no key, and tells nothing but that a server is there.
PUBLIC = frozenset({"/", "/healthz"})
_MOST_KNOWN = 64
_MULTIPART = frozenset({"/v1/images/edits", "/images/edits"})
_UNREADABLE_PATH = re.compile(r"//|/\.\.?(?:/|$)|[\x00-\x1f\x7f\\]|^[^/]|^$")


class Head(msgspec.Struct, frozen=True):
    """The head of a request.

    Attributes:
        method: in upper case; ``GET`` for a WebSocket.
        path: decoded, without the query.
        headers: names in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        """Without the headers, which hold the key."""
        return f"Head({self.method!r}, {self.path!r})"


class Guard:
    """Decides about requests by their heads.

    Args:
        options: which hosts and origins are accepted.
        keys: which keys are accepted.
    """

    def __init__(self, options: ServerOptions, keys: Keys) -> None:
        own = f"[{options.host}]" if ":" in options.host else options.host
        self._hosts = frozenset(name.lower() for name in (*_OF_LOOPBACK, own, *options.allow_hosts))
        self._origins = frozenset(origin.lower() for origin in options.allow_origins)
        self._keys = keys
        self._known_hosts: set[str] = set()  # such values of Host as have been looked at and are right

    def decide(self, head: Head) -> ServedReply | str:
        """The name of the caller, empty for a public path; or the refusal."""
        return self._host(head) or self._origin(head) or _path(head) or self._caller(head)

    def cross_origin(self, head: Head) -> Mapping[str, str]:
        """The headers with which a page of an accepted origin may read the reply."""
        origin = head.headers.get("origin")
        if origin is None or origin.lower() not in self._origins:
            return {}
        return {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": _EXPOSED,
            "vary": "origin",
        }

    def _host(self, head: Head) -> ServedReply | None:
        given = head.headers.get("host", "")
        if given in self._known_hosts:
            return None
        host = _HOST.fullmatch(given.lower())
        if host and host[1] in self._hosts:
            if len(self._known_hosts) < _MOST_KNOWN:
                self._known_hosts.add(given)
            return None
        message = (
            "This server does not answer to the name in Host. `onplan serve --allow-host NAME` adds one."
        )
        return refusal(421, "host_not_allowed", message, headers=NEVER_AGAIN)

    def _origin(self, head: Head) -> ServedReply | None:
        origin = head.headers.get("origin")
        if head.method == "OPTIONS" and (origin is None or "access-control-request-method" in head.headers):
            return self._preflight(head)
        if origin is None or origin.lower() in self._origins:
            return None
        return _origin_refused()

    def _preflight(self, head: Head) -> ServedReply:
        if not self.cross_origin(head):
            return _origin_refused()
        wanted = head.headers.get("access-control-request-headers", "").lower()
        names = [name for name in map(str.strip, wanted.split(",")) if _PREFLIGHT_HEADERS.fullmatch(name)]
        answer = {
            "access-control-allow-methods": "GET, POST, DELETE",
            "access-control-allow-headers": ", ".join(names),
            "access-control-max-age": "600",
        }
        return ServedReply(204, answer, b"")

    def _caller(self, head: Head) -> ServedReply | str:
        if head.path in PUBLIC and head.method in ("GET", "HEAD"):
            return ""
        for key in keys_in(head.headers):
            caller = self._keys.caller_of(key)
            if caller is not None:
                return _media_type(head) or caller
        message = f"The key is missing, or is not one of this server. {self._keys.where}"
        headers = {**NEVER_AGAIN, "www-authenticate": "Bearer"}
        return refusal(401, "invalid_api_key", message, headers=headers)


def _origin_refused() -> ServedReply:
    message = "Pages of this origin may not ask. `onplan serve --allow-origin ORIGIN` permits one."
    return refusal(403, "origin_not_allowed", message, headers=NEVER_AGAIN)


def _path(head: Head) -> ServedReply | None:
    """Refuses paths that another program might read in another way."""
    if head.path in _USUAL or not _UNREADABLE_PATH.search(head.path):
        return None
    return refusal(404, "unknown_url", "Unknown path.")


def _media_type(head: Head) -> ServedReply | None:
    if head.method != "POST" or head.path.removeprefix("/v1") not in ROUTES:
        return None  # no body is read for what it says: of other methods, and at paths that there are not
    given = head.headers.get("content-type", "")
    if given == "application/json":
        return None
    given = given.partition(";")[0].strip().lower()
    if given == "application/json" or (given == "multipart/form-data" and head.path in _MULTIPART):
        return None
    message = "The body must be JSON, and the header Content-Type must say so: application/json."
    return refusal(415, "unsupported_media_type", message, headers=NEVER_AGAIN)


def not_a_handshake(
    why: str = "it takes a GET of HTTP/1.1 without a body and with short headers",
) -> ServedReply:
    """The refusal of a request that wants a WebSocket and does not open one; the connection ends with it."""
    message = f"This does not open a WebSocket: {why}."
    return refusal(400, "invalid_request", message, headers={**NEVER_AGAIN, "connection": "close"})


def repeated(headers: Iterable[tuple[bytes, bytes]]) -> ServedReply | None:
    """Refuses a request in which a header that decides something stands twice."""
    names = [name for name, _ in headers if name in _ONCE]
    if len(names) == len(set(names)):
        return None
    message = "A header that may stand once stands twice."
    return refusal(400, "invalid_request", message, headers=NEVER_AGAIN)


def keys_in(headers: Mapping[str, str]) -> list[str]:
    """The keys that a request brings: as a Bearer token, in x-api-key, or as the password of Basic."""
    keys = []
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        keys.append(value.strip())
    elif kind.lower() == "basic":
        with suppress(ValueError):  # not base64, or not UTF-8
            user, _, password = binascii.a2b_base64(value.strip(), strict_mode=True).decode().partition(":")
            keys.append(password or user)
    if "x-api-key" in headers:
        keys.append(headers["x-api-key"].strip())
    return keys
