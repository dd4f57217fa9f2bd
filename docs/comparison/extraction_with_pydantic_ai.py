"""What was seen, from a note on each line of stdin, with pydantic-ai."""

import asyncio
import sys
import time

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRateLimitError, NativeOutput


class Sighting(BaseModel):
    species: str
    count: int


agent = Agent("openai-codex:gpt-5.5", output_type=NativeOutput(Sighting))
room = asyncio.Semaphore(8)


async def extract(note: str) -> Sighting:
    async with room:
        while True:
            try:
                return (await agent.run(note)).output
            except ModelRateLimitError as error:
                if error.provider_error_type != "usage_limit_reached":
                    raise
                await asyncio.sleep(max(0, error.body["resets_at"] - time.time()) + 1)


async def main() -> None:
    for seen in await asyncio.gather(*map(extract, sys.stdin)):
        print(seen.count, seen.species)


asyncio.run(main())
