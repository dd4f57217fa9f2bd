"""Every store passes the contract. Vault and another package's store have their own files."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from onplan.stores import CredentialStore, open_store
from onplan.stores.contract import LocalStoreContract, StoreContract


class TestFileStore(StoreContract):
    @pytest.fixture
    def spec(self, tmp_path: Path) -> str:
        return f"file:{tmp_path / 'folder' / 'credentials.json'}"


class TestMemoryStore(LocalStoreContract):
    @pytest.fixture
    def spec(self) -> str:
        self.store = open_store("memory:")
        return "memory:"

    def open(self, spec: str) -> CredentialStore:
        return self.store


@pytest.mark.skipif(sys.platform == "win32", reason="the helper is a shell script")
class TestCommandStore(StoreContract):
    @pytest.fixture
    def spec(self, tmp_path: Path) -> str:
        helper = tmp_path / "helper"
        helper.write_text(_HELPER)
        helper.chmod(0o755)
        return f"command:{shlex.quote(str(helper))} {shlex.quote(str(tmp_path / 'kept'))}"


_HELPER = """#!/bin/sh
case "$2" in
  get) [ ! -e "$1" ] || cat "$1" ;;
  store) cat >"$1.new" && mv "$1.new" "$1" ;;
  erase) rm -f "$1" ;;
esac
"""
