"""Who refreshes, once: the keeper of one credential.

::

    fresh token wanted
      -> cached and lasting? use it               no lock, no disk
      -> one thread of this process goes on       the others wait
      -> store.lock(), load again                 someone else refreshed? adopt
      -> write down which token is being spent    fails on a full disk before anything is spent
      -> POST
      -> save the rotated set before anything else

Credentials are never deleted on an error. While renewing fails, an access token that is still valid goes
on being used. Knows nothing of requests to backends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from onplan.errors import (
    CredentialError,
    NotSignedInError,
    OnplanError,
    OutcomeUnknownError,
    SignInAgainError,
    StoreConflictError,
    StoreError,
)
from onplan.oauth.credentials import is_fresh
from onplan.oauth.issuer import Issuer
from onplan.oauth.refresh import refresh
from onplan.stores import CredentialStore, PendingRefresh, Record
from onplan.types import OAuthCredentials
from onplan.wire import Request, Response, drive

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("onplan.keeper")

# After a failed renewal, a still-valid access token is used this long before the next attempt.
_PAUSE = 30.0
# A set that has just come from the server is used this long, whatever its expiry says: with a clock that is
# wrong, or a lifetime of 0, every call would renew it.
_TRUST = 60.0
_SAVE_ATTEMPTS = 3

Send = Callable[[Request], Response]
_Judge = Callable[[OAuthCredentials, float | None], bool]


class Keeper:
    """Hands out credentials whose access token is fresh, and renews them when they are not.

    May be used from several threads, tasks and processes at once.

    Args:
        store: where the credential is kept.
        issuer: where it is renewed, unless the credential names its own issuer.
        send: carries one request to the token endpoint; called on whichever thread renews.
        now: Unix seconds.
    """

    def __init__(
        self,
        store: CredentialStore,
        issuer: Issuer,
        send: Send,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._store, self._issuer, self._send = store, issuer, send
        self._now, self._sleep = now, sleep
        self._cached: OAuthCredentials | None = None
        self._renewed_at: float | None = None  # of what is cached
        self._pause_until = 0.0
        self._minted: str | None = None  # the access token that this keeper last got from the server
        self._refused: tuple[str, SignInAgainError] | None = None  # a spent refresh token's fingerprint
        self._failures, self._failure = 0, CredentialError("")
        self._mutex, self._process = threading.Lock(), os.getpid()
        self._flights: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Future[OAuthCredentials]] = {}

    # --- for threads --------------------------------------------------------------------------------

    def credentials(self) -> OAuthCredentials:
        """Credentials with a fresh access token.

        Raises:
            NotSignedInError: the store is empty.
            SignInAgainError: the server no longer honours the credential.
            RefreshError: it could not be renewed for now, and the access token has expired.
            StoreError: the store failed, and the access token has expired.
        """
        return self._lasting() or self._one_at_a_time(self._renew_stale)

    def replace(self, access_token: str, *, again: bool = False) -> OAuthCredentials:
        """Other credentials than those whose ``access_token`` a backend has just refused.

        If somebody replaced it already, theirs are adopted without a refresh; but never another account's.
        ``again``: the refused one was itself a replacement. If it came from the server just now, there is no
        sense in another. Raises as ``credentials``.
        """
        if again and access_token == self._minted:
            raise SignInAgainError("The backend does not accept the sign-in, not even renewed.", status=401)
        account_id = self._cached.account_id if self._cached else None

        def good(found: OAuthCredentials, renewed_at: float | None) -> bool:
            if account_id and found.account_id != account_id:
                self._cached = None  # the next request may use it; this one was another account's
                raise SignInAgainError(
                    "Another account has signed in meanwhile.", hint="Ask again to use that account."
                )
            return found.access_token != access_token and self._is_good(found, renewed_at)

        def renew() -> OAuthCredentials:
            cached = self._lasting()
            if cached and cached.access_token != access_token:
                return cached
            return self._renew("unauthorized_recovery", good)

        return self._one_at_a_time(renew)

    def settle(self) -> None:
        """Wait until no renewal is under way."""
        with self._mutex:
            pass

    # --- for tasks ----------------------------------------------------------------------------------

    async def credentials_async(self) -> OAuthCredentials:
        """As ``credentials``; whatever may block happens in a thread."""
        return self._lasting() or await self._single_flight("", self.credentials)

    async def replace_async(self, access_token: str, *, again: bool = False) -> OAuthCredentials:
        """As ``replace``; whatever may block happens in a thread."""
        return await self._single_flight(access_token, lambda: self.replace(access_token, again=again))

    async def settle_async(self) -> None:
        """As ``settle``."""
        import asyncio

        await asyncio.to_thread(self.settle)

    async def _single_flight(self, key: str, call: Callable[[], OAuthCredentials]) -> OAuthCredentials:
        """The tasks of a loop that want the same share one thread; cancelling one leaves it to the others."""
        import asyncio

        loop = asyncio.get_running_loop()
        flight = self._flights.get((loop, key))
        if flight is None:
            flight = loop.run_in_executor(None, call)
            self._flights[loop, key] = flight
            flight.add_done_callback(lambda done: self._landed((loop, key), done))
        return await asyncio.shield(flight)

    def _landed(self, key: Any, flight: asyncio.Future[OAuthCredentials]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # noted, should every waiter have been cancelled

    # --- deciding -----------------------------------------------------------------------------------

    def _lasting(self) -> OAuthCredentials | None:
        """The cached credentials, if they need no thought."""
        cached = self._cached
        if cached is None:
            return None
        now = self._now()
        paused = now < self._pause_until and is_fresh(cached, now, 0.0)
        return cached if paused or self._is_good(cached, self._renewed_at) else None

    def _is_good(self, credentials: OAuthCredentials, renewed_at: float | None) -> bool:
        """Whether credentials that came from the server at ``renewed_at`` need no renewal."""
        now = self._now()
        return is_fresh(credentials, now) or (renewed_at is not None and 0 <= now - renewed_at < _TRUST)

    def _one_at_a_time(self, renew: Callable[[], OAuthCredentials]) -> OAuthCredentials:
        if self._process != os.getpid():  # a fork copied a lock that some thread may have held
            self._mutex, self._process = threading.Lock(), os.getpid()
        outcome: Future[OAuthCredentials] = Future()
        failures = self._failures

        def run() -> None:
            with self._mutex:
                if self._failures != failures:  # it failed while we waited: asking again is no better
                    outcome.set_exception(self._failure)
                    return
                try:
                    outcome.set_result(renew())
                except CredentialError as error:
                    self._failures, self._failure = self._failures + 1, error
                    outcome.set_exception(error)
                except BaseException as error:  # noqa: BLE001 - raised where it was asked for
                    outcome.set_exception(error)

        # A thread of its own, and not a daemon: Ctrl-C ends the caller, but not a renewal between its
        # POST and its save.
        threading.Thread(target=run, name="onplan-keeper", daemon=False).start()
        return outcome.result()

    def _renew_stale(self) -> OAuthCredentials:
        cached = self._lasting()
        if cached:  # another thread was faster
            return cached
        record, _ = self._load()
        stored = record.credentials
        if stored and self._is_good(stored, record.renewed_at):
            return self._adopt(stored, record.renewed_at)
        try:
            return self._renew("proactive_expiry", self._is_good)
        except NotSignedInError:
            raise
        except CredentialError as error:
            if stored is None or not is_fresh(stored, self._now(), 0.0):
                raise
            logger.warning("%s The access token is still valid and goes on being used.", error)
            self._pause_until = self._now() + _PAUSE
            return self._adopt(stored, record.renewed_at)

    def _adopt(self, credentials: OAuthCredentials, renewed_at: float | None) -> OAuthCredentials:
        self._cached, self._renewed_at = credentials, renewed_at
        return credentials

    # --- renewing, across processes -----------------------------------------------------------------

    def _renew(self, reason: str, good: _Judge) -> OAuthCredentials:
        with self._store.lock():
            record, version = self._load()
            old = record.credentials
            if old is None:
                raise _nobody()
            if good(old, record.renewed_at):
                return self._adopt(old, record.renewed_at)
            if self._refused and self._refused[0] == _fingerprint(old):
                raise self._refused[1]
            interrupted = record.pending_refresh
            version = self._store.save(
                msgspec.structs.replace(record, pending_refresh=_pending(old, self._now())), version
            )
            logger.info("renewing the access token (%s)", reason)
            try:
                renewed = drive(refresh(self._issuer, old, reason, self._now), self._send, self._sleep)
            except OnplanError as error:
                return self._after_failure(error, record, version, interrupted)
            renewed_at, self._minted = self._now(), renewed.access_token
            self._adopt(renewed, renewed_at)
            return self._save(renewed, renewed_at, version)

    def _load(self) -> tuple[Record, str]:
        loaded = self._store.load()
        if loaded is None:
            raise _nobody()
        return loaded

    def _after_failure(
        self, error: OnplanError, record: Record, version: str, interrupted: PendingRefresh | None
    ) -> OAuthCredentials:
        """Adopt what somebody else stored meanwhile; otherwise raise. Nothing is deleted."""
        spent = record.credentials
        newest, _ = self._load()
        newer = newest.credentials
        rejected = isinstance(error, SignInAgainError)
        if rejected and newer and spent and newer.refresh_token != spent.refresh_token:
            return self._adopt(newer, newest.renewed_at)
        if not isinstance(error, OutcomeUnknownError):
            with contextlib.suppress(StoreError):  # the outcome is known: nothing is pending any more
                self._store.save(record, version)
        if isinstance(error, SignInAgainError) and spent:
            self._refused = _fingerprint(spent), error
        if rejected and interrupted and spent and interrupted.fingerprint == _fingerprint(spent):
            raise SignInAgainError(
                f"{error} An earlier renewal was interrupted after it was sent and before its result "
                "could be saved.",
                status=error.status,
            ) from None
        raise error

    def _save(self, credentials: OAuthCredentials, renewed_at: float, version: str) -> OAuthCredentials:
        """Keep the rotated set. Should that fail, it lives on in this process, and says so."""
        record = Record(credentials=credentials, renewed_at=renewed_at)
        for attempt in range(1, _SAVE_ATTEMPTS + 1):
            try:
                self._store.save(record, version)
            except StoreConflictError:  # a new sign-in came between: theirs counts
                newest, _ = self._load()
                return self._adopt(newest.credentials or credentials, newest.renewed_at)
            except StoreError as error:
                if attempt == _SAVE_ATTEMPTS:
                    logger.error(  # noqa: TRY400 - a traceback would add nothing
                        "The renewed sign-in could not be saved and is kept in this process only. %s %s",
                        error,
                        error.hint,
                    )
                else:
                    self._sleep(0.1 * attempt)
            else:
                break
        return credentials


def _nobody() -> NotSignedInError:
    return NotSignedInError("Nobody is signed in here.")


def _pending(credentials: OAuthCredentials, now: float) -> PendingRefresh:
    return PendingRefresh(fingerprint=_fingerprint(credentials), started_at=now)


def _fingerprint(credentials: OAuthCredentials) -> str:
    return sha256((credentials.refresh_token or "").encode()).hexdigest()[:16]
