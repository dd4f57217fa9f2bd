"""Calls the Secret Service of a Linux desktop with time limits, one program at a time.

The keyring library waits without limit for a reply, and for a person's answer to the service's dialog. A
service that crashed and was restarted by D-Bus, where it cannot show a dialog, would block a program for
ever.

gnome-keyring crashes when one client calls a method of an item while another replaces the item (an assertion
of GLib in ``call_in_idle_cb``), and comes back locked. So processes that use onplan take turns.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from onplan.errors import StoreError
from onplan.stores.lock import LOCK_TIMEOUT, patience, user_lock, waiting_at_most

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

BACKEND = "keyring.backends.SecretService.Keyring"  # the class of the keyring library

# Seconds for one reply; a person may have to type a password first. Less than others wait for our lock.
REPLY_TIMEOUT = LOCK_TIMEOUT * 2 / 3

# Seconds to wait for a turn, which usually takes some hundredths; its holder may be suspended, or wait for a
# person.
_TURN_TIMEOUT, _TURN_POLL_INTERVAL = 10.0, 0.01


@contextmanager
def turn() -> Iterator[None]:
    """Exclude other processes that use onplan from the service, unless they have waited too long."""
    with ExitStack() as held:
        with suppress(StoreError), waiting_at_most(patience(_TURN_TIMEOUT)):
            held.enter_context(user_lock("secret-service", "the keyring", _TURN_POLL_INTERVAL).held())
        yield


def bounded(ring: Any) -> KeyringBackend:
    """The library's backend ``ring`` with a time limit for every call, which may raise TimeoutError."""
    own: Any = copy.copy(ring)
    own.get_preferred_collection = partial(_collection, getattr(ring, "preferred_collection", None))
    return own  # type: ignore[no-any-return]


def _collection(path: str | None) -> Any:
    """The unlocked collection on a new connection, as the backend's method, but with time limits."""
    import secretstorage
    from keyring.errors import InitError, KeyringLocked
    from secretstorage.exceptions import SecretStorageException

    with ExitStack() as unless_it_is_handed_out:
        connection: Any = unless_it_is_handed_out.enter_context(closing(secretstorage.dbus_init()))
        connection.receive = partial(_receive, connection.receive)
        try:
            chosen = secretstorage.Collection(connection, path) if path else None
            collection = chosen or secretstorage.get_default_collection(connection)
        except SecretStorageException as error:
            raise InitError(f"Failed to open the collection: {error}") from error
        if collection.is_locked():
            collection.unlock()
            if collection.is_locked():
                raise KeyringLocked("The question for its password was dismissed")
        unless_it_is_handed_out.pop_all()
    return collection


def _receive(receive: Any, *, timeout: float | None = None) -> Any:
    longest = patience(REPLY_TIMEOUT)
    return receive(timeout=longest if timeout is None else min(timeout, longest))
