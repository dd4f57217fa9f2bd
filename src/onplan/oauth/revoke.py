"""Giving tokens back (RFC 7009)."""

from __future__ import annotations

from onplan.errors import TransportError
from onplan.oauth.issuer import Issuer
from onplan.types import OAuthCredentials
from onplan.wire import Flow, Request


def revoke(issuer: Issuer, credentials: OAuthCredentials) -> Flow[bool]:
    """Ask the server to end the sign-in. Returns whether it confirmed; never raises for a network failure."""
    home = issuer.at(credentials.issuer, "The credential's issuer")
    if credentials.refresh_token:
        body = {
            "token": credentials.refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": credentials.client_id or issuer.client_id,
        }
    else:
        body = {"token": credentials.access_token, "token_type_hint": "access_token"}
    try:
        response = yield Request.json(home.revocation_endpoint, body, timeout=10.0)
    except TransportError:
        return False
    return response.ok
