"""One of the programs of test_forks.py. Each forks; its children use the sign-in, and must not hang.

``after MODE ROUNDS``: refresh, then fork at once, again and again; the child refreshes as well, with a client
of its own (``new``), with its parent's (``same``), or after its parent has closed it (``close``).
``beside SECONDS``: fork while another thread makes its first request, so many seconds after it has begun.
Prints how the children ended, as a JSON object: exit code (negative: a signal) and how many.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import sys
import threading
import time
import warnings

import onplan
from onplan.client_parts import tokens_of

PATIENCE = 100  # seconds, after which a child has hung, and is not merely slow on a busy machine


def refresh(client: onplan.Client) -> None:
    tokens_of(client).replace(client.credentials().access_token)  # as after a 401


def refresh_with(client: onplan.Client | None) -> None:
    refresh(client or onplan.Client())


def ask(client: onplan.Client) -> None:
    client.complete(onplan.CompletionRequest(messages="hi", model="gpt-5.5"))


def child_of(work: object, *arguments: object) -> int:
    """Its exit code."""
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)
        try:
            work(*arguments)  # type: ignore[operator]
        except onplan.OnplanError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def after(mode: str, rounds: int) -> collections.Counter[str]:
    ended: collections.Counter[str] = collections.Counter()
    for _ in range(rounds):
        client = onplan.Client()
        refresh(client)
        if mode == "close":
            client.close()
        code = child_of(refresh_with, client if mode == "same" else None)
        ended[str(code)] += 1
        if code < 0:
            break  # each hung child costs PATIENCE seconds
    return ended


def beside(seconds: float) -> collections.Counter[str]:
    warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried here
    client = onplan.Client(retry=onplan.RetryPolicy(attempts=1))
    thread = threading.Thread(target=ask, args=(client,))
    thread.start()
    time.sleep(seconds)
    code = child_of(ask, client)
    thread.join()
    return collections.Counter([str(code)])


warnings.simplefilter("error", DeprecationWarning)
match sys.argv[1:]:
    case ["after", mode, rounds]:
        print(json.dumps(after(mode, int(rounds))))
    case ["beside", seconds]:
        print(json.dumps(beside(float(seconds))))
