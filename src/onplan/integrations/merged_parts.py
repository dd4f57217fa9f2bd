"""An answer that goes back: what its message says now, and what was kept beside it.

Programs edit messages: they correct arguments, shorten texts, take calls out. What the message says now
counts. All else stays as it came: sealed reasoning, without which the model begins to think anew after each
tool, calls of hosted tools, phases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import structs

from onplan.errors import InvalidRequestError
from onplan.integrations.call_arguments import Said, arguments_of, is_same, text_in_order
from onplan.types import ContentPart, HostedToolCall, Refusal, Text, Thinking, ToolCall

SaidPart: TypeAlias = ContentPart | Said
"""A part as a framework's message says it."""

_Kind: TypeAlias = Literal["thinking", "speech", "call", "hosted"]


def merged(
    kept: Sequence[ContentPart], before: Iterable[SaidPart], now: Iterable[SaidPart], custom_input: str
) -> list[ContentPart]:
    """The parts to send for a message that says ``now``.

    Args:
        kept: the parts that the answer had; none if nothing was kept.
        before: what the message said then. It has the calls of ``kept``, in their order.
        now: what it says now.
        custom_input: the argument under which the framework has the text for a custom tool.

    Raises:
        InvalidRequestError: the arguments of a call are no JSON.
    """
    then, said = list(before), list(now)
    if not kept:
        return as_parts(said)
    changed: dict[_Kind, list[ContentPart]] = {}
    if _of_kind(then, "thinking") != (thoughts := _of_kind(said, "thinking")):
        changed["thinking"] = thoughts
    if _spoken(then) != _spoken(said):
        changed["speech"] = _with_phase(_of_kind(said, "speech"), kept)
    calls = [part for part in kept if isinstance(part, ToolCall)]
    calls_then, calls_now = _calls_in(then), _calls_in(said)
    found = _matched(calls_then, calls_now)
    left = set(found)
    to_send = [
        _as_call(call) if at is None else _updated(calls[at], calls_then[at], call, custom_input)
        for at, call in zip(found, calls_now, strict=True)
    ]
    gone = {id(call) for at, call in enumerate(calls) if at not in left}
    return _in_places([part for part in kept if id(part) not in gone], changed, to_send)


def is_all_said(parts: Sequence[ContentPart], said: Iterable[SaidPart]) -> bool:
    """Whether ``parts`` come back from a message that says ``said``, so that nothing need be kept of them."""
    try:
        return as_parts(said) == parts
    except InvalidRequestError:  # arguments that are nested more deeply than can be written
        return False


def as_parts(said: Iterable[SaidPart]) -> list[ContentPart]:
    """The parts of a message beside which nothing was kept.

    Raises:
        InvalidRequestError: the arguments of a call are no JSON.
    """
    return [_as_call(part) if isinstance(part, Said) else part for part in said]


def _as_call(said: Said) -> ToolCall:
    return ToolCall(said.id, said.name, said.text())


# --- calls ------------------------------------------------------------------------------------------


def _calls_in(parts: Iterable[SaidPart]) -> list[Said]:
    return [part for part in parts if isinstance(part, Said)]


def _matched(then: Sequence[Said], now: Sequence[Said]) -> list[int | None]:
    """For each call the index of what it was: that with its id, else one that says the same by another id."""
    free = set(range(len(then)))
    found: list[int | None] = [None] * len(now)
    for keys_of in (_by_id, _by_what_it_says):
        places: dict[object, list[int]] = {}
        for index in sorted(free, reverse=True):
            for key in keys_of(then[index]):
                places.setdefault(key, []).append(index)
        for at, call in enumerate(now):
            if found[at] is None:
                found[at] = _taken([places.get(key, []) for key in keys_of(call)], free)
    return found


def _taken(candidates: Iterable[list[int]], free: set[int]) -> int | None:
    """The first of the candidates that is free, and now is not. Each list is in falling order."""
    for indexes in candidates:
        while indexes:
            if (index := indexes.pop()) in free:
                free.remove(index)
                return index
    return None


def _by_id(call: Said) -> list[object]:
    return [call.id]


def _by_what_it_says(call: Said) -> list[object]:
    read = [arguments_of(call.arguments)] if isinstance(call.arguments, str) else []
    texts = map(text_in_order, [call.arguments, *read])
    return [(call.name, text) for text in texts if text is not None]


def _has_same_arguments(then: object, now: object) -> bool:
    if isinstance(then, str) and isinstance(now, dict):  # read by the program
        return is_same(arguments_of(then), now)
    return is_same(then, now)


def _updated(kept: ToolCall, then: Said, now: Said, custom_input: str) -> ToolCall:
    """``kept`` with the id and name of ``now``, and with its arguments if they were changed."""
    if _has_same_arguments(then.arguments, now.arguments):
        arguments = kept.arguments
    elif kept.is_custom and _is_text_alone(now.arguments, custom_input):
        arguments = now.arguments[custom_input]
    else:
        arguments = now.text()
    return structs.replace(kept, id=now.id, name=now.name, arguments=arguments)


def _is_text_alone(arguments: object, name: str) -> bool:
    return isinstance(arguments, dict) and arguments.keys() == {name} and isinstance(arguments[name], str)


# --- all else ---------------------------------------------------------------------------------------


def _kind(part: SaidPart) -> _Kind:
    match part:
        case Thinking():
            return "thinking"
        case ToolCall() | Said():
            return "call"
        case HostedToolCall():
            return "hosted"
        case _:
            return "speech"


def _of_kind(parts: Iterable[SaidPart], kind: _Kind) -> list[ContentPart]:
    return [part for part in parts if not isinstance(part, Said) and _kind(part) == kind]


def _spoken(parts: Iterable[SaidPart]) -> tuple[str, str, list[ContentPart]]:
    """The text, the refusal, and what else is said. A framework may have one text for several."""
    speech = _of_kind(parts, "speech")
    text = "".join(part.text for part in speech if isinstance(part, Text))
    refusal = "".join(part.text for part in speech if isinstance(part, Refusal))
    return text, refusal, [part for part in speech if not isinstance(part, Text | Refusal)]


def _with_phase(speech: list[ContentPart], kept: Iterable[ContentPart]) -> list[ContentPart]:
    """``speech`` in the phase of the kept texts, if they had one; their annotations count places in them."""
    phases = {part.phase for part in kept if isinstance(part, Text)}
    if len(phases) != 1:
        return speech
    [phase] = phases
    return [Text(part.text, phase) if isinstance(part, Text) else part for part in speech]


def _in_places(
    kept: Iterable[ContentPart], changed: dict[_Kind, list[ContentPart]], calls: list[ToolCall]
) -> list[ContentPart]:
    """The parts in the order of ``kept``; what was changed stands where the first part of its kind stood."""
    parts: list[ContentPart] = []
    left, pending = list(calls), dict(changed)
    for part in kept:
        kind = _kind(part)
        if kind == "call":
            parts.append(left.pop(0))
        elif kind in changed:
            parts += pending.pop(kind, [])
        else:
            parts.append(part)
    first_call = next((at for at, part in enumerate(parts) if isinstance(part, ToolCall)), len(parts))
    parts[first_call:first_call] = pending.pop("speech", [])
    return [*pending.pop("thinking", []), *parts, *left]
