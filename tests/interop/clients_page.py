"""The settings that docs/clients.md tells people to write: the tests use them as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
_ADDRESS = "http://127.0.0.1:8399/v1"


def settings(program: str, address: str = _ADDRESS, key: str = "KEY") -> str:
    """The first block in the section of ``program``, with another address and key."""
    section = re.search(rf"^## {program}$(.*?)(?=^## |\Z)", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"{_PAGE} has no section {program}"
    block = re.search(r"^```\w+\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
    assert block, f"its section {program} has no block"
    return re.sub(r"\bKEY\b", lambda _: key, block[1].replace(_ADDRESS, address))
