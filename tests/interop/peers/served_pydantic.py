"""Runs pydantic-ai as it is, with both of its OpenAI models: the environment leads it to the server."""

from __future__ import annotations

import asyncio
from typing import Any

import steps
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel


class Bird(BaseModel):
    """A bird."""

    name: str
    wings: int


def count(species: str) -> str:
    """How many there are."""
    return f"seven of {species}"


def usage(result: Any) -> list[int]:
    """Input, output, thereof reasoning."""
    counts = result.usage
    return [counts.input_tokens, counts.output_tokens, counts.details.get("reasoning_tokens")]


async def streamed(agent: Agent[None, Any]) -> list[Any]:
    """A stream's pieces."""
    async with agent.run_stream("hi") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return ["".join(pieces), len(pieces) > 1, usage(result)]


async def streamed_tools(agent: Agent[None, Any]) -> Any:
    """A stream with a call in it."""
    async with agent.run_stream("How many?") as result:
        return await result.get_output()


async def main() -> None:
    """Everything, in one loop: its connections are shared."""
    for api, kind in {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}.items():
        model = kind("gpt-5.5")
        agent: Agent[None, Any] = Agent(model, instructions="Be brief.")
        counting: Agent[None, Any] = Agent(model, tools=[count])
        with steps.step(f"run, {api}") as row:
            result = await agent.run("hi")
            row["result"] = [result.output, usage(result)]
        with steps.step(f"run_stream, {api}") as row:
            row["result"] = await streamed(agent)
        with steps.step(f"calls a tool, {api}") as row:
            asked = await counting.run("How many?")
            row["result"] = asked.output
        with steps.step(f"goes on with the history, {api}") as row:
            row["result"] = (await agent.run("and now?", message_history=asked.all_messages())).output
        with steps.step(f"calls a tool in a stream, {api}") as row:
            row["result"] = await streamed_tools(counting)
        with steps.step(f"typed output by a tool, {api}") as row:
            row["result"] = (await Agent(model, output_type=Bird).run("A bird?")).output.model_dump()
        with steps.step(f"typed output by a schema, {api}") as row:
            typed: Agent[None, Any] = Agent(model, output_type=NativeOutput(Bird))
            row["result"] = (await typed.run("A bird?")).output.model_dump()
        with steps.step(f"overloaded inside a 200, {api}") as row:
            steps.arm("overloaded_in_stream")
            row["result"] = (await streamed(agent))[0]
        with steps.step(f"a usage limit, {api}") as row:
            steps.arm("usage_limit_429", 9)
            await agent.run("hi")
        with steps.step(f"a stream that breaks, {api}") as row:
            steps.arm("response_failed_after_text", 9)
            await streamed(agent)
        with steps.step(f"a stream that ends early, {api}") as row:
            steps.arm("eof_without_terminal", 9)
            await streamed(agent)
    with steps.step("an expired token") as row:
        steps.control("tokens", {"expire_access_tokens": True})
        row["result"] = (await Agent(OpenAIResponsesModel("gpt-5.5")).run("hi")).output


asyncio.run(main())
steps.report()
