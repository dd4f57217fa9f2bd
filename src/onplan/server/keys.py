"""The keys of the server: its own, made once, and those of named clients, of which only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from onplan.config.private_files import PrivateFile, locked_for_change
from onplan.errors import ConfigurationError
from onplan.flow import JSON_ERRORS
from onplan.secret import SecretText
from onplan.server.limits import KeyLimits

KEY_FILE, NAMED_KEYS_FILE = "server-key", "server-keys.json"
# The caller that has the server's own key.
OWNER = "server"
_PREFIX = "sk-onplan-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST = 1_000


class NamedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key of one client.

    Attributes:
        name: what the person calls the client.
        hash: SHA-256 of the key, in hexadecimal.
        limits: what it may use.
    """

    name: str
    hash: str
    limits: KeyLimits = KeyLimits()


class _NamedKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[NamedKey, ...] = ()


# Where a client finds the key: the generated one, one that the person chose, that of one command.
SHOWN = "`onplan serve --show-key` prints it."
CHOSEN = "It is what ONPLAN_SERVER_KEY was when the server was started."
OF_COMMAND = "It is in OPENAI_API_KEY, in the environment that `onplan run` gave to the command."


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys that are accepted.

    Attributes:
        hashes: of the keys, with the names of their callers.
        limits: of the callers that have any.
        where: where a client finds the key, as a sentence.
        identities: of the callers, by their names; see ``identity_of``.
    """

    hashes: tuple[tuple[bytes, str], ...] = field(repr=False)
    limits: Mapping[str, KeyLimits] = field(default_factory=dict)
    where: str = SHOWN
    identities: Mapping[str, str] = field(default_factory=dict)

    def caller_of(self, key: str) -> str | None:
        """The name of the caller with this key. Takes as long for a wrong key as for a right one."""
        given, caller = hash_of(key), None
        for known, name in self.hashes:
            if hmac.compare_digest(given, known):
                caller = name
        return caller

    def identity_of(self, caller: str) -> str:
        """What no other caller is ever called: a key that is made anew for a name is another caller.

        That of the owner is empty, so the names of conversations that its clients give stay as they are.
        """
        return self.identities.get(caller, caller)


def keys_of(own: str, named: tuple[NamedKey, ...] = (), where: str = SHOWN) -> Keys:
    """The keys: the server's own, and the named ones; ``where`` the own one is found, as a sentence."""
    hashes = [(hash_of(own), OWNER)]
    hashes += [(bytes.fromhex(each.hash), each.name) for each in named]
    identities = {OWNER: "", **{each.name: f"{each.name}:{each.hash[:16]}" for each in named}}
    return Keys(tuple(hashes), {each.name: each.limits for each in named}, where, identities)


def new_key() -> SecretText:
    """A key of 256 random bits. It begins as OpenAI's do, because some clients look at that."""
    return SecretText(_PREFIX + secrets.token_urlsafe(32))


def hash_of(key: str) -> bytes:
    """What is kept and compared instead of a key; a key has so many random bits that no salt is needed."""
    return hashlib.sha256(key.encode()).digest()


def server_key(home: Path, given: str | None = None) -> SecretText:
    """The server's own key: the ``given`` one, else that in the file ``server-key``; made if there is none.

    Raises ConfigurationError if the given key is weak, or the file can neither be read nor written.
    """
    if given is not None:
        if len(given) < _SHORTEST or not given.isascii() or not given.isprintable() or " " in given:
            raise ConfigurationError(
                f"ONPLAN_SERVER_KEY is not a key of at least {_SHORTEST} letters, digits and signs.",
                hint="Make one: `python -c 'import secrets; print(secrets.token_urlsafe(32))'`.",
            )
        return SecretText(given)
    with _changing(home / KEY_FILE) as file:
        kept = (file.read() or b"").decode("ascii", "replace").strip()
        if not kept:
            kept = new_key()
            file.write(f"{kept}\n".encode())
        return SecretText(kept)


_SHORTEST = 24


def named_keys(home: Path) -> tuple[NamedKey, ...]:
    """The keys of named clients. Raises ConfigurationError."""
    file = PrivateFile(home / NAMED_KEYS_FILE)
    try:
        return _decoded(file)
    except OSError as error:
        raise ConfigurationError(f"{file.path} cannot be read: {error.strerror}.") from None


def add_key(home: Path, name: str, limits: KeyLimits) -> SecretText:
    """Make a key for the client ``name``. It is kept as a hash only, so this is the one time it is told.

    Raises ConfigurationError for a name that cannot be used, and if it cannot be kept.
    """
    _require_sensible(name, limits)
    key = new_key()
    with _changing(home / NAMED_KEYS_FILE) as file:
        keys = _decoded(file)
        if any(each.name == name for each in keys):
            raise ConfigurationError(
                f"There is a key for {name} already.",
                hint=f"Remove it first: `onplan serve --remove-key {name}`.",
            )
        if len(keys) >= _MOST:
            raise ConfigurationError(
                f"There are {_MOST} keys already.", hint="Remove some that are not used."
            )
        _write(file, (*keys, NamedKey(name, hash_of(key).hex(), limits)))
    return key


def remove_key(home: Path, name: str) -> None:
    """Remove the key of the client ``name``. Raises ConfigurationError if there is none."""
    with _changing(home / NAMED_KEYS_FILE) as file:
        keys = _decoded(file)
        kept = tuple(each for each in keys if each.name != name)
        if len(kept) == len(keys):
            raise ConfigurationError(
                f"There is no key for {name}.", hint="`onplan serve --list-keys` shows which there are."
            )
        _write(file, kept)


def _require_sensible(name: str, limits: KeyLimits) -> None:
    if not _NAME.fullmatch(name) or name == OWNER:
        raise ConfigurationError(
            f"{name!r} cannot be the name of a key.",
            hint=f"Use letters, digits, dots and dashes, up to 64, and another word than {OWNER}.",
        )
    for field_name in ("requests_per_minute", "tokens_per_day"):
        number = getattr(limits, field_name)
        if number is not None and number < 1:
            raise ConfigurationError(f"{field_name} must be 1 or more, and is {number}.")
    if limits.window_share is not None and not 0 < limits.window_share <= 1:
        raise ConfigurationError(
            f"window_share is {limits.window_share}, and not a share above 0 and up to 1.",
            hint="Write 0.2 for a fifth of each usage window.",
        )


@contextmanager
def _changing(path: Path) -> Iterator[PrivateFile]:
    """The private file, while no other program changes it. Raises ConfigurationError."""
    try:
        with locked_for_change(path):
            yield PrivateFile(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read or written: {error.strerror}.",
            hint="Set ONPLAN_HOME to a folder that you can write: `export ONPLAN_HOME=/path/to/folder`.",
        ) from None


def _decoded(file: PrivateFile) -> tuple[NamedKey, ...]:
    try:
        keys = msgspec.json.decode(file.read() or b"{}", type=_NamedKeys).keys
        for each in keys:
            bytes.fromhex(each.hash)
    except (*JSON_ERRORS, ValueError):
        raise ConfigurationError(
            f"{file.path} is not a list of keys.", hint="Remove the file, and add the keys anew."
        ) from None
    return keys


def _write(file: PrivateFile, keys: tuple[NamedKey, ...]) -> None:
    file.write(msgspec.json.format(msgspec.json.encode(_NamedKeys(keys)), indent=2) + b"\n")
