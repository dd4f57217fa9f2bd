"""A keyring for tests, as the ``keyring`` library knows them: a folder that processes share.

Configured as the library's users do it, by PYTHON_KEYRING_BACKEND and KEYRING_PROPERTY_FOLDER. It takes as
little in one entry as the Windows Credential Locker, and like macOS it removes an entry before it writes it
anew. The file ``trouble`` in the folder names the exceptions that its next calls raise, one a line; an empty
line stands for a call that succeeds.
"""

from __future__ import annotations

import builtins
import hashlib
import json
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import keyring.errors
from keyring.backend import KeyringBackend

PLACES: list[Any] = [keyring.errors, builtins]
with suppress(ImportError):
    PLACES.append(import_module("secretstorage.exceptions"))
LIMIT = 2560  # bytes of UTF-16


class FolderKeyring(KeyringBackend):
    priority = 1
    viable = False  # only where it is asked for by name
    folder = ""

    def get_password(self, service: str, username: str) -> str | None:
        self._meet_trouble()
        path = self._path(service, username)
        return json.loads(path.read_text())["password"] if path.exists() else None

    def set_password(self, service: str, username: str, password: str) -> None:
        self._meet_trouble()
        if len(password.encode("utf-16-le")) > LIMIT:
            raise keyring.errors.PasswordSetError("The stub received bad data")
        path = self._path(service, username)
        path.unlink(missing_ok=True)
        new = path.with_suffix(".new")
        entry = {"service": service, "username": username, "password": password}
        new.write_text(json.dumps({**entry, "keyring": type(self).__name__}))
        new.replace(path)

    def delete_password(self, service: str, username: str) -> None:
        self._meet_trouble()
        try:
            self._path(service, username).unlink()
        except FileNotFoundError:
            raise keyring.errors.PasswordDeleteError("not found") from None

    def _path(self, service: str, username: str) -> Path:
        name = hashlib.sha256(f"{service}\n{username}".encode()).hexdigest()
        return Path(self.folder, f"{name[:16]}.json")

    def _meet_trouble(self) -> None:
        path = Path(self.folder, "trouble")
        if path.exists():
            name, *rest = path.read_text().split("\n")
            path.write_text("\n".join(rest)) if rest else path.unlink()
            if name:
                raise exception_called(name)("something went wrong")


class ForgetfulKeyring(FolderKeyring):
    """Keeps half of what it is given, and says nothing."""

    viable = False

    def set_password(self, service: str, username: str, password: str) -> None:
        super().set_password(service, username, password[: len(password) // 2])


class PlaintextKeyring(FolderKeyring):
    """Named as the one of keyrings.alt."""

    priority = 9
    viable = False


def exception_called(name: str) -> Any:
    for place in PLACES:
        if hasattr(place, name):
            return getattr(place, name)
    return type(name, (Exception,), {})  # of a library that this system has not
