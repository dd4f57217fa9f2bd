"""`onplan import --share` beside another sign-in."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.sign_in.borrowing import share
from onplan.stores import encode_record, open_store

# The record is a borrowed one when it is read first, and a sign-in of its own from then on.
_HELPER = """#!/bin/sh
for verb; do :; done
case "$verb" in
  get) if [ -e "$1/signed-in" ]; then cat "$1/own"; else cat "$1/borrowed"; : >"$1/signed-in"; fi ;;
  store) cat >"$1/own" ;;
  erase) rm -f "$1/own" ;;
esac
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the helper is a shell script")
def test_a_sign_in_that_is_finished_meanwhile_stays(
    signed_in: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sharing forgets the profile's borrowed token, but not what has signed in there in that moment."""
    source = load_settings().store
    loaded = open_store(source).load()
    assert loaded
    borrowed = msgspec.structs.replace(loaded.record, borrowed_from="codex:/other")
    (tmp_path / "borrowed").write_bytes(encode_record(borrowed))
    (tmp_path / "own").write_bytes(encode_record(loaded.record))
    (tmp_path / "helper").write_text(_HELPER)
    (tmp_path / "helper").chmod(0o755)
    monkeypatch.setenv("ONPLAN_STORE", f"command:'{tmp_path / 'helper'}' '{tmp_path}'")

    share(load_settings(profile="other"), source)

    assert (tmp_path / "signed-in").exists()
    assert (tmp_path / "own").exists()
