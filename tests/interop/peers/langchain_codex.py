"""Runs langchain-codex-plus, as it is: its own settings point it at the emulator."""

from __future__ import annotations

import asyncio
import os

import trial
from langchain_codex_plus import ChatCodexPlus
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

os.environ["CODEX_REFRESH_TOKEN_URL_OVERRIDE"] = f"{trial.ISSUER}/oauth/token"
AUTH = trial.FOLDER / "codex" / "auth.json"
limits = []


class Bird(BaseModel):
    """A bird."""

    name: str
    wings: int


@tool
def count(species: str) -> str:
    """How many there are."""
    return f"seven of {species}"


def model(**options: object) -> ChatCodexPlus:
    settings = {"model": "gpt-5.5", "auth_file_path": AUTH, "api_base": trial.CODEX.removesuffix("/codex")}
    return ChatCodexPlus(**{**settings, **options})


def tools(chat: ChatCodexPlus) -> str:
    bound = chat.bind_tools([count])
    said = [HumanMessage("How many?")]
    asked = bound.invoke(said)
    (call,) = asked.tool_calls
    result = count.invoke(call["args"])
    return bound.invoke([*said, asked, ToolMessage(result, tool_call_id=call["id"])]).text


async def streamed(chat: ChatCodexPlus) -> list[str]:
    return [chunk.text async for chunk in chat.astream("hi")]


with trial.step("completes") as found:
    answer = model(rate_limit_callback=limits.append).invoke([SystemMessage("Be brief."), HumanMessage("hi")])
    found["result"] = [answer.text, answer.usage_metadata["output_tokens"] > 0]
with trial.step("reads the limits") as found:
    found["result"] = [limits[0].primary.used_percent, limits[0].secondary.used_percent]
with trial.step("streams") as found:
    pieces = [chunk.text for chunk in model().stream("hi")]
    found["result"] = ["".join(pieces), len(pieces) > 1]
with trial.step("streams in a loop") as found:
    pieces = asyncio.run(streamed(model(reasoning_effort="low")))
    found["result"] = ["".join(pieces), len(pieces) > 1]
with trial.step("calls a tool") as found:
    found["result"] = tools(model())
with trial.step("typed output") as found:
    found["result"] = model().with_structured_output(Bird).invoke("A bird?").model_dump()
with trial.step("stops at a word") as found:
    found["result"] = model().invoke("one two", stop=["two"]).text
with trial.step("refreshes after a 401") as found:
    trial.control("tokens", {"expire_access_tokens": True})
    found["result"] = model().invoke("hi").text
with trial.step("a usage limit") as found:
    trial.control("faults", {"name": "usage_limit_429", "times": 9})
    model().invoke("hi")
with trial.step("an effort that the model has not") as found:
    model(model="gpt-6-astra", reasoning_effort="none").invoke("hi")
with trial.step("a refresh that is refused") as found:
    trial.control("tokens", {"expire_access_tokens": True, "revoke_refresh_tokens": True})
    model().invoke("hi")
trial.report()
