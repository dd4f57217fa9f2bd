"""The ways in which compatible servers send tool calls differently from the platform, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from onplan.emulator.wire.stream import Alteration, Frame

Chunk = dict[str, Any]
Call = dict[str, Any]


def delta_of(frame: Frame) -> dict[str, Any]:
    """What a chunk adds; nothing if it is none."""
    choices = [] if isinstance(frame, bytes) else frame.get("choices") or []
    return next((choice["delta"] for choice in choices), {})


def with_delta(chunk: Chunk, delta: dict[str, Any]) -> Chunk:
    """The chunk with another addition."""
    return {**chunk, "choices": [{**chunk["choices"][0], "delta": delta}]}


def _pieces(change: Callable[[Call, dict[int, Call]], Iterable[Call]]) -> Alteration:
    """Every piece of a call replaced. `change` is given it, and all the calls, whole, by their index."""

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        held = list(frames)
        whole = _whole(held)
        for frame in held:
            pieces = delta_of(frame).get("tool_calls")
            if isinstance(frame, bytes) or not pieces or "custom" in pieces[0]:
                yield frame
                continue
            for piece in change(pieces[0], whole):
                yield with_delta(frame, {"tool_calls": [piece]})

    return alter


def _whole(frames: Iterable[Frame]) -> dict[int, Call]:
    calls: dict[int, Call] = {}
    for frame in frames:
        for piece in delta_of(frame).get("tool_calls") or ():
            if "custom" in piece:  # the servers that are imitated have no custom tools
                continue
            empty = {**piece, "function": {**piece["function"], "arguments": ""}}
            call = calls.setdefault(piece["index"], empty)
            call["function"]["arguments"] += piece["function"]["arguments"]
    return calls


def _without(*names: str) -> Alteration:
    return _pieces(lambda piece, whole: [{name: piece[name] for name in piece if name not in names}])


def _at_once(**changes: Any) -> Alteration:
    """Each call in a chunk of its own, complete."""
    return _pieces(lambda piece, whole: [{**whole[piece["index"]], **changes}] if "id" in piece else [])


def _as_object(piece: Call, whole: dict[int, Call]) -> Iterator[Call]:
    if "id" in piece:
        function = whole[piece["index"]]["function"]
        yield {**piece, "function": {**function, "arguments": msgspec.json.decode(function["arguments"])}}


def _named(names: Callable[[str], Iterable[str]]) -> Alteration:
    """The name in several pieces."""

    def change(piece: Call, whole: dict[int, Call]) -> Iterator[Call]:
        if "id" not in piece:
            yield piece
            return
        for name in names(piece["function"]["name"]):
            yield {**piece, "function": {"name": name}}

    return _pieces(change)


def _name_everywhere(piece: Call, whole: dict[int, Call]) -> list[Call]:
    name = whole[piece["index"]]["function"]["name"]
    return [{**piece, "function": {**piece["function"], "name": name}}]


def _id_late(piece: Call, whole: dict[int, Call]) -> list[Call]:
    """The id comes with the arguments and not with the name."""
    if "id" in piece:
        return [{name: piece[name] for name in piece if name != "id"}]
    return [{**piece, "id": whole[piece["index"]]["id"]}]


def _new_id_every_time(piece: Call, whole: dict[int, Call]) -> list[Call]:
    return [{**piece, "id": piece.get("id") or f"call_{piece['function']['arguments']}"}]


def _counted(piece: Call, whole: dict[int, Call]) -> list[Call]:
    """The index counts the pieces, and only the first has an id."""
    return [{**piece, "index": piece["index"] * 100 + (0 if "id" in piece else len(str(piece)))}]


def _first_index(piece: Call, whole: dict[int, Call]) -> list[Call]:
    return [{**piece, "index": 0}]


def _null_arguments(piece: Call, whole: dict[int, Call]) -> list[Call]:
    return [{**piece, "function": {**piece["function"], "arguments": piece["function"]["arguments"] or None}}]


def _one_id(piece: Call, whole: dict[int, Call]) -> Iterator[Call]:
    """Calls whole, all of them at one index under one id."""
    if "id" in piece:
        yield {**whole[piece["index"]], "index": 0, "id": "call_0"}


def _in_text(piece: Call, whole: dict[int, Call]) -> list[Call]:
    return [{**piece, "index": str(piece["index"])}]


def _placeholder(piece: Call, whole: dict[int, Call]) -> list[Call]:
    """An empty object before the arguments."""
    arguments = "{}" if "id" in piece else piece["function"]["arguments"]
    return [{**piece, "function": {**piece["function"], "arguments": arguments}}]


def _signed(piece: Call, whole: dict[int, Call]) -> list[Call]:
    """The first call has a thought signature, as at Gemini's compatible endpoint."""
    signature = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
    first = "id" in piece and piece["index"] == 0
    return [{**piece, "extra_content": signature} if first else piece]


def _at_the_end(more: Callable[[dict[int, Call]], Iterable[Call]]) -> Alteration:
    """More pieces of calls before the chunk that ends them."""

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        held = list(frames)
        whole = _whole(held)
        for frame in held:
            if not isinstance(frame, bytes) and whole and _ends(frame):
                yield from (with_delta(_going_on(frame), {"tool_calls": [call]}) for call in more(whole))
            yield frame

    return alter


def _ends(chunk: Chunk) -> bool:
    return any(choice["finish_reason"] for choice in chunk["choices"])


def _going_on(chunk: Chunk) -> Chunk:
    return {**chunk, "choices": [{**chunk["choices"][0], "finish_reason": None}]}


def _arguments_again(whole: dict[int, Call]) -> Iterator[Call]:
    for index, call in whole.items():
        yield {"index": index, "function": {"arguments": call["function"]["arguments"]}}


def _at_other_indices(whole: dict[int, Call]) -> Iterator[Call]:
    for index, call in whole.items():
        yield {**call, "index": index + len(whole)}


def _whole_message(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The last chunk has the whole message beside it."""
    held = list(frames)
    calls = [*_whole(held).values()]
    text = "".join(delta_of(frame).get("content") or "" for frame in held)
    for frame in held:
        if isinstance(frame, bytes) or not _ends(frame):
            yield frame
        else:
            message = {"role": "assistant", "content": text or None, "tool_calls": calls}
            choice = {**frame["choices"][0], "message": message}
            yield {**frame, "object": "chat.completion", "choices": [choice]}


def _interleaved(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The pieces of parallel calls, one of each in turn."""
    by_index: dict[int, list[Frame]] = {}
    rest: list[Frame] = []
    for frame in frames:
        pieces = delta_of(frame).get("tool_calls")
        (by_index.setdefault(pieces[0]["index"], []) if pieces else rest).append(frame)
    yield from rest[:1]
    for turn in range(max(map(len, by_index.values()), default=0)):
        yield from (frames[turn] for frames in by_index.values() if turn < len(frames))
    yield from rest[1:]


def _function_call(frames: Iterable[Frame]) -> Iterator[Frame]:
    """As before there were tools: one function call, without an id."""
    for frame in frames:
        pieces = delta_of(frame).get("tool_calls")
        if isinstance(frame, bytes):
            yield frame
        elif not pieces:
            yield {**frame, "choices": [ended(choice, "function_call") for choice in frame["choices"]]}
        elif pieces[0]["index"] == 0 and "function" in pieces[0]:
            yield with_delta(frame, {"function_call": pieces[0]["function"]})


def ended(choice: dict[str, Any], word: str | None) -> dict[str, Any]:
    """A choice with another finish reason, if it has one."""
    return {**choice, "finish_reason": choice["finish_reason"] and word}


# name, line, how the chunks are changed
ROWS: tuple[tuple[str, str, Alteration], ...] = (
    ("index_missing", "Pieces of tool calls without an index.", _without("index")),
    ("index_zero", "Every call whole, at the index 0.", _at_once(index=0)),
    (
        "index_zero_in_pieces",
        "All pieces at the index 0.",
        _pieces(_first_index),
    ),
    ("index_counts_pieces", "The index is another one in every piece.", _pieces(_counted)),
    ("ids_late", "Ids come after the names.", _pieces(_id_late)),
    ("ids_absent", "Calls have no ids.", _without("id")),
    ("ids_new_every_time", "Another id in every piece.", _pieces(_new_id_every_time)),
    ("calls_whole", "Every call in one chunk, without an index.", _at_once(index=None)),
    (
        "calls_whole_without_ids",
        "Every call in one chunk, without an index and an id.",
        _at_once(index=None, id=None),
    ),
    ("calls_interleaved", "The pieces of parallel calls are mixed.", _interleaved),
    ("names_split", "Names come in pieces.", _named(lambda name: (name[:2], name[2:]))),
    ("names_repeated", "Names come twice.", _named(lambda name: (name, name))),
    ("names_everywhere", "Every piece has the name.", _pieces(_name_everywhere)),
    ("arguments_null", "Arguments are null where there are none yet.", _pieces(_null_arguments)),
    ("arguments_object", "Arguments are an object, whole.", _pieces(_as_object)),
    ("index_in_text", "The index is text.", _pieces(_in_text)),
    ("ids_shared", "Every call whole, all at one index under one id.", _pieces(_one_id)),
    ("calls_repeated", "All calls once more at the end.", _at_the_end(lambda whole: whole.values())),
    (
        "calls_repeated_at_other_indices",
        "All calls once more at the end, at other indices.",
        _at_the_end(_at_other_indices),
    ),
    ("arguments_repeated", "All arguments once more at the end.", _at_the_end(_arguments_again)),
    ("arguments_placeholder", "An empty object before the arguments.", _pieces(_placeholder)),
    ("whole_message", "The whole message once more, beside the last chunk.", _whole_message),
    ("thought_signature", "The first call has a thought signature.", _pieces(_signed)),
    ("function_call", "A `function_call`, as before there were tool calls.", _function_call),
)
