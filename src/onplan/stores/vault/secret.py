"""Reads, writes (by check-and-set) and deletes the versions of a secret in a KV version 2 engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from onplan.errors import StoreError
from onplan.flow import Response
from onplan.stores import conflict
from onplan.stores.vault.client import VaultClient
from onplan.stores.vault.errors import reasons, with_status
from onplan.stores.vault.login import Work

DATA, DELETE, METADATA = ("create", "read", "update"), ("update",), ("create", "update")


class Fields(dict[str, Any]):
    """The fields of a secret, without a printed form."""

    def __repr__(self) -> str:
        """Show no content."""
        return "…"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a secret.

    Attributes:
        fields: None if it was deleted, destroyed, or has expired.
        lifetime: seconds that the server keeps it, by its own clock; None: for ever.
    """

    number: int
    fields: Fields | None = field(repr=False)
    lifetime: float | None


class Engine:
    """The KV engine that ``path`` is in, which the server is asked for once."""

    def __init__(self, client: VaultClient, path: str) -> None:
        self.client, self.path = client, path
        self._parts: tuple[str, str] | None = None

    def parts(self) -> tuple[str, str]:
        """The engine's mount and the path below it. StoreError: it is not a KV engine of version 2."""
        if self._parts is None:
            first, _, rest = self.path.partition("/")  # a guess, until the server says where the mount ends
            answer = self.client.ask(self._look_up, f"{first}/data/{rest}", *DATA)
            if answer.status == 404:
                raise _no_engine(self, answer)
            described = _mapping(_mapping(answer.json()).get("data"))
            mount = str(described.get("path", "")).strip("/")
            if not answer.ok or not mount:
                raise _strange(self, answer)
            version = _mapping(described.get("options")).get("version")
            if described.get("type") != "kv" or version != "2":
                raise _other_engine(self, mount, str(described.get("type")), version)
            # A mount may have several parts; the path behind it may be spelled as in the API.
            below = f"{self.path}/".removeprefix(f"{mount}/").strip("/").removeprefix("data/")
            if not below:
                raise StoreError(
                    f"{mount} is a secrets engine as a whole.", hint=f"Write `vault:{mount}/NAME`."
                )
            self._parts = mount, below
        return self._parts

    def _look_up(self, adapter: Any) -> Response:
        """Ask as the ``vault kv`` command does. The answer is 403 also if there is no engine."""
        from hvac.utils import format_url  # type: ignore[import-untyped]

        answer: Response = adapter.get(format_url("/v1/sys/internal/ui/mounts/{path}", path=self.path))
        if answer.status == 403:
            mount, _, below = self.path.partition("/")
            probe = _read(adapter, mount, below)
            return probe if probe.status == 403 or reasons(probe) else answer
        return answer


class Secret:
    """The secret at the path of ``engine`` and ``suffix``. Every exception is a ``StoreError``."""

    def __init__(self, engine: Engine, suffix: str = "") -> None:
        self._engine, self._suffix = engine, suffix

    @property
    def path(self) -> str:
        """Its mount and path."""
        return self._engine.path + self._suffix

    def read(self, number: int = 0) -> Version | None:
        """That version, or the newest; None if there is none."""
        mount, below = self._parts()
        answer = self._engine.client.ask(
            lambda adapter: _read(adapter, mount, below, number or None), f"{mount}/data/{below}", *DATA
        )
        found = Fields(_mapping(_mapping(answer.json()).get("data")))
        if answer.status == 404 and not found:
            if reasons(answer):
                raise _no_engine(self._engine, answer)
            return None
        alive = isinstance(found.get("data"), dict)
        version = _version(found.get("metadata"), Fields(found["data"]) if alive else None)
        if version is None:
            raise _strange(self._engine, answer)
        return version

    def write(self, fields: Fields, after: int) -> Version:
        """Write the version after ``after`` (0: it is the first). Raises StoreConflictError if there is one.

        If an answer is lost, and the repeated request is refused because there is a version, that may be our
        own: then its content is compared.
        """
        mount, below = self._parts()
        answer, doubtful = self._engine.client.tell(
            lambda adapter: _kv(adapter).create_or_update_secret(below, fields, cas=after, mount_point=mount),
            f"{mount}/data/{below}",
            *DATA,
        )
        if answer.ok:
            version = _version(_mapping(answer.json()).get("data"), fields)
            if version is None:
                raise _strange(self._engine, answer)
            return version
        if "check-and-set" not in reasons(answer):
            raise _strange(self._engine, answer)
        ours = self.read(after + 1) if doubtful else None
        if ours is None or ours.fields != fields:
            raise conflict(f"{self.path} in Vault")
        return ours

    def delete(self, numbers: Iterable[int]) -> None:
        """Delete these versions softly; those that are gone are no error."""
        mount, below = self._parts()
        self._expect(
            lambda adapter: _kv(adapter).delete_secret_versions(below, list(numbers), mount_point=mount),
            f"{mount}/delete/{below}",
            *DELETE,
        )

    def expire_after(self, seconds: int) -> None:
        """Have the server delete each version that is written from now on after ``seconds``."""
        mount, below = self._parts()
        settings = {"max_versions": 1, "cas_required": True, "delete_version_after": f"{seconds}s"}
        self._expect(
            lambda adapter: _kv(adapter).update_metadata(below, mount_point=mount, **settings),
            f"{mount}/metadata/{below}",
            *METADATA,
        )

    def _expect(self, work: Work, path: str, *capabilities: str) -> None:
        answer = self._engine.client.ask(work, path, *capabilities)
        if not answer.ok:
            raise _strange(self._engine, answer)

    def _parts(self) -> tuple[str, str]:
        mount, below = self._engine.parts()
        return mount, below + self._suffix


def _kv(adapter: Any) -> Any:
    from hvac.api.secrets_engines import KvV2  # type: ignore[import-untyped]

    return KvV2(adapter)


def _read(adapter: Any, mount: str, below: str, number: int | None = None) -> Response:
    answer: Response = _kv(adapter).read_secret_version(
        below, version=number, mount_point=mount, raise_on_deleted_version=False
    )
    return answer


def _version(metadata: Any, fields: Fields | None) -> Version | None:
    """The version that the server describes, or None if it does not."""
    found = _mapping(metadata)
    number, created, deleted = (found.get(name) for name in ("version", "created_time", "deletion_time"))
    if not isinstance(number, int):
        return None
    try:
        lifetime = (
            (datetime.fromisoformat(deleted) - datetime.fromisoformat(str(created))).total_seconds()
            if deleted
            else None
        )
    except (TypeError, ValueError):
        return None
    return Version(number, fields, lifetime)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strange(engine: Engine, answer: Response) -> StoreError:
    return StoreError(
        f"The server at {engine.client.address} does not answer for {engine.path} as Vault's KV version 2 "
        f"engine does ({with_status(answer)}).",
        hint="Check that VAULT_ADDR is the address of a Vault server.",
        status_code=answer.status,
    )


def _no_engine(engine: Engine, answer: Response) -> StoreError:
    reason = reasons(answer)
    if "namespace" in reason:
        return StoreError(
            f"The Vault server at {engine.client.address} has no such namespace.",
            hint="Set VAULT_NAMESPACE, or the option namespace, to one that it has.",
            status_code=answer.status,
        )
    mount = engine.path.partition("/")[0]
    return StoreError(
        f"The Vault server at {engine.client.address} has no secrets engine at {mount}/.",
        hint=f"Run `bao secrets enable -path={mount} -version=2 kv`, or correct the store spec.",
        status_code=answer.status,
    )


def _other_engine(engine: Engine, mount: str, kind: str, version: Any) -> StoreError:
    what = f"a KV engine of version {version or 1}" if kind in ("kv", "generic") else f"an engine for {kind}"
    hint = f"Run `bao kv enable-versioning {mount}`" if kind == "kv" else "Name a KV engine of version 2"
    return StoreError(
        f"{mount}/ on the Vault server at {engine.client.address} is {what}; this store needs version 2.",
        hint=f"{hint}, or another mount in the store spec.",
    )
