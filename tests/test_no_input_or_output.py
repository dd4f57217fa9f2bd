"""What a test that is named in unit-1.txt or unit-2.txt can rely on: nothing around it reaches it."""

from __future__ import annotations

import os
import socket

import pytest


def test_a_connection_is_a_failure() -> None:
    """Also one to this machine: the test that opens it fails."""
    with socket.socket() as opened, pytest.raises(AssertionError, match="opens a connection"):
        opened.connect(("127.0.0.1", 9))


def test_no_setting_of_a_person_is_seen() -> None:
    """Neither a variable that onplan reads, nor a proxy, nor a file in the person's home."""
    seen = {
        name for name in os.environ if name.startswith(("ONPLAN_", "OPENAI_", "CODEX_", "VAULT_", "BAO_"))
    }
    assert seen == {"ONPLAN_HOME"}
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]
    for name in ("ONPLAN_HOME", "XDG_STATE_HOME"):
        assert os.environ[name].startswith(os.devnull)
