"""Run by a Python that has openai's SDK: what it makes of a platform. ``openai_sdk.py BASE_URL KEY``.

Prints JSON. Every object that arrives is checked strictly against the SDK's own types.
"""

from __future__ import annotations

import asyncio
import json
import sys

from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError, OpenAI
from pydantic import BaseModel

PLAIN, THINKER = "gpt-4.1", "gpt-5.5"
ASK = [{"role": "user", "content": "hi"}]
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": PARAMETERS, "strict": True}}
    for name in ("first", "second")
]


class Bird(BaseModel):
    """A schema for an answer."""

    bird: str


def checked(found):
    """What arrived, if it is exactly what the SDK's types say."""
    type(found).model_validate(found.model_dump(), strict=True)
    unknown = [name for part in parts_of(found) for name in part.model_extra or ()]
    assert not unknown, unknown
    return found


def parts_of(found):
    """A model, and all models in it."""
    if isinstance(found, BaseModel):
        yield found
        for value in dict(found).values():
            yield from parts_of(value)
    if isinstance(found, list):
        for value in found:
            yield from parts_of(value)


def chat(client):
    """Whole, in chunks, cut."""
    whole = checked(client.chat.completions.create(model=PLAIN, messages=ASK))
    streamed = client.chat.completions.create(
        model=PLAIN, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [checked(chunk) for chunk in streamed]
    cut = checked(client.chat.completions.create(model=THINKER, messages=ASK, max_completion_tokens=1))
    return {
        "whole": whole.choices[0].message.content,
        "chunks": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "same_usage": chunks[-1].usage.total_tokens == whole.usage.total_tokens,
        "cut": cut.choices[0].finish_reason,
    }


def tools(client):
    """Two calls, assembled by the SDK, their results sent back with the SDK's own message."""
    messages = list(ASK)
    with client.chat.completions.stream(model=THINKER, messages=messages, tools=TOOLS) as stream:
        for event in stream:
            if event.type == "chunk":
                checked(event.chunk)
        said = stream.get_final_completion().choices[0].message
    messages.append(said)
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": f"result of {call.function.name}"}
        for call in said.tool_calls
    ]
    answer = client.chat.completions.create(model=THINKER, messages=messages, tools=TOOLS)
    calls = [[call.function.name, call.function.parsed_arguments] for call in said.tool_calls]
    return {"calls": calls, "then": checked(answer).choices[0].message.content}


def schemas(client):
    """An answer that follows a class, over both APIs."""
    said = client.chat.completions.parse(model=THINKER, messages=ASK, response_format=Bird)
    told = client.responses.parse(model=THINKER, input="hi", text_format=Bird)
    return [said.choices[0].message.parsed.bird, told.output_parsed.bird]


def responses(client):
    """The other API, whole and in events."""
    whole = client.responses.create(model=THINKER, input="hi")
    with client.responses.stream(model=THINKER, input="hi") as stream:
        events = [event.type for event in stream]
        final = stream.get_final_response()
    return {"whole": whole.output_text, "final": final.output_text, "last": events[-1]}


def refusals(client, base_url):
    """What is refused, as the SDK's own exceptions, with their codes and request ids."""
    told = []
    for error, ask in (
        (AuthenticationError, OpenAI(base_url=base_url, api_key="wrong").models.list),
        (NotFoundError, lambda: client.chat.completions.create(model="gpt-0", messages=ASK)),
        (BadRequestError, lambda: client.chat.completions.create(model=THINKER, messages=ASK, max_tokens=5)),
    ):
        try:
            ask()
        except error as caught:
            told.append([caught.code, bool(caught.request_id)])
    return told


async def asynchronous(base_url, key):
    """The same with its other client."""
    async with AsyncOpenAI(base_url=base_url, api_key=key) as client:
        stream = await client.chat.completions.create(model=THINKER, messages=ASK, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def main(base_url, key):
    """Everything, as JSON."""
    with OpenAI(base_url=base_url, api_key=key) as client:
        found = {
            "models": [checked(model).id for model in client.models.list()],
            "chat": chat(client),
            "tools": tools(client),
            "schemas": schemas(client),
            "responses": responses(client),
            "refusals": refusals(client, base_url),
            "asynchronous": asyncio.run(asynchronous(base_url, key)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
