"""Settings that point at the emulator, and the store of the default profile."""

from __future__ import annotations

import pytest

from onplan.config.settings import Settings, load_settings
from onplan.emulator import Emulator
from onplan.stores import CredentialStore, open_store


@pytest.fixture
def settings(emulator: Emulator) -> Settings:
    return load_settings()


@pytest.fixture
def store(settings: Settings) -> CredentialStore:
    return open_store(settings.store)
