"""Helper programs: real scripts that store the record, fail, hang, disappear, and outlive their caller."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import onplan
from onplan.config.store_spec import rooted_spec
from onplan.stores import open_store
from onplan.stores.contract import FIRST, SECOND
from onplan.stores.lock import waiting_at_most

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the helpers here are shell scripts")

ROOT = Path(__file__).parents[2]
KEEPS = """
for verb; do :; done
case "$verb" in
  get) [ ! -e "$1" ] || cat "$1" ;;
  store) cat >"$1.new" && mv "$1.new" "$1" ;;
  erase) rm -f "$1" ;;
esac
"""

Helper = Callable[[str], str]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where helpers keep the record: their first argument."""
    return tmp_path / "kept"


@pytest.fixture
def helper(tmp_path: Path, kept: Path) -> Helper:
    """Write a shell script; gives the store spec."""

    def write(script: str) -> str:
        path = tmp_path / "my helper"
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)
        return f"command:'{path}' '{kept}'"

    return write


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def test_the_record_travels_by_pipes(helper: Helper, kept: Path, tmp_path: Path) -> None:
    """Arguments are the spec's, and one word; the record is one line of JSON on standard input."""
    seen = tmp_path / "seen"
    store = open_store(helper(f'printf "<%s>" "$@" >>"{seen}"; echo >>"{seen}"\n{KEEPS}') + ' "a  b" c\\ d')

    store.save(FIRST, None)

    lines = seen.read_text().splitlines()
    assert [line.removeprefix(f"<{kept}><a  b><c d>") for line in lines] == ["<get>", "<store>"]
    assert kept.read_text().count("\n") == 1


@pytest.mark.parametrize("script", ["", "echo", "cat"])
def test_nothing_printed_is_nothing_stored(helper: Helper, script: str) -> None:
    """Success without output means that nobody is signed in; standard input is empty there."""
    assert open_store(helper(script)).load() is None


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "failed with exit code 3 (get)"),
        ("cat /does/not/exist 2>/dev/null", "failed with exit code 1 (get)"),
        ("kill -9 $$", "was ended by signal 9 (get)"),
    ],
)
def test_a_failure_is_not_an_empty_store(helper: Helper, script: str, told: str) -> None:
    """A helper that fails is an error that says how, for reading and for writing."""
    store = open_store(helper(script))

    with pytest.raises(onplan.StoreError) as caught:
        store.load()
    assert told in str(caught.value)
    assert "run it yourself" in caught.value.hint
    for change in (lambda: store.save(FIRST, None), store.delete):
        with pytest.raises(onplan.StoreError):
            change()


def test_a_failure_shows_no_token(helper: Helper) -> None:
    """Neither the error nor the local variables of any frame that it passed has anything of the record."""
    for script in (KEEPS.replace("store) ", "store) false; exit 3; "), "echo 'access-aaaaaa'"):
        with pytest.raises(onplan.StoreError) as caught:
            open_store(helper(script)).save(FIRST, None)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours = [line for line in told.format() if "test_command.py" not in line]
        assert len(ours) > 2
        assert "aaaa" not in "".join(ours)


def test_who_cannot_be_started_is_told_apart(helper: Helper, tmp_path: Path) -> None:
    """No such program, one without permission, and a script without its first line: three sentences."""
    spec = helper("")
    path = tmp_path / "my helper"
    path.write_text("exit 0")
    with pytest.raises(onplan.StoreError, match="could not be started: exec format error") as caught:
        open_store(spec).load()
    assert "#!/bin/sh" in caught.value.hint
    path.chmod(0o644)
    with pytest.raises(onplan.StoreError, match="could not be started: permission denied"):
        open_store(spec).load()
    path.unlink()
    with pytest.raises(onplan.StoreError, match="was not found") as caught:
        open_store(spec).load()
    assert "full path" in caught.value.hint
    with pytest.raises(onplan.StoreError, match="The helper program onplan-no-such-helper was not found"):
        open_store("command:onplan-no-such-helper").load()


def test_what_it_says_reaches_the_person(helper: Helper, capfd: pytest.CaptureFixture[str]) -> None:
    """Its stderr is ours."""
    open_store(helper("echo 'Touch your key, please.' >&2")).load()

    assert capfd.readouterr().err == "Touch your key, please.\nTouch your key, please.\n"


_ON_A_TERMINAL = """
import os, sys
from onplan.config.store_spec import rooted_spec
from onplan.stores import open_store
open_store(sys.argv[1]).load()
print(os.getsid(0))
"""


@pytest.mark.parametrize("on_terminal", [True, False])
def test_it_may_ask_through_the_terminal(helper: Helper, tmp_path: Path, on_terminal: bool) -> None:
    """Where there is a terminal, it stays in the session that has it; otherwise it gets one of its own."""
    seen = tmp_path / "seen"
    spec = helper(f'"{sys.executable}" -c "import os; print(os.getsid(0))" >"{seen}"')
    ours, theirs = os.openpty()
    try:
        process = subprocess.run(
            [sys.executable, "-c", _ON_A_TERMINAL, spec],
            stdout=subprocess.PIPE,
            stderr=theirs if on_terminal else subprocess.PIPE,
            timeout=60,
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert (seen.read_text() == process.stdout.decode()) is on_terminal


def test_garbage_is_damage(helper: Helper, kept: Path) -> None:
    """What is no record is an error that shows nothing of it; who knows its version may replace it."""
    store = open_store(helper(KEEPS))
    kept.write_text("hunter2 is my password")

    with pytest.raises(onplan.StoreDamagedError) as caught:
        store.load()
    assert "hunter2" not in str(caught.value) + caught.value.hint
    with pytest.raises(onplan.StoreConflictError):
        store.save(FIRST, None)
    version = store.save(FIRST, caught.value.version)
    assert store.load() == (FIRST, version)


def test_the_layout_of_the_json_is_the_helpers_own(helper: Helper, kept: Path) -> None:
    """A helper that indents what it keeps, or leaves out the line's end, changes no version."""
    store = open_store(helper(KEEPS.replace('cat "$1"', f'"{sys.executable}" -m json.tool "$1"')))
    version = store.save(FIRST, None)

    assert store.load() == (FIRST, version)
    assert store.load() == (FIRST, store.save(FIRST, version))


@pytest.mark.parametrize("shown", ["", "head -c 50 '{}'"])
def test_a_file_that_is_being_replaced_is_read_again(helper: Helper, kept: Path, shown: str) -> None:
    """What is empty or cut for a moment, because another process writes it, is looked at once more."""
    script = f'if rm "$1.busy" 2>/dev/null; then {shown.format(kept)}\n exit 0; fi\n{KEEPS}'
    store = open_store(helper(script))
    version = store.save(FIRST, None)
    Path(f"{kept}.busy").touch()

    assert store.load() == (FIRST, version)
    assert not Path(f"{kept}.busy").exists()


def test_who_takes_too_long_is_ended(helper: Helper, tmp_path: Path) -> None:
    """At the deadline a helper is ended, with all that it has started, also if it will not go."""
    alive = fifo(tmp_path / "alive")
    reading = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    store = open_store(helper(f"trap '' TERM; exec 9>'{alive}'; sleep 300 & sleep 300"))
    try:
        with waiting_at_most(0.2), pytest.raises(onplan.StoreError, match="did not end within 0 seconds"):
            store.load()
        select.select([reading], [], [], 60)
        assert os.read(reading, 1) == b""  # everybody who had it open is gone
    finally:
        os.close(reading)


_SAVE = """
import sys
from onplan.stores import contract, open_store
open_store(sys.argv[1]).save(contract.SECOND, sys.argv[2])
"""


def test_what_a_survivor_stores_is_seen(helper: Helper, kept: Path, tmp_path: Path) -> None:
    """When its caller is killed while a helper stores, the next one waits for it and sees what it stored."""
    started, go_on = fifo(tmp_path / "started"), fifo(tmp_path / "go on")
    store = open_store(helper(KEEPS))
    version = store.save(FIRST, None)
    slow = KEEPS.replace("store) ", f"store) echo >'{started}'; read line <'{go_on}'; ")
    spec = helper(slow)
    caller = subprocess.Popen([sys.executable, "-c", _SAVE, spec, version])
    started.read_text()
    caller.kill()
    caller.wait(timeout=60)

    with waiting_at_most(0.2), pytest.raises(onplan.StoreError, match="still runs"), store.lock():
        pass
    go_on.write_text("\n")
    with store.lock():
        assert store.load().record == SECOND  # type: ignore[union-attr]


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Path]:
    """A file for the numbers of processes that helpers leave running; afterwards they are ended."""
    path = tmp_path / "agents"
    yield path
    for number in path.read_text().split():
        os.kill(int(number), signal.SIGKILL)


def test_what_a_helper_leaves_running_holds_up_nobody(helper: Helper, agents: Path) -> None:
    """An agent that a helper starts, and that stays, keeps no lock."""
    store = open_store(helper(f"{KEEPS}\nsleep 300 <&- >&- 2>&- & echo $! >>'{agents}'"))
    version = store.save(FIRST, None)

    with waiting_at_most(5), store.lock():
        assert store.load() == (FIRST, version)


@pytest.fixture
def gpg_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key of somebody who types no passphrase; the folder's name is short, for sockets are in it."""
    with tempfile.TemporaryDirectory() as home:
        monkeypatch.setenv("GNUPGHOME", home)
        me = ["--passphrase", "", "--quick-generate-key", "me@example.com", "future-default", "default", "0"]
        subprocess.run(["gpg", "--batch", "--quiet", *me], capture_output=True, timeout=120, check=True)
        yield
        subprocess.run(["gpgconf", "--kill", "all"], timeout=60, check=True)


@pytest.mark.skipif(not shutil.which("gpg"), reason="GnuPG is not installed")
def test_the_helper_of_the_docs_encrypts(tmp_path: Path, kept: Path, gpg_home: None) -> None:
    """The one for GnuPG keeps the record, encrypted, and forgets it."""
    page = (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")
    path = tmp_path / "onplan-gpg"
    path.write_text(re.findall(r"^```sh\n(#!/bin/sh.*?)^```$", page, re.MULTILINE | re.DOTALL)[0])
    path.chmod(0o755)
    store = open_store(f"command:'{path}' '{kept}'")

    assert store.load() is None
    version = store.save(SECOND, store.save(FIRST, None))
    with waiting_at_most(5), store.lock():  # the agent that gpg has started holds up nobody
        assert store.load() == (SECOND, version)
    assert b"access" not in kept.read_bytes()
    store.delete()
    assert store.load() is None
    assert not kept.exists()


@pytest.mark.parametrize("location", ["", "  ", "'unclosed", "~nobody-of-that-name/helper"])
def test_the_command_must_be_one(location: str) -> None:
    """Nothing, and a quote that is never closed, are refused before anything is run."""
    with pytest.raises(onplan.ConfigurationError, match="a program and its arguments"):
        open_store(f"command:{location}")


def test_a_helper_in_this_folder_is_that_one(
    helper: Helper, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`./helper` is the one here, whatever PATH has under that name, and stays it in another folder."""
    helper(KEEPS)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = elsewhere / "my helper"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(elsewhere), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)

    store = open_store(f"command:'./my helper' '{kept}'")
    monkeypatch.chdir(elsewhere)
    store.save(FIRST, None)
    assert kept.exists()


def test_a_remembered_helper_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a sign-in remembers names the program by its whole path; one from PATH keeps its bare name."""
    monkeypatch.chdir(tmp_path)

    assert rooted_spec("command:./h 'a b'") == f"command:{shlex.quote(str(tmp_path / 'h'))} 'a b'"
    assert rooted_spec("command:pass-onplan x") == "command:pass-onplan x"
