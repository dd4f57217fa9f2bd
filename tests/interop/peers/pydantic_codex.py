"""Runs pydantic-ai's Codex provider, as it is, with its hosts played by the emulator."""

from __future__ import annotations

import asyncio
import os

import httpx2
import trial
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai_codex import OpenAICodexModel
from pydantic_ai.providers.openai_codex import (
    OpenAICodexCredentials,
    OpenAICodexCredentialSource,
    OpenAICodexOAuthFlow,
    OpenAICodexProvider,
)

trial.redirect_hosts(httpx2)
os.environ["CODEX_HOME"] = str(trial.FOLDER / "codex")


class Bird(BaseModel):
    """What an answer may have to be."""

    name: str
    wings: int


class Store(OpenAICodexCredentialSource):
    """An application's own."""

    def __init__(self, credentials: OpenAICodexCredentials) -> None:
        self.credentials = credentials
        self.saved = 0

    async def load(self) -> OpenAICodexCredentials:
        return self.credentials

    async def save(self, credentials: OpenAICodexCredentials) -> None:
        self.credentials = credentials
        self.saved += 1


def agent(provider: OpenAICodexProvider, **options: object) -> Agent:
    return Agent(OpenAICodexModel("gpt-5.5", provider=provider), **options)


async def sign_in() -> OpenAICodexCredentials:
    flow = OpenAICodexOAuthFlow()
    trial.browse(flow.authorization_url())
    return await flow.exchange_code_from_callback()


async def main() -> None:
    with trial.step("reads the CLI's auth.json") as found:
        asked = await agent(OpenAICodexProvider()).run("hi")
        found["result"] = asked.output
    trial.set_token_lifetime(20)  # so that the first question has to refresh it
    with trial.step("signs in by browser") as found:
        credentials = await sign_in()
        found["result"] = credentials.account_id
    trial.set_token_lifetime(3600)
    store = Store(credentials)
    provider = OpenAICodexProvider(credential_source=store)
    with trial.step("refreshes an aged token") as found:
        found["result"] = [(await agent(provider).run("hi")).output, store.saved]
    with trial.step("refreshes after a 401") as found:
        trial.control("tokens", {"expire_access_tokens": True})
        found["result"] = [(await agent(provider).run("hi")).output, store.saved]
    with trial.step("streams") as found:
        async with agent(provider, instructions="Be brief.").run_stream("hi") as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        found["result"] = ["".join(pieces), len(pieces) > 1]
    with trial.step("calls a tool") as found:
        birds = agent(provider)

        @birds.tool_plain
        def count(species: str) -> str:
            """How many there are."""
            return f"seven of {species}"

        result = await birds.run("How many?")
        found["result"] = result.output
    with trial.step("goes on with the history") as found:
        found["result"] = (await birds.run("and again", message_history=result.all_messages())).output
    with trial.step("typed output by a tool") as found:
        found["result"] = (await agent(provider, output_type=Bird).run("A bird?")).output.model_dump()
    with trial.step("typed output by a schema") as found:
        found["result"] = (
            await agent(provider, output_type=NativeOutput(Bird)).run("A bird?")
        ).output.model_dump()
    with trial.step("settings of the platform are left out") as found:
        settings = {"temperature": 0.1, "max_tokens": 9}
        found["result"] = (await agent(provider, model_settings=settings).run("hi")).output
    with trial.step("a usage limit") as found:
        trial.control("faults", {"name": "usage_limit_429", "times": 9})
        await agent(provider).run("hi")
    with trial.step("a refresh that is refused") as found:
        trial.control("tokens", {"expire_access_tokens": True, "revoke_refresh_tokens": True})
        await agent(provider).run("hi")


asyncio.run(main())
trial.report()
