"""One of the machines of test_machines.py: refreshes the token when told to, and can be frozen while it does.

``use`` refreshes; ``freeze N`` begins and stops with SIGSTOP before its call number N to the system, unless
the token request leaves first, for the calls are not always as many; ``wake`` goes on from there; ``count``
refreshes and says how many calls there are up to the last look at the lease, right before the token request
leaves. Answers ``ok`` and a fingerprint of the access token, or the name of the error and its sentence, or
``frozen``, or a number.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from types import CodeType
from typing import Any

import onplan
from onplan.stores.contract import is_step
from onplan.tokens.refresher import Refresher


def refresh() -> str:
    try:
        with onplan.Client() as client:
            return f"ok {sha256(client.credentials().access_token.encode()).hexdigest()[:16]}"
    except onplan.OnplanError as error:
        return f"{type(error).__name__}: {error} {error.hint}"


# What is called when the client is connected, right before its token request leaves.
_LAST_LOOK = next(
    constant
    for constant in Refresher._exchange.__code__.co_consts
    if isinstance(constant, CodeType) and constant.co_name == "check"
)


class Steps:
    """Counts calls to the system up to the last look at the lease, and the token request right behind it."""

    def __init__(self, freeze_before: int = -1) -> None:
        self.freeze_before, self.taken, self.looked = freeze_before, 0, False

    def watch(self, frame: Any, event: str, called: Any) -> None:
        if self.looked:
            return
        if event == "c_call" and is_step(called):
            if self.taken == self.freeze_before:
                self.taken += 1
                # To this thread: one for the process goes to its main thread, and until that has its turn on
                # a busy machine, the others go on, past the last look at the lease.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            self.taken += 1
        elif event == "return" and frame.f_code is _LAST_LOOK:
            self.looked = True

    def during(self, work: Callable[[], str]) -> str:
        threading.setprofile(self.watch)
        sys.setprofile(self.watch)
        try:
            return work()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def counted() -> str:
    steps = Steps()
    outcome = steps.during(refresh)
    return str(steps.taken) if outcome.startswith("ok") else outcome


class Child:
    """Does ``work`` in a process of its own."""

    def __init__(self, work: Callable[[], str]) -> None:
        self._receiving, sending = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.write(sending, work().encode())
            os._exit(0)
        os.close(sending)

    def outcome(self) -> str:
        """What came of it, or ``frozen``."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return "frozen"
        self.pid = 0
        with os.fdopen(self._receiving) as pipe:
            return pipe.read() or "killed"

    def end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def main() -> None:
    child = None
    print("ready", flush=True)
    while line := sys.stdin.readline().split():
        match line:
            case ["use"]:
                print(Child(refresh).outcome(), flush=True)
            case ["count"]:
                print(Child(counted).outcome(), flush=True)
            case ["freeze", step]:
                steps = Steps(int(step))
                child = Child(lambda steps=steps: steps.during(refresh))
                print(child.outcome(), flush=True)
            case ["wake"]:
                os.kill(child.pid, signal.SIGCONT)
                print(child.outcome(), flush=True)
    if child:
        child.end()


refresh()  # so that every module is loaded
main()
