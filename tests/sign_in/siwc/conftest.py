"""Sign in with ChatGPT: the backend in use is ``chatgpt-plan``, and a person answers its consent page."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import onplan
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.sign_in.login import sign_in_with_browser
from onplan.stores import Record, open_store

SignIn = Callable[..., onplan.OAuthCredentials]


@pytest.fixture(autouse=True)
def on_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONPLAN_BACKEND", "chatgpt-plan")


# ``settings`` and ``store`` are those of the folder above.


@pytest.fixture
def sign_in(emulator: Emulator, browse: Callable[[str], None]) -> SignIn:
    """Sign in with a browser, for a profile; ``consent`` asks again."""

    def do(profile: str = "default", *, consent: bool = False) -> onplan.OAuthCredentials:
        settings = load_settings(profile=profile)
        credentials = sign_in_with_browser(
            settings, open_store(settings.store), lambda started: None, browse=browse, consent=consent
        )
        remember_profile(settings)
        return credentials

    return do


def record(profile: str = "default") -> Record:
    """What is kept for a profile."""
    loaded = open_store(load_settings(profile=profile).store).load()
    return loaded.record if loaded else Record()
