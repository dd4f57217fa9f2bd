"""The thin distributions in packages/: built as wheels and installed for a test, without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def installed(package: str, folder: Path) -> Path:
    """The folder in which the wheel of ``package`` is installed, to be put on the path.

    The environment of development builds it: it has the build backend.
    """
    development = Path(sys.prefix).parents[1] / "bin/python"
    if not development.exists():
        pytest.skip("is run beside the environment of development: `make frameworks`")
    built = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    wheels, site = folder / "wheels", folder / "site"
    _pip(development, "wheel", *built, "--wheel-dir", wheels, ROOT / "packages" / package)
    [wheel] = wheels.iterdir()
    _pip(Path(sys.executable), "install", *built, "--target", site, wheel)
    return site


def _pip(python: Path, *arguments: str | Path) -> None:
    done = subprocess.run(
        [python, "-m", "pip", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
