"""Refreshes with full and read-only disks, suspended programs, wrong clocks and lost files."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import lock as locks
from onplan.stores import open_store
from onplan.tokens.manager import TokenManager
from onplan.transports.httpx2_sync import HTTPTransport


@pytest.fixture
def transport() -> Iterator[HTTPTransport]:
    """What reaches the issuer."""
    transport = HTTPTransport()
    yield transport
    transport.close()


def stored(spec: str) -> onplan.OAuthCredentials:
    loaded = open_store(spec).load()
    assert loaded
    assert loaded.record.credentials
    return loaded.record.credentials


def path_of(spec: str) -> Path:
    return Path(spec.removeprefix("file:"))


# --- the store, while the server rotates --------------------------------------------------------------


def _emptied(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(b"")


def _overwritten(path: Path) -> None:
    path.write_bytes(b"\xff{]")


def _rewritten(path: Path) -> None:
    """The same record in other bytes, as an editor or a sync program leaves it."""
    path.write_bytes(msgspec.json.format(path.read_bytes(), indent=7))


@pytest.mark.parametrize("happen", [_emptied, _truncated, _overwritten, _rewritten])
def test_a_store_that_was_lost_meanwhile_gets_the_rotated_set(
    spec: str,
    sign_in: Callable[..., Any],
    transport: HTTPTransport,
    refreshes: Callable[[], list[int]],
    happen: Callable[[Path], None],
) -> None:
    """Emptied, damaged or rewritten between the request for a token and its answer: the answer is kept."""
    before = sign_in()

    def send(request: Any) -> Any:
        answer = transport.fetch(request)
        happen(path_of(spec))
        return answer

    refreshed = TokenManager(
        open_store(spec), load_settings().issuer, send, sleep=lambda seconds: None
    ).credentials()

    assert stored(spec) == refreshed
    assert refreshed.refresh_token != before.refresh_token
    with onplan.Client() as client:
        assert client.complete("hi").text == "You said: hi"
    assert refreshes() == [200]


def test_what_could_not_be_saved_is_saved_when_the_client_closes(
    spec: str, sign_in: Callable[..., Any], transport: HTTPTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """A rotated set that the disk did not take is tried again before the program ends."""
    sign_in()
    inner, broken = open_store(spec), True

    class Store:
        """Refuses everything but the first write until it is repaired."""

        writes = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def save(self, record: Any, version: str | None) -> str:
            self.writes += 1
            if self.writes > 1 and broken:
                raise onplan.StoreError("The disk is full.")
            return inner.save(record, version)

    manager = TokenManager(Store(), load_settings().issuer, transport.fetch, sleep=lambda seconds: None)
    refreshed = manager.credentials()
    assert stored(spec) != refreshed
    assert "exists in this process only" in caplog.text
    broken = False

    manager.drain()

    assert stored(spec) == refreshed


_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def _can_mount() -> bool:
    try:
        tried = subprocess.run(
            [*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return tried.returncode == 0


needs_mount = pytest.mark.skipif(not _can_mount(), reason="this system lets nobody mount a small disk")


def on_a_small_disk(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in whose world ``folder`` is a disk of 64 KiB."""
    folder.mkdir()
    mount = f'mount -t tmpfs -o size=64k,mode=700 none "{folder}"'
    script = f'{mount} && exec "{sys.executable}" -c "$PROGRAM" "{folder}"'
    return subprocess.run(
        [*_NAMESPACE, "sh", "-c", script],
        env={**os.environ, "PROGRAM": program},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


_BEGIN = """
import contextlib, os, subprocess, sys, time
from pathlib import Path
import msgspec, onplan
from onplan.tokens.manager import TokenManager
from onplan.config.settings import load_settings
from onplan.stores import Record, open_store
from onplan.transports.httpx2_sync import HTTPTransport

folder = Path(sys.argv[1])
tokens = msgspec.json.decode(os.environ["TOKENS"])
store = open_store(f"file:{folder / 'credentials.json'}")
store.save(Record(credentials=onplan.OAuthCredentials(
    access_token=tokens["access_token"], refresh_token=tokens["refresh_token"], id_token=tokens["id_token"],
    expires_at=time.time() - 60)), None)

def fill():
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
"""

_FULL_DURING = """
def send(request):
    fill()
    return HTTPTransport().fetch(request)
refreshed = TokenManager(store, load_settings().issuer, send).credentials()
print(store.load().record.credentials == refreshed, sorted(entry.name for entry in folder.iterdir()))
"""

_FULL_BEFORE = """
fill()
try:
    TokenManager(store, load_settings().issuer, HTTPTransport().fetch).credentials()
except onplan.StoreError as error:
    print(error, error.hint)
    (folder / "filler").unlink()
    print(TokenManager(store, load_settings().issuer, HTTPTransport().fetch).credentials().access_token[:3])
"""

_READ_ONLY = """
subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
try:
    TokenManager(store, load_settings().issuer, HTTPTransport().fetch).credentials()
except onplan.StoreError as error:
    print(error, error.hint)
subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
print(TokenManager(store, load_settings().issuer, HTTPTransport().fetch).credentials().access_token[:3])
"""


@pytest.fixture
def tokens(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real tokens for the programs above."""
    monkeypatch.setenv("TOKENS", msgspec.json.encode(emulator.issue_tokens()).decode())


@needs_mount
def test_there_is_room_for_the_rotated_set(
    tokens: None, tmp_path: Path, refreshes: Callable[[], list[int]]
) -> None:
    """A disk that fills up while the server answers takes the rotated set: its room was made beforehand."""
    result = on_a_small_disk(tmp_path / "disk", _BEGIN + _FULL_DURING)

    assert result.stdout == "True ['credentials.json', 'credentials.json.lock', 'filler']\n", result.stderr
    assert refreshes() == [200]


@needs_mount
@pytest.mark.parametrize(
    ("program", "reason"), [(_FULL_BEFORE, "the disk is full"), (_READ_ONLY, "read-only")]
)
def test_a_disk_that_takes_nothing_spends_nothing(
    tokens: None, tmp_path: Path, refreshes: Callable[[], list[int]], program: str, reason: str
) -> None:
    """A full or read-only disk is noticed before the token is spent; once repaired, it is refreshed."""
    result = on_a_small_disk(tmp_path / "disk", _BEGIN + program)

    told, after = result.stdout.splitlines()
    assert reason in told, result.stderr
    assert "run the command again" in told or "--store file:PATH" in told
    assert after == "eyJ"
    assert refreshes() == [200]


# --- others, and the clock ----------------------------------------------------------------------------

_HOLD = """
import sys
from onplan.stores import open_store
with open_store(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def frozen(spec: str, sign_in: Callable[..., Any]) -> Iterator[subprocess.Popen[str]]:
    """A process that is frozen while it holds the store's lock."""
    sign_in()
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, spec], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    yield process
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)


def test_a_frozen_holder_of_the_lock_is_named(
    frozen: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    refreshes: Callable[[], list[int]],
) -> None:
    """With the token expired and the lock held by a frozen program: its number, a command, and nothing spent.

    Once it goes on, so do we.
    """
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 1.0)
    with onplan.Client() as client:
        with pytest.raises(onplan.StoreError) as caught:
            client.credentials()
        assert "locked by" in str(caught.value)
        if Path("/proc/locks").exists():
            assert f"process {frozen.pid}" in str(caught.value)
            assert f"`kill {frozen.pid}`" in caught.value.hint
        assert refreshes() == []
        frozen.send_signal(signal.SIGCONT)
        frozen.communicate(timeout=60)

        client.credentials()
    assert refreshes() == [200]


async def test_a_frozen_holder_does_not_stop_the_loop(
    frozen: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one task waits for the lock of a frozen program the loop serves others."""
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 1.0)
    async with onplan.AsyncClient() as client:
        waiting = asyncio.create_task(client.credentials())
        turns = 0
        while not waiting.done():
            turns += 1
            await asyncio.sleep(0)
        with pytest.raises(onplan.StoreError):
            waiting.result()
    assert turns > 1000


_LEAVE = """
import asyncio, onplan
async def main():
    async with onplan.AsyncClient() as client:
        try:
            await asyncio.wait_for(client.credentials(), 0.2)
        except TimeoutError:
            print("gave up")
asyncio.run(main())
"""


def test_a_program_that_gives_up_waiting_for_the_lock_ends(frozen: subprocess.Popen[str]) -> None:
    """Leaving does not wait for somebody else's lock: the program ends long before the lock's time is up."""
    result = subprocess.run(
        [sys.executable, "-c", _LEAVE],
        capture_output=True,
        text=True,
        timeout=locks.LOCK_TIMEOUT / 3,
        check=False,
    )

    assert (result.returncode, result.stdout) == (0, "gave up\n"), result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_clock_that_is_an_hour_off(
    emulator: Emulator,
    spec: str,
    sign_in: Callable[..., Any],
    transport: HTTPTransport,
    refreshes: Callable[[], list[int]],
    ahead: float,
) -> None:
    """With tokens that last half an hour: fast or slow by an hour, few refreshes, all of them good ones."""
    sign_in()
    emulator.set_access_token_lifetime(1800)
    now = [time.time() + ahead]
    manager = TokenManager(open_store(spec), load_settings().issuer, transport.fetch, now=lambda: now[0])

    for _ in range(30):  # half a minute, a call each second
        manager.credentials()
        now[0] += 1.0

    assert set(refreshes()) <= {200}
    assert len(refreshes()) <= 2
    replaced = manager.replace(manager.credentials().access_token)  # the backend knows better
    assert stored(spec) == replaced


def test_a_clock_that_steps_back_renews_once(
    spec: str, sign_in: Callable[..., Any], transport: HTTPTransport, refreshes: Callable[[], list[int]]
) -> None:
    """Refreshed by a clock that was ahead and is then set right: the token is used as long as it lasts."""
    sign_in(expired=False)
    now = [time.time() + 20 * 86_400]
    manager = TokenManager(open_store(spec), load_settings().issuer, transport.fetch, now=lambda: now[0])
    first = manager.credentials()
    now[0] = time.time()

    assert manager.credentials() == first
    other = TokenManager(open_store(spec), load_settings().issuer, transport.fetch, now=lambda: now[0])
    assert other.credentials() == first
    assert refreshes() == [200]


def test_a_lifetime_of_nothing(
    emulator: Emulator, spec: str, sign_in: Callable[..., Any], refreshes: Callable[[], list[int]]
) -> None:
    """A server that says `expires_in: 0` is not asked again at every call."""
    sign_in()
    emulator.set_access_token_lifetime(0)
    for _ in range(3):
        with onplan.Client() as client:
            client.credentials()
            client.credentials()

    assert refreshes() == [200]


@pytest.fixture
def trickling() -> Iterator[str]:
    """The address of a server that never ends its first header, a byte at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-")
                connection.settimeout(0.05)
                while True:
                    with suppress(TimeoutError):
                        if not connection.recv(65536):
                            return
                    connection.sendall(b"x")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_an_issuer_that_trickles_is_given_up(
    spec: str, sign_in: Callable[..., Any], trickling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token endpoint whose answer never ends is given up as a whole, though it never pauses for long."""
    import onplan.tokens.refresher

    monkeypatch.setattr(onplan.tokens.refresher, "EXCHANGE_SECONDS", 0.5)
    sign_in()
    store = open_store(spec)
    record, version = store.load()  # type: ignore[misc]
    elsewhere = msgspec.structs.replace(record.credentials, issuer=trickling)
    store.save(msgspec.structs.replace(record, credentials=elsewhere), version)
    monkeypatch.setenv("ONPLAN_ISSUER", trickling)
    with (
        onplan.Client() as client,
        pytest.raises(onplan.RefreshOutcomeUnknownError, match="stopped answering"),
    ):
        client.credentials()

    assert stored(spec) == elsewhere
