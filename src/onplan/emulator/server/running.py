"""Starts and stops an emulator: its socket, thread, ready file and signals."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

import msgspec
import uvicorn

from onplan.emulator.allowance import Limit
from onplan.emulator.codex_home import write_codex_home
from onplan.emulator.options import Options
from onplan.emulator.script import Turn, check_turns
from onplan.emulator.server.app import App, Scope
from onplan.emulator.server.websocket import WebSocketProtocol
from onplan.emulator.tokens.registry import Consent
from onplan.emulator.world import World

VARIABLES = {
    "issuer": "ONPLAN_ISSUER",
    "codex_base_url": "ONPLAN_CODEX_BASE_URL",
    "plan_base_url": "ONPLAN_PLAN_BASE_URL",
    "openai_base_url": "ONPLAN_OPENAI_BASE_URL",
}
# Accepted by this platform (unless the scenario says otherwise) and by no real one.
EMULATED_KEY = "sk-emulated"
# Seconds that the handlers of aborted connections get to end.
_LEAVE_SECONDS = 2.0
EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - recognised, not bound


class _Server(uvicorn.Server):
    """uvicorn that says when it is ready, can end one connection, and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.ready.set()

    async def main_loop(self) -> None:
        # uvicorn looks ten times a second whether it should exit; a suite starts hundreds of emulators.
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % 864_000
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.1)

    def stop(self) -> None:
        """Exit now; from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn's own waits for connections to end, and a stream that stalls never does.
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)  # uvloop hands over what it has accepted in the round after that
        for connection in tuple(self.server_state.connections):
            _transport(connection).abort()
        tasks = tuple(self.server_state.tasks)
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=_LEAVE_SECONDS)
            for task in stuck:
                task.cancel()

    def hang_up(self, scope: Scope, *, abruptly: bool) -> None:
        """End a request's connection; what was written still goes out, unless abruptly."""
        for connection in tuple(self.server_state.connections):
            if getattr(connection, "client", None) == scope["client"]:
                transport = _transport(connection)
                transport.abort() if abruptly else transport.close()


def _transport(connection: Any) -> Any:
    return connection.transport


class Emulator:
    """An emulator in a background thread, for as long as the `with` block lasts.

    `turns`: what its model does, one turn for each request, after those of the scenario.
    """

    def __init__(self, options: Options | None = None, *, turns: Sequence[Turn] = ()) -> None:
        self.options = options or Options()
        self._turns = check_turns(turns)
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Emulator:
        options = self.options
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        self._listener = socket.create_server((options.host, options.port), family=family, backlog=2048)
        self.urls = _urls(options.host, self._listener.getsockname()[1])
        try:
            self._start(self._listener)
        except BaseException:
            self._listener.close()
            raise
        return self

    def _start(self, listener: socket.socket) -> None:
        self.world = World(self.options, self.options.public_url or self.issuer)
        self.world.script.add(self._turns)
        if self.options.codex_home is not None:
            tokens = self.issue_tokens() if self.options.codex_auth else None
            write_codex_home(self.options.codex_home, self.urls, self.world.scenario, tokens)
        app = App(self.world, self._hang_up)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=75,
            ws=WebSocketProtocol,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="onplan-emulator", daemon=True
        )
        self._thread.start()
        while not self._server.ready.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError("The emulator's server did not start.")
        if self.options.ready_file is not None:
            _write_whole(self.options.ready_file, msgspec.json.encode(self.urls) + b"\n")

    def _hang_up(self, scope: Scope, *, abruptly: bool) -> None:
        self._server.hang_up(scope, abruptly=abruptly)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()
        if self._thread is not None:
            self._thread.join()
        if self._listener is not None:
            self._listener.close()

    @property
    def issuer(self) -> str:
        """The issuer's URL."""
        return str(self.urls["issuer"])

    @property
    def plan_base_url(self) -> str:
        """The URL of the API that "Sign in with ChatGPT" is for."""
        return str(self.urls["plan_base_url"])

    @property
    def codex_base_url(self) -> str:
        """The Codex backend's URL."""
        return str(self.urls["codex_base_url"])

    def journal(self) -> list[dict[str, Any]]:
        """Every request received since the journal was last cleared."""
        with self.world.lock:
            return self.world.journal.rows()

    def clear_journal(self) -> None:
        """Forget the requests received."""
        with self.world.lock:
            self.world.journal.clear()

    def arm(self, name: str, times: int = 1, seconds: float | None = None) -> None:
        """Make the next `times` matching requests go wrong; ValueError for an unknown name."""
        with self.world.lock:
            self.world.faults.arm(name, times, seconds)

    def disarm(self) -> None:
        """Disarm all faults and end the streams that stall."""
        with self.world.lock:
            self.world.faults.disarm()
            self.world.release_stalled()

    def play(self, *turns: Turn) -> None:
        """Add turns after those that are still to be played; ValueError for one that cannot be played."""
        with self.world.lock:
            self.world.script.add(turns)

    @property
    def turns_left(self) -> int:
        """How many turns are still to be played. After the last one the small model answers."""
        with self.world.lock:
            return len(self.world.script)

    def clear_turns(self) -> None:
        """Forget the turns that are still to be played."""
        with self.world.lock:
            self.world.script.clear()

    def set_limits(self, *limits: Limit) -> None:
        """Set the usage windows of the plan anew, one or two; without any they never fill."""
        with self.world.lock:
            self.world.allowance.set(limits or None)

    def expire_access_tokens(self) -> None:
        """Issued access tokens answer 401 from now on."""
        with self.world.lock:
            for ledger in self.world.ledgers:
                ledger.expire_access_tokens()

    def revoke_refresh_tokens(self) -> None:
        """Issued refresh tokens are refused from now on."""
        with self.world.lock:
            for ledger in self.world.ledgers:
                ledger.revoke_refresh_tokens()

    def set_access_token_lifetime(self, seconds: float) -> None:
        """Set the lifetime of new access tokens, in seconds."""
        with self.world.lock:
            for ledger in self.world.ledgers:
                ledger.lifetime = seconds

    def rotate_keys(self, *, forget_old: bool = False) -> None:
        """Sign with a new key from now on; the old ones stay published unless they are forgotten."""
        with self.world.lock:
            self.world.keys.rotate()
            if forget_old:
                self.world.keys.forget_old()

    def consent(self, **changes: Any) -> None:
        """Set the answers on the consent page of "Sign in with ChatGPT", by the fields of `Consent`."""
        with self.world.lock:
            self.world.registry.consent = Consent(**changes)

    def issue_tokens(self) -> dict[str, Any]:
        """A token response, as if someone had just signed in."""
        with self.world.lock:
            return self.world.ledger.issue()

    def issue_plan_tokens(self) -> dict[str, Any]:
        """A token response of "Sign in with ChatGPT", with the registered `client_id` and the `subject`."""
        with self.world.lock:
            registry = self.world.registry
            client = registry.register("onplan", registry.consent)
            tokens = registry.issue_for(client.client_id)
            return {**tokens, "client_id": client.client_id, "subject": client.person.subject}


class _Stop(BaseException):
    """Raised by the signal handler. Not an Exception, so that no `except Exception` catches it."""


def serve(options: Options, *, env: bool = False, announce: Callable[[str], None] = print) -> None:
    """Announce the addresses as JSON or `export` lines, then run until SIGINT or SIGTERM; main thread."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise _Stop

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with suppress(_Stop), Emulator(options) as emulator, _signals() as arrived:
            announce(_exports(emulator) if env else msgspec.json.encode(emulator.urls).decode())
            while True:
                arrived.recv(1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket with a byte for each signal.

    Python would learn of a signal that comes just before a sleep only when the sleep is over.
    """
    arrived, noted = socket.socketpair()
    with arrived, noted:
        noted.settimeout(0)
        before = signal.set_wakeup_fd(noted.fileno(), warn_on_full_buffer=False)
        try:
            yield arrived
        finally:
            signal.set_wakeup_fd(before)


def _exports(emulator: Emulator) -> str:
    """`export` lines for a shell, with an API key, so that the person's own is not sent to the emulator."""
    accepted = emulator.world.scenario.api_keys
    key = {"OPENAI_API_KEY": next(iter(accepted or ()), EMULATED_KEY)}
    urls = {variable: emulator.urls[name] for name, variable in VARIABLES.items()}
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in (urls | key).items())


def _urls(host: str, port: int) -> dict[str, Any]:
    reachable = "127.0.0.1" if host in EVERY_ADDRESS else f"[{host}]" if ":" in host else host
    base = f"http://{reachable}:{port}"
    return {
        "issuer": base,
        "codex_base_url": f"{base}/backend-api/codex",
        "plan_base_url": f"{base}/plan/v1",
        "openai_base_url": f"{base}/v1",
        "pid": os.getpid(),
    }


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all."""
    with tempfile.NamedTemporaryFile(dir=Path(path).parent, prefix=".ready-", delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
