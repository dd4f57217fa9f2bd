"""``codex:HOME``: the sign-in of the Codex CLI, shared with it: each uses the tokens that the other got.

``auth.json`` is written as the CLI writes it: under the CLI's two locks, which the CLI holds while it writes
but not while it waits for the server, and without changing anything else in the file. The parts of a record
that have no place there are in ``auth.onplan.json`` beside it, which never holds a token.

A new record takes effect with one rename. If both files change, ``auth.onplan.json`` is written first, with
the parts of the old and of the new record. It is read between two readings of ``auth.json``: if those are
equal, what was read belongs together.
"""

from __future__ import annotations

import os
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from onplan.config.environment import environment_variable
from onplan.config.file_errors import explained
from onplan.config.file_reading import as_utf8, read_file
from onplan.config.private_files import PrivateFile, make_private_folder
from onplan.config.store_schemes import CAPABILITIES
from onplan.errors import ConfigurationError, StoreDamagedError, StoreError
from onplan.forking import reset_in_child
from onplan.secret import SecretBytes
from onplan.stores import Record, Stored, conflict, version_of
from onplan.stores.codex import auth_file
from onplan.stores.codex.auth_file import UNCHANGED, Document, Overlay
from onplan.stores.lock import ProcessLock

# The CLI holds its locks for as long as it takes to write a file.
_THEIR_LOCK_TIMEOUT = 20.0
_THEIR_LOCK_POLL = 0.02
_READINGS = 100
# Bytes by which refreshed tokens may be longer than those that they replace.
_ROOM = 4096
_THEIR_FILE = "auth.json"
_OUTSIDE_THE_FILE = ("keyring", "auto")
_NOTHING = b"{}\n"
# Seconds during which a damaged file is read again: the Codex CLI up to 0.168 overwrites it without a lock.
_SECOND_READ = 0.5


def codex_home(location: str) -> Path:
    """The folder that ``codex:location`` means here and now, without links."""
    home = location or environment_variable("CODEX_HOME") or "~/.codex"
    try:
        path = Path(home).expanduser()
        # A path to auth.json means the folder of that file, also if the file is a link into another folder.
        folder = path.parent if path.name == _THEIR_FILE and not path.is_dir() else path
        return Path(os.path.realpath(folder))
    except RuntimeError:
        raise ConfigurationError(
            f"The store codex:{home} is in a home folder that does not exist.",
            hint="Set CODEX_HOME to the Codex CLI's folder, or write `codex:/path/to/folder`.",
        ) from None


class CodexStore:
    """The Codex CLI's sign-in in the folder ``location``; if that is empty, in ``CODEX_HOME`` or ~/.codex.

    ``auth.json`` is read whatever its mode, as the CLI does; when written, only its owner can read it.
    """

    capabilities = CAPABILITIES["codex"]

    def __init__(self, location: str) -> None:
        self._home = codex_home(location)
        self._theirs = PrivateFile(self._home / _THEIR_FILE)
        self._ours = PrivateFile(self._home / "auth.onplan.json")
        self._lock = ProcessLock(self._home / "auth.onplan.lock", self.describe())

    def load(self) -> Stored | None:
        """The record and its version, or None if the CLI is not signed in with a plan.

        Raises StoreError also where the CLI keeps its sign-in in the system's keyring.
        """
        found = self._read()
        if found.is_damaged:
            found = self._read_again()
        if found.version is None:
            if found.document is None:
                self._refuse_keyring()
            return None
        if found.base is None:
            raise StoreDamagedError(
                f"The sign-in of the Codex CLI in {self.describe()} is damaged.",
                version=found.version,
                hint="Move it away and run `codex login`.",
            )
        record = auth_file.with_overlay(found.base, found.overlay, str(self._ours.path), found.version)
        return Stored(record, found.version)

    def save(self, record: Record, expected_version: str | None) -> str:
        """Write it as the CLI would, if what is stored is still the expected version.

        ``auth.json`` is replaced even if nothing in it changes: this proves, before a refresh token is spent,
        that the new tokens can be saved. Saving a record without credentials where the CLI is signed out
        changes nothing, and is no error.
        """
        with self._writing("written"):
            found = self._read()
            if found.version != expected_version:
                raise conflict(self.describe())
            self._refuse_write_protected()
            new = found.followed_by(record)
            same_base = new.data == found.data
            ours = auth_file.encode_overlays(_overlays(new) | ({} if same_base else _overlays(found)))
            files = [(self._theirs, new.data), (self._ours, ours)]
            for kept, data in files if same_base else reversed(files):
                if data:
                    kept.write(data, room=len(data) + _ROOM if record.pending_refresh else 0)
        return new.version or version_of(new.data)

    def delete(self) -> None:
        """Remove the file, or only the plan's sign-in if the file has something else, such as an API key."""
        if not self._home.is_dir():
            return
        with self._writing("removed"):
            found = self._read()
            rest = auth_file.without_tokens(found.document) if found.document else None
            if found.version is not None and rest is None:
                self._theirs.remove(instead=_NOTHING)
            elif found.version is not None and rest is not None:
                self._theirs.write(auth_file.encode(rest))
            self._ours.remove(instead=_NOTHING)

    def lock(self) -> AbstractContextManager[object]:
        """Excludes the threads and processes of onplan, by a lock file of onplan's own.

        The CLI's own locks are not held: it must be able to save its tokens while we wait for the server.
        """
        return self._lock.held()

    def describe(self) -> str:
        """Where the record is, for people."""
        return str(self._theirs.path)

    def why_empty(self) -> str | None:
        """A sentence about what the CLI is signed in with instead of a plan; None if it is signed out."""
        found = self._read()
        instead = auth_file.instead_of_a_plan(found.document) if found.document else None
        return None if instead is None else f"{instead} ({self.describe()})."

    def _read(self) -> _State:
        """Read both files until their parts belong together."""
        data = self._content(self._theirs)
        for _ in range(_READINGS):
            overlays = auth_file.decode_overlays(self._content(self._ours))
            before, data = data, self._content(self._theirs)
            if before == data:
                return _State.of(data, overlays)
        raise StoreError(
            f"{self.describe()} could not be read: another program changed it during each of "
            f"{_READINGS} attempts.",
            hint="Nothing is lost. End the program that writes to it, then run `onplan status`.",
        )

    def _content(self, file: PrivateFile) -> SecretBytes | None:
        with explained(str(file.path), "read"):
            data = file.read()
        return None if data is None else SecretBytes(data)

    def _read_again(self) -> _State:
        """Read again: the CLI may have been writing, under its locks or, in old versions, without."""
        with suppress(OSError, StoreError), self._their_locks():  # a read-only folder has no locks
            found = self._read()
            if not found.is_damaged:
                return found
        deadline = time.monotonic() + _SECOND_READ
        while (found := self._read()).is_damaged and time.monotonic() < deadline:
            time.sleep(_THEIR_LOCK_POLL)
        return found

    @contextmanager
    def _writing(self, done: str) -> Iterator[None]:
        """Hold our own lock, then the CLI's in its order."""
        with self.lock(), explained(self.describe(), done):
            make_private_folder(self._home)
            with self._their_locks():
                yield

    @contextmanager
    def _their_locks(self) -> Iterator[None]:
        with (
            _their_lock(self._home / "auth.lock"),
            _their_lock(Path(f"{self._theirs.target()}.lock")),
        ):
            yield

    def _refuse_write_protected(self) -> None:
        """Raise StoreError if its owner may not write to it: the CLI does not replace such a file either."""
        path = self._theirs.path
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if not mode & 0o200:
                raise StoreError(
                    f"{path} is write-protected (mode {mode & 0o777:o}).",
                    hint=f"Run `chmod u+w {path}`, then the command again.",
                )

    def _refuse_keyring(self) -> None:
        """Raise StoreError if the CLI is configured not to keep its sign-in in the file."""
        config = self._home / "config.toml"
        with suppress(OSError, UnicodeError, tomllib.TOMLDecodeError):
            place = tomllib.loads(as_utf8(read_file(config)).decode()).get("cli_auth_credentials_store")
            if place in _OUTSIDE_THE_FILE:
                raise StoreError(
                    f"The Codex CLI keeps its sign-in in the system's keyring ({config} says so), "
                    f"not in {self.describe()}.",
                    hint='Set cli_auth_credentials_store = "file" there and run `codex login`.',
                )


@dataclass(frozen=True)
class _State:
    """The content of both files.

    Attributes:
        document: of ``auth.json``; None if there is no file, or one that cannot be read.
        base: the record of the document alone.
        version: None if the CLI is not signed in with a plan; damaged files have one.
    """

    data: SecretBytes
    document: Document | None
    base: Record | None
    overlay: Overlay
    version: str | None

    @property
    def is_damaged(self) -> bool:
        """Whether there is a file that cannot be understood."""
        return self.version is not None and self.base is None

    @classmethod
    def of(cls, data: SecretBytes | None, overlays: dict[str, Overlay]) -> _State:
        if data is None:
            return cls(SecretBytes(), None, None, UNCHANGED, None)
        document = None
        with suppress(UnicodeError):
            document = auth_file.decode(as_utf8(data))
        if document is None or auth_file.is_damaged(document):
            return cls(data, document, None, UNCHANGED, version_of(data))
        base = auth_file.record_in(document)
        if base is None:
            return cls(data, document, None, UNCHANGED, None)
        overlay = overlays.get(auth_file.key_of(base), UNCHANGED)
        return cls(data, document, base, overlay, _version(data, overlay))

    def followed_by(self, record: Record) -> _State:
        """The state with another record in it."""
        if record.credentials is None:
            if self.version is None:
                return self
            raise StoreError("The Codex CLI's file keeps the sign-in of a plan, and nothing else.")
        refresh = "pending_refresh" in self.overlay.record
        document = auth_file.with_credentials(
            self.document or {}, record.credentials, record.obtained_at, time.time(), refresh=refresh
        )
        data = self.data if document == self.document else auth_file.encode(document)
        base = auth_file.record_in(document) or record
        overlay = auth_file.overlay(record, base)
        return _State(data, document, base, overlay, _version(data, overlay))


def _version(data: bytes, overlay: Overlay) -> str:
    return version_of(data + b"\n" + msgspec.json.encode(overlay, order="sorted"))


def _overlays(state: _State) -> dict[str, Overlay]:
    if state.base is None or state.overlay == UNCHANGED:
        return {}
    return {auth_file.key_of(state.base): state.overlay}


@contextmanager
def _their_lock(path: Path) -> Iterator[None]:
    """Hold the lock that the CLI takes on ``path``, by flock(2) where there is one. The lock file stays.

    If it is created here, only its owner can open it, so that no other user can hold the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    _descriptors.open.add(descriptor)
    try:
        deadline = time.monotonic() + _THEIR_LOCK_TIMEOUT
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{path} has been locked by another program for {_THEIR_LOCK_TIMEOUT:.0f} seconds.",
                    hint="End the Codex CLI if it hangs, then run the command again.",
                )
            time.sleep(_THEIR_LOCK_POLL)
        yield
    finally:
        if descriptor in _descriptors.open:  # not in a child that was forked meanwhile
            _descriptors.open.remove(descriptor)
            _unlock(descriptor)
            os.close(descriptor)


class _Descriptors:
    """The locked files of this process. A forked child closes them, or it would keep them locked."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """Close the parent's files without unlocking them."""
        while self.open:
            with suppress(OSError):
                os.close(self.open.pop())


_descriptors = _Descriptors()


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlock(descriptor: int) -> None:
    if sys.platform != "win32":  # Windows: closing is enough. Others: a forked child may have it open
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)
