"""Requests and options of the wrong value are refused where they are made."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

import onplan
from onplan.emulator import Emulator

Run = Callable[..., subprocess.CompletedProcess[str]]


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
