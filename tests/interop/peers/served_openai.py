"""Runs OpenAI's Python SDK as it is: OPENAI_BASE_URL and OPENAI_API_KEY alone lead it to the server.

What arrives is checked strictly against the SDK's own types.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import steps
from openai import APIStatusError, AsyncOpenAI, OpenAI
from pydantic import BaseModel

MODEL = "gpt-5.5"
SAID: Any = [{"role": "user", "content": "hi"}]
PARAMETERS = {
    "type": "object",
    "properties": {"species": {"type": "string"}},
    "required": ["species"],
    "additionalProperties": False,
}
FUNCTIONS: Any = [{"name": name, "parameters": PARAMETERS, "strict": True} for name in ("count", "locate")]
TOOLS: Any = [{"type": "function", **function} for function in FUNCTIONS]
CHAT_TOOLS: Any = [{"type": "function", "function": function} for function in FUNCTIONS]
IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Bird(BaseModel):
    """A schema for an answer."""

    name: str
    wings: int


def checked(found: Any) -> Any:
    """What arrived, if its fields have the types that the SDK says."""
    type(found).model_validate(found.model_dump(warnings="error"), strict=True)
    return found


def usage(found: Any) -> list[int]:
    """Input, output, thereof reasoning, in total: by the names of either API."""
    counts = found.usage.model_dump()
    details = counts.get("output_tokens_details") or counts.get("completion_tokens_details")
    read = counts.get("input_tokens", counts.get("prompt_tokens"))
    written = counts.get("output_tokens", counts.get("completion_tokens"))
    return [read, written, details["reasoning_tokens"], counts["total_tokens"]]


def calls_of(response: Any) -> list[Any]:
    """The calls of a response."""
    return [item for item in response.output if item.type == "function_call"]


def outputs(calls: list[Any]) -> Any:
    """A result for each call."""
    return [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"seven {call.name}"}
        for call in calls
    ]


@contextlib.contextmanager
def refusal(row: dict[str, Any]) -> Iterator[None]:
    """Of the error what programs look at is the result."""
    try:
        yield
    except APIStatusError as error:
        row["result"] = [type(error).__name__, error.status_code, error.code, bool(error.request_id)]


def responses(client: OpenAI) -> None:
    """The newer API over HTTP."""
    with steps.step("responses.create") as row:
        said = checked(client.responses.create(model=MODEL, input="hi", instructions="Be brief."))
        row["result"] = [said.output_text, said.status, said.model, said.instructions, usage(said)]
    with steps.step("responses.create, streaming") as row:
        with client.responses.create(model=MODEL, input="hi", stream=True) as stream:
            events = [checked(event) for event in stream]
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        numbers = [event.sequence_number for event in events]
        last = events[-1]
        row["result"] = [
            "".join(deltas),
            len(deltas) > 1,
            numbers == list(range(len(events))),
            [events[0].type, last.type, last.response.output_text, usage(last.response)],
        ]
    with steps.step("responses.stream") as row:
        with client.responses.stream(model=MODEL, input="hi", reasoning={"summary": "auto"}) as stream:
            kinds = {event.type for event in stream}
            final = checked(stream.get_final_response())
        summaries = [part.text for item in final.output if item.type == "reasoning" for part in item.summary]
        thought = "response.reasoning_summary_text.delta" in kinds
        row["result"] = [final.output_text, thought, summaries[0].partition("\n")[0], usage(final)]
    with steps.step("responses.parse") as row:
        row["result"] = client.responses.parse(
            model=MODEL, input="A bird?", text_format=Bird
        ).output_parsed.model_dump()
    with steps.step("responses, an image") as row:
        url = f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}"
        content = [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": url}]
        said = client.responses.create(model=MODEL, input=[{"role": "user", "content": content}])
        row["result"] = said.output_text
    with steps.step("responses, ignored parameters") as row:
        raw = client.responses.with_raw_response.create(model=MODEL, input="hi", temperature=0.2, user="me")
        row["result"] = [raw.parse().output_text, raw.headers.get("x-onplan-ignored-parameters")]
    with steps.step("responses, max_output_tokens") as row:
        said = client.responses.create(model=MODEL, input="one two three four five", max_output_tokens=2)
        row["result"] = [said.status, said.incomplete_details.reason, len(said.output_text.split())]


def stored(client: OpenAI) -> None:
    """What goes on from a stored response."""
    with steps.step("responses, tools and previous_response_id") as row:
        asked = client.responses.create(model=MODEL, input="How many?", tools=TOOLS)
        calls = calls_of(asked)
        said = client.responses.create(
            model=MODEL, input=outputs(calls), tools=TOOLS, previous_response_id=asked.id
        )
        arguments = [[call.name, call.arguments, call.status] for call in calls]
        row["result"] = [arguments, said.output_text, said.previous_response_id == asked.id]
    with steps.step("responses, tools in a stream") as row:
        with client.responses.stream(model=MODEL, input="How many?", tools=TOOLS) as stream:
            for _ in stream:
                pass
            asked = stream.get_final_response()
        history = [{"role": "user", "content": "How many?"}, *asked.output, *outputs(calls_of(asked))]
        said = client.responses.create(model=MODEL, input=history, tools=TOOLS, store=False)
        row["result"] = [[call.parsed_arguments for call in calls_of(asked)], said.output_text]
    with steps.step("responses.retrieve, input_items, delete") as row:
        said = client.responses.create(model=MODEL, input="hi")
        again = checked(client.responses.retrieve(said.id))
        items = [item.content[0].text for item in client.responses.input_items.list(said.id)]
        client.responses.delete(said.id)
        row["result"] = [again.output_text, items]
    with steps.step("responses.retrieve, what was deleted") as row, refusal(row):
        client.responses.retrieve(said.id)
    with steps.step("responses, an unknown previous_response_id") as row, refusal(row):
        client.responses.create(model=MODEL, input="hi", previous_response_id="resp_0")


def sockets(client: OpenAI) -> None:
    """The newer API over a WebSocket."""

    def answer(connection: Any, **fields: Any) -> Any:
        connection.response.create(model=MODEL, **fields)
        for event in connection:
            if event.type == "error":
                return event
            if event.type == "response.completed":
                return event.response
        raise EOFError

    with steps.step("responses.connect") as row, client.responses.connect() as connection:
        asked = answer(connection, input="How many?", tools=TOOLS)
        calls = calls_of(asked)
        said = answer(connection, input=outputs(calls), tools=TOOLS, previous_response_id=asked.id)
        third = answer(connection, input="and now?", previous_response_id=said.id)
        text = "".join(part.text for part in said.output[-1].content)
        row["result"] = [[call.name for call in calls], text, third.output[-1].content[0].text]
    with steps.step("responses.connect, refusals") as row, client.responses.connect() as connection:
        lost = answer(connection, input="hi", previous_response_id="resp_0").model_dump()
        steps.arm("usage_limit_429", 9)
        limited = answer(connection, input="hi").model_dump()
        steps.control("faults", method="DELETE")
        said = answer(connection, input="hi")
        codes = [[event["status"], event["error"]["code"]] for event in (lost, limited)]
        row["result"] = [codes, said.output[-1].content[0].text]


def chat(client: OpenAI) -> None:
    """The older API."""
    create: Any = client.chat.completions.create
    with steps.step("chat.create") as row:
        said = checked(create(model=MODEL, messages=[{"role": "system", "content": "Be brief."}, *SAID]))
        choice = said.choices[0]
        row["result"] = [choice.message.content, choice.finish_reason, said.model, usage(said)]
    with steps.step("chat.create, streaming") as row:
        options = {"include_usage": True}
        with create(model=MODEL, messages=SAID, stream=True, stream_options=options) as stream:
            chunks = [checked(chunk) for chunk in stream]
        texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
        reasons = [
            choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason
        ]
        same = len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1
        row["result"] = ["".join(texts), len(texts) > 1, reasons, same, usage(chunks[-1])]
    with steps.step("chat, tools in a stream") as row:
        messages = list(SAID)
        with client.chat.completions.stream(model=MODEL, messages=messages, tools=CHAT_TOOLS) as stream:
            for _ in stream:
                pass
            asked = stream.get_final_completion().choices[0]
        calls = asked.message.tool_calls
        messages.append(asked.message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": f"seven {call.function.name}"}
            for call in calls
        ]
        said = create(model=MODEL, messages=messages, tools=CHAT_TOOLS).choices[0]
        row["result"] = [
            [[call.function.name, call.function.parsed_arguments] for call in calls],
            asked.finish_reason,
            [said.message.content, said.finish_reason],
        ]
    with steps.step("chat, one tool required") as row:
        choice = create(model=MODEL, messages=SAID, tools=CHAT_TOOLS, tool_choice=named("locate")).choices[0]
        calls = [[call.function.name, call.function.arguments] for call in choice.message.tool_calls]
        row["result"] = [calls, choice.finish_reason, choice.message.content]
    with steps.step("chat.parse") as row:
        said = client.chat.completions.parse(model=MODEL, messages=SAID, response_format=Bird)
        row["result"] = said.choices[0].message.parsed.model_dump()
    with steps.step("chat, stop") as row:
        counted = [{"role": "user", "content": "one two three"}]
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=counted, stop=["two"])
        choice = raw.parse().choices[0]
        emulated = raw.headers.get("x-onplan-emulated-parameters")
        row["result"] = [choice.message.content, choice.finish_reason, emulated]
    with steps.step("chat.parse, max_completion_tokens") as row:
        client.chat.completions.parse(
            model=MODEL, messages=SAID, response_format=Bird, max_completion_tokens=1
        )


def named(name: str) -> Any:
    """A choice of one tool."""
    return {"type": "function", "function": {"name": name}}


def others(client: OpenAI) -> None:
    """Models and images."""
    with steps.step("models") as row:
        listed = [checked(model).id for model in client.models.list()]
        row["result"] = [MODEL in listed, checked(client.models.retrieve(MODEL)).id]
    with steps.step("images.generate") as row:
        made = checked(client.images.generate(model="gpt-image-2", prompt="a wren"))
        row["result"] = base64.b64decode(made.data[0].b64_json)[1:4].decode()
    with steps.step("images.edit") as row:
        picture = io.BytesIO(IMAGE)
        picture.name = "wren.png"
        made = client.images.edit(model="gpt-image-2", image=picture, prompt="a red one")
        row["result"] = base64.b64decode(made.data[0].b64_json)[1:4].decode()
    with steps.step("what a plan has not") as row, refusal(row):
        client.embeddings.create(model="text-embedding-3-small", input="hi")


def refusals(client: OpenAI) -> None:
    """Errors before the first byte: in the SDK's own classes."""
    asks: dict[str, Any] = {
        "responses": lambda: client.responses.create(model=MODEL, input="hi"),
        "chat": lambda: client.chat.completions.create(model=MODEL, messages=SAID),
        "chat, streaming": lambda: client.chat.completions.create(model=MODEL, messages=SAID, stream=True),
    }
    for fault in ("usage_limit_429", "usage_limit_in_stream", "context_length_exceeded", "content_policy"):
        for api, ask in asks.items():
            with steps.step(f"{fault}, {api}") as row, refusal(row):
                steps.arm(fault, 9)
                ask()
    with steps.step("a wrong key") as row, refusal(row):
        OpenAI(api_key="wrong").models.list()
    for api, ask in {
        "responses": lambda: client.responses.create(model="gpt-0", input="hi"),
        "chat": lambda: client.chat.completions.create(model="gpt-0", messages=SAID),
        "models": lambda: client.models.retrieve("gpt-0"),
    }.items():
        with steps.step(f"an unknown model, {api}") as row, refusal(row):
            ask()


def broken(client: OpenAI) -> None:
    """A stream that breaks, for good: an error, never a clean end."""
    for fault in ("eof_without_terminal", "response_failed_after_text"):
        with steps.step(f"{fault}, chat") as row:
            steps.arm(fault, 9)
            with client.chat.completions.create(model=MODEL, messages=SAID, stream=True) as stream:
                list(stream)
        with steps.step(f"{fault}, responses.create") as row:
            steps.arm(fault, 9)
            with client.responses.create(model=MODEL, input="hi", stream=True) as stream:
                list(stream)
        with steps.step(f"{fault}, responses.stream") as row:
            steps.arm(fault, 9)
            with client.responses.stream(model=MODEL, input="hi") as stream:
                for _ in stream:
                    pass
                stream.get_final_response()
        with steps.step(f"{fault}, not streaming") as row, refusal(row):
            steps.arm(fault, 99)
            client.with_options(max_retries=0).responses.create(model=MODEL, input="hi")


def mended(client: OpenAI) -> None:
    """What the program does not notice."""
    for fault in ("overloaded_in_stream", "server_error_500"):
        with steps.step(f"{fault}, responses") as row:
            steps.arm(fault)
            with client.responses.stream(model=MODEL, input="hi") as stream:
                kinds = [event.type for event in stream]
                row["result"] = [kinds.count("response.created"), stream.get_final_response().output_text]
        with steps.step(f"{fault}, chat") as row:
            steps.arm(fault)
            said = client.chat.completions.create(model=MODEL, messages=SAID)
            row["result"] = said.choices[0].message.content
    with steps.step("an expired token") as row:
        steps.control("tokens", {"expire_access_tokens": True})
        row["result"] = client.responses.create(model=MODEL, input="hi").output_text
    with steps.step("empty output in the terminal event") as row:
        steps.arm("terminal_output_empty", 3)
        said = client.responses.create(model=MODEL, input="hi")
        with client.responses.stream(model=MODEL, input="hi") as stream:
            for _ in stream:
                pass
            final = stream.get_final_response()
        with client.responses.create(model=MODEL, input="hi", stream=True) as stream:
            last = list(stream)[-1]
        row["result"] = [said.output_text, final.output_text, last.response.output_text]


async def asynchronous() -> None:
    """Its other client, several at once."""
    async with AsyncOpenAI() as client:

        async def one(number: int) -> str:
            said = ""
            messages: Any = [{"role": "user", "content": f"number {number}"}]
            async for chunk in await client.chat.completions.create(
                model=MODEL, messages=messages, stream=True
            ):
                said += chunk.choices[0].delta.content or ""
            return said

        with steps.step("AsyncOpenAI, eight at once") as row:
            said = await asyncio.gather(*map(one, range(8)))
            row["result"] = said == [f"You said: number {number}" for number in range(8)]


def main() -> None:
    """Everything, in one process."""
    assert os.environ["OPENAI_BASE_URL"]
    with OpenAI(timeout=20) as client:
        for part in (responses, stored, sockets, chat, others, refusals, broken, mended):
            part(client)
    asyncio.run(asynchronous())
    steps.report()


if __name__ == "__main__":
    main()
