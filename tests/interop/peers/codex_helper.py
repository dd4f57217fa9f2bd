"""Runs codex-auth-helper, as it is: its own settings point it at the emulator."""

from __future__ import annotations

import asyncio

import trial
from codex_auth_helper import CodexAuthConfig, create_codex_responses_model
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput

CONFIG = CodexAuthConfig(
    auth_path=trial.FOLDER / "codex" / "auth.json", api_base_url=trial.CODEX, issuer=trial.ISSUER
)


class Bird(BaseModel):
    """What an answer may have to be."""

    name: str
    wings: int


def model(name: str = "gpt-5.5", **options: object) -> object:
    settings = {"config": CONFIG, "instructions": "Be brief.", "connection": "websocket", **options}
    return create_codex_responses_model(name, **settings)


async def main() -> None:
    with trial.step("completes over WebSocket") as found:
        asked = model()
        async with asked.responses_session() as info:
            found["result"] = [(await Agent(asked).run("hi")).output, info.effective_connection]
    with trial.step("streams over WebSocket") as found:
        asked = model()
        async with asked.responses_session(), Agent(asked).run_stream("hi") as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        found["result"] = ["".join(pieces), len(pieces) > 1]
    with trial.step("calls a tool over one WebSocket") as found:
        asked = model()
        birds = Agent(asked)

        @birds.tool_plain
        def count(species: str) -> str:
            """How many there are."""
            return f"seven of {species}"

        async with asked.responses_turn():
            found["result"] = (await birds.run("How many?")).output
    with trial.step("typed output over WebSocket") as found:
        asked = model()
        async with asked.responses_session():
            found["result"] = (
                await Agent(asked, output_type=NativeOutput(Bird)).run("A bird?")
            ).output.model_dump()
    with trial.step("falls back to SSE") as found:
        trial.control("faults", {"name": "websocket_426", "times": 9})
        asked = model(fallback="http")
        async with asked.responses_session() as info:
            found["result"] = [(await Agent(asked).run("hi")).output, info.fallback_used]
    with trial.step("Responses Lite over SSE") as found:
        asked = model("gpt-6-sol", connection="http", transport="responses_lite")
        found["result"] = (await Agent(asked).run("hi")).output
    with trial.step("refreshes after a 401 to the upgrade") as found:
        trial.control("tokens", {"expire_access_tokens": True})
        asked = model()
        async with asked.responses_session():
            found["result"] = (await Agent(asked).run("hi")).output
    with trial.step("a usage limit") as found:
        trial.control("faults", {"name": "usage_limit_429", "times": 9})
        asked = model()
        async with asked.responses_session():
            await Agent(asked).run("hi")
    with trial.step("a refresh that is refused") as found:
        trial.control("tokens", {"expire_access_tokens": True, "revoke_refresh_tokens": True})
        asked = model()
        async with asked.responses_session():
            await Agent(asked).run("hi")


asyncio.run(main())
trial.report()
