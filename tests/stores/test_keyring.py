"""The keyring store without a system keyring: small entries, failures, and unusable backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring
import pytest

import onplan
from onplan.stores import open_store
from onplan.stores.contract import FIRST, SECOND, StoreContract

from .folder_keyring import LIMIT

HERE = Path(__file__).parent
RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Configure the library, here and in other processes, to use the keyring of that class."""

    def configure(name: str) -> None:
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
        monkeypatch.setattr(keyring.core, "_keyring_backend", None)  # the library asks once

    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    return configure


@pytest.fixture
def folder(tmp_path: Path, choose: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keyring of small entries is in use; this is where it keeps them."""
    folder = tmp_path / "keyring"
    folder.mkdir()
    monkeypatch.setenv("KEYRING_PROPERTY_FOLDER", str(folder))
    choose("folder_keyring.FolderKeyring")
    return folder


def entries(folder: Path) -> dict[str, str]:
    """What the keyring keeps, by service."""
    kept = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return {entry["service"]: entry["password"] for entry in kept}


class TestSmallEntries(StoreContract):
    @pytest.fixture
    def spec(self, folder: Path) -> str:
        return "keyring:work"


def test_a_record_is_cut_into_parts(folder: Path) -> None:
    """No entry is larger than the keyring takes; the parts are one set, and the set before it is gone."""
    store = open_store("keyring:")
    store.save(SECOND, store.save(FIRST, None))

    kept = entries(folder)
    assert sorted(kept) == sorted(["onplan/onplan/b", *(f"onplan/onplan/b{n}" for n in range(len(kept) - 1))])
    assert len(kept) > 8
    assert max(len(text.encode("utf-16-le")) for text in kept.values()) <= LIMIT
    assert {json.loads(path.read_text())["username"] for path in folder.glob("*.json")} == {"onplan"}


def test_names_keep_records_apart(folder: Path) -> None:
    """Each name is a record of its own; without a name it is ``onplan``."""
    open_store("keyring:work").save(FIRST, None)
    open_store("keyring:").save(SECOND, None)

    assert open_store("keyring:work").load().record == FIRST  # type: ignore[union-attr]
    assert open_store("keyring:onplan").load().record == SECOND  # type: ignore[union-attr]
    open_store("keyring:work").delete()
    assert open_store("keyring:").load().record == SECOND  # type: ignore[union-attr]


_KILLED = """
import sys
from onplan.stores import contract, open_store
store = open_store("keyring:")
version = store.load().version
contract.kill_at(int(sys.argv[1]), lambda: store.save(contract.SECOND, version))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_deleting_leaves_nothing_behind(folder: Path) -> None:
    """Wherever a writer was killed, a sign-out removes every entry of both sets."""
    for step in range(40, 400, 60):
        store = open_store("keyring:")
        store.save(FIRST, None)
        subprocess.run([sys.executable, "-c", _KILLED, str(step)], timeout=60, check=False)
        store.delete()
        assert entries(folder) == {}, step


_WRITES = """
import sys, threading
from onplan.stores import contract, open_store
store = open_store("keyring:")
version = store.save(contract.FIRST, None)
enough = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), enough.set())).start()
print("begun", flush=True)
while not enough.is_set():
    version = store.save(contract.SECOND, version)
    version = store.save(contract.FIRST, version)
"""


def test_readers_see_one_record_or_the_other(folder: Path) -> None:
    """While another process replaces the record again and again, it is never missing and never mixed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    writer = subprocess.Popen([sys.executable, "-c", _WRITES], text=True, **pipes)
    assert writer.stdout
    assert writer.stdout.readline() == "begun\n"
    store = open_store("keyring:")
    seen = [store.load() for _ in range(40)]
    writer.communicate(timeout=60)

    assert writer.returncode == 0
    assert {found and found.record.obtained_at for found in seen} <= {FIRST.obtained_at, SECOND.obtained_at}


def test_a_missing_part_is_damage(folder: Path) -> None:
    """A set that has lost a part is an error, not an empty store; a new sign-in may take its place."""
    store = open_store("keyring:")
    store.save(FIRST, None)
    next(
        path for path in folder.glob("*.json") if json.loads(path.read_text())["service"].endswith("3")
    ).unlink()

    with pytest.raises(onplan.StoreDamagedError, match="incomplete") as caught:
        store.load()
    version = store.save(SECOND, caught.value.version)
    assert store.load() == (SECOND, version)
    store.delete()
    assert entries(folder) == {}


def test_a_damaged_header_is_damage(folder: Path) -> None:
    """A header that nobody can read is not an empty store either."""
    store = open_store("keyring:")
    store.save(FIRST, None)
    keyring.set_password("onplan/onplan/a", "onplan", "?")

    with pytest.raises(onplan.StoreDamagedError) as caught:
        store.load()
    store.save(SECOND, caught.value.version)
    assert store.load().record == SECOND  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "trouble", ["ItemNotFoundException", "SecretServiceNotAvailableException", "KeyringError", "OSError"]
)
def test_a_failure_of_a_moment_is_waited_out(folder: Path, trouble: str) -> None:
    """What a keyring does not do at once, it may do when asked again: nobody notices."""
    store = open_store("keyring:")
    Path(folder, "trouble").write_text("\n".join([trouble] * 3))
    version = store.save(FIRST, None)
    Path(folder, "trouble").write_text("\n".join([trouble] * 3))

    assert store.load() == (FIRST, version)
    Path(folder, "trouble").write_text("\n".join([trouble] * 3))
    store.delete()
    assert entries(folder) == {}


LASTING = {
    "KeyringLocked": ("is locked, and was not unlocked", "Unlock it", 1),
    "LockedException": ("is locked", "Unlock it", 1),
    "PromptDismissedException": ("was dismissed", "Unlock it", 1),
    "InitError": ("could not be opened", "Unlock it", 3),
    "SecretServiceNotAvailableException": ("does not answer", "--store file:PATH", 5),
    "ItemNotFoundException": ("failed", "try again", 5),
    "KeyringError": ("failed", "try again", 5),
    "OSError": ("cannot be reached", "--store file:PATH", 5),
    "ValueError": ("failed", "try again", 5),
}


@pytest.mark.parametrize("trouble", LASTING)
def test_a_lasting_failure_is_told_apart(folder: Path, trouble: str) -> None:
    """Locked, dismissed, not there, failing: each has its sentence, and none means that nobody is signed in.

    A person who has dismissed a question is not asked again and again.
    """
    told, hint, asked = LASTING[trouble]
    store = open_store("keyring:")
    store.save(FIRST, None)
    before = 20
    Path(folder, "trouble").write_text("\n".join([trouble] * before))

    with pytest.raises(onplan.StoreError, match=f"system's keyring .*{told}") as caught:
        store.load()
    assert hint in caught.value.hint
    assert not isinstance(caught.value, onplan.StoreDamagedError)
    assert before - len(Path(folder, "trouble").read_text().splitlines()) == asked


def test_whoever_tries_again_may_find_another_failure(folder: Path) -> None:
    """Failing at first and locked then: what it is in the end is told, and not tried again."""
    store = open_store("keyring:")
    Path(folder, "trouble").write_text("\n".join(["OSError", *["KeyringLocked"] * 9]))

    with pytest.raises(onplan.StoreError, match="is locked, and was not unlocked"):
        store.load()
    assert len(Path(folder, "trouble").read_text().splitlines()) == 8


@pytest.mark.parametrize("name", ["folder_keyring.FolderKeyring", "folder_keyring.ForgetfulKeyring"])
def test_a_failure_shows_no_token(folder: Path, choose: Callable[[str], None], name: str) -> None:
    """Neither the error nor the local variables of any frame that it passed has anything of the record."""
    choose(name)
    Path(folder, "trouble").write_text("\n" * 7 + "\n".join(["OSError"] * 9))
    with pytest.raises(onplan.StoreError) as caught:
        open_store("keyring:").save(FIRST, None)

    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [line for line in told.format() if "test_keyring.py" not in line]
    assert len(ours) > 2
    assert "aaaa" not in "".join(ours)


# --- keyrings that are none -------------------------------------------------------------------------------


UNUSABLE = {
    "folder_keyring.PlaintextKeyring": "PlaintextKeyring) stores nothing, or plain text",
    "keyring.backends.null.Keyring": "null.Keyring) stores nothing, or plain text",
    "keyring.backends.fail.Keyring": "fail.Keyring) stores nothing, or plain text",
    "no_such_module.Keyring": "cannot be used (ModuleNotFoundError: No module named 'no_such_module')",
    "folder_keyring.NoSuchKeyring": "cannot be used (AttributeError",
    "keyring.backends.macOS.Keyring": "cannot be used (RuntimeError: macOS required)",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_configured_keyring_that_is_none_is_an_error(
    folder: Path, choose: Callable[[str], None], name: str
) -> None:
    """One that keeps nothing, keeps plain text, or is not there: nothing is read, and nothing is written."""
    if name.endswith("macOS.Keyring") and sys.platform == "darwin":
        pytest.skip("here it is a keyring")
    choose(name)
    store = open_store("keyring:")

    for use in (store.load, lambda: store.save(FIRST, None), store.delete):
        with pytest.raises(onplan.StoreError) as caught:
            use()
        assert UNUSABLE[name] in str(caught.value)
        assert "PYTHON_KEYRING_BACKEND" in caught.value.hint
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there the home folder is found otherwise")
def test_without_a_home_folder_the_hint_is_about_that(
    choose: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library looks for its configuration in the home folder, which some containers have not."""
    import pwd

    def unknown(user: int) -> Any:
        raise KeyError(user)

    for name in ("PYTHON_KEYRING_BACKEND", "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)

    with pytest.raises(onplan.StoreError, match="home directory") as caught:
        open_store("keyring:").load()
    assert caught.value.hint.startswith("Set HOME to a folder.")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a keyring")
def test_without_a_desktop_session_there_is_none(choose: Callable[[str], None], run_cli: RunCli) -> None:
    """Where D-Bus is missing, that is said, with a way out; it does not mean that nobody is signed in."""
    store = open_store("keyring:")

    with pytest.raises(onplan.StoreError, match="DBUS_SESSION_BUS_ADDRESS is unset") as caught:
        store.load()
    assert "--store file:PATH" in caught.value.hint
    result = run_cli("status", "--store", "keyring:")
    assert (result.returncode, result.stdout) == (7, "")
    assert "no keyring here that protects a sign-in" in result.stderr


_CHAIN = """
import sys
import folder_keyring
for name in sys.argv[1:]:
    getattr(folder_keyring, name).viable = True
from onplan.stores import contract, open_store
open_store("keyring:").save(contract.FIRST, None)
"""


@pytest.mark.parametrize("viable", [["FolderKeyring", "PlaintextKeyring"], ["PlaintextKeyring"]])
def test_a_chain_never_ends_in_plain_text(
    folder: Path, choose: Callable[[str], None], viable: list[str]
) -> None:
    """Of a chain of keyrings the ones that keep plain text are passed over, whatever their priority."""
    choose("keyring.backends.chainer.ChainerBackend")
    command = [sys.executable, "-c", _CHAIN, *viable]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode == 0) is ("FolderKeyring" in viable), result.stderr
    assert {json.loads(path.read_text())["keyring"] for path in folder.iterdir()} <= {"FolderKeyring"}


def test_a_keyring_that_keeps_half_is_found_out(folder: Path, choose: Callable[[str], None]) -> None:
    """What it was given is read again before it counts; the record before stays."""
    store = open_store("keyring:")
    version = store.save(FIRST, None)
    choose("folder_keyring.ForgetfulKeyring")

    with pytest.raises(onplan.StoreError, match="did not keep what it was given"):
        store.save(SECOND, version)
    assert store.load() == (FIRST, version)


def test_the_library_may_be_missing() -> None:
    """Without it, the sentence says what to install."""
    code = (
        "import sys, importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'keyring' else find(name, *rest)\n"
        "import onplan; from onplan.stores import open_store\n"
        "try: open_store('keyring:')\n"
        "except onplan.errors.MissingExtraError as error: print(error, error.hint)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert "`keyring`, which is not installed" in result.stdout
    assert "pip install 'onplan[keyring]'" in result.stdout


def test_there_are_no_options(folder: Path) -> None:
    """An option that a person hopes for is refused rather than ignored."""
    with pytest.raises(onplan.ConfigurationError, match="no option called 'backend'"):
        open_store("keyring:work?backend=x")
