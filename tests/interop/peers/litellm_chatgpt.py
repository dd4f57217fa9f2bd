"""Runs LiteLLM's ``chatgpt/`` provider, as it is; its issuer's URLs are fixed, so its hosts are played."""

from __future__ import annotations

import asyncio
import json
import os

import trial

os.environ.update(
    CHATGPT_TOKEN_DIR=str(trial.FOLDER / "litellm"),
    CHATGPT_API_BASE=trial.CODEX,
    LITELLM_LOCAL_MODEL_COST_MAP="True",
)

import httpx
import litellm
from pydantic import BaseModel

trial.redirect_hosts(httpx)
MODEL = "chatgpt/gpt-5.5"
HI = [{"role": "user", "content": "hi"}]
COUNT = {
    "type": "function",
    "function": {
        "name": "count",
        "description": "How many there are.",
        "parameters": {
            "type": "object",
            "properties": {"species": {"type": "string"}},
            "required": ["species"],
        },
    },
}


class Bird(BaseModel):
    """What an answer may have to be."""

    name: str
    wings: int


def ask(**options: object) -> str:
    return litellm.completion(MODEL, HI, **options).choices[0].message.content


def text_of(response: object) -> str:
    return "".join(part.text for item in response.output if item.type == "message" for part in item.content)


with trial.step("signs in by device code and completes") as found:
    found["result"] = ask()
with trial.step("refreshes an aged token") as found:
    kept = trial.FOLDER / "litellm" / "auth.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "expires_at": 1}))
    found["result"] = ask()
with trial.step("streams") as found:
    pieces = [chunk.choices[0].delta.content or "" for chunk in litellm.completion(MODEL, HI, stream=True)]
    found["result"] = ["".join(pieces), len([p for p in pieces if p]) > 1]
with trial.step("streams in a loop") as found:

    async def streamed() -> str:
        reply = await litellm.acompletion(MODEL, HI, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in reply])

    found["result"] = asyncio.run(streamed())
with trial.step("system message") as found:
    said = [{"role": "system", "content": "Be brief."}, *HI]
    found["result"] = litellm.completion(MODEL, said).choices[0].message.content
for streaming in (False, True):
    with trial.step("calls a tool" + " in a stream" * streaming) as found:
        said = [{"role": "user", "content": "How many?"}]
        asked = litellm.completion(MODEL, said, tools=[COUNT], stream=streaming)
        if streaming:
            asked = litellm.stream_chunk_builder(list(asked), messages=said)
        message = asked.choices[0].message
        (call,) = message.tool_calls
        result = {"role": "tool", "tool_call_id": call.id, "content": "seven"}
        again = litellm.completion(MODEL, [*said, message, result], tools=[COUNT])
        found["result"] = [json.loads(call.function.arguments), again.choices[0].message.content]
with trial.step("typed output") as found:
    found["result"] = json.loads(ask(response_format=Bird))
with trial.step("responses") as found:
    found["result"] = text_of(litellm.responses("hi", model=MODEL))
with trial.step("responses in a stream") as found:
    events = list(litellm.responses("hi", model=MODEL, stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    found["result"] = [text, events[-1].type.value]
with trial.step("max_tokens") as found:
    found["result"] = ask(max_tokens=9)
with trial.step("a usage limit") as found:
    trial.control("faults", {"name": "usage_limit_429", "times": 9})
    ask()
with trial.step("a 401") as found:
    trial.control("tokens", {"expire_access_tokens": True})
    ask()
trial.report()
