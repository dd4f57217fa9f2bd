"""From the first sign-in to the last, over sockets: registrations, consent, refreshes, keys, sign-outs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

import onplan
from onplan.config.settings import Settings, load_settings
from onplan.emulator import Emulator
from onplan.oauth.authorization_code import AuthorizationRequest
from onplan.sign_in.host_id import host_id
from onplan.sign_in.login import sign_in_by_pasting
from onplan.sign_in.sign_out import sign_out
from onplan.stores import CredentialStore, open_store

from .conftest import SignIn, record

AUTHORIZE, TOKEN = "/api/accounts/authorize", "/api/accounts/oauth/token"


def authorized(emulator: Emulator) -> list[dict[str, Any]]:
    """The queries of the authorization requests."""
    return [row["query"] for row in emulator.journal() if row["path"] == AUTHORIZE]


def test_the_first_sign_in_registers_a_client(emulator: Emulator, sign_in: SignIn) -> None:
    """The dynamic client asks under our own name; the issued one is kept, with whose it is, and used."""
    credentials = sign_in()

    kept = record()
    assert kept.registration
    assert kept.registration.client_id == credentials.client_id
    assert credentials.client_id != "dynamic_agent_client"
    assert (kept.registration.subject, kept.registration.email) == (
        "user-emulated-0001",
        "person@example.com",
    )
    (asked,) = authorized(emulator)
    assert asked["client_id"] == "dynamic_agent_client"
    assert asked["agent_name_hint"] == "onplan"
    assert asked["resource"] == "https://api.openai.com/v1"
    assert asked["redirect_uri"].startswith("http://127.0.0.1:")
    assert "id_token_hint" not in asked
    with onplan.Client() as client:
        assert client.complete("hi").text == "You said: hi"


def test_a_host_keeps_its_name(emulator: Emulator, sign_in: SignIn) -> None:
    """One host id is made before the first sign-in, and serves every profile and every later one."""
    sign_in()
    sign_in("another")
    settings = load_settings()
    sign_out(settings, open_store(settings.store))
    sign_in()

    names = {asked["ext_agent_host_id"] for asked in authorized(emulator)}
    assert names == {host_id(settings.home)}
    assert names.pop().startswith("urn:uuid:")


def test_a_service_that_requires_the_host_gets_it(emulator: Emulator, sign_in: SignIn) -> None:
    """The host is always named, so a service that refuses sign-ins without it has nothing to refuse."""
    emulator.arm("siwc_host_id_required")
    sign_in()

    assert emulator.world.faults.armed() == {"siwc_host_id_required": 1}


def test_a_damaged_host_id_is_not_replaced(settings: Settings, sign_in: SignIn) -> None:
    """For the registered clients another host id would be another host, so it is not replaced silently."""
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "host-id").write_text("damaged")

    with pytest.raises(onplan.ConfigurationError, match="does not hold a host id"):
        sign_in()


def test_a_returning_sign_in_is_the_same_client(emulator: Emulator, sign_in: SignIn) -> None:
    """It names the issued client, no name and the same host; hints go to the browser alone."""
    first = sign_in()
    emulator.clear_journal()
    printed: list[AuthorizationRequest] = []
    settings = load_settings()
    store = open_store(settings.store)
    with pytest.raises(onplan.SignInError):
        sign_in_by_pasting(settings, store, printed.append, lambda: "")
    second = sign_in()

    (asked,) = authorized(emulator)
    assert asked["client_id"] == first.client_id == second.client_id
    assert "agent_name_hint" not in asked
    assert asked["login_hint"] == "person@example.com"
    assert asked["id_token_hint"]
    query = parse_qs(urlsplit(printed[0].url).query)
    assert "id_token_hint" not in query
    assert "login_hint" not in query


def test_after_a_sign_out_there_is_no_hint(emulator: Emulator, sign_in: SignIn) -> None:
    """What signs out is revoked and forgotten, but for the registration, which the next sign-in uses."""
    first = sign_in()
    settings = load_settings()
    outcome = sign_out(settings, open_store(settings.store))

    assert outcome.confirmed
    assert record().credentials is None
    assert record().registration
    revoked = emulator.journal()[-1]
    assert (revoked["path"], revoked["status"]) == ("/api/accounts/oauth/revoke", 200)
    assert revoked["body"]["client_id"] == first.client_id
    with onplan.Client() as client, pytest.raises(onplan.NotSignedInError):
        client.complete("hi")
    emulator.clear_journal()
    assert sign_in().client_id == first.client_id
    (asked,) = authorized(emulator)
    assert "id_token_hint" not in asked


def test_a_second_workspace_is_a_profile(emulator: Emulator, sign_in: SignIn) -> None:
    """Each profile has its own client, and signing one out leaves the other as it is."""
    first = sign_in("personal")
    emulator.consent(workspace="Team")
    second = sign_in("team")
    settings = load_settings(profile="team")
    sign_out(settings, open_store(settings.store))

    assert first.client_id != second.client_id
    with onplan.Client(profile="personal") as client:
        assert client.complete("hi").text == "You said: hi"


def test_another_persons_sign_in_replaces_nothing(emulator: Emulator, sign_in: SignIn) -> None:
    """Who returns must be who registered; otherwise what was kept stays in use."""
    sign_in()
    before = record()
    emulator.consent(user="another-person")

    with pytest.raises(onplan.SignInError, match="A different person has signed in") as caught:
        sign_in()
    assert "--profile" in caught.value.hint
    assert record() == before


def test_without_the_plan_one_is_signed_in_and_nothing_is_asked(
    emulator: Emulator, sign_in: SignIn, run_cli: Callable[..., Any]
) -> None:
    """A declined permission is not guessed at: requests say so, and only ``--consent`` asks again."""
    emulator.consent(plan=False)
    sign_in()
    emulator.consent()
    sign_in()  # an ordinary sign-in does not ask again
    emulator.clear_journal()
    with onplan.Client() as client, pytest.raises(onplan.PlanNotPermittedError) as caught:
        client.complete("hi")

    assert "onplan login --backend chatgpt-plan --consent" in caught.value.hint
    assert emulator.journal() == []
    assert "you declined it" in run_cli("status").stdout
    assert run_cli("ask", "hi").returncode == caught.value.exit_code == 62
    sign_in(consent=True)
    assert authorized(emulator)[-1]["prompt"] == "consent"
    with onplan.Client() as client:
        assert client.complete("hi").text == "You said: hi"


def test_a_decline_stores_nothing(emulator: Emulator, sign_in: SignIn) -> None:
    """Who cancels on the page is told so; no code is exchanged, and nothing is kept."""
    emulator.consent(decline=True)

    with pytest.raises(onplan.SignInError, match="declined in the browser"):
        sign_in()
    assert [row["path"] for row in emulator.journal()] == [AUTHORIZE]
    assert open_store(load_settings().store).load() is None


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("siwc_callback_without_client", "without a client id"),
        ("siwc_callback_dynamic_client", "without a client id"),
        ("siwc_callback_other_issuer", "another issuer"),
    ],
)
def test_a_callback_that_is_not_whole_is_no_registration(
    emulator: Emulator, sign_in: SignIn, fault: str, sentence: str
) -> None:
    """Without an issued client id nothing is exchanged, and the dynamic one is never kept."""
    emulator.arm(fault)

    with pytest.raises(onplan.SignInError, match=sentence):
        sign_in()
    assert [row["path"] for row in emulator.journal()] == [AUTHORIZE]
    assert record().registration is None


def test_another_client_in_the_callback_is_refused(emulator: Emulator, sign_in: SignIn) -> None:
    """A returning sign-in keeps its client; one that brings another is not it."""
    sign_in()
    before = record()
    emulator.arm("siwc_callback_other_client")

    with pytest.raises(onplan.SignInError, match="another registration"):
        sign_in()
    assert record() == before


@pytest.mark.parametrize(
    "fault",
    ["siwc_token_500", "siwc_token_lost", "siwc_token_invalid_client", "siwc_exchange_invalid_grant"],
)
def test_a_failed_exchange_costs_no_registration(emulator: Emulator, sign_in: SignIn, fault: str) -> None:
    """The issued client is kept before the code is exchanged, and the next attempt uses it."""
    emulator.arm(fault)
    with pytest.raises(onplan.OnplanError):
        sign_in()
    kept = record()
    assert kept.registration
    assert kept.credentials is None

    assert sign_in().client_id == kept.registration.client_id
    assert authorized(emulator)[-1]["client_id"] == kept.registration.client_id


def test_a_refresh_asks_for_the_same_and_is_verified(emulator: Emulator, sign_in: SignIn) -> None:
    """It names client and resource and no scope; the new ID token is verified with the issuer's keys."""
    first = sign_in()
    emulator.expire_access_tokens()
    emulator.clear_journal()
    with onplan.Client() as client:
        assert client.complete(onplan.CompletionRequest(messages="hi", model="gpt-5.5")).text

    token, keys = [row for row in emulator.journal() if "/plan/" not in row["path"]]
    assert set(token["body"]) == {"grant_type", "client_id", "refresh_token", "resource"}
    assert token["body"]["client_id"] == first.client_id
    assert keys["path"] == "/.well-known/jwks.json"
    kept = record()
    assert kept.unverified is False
    assert kept.registration
    assert kept.credentials
    assert kept.credentials.refresh_token != first.refresh_token


@pytest.mark.parametrize("forget", [False, True])
def test_keys_may_change(emulator: Emulator, sign_in: SignIn, forget: bool) -> None:
    """A key that is not known is looked up anew: at a refresh, and at the next sign-in."""
    sign_in()
    with onplan.Client() as client:
        client.complete("hi")
        for _ in range(2):
            emulator.rotate_keys(forget_old=forget)
            emulator.expire_access_tokens()
            assert client.complete("hi").text == "You said: hi"
            assert record().unverified is False
    assert sign_in().access_token


def test_a_refresh_whose_keys_cannot_be_had_is_verified_later(
    emulator: Emulator, sign_in: SignIn, caplog: pytest.LogCaptureFixture
) -> None:
    """The rotated set is kept and used; who it belongs to is asked again at the next start."""
    sign_in()
    emulator.expire_access_tokens()
    emulator.arm("siwc_jwks_503")
    with onplan.Client() as client:
        assert client.complete("hi").text == "You said: hi"
    assert record().unverified is True
    assert "could not be verified for now" in caplog.text

    emulator.clear_journal()
    with onplan.Client() as client:
        assert client.complete("hi").text == "You said: hi"
    assert record().unverified is False
    assert TOKEN not in [row["path"] for row in emulator.journal()]


TERMINAL = [
    "invalid_grant",
    "invalid_refresh_token",
    "token_expired",
    "refresh_token_expired",
    "refresh_token_invalidated",
    "refresh_token_reused",
]


@pytest.mark.parametrize("code", [*TERMINAL, *(f"{code}_nested" for code in TERMINAL)])
def test_the_end_of_a_session_asks_for_a_sign_in(emulator: Emulator, sign_in: SignIn, code: str) -> None:
    """Every terminal code means the same, in both shapes; the registration is there for the next sign-in."""
    first = sign_in()
    emulator.expire_access_tokens()
    emulator.arm(f"siwc_refresh_{code}")

    with onplan.Client() as client, pytest.raises(onplan.SignInAgainError):
        client.complete("hi")
    assert sign_in().client_id == first.client_id


def test_who_was_disconnected_in_the_settings_signs_in_again(emulator: Emulator, sign_in: SignIn) -> None:
    """OpenAI does not notify programs: it shows at the next refresh."""
    sign_in()
    emulator.revoke_refresh_tokens()
    emulator.expire_access_tokens()

    with onplan.Client() as client, pytest.raises(onplan.SignInAgainError, match="revoked") as caught:
        client.complete("hi")
    assert "onplan login" in caught.value.hint


@pytest.mark.parametrize("fault", ["siwc_token_unavailable", "siwc_token_invalid_client"])
def test_what_passes_keeps_the_credential(emulator: Emulator, sign_in: SignIn, fault: str) -> None:
    """A busy service, and a client that is not known for now, are no reason to sign in again."""
    before = sign_in()
    emulator.expire_access_tokens()
    emulator.arm(fault, times=9)
    with onplan.Client() as client, pytest.raises(onplan.RefreshError, match=r"Nothing is lost|failed"):
        client.complete("hi")

    emulator.disarm()
    assert record().credentials == before
    with onplan.Client() as client:
        assert client.complete("hi").text == "You said: hi"


@pytest.mark.parametrize(
    ("told", "refreshes"),
    [(None, 1), (-1.0, 1), (250.0, 0), ("2099-01-01T00:00:00Z", 0), ("tomorrow", 1)],
)
def test_the_earliest_time_of_a_refresh_is_kept(
    emulator: Emulator, sign_in: SignIn, told: Any, refreshes: int
) -> None:
    """As a number, a moment in ISO 8601 or null: while the token lasts, it is not refreshed before that."""
    import time

    moment = time.time() + told if isinstance(told, float) else told
    emulator.world.registry.scenario = msgspec.structs.replace(
        emulator.world.scenario, earliest_refresh_at=moment
    )
    emulator.set_access_token_lifetime(200)  # within the margin of a refresh
    sign_in()
    settings = load_settings()
    store = open_store(settings.store)
    kept, version = store.load()  # type: ignore[misc]
    store.save(msgspec.structs.replace(kept, obtained_at=time.time() - 100), version)
    emulator.clear_journal()
    with onplan.Client() as client:
        client.credentials()

    assert [row["path"] for row in emulator.journal()].count(TOKEN) == refreshes


# --- where it is kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["vault:secret/onplan", "codex:", "env:SOMETHING"])
def test_it_is_kept_on_this_machine(emulator: Emulator, spec: str) -> None:
    """A store that is not the person's own machine's is refused, with the reason."""
    with pytest.raises(onplan.ConfigurationError, match="is not kept in") as caught:
        onplan.Client(store=spec)
    assert "file:" in caught.value.hint


def test_one_profile_holds_one_kind(
    emulator: Emulator, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch, store: CredentialStore
) -> None:
    """Neither kind of sign-in overwrites the other's, nor is its token sent to the other's backend."""
    sign_in()
    before = record()
    monkeypatch.setenv("ONPLAN_BACKEND", "openai-codex")
    emulator.clear_journal()
    with pytest.raises(onplan.ConfigurationError, match="another backend"):
        sign_in()
    with onplan.Client() as client, pytest.raises(onplan.CredentialError, match="not one of the Codex"):
        client.complete("hi")

    assert record() == before
    assert emulator.journal() == []


def test_a_codex_sign_in_is_not_taken_for_one(
    signed_in: Emulator, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same the other way round."""
    store = open_store(load_settings().store)
    kept, version = store.load()  # type: ignore[misc]
    store.save(msgspec.structs.replace(kept, issuer_kind="codex", registration=None), version)
    signed_in.clear_journal()

    with onplan.Client() as client, pytest.raises(onplan.CredentialError, match="Sign in with ChatGPT"):
        client.complete("hi")
    with pytest.raises(onplan.ConfigurationError, match="another backend"):
        sign_in()
    assert signed_in.journal() == []
