"""What the tests of ``ChatOnplan`` stand on: a model at the emulator, a tool, a class, what was asked."""

from __future__ import annotations

from importlib.util import find_spec
from inspect import signature
from typing import Any

import pytest

from onplan.emulator import Emulator

from .asking import asked

pytest.importorskip("langchain_core")

from langchain_core import exceptions
from langchain_core.load import load
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from onplan.integrations.langchain import ChatOnplan

MODEL = "gpt-5.5"
HAS_MODEL_ERRORS = hasattr(exceptions, "ModelError")
HAS_PROFILES = "profile" in ChatOnplan.model_fields
HAS_EVENTS_V3 = find_spec("langchain_core.language_models.chat_model_stream") is not None
needs_v3 = pytest.mark.skipif(not HAS_EVENTS_V3, reason="this langchain-core has no stream_events v3")
v3_is_beta = pytest.mark.filterwarnings(
    "ignore:.*beta:langchain_core._api.beta_decorator.LangChainBetaWarning"
)


@tool
def weather(city: str) -> str:
    """The weather."""
    return f"rain in {city}"


class Bird(BaseModel):
    """A bird."""

    name: str
    wingspan: int = 30


BIRD = '{"name": "Wren", "wingspan": 15}'


@pytest.fixture
def model(signed_in: Emulator) -> ChatOnplan:
    """A model, signed in at the emulator."""
    return ChatOnplan(model=MODEL)


def bodies(emulator: Emulator) -> list[Any]:
    """The bodies of the requests to the model, over HTTP and WebSocket."""
    return [row["body"] for row in asked(emulator) if row["body"]]


def added(chunks: Any) -> AIMessage:
    first, *others = chunks
    return first.__add__(others)


def allowing(objects: Any) -> dict[str, Any]:
    """The argument of ``load`` that says which classes are allowed, where there is one."""
    return {"allowed_objects": objects} if "allowed_objects" in signature(load).parameters else {}
