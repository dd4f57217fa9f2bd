"""Checks certificates: which authorities are trusted, what the servers show, and why it is refused."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from onplan.config.environment import environment_variable
from onplan.doctor.certificate import Certificate, read_certificate
from onplan.doctor.check import Examination, NotExaminedError
from onplan.doctor.network import SET_CLOCK, TIMEOUTS, SeenError, address_of, first_set, require_party, url_of
from onplan.errors import ConnectError, OnplanError
from onplan.flow import Request
from onplan.transports.certificates import usual_certificates
from onplan.transports.httpx2_sync import HTTPTransport
from onplan.transports.route import Route

T = TypeVar("T", bound=BaseException)

_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # the first of them that is set counts


def authorities(examination: Examination) -> str:
    """Which certificate authorities are trusted, and whether they can be loaded."""
    variable = first_set(*_AUTHORITIES)
    place = f"{variable} ({environment_variable(variable)})" if variable else "the system"
    usual_certificates()
    return f"The trusted authorities are those of {place}."


def tls(party: str, examination: Examination) -> str:
    """Whether the server shows a certificate that this machine trusts."""
    require_party(party, examination.settings)
    url = url_of(party, examination.settings)
    if not url.startswith("https:"):
        raise NotExaminedError("Its URL is plain http on this machine.")
    with closing(HTTPTransport(TIMEOUTS)) as transport:
        try:
            certificate = _shake_hands(transport, url)
        except ConnectError as error:
            raise _explained(error, url) from None
    return f"Verified: a certificate issued by {certificate.issuer}, valid until {certificate.ends:%Y-%m-%d}."


def _shake_hands(transport: HTTPTransport, url: str) -> Certificate:
    """Connect without sending a request, and return the certificate that the server shows.

    Raises TransportError; ValueError if it shows none.
    """
    host, _ = address_of(url)
    theirs = False
    shown = b""

    def watch(event: str, info: Mapping[str, Any]) -> None:
        nonlocal theirs, shown
        if event.endswith("start_tls.started"):
            theirs = info["server_hostname"] == host  # not that of an https proxy
        elif event.endswith("start_tls.complete") and theirs:
            in_der = True
            shown = info["return_value"].get_extra_info("ssl_object").getpeercert(in_der) or b""
        elif event.endswith("send_request_headers.started") and shown:
            raise SeenError

    with suppress(SeenError):
        transport.open(Request("GET", url), trace=watch).close()
    return read_certificate(shown)


def _explained(error: ConnectError, url: str) -> ConnectError:
    """An error that says what is wrong with the certificate; ``error`` if it has another cause."""
    refused = _cause(error, ssl.SSLCertVerificationError)
    return _refusal(refused, url) if refused else error


def _cause(error: BaseException | None, kind: type[T]) -> T | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


# What is wrong with a certificate, by OpenSSL's error number, and what to do.
_UNTRUSTED = (
    "The certificate of {host} was issued by {issuer}, which this machine does not trust.",
    (
        "If that is your own proxy, run `export SSL_CERT_FILE=FILE` with its certificate in FILE. If it is a "
        "well-known authority, install the system's `ca-certificates`. Otherwise the "
        "connection may be intercepted."
    ),
)
_ANOTHER_HOST = (
    "The certificate that {host} shows belongs to another host. It was issued by {issuer}.",
    "Check the address, and whether a proxy or a captive portal intercepts the connection.",
)
# Since Python 3.13 a certificate must keep to RFC 5280 to the letter (ssl.VERIFY_X509_STRICT). Those of
# companies that intercept TLS often lack a key identifier.
_NOT_STRICT = (
    (
        "The certificate of {host}, issued by {issuer}, breaks a rule of RFC 5280 that Python 3.13 and later "
        "insist on: {reason}."
    ),
    (
        "If a proxy of your company issues it, ask for an authority that keeps to RFC 5280. Until then run "
        "onplan with Python 3.12, or give a client an `http_client=` whose SSL context has "
        "`verify_flags &= ~ssl.VERIFY_X509_STRICT`."
    ),
)
_REFUSALS: Mapping[int, tuple[str, str]] = {
    9: (
        "The certificate of {host} is valid from {begins} on, but this machine's clock says {now}.",
        f"Set the clock: {SET_CLOCK}.",
    ),
    10: (
        "The certificate of {host}, issued by {issuer}, expired on {ends}; this machine's clock says {now}.",
        f"If the clock is wrong, set it: {SET_CLOCK}. If not, the server has to renew its certificate.",
    ),
    18: _UNTRUSTED,
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    62: _ANOTHER_HOST,
    64: _ANOTHER_HOST,
}


def _refusal(refused: ssl.SSLCertVerificationError, url: str) -> ConnectError:
    host, _ = address_of(url)
    try:
        found = _look_at(url)
        sentence, fix = _REFUSALS.get(refused.verify_code) or _unless_strict(url)
    except (OnplanError, ValueError, LookupError):
        return ConnectError(f"The certificate of {host} is refused: {refused.verify_message}.")
    begins, ends, now = (f"{day:%Y-%m-%d}" for day in (found.begins, found.ends, datetime.now(UTC)))
    reason = refused.verify_message.rstrip(".")
    facts = {"begins": begins, "ends": ends, "now": now, "reason": reason}
    return ConnectError(sentence.format(host=host, issuer=found.issuer, **facts), hint=fix)


def _unless_strict(url: str) -> tuple[str, str]:
    """The texts for a certificate that is refused by strict rules only. Raises if it is refused anyway."""
    context = usual_certificates()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    _look_at(url, context)
    return _NOT_STRICT


def _look_at(url: str, context: ssl.SSLContext | None = None) -> Certificate:
    """The certificate that is shown to ``context``, by default whether it is trusted or not.

    Raises as ``_shake_hands``.
    """
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # no request is sent
    with closing(HTTPTransport(TIMEOUTS, route=Route(certificates=context))) as transport:
        return _shake_hands(transport, url)
