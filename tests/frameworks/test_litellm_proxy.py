"""LiteLLM's proxy with the provider in its configuration: a process of its own, asked over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Call, Emulator, Turn

from .asking import asked
from .pages import PAGES

KEY = "sk-of-the-test"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture
def proxy(signed_in: Emulator, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """The proxy with the configuration of docs/integrations/litellm.md; a function that asks it."""
    page = (PAGES / "litellm.md").read_text("utf-8")
    configuration = tmp_path / "config.yaml"
    configuration.write_text(page.partition("```yaml\n")[2].partition("```")[0])
    url = f"http://127.0.0.1:{(port := _free_port())}"
    command = ["--config", configuration, "--host", "127.0.0.1", "--port", str(port)]
    known = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY, "LITELLM_TELEMETRY": "False"}
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [Path(sys.executable).with_name("litellm"), *command],
            env={**os.environ, **known},
            stdout=output,
            stderr=output,
            cwd=tmp_path,
        ) as process,
    ):
        try:
            while not _is_up(url):  # it imports for half a minute where nothing is compiled yet
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
                assert process.poll() is None, log.read_text()
            yield lambda **body: _ask(url, body)
        finally:
            process.terminate()


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/liveliness", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _ask(url: str, body: dict[str, Any]) -> tuple[int, Any, Any]:
    """The status, the headers, and the body: a dict, or of a stream a list of its chunks."""
    asking = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(
            {"model": "gpt-5.5", "messages": [{"role": "user", "content": "one two"}], **body}
        ).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {KEY}"},
    )
    try:
        with urllib.request.urlopen(asking, timeout=60) as reply:
            status, headers, said = reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read())
    if not body.get("stream"):
        return status, headers, json.loads(said)
    lines = [line.removeprefix("data: ") for line in said.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return status, headers, [json.loads(line) for line in lines]


def test_the_proxy(proxy: Callable[..., Any], signed_in: Emulator) -> None:
    """Answers, streams, tools and failures over HTTP, by the configuration that the page shows."""
    status, headers, whole = proxy(temperature=0.3)
    assert status == 200, whole
    assert whole["choices"][0]["message"]["content"] == "You said: one two"
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    assert headers["llm_provider-x-onplan-ignored-parameters"] == "temperature"

    _, _, chunks = proxy(stream=True, stream_options={"include_usage": True})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "You said: one two"
    assert any(delta.get("reasoning_content") for delta in deltas)
    assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]

    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    _, _, called = proxy(tools=[tool], reasoning_effort="low")
    assert called["choices"][0]["finish_reason"] == "tool_calls"
    assert json.loads(called["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]) == {
        "city": "Oslo"
    }
    assert asked(signed_in)[-1]["body"]["reasoning"]["effort"] == "low"

    signed_in.arm("usage_limit_429", 9)
    for stream in (False, True):
        signed_in.clear_journal()
        status, _, refused = proxy(stream=stream)
        assert (status, len(asked(signed_in))) == (429, 1)
        assert "usage limit of the plus plan" in refused["error"]["message"]
    assert KEY not in str(asked(signed_in)[-1]["headers"])
