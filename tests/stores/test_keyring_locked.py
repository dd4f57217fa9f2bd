"""A real Secret Service that is locked or hangs; tests/interop/test_secret_service.py starts it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count

import pytest

import onplan
from onplan.stores import CredentialStore, open_store
from onplan.stores.contract import FIRST, SECOND
from onplan.stores.lock import waiting_at_most

secretstorage = pytest.importorskip("secretstorage")
PASSWORD = os.environ.get("ONPLAN_TEST_SECRET_SERVICE", "")  # what unlocks it
pytestmark = pytest.mark.skipif(not PASSWORD, reason="no Secret Service was started; run `make interop`")
_numbers = count()


@pytest.fixture
def store() -> CredentialStore:
    """An entry that no other test has."""
    return open_store(f"keyring:locked-{next(_numbers)}")


def unlock() -> None:
    """As gnome-keyring's own login module unlocks it."""
    from secretstorage.util import DBusAddressWrapper, format_secret, open_session

    with closing(secretstorage.dbus_init()) as connection:
        interface = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"
        service = DBusAddressWrapper("/org/freedesktop/secrets", interface, connection)
        secret = format_secret(open_session(connection), PASSWORD.encode(), "text/plain")
        login = "/org/freedesktop/secrets/collection/login"
        service.call("UnlockWithMasterPassword", "o(oayays)", login, secret)


@contextmanager
def locked() -> Iterator[None]:
    """The keyring is locked meanwhile."""
    with closing(secretstorage.dbus_init()) as connection:
        secretstorage.get_default_collection(connection).lock()
    try:
        yield
    finally:
        unlock()


def service_process() -> int:
    """The process of the service."""
    from jeepney import DBusAddress, new_method_call

    bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    with closing(secretstorage.dbus_init()) as connection:
        call = new_method_call(bus, "GetConnectionUnixProcessID", "s", ("org.freedesktop.secrets",))
        return int(connection.send_and_get_reply(call).body[0])


def uses(store: CredentialStore, version: str) -> list[Callable[[], object]]:
    return [store.load, partial(store.save, SECOND, version), store.delete]


def test_a_locked_keyring_is_told_apart(store: CredentialStore) -> None:
    """Nobody being there to unlock it, that is said at once, and does not count as empty; nothing is lost."""
    version = store.save(FIRST, None)
    with locked():
        for use in uses(store, version):
            with pytest.raises(onplan.StoreError, match="is locked, and was not unlocked") as caught:
                use()
            assert "Unlock it" in caught.value.hint

    assert store.load() == (FIRST, version)


def test_a_service_that_does_not_answer_holds_up_nobody_for_ever(store: CredentialStore) -> None:
    """A service that hangs is given up after a while; when it goes on, everything is there."""
    version = store.save(FIRST, None)
    process = service_process()
    os.kill(process, signal.SIGSTOP)
    try:
        with waiting_at_most(0.5), pytest.raises(onplan.StoreError, match="got no answer in time") as caught:
            store.load()
        assert "Unlock it" in caught.value.hint
    finally:
        os.kill(process, signal.SIGCONT)

    assert store.load() == (FIRST, version)


def test_a_service_that_was_started_anew_is_locked(store: CredentialStore) -> None:
    """It crashed, and its successor can ask nobody for the password: an error, no endless wait."""
    version = store.save(FIRST, None)
    os.kill(service_process(), signal.SIGKILL)
    with waiting_at_most(2.0):
        for use in uses(store, version):
            with pytest.raises(onplan.StoreError, match=r"system's keyring .*(lock|answer|open)") as caught:
                use()
            assert "Unlock it" in caught.value.hint
    unlock()

    assert store.load() == (FIRST, version)
