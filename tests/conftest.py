"""What the tests stand on: the emulator on a real socket, a home of their own, and both clients."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan import login
from onplan.emulator import Emulator, Options
from onplan.settings import load_settings
from onplan.stores import open_store


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting of the person who runs the tests reaches them. Gives the configuration folder."""
    for name in list(os.environ):
        if name.startswith(("ONPLAN_", "OPENAI_", "CODEX_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("ONPLAN_HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    return home


@pytest.fixture
def point_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Emulator], None]:
    """Point every client made from now on at an emulator, as a user would from outside."""

    def point(emulator: Emulator) -> None:
        monkeypatch.setenv("ONPLAN_ISSUER", emulator.issuer)
        monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", emulator.codex_base_url)

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
        with suppress(OSError):  # an error page is for the test to find
            opener.open(url, timeout=20).close()

    threading.Thread(target=follow, daemon=True).start()


@pytest.fixture
def browse() -> Callable[[str], None]:
    """What opens the browser."""
    return visit


@pytest.fixture
def signed_in(emulator: Emulator) -> Emulator:
    """An emulator at which the default profile is signed in."""
    settings = load_settings()
    login.sign_in_with_browser(settings, open_store(settings.store), lambda started: None, browse=visit)
    emulator.clear_journal()
    return emulator


class SyncDriver:
    """Asks through ``Client``."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def complete(self, request: Any) -> onplan.CompletionResponse:
        with onplan.Client(**self._options) as client:
            return client.complete(request)

    def chunks(self, request: Any, keep: list[onplan.StreamChunk] | None = None) -> list[onplan.StreamChunk]:
        kept = [] if keep is None else keep
        with onplan.Client(**self._options) as client, closing(client.complete_stream(request)) as stream:
            kept.extend(stream)
        return kept

    def models(self) -> list[onplan.ModelInfo]:
        with onplan.Client(**self._options) as client:
            return client.list_models()


class AsyncDriver:
    """Asks through ``AsyncClient``."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def complete(self, request: Any) -> onplan.CompletionResponse:
        async def ask() -> onplan.CompletionResponse:
            async with onplan.AsyncClient(**self._options) as client:
                return await client.complete(request)

        return asyncio.run(ask())

    def chunks(self, request: Any, keep: list[onplan.StreamChunk] | None = None) -> list[onplan.StreamChunk]:
        kept = [] if keep is None else keep

        async def ask() -> None:
            async with onplan.AsyncClient(**self._options) as client:
                async for chunk in client.complete_stream(request):
                    kept.append(chunk)

        asyncio.run(ask())
        return kept

    def models(self) -> list[onplan.ModelInfo]:
        async def ask() -> list[onplan.ModelInfo]:
            async with onplan.AsyncClient(**self._options) as client:
                return await client.list_models()

        return asyncio.run(ask())


@pytest.fixture(params=["sync", "async", "async-httpx2"])
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both clients, the asynchronous one with and without aiohttp: one suite. Call it with client options."""
    if request.param == "async-httpx2":  # as where the extra is not installed
        monkeypatch.setitem(sys.modules, "onplan.transports.aiohttp", None)
    return SyncDriver if request.param == "sync" else AsyncDriver


@pytest.fixture
def run_cli(tmp_path: Path) -> Callable[..., Any]:
    """Run the command line in a process of its own: ``run_cli("ask", "hi", input=b"…")``."""
    import subprocess

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


@pytest.fixture
def unused_url() -> str:
    """An address on loopback where nobody listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
