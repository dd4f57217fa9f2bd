"""How is one stream read through each framework: with a model class of its own, and with onplan's for it?

Each runs in a process of its own, in the environment of the framework (`make frameworks`).
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.clients import (
    MODEL,
    PLATFORM_KEY,
    PROMPT,
    TEXT_DELTA,
    Client,
    Read,
    Reading,
    Target,
    openai,
    write_auth_file,
)

CODEX = "openai-codex"  # as DSPy calls the backend
JSON_ANSWER = '{{"text":"{}"}}'  # what is streamed to those that read objects


@asynccontextmanager
async def openai_ours() -> AsyncIterator[Read]:
    """The drop-in."""
    adapter = importlib.import_module("onplan.integrations.openai")

    async def read() -> Reading:
        characters, first = 0, 0.0
        async for event in await client.responses.create(model=MODEL, input=PROMPT, stream=True):
            if event.type == TEXT_DELTA:
                first = first or time.time()
                characters += len(event.delta)
        return characters, first

    async with adapter.AsyncOpenAI() as client:
        yield read


@asynccontextmanager
async def litellm_own() -> AsyncIterator[Read]:
    """Its chatgpt provider."""
    target = Target.from_environment()
    write_auth_file("auth.json", access_token=target.access_token, account_id=target.account_id)
    os.environ |= {"CHATGPT_API_BASE": target.base_url, "CHATGPT_TOKEN_DIR": target.home}
    yield _by_litellm(f"chatgpt/{MODEL}")


@asynccontextmanager
async def litellm_ours() -> AsyncIterator[Read]:
    """The provider that is registered."""
    importlib.import_module("onplan.integrations.litellm").register()
    yield _by_litellm(f"onplan/{MODEL}")


def _by_litellm(model: str) -> Read:
    litellm = importlib.import_module("litellm")

    async def read() -> Reading:
        characters, first = 0, 0.0
        messages = [{"role": "user", "content": PROMPT}]
        async for chunk in await litellm.acompletion(model=model, messages=messages, stream=True):
            if text := chunk.choices[0].delta.content:
                first = first or time.time()
                characters += len(text)
        return characters, first

    return read


@asynccontextmanager
async def langchain_own() -> AsyncIterator[Read]:
    """``ChatOpenAI`` over the Responses API."""
    target = Target.from_environment()
    yield _by_langchain(
        importlib.import_module("langchain_openai").ChatOpenAI(
            model=MODEL,
            base_url=target.base_url,
            api_key=target.access_token,
            default_headers=target.headers,
            use_responses_api=True,
            store=False,
        )
    )


@asynccontextmanager
async def langchain_ours() -> AsyncIterator[Read]:
    """``ChatOnplan``."""
    yield _by_langchain(importlib.import_module("onplan.integrations.langchain").ChatOnplan(model=MODEL))


def _by_langchain(model: Any) -> Read:
    async def read() -> Reading:
        characters, first = 0, 0.0
        async for chunk in model.astream(PROMPT):
            if text := str(chunk.text):
                first = first or time.time()
                characters += len(text)
        return characters, first

    return read


@asynccontextmanager
async def pydantic_ai_own() -> AsyncIterator[Read]:
    """``OpenAIResponsesModel``."""
    models = importlib.import_module("pydantic_ai.models.openai")
    providers = importlib.import_module("pydantic_ai.providers.openai")
    provider = providers.OpenAIProvider(openai_client=_sdk())
    yield _by_pydantic_ai(models.OpenAIResponsesModel(MODEL, provider=provider))


@asynccontextmanager
async def pydantic_ai_ours() -> AsyncIterator[Read]:
    """The same, over the drop-in."""
    yield _by_pydantic_ai(importlib.import_module("onplan.integrations.pydantic_ai").model(MODEL))


def _by_pydantic_ai(model: Any) -> Read:
    agent = importlib.import_module("pydantic_ai").Agent(model, model_settings={"openai_store": False})

    async def read() -> Reading:
        characters, first = 0, 0.0
        async with agent.run_stream(PROMPT) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                first = first or time.time()
                characters += len(text)
        return characters, first

    return read


@asynccontextmanager
async def agents_own() -> AsyncIterator[Read]:
    """``OpenAIProvider``."""
    yield _by_agents(importlib.import_module("agents").OpenAIProvider(openai_client=_sdk()))


@asynccontextmanager
async def agents_ours() -> AsyncIterator[Read]:
    """``OnplanProvider``."""
    yield _by_agents(importlib.import_module("onplan.integrations.agents").OnplanProvider())


def _by_agents(provider: Any) -> Read:
    agents = importlib.import_module("agents")
    agent = agents.Agent(name="a", model=MODEL, model_settings=agents.ModelSettings(store=False))
    config = agents.RunConfig(model_provider=provider, tracing_disabled=True)

    async def read() -> Reading:
        characters, first = 0, 0.0
        async for event in agents.Runner.run_streamed(agent, PROMPT, run_config=config).stream_events():
            if event.type == "raw_response_event" and event.data.type == TEXT_DELTA:
                first = first or time.time()
                characters += len(event.data.delta)
        return characters, first

    return read


def _sdk() -> Any:
    """A client of OpenAI's SDK that asks the server directly."""
    target = Target.from_environment()
    return importlib.import_module("openai").AsyncOpenAI(
        api_key=target.access_token, base_url=target.base_url, default_headers=target.headers
    )


@asynccontextmanager
async def haystack_own() -> AsyncIterator[Read]:
    """``OpenAIResponsesChatGenerator``."""
    target = Target.from_environment()
    utilities = importlib.import_module("haystack.utils")
    generators = importlib.import_module("haystack.components.generators.chat")
    yield _by_haystack(
        generators.OpenAIResponsesChatGenerator(
            api_key=utilities.Secret.from_token(target.access_token),
            model=MODEL,
            api_base_url=target.base_url,
            generation_kwargs={"store": False},
            http_client_kwargs={"headers": target.headers},
        )
    )


@asynccontextmanager
async def haystack_ours() -> AsyncIterator[Read]:
    """``OnplanChatGenerator``."""
    adapter = importlib.import_module("onplan.integrations.haystack")
    yield _by_haystack(adapter.OnplanChatGenerator(model=MODEL))


def _by_haystack(generator: Any) -> Read:
    messages = [importlib.import_module("haystack.dataclasses").ChatMessage.from_user(PROMPT)]

    async def read() -> Reading:
        characters, first = 0, 0.0

        async def note(chunk: Any) -> None:
            nonlocal characters, first
            if chunk.content:
                first = first or time.time()
                characters += len(chunk.content)

        await generator.run_async(messages=messages, streaming_callback=note)
        return characters, first

    return read


@asynccontextmanager
async def llm_own() -> AsyncIterator[Read]:
    """Its class for the Responses API."""
    target = Target.from_environment()
    plugin = importlib.import_module("llm.default_plugins.openai_models")
    yield _by_llm(
        plugin.AsyncResponses(
            MODEL, key=target.access_token, api_base=target.base_url, headers=dict(target.headers)
        )
    )


@asynccontextmanager
async def llm_ours() -> AsyncIterator[Read]:
    """The plug-in's model."""
    yield _by_llm(importlib.import_module("onplan.integrations.llm.models").AsyncOnplanModel(MODEL))


def _by_llm(model: Any) -> Read:
    async def read() -> Reading:
        characters, first = 0, 0.0
        async for text in model.prompt(PROMPT, stream=True):
            first = first or time.time()
            characters += len(text)
        return characters, first

    return read


@asynccontextmanager
async def llama_index_own() -> AsyncIterator[Read]:
    """``OpenAIResponses``, of the platform: it sends what the backend of a plan refuses."""
    own = importlib.import_module("llama_index.llms.openai").OpenAIResponses
    yield _by_llama_index(
        own(model=MODEL, api_key=PLATFORM_KEY, api_base=Target.from_environment().platform_url)
    )


@asynccontextmanager
async def llama_index_ours() -> AsyncIterator[Read]:
    """``Onplan``."""
    yield _by_llama_index(importlib.import_module("onplan.integrations.llama_index").Onplan(model=MODEL))


def _by_llama_index(model: Any) -> Read:
    messages = [importlib.import_module("llama_index.core.llms").ChatMessage(content=PROMPT)]

    async def read() -> Reading:
        characters, first = 0, 0.0
        async for answer in await model.astream_chat(messages):
            if answer.delta:
                first = first or time.time()
                characters += len(answer.delta)
        return characters, first

    return read


@asynccontextmanager
async def smolagents_own() -> AsyncIterator[Read]:
    """``OpenAIModel``, of the platform: it speaks Chat Completions."""
    own = importlib.import_module("smolagents").OpenAIModel
    yield _by_smolagents(own(MODEL, api_base=Target.from_environment().platform_url, api_key=PLATFORM_KEY))


@asynccontextmanager
async def smolagents_ours() -> AsyncIterator[Read]:
    """``OnplanModel``."""
    yield _by_smolagents(importlib.import_module("onplan.integrations.smolagents").OnplanModel(MODEL))


def _by_smolagents(model: Any) -> Read:
    """Both are synchronous."""

    async def read() -> Reading:
        characters, first = 0, 0.0
        for delta in model.generate_stream([{"role": "user", "content": PROMPT}]):
            if delta.content:
                first = first or time.time()
                characters += len(delta.content)
        return characters, first

    return read


@asynccontextmanager
async def dspy_own() -> AsyncIterator[Read]:
    """Its engine, with its provider for the Codex CLI's sign-in."""
    target = Target.from_environment()
    os.makedirs(os.path.join(target.home, ".codex"), exist_ok=True)  # noqa: PTH103, PTH118 - it is a str
    tokens = {"access_token": target.access_token, "account_id": target.account_id}
    write_auth_file(".codex/auth.json", auth_mode="chatgpt", tokens=tokens)
    engines = importlib.import_module("dspy.clients.engines.lm15_engine")
    config = importlib.import_module("dspy.lm15").RouterConfig(base_urls={CODEX: target.base_url})
    yield _by_dspy(engines.AsyncLM15Engine(config, model_type="responses"), f"{CODEX}:{MODEL}")


@asynccontextmanager
async def dspy_ours() -> AsyncIterator[Read]:
    """``AsyncEngine``, which DSPy's streams read."""
    yield _by_dspy(importlib.import_module("onplan.integrations.dspy").AsyncEngine(), MODEL)


def _by_dspy(engine: Any, model: str) -> Read:
    requests = importlib.import_module("dspy.lm15")
    request = requests.Request(model=model, messages=(requests.Message.user(PROMPT),))

    async def read() -> Reading:
        characters, first = 0, 0.0
        async for event in engine.stream(request):
            if text := getattr(getattr(event, "delta", None), "text", None):
                first = first or time.time()
                characters += len(text)
        return characters, first

    return read


@asynccontextmanager
async def instructor_own() -> AsyncIterator[Read]:
    """Over OpenAI's SDK, of the platform, by Chat Completions."""
    target = Target.from_environment()
    sdk = importlib.import_module("openai")
    async with sdk.AsyncOpenAI(api_key=PLATFORM_KEY, base_url=target.platform_url) as client:
        yield _by_instructor(client)


@asynccontextmanager
async def instructor_ours() -> AsyncIterator[Read]:
    """Over the drop-in."""
    async with importlib.import_module("onplan.integrations.openai").AsyncOpenAI() as client:
        yield _by_instructor(client)


def _by_instructor(client: Any) -> Read:
    """An object while it arrives, of which instructor makes another one for each piece."""
    instructor = importlib.import_module("instructor")
    answer = importlib.import_module("pydantic").create_model("Answer", text=(str, ...))
    patched = instructor.from_openai(client, mode=instructor.Mode.MD_JSON)
    messages = [{"role": "user", "content": PROMPT}]

    async def read() -> Reading:
        last, first = "", 0.0
        stream = patched.create_partial(model=MODEL, messages=messages, response_model=answer)
        async for partial in stream:
            if partial.text:
                first = first or time.time()
                last = partial.text
        return len(JSON_ANSWER.format(last)), first

    return read


@dataclass(frozen=True)
class Adapter:
    """A row of the table.

    Attributes:
        environment: below .venv/frameworks.
        own: the framework's own class, and `ours` onplan's for it.
        own_start: a program that makes `own` ready to ask, and `our_start` one for `ours`.
        reads_json: whether the answer is an object.
    """

    environment: str
    own: Client
    ours: Client
    own_start: str
    our_start: str
    reads_json: bool = False


ADAPTERS = {
    "openai": Adapter(
        "openai",
        Client("openai {}: AsyncOpenAI.responses", openai, ("openai",)),
        Client("onplan.integrations.openai", openai_ours),
        "from openai import AsyncOpenAI; AsyncOpenAI(api_key='x')",
        "from onplan.integrations.openai import AsyncOpenAI; AsyncOpenAI()",
    ),
    "langchain": Adapter(
        "langchain-openai",
        Client("langchain-openai {}: ChatOpenAI", langchain_own, ("langchain-openai",)),
        Client("onplan.integrations.langchain", langchain_ours),
        "from langchain_openai import ChatOpenAI; ChatOpenAI(model='x', api_key='x')",
        "from onplan.integrations.langchain import ChatOnplan; ChatOnplan(model='x')",
    ),
    "litellm": Adapter(
        "litellm",
        Client("litellm {}: chatgpt/…", litellm_own, ("litellm",)),
        Client("onplan.integrations.litellm", litellm_ours),
        "import litellm; litellm.acompletion",
        "from onplan.integrations.litellm import register; register()",
    ),
    "pydantic-ai": Adapter(
        "pydantic-ai",
        Client("pydantic-ai {}: OpenAIResponsesModel", pydantic_ai_own, ("pydantic-ai-slim",)),
        Client("onplan.integrations.pydantic_ai", pydantic_ai_ours),
        "from pydantic_ai.models.openai import OpenAIResponsesModel as M;"
        " from pydantic_ai.providers.openai import OpenAIProvider as P; M('x', provider=P(api_key='x'))",
        "from onplan.integrations.pydantic_ai import model; model('x')",
    ),
    "agents": Adapter(
        "agents",
        Client("openai-agents {}: OpenAIProvider", agents_own, ("openai-agents",)),
        Client("onplan.integrations.agents", agents_ours),
        "from agents import OpenAIProvider; OpenAIProvider(api_key='x').get_model('x')",
        "from onplan.integrations.agents import OnplanProvider; OnplanProvider().get_model('x')",
    ),
    "haystack": Adapter(
        "haystack",
        Client("haystack-ai {}: OpenAIResponsesChatGenerator", haystack_own, ("haystack-ai",)),
        Client("onplan.integrations.haystack", haystack_ours),
        "from haystack.components.generators.chat import OpenAIResponsesChatGenerator as G;"
        " from haystack.utils import Secret; G(api_key=Secret.from_token('x'))",
        "from onplan.integrations.haystack import OnplanChatGenerator; OnplanChatGenerator(model='x')",
    ),
    "llm": Adapter(
        "llm",
        Client("llm {}: Responses", llm_own, ("llm",)),
        Client("onplan.integrations.llm", llm_ours),
        "from llm.default_plugins.openai_models import AsyncResponses; AsyncResponses('x')",
        "from onplan.integrations.llm.models import AsyncOnplanModel; AsyncOnplanModel('x')",
    ),
    "llama-index": Adapter(
        "llama-index",
        Client("llama-index-llms-openai {}: Responses", llama_index_own, ("llama-index-llms-openai",)),
        Client("onplan.integrations.llama_index", llama_index_ours),
        "from llama_index.llms.openai import OpenAIResponses; OpenAIResponses(model='x', api_key='x')",
        "from onplan.integrations.llama_index import Onplan; Onplan(model='x')",
    ),
    "dspy": Adapter(
        "dspy",
        Client("dspy {}: engine, openai-codex", dspy_own, ("dspy",)),
        Client("onplan.integrations.dspy", dspy_ours),
        "import dspy; dspy.LM('openai/x', api_key='x')",
        "from onplan.integrations.dspy import lm; lm('x')",
    ),
    "smolagents": Adapter(
        "smolagents",
        Client("smolagents {}: OpenAIModel", smolagents_own, ("smolagents",)),
        Client("onplan.integrations.smolagents", smolagents_ours),
        "from smolagents import OpenAIModel; OpenAIModel('x', api_key='x')",
        "from onplan.integrations.smolagents import OnplanModel; OnplanModel('x')",
    ),
    "instructor": Adapter(
        "instructor",
        Client("instructor {}: from_openai, partial objects", instructor_own, ("instructor",)),
        Client("onplan.integrations.openai", instructor_ours),
        "import instructor, openai; instructor.from_openai(openai.AsyncOpenAI(api_key='x'))",
        "import instructor; from onplan.integrations.openai import AsyncOpenAI;"
        " instructor.from_openai(AsyncOpenAI())",
        reads_json=True,
    ),
}

# As bench.readers is told them.
READ = {
    f"{name}-{whose}": client
    for name, adapter in ADAPTERS.items()
    for whose, client in (("own", adapter.own), ("ours", adapter.ours))
}
