"""What is typed: prompts, mistakes in commands and options, requests for help and completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from onplan.emulator import Emulator

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are bytes elsewhere")
@pytest.mark.parametrize(
    ("prompt", "environment", "read"),
    [
        (b"Z\xffrich", {}, "Z\ufffdrich"),
        ("Zürich".encode(), {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "Zürich"),
    ],
    ids=["not UTF-8", "a locale without UTF-8"],
)
def test_a_prompt_is_read_as_utf_8(
    signed_in: Emulator, prompt: bytes, environment: dict[str, str], read: str
) -> None:
    """Whatever the locale made of it; what is no UTF-8 is replaced, as on stdin."""
    command: list[Any] = [sys.executable, "-m", "onplan", "ask", prompt]
    env = {**os.environ, **environment}
    done = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    asked = signed_in.journal()[-1]["body"]["input"][-1]["content"][0]["text"]
    assert asked == read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_piped_prompt_may_be_in_any_unicode_encoding(signed_in: Emulator, encoding: str) -> None:
    """PowerShell pipes UTF-16, and byte order marks: they are no part of the prompt."""
    command = [sys.executable, "-m", "onplan", "ask"]
    piped = "Name three birds\n".encode(encoding)
    done = subprocess.run(command, input=piped, capture_output=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    asked = signed_in.journal()[-1]["body"]["input"][-1]["content"][0]["text"]
    assert asked == "Name three birds"


def test_a_mistake_is_told_in_json_where_json_was_asked_for(run_cli: Run) -> None:
    """Also where the mistake stands before what asks for it is understood."""
    refused = run_cli("ask", "hi", "--modle", "x", "--json")

    assert (refused.returncode, json.loads(refused.stderr)["error"]["code"]) == (2, "usage")


def test_the_shell_gets_its_completion_and_not_the_help(run_cli: Run) -> None:
    """README's line is evaluated by a shell: the help in its place would be run as commands."""
    for shell in ("bash", "zsh", "fish"):
        script = run_cli(env={**os.environ, "_ONPLAN_COMPLETE": f"{shell}_source"})
        assert script.returncode == 0
        assert "Usage:" not in script.stdout
        assert "_onplan_completion" in script.stdout
    words = {"_ONPLAN_COMPLETE": "bash_complete", "COMP_WORDS": "onplan as", "COMP_CWORD": "1"}
    assert run_cli(env={**os.environ, **words}).stdout == "plain,ask\n"


@pytest.mark.parametrize("command", ["ask", "profiles", "credentials"])
def test_help_is_asked_for_in_any_way(run_cli: Run, command: str) -> None:
    """`onplan help COMMAND` is `onplan COMMAND --help`."""
    asked, option = run_cli("help", command), run_cli(command, "--help")

    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout == option.stdout
    assert run_cli("help").stdout == run_cli("--help").stdout == run_cli("help", "help").stdout


@pytest.mark.parametrize("arguments", [[], ["-v"], ["credentials"]])
def test_a_group_without_a_command_shows_its_help(run_cli: Run, arguments: list[str]) -> None:
    """It is not a mistake: the help is on stdout, and the exit code is 0."""
    result = run_cli(*arguments)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: onplan")
    assert "Commands:" in result.stdout


by_click = pytest.mark.skipif(
    version("click") < "8.4", reason="click suggests options and a group's commands in these words since 8.4"
)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["statsu"], "`onplan status`"),
        (["help", "modles"], "`onplan models`"),
        (["hlep"], "`onplan help`"),
        (["search", "wren"], "`onplan ask --search`"),
        (["serch", "wren"], "`onplan ask --search`"),
        (["image", "--image", "a.png", "in blue"], "'--edit'"),
        (["image", "-i", "a.png", "in blue"], "'--edit'"),
        (["help", "hlep"], "`onplan help`"),
        pytest.param(["ask", "hi", "--modle", "x"], "--model", marks=by_click),
        pytest.param(["profiles", "lits"], "list", marks=by_click),
        (["login", "--devise"], "--device"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(run_cli: Run, arguments: list[str], meant: str) -> None:
    """Commands, commands of a group, and options; the exit code is 2."""
    refused = run_cli(*arguments)

    assert refused.returncode == 2
    assert "Did you mean" in refused.stderr
    assert meant in refused.stderr


def test_a_name_like_no_other_is_only_refused(run_cli: Run) -> None:
    """Nothing is suggested that was not meant; the hint says how to see what there is."""
    refused = run_cli("xyzzy")

    assert refused.returncode == 2
    assert refused.stderr == "error: There is no command 'xyzzy'.\n       Run `onplan --help`.\n"
