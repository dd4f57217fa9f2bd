"""How does each client read one stream? Each runs in a process of its own, some where there is no onplan.

A client is opened once and then read from any number of times; reading gives the characters of the
answer's text and the time of its first piece. Every import waits until its client is opened.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

MODEL, PROMPT = "gpt-5.5", "hi"
TEXT_DELTA = "response.output_text.delta"
PLATFORM_KEY = "sk-emulated"

Reading = tuple[int, float]  # characters, Unix seconds of the first
Read = Callable[[], Awaitable[Reading]]
SyncRead = Callable[[], Reading]


@dataclass(frozen=True)
class Target:
    """Where to read and as whom: what every reader is told through the environment."""

    base_url: str
    platform_url: str  # of the same server, with PLATFORM_KEY
    access_token: str
    account_id: str
    home: str

    @classmethod
    def from_environment(cls) -> Target:
        return cls(*(os.environ[f"BENCH_{name.upper()}"] for name in cls.__dataclass_fields__))

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.access_token}", "chatgpt-account-id": self.account_id}


# --- the limits -------------------------------------------------------------------------------------

BODY = json.dumps(
    {
        "model": MODEL,
        "stream": True,
        "store": False,
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": PROMPT}]}],
    }
).encode()


class _Drain(asyncio.Protocol):
    """Takes bytes and looks at nothing."""

    def __init__(self) -> None:
        self.first = 0.0
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.first = self.first or time.time()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)


@asynccontextmanager
async def receive_only() -> AsyncIterator[Read]:
    """What the machine itself costs."""
    import ssl

    target = Target.from_environment()
    place = urlsplit(target.base_url)
    context = ssl.create_default_context() if place.scheme == "https" else None
    fields = {"host": place.netloc, "connection": "close", "content-length": str(len(BODY)), **target.headers}
    lines = [f"POST {place.path}/responses HTTP/1.1", "content-type: application/json"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode()

    async def read() -> Reading:
        loop = asyncio.get_running_loop()
        transport, drain = await loop.create_connection(_Drain, place.hostname, place.port, ssl=context)
        transport.write(head + BODY)
        await drain.ended
        return 0, drain.first

    yield read


@asynccontextmanager
async def bare_loop() -> AsyncIterator[Read]:
    """The least that reads the text with these libraries: split, decode into types, nothing checked."""
    import aiohttp
    import msgspec

    class Delta(msgspec.Struct, tag_field="type", tag=TEXT_DELTA, gc=False):
        delta: str

    class Completed(msgspec.Struct, tag_field="type", tag="response.completed", gc=False):
        response: dict[str, Any]

    decode = msgspec.json.Decoder(Delta | Completed).decode
    target = Target.from_environment()
    url = f"{target.base_url}/responses"
    headers = {**target.headers, "content-type": "application/json"}

    async def read() -> Reading:
        characters, first, pending = 0, 0.0, b""
        async with session.post(url, data=BODY, headers=headers) as response:
            async for data in response.content.iter_any():
                *blocks, pending = (pending + data).split(b"\n\n")
                for block in blocks:
                    try:
                        event = decode(block[block.index(b"data: ") + 6 :])
                    except msgspec.ValidationError:  # one of the others
                        continue
                    if type(event) is Delta:
                        first = first or time.time()
                        characters += len(event.delta)
        return characters, first

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield read


# --- ours -------------------------------------------------------------------------------------------


@asynccontextmanager
async def onplan_async(transport: Literal["websocket", "sse"]) -> AsyncIterator[Read]:
    """``AsyncClient``, over HTTP by the fastest library that is not forbidden."""
    import onplan

    request = onplan.CompletionRequest(messages=PROMPT, model=MODEL)

    async def read() -> Reading:
        characters, first = 0, 0.0
        async for chunk in client.complete_stream(request):
            if chunk.type == "text":
                first = first or time.time()
                characters += len(chunk.text)
        return characters, first

    async with onplan.AsyncClient(transport=transport) as client:
        yield read


def onplan_fast() -> AbstractAsyncContextManager[Read]:
    """As where the extra ``fast`` is installed."""
    import httptools  # noqa: F401 - without it this would measure something else

    return onplan_async("sse")


def onplan_aiohttp() -> AbstractAsyncContextManager[Read]:
    """As where aiohttp is installed, and httptools is not."""
    import aiohttp  # noqa: F401

    sys.modules["onplan.transports.httptools"] = None  # type: ignore[assignment]
    return onplan_async("sse")


def onplan_plain() -> AbstractAsyncContextManager[Read]:
    """As where it is not."""
    sys.modules["onplan.transports.httptools"] = None  # type: ignore[assignment]
    sys.modules["onplan.transports.aiohttp"] = None  # type: ignore[assignment]
    return onplan_async("sse")


def onplan_websocket() -> AbstractAsyncContextManager[Read]:
    """As where the extra ``ws`` is installed."""
    return onplan_async("websocket")


@contextmanager
def onplan_sync() -> Iterator[SyncRead]:
    """``Client``."""
    import onplan

    request = onplan.CompletionRequest(messages=PROMPT, model=MODEL)

    def read() -> Reading:
        characters, first = 0, 0.0
        for chunk in client.complete_stream(request):
            if chunk.type == "text":
                first = first or time.time()
                characters += len(chunk.text)
        return characters, first

    with onplan.Client() as client:
        yield read


# --- others' ----------------------------------------------------------------------------------------


@asynccontextmanager
async def openai() -> AsyncIterator[Read]:
    """The SDK, redirected by its ``base_url``."""
    from openai import AsyncOpenAI

    target = Target.from_environment()
    headers = {"chatgpt-account-id": target.account_id}

    async def read() -> Reading:
        characters, first = 0, 0.0
        messages = [{"role": "user", "content": PROMPT}]
        async for event in await client.responses.create(
            model=MODEL, input=messages, store=False, stream=True
        ):
            if event.type == TEXT_DELTA:
                first = first or time.time()
                characters += len(event.delta)
        return characters, first

    async with AsyncOpenAI(
        api_key=target.access_token, base_url=target.base_url, default_headers=headers
    ) as client:
        yield read


@asynccontextmanager
async def litellm() -> AsyncIterator[Read]:
    """Its chatgpt provider, redirected by ``CHATGPT_API_BASE`` and ``CHATGPT_TOKEN_DIR``."""
    target = Target.from_environment()
    write_auth_file("auth.json", access_token=target.access_token, account_id=target.account_id)
    os.environ |= {
        "CHATGPT_API_BASE": target.base_url,
        "CHATGPT_TOKEN_DIR": target.home,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks a server for its price list
    }
    import litellm

    async def read() -> Reading:
        characters, first = 0, 0.0
        messages = [{"role": "user", "content": PROMPT}]
        async for event in await litellm.aresponses(model=f"chatgpt/{MODEL}", input=messages, stream=True):
            if event.type == TEXT_DELTA:
                first = first or time.time()
                characters += len(event.delta)
        return characters, first

    yield read


@asynccontextmanager
async def gpt_codex_client() -> AsyncIterator[Read]:
    """Redirected by its ``base_url`` and ``token_path``."""
    from gpt_codex_client import AsyncCodexClient

    target = Target.from_environment()
    path = write_auth_file("gpt.json", access_token=target.access_token, account_id=target.account_id)
    messages = [{"role": "user", "content": [{"type": "input_text", "text": PROMPT}]}]

    async def read() -> Reading:
        characters, first = 0, 0.0
        async with await client.responses.create(model=MODEL, input=messages, stream=True) as stream:
            async for event in stream:
                if event.type == TEXT_DELTA:
                    first = first or time.time()
                    characters += len(event.data["delta"])
        return characters, first

    async with AsyncCodexClient(base_url=target.base_url, token_path=path) as client:
        yield read


@asynccontextmanager
async def llm() -> AsyncIterator[Read]:
    """With llm-openai-codex, whose address is fixed: a subclass of its model names another one."""
    target = Target.from_environment()
    tokens = {"access_token": target.access_token, "account_id": target.account_id}
    path = write_auth_file("llm.json", auth_mode="chatgpt", tokens=tokens)
    os.environ |= {"LLM_OPENAI_CODEX_AUTH_FILE": path, "LLM_USER_PATH": target.home}
    from llm_openai_codex import AsyncCodexResponsesModel

    class Model(AsyncCodexResponsesModel):
        def _get_client_kwargs(self) -> dict[str, Any]:
            return {**super()._get_client_kwargs(), "base_url": target.base_url}

    model = Model(MODEL)

    async def read() -> Reading:
        characters, first = 0, 0.0
        async for text in model.prompt(PROMPT):
            first = first or time.time()
            characters += len(text)
        return characters, first

    yield read


def write_auth_file(name: str, **content: Any) -> str:
    """A credential as a peer keeps it, in its scratch home. Gives the path."""
    path = os.path.join(os.environ["BENCH_HOME"], name)  # noqa: PTH118 - a str is what all of them take
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump({"expires_at": time.time() + 86_400, **content}, file)
    return path


# --- all --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Client:
    """A row of the tables.

    Attributes:
        label: its name there; ``{}`` is where the versions of ``distributions`` go.
        open: opens it, in the reader's process.
        kind: whose it is; ``limit`` is what the others are compared with.
        uvloop: whether its event loop is uvloop's.
        peer: whether it lives in the peers' environment.
        silent: whether it does not look at the text.
        module: what is imported to use it, for the table of starts.
    """

    label: str
    open: Callable[[], AbstractAsyncContextManager[Read] | AbstractContextManager[SyncRead]]
    distributions: tuple[str, ...] = ()
    kind: Literal["ours", "limit", "other"] = "other"
    uvloop: bool = False
    peer: bool = False
    silent: bool = False
    module: str | None = None


REFERENCE = "onplan"

CLIENTS = {
    "floor": Client("receive only, nothing parsed (floor)", receive_only, kind="limit", silent=True),
    "bare": Client("bare aiohttp + msgspec loop", bare_loop, kind="limit"),
    "bare-uvloop": Client("bare aiohttp + msgspec loop, uvloop", bare_loop, kind="limit", uvloop=True),
    "onplan": Client("onplan AsyncClient, fast", onplan_fast, kind="ours"),
    "onplan-uvloop": Client("onplan AsyncClient, fast, uvloop", onplan_fast, kind="ours", uvloop=True),
    "onplan-aiohttp": Client("onplan AsyncClient, aiohttp", onplan_aiohttp, kind="ours"),
    "onplan-aiohttp-uvloop": Client(
        "onplan AsyncClient, aiohttp, uvloop", onplan_aiohttp, kind="ours", uvloop=True
    ),
    "onplan-httpx2": Client("onplan AsyncClient, without fast", onplan_plain, kind="ours"),
    "onplan-websocket": Client("onplan AsyncClient, WebSocket", onplan_websocket, kind="ours"),
    "onplan-sync": Client("onplan Client (synchronous)", onplan_sync, kind="ours"),
    "openai": Client("openai {} AsyncOpenAI.responses", openai, ("openai",), module="openai"),
    "litellm": Client("litellm {} aresponses", litellm, ("litellm",), peer=True, module="litellm"),
    "gpt-codex-client": Client(
        "gpt-codex-client {}", gpt_codex_client, ("gpt-codex-client",), peer=True, module="gpt_codex_client"
    ),
    "llm": Client(
        "llm {}, llm-openai-codex {}", llm, ("llm", "llm-openai-codex"), peer=True, module="llm_openai_codex"
    ),
}
