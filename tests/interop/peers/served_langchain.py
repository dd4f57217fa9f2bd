"""Runs LangChain's ChatOpenAI as it is, over both APIs: the environment leads it to the server."""

from __future__ import annotations

import asyncio
from typing import Any

import steps
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Bird(BaseModel):
    """A bird."""

    name: str
    wings: int


@tool
def count(species: str) -> str:
    """How many there are."""
    return f"seven of {species}"


def usage(answer: Any) -> list[int]:
    """Input, output, thereof reasoning, in total."""
    counts = answer.usage_metadata
    details = counts["output_token_details"]
    return [counts["input_tokens"], counts["output_tokens"], details["reasoning"], counts["total_tokens"]]


def tools(chat: ChatOpenAI) -> list[Any]:
    """A call, its result, and the answer."""
    bound = chat.bind_tools([count])
    said: list[Any] = [HumanMessage("How many?")]
    asked = bound.invoke(said)
    (call,) = asked.tool_calls
    said += [asked, ToolMessage(count.invoke(call["args"]), tool_call_id=call["id"])]
    return [call["name"], call["args"], bound.invoke(said).text]


def streamed(chat: ChatOpenAI) -> list[Any]:
    """A stream, and the pieces put together."""
    pieces = list(chat.stream("hi"))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    return [whole.text, len([piece for piece in pieces if piece.text]) > 1, usage(whole)]


def streamed_tools(chat: ChatOpenAI) -> list[Any]:
    """A call that arrives in pieces."""
    pieces = list(chat.bind_tools([count]).stream("How many?"))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    return [[call["name"], call["args"]] for call in whole.tool_calls]


async def many(chat: ChatOpenAI) -> list[str]:
    """Several at once."""
    answers = await asyncio.gather(*(chat.ainvoke(f"number {number}") for number in range(4)))
    return [answer.text for answer in answers]


loop = asyncio.Runner()  # one, for ChatOpenAI's objects share their connections
for api, options in {"chat": {}, "responses": {"use_responses_api": True}}.items():
    chat = ChatOpenAI(model="gpt-5.5", stream_usage=True, **options)
    with steps.step(f"invoke, {api}") as row:
        answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("hi")])
        row["result"] = [answer.text, usage(answer)]
    with steps.step(f"stream, {api}") as row:
        row["result"] = streamed(chat)
    with steps.step(f"bind_tools, {api}") as row:
        row["result"] = tools(chat)
    with steps.step(f"bind_tools in a stream, {api}") as row:
        row["result"] = streamed_tools(chat)
    with steps.step(f"with_structured_output, {api}") as row:
        row["result"] = chat.with_structured_output(Bird).invoke("A bird?").model_dump()
    with steps.step(f"ainvoke, four at once, {api}") as row:
        row["result"] = loop.run(many(chat))
    with steps.step(f"overloaded inside a 200, {api}") as row:
        steps.arm("overloaded_in_stream")
        row["result"] = streamed(chat)[0]
    with steps.step(f"a usage limit, {api}") as row:
        steps.arm("usage_limit_429", 9)
        chat.invoke("hi")
    with steps.step(f"a usage limit, in a stream, {api}") as row:
        steps.arm("usage_limit_429", 9)
        list(chat.stream("hi"))
    with steps.step(f"a stream that breaks, {api}") as row:
        steps.arm("response_failed_after_text", 9)
        list(chat.stream("hi"))
    with steps.step(f"a stream that ends early, {api}") as row:
        steps.arm("eof_without_terminal", 9)
        list(chat.stream("hi"))
with steps.step("previous_response_id") as row:
    chat = ChatOpenAI(model="gpt-5.5", use_previous_response_id=True)
    bound = chat.bind_tools([count])
    asked = bound.invoke("How many?")
    (call,) = asked.tool_calls
    said = [HumanMessage("How many?"), asked, ToolMessage("seven", tool_call_id=call["id"])]
    row["result"] = bound.invoke(said).text
with steps.step("an expired token") as row:
    steps.control("tokens", {"expire_access_tokens": True})
    row["result"] = ChatOpenAI(model="gpt-5.5").invoke("hi").text
steps.report()
