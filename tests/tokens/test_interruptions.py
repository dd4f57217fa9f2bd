"""Interruptions of a refresh: closing, Ctrl-C, forks, other accounts, tokens that are refused again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import CredentialStore, Record, open_store

from ..conftest import eventually


@pytest.fixture
def store(signed_in: Emulator) -> CredentialStore:
    """Where the credential of the default profile is."""
    return open_store(load_settings().store)


def stored(store: CredentialStore) -> onplan.OAuthCredentials:
    loaded = store.load()
    assert loaded
    assert loaded.record.credentials
    return loaded.record.credentials


def expire(store: CredentialStore) -> onplan.OAuthCredentials:
    """Make the stored access token look expired; gives the credentials."""
    expired = msgspec.structs.replace(stored(store), expires_at=time.time() - 60)
    store.save(Record(credentials=expired), store.load().version)  # type: ignore[union-attr]
    return expired


def refreshes(emulator: Emulator) -> int:
    return len([row for row in emulator.journal() if row["path"] == "/oauth/token"])


async def test_leaving_during_a_refresh_keeps_what_it_brings(
    signed_in: Emulator, store: CredentialStore
) -> None:
    """A program that gives up while a token is refreshed, and closes its client, has the new set stored."""
    before = expire(store)
    signed_in.arm("token_slow", times=1)
    async with onplan.AsyncClient() as client:
        asking = asyncio.ensure_future(client.complete("hi"))
        await asyncio.to_thread(eventually, lambda: refreshes(signed_in))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    assert stored(store).refresh_token != before.refresh_token
    async with onplan.AsyncClient() as client:
        assert (await client.complete("hi")).text == "You said: hi"
    assert refreshes(signed_in) == 1


def test_ctrl_c_during_a_refresh_keeps_what_it_brings(signed_in: Emulator, store: CredentialStore) -> None:
    """Interrupted between the request for a token and its answer, the new set is stored all the same."""
    before = expire(store)
    signed_in.arm("token_slow", times=1, seconds=3.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "onplan", "token"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: refreshes(signed_in))  # until the token has been sent
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, output) == (130, "")
    assert stored(store).refresh_token != before.refresh_token
    assert refreshes(signed_in) == 1


def test_a_replacement_that_is_refused_too_is_replaced(signed_in: Emulator, store: CredentialStore) -> None:
    """When the set that another process stored is refused as well, this one refreshes it."""
    with onplan.Client() as mine, onplan.Client() as other:
        mine.credentials()
        signed_in.expire_access_tokens()
        other.complete("hi")
        signed_in.expire_access_tokens()

        assert mine.complete("hi").text == "You said: hi"


def test_a_turn_stays_with_its_account(signed_in: Emulator, store: CredentialStore) -> None:
    """When another account signs in meanwhile, a turn that began with the old one is not paid by the new."""
    with onplan.Client() as client:
        client.credentials()
        other = msgspec.structs.replace(stored(store), account_id="acct-other", access_token="other")
        store.save(Record(credentials=other), store.load().version)  # type: ignore[union-attr]
        signed_in.expire_access_tokens()

        with pytest.raises(onplan.SignInAgainError, match="Another account"):
            client.complete(onplan.CompletionRequest(messages="hi", model="gpt-5.5"))
        accounts = {row["headers"].get("chatgpt-account-id") for row in signed_in.journal()}
        assert accounts == {"acct-emulated-0001"}
        assert client.credentials().account_id == "acct-other"


def test_a_final_refusal_is_asked_for_once(signed_in: Emulator, store: CredentialStore) -> None:
    """A spent refresh token is not sent again and again."""
    expire(store)
    signed_in.arm("refresh_token_expired", times=99)
    with onplan.Client() as client:
        for _ in range(5):
            with pytest.raises(onplan.SignInAgainError):
                client.credentials()

    assert refreshes(signed_in) == 1


def test_those_who_wait_share_the_failure(signed_in: Emulator, store: CredentialStore) -> None:
    """Threads that waited for a refresh that failed do not each try it again."""
    expire(store)
    signed_in.arm("refresh_token_expired", times=99)
    with onplan.Client() as client, ThreadPoolExecutor(6) as pool:
        outcomes = [pool.submit(client.credentials) for _ in range(6)]
        errors = {type(outcome.exception()) for outcome in outcomes}

    assert errors == {onplan.SignInAgainError}
    assert refreshes(signed_in) == 1


def test_a_link_and_its_target_are_one_credential(tmp_path: Path) -> None:
    """Who comes through a symbolic link locks, and removes, the file that others name directly."""
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    direct = open_store(f"file:{target}")
    direct.save(Record(), None)
    link.symlink_to(target)
    through = open_store(f"file:{link}")

    assert through.describe() == direct.describe()
    through.delete()
    assert direct.load() is None


@pytest.mark.skipif(sys.platform == "win32", reason="of POSIX file systems")
def test_hard_links_are_one_credential(signed_in: Emulator, store: CredentialStore, tmp_path: Path) -> None:
    """Programs that use one file by several names, at once and one after the other, share each refresh."""
    path = Path(store.describe())
    names = [path, tmp_path / "backup.json", tmp_path / "third.json"]
    for name in names[1:]:
        os.link(path, name)
    expire(store)

    def use(name: Path) -> str:
        with onplan.Client(store=f"file:{name}") as client:
            return client.credentials().access_token

    with ThreadPoolExecutor(6) as pool:
        at_once = list(pool.map(use, names * 2))
    assert len(set(at_once)) == 1
    expire(store)
    later = [use(name) for name in names]
    assert len({*later, *at_once}) == 2
    assert refreshes(signed_in) == 2
    assert path.stat().st_nlink == len(names)

    open_store(f"file:{names[1]}").delete()
    assert not names[1].exists()
    for name in (names[0], names[2]):
        loaded = open_store(f"file:{name}").load()
        assert loaded
        assert loaded.record.credentials is None


def test_a_fork_does_not_spend_the_parents_token() -> None:
    """A credential kept in memory is not refreshed in a forked child, which says what to do instead."""
    code = (
        "import os, onplan\n"
        "from onplan.stores import Record\n"
        "from onplan.stores.memory import MemoryStore\n"
        "store = MemoryStore(record=Record())\n"
        "with store.lock():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        with store.lock():\n"
        "            try: store.save(*store.load())\n"
        "            except onplan.StoreError as error: os._exit(0 if 'file:' in error.hint else 2)\n"
        "        os._exit(1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )

    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


_FORK = """
import os, sys, threading, warnings
import onplan
warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried here
client = onplan.Client()
thread = threading.Thread(target=client.credentials)
thread.start()
print("refreshing", flush=True)
sys.stdin.readline()
child = os.fork()
if child == 0:
    client.credentials()
    client.close()
    os._exit(0)
thread.join()
client.close()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_in_the_middle_of_a_refresh(signed_in: Emulator, store: CredentialStore) -> None:
    """A child forked while another thread refreshes waits for no lost thread, and adopts the result."""
    expire(store)
    signed_in.arm("token_slow", times=1)
    process = subprocess.Popen(
        [sys.executable, "-c", _FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    eventually(lambda: refreshes(signed_in))  # until the token has been sent
    process.communicate("fork\n", timeout=60)

    assert process.returncode == 0
    assert refreshes(signed_in) == 1


async def test_a_provider_uses_the_store_it_is_given(signed_in: Emulator, tmp_path: Path) -> None:
    """Credentials handed in are kept in the given store; those that are in it already count."""
    tokens: dict[str, Any] = signed_in.issue_tokens()
    credentials = onplan.OAuthCredentials(
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        account_id="acct-emulated-0001",
        issuer=signed_in.issuer,
    )
    spec = f"file:{tmp_path / 'agent.json'}"
    async with onplan.OpenAICodexProvider(credentials, store=spec) as provider:
        signed_in.expire_access_tokens()
        await provider.complete("hi")
    async with onplan.OpenAICodexProvider(credentials, store=spec) as provider:
        assert (await provider.complete("hi")).text == "You said: hi"

    assert stored(open_store(spec)).refresh_token != credentials.refresh_token
