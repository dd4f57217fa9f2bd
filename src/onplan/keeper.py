"""Who renews, once: the keeper of one credential, for the threads and tasks of this process.

::

    fresh token wanted
      -> cached and lasting? use it               no lock, no disk
      -> one thread of this process goes on       the others wait
      -> renewal.py                               among processes and machines

While renewing fails, an access token that is still valid goes on being used. Knows nothing of requests to
backends.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from onplan.errors import CredentialError, NotSignedInError, SignInAgainError
from onplan.oauth.credentials import is_fresh
from onplan.oauth.issuer import Issuer
from onplan.renewal import PROACTIVE, UNAUTHORIZED, Renewal, Send
from onplan.secret import SecretText
from onplan.stores import CredentialStore, Record
from onplan.types import OAuthCredentials

if TYPE_CHECKING:
    import asyncio

    _Flights = WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Future[OAuthCredentials]]]

logger = logging.getLogger("onplan.keeper")

# After a failed renewal, a still-valid access token is used this long before the next attempt.
_PAUSE = 30.0
# A set that has just come from the server is used this long, whatever its expiry says: with a clock that is
# wrong, or a lifetime of 0, every call would renew it.
_TRUST = 60.0


class Keeper:
    """Hands out credentials whose access token is fresh, and renews them when they are not.

    May be used from several threads, tasks and processes at once.

    Args:
        store: where the credential is kept.
        issuer: where it is renewed, unless the credential names its own issuer.
        send: carries one request to the token endpoint; called on whichever thread renews.
        now: Unix seconds.
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
    ) -> None:
        self._renewal = Renewal(store, issuer, send, now, sleep, profile=profile, backend=backend)
        self._now = now
        self._cached: Record | None = None
        self._pause_until = 0.0
        self._failures, self._failure = 0, CredentialError("")
        self._mutex, self._process = threading.Lock(), os.getpid()
        self._flights: _Flights = WeakKeyDictionary()

    # --- for threads --------------------------------------------------------------------------------

    def credentials(self) -> OAuthCredentials:
        """Credentials with a fresh access token.

        Raises:
            NotSignedInError: the store is empty.
            SignInAgainError: the server no longer honours the credential.
            RefreshError: it could not be renewed for now, and the access token has expired.
            StoreError: the store failed, and the access token has expired.
        """
        return self._lasting() or self._begin(self._renew_stale).result()

    def replace(self, access_token: str, *, again: bool = False) -> OAuthCredentials:
        """Other credentials than those whose ``access_token`` a backend has just refused.

        If somebody replaced it already, theirs are adopted without a refresh; but never another account's.
        ``again``: the refused one was itself a replacement. If it came from the server just now, there is no
        sense in another. Raises as ``credentials``.
        """
        return self._begin(self._replacing(SecretText(access_token), again=again)).result()

    def settle(self) -> None:
        """Wait until no renewal is under way; one that still waits for the store's lock has spent nothing."""
        self._after_fork()
        self._renewal.settle()

    # --- for tasks ----------------------------------------------------------------------------------

    async def credentials_async(self) -> OAuthCredentials:
        """As ``credentials``; whatever may block happens in a thread."""
        return self._lasting() or await self._single_flight("", self._renew_stale)

    async def replace_async(self, access_token: str, *, again: bool = False) -> OAuthCredentials:
        """As ``replace``; whatever may block happens in a thread."""
        token = SecretText(access_token)
        return await self._single_flight(token, self._replacing(token, again=again))

    async def settle_async(self) -> None:
        """As ``settle``."""
        import asyncio

        await asyncio.to_thread(self.settle)

    async def _single_flight(self, key: str, renew: Callable[[], OAuthCredentials]) -> OAuthCredentials:
        """The tasks of a loop that want the same share one thread; cancelling one leaves it to the others."""
        import asyncio

        loop = asyncio.get_running_loop()
        flights = self._flights.setdefault(loop, {})
        flight = flights.get(key)
        if flight is None:
            outcome = self._begin(renew)  # which may fail for want of threads: then nobody is to wait for it
            flight = flights[key] = loop.create_future()
            flight.add_done_callback(lambda done: (flights.pop(key), done.exception()))  # noted, if all left

            def land(outcome: Future[OAuthCredentials]) -> None:
                with suppress(RuntimeError):  # the loop has ended meanwhile
                    loop.call_soon_threadsafe(_hand_over, outcome, flight)

            outcome.add_done_callback(land)
        return await asyncio.shield(flight)

    # --- deciding -----------------------------------------------------------------------------------

    def _lasting(self) -> OAuthCredentials | None:
        """The cached credentials, if they need no thought."""
        record = self._cached
        if record is None or record.credentials is None:
            return None
        now = self._now()
        paused = now < self._pause_until and is_fresh(record.credentials, now, 0.0)
        return record.credentials if paused or self._is_good(record) else None

    def _is_good(self, record: Record) -> bool:
        """Whether its credentials need no renewal."""
        now, renewed_at = self._now(), record.renewed_at
        if record.credentials is None:
            return False
        trusted = renewed_at is not None and 0 <= now - renewed_at < _TRUST
        return trusted or is_fresh(record.credentials, now)

    def _begin(self, renew: Callable[[], OAuthCredentials]) -> Future[OAuthCredentials]:
        """Renew on a thread of its own, and not a daemon.

        Ctrl-C ends whoever waits, but not a renewal between its POST and its save.
        """
        self._after_fork()
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

        threading.Thread(target=run, name="onplan-keeper", daemon=False).start()
        return outcome

    def _after_fork(self) -> None:
        """A fork copied locks that some thread may have held, and not the thread."""
        if self._process != os.getpid():
            self._mutex, self._process = threading.Lock(), os.getpid()
            self._renewal.start_anew()

    def _renew_stale(self) -> OAuthCredentials:
        cached = self._lasting()
        if cached:  # another thread was faster
            return cached
        stored, _ = self._renewal.load()
        if self._is_good(stored):
            return self._adopt(stored)
        try:
            return self._adopt(self._renewal.renew(PROACTIVE, self._is_good))
        except NotSignedInError:
            raise
        except CredentialError as error:
            if stored.credentials is None or not is_fresh(stored.credentials, self._now(), 0.0):
                raise
            logger.warning("%s The access token is still valid and goes on being used.", error)
            self._pause_until = self._now() + _PAUSE
            return self._adopt(stored)

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

        def renew() -> OAuthCredentials:
            if again and access_token == self._renewal.minted:
                raise SignInAgainError(
                    "The backend does not accept the sign-in, not even renewed.", status=401
                )
            cached = self._lasting()
            if cached and cached.access_token != access_token:
                return cached
            return self._adopt(require_same_account(self._renewal.renew(UNAUTHORIZED, good)))

        return renew

    def _adopt(self, record: Record) -> OAuthCredentials:
        if record.credentials is None:
            raise self._renewal.nobody()
        self._cached = record
        return record.credentials


def _account(record: Record | None) -> str | None:
    """For whom and what: the account, or the client that was registered for it."""
    credentials = record.credentials if record else None
    return (credentials.account_id or credentials.client_id) if credentials else None


def _hand_over(outcome: Future[OAuthCredentials], flight: asyncio.Future[OAuthCredentials]) -> None:
    error = outcome.exception()
    if error is None:
        flight.set_result(outcome.result())
    else:
        flight.set_exception(error)
