"""The token manager against the emulator: one refresh however many ask, and failures that lose nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.settings import Settings, load_settings
from onplan.emulator import Emulator
from onplan.stores import CredentialStore, Record, open_store
from onplan.tokens.manager import TokenManager
from onplan.transports.httpx2_sync import HTTPTransport


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def settings(signed_in: Emulator) -> Settings:
    """Of the profile that is signed in."""
    return load_settings()


@pytest.fixture
def store(settings: Settings) -> CredentialStore:
    """Where its credential is."""
    return open_store(settings.store)


@pytest.fixture
def clock() -> Clock:
    """The token manager's clock."""
    return Clock()


@pytest.fixture
def transport() -> Iterator[HTTPTransport]:
    """What reaches the issuer."""
    transport = HTTPTransport()
    yield transport
    transport.close()


@pytest.fixture
def make_manager(settings: Settings, clock: Clock, transport: HTTPTransport) -> Callable[[], TokenManager]:
    """Token managers that share nothing but the store, as processes do."""

    def make() -> TokenManager:
        return TokenManager(
            open_store(settings.store),
            settings.issuer,
            transport.fetch,
            now=clock,
            sleep=lambda seconds: None,
        )

    return make


def refreshes(emulator: Emulator) -> int:
    return len([row for row in emulator.journal() if row["path"] == "/oauth/token"])


def stored(store: CredentialStore) -> onplan.OAuthCredentials:
    loaded = store.load()
    assert loaded
    assert loaded.record.credentials
    return loaded.record.credentials


LIFETIME = 864_000.0


def test_a_fresh_token_is_used_as_it_is(
    signed_in: Emulator, make_manager: Callable[[], TokenManager], store: CredentialStore
) -> None:
    """A token that lasts is handed out without a request; once cached, without a look at the store."""
    manager = make_manager()
    first = manager.credentials()
    store.delete()

    assert manager.credentials() is first
    assert refreshes(signed_in) == 0


@pytest.mark.parametrize(("left", "expected"), [(360, 0), (240, 1), (-60, 1)])
def test_the_margin_is_five_minutes(
    signed_in: Emulator, make_manager: Callable[[], TokenManager], clock: Clock, left: float, expected: int
) -> None:
    """With six minutes left nothing happens; with four, or expired, the token is refreshed."""
    clock.ahead = LIFETIME - left

    make_manager().credentials()

    assert expected == refreshes(signed_in)


def test_the_rotated_set_is_kept(
    signed_in: Emulator, make_manager: Callable[[], TokenManager], store: CredentialStore, clock: Clock
) -> None:
    """What a refresh gave is in the store, whole, and who signed in is still known."""
    before = stored(store)
    clock.ahead = LIFETIME

    refreshed = make_manager().credentials()

    after = stored(store)
    assert after == refreshed
    assert after.access_token != before.access_token
    assert after.refresh_token != before.refresh_token
    assert (after.email, after.plan, after.account_id) == (before.email, before.plan, before.account_id)
    assert store.load().record.pending_refresh is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "fault", ["token_no_refresh_token", "token_no_id_token", "token_only_access_token", "token_no_expires_in"]
)
def test_what_the_answer_leaves_out_is_kept(
    signed_in: Emulator,
    make_manager: Callable[[], TokenManager],
    store: CredentialStore,
    clock: Clock,
    fault: str,
) -> None:
    """A refresh may answer with less than everything; the rest stays as it was."""
    before = stored(store)
    clock.ahead = LIFETIME
    signed_in.arm(fault, times=1)

    refreshed = make_manager().credentials()

    assert refreshed.access_token != before.access_token
    assert refreshed.refresh_token
    assert refreshed.id_token
    assert refreshed.email == before.email
    assert refreshed.expires_at is not None


def test_a_wrong_clock_does_not_refresh_again_and_again(
    signed_in: Emulator, make_manager: Callable[[], TokenManager], clock: Clock
) -> None:
    """A set that came from the server just now is used, even if this machine's clock calls it expired."""
    clock.ahead = 2 * LIFETIME
    managers = [make_manager() for _ in range(3)]

    tokens = {manager.credentials().access_token for manager in managers * 2}

    assert len(tokens) == 1
    assert refreshes(signed_in) == 1


def test_threads_share_one_refresh(
    signed_in: Emulator, make_manager: Callable[[], TokenManager], clock: Clock
) -> None:
    """However many threads want a token at once, one asks for it."""
    clock.ahead = LIFETIME
    manager = make_manager()
    start = threading.Barrier(8)

    def want() -> str:
        start.wait()
        return manager.credentials().access_token

    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: want(), range(8)))

    assert len(tokens) == 1
    assert refreshes(signed_in) == 1


async def test_tasks_share_one_refresh_and_the_loop_goes_on(
    signed_in: Emulator, make_manager: Callable[[], TokenManager], clock: Clock
) -> None:
    """However many tasks want a token at once, one thread asks for it while the loop serves others."""
    clock.ahead = LIFETIME
    signed_in.arm("token_slow", times=1)
    manager = make_manager()
    waiting = [asyncio.create_task(manager.credentials_async()) for _ in range(8)]
    turns = 0
    while not all(task.done() for task in waiting):
        turns += 1
        await asyncio.sleep(0)

    assert len({task.result().access_token for task in waiting}) == 1
    assert refreshes(signed_in) == 1
    assert turns > 100


async def test_a_cancelled_task_leaves_the_refresh_to_the_others(
    signed_in: Emulator, make_manager: Callable[[], TokenManager], clock: Clock, store: CredentialStore
) -> None:
    """Cancelling one of the tasks that wait for a refresh neither stops nor repeats it."""
    clock.ahead = LIFETIME
    signed_in.arm("token_slow", times=1)
    manager = make_manager()
    first, second = (asyncio.create_task(manager.credentials_async()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    refreshed = await second

    with pytest.raises(asyncio.CancelledError):
        await first
    assert stored(store) == refreshed
    assert refreshes(signed_in) == 1


_PROCESS = """
import sys, onplan
sys.stdin.read(1)
print(onplan.Client().credentials().access_token[-12:])
"""


def test_processes_share_one_refresh(signed_in: Emulator, store: CredentialStore) -> None:
    """Processes that find one expired token at once spend its refresh token once; nobody is signed out.

    The emulator revokes the whole family if a spent token comes again.
    """
    record, version = store.load()  # type: ignore[misc]
    expired = msgspec.structs.replace(record.credentials, expires_at=time.time() - 60)
    store.save(Record(credentials=expired), version)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("x")
        process.stdin.flush()
    tokens = {process.communicate(timeout=60)[0] for process in processes}

    assert [process.returncode for process in processes] == [0] * 6
    assert len(tokens) == 1
    assert refreshes(signed_in) == 1


def test_a_token_refreshed_elsewhere_is_adopted(
    signed_in: Emulator, make_manager: Callable[[], TokenManager], clock: Clock
) -> None:
    """When another process has refreshed the credential, its set is used and nothing is spent."""
    mine, other = make_manager(), make_manager()
    old = mine.credentials()
    clock.ahead = LIFETIME
    theirs = other.credentials()

    assert mine.credentials() == theirs != old
    assert refreshes(signed_in) == 1


def test_a_refused_token_is_replaced_once(
    signed_in: Emulator, make_manager: Callable[[], TokenManager]
) -> None:
    """A 401 refreshes the token that was refused; who comes late with the same token gets the new one."""
    mine, other = make_manager(), make_manager()
    old = mine.credentials()
    assert other.credentials() == old

    refreshed = mine.replace(old.access_token)

    assert refreshed.access_token != old.access_token
    assert other.replace(old.access_token) == refreshed
    assert mine.replace(old.access_token) == refreshed
    assert refreshes(signed_in) == 1


PASSING = [
    "token_500",
    "token_429",
    "token_html",
    "token_connection_reset",
    "token_not_json",
    "token_empty_object",
]
LOST = ["token_response_lost", "token_500_after_rotation", "token_truncated"]
FINAL = ["token_invalid_grant", "refresh_token_expired", "refresh_token_reused", "refresh_token_invalidated"]


@pytest.mark.parametrize("fault", [*PASSING, *LOST, *FINAL])
def test_a_valid_token_outlives_a_failing_refresh(
    signed_in: Emulator,
    make_manager: Callable[[], TokenManager],
    clock: Clock,
    store: CredentialStore,
    fault: str,
) -> None:
    """While the access token is valid, a failing refresh is not repeated at once and loses nothing."""
    before = stored(store)
    clock.ahead = LIFETIME - 200
    signed_in.arm(fault, times=9)
    manager = make_manager()

    assert [manager.credentials() for _ in range(3)] == [before] * 3
    assert refreshes(signed_in) == 1
    assert stored(store) == before


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_failure_keeps_the_credential(
    signed_in: Emulator,
    make_manager: Callable[[], TokenManager],
    clock: Clock,
    store: CredentialStore,
    fault: str,
) -> None:
    """With the access token expired, a passing failure is an error that loses nothing; later it goes well."""
    before = stored(store)
    clock.ahead = LIFETIME
    signed_in.arm(fault, times=1)
    manager = make_manager()

    with pytest.raises(onplan.RefreshError):
        manager.credentials()

    assert stored(store) == before
    assert manager.credentials().access_token != before.access_token


@pytest.mark.parametrize("fault", FINAL)
def test_a_final_refusal_asks_for_a_sign_in(
    signed_in: Emulator,
    make_manager: Callable[[], TokenManager],
    clock: Clock,
    store: CredentialStore,
    fault: str,
) -> None:
    """A refresh token that is no longer honoured means signing in again; the credential is kept even so."""
    before = stored(store)
    clock.ahead = LIFETIME
    signed_in.arm(fault, times=1)

    with pytest.raises(onplan.SignInAgainError) as caught:
        make_manager().credentials()

    assert caught.value.hint == "Run `onplan login`."
    assert stored(store) == before


@pytest.mark.parametrize("fault", LOST)
def test_a_lost_answer_is_explained(
    signed_in: Emulator,
    make_manager: Callable[[], TokenManager],
    clock: Clock,
    store: CredentialStore,
    fault: str,
) -> None:
    """When the server rotated and its answer was lost, the journal in the store explains what comes of it."""
    clock.ahead = LIFETIME
    signed_in.arm(fault, times=1)
    with pytest.raises(onplan.RefreshError):
        make_manager().credentials()
    assert store.load().record.pending_refresh is not None  # type: ignore[union-attr]

    with pytest.raises(onplan.SignInAgainError, match="interrupted after it was sent"):
        make_manager().credentials()


def test_an_unreachable_issuer_spends_nothing(
    settings: Settings, clock: Clock, store: CredentialStore, transport: HTTPTransport, unused_url: str
) -> None:
    """When the issuer cannot be reached, the store is as it was before."""
    before = store.load()
    assert before
    credentials = msgspec.structs.replace(before.record.credentials, issuer=unused_url)
    store.save(Record(credentials=credentials), before.version)
    clock.ahead = LIFETIME
    manager = TokenManager(store, settings.issuer.at(unused_url), transport.fetch, now=clock)

    with pytest.raises(onplan.RefreshError, match="could not be reached"):
        manager.credentials()

    assert store.load().record == Record(credentials=credentials)  # type: ignore[union-attr]


def test_a_token_goes_nowhere_but_to_the_services_it_came_from(
    signed_in: Emulator, driver: Any, monkeypatch: pytest.MonkeyPatch, store: CredentialStore
) -> None:
    """With another issuer and backend set, as for a test, a sign-in is neither sent there nor refreshed."""
    before = store.load()
    with Emulator() as other:
        monkeypatch.setenv("ONPLAN_ISSUER", other.issuer)
        monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", other.codex_base_url)
        with pytest.raises(onplan.CredentialError) as caught:
            driver().complete(onplan.CompletionRequest(messages="hi", model="gpt-5.5"))

        assert other.journal() == []
    assert signed_in.issuer in str(caught.value)
    assert "ONPLAN_ISSUER" in caught.value.hint
    assert refreshes(signed_in) == 0
    assert store.load() == before


def test_a_sign_in_that_comes_between_counts(
    signed_in: Emulator, settings: Settings, clock: Clock, store: CredentialStore, transport: HTTPTransport
) -> None:
    """When somebody signs in anew while a refresh is under way, theirs is kept and used."""
    clock.ahead = LIFETIME
    tokens = signed_in.issue_tokens()
    newer = msgspec.structs.replace(
        stored(store), access_token=tokens["access_token"], refresh_token=tokens["refresh_token"]
    )

    def fetch(request: Any) -> Any:
        answer = transport.fetch(request)
        store.save(Record(credentials=newer), store.load().version)  # type: ignore[union-attr]
        return answer

    manager = TokenManager(store, settings.issuer, fetch, now=clock)

    assert manager.credentials() == newer
    assert stored(store) == newer


def test_a_full_disk_is_noticed_before_anything_is_spent(signed_in: Emulator, store: CredentialStore) -> None:
    """Where the store cannot grow, no refresh token is spent, and the credential stays as it was."""
    record, version = store.load()  # type: ignore[misc]
    expired = msgspec.structs.replace(record.credentials, expires_at=time.time() - 60)
    store.save(Record(credentials=expired), version)
    process = subprocess.run(
        [sys.executable, "-c", _FULL_DISK], capture_output=True, text=True, timeout=60, check=False
    )

    assert "StoreError 7" in process.stdout
    assert refreshes(signed_in) == 0
    assert stored(store) == expired


_FULL_DISK = """
import resource, signal, onplan
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    onplan.Client().credentials()
except onplan.StoreError as error:
    print(type(error).__name__, error.exit_code, error)
"""


def test_an_unsaved_rotation_lives_on(
    signed_in: Emulator,
    settings: Settings,
    clock: Clock,
    transport: HTTPTransport,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A rotated set that cannot be saved is used by this process all the same, and the log says so."""
    inner = open_store(settings.store)

    class Breaking:
        """A store whose second write fails."""

        writes, repaired = 0, False

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def save(self, record: Record, version: str | None) -> str:
            self.writes += 1
            if self.writes > 1 and not self.repaired:
                raise onplan.StoreError("The disk is full.")
            return inner.save(record, version)

    clock.ahead = LIFETIME
    store = Breaking()
    manager = TokenManager(store, settings.issuer, transport.fetch, now=clock, sleep=lambda seconds: None)

    refreshed = manager.credentials()

    clock.ahead = 0
    assert manager.credentials() is refreshed
    assert "could not be saved" in caplog.text
    assert refreshed.access_token not in caplog.text
    store.repaired = True
    manager.drain()  # or this process could not end with exit code 0
