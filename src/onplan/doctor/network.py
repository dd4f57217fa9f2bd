"""Checks the connections to the issuer and the backend: proxy, names, answers, clocks.

The checks use the clients' own transport, so that they connect as requests do. No secret is sent.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import closing
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from onplan.answers.failures import failure_of_response
from onplan.config.environment import environment_variable
from onplan.config.settings import Settings
from onplan.doctor.check import Examination, NotExaminedError
from onplan.errors import BackendError, ConnectError, OnplanError
from onplan.flow import Request, Response
from onplan.transports import Timeouts
from onplan.transports.httpx2_sync import HTTPTransport
from onplan.transports.route import Route, proxy_source
from onplan.types import OAuthCredentials

PARTIES = ("issuer", "backend")

# Seconds for each step over the network.
STEP = 10.0
TIMEOUTS = Timeouts(connect=STEP, idle=STEP)
SET_CLOCK = {
    "darwin": "`sudo sntp -sS time.apple.com`",
    "win32": "`w32tm /resync`",
}.get(sys.platform, "`sudo timedatectl set-ntp true`")

_TOLERANCE = 60.0  # seconds; a smaller difference of clocks has no consequences


def url_of(party: str, settings: Settings) -> str:
    """The URL of the party: of the issuer, or of the backend's API."""
    return settings.issuer.url if party == "issuer" else settings.base_url


def require_party(party: str, settings: Settings) -> None:
    """Raise NotExaminedError for the issuer of a backend that takes an API key, which needs no issuer."""
    if party == "issuer" and settings.backend.credential is not OAuthCredentials:
        raise NotExaminedError(f"{settings.backend.name} takes an API key instead of a sign-in.")


def address_of(url: str) -> tuple[str, int]:
    """Host and port of ``url``."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def first_set(*variables: str) -> str | None:
    """The first of these environment variables that is set."""
    return next(filter(environment_variable, variables), None)


def reason_of(error: BaseException) -> str:
    """What an error of the system or a library says, without its number."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


class SeenError(Exception):
    """Ends an exchange when enough of it has been seen, so that nothing more is sent."""


# --- proxy and names ------------------------------------------------------------------------------------


def proxy(examination: Examination) -> str:
    """Which proxy is in effect, and whether it answers."""
    source = proxy_source()
    variable = first_set(source)
    urls = {party: url_of(party, examination.settings) for party in PARTIES}
    ways = {party: _way(url) for party, url in urls.items()}
    proxied = {party: way for party, way in ways.items() if way != address_of(urls[party])}
    examination.proxied = frozenset(proxied)
    if not proxied:
        return (
            f"{variable} is set, but does not apply to these addresses." if variable else "No proxy is set."
        )
    for host, port in set(proxied.values()):
        try:
            socket.create_connection((host, port), timeout=STEP).close()
        except (OSError, OverflowError) as error:
            raise ConnectError(
                f"The proxy {host}:{port}, from {source}, does not answer: {reason_of(error)}.",
                hint=f"Start it, or change {source}.",
            ) from None
    through = "; ".join(f"{party} through {host}:{port}" for party, (host, port) in proxied.items())
    return f"From {source}: {through}."


def _way(url: str) -> tuple[str, int]:
    """Host and port to which the transports connect for ``url``: its own, or a proxy's."""
    proxy = Route().proxy_for(url)
    return (proxy.host, proxy.port) if proxy else address_of(url)


def name(party: str, examination: Examination) -> str:
    """Whether the host's name can be resolved to an address."""
    require_party(party, examination.settings)
    if party in examination.proxied:
        raise NotExaminedError("The proxy looks it up.")
    host, port = address_of(url_of(party, examination.settings))
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        override = _override(party, examination.settings)
        raise ConnectError(
            f"{host} cannot be resolved: {reason_of(error)}.",
            hint="Check the network connection and its DNS server"
            + (f", and {override}." if override else "."),
        ) from None
    first, *others = dict.fromkeys(str(row[4][0]) for row in found)
    if first == host:
        return f"{host} is an address already."
    return f"{host} is {first}{f' and {len(others)} more' if others else ''}."


def _override(party: str, settings: Settings) -> str | None:
    return first_set("ONPLAN_ISSUER" if party == "issuer" else settings.backend.base_url_variable)


# --- answers --------------------------------------------------------------------------------------------


def reachable(party: str, examination: Examination) -> str:
    """Whether the other side answers as it should to a request without a credential."""
    require_party(party, examination.settings)
    request = _probe(party, examination.settings)
    with closing(HTTPTransport(TIMEOUTS)) as transport:
        response = transport.fetch(request)
    now = time.time()
    date = _date(response)
    if date is not None:
        examination.ahead[address_of(request.url)[0]] = now - date
    error = _fault(party, response, now)
    if error:
        raise type(error)(f"{request.origin}: {error}", hint=error.hint)
    wanted = "" if response.ok else ", as no credential was sent"
    return f"{request.origin} answers (HTTP {response.status}{wanted})."


def _probe(party: str, settings: Settings) -> Request:
    accept = {"accept": "application/json"}
    if party == "issuer":
        return Request("GET", f"{settings.issuer.url}/.well-known/openid-configuration", accept, timeout=STEP)
    url = f"{settings.base_url}/models?{settings.backend.catalogue_query}".rstrip("?")
    return Request("GET", url, {**settings.backend.headers, **accept}, timeout=STEP)


def _date(response: Response) -> float | None:
    """The server's time, Unix seconds; None if it does not send it."""
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except ValueError:
        return None


def _fault(party: str, response: Response, now: float) -> OnplanError | None:
    """What is wrong with an answer, or None. Refusing a request without a credential is not wrong."""
    is_json = response.json() is not None
    has_no_discovery = party == "issuer" and response.status == 404
    if is_json and (response.ok or has_no_discovery):
        return None
    error = failure_of_response(response, now)
    return error if isinstance(error, BackendError) else None


def clock(examination: Examination) -> str:
    """Whether this machine's clock agrees with one of the servers'."""
    if not examination.ahead:
        raise NotExaminedError("No server sent its time.")
    host, ahead = min(examination.ahead.items(), key=lambda row: abs(row[1]))
    if abs(ahead) <= _TOLERANCE:
        return f"It agrees with {host}'s."
    raise OnplanError(
        f"The clock is {abs(ahead):,.0f} seconds {'ahead of' if ahead > 0 else 'behind'} {host}'s: tokens "
        "are refreshed too early or too late, and certificates may be refused.",
        hint=f"Set it: {SET_CLOCK}.",
    )
