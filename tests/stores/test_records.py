"""Records of each schema, and what the stores of each scheme can be used for."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

import onplan
from onplan.backends import ROWS
from onplan.config.store_schemes import CAPABILITIES, Capabilities
from onplan.stores import (
    STORES,
    PendingRefresh,
    Record,
    Stored,
    capabilities_of,
    conflict,
    decode_record,
    encode_record,
    load_twice,
    open_store,
    require_permitted,
    signed_out,
    split_options,
    why_empty,
)
from onplan.stores.memory import MemoryStore

SCHEMA_1 = {
    "schema": 1,
    "credentials": {"access_token": "at", "refresh_token": "rt"},
    "renewed_at": 1_700_000_000.5,
    "pending_refresh": {"fingerprint": "0123456789abcdef", "started_at": 1.0},
    "api_key_for": "https://a.example",
}
REGISTRATION = {"client_id": "oaiapp_1", "issuer": "https://issuer.example"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [({}, "codex"), ({"registration": None}, "codex"), ({"registration": REGISTRATION}, "siwc")],
)
@pytest.mark.parametrize("leave_out", [(), ("schema",)])
def test_a_record_of_schema_1_is_read(
    tmp_path: Path, change: dict[str, Any], kind: str, leave_out: tuple[str, ...]
) -> None:
    """An older onplan's file loads whole; the kind of its issuer follows from the registered client."""
    fields = {name: value for name, value in (SCHEMA_1 | change).items() if name not in leave_out}
    record = decode_record(json.dumps(fields).encode(), "a file")

    assert (record.schema, record.issuer_kind, record.obtained_at) == (2, kind, 1_700_000_000.5)
    assert record.credentials
    assert record.credentials.refresh_token == "rt"
    assert record.pending_refresh == PendingRefresh(fingerprint="0123456789abcdef", started_at=1.0)
    assert record.api_key_for == "https://a.example"
    assert (record.registration is not None) is (kind == "siwc")


def test_the_next_write_is_of_schema_2(tmp_path: Path) -> None:
    """What is saved over an older record has the new names only, and comes back equal."""
    path = tmp_path / "kept.json"
    path.write_text(json.dumps(SCHEMA_1))
    path.chmod(0o600)
    store = open_store(f"file:{path}")
    loaded = store.load()
    assert loaded
    store.save(loaded.record, loaded.version)

    written = json.loads(path.read_text())
    assert (written["schema"], written["issuer_kind"], written["obtained_at"]) == (
        2,
        "codex",
        1_700_000_000.5,
    )
    assert "renewed_at" not in written
    again = store.load()
    assert again
    assert again.record == loaded.record


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": 3, "credentials": "of a shape to come"},
        {"schema": 3, "issuer_kind": "one to come"},
        {"schema": 99},
    ],
)
def test_a_newer_record_is_not_called_damaged(fields: dict[str, Any]) -> None:
    """Whatever a newer onplan has changed: this one says that it is newer, and what to do."""
    with pytest.raises(onplan.StoreError, match="newer onplan") as caught:
        decode_record(json.dumps(fields).encode(), "a file")
    assert not isinstance(caught.value, onplan.StoreDamagedError)
    assert "upgrade" in caught.value.hint


def test_former_names_are_those_of_schema_1() -> None:
    """In a record of this schema they are unknown fields, which are left alone."""
    fields = {"schema": 2, "renewed_at": 5.0, "registration": REGISTRATION}

    record = decode_record(json.dumps(fields).encode(), "a file")
    assert (record.obtained_at, record.issuer_kind) == (None, "codex")


@pytest.mark.parametrize("schema", [True, "2", None, 2.5])
def test_a_schema_that_is_no_number_is_damage(schema: Any) -> None:
    """Only a whole number is a schema."""
    with pytest.raises(onplan.StoreDamagedError):
        decode_record(json.dumps({"schema": schema}).encode(), "a file")


def test_an_unknown_kind_of_issuer_is_damage() -> None:
    """A record of this schema names a kind that there is."""
    with pytest.raises(onplan.StoreDamagedError):
        decode_record(b'{"schema": 2, "issuer_kind": "elsewhere"}', "a file")


@pytest.mark.parametrize(
    "damaged",
    [b'{"schema": 2, "credentials": {"refresh_token": "MARKED', b'{"schema": 9, "api_key": "MARKED"}'],
    ids=["cut", "newer"],
)
def test_the_traceback_of_a_record_that_cannot_be_read_holds_no_secret(damaged: bytes) -> None:
    """Tools that show the variables of each frame show nothing of the content."""
    with pytest.raises(onplan.StoreError) as caught:
        decode_record(damaged, "a file")
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]

    assert frames
    assert [frame.f_code.co_name for frame in frames if "MARKED" in repr(frame.f_locals)] == []


# --- how a record is written and printed -------------------------------------------------------------------

EMPTY = """{
  "schema": 2,
  "issuer_kind": "codex",
  "credentials": null,
  "obtained_at": null,
  "pending_refresh": null,
  "borrowed_from": null,
  "registration": null,
  "unverified": false,
  "api_key": null,
  "api_key_for": null
}
"""


def test_how_a_record_is_written() -> None:
    """As JSON that a person can read, every field of it, with a line end."""
    assert encode_record(Record()).decode() == EMPTY
    assert decode_record(EMPTY.encode(), "a file") == Record()


@pytest.mark.parametrize(
    ("time", "kept"),
    [(0, 0.0), (1_800_000_000.5, 1_800_000_000.5), (-1, None), (1e300, None), (10**25, None)],
)
def test_only_times_of_the_calendar_are_read(time: float, kept: float | None) -> None:
    """Another program's mistake in a time costs that time, and nothing else of the record."""
    written = {"schema": 2, "credentials": {"access_token": "at", "expires_at": time}, "obtained_at": time}
    record = decode_record(json.dumps(written).encode(), "a file")

    assert record.credentials
    assert (record.obtained_at, record.credentials.expires_at) == (kept, kept)
    assert record.credentials.access_token == "at"
    empty = decode_record(json.dumps({"schema": 2, "obtained_at": time}).encode(), "a file")
    assert empty == Record(obtained_at=kept)


FULL = Record(
    issuer_kind="siwc",
    credentials=onplan.OAuthCredentials(access_token="secret-1", refresh_token="secret-2", email="a@b"),
    obtained_at=1.5,
    pending_refresh=PendingRefresh(fingerprint="f", started_at=2.5),
    borrowed_from="env:TOKEN",
    unverified=True,
    api_key="secret-3",
)


def test_how_a_record_is_printed() -> None:
    """Everything but secrets; of a key only whether there is one. The same where rich prints it."""
    assert repr(FULL) == (
        f"Record(issuer_kind='siwc', credentials={FULL.credentials!r}, obtained_at=1.5, "
        "pending_refresh=PendingRefresh(fingerprint='f', started_at=2.5), borrowed_from='env:TOKEN', "
        "registration=None, unverified=True, api_key=…)"
    )
    assert "secret" not in repr(FULL)
    assert "api_key=None" in repr(Record())
    assert FULL.__rich_repr__() == [("credentials", FULL.credentials), ("obtained_at", 1.5)]


def test_what_a_sign_out_leaves() -> None:
    """The registered client, for the next sign-in, and nothing else."""
    registration = decode_record(
        json.dumps(SCHEMA_1 | {"registration": REGISTRATION}).encode(), "a file"
    ).registration
    assert registration

    registered = Record(registration=registration, issuer_kind="siwc", api_key="sk", obtained_at=1.0)
    assert signed_out(registered) == Record(registration=registration, issuer_kind="siwc")
    assert signed_out(FULL) == Record(issuer_kind="siwc")


@pytest.mark.parametrize(
    ("attempts", "sentence"),
    [
        ((), "Another program has changed PLACE meanwhile."),
        ((1,), "Another program has changed PLACE meanwhile."),
        ((2,), "Another program was faster at each of 2 attempts to change PLACE."),
    ],
)
def test_what_is_said_of_another_writer(attempts: tuple[int, ...], sentence: str) -> None:
    """One sentence for a change in between, another for a program that changes it all the time."""
    assert str(conflict("PLACE", *attempts)) == sentence


# --- reading while another program writes ------------------------------------------------------------------


class Reads:
    """A store that is read: each time it gives, or raises, the next of these; and how often it was locked."""

    def __init__(self, *found: Stored | Exception | None) -> None:
        self._found, self.locked = list(found), 0
        self._held = False

    def load(self) -> Stored | None:
        assert self._held is (self.locked > 0)
        found = self._found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    @contextmanager
    def lock(self) -> Iterator[None]:
        self.locked += 1
        self._held = True
        yield
        self._held = False


STORED = Stored(Record(), "1")
DAMAGED = onplan.StoreDamagedError("It is damaged.")


@pytest.mark.parametrize(
    ("found", "expected", "locked"),
    [
        ([STORED], STORED, 0),
        ([None, STORED], STORED, 1),
        ([DAMAGED, STORED], STORED, 1),
        ([None, None], None, 1),
        ([DAMAGED, None], None, 1),
    ],
    ids=["there", "not there yet", "half written", "not there", "damaged, then removed"],
)
def test_what_is_not_there_is_looked_for_again(
    found: list[Stored | Exception | None], expected: Stored | None, locked: int
) -> None:
    """Nothing, or damage, may be a file that is being replaced: it is read again while nobody writes."""
    store = Reads(*found)

    assert load_twice(store.load, store.lock) == expected
    assert store.locked == locked


def test_damage_that_stays_is_an_error() -> None:
    """Damaged while nobody writes is damaged; and a store that cannot be reached is not asked twice."""
    damaged, unreachable = Reads(DAMAGED, DAMAGED), Reads(onplan.StoreError("It is away."))

    with pytest.raises(onplan.StoreDamagedError):
        load_twice(damaged.load, damaged.lock)
    with pytest.raises(onplan.StoreError, match="away"):
        load_twice(unreachable.load, unreachable.lock)
    assert (damaged.locked, unreachable.locked) == (1, 0)


class ExplainingStore(MemoryStore):
    """A store that may hold something else."""

    def why_empty(self) -> str | None:
        return "It holds an API key."


def test_a_store_may_explain_why_it_is_empty() -> None:
    """What it says is used; a store that says nothing is just empty."""
    assert why_empty(ExplainingStore()) == "It holds an API key."
    assert why_empty(MemoryStore()) is None


# --- the specs of stores -----------------------------------------------------------------------------------


def test_a_location_may_have_colons(tmp_path: Path) -> None:
    """Only the first colon of a spec ends the scheme."""
    assert open_store(f"file:{tmp_path}/a:b").describe() == str(tmp_path / "a:b")


@pytest.mark.parametrize("spec", ["file:a\0b", "\0:a", "file:a\0"])
def test_a_spec_has_no_nul(spec: str) -> None:
    """No path and no command can have that character, so the spec is refused."""
    with pytest.raises(onplan.ConfigurationError, match="NUL"):
        open_store(spec)


def test_a_plain_spec_is_for_every_backend() -> None:
    """A file may hold the sign-in of any backend."""
    for row in ROWS:
        assert open_store("file:x", row).describe() == str(Path("x").resolve())


OPTIONS = {"lease": "30", "folder": ""}


@pytest.mark.parametrize(
    ("location", "place", "options"),
    [
        ("a/b", "a/b", OPTIONS),
        ("", "", OPTIONS),
        ("a/b?", "a/b", OPTIONS),
        ("a?lease=5", "a", {**OPTIONS, "lease": "5"}),
        ("a?lease=&folder=x%20y", "a", {"lease": "", "folder": "x y"}),
        ("a?lease=5?6", "a", {**OPTIONS, "lease": "5?6"}),
    ],
)
def test_the_options_of_a_location(location: str, place: str, options: dict[str, str]) -> None:
    """What stands after the question mark replaces defaults, also by nothing."""
    assert split_options("vault", location, OPTIONS) == (place, options)


@pytest.mark.parametrize(("known", "hint"), [(OPTIONS, "lease, folder."), ({}, "none.")])
def test_an_unknown_option_names_those_there_are(known: dict[str, str], hint: str) -> None:
    """A misspelt option is no part of the place."""
    with pytest.raises(
        onplan.ConfigurationError, match="The vault: store has no option called 'leese'"
    ) as caught:
        split_options("vault", "a?leese=5", known)
    assert caught.value.hint == f"Its options are: {hint}"


_ENTRY_POINT = "[onplan.stores]\ntheirs = their_package:TheirStore\n[another.group]\nother = json:loads\n"
_PACKAGE = """
from onplan.config.store_schemes import Capabilities
from onplan.stores.memory import MemoryStore

class TheirStore(MemoryStore):
    capabilities = Capabilities(not_for_local_sign_ins="it is theirs")

    def __init__(self, location):
        super().__init__()
        self.location = location
"""


@pytest.fixture
def their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package that adds a scheme."""
    metadata = tmp_path / "site" / "their_package-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(_ENTRY_POINT)
    (metadata.parent / "their_package.py").write_text(_PACKAGE)
    monkeypatch.syspath_prepend(metadata.parent)
    yield
    sys.modules.pop("their_package", None)


@pytest.mark.usefixtures("their_package")
def test_another_package_adds_a_scheme() -> None:
    """Its store is opened with the location, and is asked what it can be used for."""
    store: Any = open_store("theirs:here")

    assert (type(store).__name__, store.location) == ("TheirStore", "here")
    assert capabilities_of("theirs:here").not_for_local_sign_ins == "it is theirs"
    with pytest.raises(onplan.ConfigurationError, match="is not kept in theirs: it is theirs"):
        open_store("theirs:here", LOCAL_ONLY)


@pytest.mark.usefixtures("their_package")
def test_an_unknown_scheme_names_all_there_are() -> None:
    """Ours and those of other packages; what they add elsewhere is no store."""
    with pytest.raises(onplan.ConfigurationError, match="no credential store called 'other'") as caught:
        open_store("other:here")
    assert caught.value.hint == f"Use one of: {', '.join(f'{name}:' for name in [*STORES, 'theirs'])}."


# --- what stores can be used for -------------------------------------------------------------------------

(LOCAL_ONLY,) = (row for row in ROWS if row.local_stores_only)


class RemoteStore(MemoryStore):
    """Another package's, which says that it is on a server."""

    capabilities = Capabilities(shareable=True, not_for_local_sign_ins="it is on a server")


class SilentStore(MemoryStore):
    """Another package's, which says nothing."""

    capabilities = None  # type: ignore[assignment]


def test_every_scheme_declares_its_capabilities() -> None:
    """The table that is read without loading a store, and the class of each scheme, say the same."""
    assert CAPABILITIES.keys() == STORES.keys()
    for scheme, target in STORES.items():
        module, _, name = target.partition(":")
        found = getattr(__import__(module, fromlist=[name]), name)
        assert found.capabilities is CAPABILITIES[scheme] is capabilities_of(f"{scheme}:x")


def test_capabilities_are_known_without_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a store can be used for is told although its library, or the whole module, cannot be loaded."""
    monkeypatch.setitem(cast("dict[str, str]", STORES), "keyring", "no.such.module:Store")

    assert capabilities_of("keyring:").shareable
    with pytest.raises(ModuleNotFoundError):
        open_store("keyring:")


@pytest.mark.parametrize("scheme", ["vault", "codex", "env"])
def test_a_local_sign_in_is_not_kept_elsewhere(scheme: str) -> None:
    """The spec alone is enough to refuse it; the sentence names the scheme and the reason."""
    with pytest.raises(onplan.ConfigurationError) as caught:
        open_store(f"{scheme}:a/b", LOCAL_ONLY)
    assert str(caught.value) == (
        f"A {LOCAL_ONLY.name} sign-in is not kept in {scheme}: {CAPABILITIES[scheme].not_for_local_sign_ins}."
    )


def test_another_packages_store_is_asked_what_it_is() -> None:
    """An object that declares nothing is permitted; one that is on a server is not."""
    require_permitted(SilentStore(), LOCAL_ONLY)
    with pytest.raises(onplan.ConfigurationError, match="is not kept in this store: it is on a server"):
        require_permitted(RemoteStore(), LOCAL_ONLY)
    for row in ROWS:
        if row is not LOCAL_ONLY:
            require_permitted(RemoteStore(), row)
            assert open_store("env:TOKEN", row)


@pytest.mark.parametrize("scheme", ["vault", "codex", "env"])
def test_a_store_object_is_named_by_its_scheme(scheme: str) -> None:
    """A store that a program made itself is refused in the same words as its spec."""

    class Made(MemoryStore):
        capabilities = CAPABILITIES[scheme]

    with pytest.raises(onplan.ConfigurationError, match=f"is not kept in {scheme}: "):
        require_permitted(Made(), LOCAL_ONLY)
