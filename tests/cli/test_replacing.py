"""Signing in where another account is signed in already, or beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import msgspec
import pytest

from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Options
from onplan.stores import open_store

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_sign_in_at_another_issuer_is_not_replaced(
    signed_in: Emulator, run_cli: Run, point_at: Callable[[Emulator], None]
) -> None:
    """A person who tries the emulator keeps the real sign-in; the error says how to have both."""
    store = open_store(load_settings().store)
    before = store.load()
    with Emulator(Options()) as other:
        point_at(other)
        refused = run_cli("login", "--device")

        assert refused.returncode == 2
        assert f"is signed in at {signed_in.issuer}" in refused.stderr
        assert "--profile" in refused.stderr
        assert store.load() == before
        assert (
            f"{signed_in.issuer}; the settings name another one, {other.issuer}" in run_cli("status").stdout
        )
        assert run_cli("login", "--device", "--profile", "emulated").returncode == 0


def test_a_replaced_account_is_named(signed_in: Emulator, run_cli: Run) -> None:
    """Another account at the same issuer takes the place, and that is said; the same account is not news."""
    assert "It replaced" not in run_cli("login", "--device").stderr
    store = open_store(load_settings().store)
    record, version = store.load()  # type: ignore[misc]
    other = msgspec.structs.replace(record.credentials, email="boss@example.com")
    store.save(msgspec.structs.replace(record, credentials=other), version)
    assert "It replaced the sign-in of boss@example.com" in run_cli("login", "--device").stderr
    record, version = store.load()  # type: ignore[misc]
    unknown = msgspec.structs.replace(record.credentials, email=None, account_id=None)
    store.save(msgspec.structs.replace(record, credentials=unknown), version)
    assert "It replaced" not in run_cli("login", "--device").stderr


def test_a_sign_in_says_that_it_changed_the_profile_in_use(
    signed_in: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where a setting keeps another one in use, how to ask the new one."""
    remember_profile(load_settings())
    assert "The profile in use is dev from now on" in run_cli("login", "--device", "--profile", "dev").stderr
    monkeypatch.setenv("ONPLAN_PROFILE", "dev")
    told = run_cli("login", "--device", "--profile", "third").stderr

    assert "in use" not in told
    assert "onplan ask --profile third" in told
