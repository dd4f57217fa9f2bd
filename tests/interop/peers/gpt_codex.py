"""Runs gpt-codex-client, as it is: pointed at the emulator by its settings; its issuer's URLs are fixed."""

from __future__ import annotations

import httpx
import trial
from gpt_codex_client import CodexClient, FunctionTool
from pydantic import BaseModel

trial.redirect_hosts(httpx)
TOKENS = trial.FOLDER / "gpt-codex" / "auth.json"
PARAMETERS = {
    "type": "object",
    "properties": {"species": {"type": "string"}},
    "required": ["species"],
    "additionalProperties": False,
}
COUNT = FunctionTool("count", "How many there are.", PARAMETERS, strict=True)


class Bird(BaseModel):
    """What an answer may have to be."""

    name: str
    wings: int


def client() -> CodexClient:
    settings = {
        "base_url": trial.CODEX,
        "token_path": TOKENS,
        "login_handler": trial.approve,
    }
    return CodexClient(**settings)


def ask(said: str = "hi", **options: object) -> str:
    with client() as codex:
        return codex.responses.create(model="gpt-5.5", input=said, **options).output_text


trial.set_token_lifetime(20)  # so that the second question has to refresh it
with trial.step("signs in by browser and completes") as found:
    found["result"] = ask()
trial.set_token_lifetime(3600)
with trial.step("refreshes an aged token") as found:
    found["result"] = ask()
for transport in ("sse", "websocket"):
    with trial.step(f"streams over {transport}") as found, client() as codex:
        with codex.responses.create(model="gpt-5.5", input="hi", stream=True, transport=transport) as stream:
            pieces = [e.data["delta"] for e in stream if e.type == "response.output_text.delta"]
        found["result"] = ["".join(pieces), len(pieces) > 1]
    with trial.step(f"calls a tool over {transport}") as found, client() as codex:
        asking = {"model": "gpt-5.5", "tools": [COUNT], "session_id": "birds", "transport": transport}
        said = [{"role": "user", "content": "How many?"}]
        first = codex.responses.create(input=said, preserve_context=True, **asking)
        (call,) = (item for item in first.output if item["type"] == "function_call")
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "seven"}
        again = codex.responses.create(
            input=[*said, *first.to_input_items(), result], preserve_context=True, **asking
        )
        found["result"] = again.output_text
with trial.step("chat completions") as found, client() as codex:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    whole = codex.chat.completions.create(model="gpt-5.5", messages=messages)
    chunks = codex.chat.completions.create(model="gpt-5.5", messages=messages, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    found["result"] = [whole.choices[0].message.content, text]
with trial.step("typed output") as found, client() as codex:
    parsed = codex.responses.parse(model="gpt-5.5", input="A bird?", text_format=Bird)
    found["result"] = parsed.parsed.model_dump()
with trial.step("a usage limit") as found:
    trial.control("faults", {"name": "usage_limit_429", "times": 9})
    ask()
with trial.step("an unknown model") as found, client() as codex:
    codex.responses.create(model="gpt-0", input="hi")
with trial.step("a 401") as found:
    trial.control("tokens", {"expire_access_tokens": True})
    ask()
trial.report()
