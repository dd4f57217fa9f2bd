"""Signing in by device code at the emulator, with a person who enters the code."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Callable

import pytest

import onplan
from onplan.config.settings import Settings, load_settings
from onplan.emulator import Emulator, Options
from onplan.oauth.device_code import DeviceAuthorization
from onplan.sign_in.login import sign_in_with_device_code
from onplan.stores import CredentialStore, open_store

POLL = "/api/accounts/deviceauth/token"


def ignore(authorization: DeviceAuthorization) -> None:
    """The emulator approves by itself."""


def enter(authorization: DeviceAuthorization) -> None:
    """Be the person: open the page and enter the code."""
    form = urllib.parse.urlencode({"user_code": authorization.user_code.lower()}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(authorization.verification_uri, data=form, timeout=20) as page:
        assert b"return to the other device" in page.read()


def test_entering_the_code_signs_in(point_at: Callable[[Emulator], None]) -> None:
    """What a person enters on the page that is named signs in the machine that waits."""
    with Emulator(Options(interactive=True)) as emulator:
        point_at(emulator)
        settings = load_settings()
        store = open_store(settings.store)
        credentials = sign_in_with_device_code(settings, store, enter)
        paths = [row["path"] for row in emulator.journal()]

    loaded = store.load()
    assert loaded
    assert loaded.record.credentials == credentials
    assert (credentials.email, credentials.plan) == ("person@example.com", "plus")
    assert credentials.refresh_token
    assert paths == ["/api/accounts/deviceauth/usercode", "/codex/device", POLL, "/oauth/token"]


@pytest.mark.parametrize(
    "fault", ["device_usercode_alias", "device_interval_integer", "device_pending_404", "device_poll_500"]
)
def test_what_varies_between_servers_is_understood(
    emulator: Emulator, settings: Settings, store: CredentialStore, fault: str
) -> None:
    """Other names, other types, other words for not yet, a failure that passes: signed in all the same."""
    emulator.arm(fault)

    assert sign_in_with_device_code(settings, store, ignore).refresh_token


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("device_not_enabled_404", "not enabled"),
        ("device_access_denied", "declined"),
        ("device_expired_token", "15 minutes"),
        ("token_invalid_grant", "refused"),
        ("token_500", "HTTP 500"),
    ],
)
def test_a_failed_sign_in_keeps_the_previous_one(
    signed_in: Emulator, settings: Settings, store: CredentialStore, fault: str, sentence: str
) -> None:
    """Whatever goes wrong is told in words, and the old credential is untouched."""
    before = store.load()
    signed_in.arm(fault)

    with pytest.raises(onplan.SignInError, match=sentence):
        sign_in_with_device_code(settings, store, ignore)

    after = store.load()
    assert before
    assert after
    assert before[0] == after[0]


def test_a_store_that_keeps_nothing_is_found_out_first(emulator: Emulator, settings: Settings) -> None:
    """No code is asked for where the sign-in could not be kept."""
    with pytest.raises(onplan.StoreError):
        sign_in_with_device_code(settings, open_store("env:NOT_SET_ANYWHERE"), ignore)

    assert emulator.journal() == []
