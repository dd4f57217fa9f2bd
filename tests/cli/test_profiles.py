"""Several sign-ins beside each other, as a person handles them on the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.sign_in import login
from onplan.stores import open_store


@pytest.fixture
def two(emulator: Emulator, browse: Callable[[str], None]) -> Emulator:
    """Signed in as ``home``, then as ``work``."""
    for name in ("home", "work"):
        settings = load_settings(profile=name)
        login.sign_in_with_browser(settings, open_store(settings.store), lambda started: None, browse=browse)
        remember_profile(settings)
    emulator.clear_journal()
    return emulator


def listed(run_cli: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    return {row["profile"]: row for row in json.loads(run_cli("profiles", "--json").stdout)}


def test_the_list_shows_each_and_marks_the_one_in_use(two: Emulator, run_cli: Callable[..., Any]) -> None:
    """`profiles` lists names, backends, stores and who it is; the one last signed in is in use."""
    rows = listed(run_cli)

    assert {name: row["in_use"] for name, row in rows.items()} == {"home": False, "work": True}
    assert rows["home"]["email"] == "person@example.com"
    assert rows["home"]["signed_in"] is True
    plain = run_cli("profiles", "list").stdout.splitlines()
    assert [line[:6] for line in plain] == ["  home", "* work"]


def test_choosing_one_signs_nobody_out(two: Emulator, run_cli: Callable[..., Any]) -> None:
    """`profiles use` changes who is asked for; both stay signed in, and the server hears nothing of it."""
    assert run_cli("profiles", "use", "home").returncode == 0

    assert json.loads(run_cli("status", "--json").stdout)["profile"] == "home"
    assert all(row["signed_in"] for row in listed(run_cli).values())
    assert two.journal() == []
    for name in ("home", "work"):
        with onplan.Client(profile=name) as client:
            assert client.complete("hi").text


def test_signing_out_one_leaves_the_other(two: Emulator, run_cli: Callable[..., Any]) -> None:
    """After `logout --profile work` the profile `home` still answers."""
    assert run_cli("logout", "--profile", "work").returncode == 0

    assert {name: row["signed_in"] for name, row in listed(run_cli).items()} == {"home": True, "work": False}
    with onplan.Client(profile="home") as client:
        assert client.complete("hi").text


def test_the_flag_wins_over_the_variable_and_that_over_the_choice(
    two: Emulator, run_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--profile`, then ONPLAN_PROFILE, then `profiles use`; who is overridden is told."""
    monkeypatch.setenv("ONPLAN_PROFILE", "home")
    chosen = run_cli("profiles", "use", "work")

    assert "ONPLAN_PROFILE is set to home" in chosen.stderr
    assert json.loads(run_cli("status", "--json").stdout)["profile"] == "home"
    assert json.loads(run_cli("status", "--json", "--profile", "work").stdout)["profile"] == "work"


def test_a_profile_is_forgotten_when_it_is_signed_out(two: Emulator, run_cli: Callable[..., Any]) -> None:
    """`profiles remove` refuses while its credential is there, with the command to type; then forgets it."""
    refused = run_cli("profiles", "remove", "work")
    assert (refused.returncode, "onplan logout --profile work" in refused.stderr) == (2, True)
    run_cli("logout", "--profile", "work")

    assert run_cli("profiles", "remove", "work").returncode == 0
    assert "work" not in listed(run_cli) or not listed(run_cli)["work"]["signed_in"]
    assert run_cli("profiles", "remove", "work").returncode == 2


def test_a_shared_store_outlives_its_profile(
    two: Emulator, run_cli: Callable[..., Any], tmp_path: Path
) -> None:
    """Forgetting a profile leaves a store of the person's own choice as it is."""
    store = f"file:{tmp_path / 'shared.json'}"
    open_store(store).save(open_store(load_settings(profile="home").store).load().record, None)  # type: ignore[union-attr]
    remember_profile(load_settings(profile="team", store=store))

    removed = run_cli("profiles", "remove", "team")
    assert removed.returncode == 0
    assert f"onplan logout --store {shlex.quote(store)}" in removed.stderr
    assert open_store(store).load() is not None


def test_what_the_environment_says_is_not_a_profiles_own(
    two: Emulator, run_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under ONPLAN_STORE each profile is listed with its own store, and the variable is told beside them."""
    before = listed(run_cli)
    monkeypatch.setenv("ONPLAN_STORE", f"file:{tmp_path / 'other.json'}")
    result = run_cli("profiles", "--json")

    assert {row["profile"]: row for row in json.loads(result.stdout)} == before
    assert f"ONPLAN_STORE is set to file:{tmp_path / 'other.json'}, which overrides" in result.stderr
    refused = run_cli("profiles", "remove", "work")
    assert (refused.returncode, "still signed in" in refused.stderr) == (2, True)


def test_a_store_is_told_in_one_form(two: Emulator, run_cli: Callable[..., Any]) -> None:
    """`store` in JSON is a store spec that may be given with --store, whichever command tells it."""
    spec = listed(run_cli)["work"]["store"]

    assert json.loads(run_cli("status", "--json").stdout)["store"] == spec
    assert json.loads(run_cli("status", "--json", "--store", spec).stdout)["signed_in"] is True
    assert json.loads(run_cli("logout", "--json").stdout)["store"] == spec


@pytest.mark.parametrize("command", ["use", "remove"])
def test_an_unknown_profile_is_refused(two: Emulator, run_cli: Callable[..., Any], command: str) -> None:
    """A name that never signed in is refused, with the command that lists those there are."""
    result = run_cli("profiles", command, "nobody")

    assert (result.returncode, "onplan profiles list" in result.stderr) == (2, True)


def test_the_configuration_file_is_the_persons_own(
    two: Emulator, run_cli: Callable[..., Any], clean_environment: Path
) -> None:
    """What config.toml says is not changed by a command; it says where to change it."""
    (clean_environment / "config.toml").write_text('profile = "home"\n[profiles.fixed]\nmodel = "gpt-5.5"\n')

    for arguments in (("use", "work"), ("remove", "fixed")):
        result = run_cli("profiles", *arguments)
        assert (result.returncode, "config.toml" in result.stderr) == (2, True)
    assert listed(run_cli)["fixed"]["signed_in"] is False


def test_a_damaged_credential_does_not_hide_the_others(two: Emulator, run_cli: Callable[..., Any]) -> None:
    """A store that cannot be read is named in the list, beside those that can."""
    path = Path(load_settings(profile="home").store.removeprefix("file:"))
    path.write_bytes(msgspec.json.encode([]))

    rows = listed(run_cli)

    assert "damaged" in rows["home"]["problem"]
    assert rows["work"]["signed_in"] is True
