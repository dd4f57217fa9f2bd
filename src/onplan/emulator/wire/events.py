"""The events of a Responses stream: every event, every field, in the real order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from onplan.emulator.wire.items import (
    Compaction,
    CustomToolCall,
    FunctionCall,
    ImageGenerationCall,
    Item,
    Message,
    Reasoning,
    Turn,
    WebSearchCall,
)

Event = dict[str, Any]
Where = dict[str, Any]  # item_id and output_index, as events carry them

PIECES_OF_ARGUMENTS = 4


def events_of(turn: Turn) -> Iterator[Event]:
    """All events of a turn, unnumbered."""
    yield {"type": "response.created", "response": turn.response("in_progress")}
    yield {"type": "response.in_progress", "response": turn.response("in_progress")}
    for index, item in enumerate(turn.items):
        at = {"output_index": index}
        yield {"type": "response.output_item.added", **at, "item": _started(item)}
        yield from INSIDES[type(item)](item, {"item_id": item.id, **at})
        yield {"type": "response.output_item.done", **at, "item": item.finished()}
    output = [item.finished() for item in turn.items]
    response = turn.response("completed", output=output, usage=turn.usage)
    yield {"type": "response.completed", "response": response}


# The fields of an item that is not finished.
EMPTY: dict[str, dict[str, Any]] = {
    "reasoning": {"summary": [], "encrypted_content": None},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "custom_tool_call": {"input": "", "status": "in_progress"},
    "web_search_call": {"status": "in_progress", "action": {"type": "search"}},
    "image_generation_call": {"status": "in_progress", "revised_prompt": None, "result": None},
    "compaction": {"encrypted_content": ""},
}


def _started(item: Item) -> dict[str, Any]:
    finished = item.finished()
    return {**finished, **EMPTY[finished["type"]]}


def pieces_of(text: str, count: int = PIECES_OF_ARGUMENTS) -> Iterator[str]:
    """A text in about so many pieces."""
    size = max(1, -(-len(text) // count))
    return (text[start : start + size] for start in range(0, len(text), size))


# The services pad deltas so that their length does not give the text away.
PADDING = "eGqZ8wT1nLbV4xKd"


def _obfuscation(piece: str) -> str:
    return PADDING[len(piece) % 8 :]


def _reasoning(item: Reasoning, where: Where) -> Iterator[Event]:
    if item.summary is None:
        return
    at = {**where, "summary_index": 0}
    summary = "response.reasoning_summary"
    part = {"type": "summary_text", "text": item.summary}
    yield {"type": f"{summary}_part.added", **at, "part": {**part, "text": ""}}
    for piece in words_of(item.summary):
        yield {"type": f"{summary}_text.delta", **at, "delta": piece, "obfuscation": _obfuscation(piece)}
    yield {"type": f"{summary}_text.done", **at, "text": item.summary}
    yield {"type": f"{summary}_part.done", **at, "part": part}


def _message(item: Message, where: Where) -> Iterator[Event]:
    at = {**where, "content_index": 0}
    text = "".join(item.pieces)
    kind, key = ("refusal", "refusal") if item.refusal else ("output_text", "text")
    logprobs: dict[str, Any] = {} if item.refusal else {"logprobs": []}
    yield {"type": "response.content_part.added", **at, "part": item.part("")}
    delta_type = f"response.{kind}.delta"
    for piece in item.pieces:
        yield {"type": delta_type, **at, "delta": piece, **logprobs, "obfuscation": _obfuscation(piece)}
    for number, annotation in enumerate(item.annotations):
        added = {"annotation_index": number, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **at, **added}
    yield {"type": f"response.{kind}.done", **at, key: text, **logprobs}
    yield {"type": "response.content_part.done", **at, "part": item.part(text)}


def _function_call(item: FunctionCall, where: Where) -> Iterator[Event]:
    arguments = "response.function_call_arguments"
    for piece in pieces_of(item.arguments):
        yield {"type": f"{arguments}.delta", **where, "delta": piece, "obfuscation": _obfuscation(piece)}
    yield {"type": f"{arguments}.done", **where, "arguments": item.arguments, "name": item.name}


def _custom_tool_call(item: CustomToolCall, where: Where) -> Iterator[Event]:
    for piece in pieces_of(item.input):
        delta = {"delta": piece, "obfuscation": _obfuscation(piece)}
        yield {"type": "response.custom_tool_call_input.delta", **where, **delta}
    yield {"type": "response.custom_tool_call_input.done", **where, "input": item.input}


def _web_search_call(item: WebSearchCall, where: Where) -> Iterator[Event]:
    for state in ("in_progress", "searching", "completed"):
        yield {"type": f"response.web_search_call.{state}", **where}


def _image_generation_call(item: ImageGenerationCall, where: Where) -> Iterator[Event]:
    image = "response.image_generation_call"
    yield {"type": f"{image}.in_progress", **where}
    yield {"type": f"{image}.generating", **where}
    partial = {"partial_image_index": 0, "partial_image_b64": item.finished()["result"]}
    yield {"type": f"{image}.partial_image", **where, **partial}
    yield {"type": f"{image}.completed", **where}


def _nothing(item: Compaction, where: Where) -> Iterator[Event]:
    return iter(())


INSIDES: dict[type[Item], Callable[[Any, Where], Iterator[Event]]] = {
    Reasoning: _reasoning,
    Message: _message,
    FunctionCall: _function_call,
    CustomToolCall: _custom_tool_call,
    WebSearchCall: _web_search_call,
    ImageGenerationCall: _image_generation_call,
    Compaction: _nothing,
}


def words_of(text: str) -> tuple[str, ...]:
    """A text word by word, each with the space before it, as models say it."""
    pieces: list[str] = []
    for word in text.split(" "):
        pieces.append(f" {word}" if pieces else word)
    return tuple(pieces)
