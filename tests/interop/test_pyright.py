"""What pyright makes of the public calls that mypy checks in `make check`: tests/typing, both strict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PYRIGHT = os.environ.get("PYRIGHT")
ROOT = Path(__file__).parent.parent.parent

pytestmark = [
    pytest.mark.interop,
    pytest.mark.stranger("pyright", "the public calls in tests/typing, strictly"),
    pytest.mark.skipif(not PYRIGHT, reason="PYRIGHT does not name pyright's program; run `make interop`"),
]


def test_pyright_understands_every_public_call(tmp_path: Path) -> None:
    """It finds no error where there is none, and one wherever a line says that there is."""
    settings = {
        "include": [os.path.relpath(ROOT / "tests" / "typing", tmp_path)],
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [str(PYRIGHT), "--project", tmp_path, "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = json.loads(done.stdout)

    complaints = [
        f"line {each['range']['start']['line'] + 1}: {each['message']}"
        for each in found["generalDiagnostics"]
    ]
    assert complaints == []
    assert found["summary"]["filesAnalyzed"] == len(list((ROOT / "tests" / "typing").glob("*.py")))
