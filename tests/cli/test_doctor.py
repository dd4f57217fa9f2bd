"""``onplan doctor`` as a user meets it: lines, JSON, exit codes, and no token anywhere."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from onplan import doctor
from onplan.emulator import Emulator

Run = Callable[..., subprocess.CompletedProcess[str]]


def secrets(home: Path) -> list[str]:
    stored = json.loads((home / "credentials" / "default.json").read_text())["credentials"]
    return [value for name, value in stored.items() if name.endswith("_token")]


def test_every_check_has_its_line(signed_in: Emulator, run_cli: Run) -> None:
    """All is well: a line for each check, on stdout, and exit code 0."""
    result = run_cli("doctor")
    lines = [line.split(None, 2) for line in result.stdout.splitlines()]

    assert (result.returncode, result.stderr) == (0, "")
    assert [line[1] for line in lines] == [check.name for check in doctor.CHECKS]
    assert {line[0] for line in lines} == {"ok", "skipped"}


def test_a_problem_has_its_fix(emulator: Emulator, run_cli: Run) -> None:
    """A problem's fix is the line below it; the exit code is that of its error class."""
    result = run_cli("doctor")
    lines = result.stdout.splitlines()
    problem = next(number for number, line in enumerate(lines) if line.startswith("problem"))

    assert result.returncode == 3
    assert lines[problem].split(None, 2)[1:] == ["token", "Not signed in with the profile default."]
    assert lines[problem + 1].strip() == "Run `onplan login`."


def test_the_json_shape(signed_in: Emulator, run_cli: Run) -> None:
    """With --json it is one object: whether all is well, and the checks in their order."""
    signed_in.arm("usage_limit_429")
    result = run_cli("doctor", "--json")
    told = json.loads(result.stdout)

    assert (result.returncode, result.stderr) == (20, "")
    assert told["ok"] is False
    assert [check["name"] for check in told["checks"]] == [check.name for check in doctor.CHECKS]
    for check in told["checks"]:
        assert set(check) == {"name", "state", "message", "seconds"} | (
            {"fix"} if check["state"] == "problem" else set()
        )
        assert check["state"] in {"ok", "problem", "skipped"}
        assert check["seconds"] >= 0
    request = told["checks"][-1]
    assert "The 5-hour usage limit of the plus plan is reached; it resets at" in request["message"]
    assert "Wait until it resets" in request["fix"]


def test_the_first_problem_decides(
    signed_in: Emulator, run_cli: Run, clean_environment: Path, unused_url: str
) -> None:
    """With several problems the exit code is the first one's."""
    (clean_environment / "credentials" / "default.json").write_text("{}x")
    result = run_cli("doctor", "--json", env={**os.environ, "ONPLAN_ISSUER": unused_url})
    told = json.loads(result.stdout)["checks"]

    assert [check["name"] for check in told if check["state"] == "problem"] == ["issuer", "store"]
    assert result.returncode == 40


def test_options_choose_the_credential(signed_in: Emulator, run_cli: Run, tmp_path: Path) -> None:
    """--profile and --store are examined instead of what is in use."""
    result = run_cli("doctor", "--offline", "--profile", "work", "--store", f"file:{tmp_path / 'w.json'}")

    assert result.returncode == 3
    assert f"Profile work, backend openai-codex, store file:{tmp_path / 'w.json'}." in result.stdout
    assert "Not signed in with the profile work." in result.stdout


@pytest.mark.parametrize("fault", [None, "models_not_json", "cut_mid_event", "unauthorized_once"])
def test_no_token_is_shown(
    signed_in: Emulator, run_cli: Run, clean_environment: Path, fault: str | None
) -> None:
    """Neither a line, nor JSON, nor the log of -v holds a token, whatever goes wrong."""
    before = secrets(clean_environment)
    for arguments in (["doctor"], ["doctor", "--json"]):
        if fault:
            signed_in.arm(fault, times=3)
        result = run_cli("-v", *arguments)
        told = result.stdout + result.stderr
        assert "Traceback" not in told
        assert len(before) == 3
        hidden = [*before, *secrets(clean_environment)]
        assert [secret for secret in hidden if secret in told] == []


def test_the_doctor_explains_itself(run_cli: Run) -> None:
    """The group lists it with its own first line, and its help says what it costs and how it exits."""
    one, group = run_cli("doctor", "--help"), run_cli("--help")

    assert one.returncode == 0
    assert one.stdout.splitlines()[2].strip() in group.stdout
    assert "uses a little of the plan" in " ".join(one.stdout.split())
