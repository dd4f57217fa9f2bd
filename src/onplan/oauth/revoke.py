"""The revocation of tokens (RFC 7009)."""

from __future__ import annotations

from msgspec import structs

from onplan.errors import ConfigurationError, TransportError
from onplan.flow import Flow, Request, Response
from onplan.oauth.credentials import came_from
from onplan.oauth.issuer import Issuer
from onplan.types import OAuthCredentials

# For each request: the pause before it and its time limit, in seconds. The official client's limit is 10.
_REQUESTS = ((0.0, 10.0), (0.5, 5.0), (1.5, 5.0))


def revoke(issuer: Issuer, credentials: OAuthCredentials) -> Flow[bool]:
    """Ask the server to revoke the sign-in. Returns whether it confirmed that.

    Asks again after a temporary failure, for 22 seconds in all if the endpoint is known. Raises nothing, so
    that signing out continues.
    """
    try:
        home = issuer.at(came_from(credentials, issuer), "The credential's issuer")
    except ConfigurationError:  # its issuer's URL is one to which no token may be sent
        return False
    endpoint = home.revocation_endpoint
    for pause, limit in _REQUESTS:
        try:
            if endpoint is None:
                asked = Request("GET", home.configuration_url, after=pause, timeout=limit)
                endpoint = _endpoint(home, (yield asked))
                pause = 0.0  # noqa: PLW2901 - the pause is over
            if endpoint is None:
                continue
            request = _request(issuer, credentials, endpoint)
            response = yield structs.replace(request, after=pause, timeout=limit)
        except TransportError:
            continue
        if response.status < 500 and response.status != 429:
            return response.ok
    return False


def _endpoint(issuer: Issuer, response: Response) -> str | None:
    """The revocation endpoint that the issuer names, if it is on the issuer's own host."""
    document = response.json() if response.ok else None
    endpoint = document.get("revocation_endpoint") if isinstance(document, dict) else None
    return endpoint if isinstance(endpoint, str) and endpoint.startswith(f"{issuer.url}/") else None


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
