"""One attempt to sign in: what is asked, what must come back, what is kept. A class per kind of issuer.

A new sign-in replaces the stored one only when it has succeeded.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from onplan.config.settings import Settings
from onplan.errors import ConfigurationError, SignInError, StoreConflictError
from onplan.flow import Request, Response, drive
from onplan.oauth import authorization_code, siwc
from onplan.oauth.authorization_code import AuthorizationRequest, Callback, require_code
from onplan.oauth.credentials import came_from
from onplan.oauth.verification import AnotherPersonError
from onplan.sign_in.host import host_id
from onplan.stores import CredentialStore, Record, require_permitted
from onplan.types import OAuthCredentials, Registration

_SAVE_ATTEMPTS = 10
_EPHEMERAL = range(49_152, 65_536)  # ports that no service has a right to (RFC 6335 §6)

Send = Callable[[Request], Response]


class Attempt(Protocol):
    """A sign-in by authorization code."""

    def start(self, port: int | None, state: str | None = None) -> AuthorizationRequest:
        """Begin. ``port`` is where the browser comes back to; None if nobody listens."""
        ...

    def finish(self, callback: Callback) -> OAuthCredentials:
        """Make credentials of what came back, and keep them.

        Raises SignInError, StoreError or TransportError.
        """
        ...


def attempt(settings: Settings, store: CredentialStore, send: Send, *, consent: bool = False) -> Attempt:
    """An attempt of the kind that the backend's issuer wants; its outcome can certainly be kept.

    Raises:
        ConfigurationError: the store holds another kind of credential, or is not permitted here.
        StoreError: it cannot be written.
    """
    require_permitted(store, settings.backend)
    record = _check_writable(store)
    _check_fits(record, settings)
    if not settings.issuer.registers:
        return _FixedClient(settings, store, send)
    return _RegisteredClient(settings, store, send, record, consent=consent)


class _FixedClient:
    """The public client that all programs share."""

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
        keep_signed_in(self._store, record)
        return credentials


class _RegisteredClient:
    """A client of this person's and workspace's own, registered by the first sign-in."""

    def __init__(
        self, settings: Settings, store: CredentialStore, send: Send, record: Record, *, consent: bool
    ) -> None:
        self._settings, self._store, self._send, self._consent = settings, store, send, consent
        self._record = record
        if consent and record.registration is None:
            raise SignInError("Nobody has signed in here yet whom to ask again.", hint="Run `onplan login`.")

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
            # One that was never verified is no hint of anybody.
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
        keep_signed_in(self._store, record)
        return credentials

    def _keep_registration(self, registration: Registration) -> None:
        """Before the code is exchanged: an exchange that fails must not cost another registration."""
        kind = self._settings.issuer.kind

        def add(stored: Record) -> Record:
            _require_replaceable(stored, Record(issuer_kind=kind, registration=registration))
            kept = stored.registration or registration
            return msgspec.structs.replace(stored, issuer_kind=kind, registration=kept)

        if registration != self._record.registration:
            update(self._store, add)
            self._record = msgspec.structs.replace(self._record, registration=registration)


def keep_signed_in(store: CredentialStore, record: Record) -> None:
    """Write what a sign-in brought. Raises SignInError if it would end somebody else's of meanwhile."""

    def replace(stored: Record) -> Record:
        _require_replaceable(stored, record)
        return record

    update(store, replace)


def update(store: CredentialStore, change: Callable[[Record], Record]) -> None:
    """Write what ``change`` makes of the stored record, or of an empty one. If it raises, nothing changes."""
    with store.lock():
        for _ in range(_SAVE_ATTEMPTS):
            loaded = store.load()
            with contextlib.suppress(StoreConflictError):  # a writer that does not know our lock
                store.save(change(loaded.record if loaded else Record()), loaded.version if loaded else None)
                return
    raise StoreConflictError(f"{store.describe()} is changed by other programs all the time.")


def _require_replaceable(stored: Record, new: Record) -> None:
    """A sign-in takes minutes; meanwhile one of another kind, client or person may have been finished."""
    theirs, ours = stored.registration, new.registration
    same_kind = stored.credentials is None or stored.issuer_kind == new.issuer_kind
    same_client = theirs is None or (ours is not None and theirs.client_id == ours.client_id)
    if stored.api_key or not same_kind or not same_client:
        raise SignInError(
            "Another sign-in was finished here meanwhile, and that one is kept.",
            hint="Give this one a profile of its own: `onplan login --profile NAME`.",
        )
    if theirs and ours and theirs.subject and ours.subject and theirs.subject != ours.subject:
        raise AnotherPersonError("Another person has signed in here meanwhile, and is kept.")


def _check_writable(store: CredentialStore) -> Record:
    """What is stored. Fails before the person has done anything, rather than after.

    An empty store is given a record that says that nobody is signed in, and it is taken away again.
    """
    with store.lock():
        loaded = store.load()
        with contextlib.suppress(StoreConflictError):  # somebody else could write
            store.save(*(loaded or (Record(), None)))
            if loaded is None:
                with contextlib.suppress(Exception):  # may be left: it says what is true
                    store.delete()
    return loaded.record if loaded else Record()


def _check_fits(record: Record, settings: Settings) -> None:
    """One place holds one kind, of one issuer: what another program left there is not overwritten.

    Nor told to another issuer: a registered client's ID token goes along as a hint.
    """
    registration, name = record.registration, settings.backend.name
    origin = came_from(record.credentials, settings.issuer) if record.credentials else settings.issuer.url
    if record.api_key:
        kept = "keeps an API key"
    elif registration and registration.issuer != settings.issuer.url and settings.issuer.registers:
        kept = f"is signed in at {registration.issuer}, and the issuer in use is {settings.issuer.url}"
    elif (registration or record.credentials) and record.issuer_kind != settings.issuer.kind:
        kept = f"is signed in to another backend than {name}"
    elif origin != settings.issuer.url:
        kept = f"is signed in at {origin}, and the issuer in use is {settings.issuer.url}"
    else:
        return
    own = name if name != settings.profile else "NAME"
    raise ConfigurationError(
        f"The profile {settings.profile} {kept}.",
        hint=f"Give this one a profile of its own: `onplan login --backend {name} --profile {own}`. Or sign "
        "that one out first: `onplan logout`.",
    )
