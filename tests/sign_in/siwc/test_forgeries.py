"""ID tokens that are not genuine, or not meant for us: refused, and nothing is stored.

What is refused is a table of values in tests/oauth/test_verification.py. Here every forgery of the emulator
is one of those, and a few go through whole sign-ins and refreshes.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.emulator.faults.register import FAULTS
from onplan.emulator.keys import first_key, public_jwk, sign_with
from onplan.emulator.wire.replies import json_reply
from onplan.flow import Response
from onplan.oauth.issuer import SIWC
from onplan.oauth.verification import Expectation, verify

from .conftest import SignIn, record

AT_SIGN_IN = [name for name in FAULTS if name.startswith("siwc_id_token_")]
AT_REFRESH = [name for name in FAULTS if name.startswith("siwc_refreshed_id_token_")]
INCOMPLETE = ["siwc_token_without_scope", "siwc_token_without_id_token"]


def answer_of(forgery: str) -> dict[str, Any]:
    """The tokens that the emulator answers with, in place of genuine ones."""
    now = time.time()
    claims = {
        "iss": SIWC.url,
        "aud": ["client-1"],
        "iat": now,
        "exp": now + 60,
        "nonce": "n",
        "sub": "person-1",
    }
    genuine = {"access_token": "a", "id_token": sign_with(first_key(), claims)}
    after = FAULTS[forgery].after if forgery else None
    found: dict[str, Any] = (after(json_reply(genuine)) if after else json_reply(genuine)).json
    return found


def verified(id_token: str, *, nonce: str | None) -> Any:
    """The claims, verified with the emulator's keys."""
    flow = verify(SIWC, id_token, Expectation(SIWC.url, "client-1", nonce, "person-1"), time.time())
    next(flow)
    flow.send(Response(200, {}, json.dumps({"keys": [public_jwk(first_key())]}).encode()))


@pytest.mark.parametrize("forgery", [*AT_SIGN_IN, *AT_REFRESH])
def test_each_is_refused(forgery: str) -> None:
    """No forgery is accepted, at a sign-in with its nonce or at a refresh without one."""
    forged = answer_of(forgery)

    assert forged["access_token"] == "a"
    with pytest.raises(onplan.SignInError):
        verified(forged["id_token"], nonce=None if forgery in AT_REFRESH else "n")


@pytest.mark.parametrize("nonce", ["n", None])
def test_a_genuine_one_is_not(nonce: str | None) -> None:
    """The token that the forgeries are made of is accepted: it is for the forgery that they are refused."""
    with pytest.raises(StopIteration):
        verified(answer_of("")["id_token"], nonce=nonce)


@pytest.mark.parametrize("forgery", ["siwc_id_token_wrong_nonce", *INCOMPLETE])
def test_a_forged_one_is_refused(emulator: Emulator, sign_in: SignIn, forgery: str) -> None:
    """Whatever is wrong with it, no token is kept; the registration is, for the next attempt."""
    emulator.arm(forgery)

    with pytest.raises(onplan.SignInError) as caught:
        sign_in()
    assert record().credentials is None
    assert record().registration
    assert caught.value.hint
    assert sign_in().access_token


@pytest.mark.parametrize(
    "forgery", ["siwc_id_token_wrong_key", "siwc_id_token_other_subject", "siwc_token_without_scope"]
)
def test_a_forged_one_replaces_nothing(emulator: Emulator, sign_in: SignIn, forgery: str) -> None:
    """Who is signed in stays so; also when the token is genuine and another person's."""
    sign_in()
    before = record()
    emulator.arm(forgery)

    with pytest.raises(onplan.SignInError):
        sign_in()
    assert record() == before


@pytest.mark.parametrize(
    "forgery", ["siwc_refreshed_id_token_wrong_key", "siwc_refreshed_id_token_other_subject"]
)
def test_a_refresh_with_a_forged_one_is_not_used(emulator: Emulator, sign_in: SignIn, forgery: str) -> None:
    """The rotated set is kept, for the old one is spent; but no request is made with it."""
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
