"""Agents of frameworks that ask through LiteLLM: smolagents and CrewAI, whichever is installed."""

from __future__ import annotations

import importlib
import os

import pytest

from onplan.emulator import Call, Emulator, Turn

from .asking import asked

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks GitHub for prices while it is imported
for name in ("CREWAI_DISABLE_TELEMETRY", "OTEL_SDK_DISABLED", "CREWAI_TESTING"):
    os.environ[name] = "true"

MODEL = "onplan/gpt-5.5"
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of many kinds


def weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name.
    """
    return f"rain in {city}"


@pytest.fixture(autouse=True)
def registered(signed_in: Emulator) -> None:
    """The provider, as a program registers it."""
    importlib.import_module("onplan.integrations.litellm").register()


def test_smolagents(signed_in: Emulator) -> None:
    """An agent calls a tool and answers with what it says; its streams have the text and the tokens."""
    smolagents = pytest.importorskip("smolagents")
    signed_in.play(
        Turn(tool_calls=[Call("weather", {"city": "Oslo"})]),
        Turn(tool_calls=[Call("final_answer", {"answer": "Take a coat."})]),
    )
    model = smolagents.LiteLLMModel(model_id=MODEL)
    agent = smolagents.ToolCallingAgent(tools=[smolagents.tool(weather)], model=model, verbosity_level=0)

    assert agent.run("A coat?") == "Take a coat."
    assert "rain in Oslo" in str(asked(signed_in)[-1]["body"]["input"])
    question = [smolagents.ChatMessage("user", [{"type": "text", "text": "one two"}])]
    deltas = list(model.generate_stream(question))
    assert "".join(delta.content or "" for delta in deltas) == "You said: one two"
    assert deltas[-1].token_usage.output_tokens > 0
    assert model.generate(question, stop_sequences=["two"]).content == "You said: one "


def test_crewai(signed_in: Emulator) -> None:
    """An agent with a tool: it is called, and the agent's answer is the model's."""
    crewai = pytest.importorskip("crewai")
    tools = importlib.import_module("crewai.tools")
    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), Turn(text="Take a coat."))
    llm = crewai.LLM(model=MODEL, is_litellm=True, context_window_size=272_000)
    agent = crewai.Agent(
        role="r", goal="g", backstory="b", llm=llm, tools=[tools.tool("weather")(weather)], verbose=False
    )

    assert agent.kickoff("A coat?").raw == "Take a coat."
    assert "rain in Oslo" in str(asked(signed_in)[-1]["body"]["input"])
    assert llm.get_context_window_size() == 272_000
