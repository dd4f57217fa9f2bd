"""Runs OpenAI's Agents SDK as it is: the environment leads it to the server."""

from __future__ import annotations

import asyncio
from typing import Any

import steps
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(disabled=True)  # it goes to OpenAI, whatever the address of the API is


class Bird(BaseModel):
    """A bird."""

    name: str
    wings: int


@function_tool
def count(species: str) -> str:
    """How many there are."""
    return f"seven of {species}"


async def streamed(agent: Agent[Any], said: str) -> list[Any]:
    """The answer, and whether it came in pieces."""
    result = Runner.run_streamed(agent, said)
    kinds = [event.data.type async for event in result.stream_events() if event.type == "raw_response_event"]
    return [result.final_output, kinds.count("response.output_text.delta") > 1]


async def main() -> None:
    """Everything, in one loop."""
    for api, model in {
        "responses": "gpt-5.5",
        "chat": OpenAIChatCompletionsModel("gpt-5.5", AsyncOpenAI()),
    }.items():
        plain = Agent(name="plain", model=model, instructions="Be brief.")
        counting = Agent(name="counting", model=model, tools=[count])
        with steps.step(f"Runner.run, {api}") as row:
            result = await Runner.run(plain, "hi")
            usage = result.context_wrapper.usage
            row["result"] = [result.final_output, [usage.input_tokens, usage.output_tokens]]
        with steps.step(f"run_streamed, {api}") as row:
            row["result"] = await streamed(plain, "hi")
        with steps.step(f"a tool, {api}") as row:
            asked = await Runner.run(counting, "How many?")
            row["result"] = asked.final_output
        with steps.step(f"a tool in a stream, {api}") as row:
            row["result"] = await streamed(counting, "How many?")
        with steps.step(f"goes on with the history, {api}") as row:
            history = [*asked.to_input_list(), {"role": "user", "content": "and now?"}]
            row["result"] = (await Runner.run(plain, history)).final_output
        with steps.step(f"a session, {api}") as row:
            session = SQLiteSession(api)
            await Runner.run(plain, "hi", session=session)
            row["result"] = (await Runner.run(plain, "and now?", session=session)).final_output
        with steps.step(f"typed output, {api}") as row:
            typed = Agent(name="typed", model=model, output_type=Bird)
            row["result"] = (await Runner.run(typed, "A bird?")).final_output.model_dump()
        with steps.step(f"a handoff, {api}") as row:
            front = Agent(name="front", model=model, handoffs=[plain])
            result = await Runner.run(front, "hi")
            row["result"] = result.last_agent.name
        with steps.step(f"a usage limit, {api}") as row:
            steps.arm("usage_limit_429", 9)
            await Runner.run(plain, "hi")
        with steps.step(f"a stream that breaks, {api}") as row:
            steps.arm("response_failed_after_text", 9)
            await streamed(plain, "hi")
    with steps.step("previous_response_id") as row:
        asked = await Runner.run(counting.clone(model="gpt-5.5"), "How many?", auto_previous_response_id=True)
        row["result"] = asked.final_output


asyncio.run(main())
steps.report()
