"""Work of other threads is ended while it waits, and nothing else is."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
import trustme

from onplan.interruption import Interrupted, Interruption, bell, interruptible, pause, stop_if_interrupted


def interrupted(work: Callable[[threading.Event], None]) -> bool:
    """Whether ``work``, which sets the event when it is about to wait, is ended by an interruption."""
    interruption, begun, ended = Interruption(), threading.Event(), threading.Event()

    def run() -> None:
        with interruption.applies():
            try:
                work(begun)
            except Interrupted:
                ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(30)
    interruption.stop()
    thread.join(30)
    return ended.is_set() and not thread.is_alive()


def test_a_pause_ends() -> None:
    """However long it was meant to be."""

    def work(begun: threading.Event) -> None:
        begun.set()
        pause(3_600)

    assert interrupted(work)


def test_a_read_ends() -> None:
    """A thread that waits for bytes that do not come raises Interrupted, not the end of the stream."""
    ours, theirs = socket.socketpair()

    def work(begun: threading.Event) -> None:
        with interruptible(ours):
            begun.set()
            ours.recv(1)

    with ours, theirs:
        assert interrupted(work)


def test_a_read_through_tls_ends() -> None:
    """The socket is shut down below TLS, whose state the other thread is using."""
    authority, server, client = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), None
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with suppress(OSError), server.wrap_socket(theirs, server_side=True) as secured:
            secured.recv(1)

    serving = threading.Thread(target=serve)
    serving.start()
    with client.wrap_socket(ours, server_hostname="localhost") as secured:

        def work(begun: threading.Event) -> None:
            with interruptible(secured):
                begun.set()
                secured.recv(1)

        assert interrupted(work)
    serving.join(30)


def test_a_wait_beside_others_ends() -> None:
    """A thread that waits for several sockets is given one more, which can be read then."""

    def work(begun: threading.Event) -> None:
        with bell() as rung:
            assert rung
            begun.set()
            select.select([rung], [], [])
            stop_if_interrupted()

    assert interrupted(work)


def test_what_is_begun_afterwards_ends_at_once() -> None:
    """A thread that comes to a read, a pause or the next part of an answer later does not wait."""
    interruption = Interruption()
    interruption.stop()
    ours, theirs = socket.socketpair()
    with ours, theirs, interruption.applies():
        with pytest.raises(Interrupted), interruptible(ours):
            raise AssertionError("it is not reached")
        for wait in (lambda: pause(3_600), stop_if_interrupted):
            with pytest.raises(Interrupted):
                wait()


def test_other_threads_are_left_alone() -> None:
    """Without an interruption that applies, everything is as without this module."""
    Interruption().stop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        with interruptible(ours):
            assert ours.recv(1) == b"x"
    with bell() as rung:
        assert rung is None
    pause(0)
    stop_if_interrupted()
