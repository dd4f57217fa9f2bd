"""What the tests of adapters stand on; they run in an environment of the framework (tools/frameworks.py)."""

from __future__ import annotations

import os

if "ONPLAN_TESTS_OF_FRAMEWORKS" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
