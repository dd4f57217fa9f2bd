"""ID tokens that are not genuine, or not meant for us: refused, and nothing is stored."""

from __future__ import annotations

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.emulator.faults.register import FAULTS

from .conftest import SignIn, record

AT_SIGN_IN = [name for name in FAULTS if name.startswith("siwc_id_token_")]
AT_RENEWAL = [name for name in FAULTS if name.startswith("siwc_refreshed_id_token_")]
INCOMPLETE = ["siwc_token_without_scope", "siwc_token_without_id_token"]


@pytest.mark.parametrize(
    "forgery", [*(name for name in AT_SIGN_IN if "other_subject" not in name), *INCOMPLETE]
)
def test_a_forged_one_signs_nobody_in(emulator: Emulator, sign_in: SignIn, forgery: str) -> None:
    """Whatever is wrong with it, no token is kept; the registration is, for the next attempt."""
    emulator.arm(forgery)

    with pytest.raises(onplan.SignInError) as caught:
        sign_in()
    assert record().credentials is None
    assert record().registration
    assert caught.value.hint
    assert sign_in().access_token


@pytest.mark.parametrize("forgery", [*AT_SIGN_IN, *INCOMPLETE])
def test_a_forged_one_replaces_nothing(emulator: Emulator, sign_in: SignIn, forgery: str) -> None:
    """Who is signed in stays so; also when the token is genuine and somebody else's."""
    sign_in()
    before = record()
    emulator.arm(forgery)

    with pytest.raises(onplan.SignInError):
        sign_in()
    assert record() == before


@pytest.mark.parametrize("forgery", AT_RENEWAL)
def test_a_refresh_with_a_forged_one_is_not_used(emulator: Emulator, sign_in: SignIn, forgery: str) -> None:
    """The rotated set is kept, for the old one is spent; but nothing is asked with it, by nobody."""
    before = sign_in()
    emulator.expire_access_tokens()
    emulator.arm(forgery)
    emulator.clear_journal()

    for _ in range(2):
        with onplan.Client() as client, pytest.raises(onplan.SignInAgainError, match="ID token is not valid"):
            client.complete("hi")
    asked = [row["status"] for row in emulator.journal() if row["path"].startswith("/plan/")]
    assert asked == [401]
    kept = record().credentials
    assert kept
    assert kept.refresh_token != before.refresh_token
    assert sign_in().access_token
    assert load_settings().backend.name == "chatgpt-plan"
