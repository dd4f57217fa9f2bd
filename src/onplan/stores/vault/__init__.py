"""``vault:MOUNT/PATH?option=value``: a record in HashiCorp Vault or OpenBao, shared by many machines.

The engine is KV version 2. The secret at PATH has the fields of ``OAuthCredentials`` at its top level, so
that programs that know only ``access_token``, ``refresh_token`` and ``expires_at`` can read it; other fields
that they keep there stay. The lock is another secret, at ``PATH.lease``. A policy that permits it all, for
MOUNT
``secret`` and PATH ``onplan/me``::

    path "secret/data/onplan/me"           { capabilities = ["create", "read", "update"] }
    path "secret/delete/onplan/me"         { capabilities = ["update"] }
    path "secret/data/onplan/me.lease"     { capabilities = ["create", "read", "update"] }
    path "secret/delete/onplan/me.lease"   { capabilities = ["update"] }
    path "secret/metadata/onplan/me.lease" { capabilities = ["create", "update"] }
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any

import msgspec

from onplan.config.installation import missing_extra
from onplan.config.store_schemes import CAPABILITIES
from onplan.errors import ConfigurationError, StoreConflictError
from onplan.oauth.claims import with_claims
from onplan.secret import SecretBytes
from onplan.stores import FORMER_NAMES, Record, Stored, conflict, record_from, split_options
from onplan.stores.vault.client import VaultClient
from onplan.stores.vault.lease import VaultLock
from onplan.stores.vault.login import login_from, server_from
from onplan.stores.vault.secret import Engine, Fields, Secret
from onplan.types import OAuthCredentials

logger = logging.getLogger("onplan.vault")

OPTIONS: Mapping[str, str] = {
    "address": "",  # else VAULT_ADDR
    "namespace": "",  # else VAULT_NAMESPACE
    "auth": "",  # token, approle or kubernetes; approle if there is a VAULT_ROLE_ID, else token
    "role": "",  # the role ID, or the name of the role in kubernetes
    "mount": "",  # where the auth method is, if not at its usual place
    "lease": "60",  # seconds after which the lock expires, whatever became of its holder
}
_ATTEMPTS = 10  # how often another writer may be faster before a deletion gives up


class VaultStore:
    """A record in the secret that ``location`` names. Versions are those of the engine."""

    capabilities = CAPABILITIES["vault"]

    def __init__(self, location: str) -> None:
        if find_spec("hvac") is None:
            raise missing_extra("vault", "The vault: store")
        place, options = split_options("vault", location, OPTIONS)
        self._path, self._server = _path(place), server_from(options)
        self._client = VaultClient(self._server, login_from(options))
        engine = Engine(self._client, self._path)
        self._secret = Secret(engine)
        self._lock = VaultLock(Secret(engine, ".lease"), _seconds(options["lease"]))

    def load(self) -> Stored | None:
        """The record and its version. A secret without a schema is another program's, and is read as well."""
        found = self._secret.read()
        if found is None or not found.fields:
            return None
        version = str(found.number)
        record = record_from(_nested(found.fields), self.describe(), version)
        if record.credentials and "schema" not in found.fields:
            record = msgspec.structs.replace(record, credentials=with_claims(record.credentials))
        return Stored(record, version)

    def save(self, record: Record, expected_version: str | None) -> str:
        """Write the next version. Fields of other programs stay as they are.

        Raises StoreError for a record with a pending refresh if the Vault token may expire before the
        refreshed record is written.
        """
        if record.pending_refresh:
            self._client.require_lasting_token()
        found = self._secret.read()
        live = str(found.number) if found and found.fields else None
        if live != expected_version:
            raise conflict(f"{self._path} in Vault")
        fields = _flat(record, found.fields if found and found.fields else Fields())
        written = self._secret.write(fields, found.number if found else 0)
        if written.lifetime is not None:
            logger.warning(
                "Vault deletes %s after %.0f seconds (delete_version_after), and the sign-in with it.",
                self._path,
                written.lifetime,
            )
        return str(written.number)

    def delete(self) -> None:
        """Delete every version softly, because the older ones hold tokens, too.

        An empty version is written first, so that a save over the version before it is refused.
        """
        for _ in range(_ATTEMPTS):
            found = self._secret.read()
            if found is None:
                return
            try:
                newest = self._secret.write(Fields(), found.number) if found.fields else found
            except StoreConflictError:
                continue
            self._secret.delete(range(1, newest.number + 1))
            return
        raise conflict(f"{self._path} in Vault", _ATTEMPTS)

    def lock(self) -> AbstractContextManager[object]:
        """Excludes threads, processes and machines; ``with`` gives a ``Lease``."""
        return self._lock.held()

    def describe(self) -> str:
        """Where the record is, for people."""
        namespace = f" in namespace {self._server.namespace}" if self._server.namespace else ""
        return f"vault:{self._path} at {self._server.address}{namespace}"

    def __repr__(self) -> str:
        """Where the record is, and nothing else."""
        return f"<VaultStore {self.describe()}>"


def _path(place: str) -> str:
    """The mount and the path below it, also if spelled as in the API: ``v1/MOUNT/data/PATH``."""
    path = place.strip("/").removeprefix("v1/")
    mount, _, below = path.partition("/")
    path = f"{mount}/{below.removeprefix('data/')}" if below else path
    if "/" not in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ConfigurationError(
            "The vault: store needs a mount and a path.",
            hint="Write `vault:MOUNT/PATH`, such as vault:secret/onplan/me.",
        )
    return path


def _seconds(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 3600:
        raise ConfigurationError(f"lease={value} is not a number of seconds from 1 to 3600.")
    return int(value)


# --- the layout ----------------------------------------------------------------------------------------

_CREDENTIALS = frozenset(OAuthCredentials.__struct_fields__)
_OURS = _CREDENTIALS | frozenset((*Record.__struct_fields__, *FORMER_NAMES)) - {"credentials"}
_MILLISECONDS = 1e11  # as seconds, this is in the year 5138
_ACCOUNT = "chatgpt_account_id"  # what another program calls account_id


def _flat(record: Record, existing: Fields) -> Fields:
    """The fields of the secret: the record's, and the existing ones of other programs."""
    decoded = Fields(msgspec.json.decode(SecretBytes(msgspec.json.encode(record))))
    decoded.update(decoded.pop("credentials") or {})
    fields = Fields({name: value for name, value in decoded.items() if value is not None})
    for name, value in fields.items():
        if isinstance(value, float) and value.is_integer():
            fields[name] = int(value)  # some parsers of expires_at take no fraction
    kept = Fields({name: value for name, value in existing.items() if name not in _OURS})
    if _ACCOUNT in kept and "account_id" in fields:
        kept[_ACCOUNT] = fields["account_id"]
    return Fields(kept | fields)


def _nested(found: Fields) -> Fields | None:
    """The fields as ``record_from`` takes them, or None if they are not a sign-in."""
    fields = Fields({name: value for name, value in found.items() if value is not None})
    if "schema" not in fields:
        if not isinstance(fields.get("access_token"), str):
            return None
        account = {"account_id": fields[_ACCOUNT]} if _ACCOUNT in fields else {}
        fields = Fields(account | fields, schema=1)
    if "expires_at" in fields:
        fields["expires_at"] = _unix_seconds(fields["expires_at"])
    credentials = Fields({name: fields[name] for name in _CREDENTIALS & fields.keys()})
    rest = {name: fields[name] for name in _OURS - _CREDENTIALS if name in fields}
    return Fields(rest, credentials=credentials or None)


def _unix_seconds(value: Any) -> Any:
    """Unix seconds of a number or text, as the ``vault`` command writes it, in seconds or milliseconds."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    if not math.isfinite(number):
        return value
    return number / 1000 if number > _MILLISECONDS else number
