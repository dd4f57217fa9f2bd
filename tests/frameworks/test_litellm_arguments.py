"""Arguments of LiteLLM's provider that have odd values: none of them makes the adapter stumble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onplan.emulator import Emulator

from .odd_arguments import Calls, odd, require_words

pytest.importorskip("litellm")

import litellm

from onplan import ConfigurationError, InvalidRequestError
from onplan.integrations.litellm import register

pytestmark = [pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")]
MODEL = "onplan/gpt-5.5"


@pytest.fixture(autouse=True)
def provider(signed_in: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider, registered anew for each test."""
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    return register()


def asked(**given: Any) -> Any:
    """Ask with arguments."""
    return litellm.completion(**{"model": MODEL, "messages": [{"role": "user", "content": "x"}], **given})


def said(content: Any) -> Any:
    """Ask with content."""
    return asked(messages=[{"role": "user", "content": content}])


NAMES = (
    *("messages", "temperature", "max_tokens", "stop", "tools", "tool_choice", "seed", "user", "extra_body"),
    *("reasoning_effort", "timeout", "api_base", "metadata", "web_search_options", "parallel_tool_calls"),
)
CALLS: Calls = {
    **{
        f"{name} registered": lambda value, name=name: register(**{name: value})
        for name in ("profile", "store", "timeout", "retry", "unsupported")
    },
    "provider": lambda value: register(name=value),
    **{name: lambda value, name=name: asked(**{name: value}) for name in NAMES},
    **{
        f"{name} streamed": lambda value, name=name: list(asked(stream=True, **{name: value}))
        for name in NAMES
    },
    "messages each": lambda value: asked(messages=[value]),
    "messages content": said,
    "messages part": lambda value: said([value]),
    "messages url": lambda value: said([{"type": "image_url", "image_url": {"url": value}}]),
    "messages kept": lambda value: asked(
        messages=[{"role": "assistant", "content": "y", "provider_specific_fields": value}]
    ),
}


@odd(CALLS)
def test_an_odd_argument(name: str, call: Callable[[Any], object], value: Any) -> None:
    """It is taken, or refused in words that name it."""
    require_words(name, call, value, InvalidRequestError, ConfigurationError, litellm.BadRequestError)


def test_a_name_that_is_meant() -> None:
    """A misspelt option is refused where it stands; the error says which is meant."""
    with pytest.raises(ConfigurationError, match="Onplan has no option 'profil'") as caught:
        register(profil="work")  # type: ignore[call-arg]
    assert caught.value.hint == "Did you mean 'profile'?"
