"""The env store: four forms of a sign-in in a variable, which is only read; no refresh token is spent."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.sign_in import login
from onplan.stores import Record, encode_record, open_store

RunCli = Callable[..., subprocess.CompletedProcess[str]]


def with_expiry(token: str, expires_at: float) -> str:
    """The token with another ``exp``; nobody here checks its signature."""
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"exp": int(expires_at)}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{payload}.{signature}"


def as_record(tokens: dict[str, Any]) -> str:
    kept = {name: tokens[name] for name in ("access_token", "refresh_token", "id_token")}
    record = Record(credentials=onplan.OAuthCredentials(**kept, account_id="acct-emulated-0001"))
    return encode_record(record).decode()


def as_codex_file(tokens: dict[str, Any]) -> str:
    names = ("access_token", "refresh_token", "id_token")
    kept = {name: tokens[name] for name in names} | {
        "account_id": "acct-emulated-0001",
        "login_owner_id": "x",
    }
    return json.dumps({"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": kept, "last_refresh": "…"})


FORMS: dict[str, Callable[[dict[str, Any]], str]] = {
    "record": as_record,
    "token response": json.dumps,
    "auth.json": as_codex_file,
    "bare token": lambda tokens: f" {tokens['access_token']}\n",
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], str]:
    """How the tokens are written into the variable."""
    return FORMS[request.param]


@pytest.fixture
def kept_in_variable(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put text into the variable, and point clients at it."""

    def put(text: str) -> None:
        monkeypatch.setenv("CI_SIGN_IN", text)
        monkeypatch.setenv("ONPLAN_STORE", "env:CI_SIGN_IN")

    return put


def requests(emulator: Emulator, path: str) -> list[Any]:
    return [row for row in emulator.journal() if row["path"] == path]


def test_every_form_serves(
    emulator: Emulator,
    kept_in_variable: Callable[[str], None],
    driver: Any,
    form: Callable[[dict[str, Any]], str],
) -> None:
    """A record, a token response, an auth.json or a bare token: each is enough to use the plan."""
    tokens = emulator.issue_tokens()
    kept_in_variable(form(tokens))

    assert driver().complete("hi").text == "You said: hi"
    record, _ = open_store("env:CI_SIGN_IN").load()  # type: ignore[misc]
    assert record.credentials
    assert record.credentials.access_token == tokens["access_token"]
    assert record.credentials.refresh_token is None
    assert record.credentials.account_id == "acct-emulated-0001"
    if form is not as_record:  # a record is what it says
        assert record.credentials.plan == "plus"
        assert record.credentials.expires_at


def test_an_expired_token_spends_nothing(
    emulator: Emulator,
    kept_in_variable: Callable[[str], None],
    driver: Any,
    form: Callable[[dict[str, Any]], str],
) -> None:
    """Expired, the token ends in one clear sentence; the issuer hears nothing, even with a refresh token."""
    tokens = emulator.issue_tokens()
    tokens["access_token"] = with_expiry(tokens["access_token"], time.time() - 60)
    text = form(tokens)
    if form is as_record:
        text = text.replace('"account_id"', f'"expires_at": {time.time() - 60}, "account_id"')
    kept_in_variable(text)

    with pytest.raises(onplan.SignInAgainError, match="variable CI_SIGN_IN has expired") as caught:
        driver().complete("hi")
    assert 'export CI_SIGN_IN="$(onplan token)"' in caught.value.hint
    assert emulator.journal() == []


def test_a_refused_token_spends_nothing(
    emulator: Emulator, kept_in_variable: Callable[[str], None], driver: Any
) -> None:
    """A token that the backend refuses is not exchanged either."""
    kept_in_variable(json.dumps(emulator.issue_tokens()))
    emulator.expire_access_tokens()

    with pytest.raises(onplan.SignInAgainError, match="variable CI_SIGN_IN is not accepted by the backend"):
        driver().complete(onplan.CompletionRequest(messages="hi", model="gpt-5.5"))
    assert requests(emulator, "/oauth/token") == []


def test_a_token_that_is_still_valid_is_used(
    emulator: Emulator, kept_in_variable: Callable[[str], None]
) -> None:
    """With less time left than the margin, where other stores refresh, it goes on being used to its end."""
    tokens = emulator.issue_tokens()
    token = with_expiry(tokens["access_token"], time.time() + 99)
    kept_in_variable(json.dumps({**tokens, "access_token": token}))

    with onplan.Client() as client:
        assert client.credentials().access_token == token
    assert emulator.journal() == []


def test_unset_and_empty_are_not_signed_in(
    kept_in_variable: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, driver: Any
) -> None:
    """An empty variable counts as unset, and both as nobody signed in."""
    kept_in_variable(" ")
    assert open_store("env:CI_SIGN_IN").load() is None
    monkeypatch.delenv("CI_SIGN_IN")
    assert open_store("env:CI_SIGN_IN").load() is None

    with pytest.raises(onplan.NotSignedInError):
        driver().complete("hi")


DAMAGED = {
    "half a JSON": '{"access_token": "at-1234',
    "no token": '{"refresh_token": "rt-1234"}',
    "an empty token": '{"access_token": ""}',
    "a number": '{"access_token": 5}',
    "no tokens": '{"tokens": {}}',
    "a damaged record": '{"schema": "one"}',
    "a list": '["at-1234"]',
    "two words": "at-1234 rt-1234",
    "quoted": '"at-1234"',
    "no ASCII": "at-1234\u00e9",
    "no UTF-8": "at-1234\udce9",
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_sign_in_is_told_apart(kept_in_variable: Callable[[str], None], text: str) -> None:
    """What cannot be understood is an error that shows nothing of it; it does not count as empty."""
    kept_in_variable(text)

    with pytest.raises(onplan.StoreDamagedError, match="variable CI_SIGN_IN holds neither") as caught:
        open_store("env:CI_SIGN_IN").load()
    assert "1234" not in str(caught.value) + caught.value.hint


def test_a_newer_record_asks_for_a_newer_onplan(kept_in_variable: Callable[[str], None]) -> None:
    """A record of a schema that is not known yet is no damage."""
    kept_in_variable('{"schema": 9}')

    with pytest.raises(onplan.StoreError, match="newer onplan"):
        open_store("env:CI_SIGN_IN").load()


def test_nothing_is_written(kept_in_variable: Callable[[str], None]) -> None:
    """Saving and deleting say that the variable is read-only, and by whom it can be changed."""
    kept_in_variable("at-1234")
    store = open_store("env:CI_SIGN_IN")
    loaded = store.load()
    assert loaded

    with store.lock(), pytest.raises(onplan.StoreError, match="can only be read") as caught:
        store.save(*loaded)
    assert 'export CI_SIGN_IN="$(onplan token)"' in caught.value.hint
    with pytest.raises(onplan.StoreError, match="onplan cannot remove it") as caught:
        store.delete()
    assert "unset CI_SIGN_IN" in caught.value.hint
    assert store.load() == loaded
    kept_in_variable("")
    store.delete()


@pytest.mark.parametrize("text", ["", "at-1234"])
def test_a_sign_in_fails_before_the_browser_opens(
    emulator: Emulator, kept_in_variable: Callable[[str], None], text: str
) -> None:
    """Nobody signs in for a store that cannot keep it."""
    kept_in_variable(text)
    opened: list[Any] = []

    with pytest.raises(onplan.StoreError, match="can only be read"):
        login.sign_in_with_browser(
            load_settings(), open_store("env:CI_SIGN_IN"), opened.append, browse=opened.append
        )
    assert opened == []


def test_a_sign_out_says_whose_turn_it_is(
    emulator: Emulator, kept_in_variable: Callable[[str], None], run_cli: RunCli
) -> None:
    """Another's tokens are not revoked, and who set the variable is asked to unset it."""
    kept_in_variable(json.dumps(emulator.issue_tokens()))
    result = run_cli("logout")

    assert result.returncode == onplan.StoreError.exit_code
    assert "onplan cannot remove it" in result.stderr
    assert "unset CI_SIGN_IN" in result.stderr
    assert emulator.journal() == []


def test_status_tells_what_it_is(
    emulator: Emulator, kept_in_variable: Callable[[str], None], run_cli: RunCli
) -> None:
    """The person sees who is signed in, where from, and that nobody refreshes it."""
    kept_in_variable(json.dumps(emulator.issue_tokens()))
    result = run_cli("status")

    assert result.returncode == 0
    assert "the environment variable CI_SIGN_IN" in result.stdout
    assert "cannot be refreshed" in result.stdout


@pytest.mark.parametrize("location", ["", "A B", "1A", "$HOME", "A?x=1"])
def test_the_name_must_be_one(location: str) -> None:
    """What cannot be a variable's name is refused."""
    with pytest.raises(onplan.ConfigurationError, match="name of an environment variable"):
        open_store(f"env:{location}")
