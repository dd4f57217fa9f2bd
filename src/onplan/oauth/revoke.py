"""Giving tokens back (RFC 7009)."""

from __future__ import annotations

from dataclasses import replace

from onplan.errors import ConfigurationError, TransportError
from onplan.flow import Flow, Request, Response
from onplan.oauth.credentials import came_from
from onplan.oauth.issuer import Issuer
from onplan.types import OAuthCredentials

# Of each attempt: the pause before it, and how long it may take, in seconds. The official client waits 10.
_ATTEMPTS = ((0.0, 10.0), (0.5, 5.0), (1.5, 5.0))


def revoke(issuer: Issuer, credentials: OAuthCredentials) -> Flow[bool]:
    """Ask the server to end the sign-in. Returns whether it confirmed.

    Asks again after a failure that may pass, for 22 seconds in all, where its address is known. Raises
    nothing: signing out goes on.
    """
    try:
        home = issuer.at(came_from(credentials, issuer), "The credential's issuer")
    except ConfigurationError:  # it came from where a token may not travel
        return False
    endpoint = home.revocation_endpoint
    for pause, limit in _ATTEMPTS:
        try:
            if endpoint is None:
                asked = Request("GET", home.configuration_url, after=pause, timeout=limit)
                endpoint = _endpoint(home, (yield asked))
                pause = 0.0  # noqa: PLW2901 - it has been made
            if endpoint is None:
                continue
            request = _request(issuer, credentials, endpoint)
            response = yield replace(request, after=pause, timeout=limit)
        except TransportError:
            continue
        if response.status < 500 and response.status != 429:
            return response.ok
    return False


def _endpoint(issuer: Issuer, response: Response) -> str | None:
    """The revocation endpoint that the issuer names; a token goes to the issuer's own host only."""
    told = response.json() if response.ok else None
    endpoint = told.get("revocation_endpoint") if isinstance(told, dict) else None
    mine = isinstance(endpoint, str) and endpoint.startswith(f"{issuer.url}/")
    return endpoint if mine else None


def _request(issuer: Issuer, credentials: OAuthCredentials, endpoint: str) -> Request:
    client_id = credentials.client_id or issuer.client_id
    if credentials.refresh_token:
        body = {
            "token": credentials.refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": client_id,
        }
    else:
        body = {"token": credentials.access_token, "token_type_hint": "access_token"}
        body |= {"client_id": client_id} if issuer.forms else {}
    return (Request.form if issuer.forms else Request.json)(endpoint, body)
