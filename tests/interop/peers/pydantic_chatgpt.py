"""Runs pydantic-ai's ChatGPT provider, as it is, with its hosts played by the emulator."""

from __future__ import annotations

import asyncio
import socket
import uuid

import httpx2
import trial
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai_chatgpt import (
    OpenAIChatGPTCredentials,
    OpenAIChatGPTOAuthFlow,
    OpenAIChatGPTProvider,
)

trial.redirect_hosts(httpx2)
HOST_ID = uuid.uuid4().urn


class Bird(BaseModel):
    """What an answer may have to be."""

    name: str
    wings: int


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def sign_in(**registered: str) -> OpenAIChatGPTCredentials:
    flow = OpenAIChatGPTOAuthFlow(
        app_name="stranger",
        host_id=HOST_ID,
        redirect_uri=f"http://127.0.0.1:{free_port()}/auth/callback",
        **registered,
    )
    trial.browse(flow.authorization_url())
    return await flow.exchange_code_from_callback()


def agent(credentials: OpenAIChatGPTCredentials, **options: object) -> Agent:
    provider = OpenAIChatGPTProvider(credentials)
    return Agent(OpenAIResponsesModel("gpt-5.5", provider=provider), **options)


async def main() -> None:
    trial.set_token_lifetime(20)  # so that the first question has to refresh it
    with trial.step("registers and signs in") as found:
        aged = await sign_in()
        found["result"] = [aged.plan_usage_granted, aged.client_id != "dynamic_agent_client"]
    trial.set_token_lifetime(3600)
    with trial.step("signs in again, known by its ID token") as found:
        credentials = await sign_in(client_id=aged.client_id, id_token_hint=aged.id_token or "")
        found["result"] = credentials.client_id == aged.client_id
    with trial.step("refreshes an aged token") as found:
        found["result"] = (await agent(aged).run("hi")).output
    with trial.step("streams") as found:
        async with agent(credentials, instructions="Be brief.").run_stream("hi") as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        found["result"] = ["".join(pieces), len(pieces) > 1]
    with trial.step("calls a tool") as found:
        birds = agent(credentials, system_prompt="Count.")

        @birds.tool_plain
        def count(species: str) -> str:
            """How many there are."""
            return f"seven of {species}"

        found["result"] = (await birds.run("How many?")).output
    with trial.step("typed output by a schema") as found:
        result = await agent(credentials, output_type=NativeOutput(Bird)).run("A bird?")
        found["result"] = result.output.model_dump()
    with trial.step("refreshes after a 401") as found:
        trial.control("tokens", {"expire_access_tokens": True})
        found["result"] = (await agent(credentials).run("hi")).output
    with trial.step("declined plan usage") as found:
        trial.control("consent", {"plan": False})
        found["result"] = (await sign_in()).plan_usage_granted
        trial.control("consent", method="DELETE")
    with trial.step("a usage limit") as found:
        trial.control(
            "faults",
            {"name": "usage_limit_429", "times": 9},
        )
        await agent(await sign_in()).run("hi")


asyncio.run(main())
trial.report()
