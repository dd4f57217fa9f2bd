"""Promise 4 on this backend: whatever goes wrong, no token, code, verifier, nonce or state is seen."""

from __future__ import annotations

import logging
from urllib.parse import parse_qs, urlsplit

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.emulator.faults.register import FAULTS
from onplan.oauth.authorization_code import AuthorizationRequest
from onplan.sign_in.login import sign_in_by_pasting
from onplan.stores import open_store

from ...conftest import redirected
from ...test_secrets import everything_about
from .conftest import SignIn, record

AT_SIGN_IN = [name for name, fault in FAULTS.items() if "siwc_token:authorization_code" in fault.where]
AT_REFRESH = [name for name, fault in FAULTS.items() if "siwc_token:refresh_token" in fault.where]


def seen(secrets: list[str], told: str) -> list[str]:
    return [line[:200] for line in told.splitlines() if any(secret in line for secret in secrets)]


@pytest.mark.parametrize("fault", AT_REFRESH)
def test_a_refresh_that_fails_shows_nothing(
    emulator: Emulator, sign_in: SignIn, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Neither the set that was spent nor the one that came is in errors, logs, or our frames."""
    sign_in()
    before = record().credentials
    emulator.expire_access_tokens()
    emulator.arm(fault, times=9)
    told = ""
    with caplog.at_level(logging.DEBUG), onplan.Client(retry=onplan.RetryPolicy(attempts=1)) as client:
        try:
            client.complete(onplan.CompletionRequest(messages="one two", model="gpt-5.5"))
        except onplan.OnplanError as error:
            told = everything_about(error)

    tokens = [c for kept in (before, record().credentials) if kept for c in _tokens(kept)]
    assert seen(tokens, caplog.text + told) == []


def _tokens(kept: onplan.OAuthCredentials) -> list[str]:
    return [token for token in (kept.access_token, kept.refresh_token, kept.id_token) if token]


@pytest.mark.parametrize("fault", ["", *AT_SIGN_IN])
def test_a_sign_in_shows_nothing(
    emulator: Emulator, sign_in: SignIn, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """A returning one, however it ends: neither what is kept, nor the hint, nor what the attempt was."""
    sign_in()
    before = record().credentials
    assert before
    settings = load_settings()
    kept: list[AuthorizationRequest] = []
    codes: list[str] = []
    if fault:
        emulator.arm(fault)

    def come_back() -> str:
        location = redirected(kept[0].hinted_url)
        codes.extend(parse_qs(urlsplit(location).query)["code"])
        return location

    told = repr(kept)
    with caplog.at_level(logging.DEBUG):
        try:
            sign_in_by_pasting(settings, open_store(settings.store), kept.append, come_back)
        except onplan.OnplanError as error:
            told += everything_about(error)

    (started,) = kept
    attempt = [*codes, started.state, started.verifier, started.nonce]
    now = record().credentials
    assert now
    assert seen([*attempt, *_tokens(before), *_tokens(now)], caplog.text + told + repr(started)) == []
