"""Giving tokens back (RFC 7009)."""

from __future__ import annotations

from dataclasses import replace

from onplan.errors import ConfigurationError, TransportError
from onplan.oauth.issuer import Issuer
from onplan.types import OAuthCredentials
from onplan.wire import Flow, Request

# Of each attempt: the pause before it, and how long it may take, in seconds. The official client waits 10.
_ATTEMPTS = ((0.0, 10.0), (0.5, 5.0), (1.5, 5.0))


def revoke(issuer: Issuer, credentials: OAuthCredentials) -> Flow[bool]:
    """Ask the server to end the sign-in. Returns whether it confirmed.

    Asks again after a failure that may pass, for 22 seconds in all. Raises nothing: signing out goes on.
    """
    try:
        request = _request(issuer, credentials)
    except ConfigurationError:  # it came from where a token may not travel
        return False
    for pause, limit in _ATTEMPTS:
        try:
            response = yield replace(request, after=pause, timeout=limit)
        except TransportError:
            continue
        if response.status < 500 and response.status != 429:
            return response.ok
    return False


def _request(issuer: Issuer, credentials: OAuthCredentials) -> Request:
    home = issuer.at(credentials.issuer, "The credential's issuer")
    if credentials.refresh_token:
        body = {
            "token": credentials.refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": credentials.client_id or issuer.client_id,
        }
    else:
        body = {"token": credentials.access_token, "token_type_hint": "access_token"}
    return Request.json(home.revocation_endpoint, body)
