"""Other programs act during a refresh: no token is spent twice, and no account is mixed up."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.flow import Response
from onplan.oauth.issuer import CODEX
from onplan.stores import Record
from onplan.stores.lock import ProcessLock
from onplan.stores.memory import MemoryStore
from onplan.tokens.manager import TokenManager


def credentials(number: int, account: str = "A", lasts: float = -60.0) -> onplan.OAuthCredentials:
    return onplan.OAuthCredentials(
        access_token=f"access-{number}",
        refresh_token=f"refresh-{number}",
        account_id=account,
        expires_at=time.time() + lasts,
    )


def granted(number: int) -> Response:
    tokens = {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}", "expires_in": 3600}
    return Response(200, {}, msgspec.json.encode(tokens))


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_two_threads_never_hold_a_lock_at_once(tmp_path: Path, eager_threads: None) -> None:
    """Not even where it is used for the first time, by several threads at the same moment."""
    inside: list[None] = []
    ready, never = threading.Barrier(2), threading.Event()

    def enter(lock: ProcessLock) -> int:
        ready.wait()
        with lock.held():
            inside.append(None)
            never.wait(0.002)  # time for another one to come in
            most = len(inside)
            inside.pop()
        return most

    with ThreadPoolExecutor(2) as threads:
        for _ in range(60):
            lock = ProcessLock(tmp_path / "lock", "It")
            assert {*threads.map(enter, [lock, lock])} == {1}


class FullStore(MemoryStore):
    """Cannot keep what is refreshed until there is room."""

    full = True

    def save(self, record: Record, expected_version: str | None) -> str:
        if self.full and record.obtained_at:
            raise onplan.StoreError("The disk is full.")
        return super().save(record, expected_version)


@pytest.mark.parametrize("then", [Record(api_key="sk-new"), Record(), None])
def test_what_was_not_saved_does_not_undo_a_sign_out(then: Record | None) -> None:
    """A refreshed set that was not kept is dropped after a sign-out, or when an API key is kept there."""
    store = FullStore(record=Record(credentials=credentials(1)))
    manager = TokenManager(store, CODEX, lambda request, **options: granted(2), sleep=lambda seconds: None)
    manager.credentials()
    store.full = False
    store.delete()
    if then is not None:
        store.save(then, None)

    manager.drain()

    loaded = store.load()
    assert (loaded and loaded.record) == then


@pytest.mark.parametrize("refused", [True, False])
def test_a_request_never_goes_on_with_another_account(refused: bool) -> None:
    """Another account signs in while our token is refreshed: it is kept, and not used for what was asked."""
    store = MemoryStore(record=Record(credentials=credentials(1, "A", 9_999)))

    def send(request: Any, **options: Any) -> Response:
        loaded = store.load()
        assert loaded
        store.save(Record(credentials=credentials(7, "B", 9_999)), loaded.version)
        body = b'{"error": {"code": "refresh_token_reused"}}'
        return Response(401, {}, body) if refused else granted(2)

    manager = TokenManager(store, CODEX, send, sleep=lambda seconds: None)
    assert manager.credentials().account_id == "A"

    with pytest.raises(onplan.SignInAgainError, match="Another account"):
        manager.replace("access-1")
    assert manager.credentials().account_id == "B"


async def test_a_thread_that_cannot_be_started_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may refuse a thread; the next one who asks is served."""
    store = MemoryStore(record=Record(credentials=credentials(1)))
    manager = TokenManager(store, CODEX, lambda request, **options: granted(2))

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            await manager.credentials_async()

    assert (await manager.credentials_async()).access_token == "access-2"


def test_a_page_with_status_401_is_nobodys_verdict() -> None:
    """A captive portal's 401 is no refusal of the issuer's: the next call asks again."""
    answers = [Response(401, {"content-type": "text/html"}, b"<html>Log in to the Wi-Fi</html>"), granted(2)]
    store = MemoryStore(record=Record(credentials=credentials(1)))
    manager = TokenManager(
        store, CODEX, lambda request, **options: answers.pop(0), sleep=lambda seconds: None
    )

    with pytest.raises(onplan.RefreshError):
        manager.credentials()
    assert manager.credentials().access_token == "access-2"


def test_a_refresh_token_is_kept_although_no_access_token_came() -> None:
    """An answer that has only a rotated refresh token is saved, and the refresh goes on from it."""
    sent: list[Any] = []
    answers = [Response(200, {}, b'{"refresh_token": "refresh-2", "access_token": null}'), granted(3)]

    def send(request: Any, **options: Any) -> Response:
        sent.append(msgspec.json.decode(request.body)["refresh_token"])
        return answers.pop(0)

    store = MemoryStore(record=Record(credentials=credentials(1)))
    manager = TokenManager(store, CODEX, send, sleep=lambda seconds: None)
    with pytest.raises(onplan.RefreshError):
        manager.credentials()

    assert manager.credentials().access_token == "access-3"
    assert sent == ["refresh-1", "refresh-2"]


def test_a_token_of_unknown_origin_goes_to_nobody_who_happens_to_be_set() -> None:
    """Without a word on who issued it, a refresh token is the real issuer's, not a test server's."""
    store, sent = MemoryStore(record=Record(credentials=credentials(1))), []
    issuer = CODEX.at("http://127.0.0.1:9")
    manager = TokenManager(store, issuer, lambda request, **more: sent.append(request))  # type: ignore[arg-type,func-returns-value]

    with pytest.raises(onplan.CredentialError, match=r"came from https://auth\.openai\.com"):
        manager.credentials()
    assert sent == []
