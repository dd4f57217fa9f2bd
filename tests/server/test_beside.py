"""A process beside another one, which lasts as long as that one whatever program it becomes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork(2)")

# Starts work beside itself that writes what it sees to a file, and becomes cat(1).
BEGIN = """
import os, pathlib, select, sys
from onplan.server.beside import ThisProcess, start_beside
process = ThisProcess()
if sys.argv[2] == "poll":
    process.descriptors = ()
inherited = os.open(os.devnull, os.O_RDONLY)

def work(ready):
    try:
        os.fstat(inherited)
        has_file = "yes"
    except OSError:
        has_file = "no"
    seen = [str(os.getpid()), str(os.getsid(0)), has_file]
    pathlib.Path(sys.argv[1]).write_text(" ".join(seen))
    ready()
    select.select([process.lives()], [], [])
    pathlib.Path(sys.argv[1]).unlink()

start_beside(work, process.descriptors).wait()
os.execvp("cat", ["cat"])
"""


@pytest.mark.parametrize("how", ["descriptor", "poll"])
def test_it_ends_when_the_other_process_is_killed_after_becoming_another_program(
    tmp_path: Path, how: str
) -> None:
    """Also by SIGKILL. It is in a session of its own, and holds no file that the other one has open."""
    file = tmp_path / "seen"
    command = [sys.executable, "-c", BEGIN, str(file), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.stdout.read(1) == b"x"  # it has become cat
        server, session, has_file = file.read_text().split()
        assert (session == str(os.getsid(process.pid)), has_file) == (False, "no")
        os.kill(int(server), 0)

        process.kill()
    assert eventually(lambda: not file.exists())


def test_what_fails_before_it_is_ready_is_told(tmp_path: Path) -> None:
    """The reason is in the error; one that is not onplan's is told by its type alone."""
    code = """
from onplan.errors import ConfigurationError
from onplan.server.beside import start_beside
def fail(ready, error): raise error
for error in (ConfigurationError("No.", hint="Ask again."), ValueError("sk-secret"), SystemExit(3)):
    try:
        start_beside(lambda ready: fail(ready, error), []).wait()
    except ConfigurationError as told:
        print(told)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.splitlines() == [
        "The server could not be started: No. Ask again.",
        "The server could not be started: an unexpected ValueError.",
        "The server could not be started: an unexpected SystemExit.",
    ]
