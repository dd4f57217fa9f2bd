"""Refreshes the stored token exactly once across all processes and machines that share the store.

::

    lock the store, load                       another program has refreshed it? use its result
      -> store which token is being spent      fails on a full disk, before anything is spent
      -> is the lock still held?               a machine that was suspended starts over
      -> POST to the token endpoint
      -> save the new tokens                   before anything else is done with them

Nothing is ever deleted. Tokens that cannot be saved are kept in memory (``rotation.py``), and saved as soon
as possible. The token manager (``manager.py``) takes care of caching, threads and event loops.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import threading
from collections.abc import Callable
from functools import partial
from hashlib import sha256

import msgspec

from onplan.config.hints import not_signed_in
from onplan.errors import (
    CredentialError,
    NotSignedInError,
    OnplanError,
    RefreshError,
    RefreshOutcomeUnknownError,
    SignInAgainError,
    SignInError,
    StoreConflictError,
    StoreError,
    TransportError,
)
from onplan.flow import Response, drive
from onplan.forking import no_fork, reset_in_child
from onplan.oauth.credentials import came_from, stated_issuer
from onplan.oauth.issuer import Issuer
from onplan.oauth.refresh import refresh
from onplan.oauth.verification import NO_KEYS, Keys, KeysUnavailableError
from onplan.stores import CredentialStore, Lease, PendingRefresh, Record, Stored, conflict, why_empty
from onplan.stores.lock import waiting_at_most
from onplan.tokens.rotation import Rotation
from onplan.types import OAuthCredentials

logger = logging.getLogger("onplan.tokens")

Send = Callable[..., Response]
"""Sends one request; ``before_sending`` is called when connected, just before the first byte."""

PROACTIVE, UNAUTHORIZED = "proactive_expiry", "unauthorized_recovery"  # the official client's words
# Seconds that a refresh may take; with a lease, half of its remaining time if that is less.
EXCHANGE_SECONDS = 30.0
_DRAIN_SECONDS = 10.0  # seconds that closing a client waits for the store's lock
_ROUNDS = 10  # how often another writer may be faster before we give up
# Seconds between readings of the store after a refusal: a program that does not take our lock, such as the
# Codex CLI, may have spent the same token and not have saved its new one yet.
_WINNER_SAVES_WITHIN = (0.1, 0.2, 0.4, 0.8)


class _TooLateError(Exception):
    """The lease may have expired: nothing may be sent any more."""


class Refresher:
    """Refreshes the credentials in ``store``. The token manager lets only one thread at a time do so.

    Attributes:
        last_issued: the access token that this object received last from the server.
    """

    def __init__(
        self,
        store: CredentialStore,
        issuer: Issuer,
        send: Send,
        now: Callable[[], float],
        sleep: Callable[[float], object],
        *,
        profile: str | None = None,
        backend: str | None = None,
        prepare: Callable[[], object] = lambda: None,
        refreshing: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._store, self._issuer, self._send, self._now, self._sleep = store, issuer, send, now, sleep
        self._profile, self._backend = profile, backend
        self.last_issued: str | None = None
        self._refused: tuple[str, SignInAgainError] | None = None  # with the fingerprint of the refresh token
        self._keys: Keys = NO_KEYS
        self._busy = threading.Lock()
        self._unsaved = Rotation(store, sleep)
        self._prepare, self._refreshing = prepare, refreshing
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """Replace the lock in a forked process, where no refresh is in progress."""
        self._busy = threading.Lock()

    def not_signed_in(self) -> NotSignedInError:
        """The error for a store without credentials."""
        return not_signed_in(self._profile, self._backend, why_empty(self._store))

    def refusal_of(self, credentials: OAuthCredentials) -> SignInAgainError | None:
        """What the server said when it refused the refresh token of ``credentials`` for good, if it did."""
        refused = self._refused
        return refused[1] if refused and refused[0] == _fingerprint(credentials) else None

    def load(self) -> Stored:
        """Load the record; verify its ID token if that is still to be done.

        Raises:
            NotSignedInError: there are no credentials.
            CredentialError: they are from another issuer.
            SignInAgainError: the ID token is not genuine.
            StoreError: the store failed.
        """
        loaded = self._store.load()
        if loaded is None or loaded.record.credentials is None:
            raise self.not_signed_in()
        require_origin(loaded.record, self._issuer)
        return self._verified(*loaded) if loaded.record.unverified else loaded

    def _verified(self, record: Record, version: str) -> Stored:
        """Return ``record`` with its ID token verified.

        If the signing keys cannot be fetched now, verification is tried again at the next load. Until then
        the token is accepted, because it came straight from the token endpoint.
        """
        if record.registration is None or record.credentials is None:
            return Stored(record, version)
        from onplan.oauth.siwc import verify_refreshed

        # The token must have been valid when it was issued; it may have expired before it is verified.
        moment = min(self._now(), record.obtained_at or self._now())
        flow = verify_refreshed(self._issuer, record.credentials, record.registration, moment, self._keys)
        try:
            self._keys = drive(flow, self._send, self._sleep)
        except (KeysUnavailableError, TransportError) as error:
            logger.warning("The new ID token could not be verified for now. %s", error)
            return Stored(record, version)
        except SignInError as error:
            sentence = f"The sign-in was refreshed, but the new ID token is not valid. {error}"
            raise SignInAgainError(sentence, hint=error.hint) from None
        record = msgspec.structs.replace(record, unverified=False)
        with contextlib.suppress(StoreError):
            version = self._store.save(record, version)
        return Stored(record, version)

    @property
    def unsaved(self) -> bool:
        """Whether refreshed tokens could not be saved yet and exist in this process only."""
        return self._unsaved.unsaved

    def is_idle(self) -> bool:
        """Whether no refresh holds the store's lock, and everything is saved."""
        return not self._busy.locked() and not self.unsaved

    def drain(self) -> None:
        """Wait for a refresh that holds the store's lock, then save tokens that could not be saved before.

        A refresh that is still waiting for that lock has spent nothing, and is not waited for.
        """
        with self._busy:
            pass
        if self.unsaved:
            with contextlib.suppress(StoreError), waiting_at_most(_DRAIN_SECONDS):
                self.save_again()

    def save_again(self) -> None:
        """Save refreshed tokens that could not be saved before. Raises StoreError if that fails again."""
        with self._store.lock(), self._busy:  # always in this order
            self._unsaved.save_again()

    def refresh(self, reason: str, good: Callable[[Record], bool]) -> Record:
        """Return a record whose credentials are ``good``: refreshed now, or by another program meanwhile.

        Raises as ``TokenManager.credentials``.
        """
        with no_fork():  # before the lock is taken: if this hangs, no other process has to wait
            self._prepare()
        for _ in range(_ROUNDS):
            with contextlib.ExitStack() as stack:
                held = stack.enter_context(self._store.lock())
                stack.enter_context(self._busy)
                with contextlib.suppress(_TooLateError, StoreConflictError):
                    return self._refresh_locked(reason, good, held if isinstance(held, Lease) else None)
        raise conflict(self._store.describe(), _ROUNDS)

    def _refresh_locked(self, reason: str, good: Callable[[Record], bool], lease: Lease | None) -> Record:
        self._unsaved.save_again()
        record, version = self.load()
        if good(record):
            return record
        old = self._credentials(record)
        if refused := self.refusal_of(old):
            raise refused
        if not old.refresh_token:
            raise cannot_be_refreshed(record, self._now(), refused=reason == UNAUTHORIZED)
        if unsaved := self._unsaved.successor_of(old):  # another client of this process has spent it
            saved = self._unsaved.save(unsaved, old, version, lease)
            if good(saved):
                return saved
            raise StoreConflictError("The tokens that another client refreshed need a refresh again.")
        interrupted = record.pending_refresh
        pending = PendingRefresh(fingerprint=_fingerprint(old), started_at=self._now())
        version = self._store.save(msgspec.structs.replace(record, pending_refresh=pending), version)
        logger.info("refreshing the access token (%s)", reason)
        try:
            with self._refreshing():
                refreshed = self._exchange(old, reason, lease)
        except OnplanError as error:
            if isinstance(error, RefreshError) and lease and lease.remaining() <= 0:
                raise _TooLateError from None  # this machine was suspended: another one may have refreshed it
            return self._after_failure(error, record, version, interrupted)
        if (refreshed.access_token, refreshed.expires_at) == (old.access_token, old.expires_at):
            self._unsaved.save(_successor(record, refreshed, None), old, version, lease)
            raise RefreshError("The sign-in service answered the refresh without a new access token.")
        self.last_issued = refreshed.access_token
        saved = self._unsaved.save(_successor(record, refreshed, self._now()), old, version, lease)
        return self.load().record if saved.unverified else saved

    def _exchange(self, old: OAuthCredentials, reason: str, lease: Lease | None) -> OAuthCredentials:
        timeout, send = EXCHANGE_SECONDS, self._send
        if lease:
            timeout = min(EXCHANGE_SECONDS, lease.remaining() / 2)
            if timeout <= 0:
                raise _TooLateError

            def check() -> None:
                if lease.remaining() < timeout:
                    raise _TooLateError

            send = partial(self._send, before_sending=check)
        return drive(refresh(self._issuer, old, reason, self._now, timeout=timeout), send, self._sleep)

    def _after_failure(
        self, error: OnplanError, record: Record, version: str, interrupted: PendingRefresh | None
    ) -> Record:
        """Return what another program has stored meanwhile; otherwise raise."""
        spent = self._credentials(record)
        if not isinstance(error, SignInAgainError):
            if not isinstance(error, RefreshOutcomeUnknownError):
                with contextlib.suppress(StoreError):  # the outcome is known: nothing is pending
                    self._store.save(record, version)
            raise error
        newer = self._newer_than(spent)
        if newer:
            return newer
        with contextlib.suppress(StoreError):
            self._store.save(record, version)
        if interrupted and interrupted.fingerprint == _fingerprint(spent):
            error = SignInAgainError(
                f"{error} An earlier refresh was interrupted after it was sent and before its result "
                "could be saved.",
                status_code=error.status_code,
                request_id=error.request_id,
            )
        self._refused = _fingerprint(spent), error
        raise error

    def _newer_than(self, spent: OAuthCredentials) -> Record | None:
        """The record of another program that spent the same refresh token, once it has saved it."""
        for delay in (0.0, *_WINNER_SAVES_WITHIN):
            self._sleep(delay)
            newest, _ = self.load()
            if self._credentials(newest).refresh_token != spent.refresh_token:
                return newest
        return None

    def _credentials(self, record: Record) -> OAuthCredentials:
        if record.credentials is None:
            raise self.not_signed_in()
        return record.credentials


def _successor(record: Record, refreshed: OAuthCredentials, obtained_at: float | None) -> Record:
    """The record after a refresh. A new ID token is verified after saving: the old token is spent."""
    is_new = record.credentials is None or refreshed.id_token != record.credentials.id_token
    return Record(
        issuer_kind=record.issuer_kind,
        credentials=refreshed,
        obtained_at=obtained_at,
        registration=record.registration,
        unverified=record.registration is not None and (is_new or record.unverified),
    )


def require_origin(record: Record, issuer: Issuer) -> None:
    """Raise CredentialError if the sign-in in ``record`` is from another issuer than ``issuer``.

    A token is sent only to the services of the issuer that it came from: not to another address that is
    configured instead, nor to another kind of issuer, where requests are billed to something else. A bare
    access token that names no issuer is sent where the program is configured to send it.
    """
    credentials = record.credentials
    if credentials is None:
        return
    if record.issuer_kind != issuer.kind:
        raise CredentialError(
            f"The stored sign-in is not one of {issuer.name}.",
            hint="Choose a profile and a backend that belong together: `onplan profiles list`.",
        )
    is_bare = not credentials.refresh_token and stated_issuer(credentials) is None
    origin = came_from(credentials, issuer)
    if origin != issuer.url and not is_bare:
        raise CredentialError(
            f"The sign-in came from {origin}, and the issuer in use is {issuer.url}.",
            hint=f"Set ONPLAN_ISSUER to {origin}, or run `onplan login --profile NAME` for the other.",
        )


def cannot_be_refreshed(record: Record, now: float, *, refused: bool) -> SignInAgainError:
    """The error for an access token in ``record`` that cannot be used and has no refresh token.

    ``refused``: the backend refused it, although it may not have expired.
    """
    expires_at = record.credentials.expires_at if record.credentials else None
    expired = expires_at is not None and expires_at <= now
    why = "is not accepted by the backend" if refused and not expired else "has expired"
    scheme, _, name = (record.borrowed_from or "").partition(":")
    if scheme == "env":
        return SignInAgainError(
            f"The access token in the environment variable {name} {why}.",
            hint=f'Put a fresh one there: `export {name}="$(onplan token)"`, where you are signed in.',
        )
    if record.borrowed_from:
        return SignInAgainError(
            f"The access token borrowed from {record.borrowed_from} {why}.",
            hint=f"Run `onplan import {shlex.quote(record.borrowed_from)}` again, or `onplan login`.",
        )
    return SignInAgainError("The sign-in has ended and cannot be refreshed: it has no refresh token.")


def _fingerprint(credentials: OAuthCredentials) -> str:
    return sha256((credentials.refresh_token or "").encode()).hexdigest()[:16]
