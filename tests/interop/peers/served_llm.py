"""Runs `llm` as it is, command by command in one process: its own commands, its own database and settings."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import steps
from llm.cli import cli

USER = Path(os.environ["LLM_USER_PATH"])
BIRD = '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}'
TOOL = "def count(species: str) -> str:\n    return f'seven of {species}'"
# OpenAI's own models ask for Responses; one in this file asks for Chat Completions.
USER.mkdir(parents=True, exist_ok=True)
(USER / "extra-openai-models.yaml").write_text(
    f"""- model_id: chat
  model_name: gpt-5.5
  api_key_name: openai
  api_base: {os.environ["OPENAI_BASE_URL"]}
  supports_tools: true
  supports_schema: true
  reasoning: true
"""
)


def run(*arguments: str) -> str:
    """What a command prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):  # there it thinks aloud
        cli.main(list(arguments), standalone_mode=False)
    return said.getvalue().strip()


for api, model in {"responses": "gpt-5.5", "chat": "chat"}.items():
    with steps.step(f"prompt, {api}") as row:
        row["result"] = run("prompt", "-m", model, "hi")
    with steps.step(f"prompt, not streaming, {api}") as row:
        row["result"] = run("prompt", "-m", model, "--no-stream", "hi")
    with steps.step(f"goes on, {api}") as row:
        row["result"] = run("prompt", "-m", model, "-c", "and now?")
    with steps.step(f"calls a tool, {api}") as row:
        row["result"] = run("prompt", "-m", model, "--functions", TOOL, "How many?")
    with steps.step(f"schema, {api}") as row:
        row["result"] = run("prompt", "-m", model, "--schema", BIRD, "A bird?")
    with steps.step(f"overloaded inside a 200, {api}") as row:
        steps.arm("overloaded_in_stream")
        row["result"] = run("prompt", "-m", model, "hi")
    with steps.step(f"a usage limit, {api}") as row:
        steps.arm("usage_limit_429", 9)
        run("prompt", "-m", model, "hi")
    with steps.step(f"a stream that breaks, {api}") as row:
        steps.arm("response_failed_after_text", 9)
        run("prompt", "-m", model, "hi")
    with steps.step(f"a stream that ends early, {api}") as row:
        steps.arm("eof_without_terminal", 9)
        run("prompt", "-m", model, "hi")
with steps.step("an expired token") as row:
    steps.control("tokens", {"expire_access_tokens": True})
    row["result"] = run("prompt", "-m", "gpt-5.5", "hi")
steps.report()
