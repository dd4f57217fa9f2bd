"""The server's key: made once, kept in a private file, compared in constant time."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from onplan.config.private_files import PrivateFile, locked_for_change
from onplan.errors import ConfigurationError
from onplan.secret import SecretText

KEY_FILE = "server-key"
_PREFIX = "sk-onplan-"


def new_key() -> SecretText:
    """A key of 256 random bits. It begins as OpenAI's do, because some clients look at that."""
    return SecretText(_PREFIX + secrets.token_urlsafe(32))


def hash_of(key: str) -> bytes:
    """What is kept and compared instead of a key; a key has so many random bits that no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def server_key(home: Path) -> SecretText:
    """The key in the file ``server-key`` of ``home``; made if there is none.

    Raises ConfigurationError if the file can neither be read nor written.
    """
    path = home / KEY_FILE
    try:
        with locked_for_change(path):
            file = PrivateFile(path)
            kept = (file.read() or b"").decode("ascii", "replace").strip()
            if not kept:
                kept = new_key()
                file.write(f"{kept}\n".encode())
            return SecretText(kept)
    except OSError as error:
        raise ConfigurationError(
            f"The server's key cannot be kept in {path}: {error.strerror}.",
            hint="Set ONPLAN_HOME to a folder that you can write: `export ONPLAN_HOME=/path/to/folder`.",
        ) from None
