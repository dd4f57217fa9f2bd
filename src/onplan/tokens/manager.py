"""Hands out a fresh access token to every thread and task of this process; at most one of them refreshes it.

::

    credentials() is called
      -> the cached token is fresh?             return it: no lock, no disk
      -> one thread of this process refreshes   the others wait for its result
      -> refresher.py                           one refresh across processes and machines

While a refresh fails, an access token that is still valid remains in use. API requests are not made here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from onplan.errors import CredentialError, NotSignedInError, SignInAgainError, StoreError
from onplan.forking import BackgroundCall, reset_in_child
from onplan.oauth.credentials import is_fresh
from onplan.oauth.issuer import Issuer
from onplan.secret import SecretText
from onplan.stores import CredentialStore, Record
from onplan.stores.lock import waiting_at_most
from onplan.tokens.refresher import PROACTIVE, UNAUTHORIZED, Refresher, Send, cannot_be_refreshed
from onplan.turn.context import Recorder
from onplan.types import OAuthCredentials

if TYPE_CHECKING:
    import asyncio

    _Flights = WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Future[OAuthCredentials]]]

logger = logging.getLogger("onplan.tokens")

# Seconds: after a failed refresh, an access token that is still valid is used this long before the next try.
_PAUSE = 30.0
# Seconds that a request waits for the store's lock to save refreshed tokens that could not be saved before.
_SAVE_AGAIN_SECONDS = 5.0
# Seconds: tokens that the server has just issued are used this long whatever their expiry says. Otherwise
# every call would refresh where the clock is wrong or the server says a lifetime of 0.
_TRUST = 60.0


class TokenManager:
    """Returns credentials with a fresh access token, and refreshes them when it is about to expire.

    It can be used by several threads, tasks and processes at once.

    Args:
        store: where the credentials are stored.
        issuer: where they are refreshed, unless they name their own issuer.
        send: sends one request to the token endpoint; called on the thread that refreshes.
        now: gives the time, Unix seconds.
        prepare: sets up what ``send`` needs, such as a TLS context; called before the store is locked.
        profile: the profile's name, for messages.
        backend: the backend's name, for messages.
        recorder: writes down what is waited for.
    """

    def __init__(
        self,
        store: CredentialStore,
        issuer: Issuer,
        send: Send,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        profile: str | None = None,
        backend: str | None = None,
        prepare: Callable[[], object] = lambda: None,
        recorder: Recorder | None = None,
    ) -> None:
        self._refresher = Refresher(
            store,
            issuer,
            send,
            now,
            sleep,
            profile=profile,
            backend=backend,
            prepare=prepare,
            refreshing=recorder.refreshing if recorder else nullcontext,
        )
        self._waiting = recorder.waiting_for_credentials if recorder else nullcontext
        self._now = now
        self._cached: Record | None = None
        self._unusable: str | None = None  # an access token that a backend refused, and that stays the last
        self._pause_until = 0.0
        self._failures, self._failure = 0, CredentialError("")
        self._mutex = threading.Lock()
        self._flights: _Flights = WeakKeyDictionary()
        self._save_again_at = 0.0
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """Replace the lock in a forked process: the thread that holds it may not exist there."""
        self._mutex = threading.Lock()

    # --- for threads --------------------------------------------------------------------------------

    def credentials(self) -> OAuthCredentials:
        """Return credentials with a fresh access token.

        Raises:
            NotSignedInError: the store is empty.
            SignInAgainError: the server no longer accepts the refresh token, or there is none.
            RefreshError: the refresh failed for now, and the access token has expired.
            StoreError: the store failed, and the access token has expired.
        """
        return self._lasting() or self._wait(self._refresh_stale)

    def replace(self, access_token: str, *, again: bool = False) -> OAuthCredentials:
        """Return other credentials than those with ``access_token``, which a backend has just refused.

        If another program has refreshed them already, its result is used; never another account's.
        ``again``: the refused token was itself a replacement; if this process has just received it from the
        server, another refresh would not help, and SignInAgainError is raised. Raises as ``credentials``.
        """
        return self._wait(self._replacing(SecretText(access_token), again=again))

    def _wait(self, refresh: Callable[[], OAuthCredentials]) -> OAuthCredentials:
        with self._waiting():
            return self._begin(refresh).result()

    def why_ended(self, record: Record) -> SignInAgainError | None:
        """Why the sign-in in ``record`` can be used no more, as far as it is known; nothing is sent."""
        credentials, now = record.credentials, self._now()
        if credentials is None:
            return None
        if is_fresh(credentials, now, 0.0) and credentials.access_token != self._unusable:
            return None
        if not credentials.refresh_token:
            return cannot_be_refreshed(record, now, refused=True)
        return self._refresher.refusal_of(credentials)

    def drain(self) -> None:
        """Wait for a refresh in progress, and save refreshed tokens that could not be saved before."""
        self._refresher.drain()

    # --- for tasks ----------------------------------------------------------------------------------

    async def credentials_async(self) -> OAuthCredentials:
        """As ``credentials``; what may block runs in a thread."""
        return self._lasting() or await self._single_flight("", self._refresh_stale)

    async def replace_async(self, access_token: str, *, again: bool = False) -> OAuthCredentials:
        """As ``replace``; what may block runs in a thread."""
        token = SecretText(access_token)
        return await self._single_flight(token, self._replacing(token, again=again))

    async def drain_async(self) -> None:
        """As ``drain``; without a thread if there is nothing to wait for."""
        import asyncio

        if not self._refresher.is_idle():
            loop = asyncio.get_running_loop()
            await asyncio.shield(BackgroundCall(self.drain, "onplan-tokens").future(loop))

    async def _single_flight(self, key: str, refresh: Callable[[], OAuthCredentials]) -> OAuthCredentials:
        """Share one refresh, in a thread, among the tasks of a loop; a cancelled task does not end it."""
        import asyncio

        loop = asyncio.get_running_loop()
        flights = self._flights.setdefault(loop, {})
        with self._waiting():
            flight = flights.get(key)
            if flight is None:
                # Starting a thread may fail: then there is no flight that another task could wait for.
                flight = flights[key] = self._begin(refresh).future(loop)
                # The exception is read, so that asyncio does not log it when every task was cancelled.
                flight.add_done_callback(lambda done: (flights.pop(key), done.exception()))
            return await asyncio.shield(flight)

    # --- deciding -----------------------------------------------------------------------------------

    def _lasting(self) -> OAuthCredentials | None:
        """The cached credentials, if they can be used as they are."""
        record = self._cached
        if record is None or record.credentials is None or self._is_save_due():
            return None
        now = self._now()
        paused = now < self._pause_until and is_fresh(record.credentials, now, 0.0)
        return record.credentials if paused or self._is_good(record) else None

    def _is_good(self, record: Record) -> bool:
        """Whether the credentials of ``record`` need no refresh."""
        now, obtained_at = self._now(), record.obtained_at
        if record.credentials is None:
            return False
        trusted = obtained_at is not None and 0 <= now - obtained_at < _TRUST
        return trusted or is_fresh(record.credentials, now)

    def _begin(self, refresh: Callable[[], OAuthCredentials]) -> BackgroundCall[OAuthCredentials]:
        """Refresh on a separate thread: Ctrl-C ends the waiting, but not a refresh that has been sent."""
        failures = self._failures

        def work() -> OAuthCredentials:
            with self._mutex:
                if self._failures != failures:  # another thread's failed meanwhile: do not repeat it
                    raise self._failure
                try:
                    return refresh()
                except CredentialError as error:
                    self._failures, self._failure = self._failures + 1, error
                    raise

        # What it logs and writes down belongs to what the first to want it is doing.
        return BackgroundCall(partial(copy_context().run, work), "onplan-tokens")

    def _refresh_stale(self) -> OAuthCredentials:
        self._save_again_if_due()
        cached = self._lasting()
        if cached:  # another thread was faster
            return cached
        stored, _ = self._refresher.load()
        if self._is_good(stored):
            return self._adopt(stored)
        try:
            return self._adopt(self._refresher.refresh(PROACTIVE, self._is_good))
        except NotSignedInError:
            raise
        except CredentialError as error:
            if stored.credentials is None or not is_fresh(stored.credentials, self._now(), 0.0):
                raise
            logger.warning("%s The access token is still valid and remains in use.", error)
            self._pause_until = self._now() + _PAUSE
            return self._adopt(stored)

    def _is_save_due(self) -> bool:
        """Whether refreshed tokens could not be saved, and it is time to try again."""
        return self._refresher.unsaved and time.monotonic() >= self._save_again_at

    def _save_again_if_due(self) -> None:
        if self._is_save_due():
            self._save_again_at = time.monotonic() + _PAUSE
            with suppress(StoreError), waiting_at_most(_SAVE_AGAIN_SECONDS):
                self._refresher.save_again()

    def _replacing(self, access_token: str, *, again: bool) -> Callable[[], OAuthCredentials]:
        account = _account(self._cached)

        def require_same_account(record: Record) -> Record:
            if record.credentials and account and _account(record) != account:
                self._cached = None  # only the next request may use the new account
                raise SignInAgainError(
                    "Another account has signed in meanwhile.", hint="Run it again to use that account."
                )
            return record

        def good(record: Record) -> bool:
            found = require_same_account(record).credentials
            return found is not None and found.access_token != access_token and self._is_good(record)

        def refresh() -> OAuthCredentials:
            if again and access_token == self._refresher.last_issued:
                raise SignInAgainError(
                    "The backend does not accept the access token, even after a refresh.", status_code=401
                )
            self._save_again_if_due()
            cached = self._lasting()
            if cached and cached.access_token != access_token:
                return cached
            try:
                return self._adopt(require_same_account(self._refresher.refresh(UNAUTHORIZED, good)))
            except SignInAgainError:
                self._unusable = access_token
                raise

        return refresh

    def _adopt(self, record: Record) -> OAuthCredentials:
        if record.credentials is None:
            raise self._refresher.not_signed_in()
        self._cached = record
        return record.credentials


def _account(record: Record | None) -> str | None:
    """The account of the credentials, else the client that was registered for it."""
    credentials = record.credentials if record else None
    return (credentials.account_id or credentials.client_id) if credentials else None
