"""Coding agents, as they are released, run by ``onplan run``: each makes a turn with a tool of its own.

What the model decides is told to the emulator. The agent reads a file, and what stood in it arrives at the
backend; aider has no tools and writes what the model says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Call, Turn

from .clients_page import settings
from .served import Plan, plan

AGENTS, AIDER = os.environ.get("AGENTS"), os.environ.get("AIDER")
SAID, ANSWER = "What is in bird.txt?", "It is a wren."

pytestmark = [
    pytest.mark.interop,
    pytest.mark.agents,
    pytest.mark.skipif(not AGENTS or not AIDER, reason="AGENTS and AIDER name no agents; run `make clients`"),
]


@pytest.fixture
def used(tmp_path: Path) -> Iterator[Plan]:
    """A plan, and a folder with a file in it."""
    (tmp_path / "bird.txt").write_text("a wren\n")
    with plan(tmp_path) as made:
        yield made


def agent(name: str) -> str:
    """Its program."""
    return str(Path(str(AGENTS)) / "node_modules" / ".bin" / name)


def reads(used: Plan, tool: str, arguments: dict[str, Any]) -> None:
    """Let the model call the agent's tool, and then answer."""
    used.emulator.play(Turn(tool_calls=[Call(tool, arguments)]), Turn(text=ANSWER))


def check_arrived(used: Plan) -> None:
    """Both turns were asked for, and the second has the file's text in the tool's output."""
    asked = [row for row in used.emulator.journal() if row["path"].endswith("/responses")]
    turns = [row for row in asked if row["method"] == "POST"]
    assert [row["status"] for row in turns] == [200, 200]
    last = turns[1]["body"]["input"][-1]
    assert last["type"] == "function_call_output"
    assert "a wren" in json.dumps(last["output"])
    assert used.emulator.turns_left == 0


@pytest.mark.stranger("opencode by run", "reads a file and answers")
def test_opencode(used: Plan) -> None:
    """As a provider of its settings, over Chat Completions."""
    (used.folder / "opencode.json").write_text(settings("opencode"))
    reads(used, "read", {"filePath": str(used.folder / "bird.txt")})

    said = used.run(
        [agent("opencode"), "run", "--title", "birds", "--model", "onplan/gpt-5.5", SAID],
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_AUTOUPDATE="1",
    )

    assert ANSWER in said
    check_arrived(used)


@pytest.mark.stranger("Cline CLI by run", "reads a file and answers")
def test_cline(used: Plan) -> None:
    """Over Chat Completions, with its twenty-five tools."""
    cline = agent("cline")
    sign_in = 'auth -p openai -k "$OPENAI_API_KEY" -m gpt-5.5 -b "$OPENAI_BASE_URL"'
    reads(used, "read_files", {"files": [{"path": str(used.folder / "bird.txt")}]})

    ask = f"{cline} -P openai -m gpt-5.5 --json '{SAID}'"
    # Otherwise a process of its own stays behind, with this address and key, and works for the next one.
    said = used.run(["sh", "-c", f"{cline} {sign_in} && {ask}"], CLINE_SESSION_BACKEND_MODE="local")

    result = json.loads(said.splitlines()[-1])
    assert (result["finishReason"], result["text"]) == ("completed", ANSWER)
    assert result["usage"]["inputTokens"] > 0
    check_arrived(used)


@pytest.mark.stranger("Continue CLI by run", "reads a file and answers")
def test_continue(used: Plan) -> None:
    """Over Responses, which it takes for models of this name."""
    text = settings("Continue", "$OPENAI_BASE_URL", "$OPENAI_API_KEY")
    write = f"cat > config.yaml <<end\n{text}end\n"
    reads(used, "Read", {"filepath": str(used.folder / "bird.txt")})

    ask = f"exec {agent('cn')} --config config.yaml -p '{SAID}'"
    said = used.run(["sh", "-c", write + ask], CONTINUE_TELEMETRY_ENABLED="0")

    assert said.strip() == ANSWER
    check_arrived(used)


@pytest.mark.stranger("Qwen Code by run", "reads a file and answers")
def test_qwen_code(used: Plan) -> None:
    """Over Chat Completions, by the variables alone."""
    reads(used, "read_file", {"file_path": str(used.folder / "bird.txt")})

    said = used.run([agent("qwen"), "--auth-type", "openai", "-p", SAID], OPENAI_MODEL="gpt-5.5")

    assert said.strip() == ANSWER
    check_arrived(used)


@pytest.mark.stranger("aider by run", "edits a file")
def test_aider(used: Plan) -> None:
    """Over Chat Completions, streaming; LiteLLM asks for it."""
    used.emulator.play(Turn(text="bird.txt\n```\na robin\n```\n"))

    said = used.run(
        [
            str(AIDER),
            *("--model", "openai/gpt-5.5", "--message", "Make it a robin.", "--yes", "bird.txt"),
            *("--no-git", "--no-check-update", "--analytics-disable", "--no-show-model-warnings"),
        ]
    )

    assert "Applied edit to bird.txt" in said
    assert (used.folder / "bird.txt").read_text() == "a robin\n"
