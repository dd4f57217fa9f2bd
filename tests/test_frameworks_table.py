"""``make frameworks``: what the table says of environments that fail, hang, or are not there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def tool() -> Any:
    """tools/frameworks.py."""
    path = Path(__file__).parents[1] / "tools/frameworks.py"
    spec = importlib.util.spec_from_file_location("frameworks_table", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


def row_of(tool: Any, folder: Path, code: str, distribution: str = "pytest") -> Any:
    """A row whose environment has this Python, and whose test is ``code``."""
    (folder / "mine/bin").mkdir(parents=True)
    (folder / "mine/.installed").touch()
    python = folder / "mine/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    test = folder / "test_mine.py"
    test.write_text(f'"""Mine."""\n{code}\n')
    return tool.Row("mine", distribution, (str(test),))


def test_a_failing_test_is_named(tool: Any, tmp_path: Path) -> None:
    """With the first line of its reason; the others are counted."""
    code = "def test_bad():\n    raise ValueError('no bird')\n\n\ndef test_good():\n    pass"
    result = tool.run(row_of(tool, tmp_path, code), tmp_path)
    assert (result.passed, result.failed, result.is_good) == (1, 1, False)
    [failure] = result.failures
    assert failure.endswith("test_mine::test_bad: ValueError: no bird")
    assert tool.table([result]).endswith("1 FAILED")


def test_a_hanging_test_is_ended(tool: Any, tmp_path: Path) -> None:
    """After the longest time, with what it said until then."""
    code = "import sys, threading\nprint('begun', file=sys.__stderr__, flush=True)\nthreading.Event().wait()"
    result = tool.run(row_of(tool, tmp_path, code), tmp_path, longest=5)
    assert result.problem == "hung: ended after 5 s"
    assert not result.is_good


def test_an_environment_that_is_not_there(tool: Any, tmp_path: Path) -> None:
    """The table says what to type, and has the others."""
    missing = tool.run(tool.Row("absent", "absent", ()), tmp_path)
    assert "make FRAMEWORKS=absent frameworks" in tool.table([missing])
    damaged = tool.run(row_of(tool, tmp_path, "", "no-such-distribution"), tmp_path)
    assert damaged.problem.startswith("no-such-distribution is not in it")


def test_a_file_that_cannot_be_imported(tool: Any, tmp_path: Path) -> None:
    """Its tests are not taken for passed ones."""
    result = tool.run(row_of(tool, tmp_path, "import no_such_module"), tmp_path)
    assert not result.is_good
    assert result.failures or result.problem
