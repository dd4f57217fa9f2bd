"""HTTP requests and responses as values, and flows: generators that yield requests and receive responses.

A ``Flow`` returns its result and never touches a socket. ``drive`` and ``adrive`` run one with functions that
send a request and sleep. (The idea of httpx's ``auth_flow``.)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias, TypeVar, cast
from urllib.parse import urlencode, urlsplit

import msgspec

from onplan.errors import ConfigurationError
from onplan.printed_form import PartlyPrinted

T = TypeVar("T")

# What decoding JSON raises: msgspec's errors, and Python's for bytes that are not UTF-8 and endless nesting.
JSON_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)


def decode_json(data: bytes) -> Any:
    """The JSON value in ``data``; None if it is not valid JSON."""
    try:
        return msgspec.json.decode(data)
    except JSON_ERRORS:
        return None


NOTHING: Mapping[str, str] = MappingProxyType({})

CLIENT_REQUEST_ID = "x-client-request-id"  # header: our id of a request, known even if no answer comes


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The server's id of a request, from the headers of its response; None if it gave none."""
    # OpenAI's services use all three names (docs/protocol.md).
    names = ("x-request-id", "x-oai-request-id", "openai-request-id")
    return next((headers[name] for name in names if headers.get(name)), None)


def require_safe_url(url: str, source: str) -> str:
    """``url`` without a trailing slash, if a token may be sent there: https, or http to this machine.

    Args:
        url: the address of a server.
        source: where it was configured, such as ``ONPLAN_ISSUER``, for the error message.

    Raises:
        ConfigurationError: a token sent to ``url`` could be read on its way, or it is not a plain URL.
    """
    try:
        parts = urlsplit(url)
        scheme, host, _ = parts.scheme, parts.hostname or "", parts.port
        plain = not (parts.username or parts.password or parts.query or parts.fragment) and bool(host)
        del parts  # a traceback would show a password
    except ValueError:
        raise ConfigurationError(f"{source} is not a URL.") from None
    # urlsplit drops line ends and tabs, and takes a space for a part of the host.
    if not plain or not url.isprintable() or " " in url:
        raise ConfigurationError(
            f"{source} must be a URL of scheme, host and path, and nothing else.",
            hint="Write it as https://HOST/PATH, or http://127.0.0.1:PORT/PATH on this machine.",
        )
    if scheme == "https" or (scheme == "http" and is_loopback(host)):
        return url.rstrip("/")
    raise ConfigurationError(
        f"{source} is {scheme}://{host}, where a token could be read on its way.",
        hint="Use an https URL, or http on 127.0.0.1, [::1] or localhost.",
    )


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine: ``localhost``, or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Request(PartlyPrinted, frozen=True):
    """An HTTP request. Headers and body may hold secrets, so ``repr`` leaves them out.

    Attributes:
        after: seconds to wait before sending.
        timeout: seconds for connecting, and for each read and write; a body that is read whole must arrive
            within that time, too.
        encoding: a ``Content-Encoding`` that the server accepts for the body, such as ``zstd``.
    """

    not_printed: ClassVar[tuple[str, ...]] = ("headers", "body")

    method: str
    url: str
    headers: Mapping[str, str] = NOTHING
    body: bytes | None = None
    after: float = 0.0
    timeout: float = 30.0
    encoding: str | None = None

    @classmethod
    def form(cls, url: str, fields: Mapping[str, str], **options: Any) -> Request:
        """A POST of ``application/x-www-form-urlencoded`` fields, in the given order."""
        return cls._post(url, urlencode(fields).encode(), "application/x-www-form-urlencoded", options)

    @classmethod
    def json(cls, url: str, value: Any, **options: Any) -> Request:
        """A POST of a JSON value."""
        return cls._post(url, msgspec.json.encode(value), "application/json", options)

    @classmethod
    def _post(cls, url: str, body: bytes, content_type: str, options: dict[str, Any]) -> Request:
        headers = {"content-type": content_type, "accept": "*/*", **options.pop("headers", NOTHING)}
        return cls("POST", url, headers, body, **options)

    @property
    def origin(self) -> str:
        """Scheme and host, for error messages; paths and queries may hold secrets."""
        return _origin_of(self.url)


class Response(PartlyPrinted, frozen=True):
    """A whole HTTP response. Header names are in lower case; ``repr`` leaves out headers and body."""

    not_printed: ClassVar[tuple[str, ...]] = ("headers", "body")

    status: int
    headers: Mapping[str, str] = NOTHING
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The decoded body, or None if it is not JSON."""
        return decode_json(self.body)


@lru_cache(maxsize=64)  # a client asks at few addresses, for each request several times
def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


Flow: TypeAlias = Generator[Request, Response, T]


def drive(flow: Flow[T], send: Callable[[Request], Response], sleep: Callable[[float], object]) -> T:
    """Run ``flow`` and return its result; what ``send`` raises is raised at the flow's ``yield``."""
    advance: Callable[[], Request] = partial(next, flow)
    while True:
        try:
            request = advance()
        except StopIteration as stop:
            return cast("T", stop.value)
        try:
            if request.after:
                sleep(request.after)
            advance = partial(flow.send, send(request))
        except Exception as error:  # noqa: BLE001 - the flow decides what an error means
            advance = partial(flow.throw, error)


async def adrive(
    flow: Flow[T],
    send: Callable[[Request], Awaitable[Response]],
    sleep: Callable[[float], Awaitable[object]],
) -> T:
    """Run ``flow`` like ``drive``, in an event loop."""
    advance: Callable[[], Request] = partial(next, flow)
    while True:
        try:
            request = advance()
        except StopIteration as stop:
            return cast("T", stop.value)
        try:
            if request.after:
                await sleep(request.after)
            advance = partial(flow.send, await send(request))
        except Exception as error:  # noqa: BLE001 - the flow decides what an error means
            advance = partial(flow.throw, error)
