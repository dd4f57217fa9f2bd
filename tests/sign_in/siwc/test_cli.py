"""The command line on this backend: signing in, what is said of the plan, signing out, moving."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.sign_in.host_id import host_id
from onplan.stores import open_store

from ...conftest import redirected
from .conftest import SignIn, record

Run = Callable[..., Any]


def paste(emulator: Emulator, *arguments: str) -> tuple[int, str, str]:
    """Sign in with ``--paste``: the browser is on another machine, and its last address is pasted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "onplan", "login", "--backend", "chatgpt-plan", "--paste", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = ""
    while not (found := re.search(r"^  (http://\S+/api/accounts/authorize\?\S+)$", said, re.MULTILINE)):
        line = process.stderr.readline()
        assert line, said
        said += line
    out, more = process.communicate(f"{redirected(found[1])}\n", timeout=60)
    return process.returncode, out, said + more


@pytest.fixture(autouse=True)
def on_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the option says it, and the profile remembers it."""


def test_the_first_sign_in_says_what_it_uses(emulator: Emulator, run_cli: Run) -> None:
    """Once the notice, and each time where the use is seen and limited; the profile is remembered."""
    exit_code, _, said = paste(emulator)

    assert exit_code == 0, said
    assert "You're using your ChatGPT plan" in said
    assert "Using ChatGPT plan · manage usage: https://chatgpt.com/settings/usage" in said
    assert "id_token_hint" not in said
    assert run_cli("ask", "hi").stdout == "You said: hi\n"
    exit_code, _, said = paste(emulator)
    assert exit_code == 0
    assert "You're using your ChatGPT plan" not in said
    assert "manage usage" in said
    assert "hint" not in said


def test_status_shows_account_and_registration(emulator: Emulator, run_cli: Run) -> None:
    """Who it is, which client, and whether the plan is on; in words and in JSON."""
    assert paste(emulator)[0] == 0
    told = run_cli("status")
    facts = json.loads(run_cli("status", "--json").stdout)

    assert facts["client_id"].startswith("oaiapp_")
    assert facts["plan_permitted"] is True
    assert facts["backend"] == "chatgpt-plan"
    for line in (
        "person@example.com",
        facts["client_id"],
        "manage usage: https://chatgpt.com/settings/usage",
    ):
        assert line in told.stdout


def test_a_declined_plan_is_asked_for_again(emulator: Emulator, run_cli: Run) -> None:
    """The sign-in says that the plan stays off, and `--consent` turns it on."""
    emulator.consent(plan=False)
    exit_code, _, said = paste(emulator)
    assert exit_code == 0
    assert "You declined the use of your ChatGPT plan" in said
    assert "settings/usage" not in said

    emulator.consent()
    assert paste(emulator, "--consent")[0] == 0
    assert json.loads(run_cli("status", "--json").stdout)["plan_permitted"] is True


def test_consent_is_for_this_backend(emulator: Emulator, run_cli: Run) -> None:
    """At other backends no consent is asked for; before the first sign-in it cannot be asked for again."""
    assert run_cli("login", "--consent", "--backend", "openai-codex").returncode == 2
    first = run_cli("login", "--consent", "--backend", "chatgpt-plan")
    assert first.returncode == 5
    assert "There is no sign-in in this profile yet" in first.stderr


def test_there_is_no_device_code(emulator: Emulator, run_cli: Run) -> None:
    """The error names the way that there is."""
    refused = run_cli("login", "--device", "--backend", "chatgpt-plan")

    assert refused.returncode == 2
    assert "onplan login --backend chatgpt-plan --paste" in refused.stderr


@pytest.mark.parametrize(("fault", "sentence"), [(None, "no longer work"), ("revoke", "did not confirm")])
def test_a_sign_out_is_confirmed_or_not(
    emulator: Emulator, run_cli: Run, fault: str | None, sentence: str
) -> None:
    """It says which; where to end it otherwise is ChatGPT's settings. The registration stays."""
    assert paste(emulator)[0] == 0
    if fault:
        emulator.arm("siwc_revoke_503", times=9)
    ended = run_cli("logout")

    assert ended.returncode == 0
    assert sentence in ended.stderr
    assert "ChatGPT's settings" in ended.stderr
    assert run_cli("status").returncode == 3
    assert record().registration


def test_doctor_examines_it(emulator: Emulator, run_cli: Run) -> None:
    """Every line is in order on this backend as well."""
    assert paste(emulator)[0] == 0
    examined = run_cli("doctor", "--json")

    assert examined.returncode == 0, examined.stdout
    assert "problem" not in {line["state"] for line in json.loads(examined.stdout)["checks"]}


# --- moving -------------------------------------------------------------------------------------------


@pytest.fixture
def other_machine(tmp_path: Path) -> dict[str, str]:
    """Another machine: a configuration folder of its own."""
    return {**os.environ, "ONPLAN_HOME": str(tmp_path / "other machine")}


def test_a_sign_in_moves_to_another_machine(
    emulator: Emulator, run_cli: Run, tmp_path: Path, other_machine: dict[str, str]
) -> None:
    """There it is used and refreshed, under that machine's own host id; this machine is signed out."""
    assert paste(emulator)[0] == 0
    moved = tmp_path / "moved.json"
    assert run_cli("credentials", "export", str(moved)).returncode == 0
    assert stat.S_IMODE(moved.stat().st_mode) == 0o600
    assert run_cli("ask", "hi").returncode == 3
    assert record().registration

    imported = run_cli("credentials", "import", str(moved), env=other_machine)
    assert imported.returncode == 0, imported.stderr
    assert not moved.exists()
    emulator.expire_access_tokens()
    assert run_cli("ask", "hi", env=other_machine).stdout == "You said: hi\n"
    assert json.loads(run_cli("status", "--json", env=other_machine).stdout)["backend"] == "chatgpt-plan"
    assert host_id(load_settings().home) != host_id(Path(other_machine["ONPLAN_HOME"]))
    assert "/api/accounts/oauth/revoke" not in [row["path"] for row in emulator.journal()]


def test_a_codex_sign_in_moves_as_well(
    signed_in: Emulator, run_cli: Run, tmp_path: Path, other_machine: dict[str, str]
) -> None:
    """The file says which backend it is for."""
    moved = str(tmp_path / "moved.json")
    facts = json.loads(run_cli("credentials", "export", moved, "--json").stdout)
    assert (facts["backend"], facts["email"]) == ("openai-codex", "person@example.com")
    assert (
        run_cli("credentials", "import", moved, "--backend", "chatgpt-plan", env=other_machine).returncode
        == 2
    )
    assert run_cli("credentials", "import", moved, env=other_machine).returncode == 0
    assert run_cli("ask", "hi", env=other_machine).returncode == 0


def test_nothing_is_lost_in_a_move(emulator: Emulator, run_cli: Run, tmp_path: Path) -> None:
    """What cannot be moved stays where it is: no such folder, a file that exists, a profile in use."""
    assert paste(emulator)[0] == 0
    taken = tmp_path / "taken.json"
    taken.write_text("precious")
    assert run_cli("credentials", "export", str(taken)).returncode == 2
    assert run_cli("credentials", "export", str(tmp_path / "no" / "folder.json")).returncode == 7
    assert taken.read_text() == "precious"
    assert run_cli("ask", "hi").returncode == 0

    moved = tmp_path / "moved.json"
    assert run_cli("credentials", "export", str(moved)).returncode == 0
    assert run_cli("credentials", "export", str(tmp_path / "again.json")).returncode == 3
    assert paste(emulator)[0] == 0
    assert run_cli("credentials", "import", str(moved)).returncode == 2
    assert run_cli("credentials", "import", str(moved), "--profile", "other").returncode == 0
    assert run_cli("credentials", "import", str(tmp_path / "nothing.json")).returncode == 3


def test_a_shared_store_is_not_moved(emulator: Emulator, run_cli: Run, tmp_path: Path) -> None:
    """Others use it as it is; the error says how to use it from there."""
    refused = run_cli("credentials", "export", str(tmp_path / "x"), "--store", "codex:")

    assert refused.returncode == 2
    assert "--store codex:" in refused.stderr


def test_the_sign_in_of_others_is_left_alone(emulator: Emulator, sign_in: SignIn, run_cli: Run) -> None:
    """`profiles remove` asks for a sign-out first, on this backend as on every other."""
    settings = load_settings(backend="chatgpt-plan", profile="team")
    assert open_store(settings.store).load() is None
    assert paste(emulator, "--profile", "team")[0] == 0
    assert run_cli("profiles", "remove", "team").returncode == 2
    assert run_cli("logout", "--profile", "team").returncode == 0
    assert run_cli("profiles", "remove", "team").returncode == 0
