"""The command in a hint is the one that works for this installation."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import onplan
from onplan.config.installation import install_command, missing_extra


@pytest.mark.parametrize(
    ("left_by", "command"),
    [
        ("pipx_metadata.json", "pipx install --force 'onplan[ws]'"),
        ("uv-receipt.toml", "uv tool install 'onplan[ws]'"),
    ],
)
def test_a_tool_that_owns_the_environment_is_named(tmp_path: Path, left_by: str, command: str) -> None:
    """pipx and uv tool leave a file in the environment that they made; pip there would be undone by them."""
    (tmp_path / left_by).touch()

    assert install_command("ws", tmp_path) == command


def test_pip_is_named_as_it_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``pip`` alone where that is this environment's; else Python's full path goes before it."""
    folder = tmp_path / "a b"
    folder.mkdir()
    for name in ("pip", "python"):
        (folder / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder))
    assert install_command("ws", tmp_path) == "pip install 'onplan[ws]'"

    monkeypatch.setenv("PATH", str(tmp_path))
    python = shlex.quote(str(folder / "python"))
    assert install_command("ws", tmp_path) == f"{python} -m pip install 'onplan[ws]'"


def test_an_environment_without_pip_is_uvs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv makes environments without pip; its own pip takes the path of their Python."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pip" else find_spec(name))

    command = install_command("ws", tmp_path)
    assert command == f"uv pip install --python {shlex.quote(sys.executable)} 'onplan[ws]'"


def test_the_error_names_the_command() -> None:
    """What is raised for a missing part has the command in its hint."""
    error = missing_extra("ws", "WebSocket")

    assert isinstance(error, onplan.MissingExtraError)
    assert str(error) == "WebSocket needs the optional part `ws`, which is not installed."
    assert error.hint == f"Run `{install_command('ws')}`."
