"""Chooses a backend of the ``keyring`` library, reads and writes entries, and explains its exceptions.

Every call of the Secret Service backend opens a D-Bus connection of its own, so threads and forked processes
share none. The KWallet and macOS backends keep theirs: a forked process should not use them before it has
started another program (``exec``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from onplan.config.installation import missing_extra
from onplan.errors import StoreError
from onplan.secret import SecretText
from onplan.stores.keyring import secret_service

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

# Characters that one entry takes; None: any number, and the entry is replaced atomically.
LIMITS: Mapping[str, int | None] = {
    secret_service.BACKEND: None,
    "keyring.backends.libsecret.Keyring": None,
    "keyring.backends.kwallet.DBusKeyring": None,
    "keyring.backends.kwallet.DBusKeyringKWallet4": None,
    "keyring.backends.macOS.Keyring": 1_000_000,  # removes the old value before it adds the new one
    "keyring.backends.Windows.WinVaultKeyring": 1200,  # 2,560 bytes of UTF-16
}
_SMALLEST = 1200  # for a keyring that is not in the table
_UNUSABLE = ("keyring.backends.fail.Keyring", "keyring.backends.null.Keyring")
_NATURAL = {
    "darwin": "keyring.backends.macOS.Keyring",
    "linux": secret_service.BACKEND,
    "win32": "keyring.backends.Windows.WinVaultKeyring",
}

# Seconds between attempts: with several clients, gnome-keyring fails for a moment in about 1 of 600 calls.
_PAUSES = (0.05, 0.1, 0.2, 0.4)
_UNLOCK = "Unlock it in the system's password manager, then run the command again."
_FILE = "Keep the sign-in in a file instead: `--store file:PATH`."
_AGAIN = "Nothing is lost; try again in a moment."

# Class of an exception -> a description, the hint, and how often to try again: a person who has dismissed a
# dialog is not shown it five times.
_FAILURES: Mapping[str, tuple[str, str, int]] = {
    "KeyringLocked": ("is locked, and was not unlocked", _UNLOCK, 0),
    "LockedException": ("is locked", _UNLOCK, 0),
    "PromptDismissedException": ("asked for a confirmation, which was dismissed", _UNLOCK, 0),
    "InitError": ("could not be opened", _UNLOCK, 2),
    "TimeoutError": ("asked for something, such as its password, and got no answer in time", _UNLOCK, 0),
    "SecretServiceNotAvailableException": ("does not answer", f"Check that it runs. {_FILE}", 4),
    "NotImplementedError": ("cannot be written", _FILE, 0),
    "KeyringError": ("failed", _AGAIN, 4),
    "SecretStorageException": ("failed", _AGAIN, 4),
    "OSError": ("cannot be reached", f"Check that it runs. {_FILE}", 4),
    "Exception": ("failed", _AGAIN, 4),
}
_WORDY = ("KeyringError", "SecretStorageException", "OSError")  # their messages hold no secret


class Keyring:
    """The entries of one user name, by service name. Every exception is a ``StoreError``."""

    def __init__(self, name: str) -> None:
        if find_spec("keyring") is None:
            raise missing_extra("keyring", "The keyring: store")
        self._name = name

    def limit(self) -> int | None:
        """Characters that one entry takes, or None for any number."""
        return LIMITS.get(_class_name(type(_usable())), _SMALLEST)

    def get(self, service: str) -> SecretText | None:
        """The entry, or None if there is none."""
        found = _persistently(lambda ring: ring.get_password(service, self._name))
        return None if found is None else SecretText(found)

    def set(self, service: str, text: SecretText) -> None:
        """Write the entry and read it back, in case the keyring stores less and raises nothing."""
        _persistently(lambda ring: ring.set_password(service, self._name, text))
        if self.get(service) != text:
            raise StoreError("The system's keyring did not keep what it was given.", hint=_FILE)

    def remove(self, service: str) -> None:
        """Remove the entry, if there is one."""

        def remove(ring: KeyringBackend) -> None:
            if ring.get_password(service, self._name) is not None:
                ring.delete_password(service, self._name)

        _persistently(remove)


def _persistently(operation: Callable[[KeyringBackend], T]) -> T:
    """Call ``operation``; repeat it while its failure may pass."""
    attempt = 0
    while True:
        try:
            return _ask(_usable(), operation)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - each keyring raises what its system raises
            problem, attempts = _explained(error)
        if attempt >= attempts:  # they may fail in different ways
            raise problem
        time.sleep(_PAUSES[attempt])
        attempt += 1


def _ask(ring: KeyringBackend, operation: Callable[[KeyringBackend], T]) -> T:
    if _class_name(type(ring)) != secret_service.BACKEND:
        return operation(ring)
    with secret_service.turn():
        return operation(secret_service.bounded(ring))


def _explained(error: Exception) -> tuple[StoreError, int]:
    """The StoreError for ``error``, and how often to try again before it is raised."""
    names = [kind.__name__ for kind in type(error).__mro__]
    what, hint, attempts = next(_FAILURES[name] for name in names if name in _FAILURES)
    detail = f": {error}".rstrip(".") if any(name in _WORDY for name in names) else ""
    return StoreError(f"The system's keyring {what} ({names[0]}{detail}).", hint=hint), attempts


# --- which one ------------------------------------------------------------------------------------------


def _usable() -> KeyringBackend:
    """The backend that the library is configured for, or finds.

    Of several in a chain it is the first in ``LIMITS``, else the first. Raises StoreError if there is none,
    or only one that stores plain text.
    """
    import keyring

    try:
        chosen = keyring.get_keyring()
    except Exception as error:  # noqa: BLE001 - it imports any class that is configured
        raise StoreError(
            f"The keyring that is configured cannot be used ({type(error).__name__}: {error}).",
            hint="Correct PYTHON_KEYRING_BACKEND, or the library's keyringrc.cfg."
            if "home directory" not in str(error)  # pathlib's: the library looks for that file there
            else f"Set HOME to a folder. {_FILE}",
        ) from None
    acceptable = [ring for ring in _members(chosen) if not _is_unsafe(type(ring))]
    if acceptable:
        return next((ring for ring in acceptable if _class_name(type(ring)) in LIMITS), acceptable[0])
    if keyring.core.load_env() or keyring.core.load_config():
        raise StoreError(
            f"The keyring that is configured ({_class_name(type(chosen))}) stores nothing, or plain text.",
            hint=f"Correct PYTHON_KEYRING_BACKEND, or the library's keyringrc.cfg. {_FILE}",
        )
    return _natural()


def _members(ring: Any) -> list[KeyringBackend]:
    from keyring.backends.chainer import ChainerBackend

    return list(ring.backends) if isinstance(ring, ChainerBackend) else [ring]


def _is_unsafe(kind: type) -> bool:
    names = [_class_name(base) for base in kind.__mro__]
    return any(name in _UNUSABLE or "plaintext" in name.lower() for name in names)


def _natural() -> KeyringBackend:
    """The system's own backend, which may have been started since; or a StoreError that says why not."""
    from keyring.core import load_keyring

    try:
        return load_keyring(_NATURAL.get(sys.platform, _NATURAL["linux"]))
    except Exception as error:  # noqa: BLE001 - as above
        raise StoreError(
            f"There is no keyring here that protects a sign-in ({error}).",
            hint=f"Start one, such as gnome-keyring or KWallet, in a desktop session. {_FILE}",
        ) from None


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
