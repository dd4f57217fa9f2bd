"""A file system on which every file has one mode, whatever one does: WSL's /mnt/c, SMB, exFAT."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.sign_in.login import sign_in_by_pasting
from onplan.stores import Record, open_store

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        not shutil.which("bindfs"),
        reason="bindfs is not installed; `make interop` does that as root on Debian",
    ),
]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a folder whose files all have one mode."""
    folders: list[Path] = []

    def mount(mode: str) -> Path:
        kept, folder = tmp_path / f"kept {mode}", tmp_path / f"mounted {mode}"
        kept.mkdir()
        folder.mkdir()
        options = [f"--perms={mode}", "--chmod-ignore", "--chown-ignore"]
        if subprocess.run(["bindfs", *options, kept, folder], capture_output=True, check=False).returncode:
            pytest.skip("this system lets nobody mount anything")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


def test_a_sign_in_is_refused_before_the_browser(emulator: Emulator, mounted: Callable[[str], Path]) -> None:
    """Where other users could read the file, that is said before a browser is opened, and no file is left."""
    folder = mounted("0777")
    settings = load_settings(store=f"file:{folder / 'sign-in.json'}")
    announced: list[object] = []

    with pytest.raises(onplan.StoreError, match="keeps no modes") as caught:
        sign_in_by_pasting(settings, open_store(settings.store), announced.append, lambda: "")

    assert "--store keyring:" in caught.value.hint
    assert (announced, emulator.journal()) == ([], [])
    assert [path.name for path in folder.iterdir()] == ["sign-in.json.lock"]


def test_a_file_that_is_there_already_can_be_signed_out(
    signed_in: Emulator,
    mounted: Callable[[str], Path],
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The hint does not advise a chmod that changes nothing, and what it advises helps."""
    folder = mounted("0777")
    shutil.copy(load_settings().store.removeprefix("file:"), folder / "sign-in.json")
    store = ["--store", f"file:{folder / 'sign-in.json'}"]

    told = run_cli("status", *store)
    assert told.returncode == 7
    assert "can be read by other users" in told.stderr
    assert "chmod 600" not in told.stderr
    assert "onplan logout --force" in told.stderr

    assert run_cli("logout", "--force", *store).returncode == 0
    assert not (folder / "sign-in.json").exists()


def test_where_one_mode_is_private_it_is_used(mounted: Callable[[str], Path]) -> None:
    """A file system on which every file is its owner's alone is as good as one that keeps modes."""
    store = open_store(f"file:{mounted('0700') / 'sign-in.json'}")
    version = store.save(Record(api_key="sk-example"), None)

    assert store.load() == (Record(api_key="sk-example"), version)


def test_the_codex_clis_file_is_shared_as_the_cli_does(mounted: Callable[[str], Path]) -> None:
    """auth.json is read and written there, as the CLI itself does."""
    store = open_store(f"codex:{mounted('0777')}")
    record = Record(credentials=onplan.OAuthCredentials(access_token="at", refresh_token="rt"))
    store.save(record, None)

    loaded = store.load()
    assert loaded
    assert loaded.record.credentials
    assert loaded.record.credentials.refresh_token == "rt"
