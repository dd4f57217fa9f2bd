"""The refresh of an access token (RFC 6749 §6) with a refresh token that rotates and is valid for one use.

A failed refresh has one of three outcomes, on which the refresher acts differently: rejected (the token is
spent or revoked), temporary (nothing was spent), and unknown (it was sent, and no usable answer came).
"""

from __future__ import annotations

from collections.abc import Callable

from onplan.answers.waiting import retry_after
from onplan.errors import (
    ConnectError,
    OnplanError,
    RefreshError,
    RefreshOutcomeUnknownError,
    SignInAgainError,
    TransportError,
)
from onplan.flow import Flow, Request, Response, request_id_of
from onplan.oauth.credentials import (
    credentials_from,
    error_code,
    unknown_client,
)
from onplan.oauth.issuer import Issuer
from onplan.oauth.refusals import refusal_in
from onplan.oauth.token_response import decode_token_response
from onplan.secret import without_secrets
from onplan.types import OAuthCredentials

# Error codes that end a sign-in whatever the status is, and what to say then.
_REJECTIONS = {
    "refresh_token_expired": "The sign-in has expired.",
    "refresh_token_reused": "The sign-in was refreshed by another program; the token in this store is spent.",
    "refresh_token_invalidated": "The sign-in was revoked.",
    "invalid_grant": "The sign-in is no longer accepted.",
    "invalid_refresh_token": "The sign-in is no longer accepted.",
    "token_expired": "The sign-in has expired.",
}


def refresh(
    issuer: Issuer,
    credentials: OAuthCredentials,
    reason: str,
    now: Callable[[], float],
    *,
    timeout: float = 30.0,
) -> Flow[OAuthCredentials]:
    """Exchange the refresh token, which ``credentials`` must have, for new credentials.

    Fields that the answer leaves out keep their value, also the access token. ``reason`` is
    ``proactive_expiry`` or ``unauthorized_recovery``, the words of the official client. ``timeout``, in
    seconds, is for the whole exchange.

    Raises:
        SignInAgainError: the refresh token was rejected for good.
        RefreshOutcomeUnknownError: it was sent, but no usable answer came.
        RefreshError: a temporary failure; the refresh token is not spent.
    """
    request = _request(issuer, credentials, reason, timeout)
    try:
        response = yield request
    except ConnectError as error:
        hint = error.hint if type(error) is not ConnectError else None
        failure = RefreshError(f"The sign-in could not be refreshed for now. {error}", hint=hint)
        failure.unanswered = True
        raise failure from None
    except TransportError as error:
        failure = RefreshOutcomeUnknownError(f"The sign-in could not be refreshed for now. {error}")
        failure.unanswered = True
        raise failure from None
    if not response.ok:
        raise refusal(response, now(), credentials.refresh_token or "", registered=issuer.registers)
    tokens = decode_token_response(response.body)
    if tokens is None or not (tokens.access_token or tokens.refresh_token):
        raise RefreshOutcomeUnknownError(
            "The sign-in service answered the refresh with something that is not a token.",
            status_code=response.status,
        )
    return credentials_from(tokens, issuer, now(), credentials)


def _request(issuer: Issuer, credentials: OAuthCredentials, reason: str, timeout: float) -> Request:
    fields = {
        "client_id": credentials.client_id or issuer.client_id,
        "grant_type": "refresh_token",
        **({"resource": issuer.resource} if issuer.resource else {"refresh_reason": reason}),
        "refresh_token": credentials.refresh_token or "",
    }
    endpoint = issuer.at(credentials.issuer, "The credential's issuer").token_endpoint
    return (Request.form if issuer.forms else Request.json)(endpoint, fields, timeout=timeout)


def refusal(response: Response, now: float, refresh_token: str, *, registered: bool = False) -> OnplanError:
    """The error for a token endpoint's refusal of ``refresh_token``.

    ``registered``: for a registered client, a 401 without a known code is not final (docs/protocol.md).
    """
    code, description = error_code(response.json())
    status, request_id = response.status, request_id_of(response.headers)
    if code == "invalid_client":
        return unknown_client(status, registered=registered)
    refused = None if code in _REJECTIONS else refusal_in(response)
    if refused and refused.ends_sign_in:
        return SignInAgainError(
            refused.sentence, hint=refused.hint, status_code=status, request_id=request_id
        )
    if code in _REJECTIONS or (status == 401 and not refused and not registered):
        sentence = _REJECTIONS.get(code, "The sign-in is no longer accepted.")
        return SignInAgainError(sentence, status_code=status, request_id=request_id)
    if status >= 500:
        # The token may be spent: a server can fail after it has rotated it.
        return RefreshOutcomeUnknownError(f"The sign-in service failed (HTTP {status}).", status_code=status)
    if refused:
        return RefreshError(
            f"The sign-in could not be refreshed for now. {refused.sentence}",
            hint=f"Nothing is lost. {refused.hint}",
            status_code=status,
            request_id=request_id,
            retry_after=retry_after(response.headers, now),
        )
    reason = without_secrets(description or code or "no reason given", refresh_token)
    return RefreshError(
        f"The sign-in could not be refreshed for now (HTTP {status}: {reason}).",
        status_code=status,
        request_id=request_id,
        retry_after=retry_after(response.headers, now),
    )
