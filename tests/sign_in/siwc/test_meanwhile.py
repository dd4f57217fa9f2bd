"""Sign-ins, exports and imports that others started or finished during a sign-in."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.settings import Settings, load_settings
from onplan.emulator import Emulator
from onplan.flow import Response
from onplan.oauth.authorization_code import Callback, read_callback
from onplan.oauth.credentials import credentials_from
from onplan.oauth.issuer import SIWC
from onplan.oauth.refresh import refusal
from onplan.oauth.token_response import decode_token_response
from onplan.oauth.verification import Expectation, verify
from onplan.sign_in import transfer as moving
from onplan.sign_in.flow import SignInFlow, sign_in_flow
from onplan.sign_in.sign_out import sign_out
from onplan.stores import CredentialStore, Record, open_store
from onplan.tokens.refresher import Refresher
from onplan.transports.httpx2_sync import HTTPTransport
from onplan.types import OAuthCredentials

from ...conftest import redirected
from .conftest import SignIn, record

Run = Callable[..., Any]


@pytest.fixture
def send() -> Iterator[Callable[..., Response]]:
    transport = HTTPTransport()
    yield transport.fetch
    transport.close()


@pytest.fixture
def begin(emulator: Emulator, send: Callable[..., Response]) -> Callable[[], tuple[SignInFlow, Callback]]:
    """A sign-in for the default profile whose browser is about to come back."""

    def begun() -> tuple[SignInFlow, Callback]:
        settings = load_settings()
        signing_in = sign_in_flow(settings, open_store(settings.store), send)
        started = signing_in.start(None)
        return signing_in, read_callback(redirected(started.url), started.state)

    return begun


Begin = Callable[[], tuple[SignInFlow, Callback]]


@pytest.mark.parametrize("exchange_fails", [False, True])
def test_the_slower_of_two_first_sign_ins_ends_nothing(
    emulator: Emulator, begin: Begin, exchange_fails: bool
) -> None:
    """Who was faster stays signed in, under the client that was issued to them."""
    faster, first = begin()
    emulator.consent(workspace="Team")
    slower, second = begin()
    faster.finish(first)
    before = record()
    if exchange_fails:
        emulator.arm("siwc_token_500")

    with pytest.raises(onplan.SignInError, match="meanwhile") as caught:
        slower.finish(second)
    assert "--profile" in caught.value.hint
    assert record() == before


@pytest.mark.parametrize(
    "left",
    [
        Record(credentials=OAuthCredentials(access_token="a", refresh_token="r")),
        Record(api_key="sk-precious"),
    ],
    ids=["a Codex sign-in", "an API key"],
)
def test_what_was_kept_there_meanwhile_is_kept(begin: Begin, store: CredentialStore, left: Record) -> None:
    """Another kind of credential, stored after the sign-in began, is not overwritten."""
    signing_in, callback = begin()
    store.save(left, None)

    with pytest.raises(onplan.SignInError, match="meanwhile"):
        signing_in.finish(callback)
    assert record() == left


@pytest.mark.parametrize("backend", ["chatgpt-plan", "openai-codex"])
def test_an_api_key_is_not_signed_over(
    emulator: Emulator,
    sign_in: SignIn,
    store: CredentialStore,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
) -> None:
    """It belongs to another backend, and cannot be had again."""
    store.save(Record(api_key="sk-precious"), None)
    monkeypatch.setenv("ONPLAN_BACKEND", backend)

    with pytest.raises(onplan.ConfigurationError, match="keeps an API key"):
        sign_in()
    assert record().api_key == "sk-precious"


def test_whose_registration_it_is_no_other_issuer_learns(
    emulator: Emulator, sign_in: SignIn, store: CredentialStore
) -> None:
    """A hint of who signed in goes to the issuer that it is from, and its client id is used nowhere else."""
    sign_in()
    kept, version = store.load()  # type: ignore[misc]
    foreign = msgspec.structs.replace(kept.registration, issuer="https://other.example")
    store.save(msgspec.structs.replace(kept, registration=foreign), version)
    emulator.clear_journal()

    with pytest.raises(onplan.ConfigurationError, match=r"signed in at https://other\.example"):
        sign_in()
    assert emulator.journal() == []


def test_a_set_that_is_verified_late_counts_from_when_it_came(
    emulator: Emulator,
    sign_in: SignIn,
    settings: Settings,
    store: CredentialStore,
    send: Callable[..., Response],
) -> None:
    """Its ID token may have grown old until the keys could be had: the refresh token beside it is good."""
    sign_in()
    emulator.expire_access_tokens()
    emulator.arm("siwc_jwks_503")
    with onplan.Client() as client:
        client.complete("hi")
    assert record().unverified

    two_hours_later = Refresher(store, settings.issuer, send, lambda: time.time() + 7200, time.sleep)
    assert not two_hours_later.load().record.unverified
    assert not record().unverified


def test_an_export_that_fails_leaves_no_copy(
    emulator: Emulator, sign_in: SignIn, settings: Settings, store: CredentialStore, tmp_path: Path
) -> None:
    """On a full disk nothing was moved: the file is gone, and the sign-in where it was."""
    sign_in()
    before, target = record(), tmp_path / "moved.json"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(onplan.StoreError, match="Nothing was moved"):
            moving.export_credential(settings, store, target)
    assert not target.exists()
    assert record() == before


def test_a_registration_can_be_given_up(
    emulator: Emulator, sign_in: SignIn, settings: Settings, store: CredentialStore
) -> None:
    """`logout --force` forgets it: the way out where the service does not know it any more."""
    first = sign_in()
    sign_out(settings, store)
    emulator.arm("siwc_token_invalid_client")
    with pytest.raises(onplan.OnplanError, match="does not know the client") as caught:
        sign_in()
    assert "logout --profile default --force" in caught.value.hint
    assert record().registration

    sign_out(settings, store, force=True)
    assert store.load() is None
    assert sign_in().client_id != ""
    asked = [row["query"] for row in emulator.journal() if row["path"].endswith("/authorize")]
    assert asked[-1]["client_id"] == "dynamic_agent_client"
    assert first.client_id


def test_it_is_neither_lent_nor_printed(emulator: Emulator, sign_in: SignIn, run_cli: Run) -> None:
    """Its token goes to no other backend, no other program and no other place."""
    sign_in("plan")
    source = f"{load_settings(profile='plan').store}"
    for share in ((), ("--share",)):
        refused = run_cli("import", source, *share, "--profile", "cx", "--backend", "openai-codex")
        assert refused.returncode == 2, refused.stderr
        assert "which cannot be lent" in refused.stderr
    printed = run_cli("token", "--profile", "plan", "--backend", "chatgpt-plan")
    assert printed.returncode == 2
    assert printed.stdout == ""
    assert run_cli("import", source, "--profile", "two", "--backend", "chatgpt-plan").returncode == 2


def test_what_to_type_names_backend_and_profile(emulator: Emulator, sign_in: SignIn, run_cli: Run) -> None:
    """A hint that is followed signs in to what was wanted."""
    new = run_cli("ask", "hi", "--backend", "chatgpt-plan", "--profile", "new")
    assert "`onplan login --backend chatgpt-plan --profile new`" in new.stderr

    emulator.consent(plan=False)
    sign_in("plan")
    shown = run_cli("status", "--profile", "plan")
    assert "`onplan login --backend chatgpt-plan --profile plan --consent`" in shown.stdout


def test_another_registration_is_replaced_on_demand_only(
    emulator: Emulator, sign_in: SignIn, store: CredentialStore, settings: Settings
) -> None:
    """An import does not take the place of a client that is registered here."""
    sign_in()
    sign_out(settings, store)
    before = record()
    other = msgspec.structs.replace(before.registration, client_id="oaiapp_other")
    credentials = OAuthCredentials(access_token="a")
    moved = Record(issuer_kind="siwc", credentials=credentials, registration=other)

    with pytest.raises(onplan.ConfigurationError, match="another client"):
        moving.import_credential(settings, store, moved)
    assert record() == before
    moving.import_credential(settings, store, moved, force=True)
    assert record() == moved


@pytest.mark.parametrize("scope", ['""', "[]"])
def test_an_empty_grant_permits_nothing(scope: str) -> None:
    """Only a scope that is missing means that nothing has changed."""
    before = OAuthCredentials(access_token="old", scopes=["openid", "chatgpt.tokens.use.direct"])
    told = decode_token_response(f'{{"access_token": "new", "scope": {scope}}}'.encode())
    silent = decode_token_response(b'{"access_token": "new"}')
    assert told
    assert silent

    assert credentials_from(told, SIWC, 0.0, before).scopes == []
    assert credentials_from(silent, SIWC, 0.0, before).scopes == before.scopes


@pytest.mark.parametrize(
    "body", [b"", b'{"error": "temporarily_unavailable"}', b'{"error": "invalid_request"}']
)
def test_a_401_alone_does_not_end_a_sign_in(body: bytes) -> None:
    """Six codes do; whatever else is said, the credential is kept and used again."""
    assert type(refusal(Response(401, {}, body), 0.0, "r", registered=True)) is onplan.RefreshError
    assert type(refusal(Response(401, {}, body), 0.0, "r")) is onplan.SignInAgainError


def test_a_header_of_another_shape_is_not_genuine() -> None:
    """The key's name may be anything; none of the issuer's keys has it."""
    flow = verify(SIWC, "eyJraWQiOltdfQ.e30.x", Expectation("i", "c"), 0.0)
    next(flow)

    with pytest.raises(onplan.SignInError, match="no such key"):
        flow.send(Response(200, {}, b'{"keys": []}'))
