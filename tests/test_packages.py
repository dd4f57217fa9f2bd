"""The thin distributions in packages/: a part of onplan under the name that a framework's users look for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from onplan import __version__

PACKAGES = Path(__file__).parent.parent / "packages"


@pytest.mark.parametrize("package", sorted(path.name for path in PACKAGES.iterdir()))
def test_versions(package: str) -> None:
    """Each has onplan's version, and needs an onplan that has what it names."""
    project = tomllib.loads((PACKAGES / package / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == package
    assert project["version"] == __version__
    major, minor, _ = __version__.split(".")
    assert f"onplan=={major}.{minor}.*" in project["dependencies"]


@pytest.mark.parametrize("package", sorted(path.name for path in PACKAGES.iterdir()))
def test_licenses(package: str) -> None:
    """Each is a distribution of its own, and has the licence's text in it."""
    text = (PACKAGES.parent / "LICENSE").read_bytes()
    assert (PACKAGES / package / "LICENSE").read_bytes() == text
