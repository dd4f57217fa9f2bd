"""What `client.run` costs beside the same turns written by hand with `complete`: `python -m bench runs`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import onplan
from bench.clients import MODEL
from bench.tables import Table

ROUNDS, RUNS, TURNS = 25, 10, 2  # a run: the call of a tool, and the answer after it
QUESTION = "Do I need a coat in Oslo?"


def weather(city: str) -> str:
    """The weather in a city."""
    return f"3 degrees in {city}"


TOOL = onplan.ToolDefinition(
    "weather",
    "The weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def by_hand(client: onplan.Client) -> str:
    """As a program would write it."""
    messages = [onplan.Message.user(QUESTION)]
    while True:
        response = client.complete(messages, tools=[TOOL])
        messages.append(response.message)
        if not response.tool_calls:
            return response.text
        messages += [
            onplan.Message.tool(call.id, weather(**call.parse_arguments())) for call in response.tool_calls
        ]


async def by_hand_async(client: onplan.AsyncClient) -> str:
    """The same, awaited."""
    messages = [onplan.Message.user(QUESTION)]
    while True:
        response = await client.complete(messages, tools=[TOOL])
        messages.append(response.message)
        if not response.tool_calls:
            return response.text
        messages += [
            onplan.Message.tool(call.id, weather(**call.parse_arguments())) for call in response.tool_calls
        ]


async def measure() -> dict[str, float]:
    """Microseconds of CPU per turn; the best round of each way, which take turns."""
    best: dict[str, float] = {}
    described = onplan.tool(weather)
    with onplan.Client(model=MODEL) as client:
        async with onplan.AsyncClient(model=MODEL, transport="sse") as other:
            ways: dict[str, Callable[[], Any]] = {
                "by hand, Client": lambda: by_hand(client),
                "Client.run, a tool": lambda: client.run(QUESTION, tools=[described]),
                "Client.run, a function": lambda: client.run(QUESTION, tools=[weather]),
                "by hand, AsyncClient": lambda: by_hand_async(other),
                "AsyncClient.run, a tool": lambda: other.run(QUESTION, tools=[described]),
                "AsyncClient.run, a function": lambda: other.run(QUESTION, tools=[weather]),
            }
            for number in range(ROUNDS + 1):
                for name, ask in ways.items():
                    began = time.process_time()
                    for _ in range(RUNS if number else 3):
                        outcome = ask()
                        if asyncio.iscoroutine(outcome):
                            await outcome
                    cost = 1e6 * (time.process_time() - began) / (RUNS * TURNS)
                    if number:  # the first round is to get warm
                        best[name] = min(cost, best.get(name, cost))
    return best


def table() -> Table:
    """Each against the same turns by hand."""
    found = asyncio.run(measure())
    rows = []
    for client in ("Client", "AsyncClient"):
        hand = f"by hand, {client}"
        for label in (hand, f"{client}.run, a tool", f"{client}.run, a function"):
            more = found[label] - found[hand]
            rows.append((label, f"{found[label]:.0f}", f"{found[label] / found[hand]:.2f}", f"{more:+.0f}"))
    columns = ("way", "µs of CPU per turn", "ratio", "more, µs")
    note = (
        f"A run is the call of one tool and the answer after it: {TURNS} turns. Best of {ROUNDS} rounds of "
        f"{RUNS} runs. `run` checks the arguments, calls the function on another thread, keeps the steps. "
        "A function is described to the model anew in each run; what `onplan.tool` made of it is not."
    )
    return Table("The turns of an agent", columns, rows, [note])
