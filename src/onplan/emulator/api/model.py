"""The model: it echoes, thinks, fits schemas and calls tools, always in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from onplan.emulator import script
from onplan.emulator.api.grammar_text import UnknownGrammarError, fitting_text
from onplan.emulator.api.offers import Tool, callable_tools, is_chosen
from onplan.emulator.api.playing import played
from onplan.emulator.api.schema_instance import call_arguments, instance
from onplan.emulator.options import Answer, Scenario
from onplan.emulator.web import found, linked
from onplan.emulator.wire.events import words_of
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
    annotated,
)
from onplan.emulator.wire.replies import Refusal, Request, api_error
from onplan.emulator.world import World

# Tools that really run, and a harmless use of each. If one is offered, it is the only one called: the tools
# beside it (write_stdin, spawn_agent, …) make no sense on their own.
KNOWN_TOOLS: dict[tuple[str, str], str] = {
    ("function", "exec_command"): '{"cmd":"echo hello-tool"}',
    ("custom", "exec"): 'text(await tools.exec_command({"cmd":"echo hello-tool"}));',
}
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
CALLS = frozenset({"function_call", "custom_tool_call"})
# Reasoning tokens by effort.
REASONING_TOKENS = {"low": 16, "medium": 32, "high": 64, "xhigh": 128, "max": 256, "ultra": 512}
SUMMARY = "**Reading the request**\n\nIt is short, so the answer can be, too."
ECHOED = [
    "model",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "service_tier",
    "text",
    "tool_choice",
    "tools",
]
DEFAULT_ECHO: dict[str, Any] = {
    "background": False,
    "completed_at": None,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
    "user": None,
}


def answer(world: World, request: Request) -> Turn:
    """The model's turn for a valid request: the next one of the script, else the small model's."""
    body: dict[str, Any] = request.body
    scripted = None if _compacts(body) else world.script.take()
    items = _scripted(world, body, scripted) if scripted and scripted.answers else _items(world, body)
    if world.scenario.annotations:
        items = annotated(items)
    usage = _usage(world, request, items, scripted)
    return Turn(echo=_echo(body), items=items, usage=usage, created_at=int(time.time()))


def without_answer(world: World, request: Request) -> Turn:
    """The turn of a request that is only to be remembered (`generate: false`)."""
    counts = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)
    usage = {**counts, "input_tokens_details": None, "output_tokens_details": None}
    return Turn(echo=_echo(request.body), items=(), usage=usage, created_at=int(time.time()))


def _echo(body: dict[str, Any]) -> dict[str, Any]:
    return {**DEFAULT_ECHO, **{name: body[name] for name in ECHOED if body.get(name) is not None}}


def _last(body: dict[str, Any]) -> dict[str, Any]:
    return body["input"][-1] if body["input"] else {}


def _compacts(body: dict[str, Any]) -> bool:
    return _last(body).get("type") == "compaction_trigger"


def _scripted(world: World, body: dict[str, Any], turn: script.Turn) -> tuple[Item, ...]:
    def in_pieces(text: str) -> tuple[str, ...]:
        return _plain_text(msgspec.structs.replace(world.scenario.answer, text=text), body, {})

    return (_thought(world, body, turn.thinking), *played(turn, body, in_pieces))


def _items(world: World, body: dict[str, Any]) -> tuple[Item, ...]:
    if _compacts(body):
        return (Compaction(_seal(world, world.compaction_family(body["model"]))),)
    asked = _last(body).get("role") == "user"
    if asked and is_chosen(body, "web_search"):
        return (_thought(world, body, SUMMARY), *_searched(world, body))
    if asked and is_chosen(body, "image_generation"):
        drawn = ImageGenerationCall(_last_user_text(body))
        return (_thought(world, body, SUMMARY), drawn, _message(_chosen(world.scenario, body), body))
    calls = tuple(_calls(body)) if asked else ()
    return (_thought(world, body, SUMMARY), *(calls or (_message(_chosen(world.scenario, body), body),)))


def _searched(world: World, body: dict[str, Any]) -> tuple[Item, ...]:
    """A search for what the user said, and the pages that it found. Without being made to, it never does."""
    query = _last_user_text(body)
    pages = found(query, world.scenario.pages)
    text = f"Found: {linked(pages)}" if pages else "Nothing was found."
    answer = _chosen(world.scenario, body)
    if answer.text is None and answer.deltas is None:
        answer = msgspec.structs.replace(answer, text=text)
    return WebSearchCall(query), _message(answer, body)


def _chosen(scenario: Scenario, body: dict[str, Any]) -> Answer:
    """The scenario's answer to what the user said last, else its general one."""
    text = scenario.answers.get(_last_user_text(body))
    return scenario.answer if text is None else msgspec.structs.replace(scenario.answer, text=text)


def _message(answer: Answer, body: dict[str, Any]) -> Message:
    text_format = (body.get("text") or {}).get("format") or {"type": "text"}
    return Message(FORMATS[text_format["type"]](answer, body, text_format))


def _fitting(schema: Any, make: Callable[[Any], Any] = instance) -> str:
    """A value that ``make`` finds for the schema, as JSON; a schema that cannot be used is refused."""
    try:
        return msgspec.json.encode(make(schema)).decode()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Refusal(api_error("Invalid schema.", code="invalid_json_schema")) from error


def _plain_text(answer: Answer, body: dict[str, Any], text_format: dict[str, Any]) -> tuple[str, ...]:
    if answer.deltas is not None and answer.text is None:
        return (" word".ljust(answer.padding, "s")[: answer.padding],) * answer.deltas
    text = _tool_results(body) or f"You said: {_last_user_text(body)}" if answer.text is None else answer.text
    return words_of(text) if answer.deltas is None else _in_pieces(text, answer.deltas)


def _json_object(answer: Answer, body: dict[str, Any], text_format: dict[str, Any]) -> tuple[str, ...]:
    made = msgspec.json.encode({"answer": f"You said: {_last_user_text(body)}"}).decode()
    return words_of(answer.text or made)


def _json_schema(answer: Answer, body: dict[str, Any], text_format: dict[str, Any]) -> tuple[str, ...]:
    return _in_pieces(answer.text or _fitting(text_format["schema"]), 4)


FORMATS = {"text": _plain_text, "json_object": _json_object, "json_schema": _json_schema}


def _in_pieces(text: str, count: int) -> tuple[str, ...]:
    """A text in exactly so many pieces, the last ones empty when it is too short."""
    size = max(1, -(-len(text) // count))
    return tuple(text[n * size : (n + 1) * size] for n in range(count))


def text_of(content: Any) -> str:
    """The text of an item's content or of a tool's output."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def _last_user_text(body: dict[str, Any]) -> str:
    texts = (text_of(item.get("content")) for item in reversed(body["input"]) if item.get("role") == "user")
    return next(texts, "")


def _tool_results(body: dict[str, Any]) -> str:
    """What the tools returned since the user last spoke, by name; empty when none did."""
    names = {item.get("call_id"): item.get("name") for item in body["input"] if item.get("type") in CALLS}
    results: list[str] = []
    for item in reversed(body["input"]):
        if item.get("role") == "user":
            break
        if item.get("type") in OUTPUTS:
            results.append(f"{names[item['call_id']]} returned: {text_of(item.get('output')).strip()}")
    return "\n".join(reversed(results))


def _calls(body: dict[str, Any]) -> Iterator[Item]:
    offered = callable_tools(body)
    if not isinstance(body.get("tool_choice"), dict):
        known = [(tool, space) for tool, space in offered if (tool["type"], tool["name"]) in KNOWN_TOOLS]
        offered = known[:1] or offered
    if body.get("parallel_tool_calls") is False:
        offered = offered[:1]
    for tool, space in offered:
        yield _call(tool, space)


def _call(tool: Tool, namespace: str | None) -> Item:
    known = KNOWN_TOOLS.get((tool["type"], tool["name"]))
    if tool["type"] == "custom":
        return CustomToolCall(tool["name"], known or _text_for(tool), namespace)
    arguments = known or _fitting(tool.get("parameters") or {"type": "object"}, call_arguments)
    return FunctionCall(tool["name"], arguments, namespace)


def _text_for(tool: Tool) -> str:
    """A text that the format of a custom tool allows."""
    try:
        return fitting_text(tool.get("format") or {"type": "text"})
    except UnknownGrammarError as error:
        problem = f"The emulator finds no text for the grammar of the tool '{tool['name']}': {error}."
        message = f"{problem} Tell it what to call, with Scenario.turns."
        raise Refusal(api_error(message, code="emulator_grammar")) from error


def _thought(world: World, body: dict[str, Any], summary: str | None) -> Reasoning:
    wanted = (body.get("reasoning") or {}).get("summary") not in (None, "none")
    summary = summary if wanted else None
    sealed = "reasoning.encrypted_content" in (body.get("include") or [])
    return Reasoning(summary, _seal(world, body["model"]) if sealed else None)


def _seal(world: World, model: str) -> str:
    return world.seals.seal(account_id=world.scenario.account_id, model=model)


def _usage(
    world: World, request: Request, items: tuple[Item, ...], scripted: script.Turn | None
) -> dict[str, Any]:
    prompt = [msgspec.json.encode(item) for item in request.body["input"]]
    counted = sum(map(len, prompt)) // 4 + 1
    told = scripted or script.Turn()
    input_tokens = _first(told.input_tokens, world.scenario.input_tokens, counted)
    # prompt_cache_key does not count: without the header it was seen to cache nothing (docs/protocol.md).
    session = request.headers.get("session-id")
    conversation = f"{session} {request.body['model']}"
    cached = world.prompt_cache.cached_tokens(conversation, prompt, input_tokens) if session else 0
    effort = str((request.body.get("reasoning") or {}).get("effort"))
    thinks = any(isinstance(item, Reasoning) for item in items)
    reasoning_tokens = REASONING_TOKENS.get(effort, 32) if thinks else 0
    output_tokens = _first(told.output_tokens, reasoning_tokens + sum(_tokens(item) for item in items))
    reasoning_tokens = min(reasoning_tokens, output_tokens)
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "total_tokens": input_tokens + output_tokens,
    }


def _first(*counts: int | None) -> int:
    return next(count for count in counts if count is not None)


def _tokens(item: Item) -> int:
    """One for each piece of text, a quarter of the characters of anything else."""
    if isinstance(item, Message):
        return len(item.pieces)
    return len(getattr(item, "arguments", getattr(item, "input", ""))) // 4
