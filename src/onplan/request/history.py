"""Repairs a conversation so that every server accepts it, and lists what was changed.

Models write arguments that are not JSON, and programs are interrupted before a call has its result. Servers
refuse such a history in every later turn: they parse the arguments (vLLM, Mistral, Ollama, DeepSeek; November
2026) and require exactly one result for each call (the platform: "No tool output found for function call …").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from onplan.flow import decode_json
from onplan.request.tool_results import pieces_of
from onplan.types import ContentPart, File, Image, Message, Role, Text, ToolCall, ToolResult

NO_RESULT = "No result: the call was interrupted."
# The field in which arguments that are not a JSON object are sent.
INVALID_ARGUMENTS = "invalid_arguments"
# The field in which the text for a custom tool is sent to a backend that has no such tools.
CUSTOM_INPUT = "input"


class History(msgspec.Struct, frozen=True):
    """A repaired conversation.

    Attributes:
        messages: each function's arguments are a JSON object, each call has a result, each result has a call.
        repairs: one sentence for each change.
    """

    messages: list[Message]
    repairs: tuple[str, ...] = ()


def repaired(messages: Sequence[Message], *, late_results: bool, takes_custom: bool = True) -> History:
    """Repair ``messages`` where a server would refuse them.

    Arguments that are not a JSON object are put into one, as text; the text for a custom tool stays as it is,
    or is put into one, too, where a backend has no such tools. A call without a result gets a result that
    says so. A result without a call becomes a user message: without it, models repeat the call again and
    again. Calls of one message that share an id get different ids, and so do their results, in order.

    Args:
        messages: the conversation.
        late_results: whether a result may come after the next assistant message (Responses API); in Chat
            Completions such a result has no call.
        takes_custom: whether the backend takes calls of custom tools.
    """
    if not any(isinstance(part, _PAIRED) for message in messages for part in message.content):
        return History(list(messages))
    repairs: list[str] = []
    if not takes_custom:
        messages = [_without_custom(message, repairs) for message in messages]
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
    """``messages`` in which the calls of one message have different ids. Adds to ``repairs``.

    The first call with an id keeps it, and gets the first result.
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
            repairs += [f"Several calls had the id {old}; each was sent with its own id." for old in new]
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
    """The ids that several calls of ``message`` share, each with the number of calls."""
    return {id_: count for id_, count in Counter(call.id for call in message.tool_calls).items() if count > 1}


def _free_ids(shared: str, count: int, taken: set[str]) -> list[str]:
    """``count`` new ids made from ``shared``, not in ``taken``; they are added to it."""
    found: list[str] = []
    number = 2
    while len(found) < count:
        if (one := f"{shared}_{number}") not in taken:
            found.append(one)
        number += 1
    taken.update(found)
    return found


def _with_next_id(part: ContentPart, ids: Mapping[str, Iterator[str]]) -> ContentPart:
    """``part`` with the next of the new ids for its id; surplus results keep theirs."""
    match part:
        case ToolCall(id=id_) if id_ in ids:
            return msgspec.structs.replace(part, id=next(ids[id_], id_))
        case ToolResult(tool_call_id=id_) if id_ in ids:
            return msgspec.structs.replace(part, tool_call_id=next(ids[id_], id_))
        case _:
            return part


def _without_custom(message: Message, repairs: list[str]) -> Message:
    """``message`` with calls of functions in place of those of custom tools. Adds to ``repairs``."""
    custom = [call for call in message.tool_calls if call.is_custom]
    if not custom:
        return message
    repairs += [
        f"The call {call.id} to the custom tool {call.name} was sent as a function's." for call in custom
    ]
    return Message(message.role, [_as_function(part) for part in message.content])


def _as_function(part: ContentPart) -> ContentPart:
    if not isinstance(part, ToolCall) or not part.is_custom:
        return part
    arguments = msgspec.json.encode({CUSTOM_INPUT: part.arguments}).decode()
    return msgspec.structs.replace(part, arguments=arguments, is_custom=False)


def with_valid_calls(message: Message, repairs: list[str] | None = None) -> Message:
    """``message`` in which each function's arguments are a JSON object. Adds to ``repairs``."""
    invalid = [call for call in message.tool_calls if not _is_valid(call)]
    if not invalid:
        return message
    if repairs is not None:
        repairs += [
            f"The arguments of call {call.id} to {call.name} were not a JSON object; they were put into one."
            for call in invalid
            if call.arguments.strip()
        ]
    parts = [_valid(part) if isinstance(part, ToolCall) else part for part in message.content]
    return Message(message.role, parts)


def _is_object(arguments: str) -> bool:
    return isinstance(decode_json(arguments.encode(errors="replace")), dict)


def _is_valid(call: ToolCall) -> bool:
    return call.is_custom or _is_object(call.arguments)


def _valid(call: ToolCall) -> ToolCall:
    """``call`` with arguments that are an object; empty arguments become an empty one."""
    if _is_valid(call):
        return call
    held = {INVALID_ARGUMENTS: call.arguments} if call.arguments.strip() else {}
    return msgspec.structs.replace(call, arguments=msgspec.json.encode(held).decode())


@dataclass
class _Pairing:
    """Matches results with calls.

    Attributes:
        late_results: whether a result may come after the next assistant message.
        unanswered: the calls without a result, by the position of their message.
        strays: the places of results without a call within their message, by the message's position.
    """

    late_results: bool
    unanswered: dict[int, list[ToolCall]] = field(default_factory=dict)
    strays: dict[int, list[int]] = field(default_factory=dict)
    _open: dict[str, list[tuple[int, ToolCall]]] = field(default_factory=dict)
    _called: set[str] = field(default_factory=set)

    def add(self, position: int, message: Message) -> None:
        """Add a message. A result answers the latest call with its id that has none."""
        if message.role is Role.ASSISTANT:
            if not self.late_results:
                self.end()
            for call in message.tool_calls:
                self._open.setdefault(call.id, []).append((position, call))
                self._called.add(call.id)
        for place, part in enumerate(message.content):
            if not isinstance(part, ToolResult):
                continue
            if waiting := self._open.get(part.tool_call_id):
                waiting.pop()
            elif not (self.late_results and part.tool_call_id in self._called):
                self.strays.setdefault(position, []).append(place)

    def end(self) -> None:
        """Note that the open calls get no result any more."""
        left = sorted(
            (entry for waiting in self._open.values() for entry in waiting), key=lambda entry: entry[0]
        )
        for position, call in left:
            self.unanswered.setdefault(position, []).append(call)
        self._open.clear()


def _separated(message: Message, strays: Container[int], repairs: list[str]) -> Iterable[Message]:
    """``message`` without its stray results, which follow as user messages.

    ``strays``: the places of these results among its parts.
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


def _words(result: ToolResult) -> list[Text | Image | File]:
    return [Text(f"Result of the earlier tool call {result.tool_call_id}:"), *pieces_of(result)]
