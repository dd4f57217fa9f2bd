"""What is logged is documented, and holds no secret and nothing of what was said."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Turn
from onplan.sign_in import login
from onplan.stores import Record, open_store

from ..conftest import visit
from ..test_secrets import everything_about, marks
from .conftest import Seen

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/observability.md").read_text()
DOCUMENTED = set(re.findall(r"^\| `(onplan[.a-z]*)` \| ([A-Z]+) \|", PAGE, re.MULTILINE))
QUICK = onplan.RetryPolicy(attempts=3, wait_initial=0.001)


class Kept(logging.Handler):
    """Keeps records with their text as a handler would write it, traceback included."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.lines: list[tuple[str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.name, record.levelname, self.format(record)))


@pytest.fixture
def kept() -> Iterator[list[tuple[str, str, str]]]:
    """Every record of every logger, whatever its level."""
    handler, root = Kept(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


def test_every_logger_is_documented() -> None:
    """And there is none that is not; a logger may say things of several levels."""
    source = [
        path.read_text() for path in (ROOT / "src/onplan").rglob("*.py") if "emulator" not in path.parts
    ]
    made = {
        name
        for text in source
        for name in re.findall(r'(?:getLogger|logging\.Logger)\("(onplan[a-z.]*)"', text)
    }

    assert {name for name, _ in DOCUMENTED} == made
    assert {"INFO", "WARNING", "ERROR", "DEBUG"} == {level for _, level in DOCUMENTED}


def use_it(emulator: Emulator, secrets: set[str]) -> None:
    """Sign in, be refused and refresh, fail and try again, stream, call tools, and fail for good."""
    settings = load_settings()
    store = open_store(settings.store)

    def note() -> None:
        loaded = store.load()
        assert loaded
        assert loaded.record.credentials
        found = loaded.record.credentials
        secrets.update(token for token in (found.access_token, found.refresh_token, found.id_token) if token)

    def started(attempt: Any) -> None:
        secrets.update((attempt.verifier, attempt.state))

    def weather(city: str) -> str:
        raise LookupError(city)

    login.sign_in_with_browser(settings, store, started, browse=visit)
    note()
    for fault in ("unauthorized_once", "server_error_500"):
        emulator.arm(fault, times=1)
    with onplan.Client(retry=QUICK, model="gpt-5.5") as client:
        client.complete("my-question")
        note()
        emulator.arm("token_500")
        emulator.expire_access_tokens()
        with pytest.raises(onplan.RefreshError):
            client.complete("my-question")
        client.complete("my-question")
        note()
        emulator.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), Turn(text="my-answer"))
        client.run("my-question", tools=[weather])
        emulator.arm("content_policy")
        with pytest.raises(onplan.ContentPolicyError):
            client.complete("my-question")

    async def stream(transport: Literal["sse", "websocket"]) -> None:
        async with (
            onplan.AsyncClient(retry=QUICK, model="gpt-5.5", transport=transport) as client,
            client.stream("my-question", session_id="s") as answer,
        ):
            await answer.read()

    for transport in ("sse", "websocket"):
        asyncio.run(stream(transport))


def test_no_secret_and_nothing_that_was_said_is_logged(
    emulator: Emulator, kept: list[tuple[str, str, str]]
) -> None:
    """With every level on: tokens in no line of any library, words of the conversation in none of onplan."""
    secrets: set[str] = set()
    use_it(emulator, secrets)

    assert len(secrets) > 6
    assert [line for line in kept if any(secret in line[2] for secret in secrets)] == []
    own = [line for line in kept if line[0].partition(".")[0] == "onplan"]
    assert {name for name, _, _ in own} >= {"onplan.http", "onplan.tokens", "onplan.client", "onplan.tools"}
    assert {(name, level) for name, level, _ in own} <= DOCUMENTED
    assert [text for _, _, text in own if "my-question" in text or "my-answer" in text] == []


@pytest.mark.parametrize(
    "fault", ["unauthorized_once", "server_error_500", "token_invalid_grant", "cut_mid_event"]
)
def test_no_token_is_in_spans_or_tracebacks(
    emulator: Emulator, driver: Any, seen: Seen, fault: str, clean_environment: Path
) -> None:
    """Even with contents, and in the frames that telemetry adds."""
    credentials, secrets = marks(emulator)
    store = open_store(f"file:{clean_environment / 'c.json'}")
    store.save(Record(credentials=credentials), None)
    emulator.arm(fault, times=9)
    if fault.startswith("token"):
        emulator.expire_access_tokens()
    with pytest.raises(onplan.OnplanError) as caught:
        driver(telemetry=seen.option(contents=True), store=store, retry=QUICK).complete(
            "one two three", model="gpt-5.5"
        )
    loaded = store.load()
    assert loaded
    assert loaded.record.credentials
    secrets += [str(loaded.record.credentials.access_token), str(loaded.record.credentials.refresh_token)]

    assert seen.named("chat")
    told = everything_about(caught.value) + seen.everything()
    assert [line[:200] for line in told.splitlines() if any(secret in line for secret in secrets)] == []
