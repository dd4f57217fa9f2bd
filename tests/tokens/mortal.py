"""What test_kills.py kills. Waits for a line, forks, and lets the child refresh the token.

``kill N`` ends the child with SIGKILL before its call number N to the system; ``use`` lets it finish. Answers
``killed``, or ``ok``, or the name of the error and its sentence.
"""

from __future__ import annotations

import os
import sys
from functools import partial

import onplan
from onplan.stores.contract import kill_at


def refresh() -> None:
    with onplan.Client() as client:
        client.credentials()


def work(pipe: int, kill_before: int | None) -> None:
    try:
        refresh() if kill_before is None else kill_at(kill_before, refresh)
        outcome = "ok"
    except onplan.OnplanError as error:
        outcome = f"{type(error).__name__}: {error} {error.hint}"
    os.write(pipe, outcome.encode())


def in_child(task: partial[None]) -> str:
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        task(sending)
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        outcome = pipe.read()
    os.waitpid(child, 0)
    return outcome or "killed"


refresh()  # so that every module is loaded
print("ready", flush=True)
while line := sys.stdin.readline().split():
    print(in_child(partial(work, kill_before=int(line[1]) if line[0] == "kill" else None)), flush=True)
