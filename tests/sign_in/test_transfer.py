"""Exports and imports, two at once and killed between any two steps: never two copies in use."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.settings import Settings, load_settings
from onplan.emulator import Emulator
from onplan.sign_in import exported_file
from onplan.sign_in import transfer as moving
from onplan.stores import CredentialStore, open_store

Run = Callable[..., subprocess.CompletedProcess[str]]


def token_in(place: CredentialStore | Path) -> str | None:
    """The refresh token that a store or a file holds."""
    if isinstance(place, Path):
        place = open_store(f"file:{place}")
    loaded = place.load()
    return loaded.record.credentials.refresh_token if loaded and loaded.record.credentials else None


def settings_of(profile: str) -> tuple[Settings, CredentialStore]:
    settings = load_settings(profile=profile)
    return settings, open_store(settings.store)


@pytest.fixture
def moved(signed_in: Emulator, tmp_path: Path) -> Path:
    """A file into which the sign-in was moved."""
    settings, store = load_settings(), open_store(load_settings().store)
    (tmp_path / "to go").mkdir()
    moving.export_credential(settings, store, tmp_path / "to go" / "moved.json")
    return tmp_path / "to go" / "moved.json"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "onplan", "credentials", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_imports_at_once(moved: Path) -> None:
    """Of imports of one file into several profiles one succeeds; the others find no file."""
    expected = token_in(moved)
    processes = [start("import", str(moved), "--profile", f"p{number}") for number in range(4)]
    errors = [process.communicate(timeout=60)[1] for process in processes]

    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 3, 3, 3], errors
    assert all("There is no file" in errors[number] for number in range(4) if codes[number])
    holding = [number for number in range(4) if token_in(settings_of(f"p{number}")[1]) == expected]
    assert holding == [codes.index(0)]
    assert list(moved.parent.iterdir()) == []


def test_two_exports_at_once(signed_in: Emulator, tmp_path: Path) -> None:
    """Of exports of one sign-in into several files one succeeds; the others are not signed in."""
    processes = [start("export", str(tmp_path / f"{number}.json")) for number in range(4)]
    errors = [process.communicate(timeout=60)[1] for process in processes]

    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 3, 3, 3], errors
    assert [path.name for path in tmp_path.glob("*.json")] == [f"{codes.index(0)}.json"]


def test_without_hard_links_an_export_is_a_new_file_all_the_same(
    signed_in: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems have none, such as FAT: the file is claimed, then replaced; one that exists stays."""

    def link(*arguments: Any, **options: Any) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", link)
    settings, store = settings_of("default")
    token = token_in(store)
    taken, target = tmp_path / "taken.json", tmp_path / "moved.json"
    taken.write_text("mine")

    with pytest.raises(onplan.ConfigurationError, match="exists already"):
        moving.export_credential(settings, store, taken)
    assert (taken.read_text(), token_in(store)) == ("mine", token)

    moving.export_credential(settings, store, target)
    assert (token_in(target), token_in(store)) == (token, None)
    assert sorted(entry.name for entry in tmp_path.glob("*.json")) == ["moved.json", "taken.json"]


def test_an_import_that_is_refused_leaves_the_file_where_it_was(moved: Path) -> None:
    """Where the profile is signed in already, the file keeps its name, its content and its mode."""
    settings, store = settings_of("other")
    before, content = moved.stat().st_mode, moved.read_bytes()
    with moving.claim(moved, "other", store) as claimed:
        moving.import_credential(settings, store, exported_file.read(claimed))
        kept = exported_file.read(claimed)
        exported_file.discard(claimed)
    settings.home.mkdir(exist_ok=True)
    moved.write_bytes(content.replace(token_in(store).encode(), b"another"))  # type: ignore[union-attr]
    moved.chmod(0o600)
    with (
        pytest.raises(onplan.ConfigurationError, match="is signed in already"),
        moving.claim(moved, "other", store) as claimed,
    ):
        moving.import_credential(settings, store, exported_file.read(claimed))

    assert (moved.stat().st_mode, token_in(moved)) == (before, "another")
    assert [entry.name for entry in moved.parent.iterdir()] == ["moved.json"]
    assert token_in(store) == kept.credentials.refresh_token  # type: ignore[union-attr]


def test_an_interrupted_import_is_not_begun_for_another_profile(moved: Path, run_cli: Run) -> None:
    """The error names the command that finishes it, and that does; the file may be gone by then."""
    expected = token_in(moved)
    moved.rename(exported_file.claimed(moved, "first"))  # as a killed import leaves it
    refused = run_cli("credentials", "import", str(moved), "--profile", "second")

    assert refused.returncode == 2
    assert "into the profile first was interrupted" in refused.stderr
    assert "--profile first" in refused.stderr
    finished = run_cli("credentials", "import", str(moved), "--profile", "first")
    assert finished.returncode == 0, finished.stderr
    assert token_in(settings_of("first")[1]) == expected
    assert token_in(settings_of("second")[1]) is None


def test_an_export_goes_over_no_file(signed_in: Emulator, tmp_path: Path) -> None:
    """A file, or a link that leads nowhere, is not replaced, and the sign-in stays where it was."""
    settings, store = load_settings(), open_store(load_settings().store)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(onplan.ConfigurationError, match="exists already"):
            moving.export_credential(settings, store, tmp_path / name)
    assert token_in(store)
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith((".f", ".l"))) == []


_KILL = """
import json, os, sys
from pathlib import Path
from onplan.sign_in import exported_file
from onplan.sign_in import transfer as moving
from onplan.config.settings import load_settings
from onplan.stores import open_store
from onplan.stores.contract import kill_at

where = Path(sys.argv[1])
settings = load_settings()
store = open_store(settings.store)

def export():
    moving.export_credential(settings, store, where)

def import_():
    with moving.claim(where, settings.profile, store) as claimed:
        moving.import_credential(settings, store, exported_file.read(claimed))
        exported_file.discard(claimed)

def killed(step, work):
    child = os.fork()
    if child == 0:
        kill_at(step, work)
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0

def has(place):
    loaded = place.load()
    return bool(loaded and loaded.record.credentials)

def in_use():
    kept = has(store)
    shown = where.exists() and has(open_store(f"file:{where}"))
    return [kept, shown]

export(); import_()  # so that every module is loaded
seen, step = [], 0
while True:
    before = in_use()
    work = export if before[0] else import_
    dead = killed(step, work)
    between = in_use()
    try:
        work()
        again = "done"
    except Exception as error:
        again = type(error).__name__
    seen.append([before, between, again, in_use(), dead])
    if not dead and not before[0]:
        break
    if not before[0]:
        step += 1
    if in_use() == before:  # it was refused as done already
        break
print(json.dumps(seen))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_killed_between_any_two_steps(signed_in: Emulator, tmp_path: Path) -> None:
    """Wherever an export or import is killed, the same command finishes it; two copies are never in use."""
    result = subprocess.run(
        [sys.executable, "-c", _KILL, str(tmp_path / "moved.json")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    seen: list[Any] = json.loads(result.stdout)
    for number, (before, between, again, after, dead) in enumerate(seen):
        assert sum(between) <= 1, (number, before, between)
        assert sum(after) == 1, (number, before, between, again, after)
        if between == before and dead:
            assert again == "done", number
    assert len([row for row in seen if row[4]]) > 30, seen


class _Halt(BaseException):
    """Comes at any step, as Ctrl-C does."""


def halted(step: int, work: Callable[[], object]) -> bool:
    """Do ``work`` until its line number ``step`` in onplan; whether it came so far."""
    left, source, met = step, str(Path(onplan.__file__).parent), False

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left, met
        if not frame.f_code.co_filename.startswith(source):
            return None
        if event == "line":
            left -= 1
            if left == -1:
                met = True
                raise _Halt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except _Halt:
        pass
    finally:
        sys.settrace(before)
    return met


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupted_at_any_line(signed_in: Emulator, tmp_path: Path) -> None:
    """Whatever cuts an export or import short, never both places have the sign-in; repeated, it moves it."""
    settings, where = load_settings(), tmp_path / "to go" / "moved.json"
    where.parent.mkdir()

    def export() -> None:
        moving.export_credential(settings, open_store(settings.store), where)

    def import_() -> None:
        store = open_store(settings.store)
        with moving.claim(where, settings.profile, store) as claimed:
            moving.import_credential(settings, store, exported_file.read(claimed))
            exported_file.discard(claimed)

    def places() -> tuple[bool, bool]:
        return bool(token_in(open_store(settings.store))), where.exists() and bool(token_in(where))

    for work, back, before in ((export, import_, (True, False)), (import_, export, (False, True))):
        for step in count():
            if places() != before:
                back()
            assert places() == before
            met = halted(step, work)
            assert places() != (True, True), (work.__name__, step)
            if places() in (before, (False, False)):
                work()
            assert places() == (before[1], before[0]), (work.__name__, step)
            left = [entry.name for entry in where.parent.iterdir() if not entry.name.endswith(".lock")]
            assert left == [where.name] * before[0], (work.__name__, step)
            if not met:
                assert step > 100
                break


def test_what_a_killed_import_left_is_not_taken_for_another_file(moved: Path, run_cli: Run) -> None:
    """Under the same name another sign-in comes: the old copy is removed if it is in use, else named."""
    settings, store = settings_of("other")
    left = exported_file.claimed(moved, "other")
    old = exported_file.read(moved)
    left.write_bytes(moved.read_bytes())
    left.chmod(0o600)
    moved.write_bytes(moved.read_bytes().replace(old.credentials.refresh_token.encode(), b"newer"))  # type: ignore[union-attr]
    refused = run_cli("credentials", "import", str(moved), "--profile", "other")

    assert refused.returncode == 2
    assert f"rm {shlex.quote(str(left))}" in refused.stderr
    assert (token_in(moved), token_in(store)) == ("newer", None)

    moving.import_credential(settings, store, old)
    taken = run_cli("credentials", "import", str(moved), "--profile", "other", "--force")
    assert taken.returncode == 0, taken.stderr
    assert token_in(store) == "newer"
    assert list(moved.parent.iterdir()) == []


def test_a_link_that_leads_in_a_circle_is_told(signed_in: Emulator, tmp_path: Path, run_cli: Run) -> None:
    """As a file to import from, and as one to export into."""
    link = tmp_path / "link.json"
    link.symlink_to(link)
    refused = run_cli("credentials", "import", str(link), "--profile", "other")
    assert (refused.returncode, "in a circle" in refused.stderr) == (7, True), refused.stderr
    exported = run_cli("credentials", "export", str(link))
    assert (exported.returncode, "exists already" in exported.stderr) == (2, True), exported.stderr
    assert token_in(open_store(load_settings().store))


def test_sign_ins_without_a_refresh_token_are_told_apart(moved: Path) -> None:
    """One that is kept already is not taken for the one that comes."""
    settings, store = settings_of("other")
    record = exported_file.read(moved)
    first, second = (
        msgspec.structs.replace(
            record,
            credentials=msgspec.structs.replace(record.credentials, refresh_token=None, access_token=token),
        )
        for token in ("first", "second")
    )
    moving.import_credential(settings, store, first)
    moving.import_credential(settings, store, first)
    with pytest.raises(onplan.ConfigurationError, match="is signed in already"):
        moving.import_credential(settings, store, second)
