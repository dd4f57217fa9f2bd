"""Makes a conversation one that every server takes, and says what was changed. Pure, whatever the wire.

Models write arguments that are no JSON, and programs are interrupted before a call has its result. Sent as it
is, such a history is refused in every later turn: servers parse the arguments (seen November 2026: vLLM,
Mistral, Ollama, DeepSeek), and want exactly one result for each call (the platform: "No tool output found for
function call …").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from onplan.flow import decode_json
from onplan.types import ContentPart, Image, Message, Role, Text, ToolCall, ToolResult

NO_RESULT = "No result: the call was interrupted."
# The name under which arguments that are no JSON object are sent.
INVALID_ARGUMENTS = "invalid_arguments"


@dataclass(frozen=True, slots=True)
class History:
    """A conversation as it is sent.

    Attributes:
        messages: every call has arguments that are a JSON object, and a result; every result has its call.
        repairs: one sentence for each thing that was changed.
    """

    messages: list[Message]
    repairs: tuple[str, ...] = ()


def repaired(messages: Sequence[Message], *, late_results: bool) -> History:
    """``messages`` with what a server would refuse made valid.

    Arguments that are no JSON object are sent inside one, as text. A call without a result gets one that says
    so. A result without a call becomes words of the user's: without it models call again and again. Calls of
    one message that share an id get ids of their own, and so do their results, in their order.

    Args:
        messages: the conversation.
        late_results: whether a result may come after the model's next message; otherwise it answers none of
            the calls any more.
    """
    if not any(isinstance(part, _PAIRED) for message in messages for part in message.content):
        return History(list(messages))
    repairs: list[str] = []
    messages = _with_distinct_ids(messages, repairs)
    pairing = _Pairing(late_results=late_results)
    for position, message in enumerate(messages):
        pairing.add(position, message)
    pairing.end()
    result: list[Message] = []
    for position, message in enumerate(messages):
        result += _separated(with_valid_calls(message, repairs), pairing.strays.get(position, ()), repairs)
        for call in pairing.unanswered.get(position, ()):
            result.append(Message.tool(call.id, NO_RESULT))
            repairs.append(f"The call {call.id} to {call.name} had no result; one was sent that says so.")
    return History(result, tuple(repairs))


_PAIRED = ToolCall, ToolResult


def _with_distinct_ids(messages: Sequence[Message], repairs: list[str]) -> Sequence[Message]:
    """``messages`` in which no two calls of one message share an id. Adds to ``repairs``.

    The first call of an id keeps it, and has the first result.
    """
    if not any(_shared_ids(message) for message in messages):
        return messages
    result: list[Message] = []
    ids_of_results: dict[str, Iterator[str]] = {}
    for message in messages:
        if message.role is Role.ASSISTANT:
            taken = {call.id for call in message.tool_calls}
            new = {
                old: [old, *_free_ids(old, count - 1, taken)] for old, count in _shared_ids(message).items()
            }
            repairs += [f"Several calls had the id {old}; each was sent with one of its own." for old in new]
            ids_of_calls = {old: iter(ids) for old, ids in new.items()}
            ids_of_results = {old: iter(ids) for old, ids in new.items()}
            parts = (
                [_with_next_id(part, ids_of_calls) for part in message.content] if new else message.content
            )
        else:
            parts = [_with_next_id(part, ids_of_results) for part in message.content]
        result.append(Message(message.role, parts))
    return result


def _shared_ids(message: Message) -> dict[str, int]:
    """The ids that several calls of ``message`` have, and how many."""
    if message.role is not Role.ASSISTANT:
        return {}
    return {id_: count for id_, count in Counter(call.id for call in message.tool_calls).items() if count > 1}


def _free_ids(shared: str, count: int, taken: set[str]) -> list[str]:
    """``count`` ids made of ``shared`` that are not in ``taken``, where they are added."""
    found: list[str] = []
    number = 2
    while len(found) < count:
        if (one := f"{shared}_{number}") not in taken:
            found.append(one)
        number += 1
    taken.update(found)
    return found


def _with_next_id(part: ContentPart, ids: Mapping[str, Iterator[str]]) -> ContentPart:
    """``part`` with the next id of those that stand for its own. More results than calls keep theirs."""
    match part:
        case ToolCall(id=id_) if id_ in ids:
            return msgspec.structs.replace(part, id=next(ids[id_], id_))
        case ToolResult(tool_call_id=id_) if id_ in ids:
            return msgspec.structs.replace(part, tool_call_id=next(ids[id_], id_))
        case _:
            return part


def with_valid_calls(message: Message, repairs: list[str] | None = None) -> Message:
    """``message`` with arguments that are a JSON object in each of its calls. Adds to ``repairs``."""
    invalid = [call for call in message.tool_calls if not _is_object(call.arguments)]
    if not invalid or message.role is not Role.ASSISTANT:
        return message
    if repairs is not None:
        repairs += [
            f"The arguments of the call {call.id} to {call.name} were no JSON object; they went inside one."
            for call in invalid
            if call.arguments.strip()
        ]
    parts = [_valid(part) if isinstance(part, ToolCall) else part for part in message.content]
    return Message(message.role, parts)


def _is_object(arguments: str) -> bool:
    return isinstance(decode_json(arguments.encode(errors="replace")), dict)


def _valid(call: ToolCall) -> ToolCall:
    """``call``; no arguments at all are an empty object."""
    if _is_object(call.arguments):
        return call
    held = {INVALID_ARGUMENTS: call.arguments} if call.arguments.strip() else {}
    return msgspec.structs.replace(call, arguments=msgspec.json.encode(held).decode())


@dataclass
class _Pairing:
    """Which results answer which calls.

    Attributes:
        unanswered: the calls without a result, by the position of their message.
        strays: the places of results without a call in their message, by its position.
    """

    late_results: bool
    unanswered: dict[int, list[ToolCall]] = field(default_factory=dict)
    strays: dict[int, list[int]] = field(default_factory=dict)
    _open: dict[str, list[tuple[int, ToolCall]]] = field(default_factory=dict)
    _called: set[str] = field(default_factory=set)

    def add(self, position: int, message: Message) -> None:
        """One more message. A result answers the last call of its id that has none."""
        if message.role is Role.ASSISTANT:
            if not self.late_results:
                self.end()
            for call in message.tool_calls:
                self._open.setdefault(call.id, []).append((position, call))
                self._called.add(call.id)
            return
        for place, part in enumerate(message.content):
            if not isinstance(part, ToolResult):
                continue
            if waiting := self._open.get(part.tool_call_id):
                waiting.pop()
            elif not (self.late_results and part.tool_call_id in self._called):
                self.strays.setdefault(position, []).append(place)

    def end(self) -> None:
        """The calls that are still open stay without a result."""
        left = sorted(
            (entry for waiting in self._open.values() for entry in waiting), key=lambda entry: entry[0]
        )
        for position, call in left:
            self.unanswered.setdefault(position, []).append(call)
        self._open.clear()


def _separated(message: Message, strays: Container[int], repairs: list[str]) -> Iterable[Message]:
    """``message``, and those of its parts that are no results of a call as words of the user's.

    ``strays``: the places of these parts.
    """
    kept = [part for place, part in enumerate(message.content) if place not in strays]
    if len(kept) == len(message.content):
        return [message]
    words = []
    for place, part in enumerate(message.content):
        if place in strays and isinstance(part, ToolResult):
            words.append(Message.user(*_words(part)))
            repairs.append(f"The result {part.tool_call_id} answers no call; it was sent as text.")
    return [Message(message.role, kept), *words] if kept else words


def _words(result: ToolResult) -> list[Text | Image]:
    content = [Text(result.content)] if isinstance(result.content, str) else result.content
    return [Text(f"Result of the earlier tool call {result.tool_call_id}:"), *content]
