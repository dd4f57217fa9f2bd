"""The command in a hint acts on the profile and backend that failed."""

from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable

import pytest

import onplan
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import open_store

from ..conftest import issued

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def work(signed_in: Emulator) -> Emulator:
    """Beside ``default``, which is in use, ``work`` is signed in, and at the other door ``plan``."""
    for name, backend in (("work", "openai-codex"), ("plan", "chatgpt-plan")):
        settings = load_settings(profile=name, backend=backend)
        tokens = signed_in.issue_plan_tokens() if name == "plan" else signed_in.issue_tokens()
        open_store(settings.store).save(issued(tokens, settings.issuer), None)
        remember_profile(settings)
    remember_profile(load_settings(profile="default", backend="openai-codex"))
    return signed_in


COMMANDS = {
    "work": "`onplan login --profile work`",
    "plan": "`onplan login --backend chatgpt-plan --profile plan`",
}


@pytest.mark.parametrize("profile", COMMANDS)
def test_a_hint_signs_in_the_profile_that_failed(work: Emulator, run_cli: Run, profile: str) -> None:
    """Typed as it stands, it replaces no other profile's sign-in: on the command line and in both clients."""
    work.revoke_refresh_tokens()
    work.expire_access_tokens()

    assert COMMANDS[profile] in run_cli("ask", "--profile", profile, "hi").stderr
    with onplan.Client(profile=profile) as client, pytest.raises(onplan.SignInAgainError) as caught:
        client.complete("hi")
    assert COMMANDS[profile] in caught.value.hint


@pytest.mark.parametrize("profile", COMMANDS)
async def test_so_does_the_asynchronous_clients(work: Emulator, profile: str) -> None:
    """The same, awaited."""
    work.revoke_refresh_tokens()
    work.expire_access_tokens()

    async with onplan.AsyncClient(profile=profile) as client:
        with pytest.raises(onplan.SignInAgainError) as caught:
            await client.complete("hi")
        assert COMMANDS[profile] in caught.value.hint


def test_a_program_that_catches_nothing_shows_the_hint_last(work: Emulator) -> None:
    """It stands below the traceback, once."""
    program = "import onplan; onplan.Client(profile='nobody').complete('hi')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr.endswith("with the profile nobody.\nRun `onplan login --profile nobody`.\n")
    assert done.stderr.count("Run `onplan login") == 1


def test_so_does_one_whose_client_cannot_be_made() -> None:
    """The hint is below the traceback once, too, whatever a copy of the error went through."""
    with pytest.raises(onplan.ConfigurationError) as caught:
        onplan.Client(profil="work")  # type: ignore[call-arg]
    shown = "".join(traceback.format_exception(pickle.loads(pickle.dumps(caught.value))))
    assert shown.endswith("no option 'profil'.\nDid you mean 'profile'?\n")


async def test_a_profile_that_was_named_is_named_again(work: Emulator, run_cli: Run) -> None:
    """Also ``default``, which is not what a command without a name uses while another one is in use."""
    assert run_cli("profiles", "use", "work").returncode == 0
    work.revoke_refresh_tokens()
    work.expire_access_tokens()

    assert "`onplan login --profile default`" in run_cli("ask", "--profile", "default", "hi").stderr
    assert run_cli("logout", "--profile", "default").returncode == 0
    with onplan.Client(profile="default") as client, pytest.raises(onplan.NotSignedInError) as caught:
        client.credentials()
    assert "`onplan login --profile default`" in caught.value.hint
    async with onplan.AsyncClient(profile="default") as client:
        with pytest.raises(onplan.NotSignedInError) as caught:
            await client.credentials()
    assert "`onplan login --profile default`" in caught.value.hint


def test_where_nobody_can_sign_in_nobody_is_told_to(
    run_cli: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable is to be set: there is nothing to sign in to."""
    monkeypatch.setenv("ONPLAN_STORE", "env:MY_TOKEN")
    refused = run_cli("ask", "hi")

    assert refused.returncode == 3
    assert "Set MY_TOKEN" in refused.stderr
    assert "login" not in refused.stderr


def test_a_base_url_that_was_given_is_not_called_a_variable() -> None:
    """The sentence names what the program wrote."""
    with pytest.raises(onplan.ConfigurationError, match=r"^The base URL is http:"):
        onplan.Client(base_url="http://example.com")
