"""Arguments of DSPy's language model that have odd values: none of them makes the adapter stumble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onplan.emulator import Emulator

from .odd_arguments import Calls, odd, require_words

pytest.importorskip("dspy.lm15")

from dspy import lm15

from onplan import ConfigurationError, InvalidRequestError
from onplan.integrations.dspy import Engine, lm

MODEL = "gpt-5.5"


def made(**given: Any) -> Any:
    """Make a language model, and ask it."""
    return lm(**{"model": MODEL, "cache": False, **given})("x")


NAMES = (
    *(
        "model",
        "temperature",
        "max_tokens",
        "num_retries",
        "profile",
        "store",
        "timeout",
        "retry",
        "stop",
        "seed",
    ),
    *(
        "tools",
        "tool_choice",
        "response_format",
        "service_tier",
        "extra_body",
        "callbacks",
        "engine",
        "base_url",
    ),
)
CALLS: Calls = {
    **{name: lambda value, name=name: made(**{name: value}) for name in NAMES},
    "request": lambda value: Engine().complete(value),
    "request streamed": lambda value: list(Engine().stream(value)),
    "state": Engine.load_state,
    "prompt": lambda value: lm(MODEL, cache=False)(prompt=value),
    "messages": lambda value: lm(MODEL, cache=False)(messages=value),
}


@odd(CALLS)
def test_an_odd_argument(signed_in: Emulator, name: str, call: Callable[[Any], object], value: Any) -> None:
    """It is taken, or refused in words that name it."""
    require_words(name, call, value, InvalidRequestError, ConfigurationError, lm15.InvalidRequestError)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("profil", "profile"),
        ("cach", "cache"),
        ("reasoning_efort", "reasoning_effort"),
        ("respone_format", "response_format"),
        ("roll_out_id", "rollout_id"),
    ],
)
def test_a_name_that_is_meant(signed_in: Emulator, wrong: str, meant: str) -> None:
    """A misspelt argument is refused where it stands; the error says which is meant."""
    with pytest.raises(ConfigurationError, match=f"lm has no option '{wrong}'") as caught:
        lm(MODEL, **{wrong: "x"})
    assert caught.value.hint == f"Did you mean {meant!r}?"


def test_a_name_that_dspy_knows(signed_in: Emulator) -> None:
    """What DSPy puts into requests is taken, also where it is near to another name."""
    assert lm(MODEL, top_k=5, user="me", rollout_id=3, top_p=0.5, cache=False)("x") == ["You said: x"]
