"""The authorization-code sign-in: builds the request, checks the callback, stores the result.

There is one class for the public client and one for registered clients. The stored sign-in is replaced only
by one that has succeeded.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from onplan.config.settings import Settings
from onplan.errors import SignInError
from onplan.flow import Request, Response, drive
from onplan.oauth import authorization_code, siwc
from onplan.oauth.authorization_code import AuthorizationRequest, Callback, require_code
from onplan.sign_in.host_id import host_id
from onplan.sign_in.saving import check_fits, check_writable, require_replaceable, save_sign_in, update
from onplan.stores import CredentialStore, Record, require_permitted
from onplan.types import OAuthCredentials, Registration

_EPHEMERAL = range(49_152, 65_536)  # ports that are assigned to no service (RFC 6335 §6)

Send = Callable[[Request], Response]


class SignInFlow(Protocol):
    """A sign-in by authorization code, in two halves: the browser is between them."""

    def start(self, port: int | None, state: str | None = None) -> AuthorizationRequest:
        """The request to open in a browser, which comes back to ``port``; None if no port is listened on."""
        ...

    def finish(self, callback: Callback) -> OAuthCredentials:
        """Exchange the code in ``callback`` for credentials, and store them.

        Raises SignInError, StoreError or TransportError.
        """
        ...


def sign_in_flow(
    settings: Settings, store: CredentialStore, send: Send, *, consent: bool = False
) -> SignInFlow:
    """The sign-in flow of the backend's issuer, after checking that its result can be stored.

    ``send`` carries out its requests. ``consent``: ask again for the permission to use the plan.

    Raises:
        ConfigurationError: the store holds another kind of credential, or is not permitted for this backend.
        SignInError: there is no sign-in yet for which to ask again.
        StoreError: the store cannot be written.
    """
    require_permitted(store, settings.backend)
    record = check_writable(store)
    check_fits(record, settings)
    if not settings.issuer.registers:
        return _PublicClientFlow(settings, store, send)
    return _RegisteredClientFlow(settings, store, send, record, consent=consent)


class _PublicClientFlow:
    """With the public client, whose id all programs share."""

    def __init__(self, settings: Settings, store: CredentialStore, send: Send) -> None:
        self._settings, self._store, self._send = settings, store, send

    def start(self, port: int | None, state: str | None = None) -> AuthorizationRequest:
        issuer = self._settings.issuer
        redirect = authorization_code.redirect_uri(port or issuer.ports[0], issuer.redirect_host)
        self._started = authorization_code.start(issuer, redirect, state=state)
        return self._started

    def finish(self, callback: Callback) -> OAuthCredentials:
        code, started = require_code(callback), self._started
        exchange = authorization_code.exchange(
            self._settings.issuer, code, started.verifier, started.redirect_uri, time.time
        )
        credentials = drive(exchange, self._send, time.sleep)
        record = Record(
            issuer_kind=self._settings.issuer.kind, credentials=credentials, obtained_at=time.time()
        )
        save_sign_in(self._store, record)
        return credentials


class _RegisteredClientFlow:
    """With a registered client: the first sign-in of a person and workspace registers it."""

    def __init__(
        self, settings: Settings, store: CredentialStore, send: Send, record: Record, *, consent: bool
    ) -> None:
        self._settings, self._store, self._send, self._consent = settings, store, send, consent
        self._record = record
        if consent and record.registration is None:
            raise SignInError(
                "There is no sign-in in this profile yet, so there is nothing to ask for again.",
                hint="Run `onplan login`.",
            )

    def start(self, port: int | None, state: str | None = None) -> AuthorizationRequest:
        issuer, record = self._settings.issuer, self._record
        redirect = authorization_code.redirect_uri(
            port or _EPHEMERAL[secrets.randbelow(len(_EPHEMERAL))], issuer.redirect_host
        )
        self._started = siwc.start(
            issuer,
            redirect,
            host_id(self._settings.home),
            registration=record.registration,
            # An ID token that was never verified may be about another person.
            id_token=record.credentials.id_token if record.credentials and not record.unverified else None,
            consent=self._consent,
            state=state,
        )
        return self._started

    def finish(self, callback: Callback) -> OAuthCredentials:
        issuer = self._settings.issuer
        registration = siwc.registered(issuer, callback, self._record.registration)
        self._keep_registration(registration)
        exchange = siwc.exchange(issuer, self._started, callback.code, registration, time.time)
        credentials, registration = drive(exchange, self._send, time.sleep)
        record = Record(
            issuer_kind=issuer.kind,
            credentials=credentials,
            obtained_at=time.time(),
            registration=registration,
        )
        save_sign_in(self._store, record)
        return credentials

    def _keep_registration(self, registration: Registration) -> None:
        """Before the code is exchanged: an exchange that fails must not cost another registration."""
        kind = self._settings.issuer.kind

        def add(stored: Record) -> Record:
            require_replaceable(stored, Record(issuer_kind=kind, registration=registration))
            kept = stored.registration or registration
            return msgspec.structs.replace(stored, issuer_kind=kind, registration=kept)

        if registration != self._record.registration:
            update(self._store, add)
            self._record = msgspec.structs.replace(self._record, registration=registration)
