"""What the tests stand on: the emulator on a real socket, a home of their own, and both clients."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import hypothesis
import pytest
from filelock import FileLock

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Options
from onplan.oauth.credentials import credentials_from
from onplan.oauth.issuer import Issuer
from onplan.oauth.token_response import decode_token_response
from onplan.stores import Record, open_store
from onplan.types import Registration

# Where a browser signs in: it comes back to one of two ports, so these go one after the other.
_WITH_BROWSER = (
    "cli/test_cli.py",
    "cli/test_import.py",
    "cli/test_login.py",
    "cli/test_profiles.py",
    "cli/test_sign_in_places.py",
    "cli/test_stores.py",
    "sign_in/test_",
    "stores/test_env.py",
    "stores/test_stranger.py",
    "telemetry/test_logs.py",
    "test_secrets.py",
)

_TESTS = Path(__file__).parent
# Tests of what decides and does no input or output, as `make unit` runs them; neither do they.
_PURE = tuple(
    argument.removeprefix("tests/")
    for half in _TESTS.glob("unit-*.txt")
    for argument in half.read_text().split()
    if argument.startswith("tests/")
)

# Seconds, after which what a test waits for will never happen. A busy machine takes long to start a program.
PATIENCE = 60.0

_Seen = TypeVar("_Seen")

# How fast an example is drawn or tried is no fault of the code on a machine that is busy. The examples are
# the same in each run, so one fails because of what was changed; --hypothesis-profile=explore tries others.
_ANY_SPEED: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("repeat", **_ANY_SPEED, derandomize=True)
hypothesis.settings.register_profile("explore", **_ANY_SPEED, max_examples=1_000)
hypothesis.settings.load_profile("repeat")

# Under nohup, or behind "&" in a script, SIGINT is ignored, and the programs that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def browser_lock() -> FileLock:
    """Held by whatever comes back to one of those ports, in this run of the tests and in others."""
    shared = "/tmp" if os.name == "posix" else tempfile.gettempdir()
    return FileLock(Path(shared, "onplan-tests.lock"), mode=0o666, poll_interval=0.01)


def _no_connection(*arguments: object) -> None:
    raise AssertionError("A test of a room that does no input or output opens a connection.")


@cache
def _surroundings(path: Path) -> tuple[str, ...]:
    """The fixtures that the tests of this file begin with, whether they ask for them or not."""
    where = path.relative_to(_TESTS).as_posix()
    if where.startswith(_PURE):
        return ()
    return (*(["one_browser_at_a_time"] if where.startswith(_WITH_BROWSER) else []), "clean_environment")


def _leave_out_settings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """No setting of the person who runs the tests reaches them. Gives the configuration folder."""
    theirs = ("ONPLAN_", "OPENAI_", "CODEX_", "VAULT_", "BAO_")
    for name in list(os.environ):
        if name.startswith(theirs) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = folder / "home"
    monkeypatch.setenv("ONPLAN_HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    return home


@pytest.fixture
def one_browser_at_a_time() -> Iterator[None]:
    """Several processes run the tests; of those that sign in with a browser, one at a time."""
    with browser_lock():
        yield


@pytest.fixture
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No setting of the person who runs the tests reaches them. Gives the configuration folder."""
    return _leave_out_settings(monkeypatch, tmp_path)


class _PureTests:
    """What holds while the tests of `make unit` are run: no settings, no home, no connection.

    Set up once for each file: fixtures for each test would take longer than most of these tests.
    """

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()
        self._path: Path | None = None

    def enter(self, path: Path | None) -> None:
        """The next test is of this file."""
        if path == self._path:
            return
        self._path = path
        self._patch.undo()
        if path is not None and not _surroundings(path):
            _leave_out_settings(self._patch, Path(os.devnull))
            self._patch.setattr(socket.socket, "connect", _no_connection)


_pure_tests = _PureTests()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture."""
    _pure_tests.enter(item.path)


def pytest_sessionfinish() -> None:
    """Leave the process as it was."""
    _pure_tests.enter(None)


@pytest.fixture
def point_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Emulator], None]:
    """Point every client made from now on at an emulator, as a user would from outside."""

    def point(emulator: Emulator) -> None:
        monkeypatch.setenv("ONPLAN_ISSUER", emulator.issuer)
        monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", emulator.codex_base_url)
        monkeypatch.setenv("ONPLAN_PLAN_BASE_URL", emulator.plan_base_url)

    return point


@pytest.fixture
def emulator(point_at: Callable[[Emulator], None]) -> Iterator[Emulator]:
    """A running emulator that the environment points at."""
    with Emulator(Options(reuse="revoke-family")) as running:
        point_at(running)
        yield running


def visit(url: str) -> None:
    """Be the browser: open the address, follow the redirects, on another thread."""

    def follow() -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(url, timeout=20).close()
        except urllib.error.HTTPError as page:  # which is for the test to find
            page.close()
        except OSError:
            pass

    threading.Thread(target=follow, daemon=True).start()


def redirected(url: str) -> str:
    """The address that ``url`` redirects to, not followed."""

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: Any) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    with pytest.raises(urllib.error.HTTPError) as answer:
        opener.open(url, timeout=20)
    with answer.value:
        return str(answer.value.headers["location"])


@pytest.fixture
def browse() -> Callable[[str], None]:
    """What opens the browser."""
    return visit


def eventually(look: Callable[[], _Seen]) -> _Seen:
    """What the emulator's thread will have done in a moment; asking again is the only way to wait."""
    waiting, end = threading.Event(), time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < end, "it never happened"
        waiting.wait(0.005)
    return seen


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C until the program ends, as a person would.

    A signal that comes just before a system call does not end what that call waits for, so the first may come
    to nothing. The next one is sent long after it: on a busy machine a program takes long to end.
    """
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE / 3)


def source_locals(error: BaseException) -> list[dict[str, str]]:
    """The local variables, as printed, of every frame of onplan's that ``error`` drags along."""
    source = Path(onplan.__file__).parent
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    return [dict(frame.locals or {}) for frame in whole.stack if source in Path(frame.filename).parents]


def issued(tokens: dict[str, Any], issuer: Issuer) -> Record:
    """The record that a sign-in leaves behind which ended with ``tokens``."""
    response = decode_token_response(json.dumps(tokens).encode())
    assert response
    client_id = tokens.get("client_id")
    blank = onplan.OAuthCredentials(access_token="", client_id=client_id)
    credentials = credentials_from(response, issuer, time.time(), blank)
    if client_id is None:
        return Record(issuer_kind=issuer.kind, credentials=credentials)
    subject, email = tokens["subject"], credentials.email
    registration = Registration(client_id=client_id, issuer=issuer.url, subject=subject, email=email)
    return Record(issuer_kind=issuer.kind, credentials=credentials, registration=registration)


@pytest.fixture
def signed_in(
    request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> Emulator:
    """An emulator at which the default profile is signed in, to the backend that the driver is for."""
    drivers = getattr(request.node, "callspec", None)
    if drivers and str(drivers.params.get("driver")).startswith("plan"):
        monkeypatch.setenv("ONPLAN_BACKEND", "chatgpt-plan")
    settings = load_settings()
    tokens = emulator.issue_plan_tokens() if settings.issuer.registers else emulator.issue_tokens()
    open_store(settings.store).save(issued(tokens, settings.issuer), None)
    return emulator


# What is asked of each client over each transport; where the backend matters, on both plans.
_DRIVERS = ("sync", "async", "async-aiohttp", "async-httpx2", "async-websocket")
over_http = pytest.mark.parametrize(
    "driver", ["sync", "async", "async-aiohttp", "async-httpx2"], indirect=True
)
_ON_BOTH = ("test_answers", "test_failures", "test_resume", "test_limits", "test_leaving", "test_parsed")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give a test its surroundings, before all fixtures that it asks for.

    A name with an address is another in each process, and tests in several would not begin.
    """
    if " at 0x" in item.nodeid:
        raise pytest.UsageError(f"Give this test an id without an address: {item.nodeid}")
    assert isinstance(item, pytest.Function)
    surroundings = list(_surroundings(item.path))
    if item.fixturenames[: len(surroundings)] != surroundings:  # one list for all cases of a function
        item.fixturenames[:0] = surroundings


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Tests that were collected are no garbage.

    Collections of garbage, of which tests ask for hundreds, would walk over thousands of them each time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give tests their drivers, but for those that say themselves which."""
    chosen = any("driver" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "driver" in metafunc.fixturenames and not chosen:
        on_both = metafunc.module.__name__.endswith(_ON_BOTH)
        of_codex = metafunc.definition.get_closest_marker("codex")
        more = ("plan-sync", "plan-async") if on_both and not of_codex else ()
        metafunc.parametrize("driver", [*_DRIVERS, *more], indirect=True)


# How an asynchronous client sends over HTTP; each is preferred to those after it.
_HTTP = ("httptools", "aiohttp", "httpx2")


def use_http(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients use the transport that ``name`` ends with, as where those before it are not installed."""
    chosen = name.rpartition("-")[2]
    for other in _HTTP[: _HTTP.index(chosen)] if chosen in _HTTP else ():
        monkeypatch.setitem(sys.modules, f"onplan.transports.{other}", None)


class SyncDriver:
    """Asks through ``Client``."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def client(self) -> onplan.Client:
        return onplan.Client(**self._options)

    def complete(self, request: Any = None, **fields: Any) -> onplan.CompletionResponse:
        with onplan.Client(**self._options) as client:
            return client.complete(request, **fields)

    def chunks(
        self, request: Any = None, keep: list[onplan.StreamChunk] | None = None, **fields: Any
    ) -> list[onplan.StreamChunk]:
        kept = [] if keep is None else keep
        with (
            onplan.Client(**self._options) as client,
            closing(client.complete_stream(request, **fields)) as stream,
        ):
            kept.extend(stream)
        return kept

    def run(self, request: Any, **options: Any) -> onplan.RunResponse:
        with onplan.Client(**self._options) as client:
            return client.run(request, **options)

    def run_chunks(self, request: Any, **options: Any) -> list[onplan.RunChunk]:
        with onplan.Client(**self._options) as client:
            return list(client.run_stream(request, **options))

    def models(self) -> list[onplan.ModelInfo]:
        with onplan.Client(**self._options) as client:
            return client.list_models()

    def limits(self) -> onplan.Limits:
        with onplan.Client(**self._options) as client:
            return client.limits()

    def wait(self, timeout: float | None = None) -> onplan.Limits:
        with onplan.Client(**self._options) as client:
            return client.wait_until_available(timeout)


class AsyncDriver:
    """Asks through ``AsyncClient``."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def client(self) -> onplan.AsyncClient:
        return onplan.AsyncClient(**self._options)

    def complete(self, request: Any = None, **fields: Any) -> onplan.CompletionResponse:
        async def ask() -> onplan.CompletionResponse:
            async with onplan.AsyncClient(**self._options) as client:
                return await client.complete(request, **fields)

        return asyncio.run(ask())

    def chunks(
        self, request: Any = None, keep: list[onplan.StreamChunk] | None = None, **fields: Any
    ) -> list[onplan.StreamChunk]:
        kept = [] if keep is None else keep

        async def ask() -> None:
            async with onplan.AsyncClient(**self._options) as client:
                async for chunk in client.complete_stream(request, **fields):
                    kept.append(chunk)

        asyncio.run(ask())
        return kept

    def run(self, request: Any, **options: Any) -> onplan.RunResponse:
        async def ask() -> onplan.RunResponse:
            async with onplan.AsyncClient(**self._options) as client:
                return await client.run(request, **options)

        return asyncio.run(ask())

    def run_chunks(self, request: Any, **options: Any) -> list[onplan.RunChunk]:
        async def ask() -> list[onplan.RunChunk]:
            async with onplan.AsyncClient(**self._options) as client:
                return [chunk async for chunk in client.run_stream(request, **options)]

        return asyncio.run(ask())

    def models(self) -> list[onplan.ModelInfo]:
        async def ask() -> list[onplan.ModelInfo]:
            async with onplan.AsyncClient(**self._options) as client:
                return await client.list_models()

        return asyncio.run(ask())

    def limits(self) -> onplan.Limits:
        async def ask() -> onplan.Limits:
            async with onplan.AsyncClient(**self._options) as client:
                return await client.limits()

        return asyncio.run(ask())

    def wait(self, timeout: float | None = None) -> onplan.Limits:
        async def ask() -> onplan.Limits:
            async with onplan.AsyncClient(**self._options) as client:
                return await client.wait_until_available(timeout)

        return asyncio.run(ask())


@pytest.fixture
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both clients, the asynchronous one over every transport: one suite. Call it with client options."""
    use_http(request.param, monkeypatch)
    if request.param.endswith("sync") and "async" not in request.param:
        return SyncDriver
    # Without falling back, so that what went wrong over a WebSocket is seen.
    return partial(AsyncDriver, transport="websocket" if request.param == "async-websocket" else "sse")


@pytest.fixture
def run_cli(tmp_path: Path) -> Callable[..., Any]:
    """Run the command line in a process of its own: ``run_cli("ask", "hi", input=b"…")``."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options.setdefault("stdin", subprocess.DEVNULL) if "input" not in options else None
        options.setdefault("env", dict(os.environ))
        return subprocess.run(
            [sys.executable, "-m", "onplan", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )

    return run


@contextmanager
def unused_port() -> Iterator[int]:
    """A port of this machine on which nothing listens, and which no other program is given meanwhile.

    Connections are refused. A server of the test's own may listen there all the same, if it sets
    SO_REUSEADDR, as servers do.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.fixture
def unused_url() -> Iterator[str]:
    """An address on loopback where nobody listens."""
    with unused_port() as port:
        yield f"http://127.0.0.1:{port}"


class VaultServer:
    """An OpenBao server in development mode, on loopback, with everything in memory.

    Args:
        folder: its home.
        options: more for its command line.
        certificate: of the authority that it makes with ``-dev-tls``.
    """

    def __init__(self, folder: Path, *options: str, certificate: Path | None = None) -> None:
        self._held = ExitStack()
        port = self._held.enter_context(unused_port())
        self.address = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        self.certificate = certificate
        folder.mkdir(exist_ok=True)
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    Path(sys.executable).with_name("bao"),
                    *("server", "-dev", "-dev-root-token-id=root", f"-dev-listen-address=127.0.0.1:{port}"),
                    *options,
                ],
                env={"PATH": os.environ["PATH"], "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        while not self._is_ready():
            assert self.process.poll() is None, (folder / "log").read_text()
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        try:
            return bool(self.api("GET", "sys/health")["initialized"])
        except OSError:
            return False

    def api(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str = "root",
        namespace: str = "",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """Ask it something, as its administrator; gives the decoded answer."""
        request = urllib.request.Request(
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "X-Vault-Token": token,
                **({"X-Vault-Namespace": namespace} if namespace else {}),
                **headers,
            },
        )
        context = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=20) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            refusal.close()
            raise

    def mount(self, path: str, version: int = 2, namespace: str = "") -> None:
        """Make a KV engine, and wait until it has become one of version 2."""
        options = {"type": "kv", "options": {"version": str(version)}}
        self.api("POST", f"sys/mounts/{path}", options, namespace=namespace)
        while version == 2:
            with suppress(urllib.error.HTTPError):  # "Upgrading from non-versioned to versioned data"
                self.api("GET", f"{path}/config", namespace=namespace)
                return

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(timeout=30)
        self._held.close()


@pytest.fixture(scope="session")
def start_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., VaultServer]]:
    """Start a server, with TLS if told so; it ends with the tests."""
    started: list[VaultServer] = []

    def start(*, tls: bool = False) -> VaultServer:
        folder = tmp_path_factory.mktemp("vault")
        options = ["-dev-tls", f"-dev-tls-cert-dir={folder}"] if tls else []
        certificate = folder / "vault-ca.pem" if tls else None
        started.append(VaultServer(folder, *options, certificate=certificate))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def vault_server(start_vault: Callable[..., VaultServer]) -> VaultServer:
    """A Vault-compatible server with a KV version 2 engine at ``secret/``."""
    return start_vault()


@pytest.fixture
def vault(vault_server: VaultServer, monkeypatch: pytest.MonkeyPatch) -> VaultServer:
    """The same, emptied, with the environment pointing at it as its administrator."""
    vault_server.api("DELETE", "sys/mounts/secret")
    vault_server.mount("secret")
    monkeypatch.setenv("VAULT_ADDR", vault_server.address)
    monkeypatch.setenv("VAULT_TOKEN", "root")
    return vault_server
