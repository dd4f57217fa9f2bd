"""What msgspec reads is looked at while its module is imported: two threads that were first would crash.

Seen with msgspec 0.22.0: `onplan batch`, which asks on several threads, ended with a segmentation fault in
two of 150 runs, where two answers were the first whose usage was read.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import onplan

SOURCE = Path(onplan.__file__).parent

# Modules that convert to classes which are prepared where they are defined, or on one thread alone.
WITHOUT = {
    "cli/status.py": "a command with one thread",
    "dialects/json_fields.py": "those who call it prepare their classes",
    "field_types.py": "prepares",
    "integrations/llm/kept.py": "integrations/kept_parts prepares the parts",
}

FIRST_AT_ONCE = """
import sys, threading
from onplan.answers.usage import usage_of
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(16)
def read():
    barrier.wait()
    assert usage_of({"input_tokens": 1, "output_tokens": 2}).total_tokens == 3
threads = [threading.Thread(target=read) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_modules_prepare_what_they_convert_to() -> None:
    """Each module that calls `msgspec.convert` calls `prepare`, too, or the table has the reason."""
    converting = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "emulator" not in path.parts and "msgspec.convert(" in (text := path.read_text("utf-8"))
        if not re.search(r"\bprepare\(", text)
    }
    assert sorted(converting - WITHOUT.keys()) == []


def test_threads_that_are_first_at_once_read_usage() -> None:
    """In new processes, for a class is looked at once in each."""
    for _ in range(10):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_AT_ONCE], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
