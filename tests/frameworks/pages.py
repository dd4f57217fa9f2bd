"""The pages of docs/integrations: their examples are run by the tests of their framework."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs/integrations"


def python_blocks(page: str) -> list[str]:
    """The Python blocks of a page, in their order."""
    text = (PAGES / page).read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(code: str, *options: str) -> str:
    """What a block prints, run as a program of its own; it must not fail, and says nothing beside it.

    ``options`` are the interpreter's.
    """
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
