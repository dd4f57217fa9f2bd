"""The doctor and a backend where nobody signs in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onplan import doctor
from onplan.emulator import Emulator

Find = Callable[..., dict[str, doctor.check.Result]]


@pytest.fixture
def platform(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An emulator whose platform the environment points at."""
    monkeypatch.setenv("ONPLAN_BACKEND", "openai")
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", emulator.urls["openai_base_url"])
    return emulator


def states(found: dict[str, Any], *names: str) -> list[str]:
    return [found[name].state for name in names]


def test_a_key_that_works(platform: Emulator, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whence it comes is told, the models are listed, a request is answered, and who paid for it is told."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    found = find()

    assert states(found, "token", "catalogue", "request") == ["ok", "ok", "ok"]
    assert states(found, "issuer-name", "issuer-tls", "issuer") == ["skipped"] * 3
    assert "OPENAI_API_KEY" in found["token"].message
    assert "billed to" in found["request"].message
    assert not [result for result in found.values() if "sk-of-the-environment" in repr(result)]


def test_a_missing_key_is_told(platform: Emulator, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a key is needed and there is none, the fix is to keep one, and not to sign in."""
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", "https://llm.example.com/v1")
    found = find(offline=True)

    assert found["token"].exit_code == 3
    assert "onplan login --backend openai --api-key" in (found["token"].fix or "")
