"""Every store keeps the contract that is shipped for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from onplan.stores.contract import StoreContract


class TestFileStore(StoreContract):
    @pytest.fixture
    def spec(self, tmp_path: Path) -> str:
        return f"file:{tmp_path / 'folder' / 'credentials.json'}"
