"""What the tests of the plug-in of ``llm`` stand on: the plug-in registered, and a way to type commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llm
import pytest
from click.testing import CliRunner
from llm.cli import cli
from llm.plugins import load_plugins, pm

from onplan.emulator import Call, Emulator, Turn
from onplan.integrations import llm as plugin

from . import asking

MODEL = "onplan/gpt-5.5"
ARGUMENTS = '{"city" : "Oslo"}'  # not as Python would write it
LOOKED = Turn(thinking="I need to look.", tool_calls=[Call("weather", ARGUMENTS)])


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plug-in, as its entry point registers it; ``llm`` loads no others in tests."""
    monkeypatch.setattr(sys, "_called_from_test", True, raising=False)  # the name that llm looks for
    load_plugins()
    pm.register(plugin, "onplan")
    plugin.register_commands(cli)  # which llm has done for all others when it was imported
    yield
    pm.unregister(plugin)


@pytest.fixture(autouse=True)
def user_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """``llm``'s own folder: its log, its templates, and the file of names."""
    folder = tmp_path / "llm"
    folder.mkdir()
    monkeypatch.setenv("LLM_USER_PATH", str(folder))
    return folder


@pytest.fixture
def type_(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Type a command: ``type_("-m", MODEL, "hi")`` is ``llm -m … hi``, without a process of its own."""

    def run(*arguments: object, typed: str = "", fails: bool = False) -> Any:
        monkeypatch.setattr(sys, "_called_from_test", fails is False, raising=False)
        done = CliRunner().invoke(cli, [str(each) for each in arguments], input=typed)
        if not fails and done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert bool(done.exit_code) is fails, done.output
        return done

    return run


def asked(emulator: Emulator) -> list[dict[str, Any]]:
    """The bodies of the requests for answers."""
    return [row["body"] for row in asking.asked(emulator)]


def ask(prompt: str, **options: Any) -> str:
    """The answer, in this thread."""
    return str(llm.get_model(MODEL).prompt(prompt, **options).text())
