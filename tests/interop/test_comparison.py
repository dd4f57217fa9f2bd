"""docs/comparison.md: the programs with other libraries do what the page says of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator, Options

from ..comparison import (
    WHOLE_CHAT,
    cell,
    machine,
    sent_texts,
    try_agent,
    try_chat,
    try_extraction,
    write,
)
from ..conftest import eventually

STRANGERS = os.environ.get("STRANGERS_PYTHON")
SDK = os.environ.get("OPENAI_SDK_PYTHON")
LLM = os.environ.get("SIWC_PEER_PYTHON")

pytestmark = pytest.mark.interop


def openai_command(emulator: Emulator, folder: Path, program: str) -> list[Any]:
    return [SDK, program]


def pydantic_ai_command(emulator: Emulator, folder: Path, program: str) -> list[Any]:
    urls = (emulator.issuer, emulator.codex_base_url, emulator.plan_base_url)
    return [STRANGERS, Path(__file__).parent / "peers" / "program.py", *urls, folder, program]


LIBRARIES = [
    pytest.param(
        "openai SDK",
        openai_command,
        marks=pytest.mark.skipif(not SDK, reason="OPENAI_SDK_PYTHON is not set; run `make interop`"),
    ),
    pytest.param(
        "pydantic-ai",
        pydantic_ai_command,
        marks=pytest.mark.skipif(not STRANGERS, reason="STRANGERS_PYTHON is not set; run `make interop`"),
    ),
]
NAMES = {"openai SDK": "openai", "pydantic-ai": "pydantic_ai"}  # as in the names of their programs


@pytest.mark.stranger("{library}", "docs/comparison.md: an agent one of whose tools fails")
@pytest.mark.parametrize(("library", "command"), LIBRARIES)
def test_an_agent(tmp_path: Path, library: str, command: Callable[..., list[Any]]) -> None:
    """The model is told of all three calls, and answers."""
    with machine(tmp_path, command) as here:
        try_agent(here, f"agent_with_{NAMES[library]}.py")


@pytest.mark.stranger("{library}", "docs/comparison.md: extractions beyond a usage limit")
@pytest.mark.parametrize(("library", "command"), LIBRARIES[:1])  # the other one is asked more below
def test_extractions_at_the_limit(tmp_path: Path, library: str, command: Callable[..., list[Any]]) -> None:
    """The program waits until the limit has reset, and all are answered."""
    with machine(tmp_path, command) as here:
        done = try_extraction(here, f"extraction_with_{NAMES[library]}.py", refuse_token=False)

    assert done.outcome == cell("the usage limit is reached", library), done.complaints
    assert done.refused


@pytest.mark.stranger("{library}", "docs/comparison.md: extractions with a refused token")
@pytest.mark.parametrize(("library", "command"), LIBRARIES)
def test_extractions_with_a_refused_token(
    tmp_path: Path, library: str, command: Callable[..., list[Any]]
) -> None:
    """pydantic-ai refreshes it; the SDK has no way to, and ends."""
    with machine(tmp_path, command) as here:
        done = try_extraction(here, f"extraction_with_{NAMES[library]}.py", refuse_token=True)

    assert done.outcome == cell("and the token is refused", library), done.complaints
    assert library == "pydantic-ai" or "AuthenticationError: Error code: 401" in done.complaints


@pytest.mark.stranger("{library}", "docs/comparison.md: a chat that is killed")
@pytest.mark.parametrize(("library", "command"), LIBRARIES)
def test_a_chat(tmp_path: Path, library: str, command: Callable[..., list[Any]]) -> None:
    """What was said and not answered is answered when it starts again; the model knows the whole chat."""
    with machine(tmp_path, command) as here:
        assert try_chat(here, f"chat_with_{NAMES[library]}.py") == WHOLE_CHAT


@pytest.mark.stranger("llm", "docs/comparison.md: a chat that is killed")
@pytest.mark.skipif(not LLM, reason="SIWC_PEER_PYTHON names no Python with llm; run `make interop`")
def test_a_chat_of_llm(tmp_path: Path) -> None:
    """`llm chat -c` goes on after the last whole exchange, without its reasoning."""
    with Emulator(Options(public_url="https://auth.openai.com")) as emulator:
        urls = (emulator.issuer, emulator.plan_base_url)
        command: list[Any] = [LLM, Path(__file__).with_name("siwc_peer.py"), *urls]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LLM_USER_PATH": str(tmp_path)}
        environment["PYTHONUNBUFFERED"] = "1"
        subprocess.run(
            [*command, "chatgpt-plan", "login"], env=environment, capture_output=True, timeout=60, check=True
        )

        def start(*options: str) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [*command, "chat", "-m", "chatgpt-plan/gpt-5.5", *options],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

        def say(process: subprocess.Popen[str], line: str) -> None:
            write(process, line)
            assert process.stdout
            while f"You said: {line}" not in (printed := process.stdout.readline()):
                assert printed, "it has ended"

        def asked() -> list[dict[str, Any]]:
            return [row for row in emulator.journal() if row["path"].endswith("/responses")]

        process = start()
        say(process, "one")
        emulator.arm("stall")
        write(process, "two")
        eventually(lambda: len(asked()) == 2)
        process.kill()
        process.communicate(timeout=60)
        emulator.disarm()
        process = start("-c")
        say(process, "three")
        process.communicate(timeout=60)
        last = asked()[-1]["body"]["input"]

    assert sent_texts(last) == ["one", "You said: one", "three"]
    assert not any(item.get("encrypted_content") for item in last)
