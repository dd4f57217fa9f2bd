"""The official Codex CLI, as it is released, as a client of ``onplan serve``: a provider in its settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from onplan.emulator import Scenario
from onplan.emulator.catalogue import CATALOGUE, serves

from .clients_page import settings
from .codex_cli import VERSIONS, Codex, check_tool_turn, installed, with_clients
from .served import Served, served

VERSION = (VERSIONS or ["none"])[0]

pytestmark = [pytest.mark.interop, pytest.mark.stranger(f"Codex CLI {VERSION} at serve"), with_clients]


@dataclass
class ServedCodex(Codex):
    """The client with the server as its provider."""

    server: Served

    def environment(self, **variables: str) -> dict[str, str]:
        """With the server's key; of its address only the settings know."""
        return super().environment(ONPLAN_KEY=self.server.key, **variables)

    def use(self, transport: str) -> None:
        """Write the settings of docs/clients.md."""
        self.home.mkdir(exist_ok=True)
        text = settings("Codex CLI", self.server.base_url)
        if transport == "SSE":
            text = text.replace("supports_websockets = true", "supports_websockets = false")
        (self.home / "config.toml").write_text(text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all turns; every turn is a conversation of its own."""
    with served(tmp_path_factory.mktemp("served"), scenario=Scenario()) as running:
        yield running


@pytest.fixture
def codex(server: Served, tmp_path: Path) -> Iterator[ServedCodex]:
    server.emulator.clear_journal()
    yield ServedCodex(installed(VERSION), server.emulator, tmp_path / "codex-client", server)
    server.emulator.disarm()


@pytest.fixture(params=["plain", "lite"])
def model(request: pytest.FixtureRequest) -> str:
    """The one that takes its tools as ever, and the best of those that take them inside the input."""
    lite = next(model["slug"] for model in CATALOGUE if serves(model, VERSION))
    return "gpt-5.5" if request.param == "plain" else str(lite)


@pytest.mark.parametrize("transport", ["SSE", "WebSocket"])
def test_it_completes_a_turn_with_a_tool_call(codex: ServedCodex, model: str, transport: str) -> None:
    """Its tool runs, no connection is given up, and all that it sends is accepted."""
    codex.use(transport)
    events = codex.execute("--model", model)
    check_tool_turn(events)
    assert not [event for event in events if event["type"] == "error"]
    assert {row["status"] for row in codex.turns} == {200}
    last = codex.turns[-1]["body"]["input"]
    assert last[-1]["type"] in ("function_call_output", "custom_tool_call_output")


def test_its_app_server_talks_compacts_and_reviews(codex: ServedCodex) -> None:
    """Over one WebSocket: turns with a tool, its history made shorter, a review."""
    codex.use("WebSocket")
    said = [{"type": "text", "text": "say hi"}]
    with codex.app_server() as server:
        thread = server.start_thread("gpt-5.5")
        server.turn("turn/start", threadId=thread, input=said)
        server.turn("thread/compact/start", threadId=thread)
        server.turn("turn/start", threadId=thread, input=said)
        target = {"type": "custom", "instructions": "Look at it."}
        server.turn("review/start", threadId=thread, target=target, delivery="inline")
    assert {row["status"] for row in codex.turns} == {200}


def test_what_it_says_about_a_turn_arrives(codex: ServedCodex) -> None:
    """The headers that the backend reads are handed on, and the conversation keeps its name."""
    codex.use("SSE")
    codex.execute()
    assert all("x-codex-turn-metadata" in row["headers"] for row in codex.turns)
    assert len({row["headers"]["session-id"] for row in codex.turns}) == 1


@pytest.mark.parametrize("transport", ["SSE", "WebSocket"])
def test_it_explains_a_usage_limit_and_stops(codex: ServedCodex, transport: str) -> None:
    """A sentence about the plan, and no second attempt; over a WebSocket its preparation is refused, too."""
    codex.use(transport)
    codex.emulator.arm("usage_limit_429", times=9)
    done = codex.attempt()
    assert done.returncode != 0
    assert "usage limit" in done.stdout
    prepared = [False] if transport == "WebSocket" else []
    assert [row["body"].get("generate") for row in codex.turns] == [*prepared, None]
    assert {row["status"] for row in codex.turns} == {429}


def test_it_goes_on_after_a_stream_that_broke(codex: ServedCodex) -> None:
    """It takes the end for none, asks again, and completes; a token that expired meanwhile is refreshed."""
    codex.use("SSE")
    codex.emulator.expire_access_tokens()
    codex.emulator.arm("response_failed_after_text")
    events = codex.execute()
    assert events[-1]["type"] == "turn.completed"
    assert len(codex.requests("/oauth/token")) == 1
