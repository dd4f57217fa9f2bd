"""The device-code sign-in: the person enters a code in a browser on any machine (as in RFC 8628).

OpenAI has endpoints of its own for this: the answer to the last poll is an authorization code with its code
verifier. There are two flows, since the person is shown what to do after the first::

    request_code -> DeviceAuthorization         show its URL and user code
    poll         -> OAuthCredentials            once the person has approved
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from onplan.answers.waiting import retry_after
from onplan.errors import OnplanError, SignInError, TransportError
from onplan.flow import Flow, Request, Response, request_id_of
from onplan.oauth import authorization_code
from onplan.oauth.credentials import error_code
from onplan.oauth.issuer import Issuer
from onplan.oauth.refusals import (
    NO_DEVICE_CODES,
    SWITCH,
    page_in,
    refusal_in,
    refusal_named,
    sign_in_error,
)
from onplan.secret import SecretText, without_secrets
from onplan.types import OAuthCredentials

# All in seconds.
LIFETIME = 900.0
_INTERVAL = 5.0  # RFC 8628 §3.2
_SHORTEST, _LONGEST = 1.0, 60.0
_SLOWER = 5.0  # RFC 8628 §3.5
_FAILURES = 10  # in a row, before a poll gives up


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """A sign-in that waits for the person. Its printed form lacks the codes, which could be used to steal it.

    Attributes:
        verification_uri: the page to open, in any browser.
        user_code: the code to enter there.
        device_auth_id: the service's id of this sign-in.
        interval: seconds between polls.
        expires_at: Unix seconds.
    """

    verification_uri: str
    user_code: str = field(repr=False)
    device_auth_id: str = field(repr=False)
    interval: float
    expires_at: float


def request_code(issuer: Issuer, now: Callable[[], float]) -> Flow[DeviceAuthorization]:
    """Ask for a user code, which can be entered for 15 minutes.

    Raises:
        SignInError: the service did not issue a code.
        TransportError: the service could not be reached.
    """
    expires_at = now() + LIFETIME
    response = yield Request.json(issuer.device_authorization_endpoint, {"client_id": issuer.client_id})
    device_auth_id = _text(response, "device_auth_id")
    user_code = _text(response, "user_code") or _text(response, "usercode")
    # It is printed on a terminal, so it must not contain control characters.
    if not device_auth_id or not user_code or not user_code.isprintable():
        raise _no_code(response, issuer)
    return DeviceAuthorization(
        issuer.verification_uri, user_code, device_auth_id, _interval(response), expires_at
    )


def poll(
    issuer: Issuer, authorization: DeviceAuthorization, now: Callable[[], float]
) -> Flow[OAuthCredentials]:
    """Poll until the person has approved, then exchange the code for credentials.

    Temporary failures are retried with growing pauses; the tenth in a row is raised.

    Raises:
        SignInError: declined, expired, or refused.
        TransportError: the service could no longer be reached.
    """
    request = Request.json(
        issuer.device_token_endpoint,
        {"device_auth_id": str(authorization.device_auth_id), "user_code": str(authorization.user_code)},
    )
    pace = _Pace(authorization.interval)
    while True:
        try:
            response = yield structs.replace(request, after=pace.wait)
        except TransportError as error:
            pace.failed(error)
        else:
            code, verifier = _text(response, "authorization_code"), _text(response, "code_verifier")
            if response.ok and code and verifier:
                redirect = issuer.device_redirect_uri
                return (yield from authorization_code.exchange(issuer, code, verifier, redirect, now))
            _note(response, pace, authorization, now)
        if now() + pace.wait > authorization.expires_at:
            raise pace.failure or _expired()


class _Pace:
    """When the next poll is due.

    Attributes:
        wait: seconds to wait before it.
        failure: the error of the last poll, if it failed.
    """

    def __init__(self, interval: float) -> None:
        self._interval, self._failures = interval, 0
        self.wait = 0.0
        self.failure: OnplanError | None = None

    def answered(self) -> None:
        """The service answered that the person has not approved yet."""
        self._failures, self.failure = 0, None
        self.wait = self._interval

    def slow_down(self, wanted: float) -> None:
        """As ``answered``, but poll less often from now on, and wait ``wanted`` seconds this time."""
        self._interval += _SLOWER
        self.answered()
        self.wait = max(self.wait, min(wanted, _LONGEST))

    def failed(self, error: OnplanError, *, slower: bool = True) -> None:
        """A poll failed: wait twice as long as before, if ``slower``. Raises ``error`` the tenth time."""
        self._failures, self.failure = self._failures + 1, error
        if self._failures >= _FAILURES:
            raise error
        self.wait = self._interval
        if slower:
            self.wait = max(self.wait, min(self._interval * 2**self._failures, _LONGEST))


def _note(
    response: Response, pace: _Pace, authorization: DeviceAuthorization, now: Callable[[], float]
) -> None:
    """Set when to poll next, after an answer without a code. Raises SignInError if polling is to end."""
    error, description = error_code(response.json())
    status = response.status
    if error == "expired_token":
        raise _expired()
    if error == "access_denied":
        raise SignInError("The sign-in was declined in the browser.")
    if refusal := refusal_named(error, description):
        raise sign_in_error(refusal, response)
    # A web page is not the service's answer: a firewall's challenge may go away by itself. An empty answer
    # does not count as a page, since every answer of auth.openai.com names Cloudflare as its server.
    says = bool(response.body.strip()) or "cf-mitigated" in response.headers
    if says and status < 500 and status not in (404, 429) and (page := page_in(response)):
        pace.failed(sign_in_error(page, response), slower=False)
    elif error == "slow_down" or status == 429:
        pace.slow_down(retry_after(response.headers, now()) or 0.0)
    elif error == "authorization_pending" or status in (403, 404):
        pace.answered()
    elif status >= 500:
        pace.failed(SignInError(f"The sign-in service failed (HTTP {status}).", status_code=status))
    else:
        reason = without_secrets(
            description or error or "its answer has no code",
            authorization.device_auth_id,
            authorization.user_code,
        )
        raise SignInError(
            f"The sign-in service refused to go on (HTTP {status}): {reason}.",
            status_code=status,
            request_id=request_id_of(response.headers),
        )


def _expired() -> SignInError:
    return SignInError(
        "The code was not entered within 15 minutes and has expired.",
        hint=f"Run `onplan login --device` for a new code. If the page did not accept the code: {SWITCH}",
    )


def _no_code(response: Response, issuer: Issuer) -> SignInError:
    refusal = refusal_in(response)
    if response.status == 404 and refusal is not NO_DEVICE_CODES:
        return SignInError(
            f"Device sign-in is not enabled at {issuer.url}, or is switched off for this account.",
            hint=SWITCH,
            status_code=404,
        )
    if refusal:
        return sign_in_error(refusal, response)
    error, description = error_code(response.json())
    return SignInError(
        f"The sign-in service did not issue a code (HTTP {response.status}): "
        f"{description or error or 'its answer has none'}.",
        status_code=response.status,
        request_id=request_id_of(response.headers),
    )


def _interval(response: Response) -> float:
    """Seconds between polls; the service sends a number or a string. Anything else counts as absent."""
    value = _field(response, "interval")
    try:
        seconds = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return _INTERVAL
    return min(max(seconds, _SHORTEST), _LONGEST) if seconds > 0 and math.isfinite(seconds) else _INTERVAL


def _text(response: Response, name: str) -> str | None:
    value = _field(response, name)
    return SecretText(value) if isinstance(value, str) and value else None


def _field(response: Response, name: str) -> Any:
    body = response.json()
    return body.get(name) if isinstance(body, dict) else None
