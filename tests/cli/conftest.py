"""A plain environment, and a browser that needs no screen."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from onplan.cli import main

# What would say that a person came by SSH, has a screen, or works in a workspace in a cloud.
_SURROUNDINGS = (
    *("SSH_CONNECTION", "SSH_TTY", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER"),
    *("CODESPACE_NAME", "GITPOD_WORKSPACE_URL", "WEB_HOST", "VSCODE_PROXY_URI"),
    "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN",
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody came by SSH, there is no screen, and this is no workspace in a cloud."""
    for name in _SURROUNDINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def browser(tmp_path: Path) -> str:
    """A program that follows the redirects of an address, for ``BROWSER``."""
    script = tmp_path / "browser.py"
    script.write_text(
        "import sys, urllib.request as u\n"
        "u.build_opener(u.ProxyHandler({})).open(sys.argv[1], timeout=20).read()\n"
    )
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} %s"


@dataclass
class Done:
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command in this process, which takes a fraction of the time of another one."""

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        captured = capsys.readouterr()
        return Done(int(exit_.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
