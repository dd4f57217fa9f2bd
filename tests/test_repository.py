"""The repository agrees with itself: targets, versions and extras, and what every file keeps to."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_contributing_names_targets_that_there_are() -> None:
    """What CONTRIBUTING.md and the hosted CI call is a target, and every target has a line of help."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)).split())
    text = (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / ".github/workflows/ci.yml").read_text()
    named = {
        word for line in re.findall(r"\bmake ((?:[a-z]+ ?)+)(?=`|\n| {2})", text) for word in line.split()
    }

    assert phony == targets
    assert named
    assert named <= targets


def test_the_hosted_ci_runs_every_python_that_is_promised() -> None:
    """The classifiers, the policy and the matrix name the same versions."""
    classified = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    matrix = re.findall(r"3\.\d+", re.findall(r"python: \[(.*)\]", workflow)[0])

    assert classified == matrix
    assert f"Python {matrix[0]} to {matrix[-1]}" in (ROOT / "docs/policy.md").read_text()


def test_the_extra_all_is_all() -> None:
    """`onplan[all]` installs every other extra."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [everything] = extras.pop("all")

    assert everything == f"onplan[{','.join(sorted(extras))}]"


def test_the_repository_names_no_machine() -> None:
    """No tracked file names a package registry's host or a folder of the machine it was written on."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(
        b"\0"
    )
    forbidden = re.compile(rb"py[p]i\.org|python[h]osted|registry\.np[m]js|/ro[o]t/|/wor[k]/")
    named = {name: ROOT / os.fsdecode(name) for name in files if name}
    assert [
        name for name, path in named.items() if path.is_file() and forbidden.search(path.read_bytes())
    ] == []


def test_every_test_states_what_is_true() -> None:
    """Each test function has a docstring: the sentence that it proves."""
    silent = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []
