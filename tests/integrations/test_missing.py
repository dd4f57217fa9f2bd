"""Adapters whose framework is not installed."""

from __future__ import annotations

import importlib
import sys

import pytest

from onplan import ConfigurationError

FRAMEWORKS = {
    "dspy": ("dspy", "pip install 'dspy>=3.4'"),
    "langchain": ("langchain_core", "pip install langchain-core"),
    "haystack": ("haystack", "pip install haystack-ai"),
    "llama_index": ("llama_index", "pip install llama-index-core"),
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
