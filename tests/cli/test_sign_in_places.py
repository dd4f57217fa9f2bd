"""Signing in where the browser, the terminal or the disk is not as usual."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onplan.cli.remote import forwarded_address
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import open_store

from ..conftest import eventually, redirected
from .terminal import ONPLAN, terminal

Run = Callable[..., subprocess.CompletedProcess[str]]
needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="pty(7)")


# --- the terminal ---------------------------------------------------------------------------------------

_GREEDY = """#!/bin/sh
cd {folder}
if read -r typed; then echo "$typed" >>took; fi
if (read -r typed </dev/tty) 2>/dev/null; then echo terminal >>took; fi
echo shown >>"$(tty 2>/dev/null || echo nothing)"
touch finished
"""


@needs_terminal
def test_a_browser_does_not_get_the_terminal(emulator: Emulator, tmp_path: Path) -> None:
    """What is started to open the address can neither read what is typed nor write on the screen."""
    folder = tmp_path / "greedy"
    folder.mkdir()
    program = folder / "browser"
    program.write_text(_GREEDY.format(folder=shlex.quote(str(folder))))
    program.chmod(0o700)

    with terminal(*ONPLAN, "login", BROWSER=shlex.quote(str(program)), DISPLAY=":0") as at:
        url = at.address()
        eventually((folder / "finished").exists)
        at.type(redirected(url) + "\n")
        assert at.end() == (0, "")

    assert not (folder / "took").exists()
    assert "shown" not in at.screen


@needs_terminal
@pytest.mark.parametrize("how", [[], ["--paste"]], ids=["login", "login --paste"])
@pytest.mark.parametrize("cut", ["code=ac_", "openid+", "&sta"])
def test_an_address_in_two_lines_signs_in(emulator: Emulator, how: list[str], cut: str) -> None:
    """An address that a narrow terminal broke is put together; its halves are explained, and end nothing."""
    with terminal(*ONPLAN, "login", *how) as at:
        address = redirected(at.address())
        end = address.index(cut) + len(cut)
        at.type(address[:end] + "\n")
        at.read_until("That is not the whole address")
        assert at.process.poll() is None
        at.type(address[end:] + "\n")
        assert at.end() == (0, "")

    assert "Signed in as person@example.com" in at.screen


@needs_terminal
@pytest.mark.parametrize("how", [[], ["--paste"]], ids=["login", "login --paste"])
def test_lines_that_come_together_are_one_paste(emulator: Emulator, how: list[str]) -> None:
    """A paste in several lines is read as a whole, so that its first line is no answer though it might be."""
    with terminal(*ONPLAN, "login", *how) as at:
        fields = dict(field.split("=") for field in redirected(at.address()).partition("?")[2].split("&"))
        code = fields["code"]
        at.type(f"state={fields['state']}&code={code[:9]}\n{code[9:]}\n")
        assert at.end() == (0, "")

    assert "That is not" not in at.screen


@needs_terminal
@pytest.mark.parametrize("how", [[], ["--paste"]], ids=["login", "login --paste"])
def test_a_paste_without_its_line_end_is_read_too(emulator: Emulator, how: list[str]) -> None:
    """What was pasted before Ctrl-D counts: twice, because the first one only hands over the line."""
    with terminal(*ONPLAN, "login", *how) as at:
        at.type(redirected(at.address()) + "\x04\x04")
        assert at.end() == (0, "")


# --- a workspace in a cloud -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        ({"CODESPACE_NAME": "fuzzy-space-x7"}, "https://fuzzy-space-x7-1455.app.github.dev"),
        (
            {"CODESPACE_NAME": "x", "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "preview.app.github.dev"},
            "https://x-1455.preview.app.github.dev",
        ),
        ({"GITPOD_WORKSPACE_URL": "https://me-x1.ws-eu1.gitpod.io"}, "https://1455-me-x1.ws-eu1.gitpod.io"),
        ({"WEB_HOST": "cs-1.cs-europe.cloudshell.dev"}, "https://1455-cs-1.cs-europe.cloudshell.dev"),
        ({"VSCODE_PROXY_URI": "https://code.example/proxy/{{port}}/"}, "https://code.example/proxy/1455"),
        ({"VSCODE_PROXY_URI": "https://{{port}}.code.example"}, "https://1455.code.example"),
        ({"VSCODE_PROXY_URI": "https://code.example/"}, None),
    ],
)
def test_where_a_port_is_forwarded_to(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: str | None
) -> None:
    """Workspaces say in their environment by which address their ports are reached."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert forwarded_address(1455) == address


def test_in_a_codespace_the_forwarded_address_is_named(
    emulator: Emulator, run_cli: Run, browser: str
) -> None:
    """Whoever ends at localhost on the own machine is told what to put in its place."""
    result = run_cli("login", env={**os.environ, "BROWSER": browser, "CODESPACE_NAME": "fuzzy"})

    assert result.returncode == 0
    assert (
        "replace `http://localhost:1455` in its address bar by `https://fuzzy-1455.app.github.dev`"
        in result.stderr
    )


# --- a configuration folder that cannot be written ------------------------------------------------------


@pytest.fixture
def unwritable(clean_environment: Path) -> Path:
    """A configuration folder in which profiles.json cannot be written, whoever runs this."""
    (clean_environment / "profiles.json.lock").mkdir(parents=True)
    return clean_environment


def test_a_sign_in_is_kept_though_the_profile_is_not(
    emulator: Emulator, unwritable: Path, run_cli: Run, browser: str, tmp_path: Path
) -> None:
    """Signed in is signed in: exit 0, JSON on stdout, and on stderr how to name it from now on."""
    store = f"file:{tmp_path / 'a file.json'}"
    named = ["--profile", "work", "--store", store]
    result = run_cli("login", "--json", *named, env={**os.environ, "BROWSER": browser})

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["email"] == "person@example.com"
    assert (
        "The sign-in is stored, but its profile could not be put in use: "
        f"{unwritable / 'profiles.json'} cannot be written" in result.stderr
    )
    assert f"Add `--profile work --store {shlex.quote(store)}` to each command" in result.stderr
    assert run_cli("status", *named).returncode == 0
    assert run_cli("status").returncode == 3


def test_so_is_one_in_the_profile_that_is_in_use_anyway(
    emulator: Emulator, unwritable: Path, run_cli: Run, browser: str
) -> None:
    """Where nothing has to be named, no option is advised; and the next command finds it."""
    result = run_cli("login", env={**os.environ, "BROWSER": browser})

    assert result.returncode == 0
    assert "cannot be written" in result.stderr
    assert "to each command" not in result.stderr
    assert run_cli("status").returncode == 0


def test_so_is_a_key(unwritable: Path, run_cli: Run, tmp_path: Path) -> None:
    """An API key is kept as well."""
    named = ["--backend", "openai", "--profile", "key", "--store", f"file:{tmp_path / 'key.json'}"]
    result = run_cli("login", "--api-key", "--json", *named, input="\ufeffsk-example\n")

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["profile"] == "key"
    assert "Add `--profile key --backend openai --store" in result.stderr
    loaded = open_store(named[-1]).load()
    assert loaded
    assert loaded.record.api_key == "sk-example"


def test_so_is_a_borrowed_token(signed_in: Emulator, unwritable: Path, run_cli: Run, tmp_path: Path) -> None:
    """An import is one, too; one that shares the store changes nothing but the profile, and so fails."""
    source = load_settings().store
    named = ["--profile", "other", "--store", f"file:{tmp_path / 'borrowed.json'}"]
    result = run_cli("import", source, "--json", *named)

    assert (result.returncode, json.loads(result.stdout)["profile"]) == (0, "other")
    assert "Add `--profile other --store" in result.stderr

    shared = run_cli("import", source, "--share", "--profile", "other")
    assert (shared.returncode, shared.stdout) == (2, "")
    assert "cannot be written" in shared.stderr


def test_what_needs_the_folder_is_refused_before_the_browser(
    emulator: Emulator, clean_environment: Path, run_cli: Run, browser: str, tmp_path: Path
) -> None:
    """A registration needs this machine's id, which is kept in the folder: without, no browser is opened."""
    (clean_environment / "host-id.lock").mkdir(parents=True)
    named = ["--backend", "chatgpt-plan", "--store", f"file:{tmp_path / 'plan.json'}"]
    result = run_cli("login", *named, env={**os.environ, "BROWSER": browser})

    assert result.returncode == 2
    assert "The host id cannot be kept" in result.stderr
    assert "ONPLAN_HOME" in result.stderr
    assert emulator.journal() == []


def test_what_is_remembered_already_needs_no_writing(
    emulator: Emulator, clean_environment: Path, run_cli: Run, browser: str
) -> None:
    """Signing in once more in the same profile does not write what stands there already."""
    assert run_cli("login", env={**os.environ, "BROWSER": browser}).returncode == 0
    (clean_environment / "profiles.json.lock").unlink()
    (clean_environment / "profiles.json.lock").mkdir()
    result = run_cli("login", env={**os.environ, "BROWSER": browser})

    assert (result.returncode, "cannot be written" in result.stderr) == (0, False)


def test_without_a_home_folder_a_token_in_the_environment_is_used(
    signed_in: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file is needed, no folder is."""
    monkeypatch.setenv("TOKEN", signed_in.issue_tokens()["access_token"])
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "ONPLAN_HOME")}

    result = run_cli("ask", "hi", "--store", "env:TOKEN", env=environment)

    assert (result.returncode, result.stdout) == (0, "You said: hi\n")
