"""``env:NAME``: a sign-in in an environment variable, such as a secret of a CI system. It is only read.

The variable holds an onplan record, a JSON object with an ``access_token``, the content of a Codex
``auth.json``, or a bare access token. The sign-in is borrowed: a refresh token in it is not used, because the
new tokens could not be stored.
"""

from __future__ import annotations

import re
import threading
from contextlib import AbstractContextManager, suppress
from typing import NoReturn

import msgspec

from onplan.config.environment import environment_variable
from onplan.config.store_schemes import CAPABILITIES
from onplan.errors import ConfigurationError, StoreDamagedError, StoreError
from onplan.field_types import prepare
from onplan.forking import reset_in_child
from onplan.oauth.claims import with_claims
from onplan.secret import SecretBytes
from onplan.stores import Record, Stored, decode_record, version_of
from onplan.types import OAuthCredentials

_BARE_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]+")  # RFC 6750 §2.1


class EnvironmentStore:
    """The sign-in in the environment variable ``location``."""

    capabilities = CAPABILITIES["env"]

    def __init__(self, location: str) -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", location):
            raise ConfigurationError(
                "The env: store needs the name of an environment variable.", hint="Write `env:NAME`."
            )
        self._name = location
        self.reset_in_child()
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """In a forked process: the lock may be held by a thread that is not here."""
        self._lock = threading.RLock()

    def load(self) -> Stored | None:
        """The record without its refresh token, and its version; None if the variable is unset or empty."""
        # A byte order mark may have come along from the file that the variable was filled from.
        value = (environment_variable(self._name) or "").removeprefix("\ufeff").strip()
        data = SecretBytes(value.encode("utf-8", "surrogateescape"))
        if not data:
            return None
        version = version_of(data)
        record = _record(data, self.describe())
        if record is None:
            raise StoreDamagedError(
                f"The variable {self._name} holds neither an access token nor a sign-in in JSON.",
                version=version,
                hint=self._how_to_fill(),
            )
        lent = record.credentials and msgspec.structs.replace(record.credentials, refresh_token=None)
        source = f"env:{self._name}"
        borrowed = Record(
            issuer_kind=record.issuer_kind,
            credentials=lent,
            obtained_at=record.obtained_at,
            borrowed_from=source,
        )
        return Stored(borrowed, version)

    def save(self, record: Record, expected_version: str | None) -> NoReturn:
        """Raise StoreError: a variable can only be read."""
        raise StoreError(
            f"The variable {self._name} can only be read: no sign-in can be kept there.",
            hint=f"{self._how_to_fill()} Or use another store.",
        )

    def delete(self) -> None:
        """Do nothing if the variable is unset, else raise StoreError."""
        if environment_variable(self._name):
            raise StoreError(
                f"The variable {self._name} can only be read: onplan cannot remove it.",
                hint=f"Run `unset {self._name}`, or remove it where it is set.",
            )

    def lock(self) -> AbstractContextManager[object]:
        """Excludes threads; other processes have their own environment."""
        return self._lock

    def describe(self) -> str:
        """Where the record is, for people."""
        return f"the environment variable {self._name}"

    def _how_to_fill(self) -> str:
        return f'Put a fresh token there: `export {self._name}="$(onplan token)"`, where you are signed in.'


def _record(data: SecretBytes, place: str) -> Record | None:
    """The record in ``data``, in any of the four forms, or None. StoreError: a newer onplan's."""
    fields = _fields(data)
    if fields is None:
        return Record(credentials=with_claims(_bare(data))) if _BARE_TOKEN.fullmatch(data) else None
    if "schema" in fields:
        with suppress(StoreDamagedError):
            return decode_record(data, place)
        return None
    tokens = _fields(fields.get("tokens"))
    found = _credentials(data if tokens is None else fields["tokens"])
    return Record(credentials=with_claims(found)) if found and found.access_token else None


def _fields(data: bytes | msgspec.Raw | None) -> dict[str, msgspec.Raw] | None:
    """The fields of a JSON object; ``Raw`` has no printed form."""
    try:
        return None if data is None else msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _credentials(data: bytes | msgspec.Raw) -> OAuthCredentials | None:
    try:
        return msgspec.json.decode(data, type=OAuthCredentials, strict=False)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _bare(data: SecretBytes) -> OAuthCredentials:
    return OAuthCredentials(access_token=data.decode())


prepare(OAuthCredentials)
