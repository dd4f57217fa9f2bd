"""OpenAI's own SDK against the emulator's platform: a stranger judges how faithful it is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from onplan.emulator import Emulator, Options

PYTHON = os.environ.get("OPENAI_SDK_PYTHON")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.stranger("openai SDK", "models, chat, tools, schemas, responses, refusals at the platform"),
    pytest.mark.skipif(
        not PYTHON, reason="OPENAI_SDK_PYTHON does not name a Python with openai; run `make interop`"
    ),
]


def test_the_official_sdk_understands_the_platform():
    """Models, chat, tools, schemas, responses and refusals arrive exactly as the SDK's types say."""
    with Emulator(Options()) as emulator:
        base_url = emulator.urls["openai_base_url"]
        program = [PYTHON, Path(__file__).with_name("openai_sdk.py"), base_url, "sk-any"]
        done = subprocess.run(
            program,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert {"gpt-5.5", "gpt-4.1", "whisper-1"} <= set(found["models"])
    assert found["chat"] == {
        "whole": "You said: hi",
        "chunks": "You said: hi",
        "same_usage": True,
        "cut": "length",
    }
    assert found["tools"]["calls"] == [["first", {"a": "text"}], ["second", {"a": "text"}]]
    assert "result of second" in found["tools"]["then"]
    assert found["schemas"] == ["text", "text"]
    assert found["responses"] == {
        "whole": "You said: hi",
        "final": "You said: hi",
        "last": "response.completed",
    }
    assert found["refusals"] == [
        ["invalid_api_key", True],
        ["model_not_found", True],
        ["unsupported_parameter", True],
    ]
    assert found["asynchronous"] == "You said: hi"
