"""A store that cannot be used, as a person meets it: what happened, and the way out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import open_store

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("command", [["status"], ["login"], ["logout"]], ids=lambda command: command[0])
def test_a_folder_is_no_file(run_cli: Run, tmp_path: Path, command: list[str]) -> None:
    """Who names a folder is told to name a file in it."""
    (tmp_path / "folder").mkdir()
    result = run_cli(*command, "--store", f"file:{tmp_path / 'folder'}")

    assert result.returncode == 7
    assert "it is a folder" in result.stderr
    assert f"`--store file:{tmp_path / 'folder'}/credentials.json`" in result.stderr


@pytest.mark.parametrize("command", [["status"], ["login"]], ids=lambda command: command[0])
def test_a_file_is_no_folder(run_cli: Run, tmp_path: Path, command: list[str]) -> None:
    """Who names a path that goes through a file is told to name another."""
    (tmp_path / "file").write_text("")
    for place in ("file/credentials.json", "file/deeper/credentials.json"):
        result = run_cli(*command, "--store", f"file:{tmp_path / place}")

        assert result.returncode == 7
        assert "one of the folders in its path is a file" in result.stderr
        assert "another folder" in result.stderr


def test_the_way_out_of_a_damaged_store_leads_out(signed_in: Emulator, run_cli: Run) -> None:
    """The hint for a damaged sign-in names a command that exists, and after it one can sign in again."""
    Path(load_settings().store.removeprefix("file:")).write_text("damaged")
    told = run_cli("ask", "hi")

    assert told.returncode == 61
    assert "`onplan logout --force`" in told.stderr
    assert run_cli("logout", "--force").returncode == 0
    assert run_cli("login", "--device").returncode == 0
    assert open_store(load_settings().store).load()


def test_a_wrong_token_in_a_variable_is_not_an_old_one(emulator: Emulator, run_cli: Run) -> None:
    """A token that the backend does not know is told as that, and by the variable that it came from."""
    env = {**os.environ, "SOMEBODY_SET_THIS": "nonsense", "ONPLAN_STORE": "env:SOMEBODY_SET_THIS"}
    refused, status = run_cli("ask", "hi", env=env), run_cli("status", env=env)

    assert refused.returncode == 4
    assert "variable SOMEBODY_SET_THIS is not accepted by the backend" in refused.stderr
    assert "borrowed" not in refused.stderr + status.stdout
    assert "expired" not in refused.stderr
    assert "stored in  the environment variable SOMEBODY_SET_THIS" in status.stdout
