"""A real Secret Service, gnome-keyring on a D-Bus of its own: contract, races and kills on `keyring:`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PROGRAMS = ("dbus-run-session", "gnome-keyring-daemon")
TIMEOUT = 300

pytestmark = [
    pytest.mark.interop,
    pytest.mark.stranger("gnome-keyring"),
    pytest.mark.skipif(
        not all(map(shutil.which, PROGRAMS)),
        reason="gnome-keyring and dbus are not installed; `make interop` does that as root on Debian",
    ),
]

_UNLOCK = 'printf %s "$0" | gnome-keyring-daemon --unlock --components=secrets >/dev/null; exec "$@"'

# D-Bus says this when it starts the service: ours has crashed. What comes then is locked.
_CRASHED = "Activating service name='org.freedesktop.secrets'"

RunTests = Callable[..., None]


@pytest.fixture
def run_tests(tmp_path: Path) -> RunTests:
    """Run pytest where the default keyring is a new one, unlocked; more variables may be set.

    Where the service crashed by itself, nothing was learnt, and it is done again with another.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBUS_", "XDG_"))}

    def run_once(
        home: Path, runtime: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        for folder in (home, home / "data"):
            folder.mkdir(mode=0o700)
        own = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "XDG_RUNTIME_DIR": runtime}
        pytest_ = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(
            ["dbus-run-session", "--", "sh", "-c", _UNLOCK, "password", *pytest_],
            env={**kept, **own, "ONPLAN_TEST_SECRET_SERVICE": "password", **variables},
            cwd=TESTS.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def run(*arguments: str, attempts: int = 3, **variables: str) -> None:
        for attempt in range(attempts):
            # The service's sockets are below it, whose paths may have 107 bytes at most (unix(7)).
            with tempfile.TemporaryDirectory(prefix="onplan-", dir="/tmp") as runtime:
                done = run_once(tmp_path / f"home-{attempt}", runtime, *arguments, **variables)
            if done.returncode == 0 or _CRASHED not in done.stderr:
                break
        summary = done.stdout[-4000:]
        assert done.returncode == 0, summary + done.stderr[-4000:]
        assert " passed" in summary
        assert "skipped" not in summary

    return run


def test_the_store_keeps_its_contract(run_tests: RunTests) -> None:
    """StoreContract, readers and writers at once: all as with the other stores."""
    run_tests(str(TESTS / "stores" / "test_keyring_service.py"))


def test_a_keyring_that_is_locked_or_hangs(run_tests: RunTests) -> None:
    """It is told apart from an empty one. On its own bus, for its tests end the service themselves."""
    run_tests(str(TESTS / "stores" / "test_keyring_locked.py"), attempts=1)


def test_one_refresh_however_many_want_it(run_tests: RunTests) -> None:
    """Many processes race for a token that is kept there: one refresh each time, nobody is signed out."""
    run_tests(str(TESTS / "tokens" / "test_races.py"), ONPLAN_TEST_STORE="keyring:race")


def test_killed_between_any_two_steps_of_a_refresh(run_tests: RunTests) -> None:
    """As for the other stores: signed in wherever the server leaves a way."""
    run_tests(str(TESTS / "tokens" / "test_kills.py"), ONPLAN_TEST_STORE="keyring:kills")


def test_the_other_sign_in_is_kept_there_as_well(run_tests: RunTests) -> None:
    """Races and kills on Sign in with ChatGPT, whose registration and verification are kept with it."""
    proofs = [str(TESTS / "tokens" / name) for name in ("test_races.py", "test_kills.py")]
    run_tests(*proofs, ONPLAN_TEST_STORE="keyring:plan", ONPLAN_TEST_BACKEND="chatgpt-plan")
