"""The keyring store on a real Secret Service, which tests/interop/test_secret_service.py starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import count

import keyring
import pytest

from onplan.stores import CredentialStore, open_store
from onplan.stores.contract import FIRST, SECOND, StoreContract

pytest.importorskip("secretstorage")
PASSWORD = os.environ.get("ONPLAN_TEST_SECRET_SERVICE", "")  # what unlocks it
pytestmark = [
    pytest.mark.skipif(not PASSWORD, reason="no Secret Service was started; run `make interop`"),
    # The keyring library does not close its connection when a call fails; it goes with the exception.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
_numbers = count()


@pytest.fixture
def spec() -> str:
    """An entry that no other test has."""
    return f"keyring:test-{next(_numbers)}"


@pytest.fixture
def store(spec: str) -> CredentialStore:
    return open_store(spec)


class TestSecretService(StoreContract):
    stride = 7  # a refresh takes some 250 steps here, and each that is tried agrees on keys a dozen times


def test_the_record_is_one_entry(store: CredentialStore, spec: str) -> None:
    """It is there for other programs as well: service ``onplan``, the store's name as its user."""
    store.save(FIRST, None)

    text = keyring.get_password("onplan", spec.removeprefix("keyring:"))
    assert text
    assert json.loads(text)["schema"] == 2
    store.delete()
    assert keyring.get_password("onplan", spec.removeprefix("keyring:")) is None


_READ = """
import sys
from onplan.stores import contract, open_store
store = open_store(sys.argv[1])
for _ in range(60):
    assert store.load().record in (contract.FIRST, contract.SECOND)
"""


def test_readers_never_miss_a_record_that_is_there(store: CredentialStore, spec: str) -> None:
    """While one process writes, others read: the service, which crashes when they meet, is asked in turn."""
    version = store.save(FIRST, None)
    command = [sys.executable, "-c", _READ, spec]
    readers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    while any(reader.poll() is None for reader in readers):
        version = store.save(SECOND, version)
        version = store.save(FIRST, version)
    for reader in readers:
        _, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors


_CHAIN = """
from keyring.backend import KeyringBackend
class SomebodysKeyring(KeyringBackend):
    priority = 9.9
    def get_password(self, service, username): return None
    def set_password(self, service, username, password): raise NotImplementedError
import keyring, sys
assert type(keyring.get_keyring()).__name__ == "ChainerBackend"
from onplan.stores import contract, open_store
assert open_store(sys.argv[1]).load().record == contract.FIRST
"""


def test_the_systems_own_keyring_comes_first(store: CredentialStore, spec: str) -> None:
    """A plug-in that hands out a package index's passwords is not mistaken for a keyring of ours."""
    store.save(FIRST, None)
    subprocess.run([sys.executable, "-c", _CHAIN, spec], timeout=60, check=True)


def test_threads_and_forks_share_no_connection(store: CredentialStore, spec: str) -> None:
    """A forked process uses the keyring as its parent does, at the same time."""
    version = store.save(FIRST, None)
    child = os.fork()
    if child == 0:
        os._exit(0 if all(store.load() == (FIRST, version) for _ in range(20)) else 1)
    assert all(store.load() == (FIRST, version) for _ in range(20))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
