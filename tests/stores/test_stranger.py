"""Another package's store: the example of docs/stores.md, installed as the page says."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.sign_in import login
from onplan.stores import open_store

PAGE = (Path(__file__).parents[2] / "docs" / "stores.md").read_text(encoding="utf-8")


def block(language: str, mark: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return next(text for text in found if mark in text)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example, installed in a folder where this process and others find packages."""
    site = tmp_path / "site"
    metadata = site / "sqlite_store-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "sqlite_store.py").write_text(block("python", "class SQLiteStore"))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sqlite-store\nVersion: 1.0\n")
    ((group, entries),) = tomllib.loads(block("toml", "onplan.stores"))["project"]["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    return site


def test_it_is_short() -> None:
    """The store has no more than 40 lines."""
    assert len([line for line in block("python", "class SQLiteStore").splitlines() if line]) <= 40


def test_it_keeps_the_contract(package: Path) -> None:
    """Its own test, which is onplan's contract, passes where nothing else is set up."""
    (package / "test_sqlite_store.py").write_text(block("python", "class TestSQLiteStore"))
    strictly = ["-W", "error::ResourceWarning", "-W", "error::pytest.PytestUnraisableExceptionWarning"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *strictly, str(package)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert result.returncode == 0, result.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", result.stdout)[0]) >= 13
    assert "skipped" not in result.stdout


def test_it_is_used_like_any_other(
    package: Path,
    emulator: Emulator,
    browse: Callable[[str], None],
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sign in, ask with a token that must be refreshed, sign out: by a store spec, from any process."""
    database = tmp_path / "sign-in.db"
    monkeypatch.setenv("ONPLAN_STORE", f"sqlite:{database}")
    assert run_cli("status").returncode == onplan.NotSignedInError.exit_code
    login.sign_in_with_browser(
        load_settings(), open_store(f"sqlite:{database}"), lambda started: None, browse=browse
    )
    emulator.expire_access_tokens()

    assert run_cli("ask", "hi").stdout == "You said: hi\n"
    secrets = open_store(f"sqlite:{database}").load().record.credentials  # type: ignore[union-attr]
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert run_cli("logout").returncode == 0
    assert run_cli("status").returncode == onplan.NotSignedInError.exit_code
    assert secrets.refresh_token.encode() not in database.read_bytes()


def test_it_is_listed(package: Path) -> None:
    """Who misspells a scheme is told of this one as well."""
    with pytest.raises(onplan.ConfigurationError) as caught:
        open_store("sqlight:x")
    assert "sqlite:" in caught.value.hint
