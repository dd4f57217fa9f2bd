"""Plays a turn of the script: the items in which its text and its calls reach the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from onplan.emulator.api.offers import Tool, callable_tools, is_offered, must_call
from onplan.emulator.script import Call, Turn, unplayable
from onplan.emulator.wire.items import (
    CustomToolCall,
    FunctionCall,
    ImageGenerationCall,
    Item,
    Message,
    WebSearchCall,
)
from onplan.emulator.wire.replies import Refusal


def played(turn: Turn, body: dict[str, Any], in_pieces: Callable[[str], tuple[str, ...]]) -> tuple[Item, ...]:
    """The turn's message and calls. `in_pieces` cuts a text as it is streamed.

    Raises:
        Refusal: the request does not allow what the turn does.
    """
    tools = callable_tools(body)
    if len(turn.tool_calls) > 1 and body.get("parallel_tool_calls") is False:
        raise Refusal(unplayable("it has several calls, and the request's parallel_tool_calls is false"))
    if turn.searches and not is_offered(body, "web_search"):
        raise Refusal(unplayable("it searches the web, and the request does not let it"))
    if turn.images and not is_offered(body, "image_generation"):
        raise Refusal(unplayable("it makes an image, and the request does not let it"))
    if not (turn.tool_calls or turn.searches or turn.images) and must_call(body):
        raise Refusal(unplayable("it calls no tool, and the request's tool_choice requires a call"))
    searches = tuple(WebSearchCall(query) for query in turn.searches)
    images = tuple(ImageGenerationCall(prompt) for prompt in turn.images)
    calls = tuple(_call(call, tools) for call in turn.tool_calls)
    said = () if turn.text is None else (Message(in_pieces(turn.text)),)
    return (*searches, *images, *said, *calls)


def _call(call: Call, tools: list[tuple[Tool, str | None]]) -> Item:
    found = next(((tool, space) for tool, space in tools if tool["name"] == call.name), None)
    if found is None:
        names = ", ".join(tool["name"] for tool, _ in tools) or "none"
        raise Refusal(unplayable(f"it calls the tool {call.name!r}, and the request lets it call: {names}"))
    tool, namespace = found
    text = call.arguments
    if tool["type"] == "custom":
        if not isinstance(text, str):
            raise Refusal(unplayable(f"the tool {call.name!r} takes text, so its arguments must be a text"))
        return CustomToolCall(call.name, text, namespace)
    text = text if isinstance(text, str) else msgspec.json.encode(text).decode()
    return FunctionCall(call.name, text, namespace)
