"""Requests and options of the wrong type or value are refused where they are made."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

import onplan
from onplan.emulator import Emulator

Run = Callable[..., subprocess.CompletedProcess[str]]


REQUESTS: dict[str, dict[str, Any]] = {
    "no messages at all": {"messages": None},
    "a tool of a dictionary": {"messages": "hi", "tools": [{"type": "function"}]},
    "tools in a string": {"messages": "hi", "tools": "look"},
    "a model that is a number": {"messages": "hi", "model": 5},
    "a temperature in words": {"messages": "hi", "temperature": "high"},
    "half a token": {"messages": "hi", "max_tokens": 1.5},
    "no tokens": {"messages": "hi", "max_tokens": 0},
    "an empty stop": {"messages": "hi", "stop": ["END", ""]},
    "True tokens": {"messages": "hi", "max_tokens": True},
    "a number for a yes": {"messages": "hi", "parallel_tool_calls": 1},
    "a stop that is a number": {"messages": "hi", "stop": [5]},
    "metadata in a list": {"messages": "hi", "metadata": ["a"]},
    "metadata that is a number": {"messages": "hi", "metadata": {"a": 5}},
}


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_a_request_of_the_wrong_types_is_refused_where_it_is_made(fields: dict[str, Any]) -> None:
    """By an error of ours that names the field and says what belongs there."""
    with pytest.raises(onplan.InvalidRequestError) as caught:
        onplan.CompletionRequest(**fields)
    assert caught.value.hint.startswith(("Give it", "Leave it out", "See https://"))


def test_half_a_character_is_refused(signed_in: Emulator) -> None:
    """A lone surrogate has no UTF-8; nothing is sent."""
    with onplan.Client() as client, pytest.raises(onplan.InvalidRequestError, match="surrogate"):
        client.complete(onplan.CompletionRequest(messages="\udcff", model="gpt-5.5"))


@pytest.mark.parametrize("limit", ["connect", "idle", "write", "total"])
@pytest.mark.parametrize("seconds", [-1, 0, "x", True, float("nan")])
def test_a_limit_is_a_number_of_seconds(limit: str, seconds: Any) -> None:
    """Anything else is an error where it is made."""
    with pytest.raises(onplan.ConfigurationError, match=limit):
        onplan.Timeouts(**{limit: seconds})


def test_a_timeout_is_a_number_of_seconds() -> None:
    """True is no second: an option that was meant to be switched on is refused."""
    with pytest.raises(onplan.ConfigurationError, match="True, which is not a number of seconds"):
        onplan.Client(timeout=True)
