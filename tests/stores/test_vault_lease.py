"""The lock among machines: it expires by the server's clock, and a late holder does not release another's."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
from contextlib import AbstractContextManager
from typing import Any, cast

import pytest

import onplan
from onplan.stores import Lease, open_store
from onplan.stores.lock import waiting_at_most
from onplan.stores.vault import lease as vault_lease
from onplan.stores.vault.lease import VaultLease, clocks

KEY = "secret/data/onplan/me.lease"


def lock(seconds: int = 1) -> AbstractContextManager[Lease]:
    """That of another machine each time."""
    return cast("AbstractContextManager[Lease]", open_store(f"vault:secret/onplan/me?lease={seconds}").lock())


def holder(vault: Any) -> int | None:
    """The version that has the lock."""
    try:
        return int(vault.api("GET", KEY)["data"]["metadata"]["version"])
    except urllib.error.HTTPError:
        return None


def test_it_passes_on_and_stays_with_whoever_has_it(vault: Any) -> None:
    """Who does not release it loses it when the server's time is up; releasing it then changes nothing."""
    late = lock()
    lost = late.__enter__()
    assert lost.remaining() <= 1

    with lock(60) as lease:
        mine = holder(vault)
        assert lost.remaining() <= 0
        late.__exit__(None, None, None)

        assert holder(vault) == mine is not None
        assert 50 < lease.remaining() <= 60
    assert holder(vault) is None


def test_it_is_the_same_one_further_in(vault: Any) -> None:
    """A thread that has it has it again without asking, and releases it once."""
    store = open_store("vault:secret/onplan/me")
    with store.lock() as lease:
        with store.lock() as again:
            assert again is lease
        assert holder(vault) == 1
    assert holder(vault) is None


@pytest.mark.parametrize("clock", range(len(clocks())))
def test_any_clock_may_end_it(clock: int) -> None:
    """A machine that slept, or whose clock was set, has no time left, whichever clock tells."""
    begun = list(clocks())
    assert 59 < VaultLease(60.0, tuple(begun)).remaining() <= 60
    begun[clock] -= 61

    assert VaultLease(60.0, tuple(begun)).remaining() <= 0


def test_a_clock_that_was_set_back_gains_nothing() -> None:
    """The clock that says the most has passed is believed."""
    begun = (clocks()[0] - 50, clocks()[1] + 3600, *clocks()[2:])

    assert VaultLease(60.0, begun).remaining() <= 10


def test_waiting_ends_with_the_holders_name(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is not released is not waited for without end; host and process say whom to ask."""
    monkeypatch.setattr(vault_lease, "PATIENCE", -0.9)
    vault.api("POST", KEY, {"data": {"host": "elsewhere", "pid": 42}})

    with pytest.raises(onplan.StoreError, match="held by process 42 on elsewhere") as caught:
        lock().__enter__()
    assert "bao kv delete secret/onplan/me.lease" in caught.value.hint
    assert caught.value.code == "store"


def test_whoever_has_less_time_waits_less(vault: Any) -> None:
    """A caller's own limit holds here, too."""
    with lock(60), waiting_at_most(0.05), pytest.raises(onplan.StoreError, match="held by process"):
        lock(60).__enter__()


def test_machines_may_differ_in_their_leases(vault: Any) -> None:
    """Each turn lasts as long as its holder asked for, whatever the last one asked for."""
    for seconds in (60, 20, 40):
        with lock(seconds) as lease:
            assert seconds - 20 < lease.remaining() <= seconds


@pytest.mark.parametrize("wish", ["engine", "secret"])
def test_an_administrators_limit_is_kept(vault: Any, monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    """Where the server ends a turn sooner, and we may not change it, the turn is as long as it says."""
    if wish == "engine":
        vault.api("POST", "secret/config", {"delete_version_after": "30s"})
    else:
        vault.api("POST", "secret/metadata/onplan/me.lease", {"delete_version_after": "30s"})
        with lock(30):
            pass
        policy = 'path "secret/d*" { capabilities = ["create", "read", "update"] }'
        vault.api("PUT", "sys/policies/acl/narrow", {"policy": policy})
        made = vault.api("POST", "auth/token/create", {"policies": ["narrow"]})
        monkeypatch.setenv("VAULT_TOKEN", made["auth"]["client_token"])

    with lock(60) as lease:
        assert 0 < lease.remaining() <= 30
    assert holder(vault) is None


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_fork_has_no_lock(vault: Any) -> None:
    """A child forked by the holder neither has the lock nor gets it; leaving its block changes nothing."""
    done = run(
        "import os, warnings, onplan\n"
        "from onplan.stores import open_store\n"
        "from onplan.stores.lock import waiting_at_most\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"  # the lease has a thread
        "store = open_store('vault:secret/onplan/me?lease=60')\n"
        "held = store.lock()\n"
        "held.__enter__()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    for attempt in range(2):\n"
        "        try:\n"
        "            with waiting_at_most(0.05), store.lock(): os._exit(1)\n"
        "        except onplan.StoreError: pass\n"
        "        if attempt == 0: held.__exit__(None, None, None)\n"
        "    os._exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)\n"
        "os._exit(0)\n"
    )

    assert (done.stdout, done.stderr) == ("0\n", "")
    assert holder(vault) == 1


def test_a_program_that_ends_does_not_wait(vault: Any) -> None:
    """A thread that waits for the lock gives up when its program has nothing else to do."""
    with lock(60):
        done = run(
            "import threading, onplan\n"
            "from onplan.stores import open_store\n"
            "def wait():\n"
            "    try: open_store('vault:secret/onplan/me?lease=60').lock().__enter__()\n"
            "    except onplan.StoreError as error: print(type(error).__name__)\n"
            "threading.Thread(target=wait).start()\n"
        )

    assert (done.stdout, done.stderr) == ("StoreError\n", "")
