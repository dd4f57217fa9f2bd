"""``onplan run``: real commands, beside a real server."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator

from ..conftest import eventually
from .terminal import ONPLAN, terminal

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork(2)")

# Asks the server for a response as any program would, and tells what it saw.
ASK = """
import json, os, signal, urllib.request
def ask():
    body = json.dumps({"input": "say hi"}).encode()
    headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/responses", body, headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)["status"]
"""


def program(after: str) -> list[str]:
    """A command that can ``ask()``."""
    return [*ONPLAN, "run", "--", sys.executable, "-c", ASK + after]


def is_listening(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.removesuffix("/v1").rpartition(":")[2]))) == 0


def test_a_command_is_answered_and_nothing_is_left_behind(
    signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    """It has onplan's process id, reads stdin, gets its variables and its answer; then the server is gone."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    before = {path: path.stat().st_size for path in clean_environment.rglob("*") if path.is_file()}
    after = """
names = ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "SIGPIPE")
print(json.dumps([os.getpid(), ask(), input(), *map(os.environ.get, names[:2]),
                  signal.getsignal(signal.SIGTERM) == signal.SIG_DFL]))
raise SystemExit(7)
"""
    process = subprocess.Popen(program(after), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate("from stdin\n", timeout=60)
    pid, status, read, url, organisation, has_default = json.loads(out)

    assert process.returncode == 7
    assert (pid, status, read, organisation, has_default) == (
        process.pid,
        "completed",
        "from stdin",
        None,
        True,
    )
    assert eventually(lambda: not is_listening(url))
    assert {path for path in clean_environment.rglob("*") if path.is_file()} - before.keys() == set()


def test_a_command_that_is_killed_leaves_no_server(signed_in: Emulator) -> None:
    """SIGKILL to the process that the user started is SIGKILL to the command, and ends the server."""
    process = subprocess.Popen(
        program("print(os.environ['OPENAI_BASE_URL'], flush=True); signal.pause()"),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    url = process.stdout.readline().strip()
    assert is_listening(url)
    process.kill()
    process.communicate(timeout=60)

    assert process.returncode == -signal.SIGKILL
    assert eventually(lambda: not is_listening(url))


def test_closed_standard_files_stay_closed_and_are_no_matter_to_the_server(
    signed_in: Emulator, tmp_path: Path
) -> None:
    """As a supervisor may start it: the server's socket is not taken for one of them."""
    seen = tmp_path / "seen"
    after = f"""
import errno, pathlib
closed = []
for number in range(3):
    try: os.fstat(number)
    except OSError as error: closed.append(error.errno == errno.EBADF)
pathlib.Path({str(seen)!r}).write_text(f"{{closed}} {{ask()}}")
"""
    command = shlex.join([*ONPLAN, "run", "--", sys.executable, "-S", "-c", ASK + after])
    subprocess.run(["sh", "-c", f"{command} <&- >&- 2>&-"], check=True, timeout=60)

    assert seen.read_text() == "[True, True, True] completed"


def test_a_command_that_a_signal_ends_is_seen_to_be_ended_by_it(signed_in: Emulator) -> None:
    """Also by SIGPIPE, which Python ignores and a program expects."""
    done = subprocess.run([*ONPLAN, "run", "--", "sh", "-c", "kill -PIPE $$"], check=False, timeout=60)

    assert done.returncode == -signal.SIGPIPE


def test_ctrl_c_reaches_the_command_alone(signed_in: Emulator) -> None:
    """A program that handles Ctrl-C gets it once, and is answered after it."""
    # It waits for a byte that the signal writes: Python would begin a sleep, and sleep on, when the signal
    # comes just before the system call.
    after = """
import select, signal, socket, sys
waiting, waking = socket.socketpair()
waking.setblocking(False)
try:
    signal.set_wakeup_fd(waking.fileno())
    print("ready", file=sys.stderr, flush=True)
    select.select([waiting], [], [], 60)
except KeyboardInterrupt:
    print("interrupted", ask())
"""
    with terminal(*program(after)) as sitting:
        sitting.read_until("ready")
        sitting.type("\x03")
        code, out = sitting.end()

    assert (code, out) == (0, "interrupted completed\n")


def test_without_a_sign_in_the_command_does_not_begin(
    emulator: Emulator, tmp_path: Path, run_cli: Any
) -> None:
    """The error is that of every command, with what to type."""
    done = run_cli("run", "--", "touch", str(tmp_path / "begun"))

    assert (done.returncode, done.stdout) == (3, "")
    assert "onplan login" in done.stderr
    assert not (tmp_path / "begun").exists()


def test_what_cannot_be_run_is_told_with_the_exit_code_of_a_shell(
    signed_in: Emulator, run: Callable[..., Any], tmp_path: Path
) -> None:
    """127 for a command that is not there, 126 for a file that is no program; before anything is started."""
    (tmp_path / "notes").write_text("no program")
    missing, file = run("run", "no-such-command"), run("run", "--", str(tmp_path / "notes"))
    folder = run("run", "--", str(tmp_path))

    assert (missing.returncode, file.returncode, folder.returncode) == (127, 126, 126)
    assert "no-such-command" in missing.stderr
    assert "PATH" in missing.stderr
    assert "chmod +x" in file.stderr
    assert run("run").returncode == 2


def test_chatgpt_plan_is_refused_with_the_reason(run: Callable[..., Any]) -> None:
    """Its terms are for the connected application, which is onplan and not the command."""
    done = run("run", "--backend", "chatgpt-plan", "--", "true")

    assert done.returncode == 2
    assert "is for the application that is connected" in " ".join(done.stderr.split())


def test_show_prints_what_would_be_set_without_a_key(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines or JSON on stdout; the key, which is another one each time, is not made up."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "secret")
    monkeypatch.setenv("ONPLAN_STORE", "env:MY_SIGN_IN")
    monkeypatch.setenv("MY_SIGN_IN", "secret")
    plain, shown = run("run", "--show"), json.loads(run("run", "--show", "--json").stdout)

    assert "OPENAI_BASE_URL=http://127.0.0.1:PORT/v1\n" in plain.stdout
    assert "unset AZURE_OPENAI_API_KEY\nunset MY_SIGN_IN\n" in plain.stdout
    assert "onplan run -- env" in plain.stderr
    assert shown["set"]["OPENAI_API_KEY"] == "sk-onplan-…"
    assert shown["removed"] == ["AZURE_OPENAI_API_KEY", "MY_SIGN_IN"]
    assert "secret" not in plain.stdout
