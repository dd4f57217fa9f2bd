"""One process of the server: makes its parts, runs it, and does what signals ask."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onplan.errors import OnplanError
from onplan.server.app import App, Parts
from onplan.server.keys import Keys
from onplan.server.ledger import Ledger
from onplan.server.metrics import Metrics
from onplan.server.options import ServerOptions
from onplan.server.running import Stop, run
from onplan.server.sharing import Share
from onplan.server.terminal import Terminal
from onplan.server.workers import receive_signals
from onplan.service.options import ServiceOptions

if TYPE_CHECKING:
    from onplan.server.upstream import Upstream

# Seconds after the start at which what the first request needs is loaded.
_AT_REST = 0.05
_MOST_FILES = 65_536
# Objects, made and not freed, after which the collector looks at them; Python's own number is 700.
_COLLECTED_EVERY = 10_000

logger = logging.getLogger("onplan.server")

Rules = tuple[ServerOptions, Keys]


@dataclass(frozen=True, slots=True)
class Plans:
    """What each process of a server is made from.

    Attributes:
        read_rules: reads options and keys, at the start and at each reload. Raises OnplanError.
        make_upstream: makes what stands behind the server, by its options.
        ledger: the file in which it is kept what each key has used; None to keep it in memory.
        listeners: the sockets, listening.
    """

    read_rules: Callable[[], Rules]
    make_upstream: Callable[[ServerOptions], Upstream]
    ledger: Path | None
    listeners: list[socket.socket]


def run_process(
    plans: Plans,
    on_ready: Callable[[], object],
    lives: int | None = None,
    share: Share | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the rules again.

    Args:
        plans: what it is made from.
        on_ready: called once it answers.
        lives: a descriptor that can be read once the process that started this one is gone.
        share: of the connections, if there are other processes.
    """
    import uvloop

    _permit_many_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(plans, on_ready, lives, share))


async def _serve(
    plans: Plans, on_ready: Callable[[], object], lives: int | None, share: Share | None
) -> None:
    options, keys = plans.read_rules()
    stop = Stop()
    ledger = Ledger(plans.ledger)
    async with plans.make_upstream(options) as upstream:
        app = App(options, keys, Parts(upstream.service_of, upstream, ledger, Metrics()))

        def reload() -> None:
            now, keys = plans.read_rules()
            app.reload(now, keys)
            upstream.reload(ServiceOptions(strict=now.strict, aliases=now.aliases))

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, stop.ask)
        # A worker leaves it to the first process to end when the terminal is gone.
        terminal = Terminal() if lives is None else None
        loop.add_signal_handler(signal.SIGHUP, _hang_up, reload, stop, terminal)
        if lives is not None:
            loop.add_reader(lives, _orphaned, lives, stop)
            receive_signals()
        # A server beside a command, and workers, leave it to the process that started them.
        advising = asyncio.create_task(upstream.warn()) if lives is None else None
        try:
            loop.call_later(_AT_REST, _settle, upstream)
            await run(app, plans.listeners, options, stop, on_ready=on_ready, share=share)
        finally:
            if advising:
                advising.cancel()
            ledger.close()


def _settle(upstream: Upstream) -> None:
    """Load what the first request needs; the collector of garbage then passes over all that stays for good.

    Otherwise it goes through every module each few hundred requests, and all streams wait for 20 ms. Answers
    leave few cycles behind, so that it looks more rarely, too.
    """
    upstream.warm()
    gc.freeze()
    gc.set_threshold(_COLLECTED_EVERY, *gc.get_threshold()[1:])


def _permit_many_files() -> None:
    """Raise the limit of open files to what the system permits: a stream takes two, and 1,024 is usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _orphaned(lives: int, stop: Stop) -> None:
    """The process that started this one is gone."""
    asyncio.get_running_loop().remove_reader(lives)
    stop.ask()


def _hang_up(reload: Callable[[], None], stop: Stop, terminal: Terminal | None) -> None:
    """Read the rules again; but end where the signal says that the terminal is gone."""
    if terminal and terminal.is_gone:
        stop.ask()
        return
    try:
        reload()
    except OnplanError as error:
        logger.error("nothing was changed: %s", error)  # noqa: TRY400 - the sentence says it all
    else:
        logger.info("options and keys were read again")
