"""Who refreshes, once: the token manager of one credential, for the threads and tasks of this process.

::

    fresh token wanted
      -> cached and lasting? use it               no lock, no disk
      -> one thread of this process goes on       the others wait
      -> refresh.py                               among processes and machines

While refreshing fails, an access token that is still valid goes on being used. Knows nothing of requests to
backends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from onplan.errors import CredentialError, NotSignedInError, SignInAgainError, StoreError
from onplan.forking import BackgroundCall, reset_in_child
from onplan.oauth.credentials import is_fresh
from onplan.oauth.issuer import Issuer
from onplan.secret import SecretText
from onplan.stores import CredentialStore, Record
from onplan.stores.lock import waiting_at_most
from onplan.tokens.refresher import PROACTIVE, UNAUTHORIZED, Refresher, Send
from onplan.types import OAuthCredentials

if TYPE_CHECKING:
    import asyncio

    _Flights = WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Future[OAuthCredentials]]]

logger = logging.getLogger("onplan.tokens")

# After a failed refresh, a still-valid access token is used this long before the next attempt.
_PAUSE = 30.0
# To save what could not be saved before, a request waits this long for the store's lock.
_SAVE_AGAIN_SECONDS = 5.0
# A set that has just come from the server is used this long, whatever its expiry says: with a clock that is
# wrong, or a lifetime of 0, every call would refresh it.
_TRUST = 60.0


class TokenManager:
    """Hands out credentials whose access token is fresh, and refreshes them when they are not.

    May be used from several threads, tasks and processes at once.

    Args:
        store: where the credential is kept.
        issuer: where it is refreshed, unless the credential names its own issuer.
        send: carries one request to the token endpoint; called on whichever thread refreshes.
        now: Unix seconds.
        prepare: makes ready what ``send`` needs, such as a TLS context; called before each lock of the store.
        profile: whose credential it is, for people.
        backend: the backend's name, for people.
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
    ) -> None:
        self._refresher = Refresher(
            store, issuer, send, now, sleep, profile=profile, backend=backend, prepare=prepare
        )
        self._now = now
        self._cached: Record | None = None
        self._pause_until = 0.0
        self._failures, self._failure = 0, CredentialError("")
        self._mutex = threading.Lock()
        self._flights: _Flights = WeakKeyDictionary()
        self._save_again_at = 0.0
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """In a forked process: the lock may be held by a thread that is not here."""
        self._mutex = threading.Lock()

    # --- for threads --------------------------------------------------------------------------------

    def credentials(self) -> OAuthCredentials:
        """Credentials with a fresh access token.

        Raises:
            NotSignedInError: the store is empty.
            SignInAgainError: the server no longer honours the credential.
            RefreshError: it could not be refreshed for now, and the access token has expired.
            StoreError: the store failed, and the access token has expired.
        """
        return self._lasting() or self._begin(self._refresh_stale).result()

    def replace(self, access_token: str, *, again: bool = False) -> OAuthCredentials:
        """Other credentials than those whose ``access_token`` a backend has just refused.

        If somebody replaced it already, theirs are adopted without a refresh; but never another account's.
        ``again``: the refused one was itself a replacement. If it came from the server just now, there is no
        sense in another. Raises as ``credentials``.
        """
        return self._begin(self._replacing(SecretText(access_token), again=again)).result()

    def drain(self) -> None:
        """Wait until no refresh is under way, and save what could not be saved before."""
        self._refresher.drain()

    # --- for tasks ----------------------------------------------------------------------------------

    async def credentials_async(self) -> OAuthCredentials:
        """As ``credentials``; whatever may block happens in a thread."""
        return self._lasting() or await self._single_flight("", self._refresh_stale)

    async def replace_async(self, access_token: str, *, again: bool = False) -> OAuthCredentials:
        """As ``replace``; whatever may block happens in a thread."""
        token = SecretText(access_token)
        return await self._single_flight(token, self._replacing(token, again=again))

    async def drain_async(self) -> None:
        """As ``drain``; without a thread if there is nothing to wait for."""
        import asyncio

        if not self._refresher.is_idle():
            loop = asyncio.get_running_loop()
            await asyncio.shield(BackgroundCall(self.drain, "onplan-tokens").future(loop))

    async def _single_flight(self, key: str, refresh: Callable[[], OAuthCredentials]) -> OAuthCredentials:
        """The tasks of a loop that want the same share one thread; cancelling one leaves it to the others."""
        import asyncio

        loop = asyncio.get_running_loop()
        flights = self._flights.setdefault(loop, {})
        flight = flights.get(key)
        if flight is None:
            # Beginning may fail for want of threads: then no task is to wait for it.
            flight = flights[key] = self._begin(refresh).future(loop)
            flight.add_done_callback(lambda done: (flights.pop(key), done.exception()))  # noted, if all left
        return await asyncio.shield(flight)

    # --- deciding -----------------------------------------------------------------------------------

    def _lasting(self) -> OAuthCredentials | None:
        """The cached credentials, if they need no thought."""
        record = self._cached
        if record is None or record.credentials is None or self._is_save_due():
            return None
        now = self._now()
        paused = now < self._pause_until and is_fresh(record.credentials, now, 0.0)
        return record.credentials if paused or self._is_good(record) else None

    def _is_good(self, record: Record) -> bool:
        """Whether its credentials need no refresh."""
        now, obtained_at = self._now(), record.obtained_at
        if record.credentials is None:
            return False
        trusted = obtained_at is not None and 0 <= now - obtained_at < _TRUST
        return trusted or is_fresh(record.credentials, now)

    def _begin(self, refresh: Callable[[], OAuthCredentials]) -> BackgroundCall[OAuthCredentials]:
        """Refresh on a thread of its own: Ctrl-C ends the waiting, but not a refresh that has been sent."""
        failures = self._failures

        def work() -> OAuthCredentials:
            with self._mutex:
                if self._failures != failures:  # it failed while we waited: asking again is no better
                    raise self._failure
                try:
                    return refresh()
                except CredentialError as error:
                    self._failures, self._failure = self._failures + 1, error
                    raise

        return BackgroundCall(work, "onplan-tokens")

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
            logger.warning("%s The access token is still valid and goes on being used.", error)
            self._pause_until = self._now() + _PAUSE
            return self._adopt(stored)

    def _is_save_due(self) -> bool:
        """Whether a refreshed set that could not be saved is to be saved now."""
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
                self._cached = None  # the next request may use it; this one was another account's
                raise SignInAgainError(
                    "Another account has signed in meanwhile.", hint="Ask again to use that account."
                )
            return record

        def good(record: Record) -> bool:
            found = require_same_account(record).credentials
            return found is not None and found.access_token != access_token and self._is_good(record)

        def refresh() -> OAuthCredentials:
            if again and access_token == self._refresher.last_issued:
                raise SignInAgainError(
                    "The backend does not accept the sign-in, not even refreshed.", status_code=401
                )
            self._save_again_if_due()
            cached = self._lasting()
            if cached and cached.access_token != access_token:
                return cached
            return self._adopt(require_same_account(self._refresher.refresh(UNAUTHORIZED, good)))

        return refresh

    def _adopt(self, record: Record) -> OAuthCredentials:
        if record.credentials is None:
            raise self._refresher.not_signed_in()
        self._cached = record
        return record.credentials


def _account(record: Record | None) -> str | None:
    """For whom and what: the account, or the client that was registered for it."""
    credentials = record.credentials if record else None
    return (credentials.account_id or credentials.client_id) if credentials else None
