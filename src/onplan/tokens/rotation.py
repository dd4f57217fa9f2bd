"""Saves the tokens of a refresh, and keeps them in memory until they are saved.

After a refresh the refresh token in the store is spent: losing the new one would sign the user out. So a
failed save is repeated at the next request, when the client closes, and when the program ends; if it still
fails then, the program says so on stderr and does not exit with code 0. Meanwhile every other client of this
process that finds the spent token in its store uses the new tokens, instead of spending the old one again.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from onplan.errors import StoreDamagedError, StoreError
from onplan.forking import reset_in_child
from onplan.stores import CredentialStore, Lease, Record
from onplan.types import OAuthCredentials

logger = logging.getLogger("onplan.tokens")

_SAVE_ATTEMPTS = 5
_DELAYS_AT_EXIT = (0.0, 0.2, 0.5)
_LAST = -100  # priority among multiprocessing's finalizers; one below 0 runs after its children have ended


class SignedOutError(StoreError):
    """The user signed out while the credential was being refreshed."""


class Rotation:
    """The result of a refresh of the credentials in ``store``. The caller holds the store's lock."""

    def __init__(self, store: CredentialStore, sleep: Callable[[float], object]) -> None:
        self._store, self._sleep = store, sleep
        # The spent credentials, and the record after the refresh.
        self._kept: tuple[OAuthCredentials, Record] | None = None

    @property
    def unsaved(self) -> bool:
        """Whether refreshed tokens exist in this process only."""
        return self._kept is not None

    def save(
        self, refreshed: Record, spent: OAuthCredentials, version: str | None, lease: Lease | None
    ) -> Record:
        """Save ``refreshed`` over a record that still has the ``spent`` token, but never over a newer one.

        Returns the record to use from now on: ``refreshed``, even if it could not be saved, or a newer one.
        Nothing is lost whatever exception a store from another package raises.
        """
        problem: Exception | None = None
        for attempt in range(_SAVE_ATTEMPTS):
            try:
                if problem:
                    self._sleep(0.1 * attempt)
                    version, newer = self._successor_of(spent, locked=lease is None or lease.remaining() > 0)
                    if newer:
                        return newer
                self._store.save(refreshed, version)
            except SignedOutError:
                raise
            except Exception as error:  # noqa: BLE001 - of whatever class: the tokens are not saved
                problem = error
            else:
                self._keep(None)
                return refreshed
        self._keep((spent, refreshed))
        logger.error(
            "The refreshed sign-in could not be saved and exists in this process only. %s", _reason(problem)
        )
        return refreshed

    def save_again(self) -> None:
        """Save tokens that could not be saved before, if any. Raises StoreError if that fails again."""
        if self._kept:
            spent, refreshed = self._kept
            try:
                version, newer = self._successor_of(spent, locked=False)
            except SignedOutError:
                self._keep(None)
                raise
            if newer is None:
                self._store.save(refreshed, version)
            self._keep(None)

    def successor_of(self, spent: OAuthCredentials) -> Record | None:
        """The unsaved record that a client of this process received for the ``spent`` token, if any."""
        for rotation in (*_at_exit.rotations, *_at_exit.inherited):
            kept = rotation._kept
            if kept and kept[0].refresh_token == spent.refresh_token:
                return kept[1]
        return None

    def describe(self) -> str:
        """Where the tokens are to be saved, for people."""
        return self._store.describe()

    def _keep(self, kept: tuple[OAuthCredentials, Record] | None) -> None:
        self._kept = kept
        (_at_exit.add if kept else _at_exit.discard)(self)

    def _successor_of(self, spent: OAuthCredentials, *, locked: bool) -> tuple[str | None, Record | None]:
        """The version that the refreshed record may replace, or a record that is newer than it.

        A sign-out takes the store's lock: a store that is empty while we hold it was emptied in another way.
        """
        signed_out = SignedOutError("The profile was signed out meanwhile.", hint="Run `onplan login`.")
        try:
            loaded = self._store.load()
        except StoreDamagedError as damaged:
            return damaged.version, None
        if loaded is None:
            if not locked:
                raise signed_out
            return None, None
        newest, version = loaded
        if newest.api_key or (newest.credentials is None and not locked):
            raise signed_out
        if newest.credentials and newest.credentials.refresh_token != spent.refresh_token:
            return version, newest
        return version, None


class _AtExit:
    """Tries to save for the last time when the program ends: after its threads and most other exit handlers.

    Attributes:
        rotations: those with unsaved tokens. They are referenced here because their client may be gone.
        inherited: in a forked process, those of its parent, which saves them itself.
    """

    def __init__(self) -> None:
        self.rotations: frozenset[Rotation] = frozenset()
        self.inherited: frozenset[Rotation] = frozenset()
        self._is_registered = False
        self._changing = threading.Lock()
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """Leave the parent's tokens to the parent."""
        self.inherited |= self.rotations
        self.rotations = frozenset()
        self._is_registered = False
        self._changing = threading.Lock()

    def add(self, rotation: Rotation) -> None:
        """Have ``rotation`` saved when the program ends."""
        with self._changing:
            self.rotations |= {rotation}
            if not self._is_registered:
                self._is_registered = True
                self._register()

    def discard(self, rotation: Rotation) -> None:
        """Forget ``rotation``, whose tokens are saved."""
        with self._changing:
            self.rotations -= {rotation}

    def _register(self) -> None:
        """Register ``save_all``. Not at import: multiprocessing clears the handlers that a child inherits.

        In Python 3.11 the children that multiprocessing forks run no exit handlers, only its finalizers.
        """
        atexit.register(self.save_all)
        multiprocessing = sys.modules.get("multiprocessing")
        if multiprocessing and multiprocessing.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self.save_all, exitpriority=_LAST)

    def save_all(self) -> None:
        """Save everything; if that fails, end the process with the exit code of a StoreError."""
        failures = [failure for failure in map(_save_at_exit, list(self.rotations)) if failure]
        if not failures:
            return
        for failure in failures:
            with suppress(Exception):
                sys.stderr.write(f"onplan: {failure}\n")
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(StoreError.exit_code)  # an exit handler has no other way to change it


def _save_at_exit(rotation: Rotation) -> str | None:
    """Why ``rotation`` could not be saved, or None."""
    reason = ""
    for delay in _DELAYS_AT_EXIT:
        time.sleep(delay)
        try:
            rotation.save_again()
        except SignedOutError:
            return None
        except Exception as error:  # noqa: BLE001 - of whatever class: the tokens are not saved
            reason = _reason(error, hint=False)
        else:
            return None
    return (
        f"The refreshed sign-in could not be saved in {rotation.describe()} and is lost. {reason} "
        "Make it writable, then run `onplan login`."
    )


def _reason(error: Exception | None, *, hint: bool = True) -> str:
    """The message of a StoreError; of other exceptions only the class: their text may have secrets."""
    if not isinstance(error, StoreError):
        return f"The store raised {type(error).__name__}."
    return f"{error} {error.hint}" if hint else str(error)


_at_exit = _AtExit()
