"""Adapters whose framework is not installed."""

from __future__ import annotations

import importlib
import sys

import pytest

from onplan import ConfigurationError
from onplan.integrations.openai import OpenAI

FRAMEWORKS = {
    "agents": ("agents", "pip install openai-agents"),
    "dspy": ("dspy", "pip install 'dspy>=3.4'"),
    "haystack": ("haystack", "pip install haystack-ai"),
    "langchain": ("langchain_core", "pip install langchain-core"),
    "llama_index": ("llama_index", "pip install llama-index-core"),
    "llm": ("llm", "pip install llm"),
    "pydantic_ai": ("pydantic_ai", "pip install 'pydantic-ai-slim[openai]'"),
    "smolagents": ("smolagents", "pip install 'smolagents[openai]'"),
}


@pytest.mark.parametrize("module", FRAMEWORKS)
def test_a_missing_framework_says_what_to_type(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a ConfigurationError and an ImportError."""
    framework, command = FRAMEWORKS[module]
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(ConfigurationError) as caught:
        importlib.import_module(f"onplan.integrations.{module}")
    assert isinstance(caught.value, ImportError)
    assert command in caught.value.hint
    assert caught.value.__notes__ == [caught.value.hint]  # which a traceback shows


def test_a_missing_sdk_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does OpenAI's SDK, when a client is made."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigurationError, match="not installed") as caught:
        OpenAI()
    assert "pip install openai" in caught.value.hint


def test_a_missing_litellm_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM is looked for by its version, before its seconds of importing."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path])
    with pytest.raises(ConfigurationError) as caught:
        importlib.import_module("onplan.integrations.litellm")
    assert "pip install litellm" in caught.value.hint
