"""The plug-in of ``llm`` as it is installed: names of models, profiles, its commands, its start, its page."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import llm
import pytest

import onplan
from onplan.backends import OPENAI_CODEX
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Turn
from onplan.integrations.llm.models import OnplanOptions
from onplan.stores import open_store

from ..conftest import issued
from . import distributions, pages
from .llm_plugin import MODEL, ask, registered, type_, user_folder  # noqa: F401

ROOT = distributions.ROOT


@pytest.fixture
def two_profiles(signed_in: Emulator) -> Emulator:
    """``default`` is signed in with Codex, and ``plan`` with ChatGPT; the first is in use."""
    plan = load_settings(profile="plan", backend="chatgpt-plan")
    open_store(plan.store).save(issued(signed_in.issue_plan_tokens(), plan.issuer), None)
    for settings in (plan, load_settings(profile="default")):
        remember_profile(settings)
    return signed_in


def test_what_is_known_without_asking(signed_in: Emulator, user_folder: Path) -> None:
    """The built-in models, whatever the file of names holds, and no request."""
    built_in = [f"onplan/{model.id}" for model in OPENAI_CODEX.fallback_models]
    for content in (
        None,
        "",
        "{",
        "[]",
        '{"models": []}',
        '{"models": {"plan": ["x"]}}',
        '{"models": {"": 5}}',
    ):
        if content is not None:
            (user_folder / "onplan.json").write_text(content)
        assert _registered() == ["onplan/default", *built_in]
    assert signed_in.journal() == []


def _registered() -> list[str]:
    models = [each.model.model_id for each in llm.get_models_with_aliases()]
    return [model for model in models if model.startswith("onplan/")]


def test_both_sign_ins(two_profiles: Emulator, type_: Callable[..., Any]) -> None:
    """Each profile has its models, once they were listed; the name says which plan is asked."""
    refreshed = type_("onplan", "refresh")
    type_("-m", "onplan/plan/gpt-5.5", "x")
    type_("-c", "y")
    type_("-m", "onplan/default/gpt-5.5", "z")

    assert re.search(r"^default: \d+ models of openai-codex\.$", refreshed.stderr, re.MULTILINE)
    assert re.search(r"^plan: \d+ models of chatgpt-plan\.$", refreshed.stderr, re.MULTILINE)
    assert refreshed.stdout.splitlines() == _registered()
    asked_at = [row["path"] for row in two_profiles.journal() if row["path"].endswith("/responses")]
    assert asked_at == ["/plan/v1/responses"] * 2 + ["/backend-api/codex/responses"]


def test_a_profile_that_cannot_be_asked(two_profiles: Emulator, type_: Callable[..., Any]) -> None:
    """The others are listed all the same; it keeps its models, and the exit code says that it failed."""
    type_("onplan", "refresh")
    before = _registered()
    open_store(load_settings(profile="plan").store).delete()
    failed = type_("onplan", "refresh", fails=True)

    assert "default: " in failed.stderr
    assert "`llm onplan login --backend chatgpt-plan --profile plan`" in failed.stderr
    assert _registered() == before


def test_signing_in(emulator: Emulator, type_: Callable[..., Any], user_folder: Path) -> None:
    """``llm onplan login`` is ``onplan login``; the models that the plan offers are known from then on."""
    said = type_("onplan", "login", "--device").stderr

    assert "Signed in as person@example.com" in said
    assert 'Try `llm onplan ask "Name three birds"`' in said
    assert [row["path"] for row in emulator.journal()][-1].startswith("/backend-api/codex/models")
    assert type_("-m", "onplan", "hi").stdout == "You said: hi\n"
    assert (user_folder / "onplan.json").exists()
    status = type_("onplan", "status").stdout
    assert "person@example.com" in status
    assert "`llm onplan usage`" in status
    assert "gpt-5.5" in type_("onplan", "models").stdout
    assert "5-hour" in type_("onplan", "usage").stdout
    type_("onplan", "logout")
    refused = type_("onplan", "status", fails=True)
    assert refused.exit_code == 3
    assert "Run `llm onplan login`" in refused.stderr


def test_the_command_line_of_onplan(emulator: Emulator, type_: Callable[..., Any]) -> None:
    """All of it is there, under the name by which it is called; mistakes say what to type."""
    shown = type_("onplan", "--help").stdout

    assert shown.startswith("Usage: llm onplan [OPTIONS]")
    assert re.search(r"^  refresh +List the models of every profile", shown, re.MULTILINE)
    assert type_("onplan", "login", "--help").stdout.startswith("Usage: llm onplan login")
    wrong = type_("onplan", "refres", fails=True)
    assert wrong.exit_code == 2
    assert "Did you mean `llm onplan refresh`?" in wrong.stderr
    assert "Run `llm onplan --help`" in wrong.stderr
    assert "Sign in with a ChatGPT plan, see what it has left" in type_("--help").stdout


def test_a_folder_that_cannot_be_written(signed_in: Emulator, user_folder: Path) -> None:
    """The answer is given all the same."""
    (user_folder / "onplan.json").mkdir()
    assert ask("x") == "You said: x"
    assert [path.name for path in user_folder.iterdir()] == ["onplan.json"]


# --- as it is installed -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where packages/llm-onplan is installed."""
    return distributions.installed("llm-onplan", tmp_path_factory.mktemp("installed"))


@pytest.fixture
def variables(site: Path) -> dict[str, str]:
    """The environment of a process that has the plug-in installed, and no other."""
    path = os.pathsep.join((str(ROOT / "src"), str(site)))
    return {**os.environ, "PYTHONPATH": path, "LLM_LOAD_PLUGINS": "llm-onplan"}


@pytest.fixture
def in_a_process(variables: dict[str, str]) -> Callable[..., Any]:
    """Run Python there."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def on_a_screen(variables: dict[str, str]) -> Callable[..., str]:
    """Run Python there in a terminal; what is then on its screen."""

    def run(*arguments: object) -> str:
        ours, theirs = os.openpty()
        command = [sys.executable, *map(str, arguments)]
        process = subprocess.Popen(command, env=variables, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        screen = b""
        with suppress(OSError):  # nobody has the other end any more
            while data := os.read(ours, 65536):
                screen += data
        os.close(ours)
        assert process.wait(60) == 0
        return screen.decode().replace("\r\n", "\n")

    return run


def test_the_program_itself(signed_in: Emulator, in_a_process: Callable[..., Any]) -> None:
    """``llm``, with the plug-in that its entry point names: it answers, and ends without a word on stderr."""
    done = in_a_process("-X", "dev", "-W", "error", "-m", "llm", "-m", "onplan", "-R", "one two")
    assert (done.stdout, done.stderr, done.returncode) == ("You said: one two\n", "", 0)
    [mine] = json.loads(in_a_process("-m", "llm", "plugins").stdout)
    assert mine["name"] == "llm-onplan"
    assert mine["version"] == onplan.__version__
    assert mine["hooks"] == ["register_commands", "register_models", "register_tools"]


REMARK = "openai-codex does not take temperature: left out.\n"
_WARMER = ("-m", "llm", "-m", MODEL, "-R", "-o", "temperature", 1)


def test_remarks(signed_in: Emulator, in_a_process: Callable[..., Any]) -> None:
    """They go to stderr, so that a pipe has the answer alone, with lines of their own there as well."""
    for options in ((), ("--no-stream",)):
        done = in_a_process(*_WARMER, *options, "one two")
        assert (done.stdout, done.stderr, done.returncode) == ("You said: one two\n", REMARK, 0)


@pytest.mark.parametrize(
    ("said", "options", "shown"),
    [
        ("Two", (), f"Two\n{REMARK}\n"),
        ("Two\n", (), f"Two\n{REMARK}\n"),
        ("Two", ("--no-stream",), f"{REMARK}Two\n"),
    ],
    ids=["within a line", "after a line", "whole"],
)
def test_remarks_on_a_screen(
    signed_in: Emulator, on_a_screen: Callable[..., str], said: str, options: tuple[str, ...], shown: str
) -> None:
    """Where the answer and they are shown on the same one, each begins a line."""
    signed_in.play(Turn(text=said))
    assert on_a_screen(*_WARMER, *options, "one") == shown


_STARTED = """
import sys
from llm.plugins import load_plugins
import llm, socket
socket.socket = None
load_plugins()
from llm.cli import cli
llm.get_models_with_aliases()
print(*sorted(name for name in sys.modules if name.startswith("onplan")))
"""


def test_a_start_is_cheap(signed_in: Emulator, in_a_process: Callable[..., Any]) -> None:
    """To list the models, nothing of onplan is imported beyond six small modules, and no socket is opened."""
    assert in_a_process("-c", _STARTED).stdout.split() == [
        "onplan",
        "onplan._version",
        "onplan.integrations",
        "onplan.integrations.llm",
        "onplan.integrations.llm.models",
        "onplan.integrations.llm.names",
    ]


# --- the page ---------------------------------------------------------------------------------------


PAGE = (pages.PAGES / "llm.md").read_text()


@pytest.mark.parametrize("code", pages.python_blocks("llm.md"))
def test_the_python_examples_run(signed_in: Emulator, in_a_process: Callable[..., Any], code: str) -> None:
    """Those of the page, without an error."""
    exec(compile(code, str(PAGE), "exec"), {})


def test_the_commands_of_the_page_run(
    two_profiles: Emulator, type_: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the page, one after the other."""
    monkeypatch.chdir(ROOT)
    lines = re.findall(r"^\$ .*$", PAGE, re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        start, *arguments = shlex.split(line.removeprefix("$ "))
        assert start == "llm"
        type_(*arguments)


def test_options_of_the_page() -> None:
    """Each option is on it."""
    told = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert OnplanOptions.model_fields.keys() <= told
