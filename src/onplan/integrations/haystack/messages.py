"""Haystack's messages as onplan's, and answers as Haystack's."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from haystack.dataclasses import ChatMessage, ReasoningContent
from haystack.dataclasses import ToolCall as TheirCall

from onplan.errors import InvalidRequestError
from onplan.integrations.answer_facts import facts_of
from onplan.integrations.arguments import named_values, wrong_kind
from onplan.integrations.call_arguments import Said, arguments_of
from onplan.integrations.kept_parts import ENCRYPTED, KEY, kept, restored
from onplan.integrations.merged_parts import SaidPart, is_all_said, merged
from onplan.request.history import INVALID_ARGUMENTS
from onplan.types import (
    CompletionResponse,
    ContentPart,
    File,
    Image,
    Message,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)


def messages_of(given: Iterable[ChatMessage] | str) -> list[Message]:
    """The conversation.

    Raises:
        InvalidRequestError: something in it is no message, or cannot be sent to a model.
    """
    if isinstance(given, str):
        return [Message.user(given)]
    if not isinstance(given, Iterable):
        raise InvalidRequestError(
            f"messages must be a list of ChatMessage, not {type(given).__name__}.",
            hint="Give it a text, or a list of messages.",
        )
    return [_message(message, index) for index, message in enumerate(given)]


def _message(given: ChatMessage, index: int) -> Message:
    if not isinstance(given, ChatMessage):
        raise InvalidRequestError(
            f"messages[{index}] must be a ChatMessage, not {type(given).__name__}.",
            hint="Make it with `ChatMessage.from_user(…)` or the like.",
        )
    written = given.to_dict()
    role, now = Role(written["role"]), list(_said(written["content"]))
    parts = restored(given.meta.get(KEY)) if role is Role.ASSISTANT else []
    return Message(role, merged(parts, _said_of(parts), now, INVALID_ARGUMENTS))


def _said_of(parts: Iterable[ContentPart]) -> list[SaidPart]:
    """What a reply says that was made of ``parts``."""
    return list(_said(_reply(parts, {}).to_dict()["content"]))


def _said(content: Iterable[Mapping[str, Any]]) -> Iterator[SaidPart]:
    """The parts of a message, which Haystack writes in their order."""
    for each in content:
        [(kind, value)] = each.items()
        yield _call(value) if kind == "tool_call" else _part(kind, value)


def _part(kind: str, value: Any) -> ContentPart:
    match kind:
        case "text":
            return Text(value)
        case "image":
            return Image(
                data=_bytes("base64_image", value), mime_type=value["mime_type"], detail=value["detail"]
            )
        case "file":
            return File(
                data=_bytes("base64_data", value),
                mime_type=value["mime_type"],
                filename=value["filename"],
            )
        case "reasoning":
            return Thinking(value["reasoning_text"], named_values("extra", value["extra"]).get(ENCRYPTED))
        case "tool_call_result":
            return _result(value)
        case _:
            raise InvalidRequestError(f"A message holds {kind}, which models on a plan do not take.")


def _bytes(name: str, value: Mapping[str, Any]) -> bytes:
    if not isinstance(encoded := value[name], str):
        raise wrong_kind(name, encoded, "the content in base64, as a string")
    try:
        return b64decode(encoded, validate=True)
    except ValueError:
        raise InvalidRequestError(
            f"{name} is not base64.", hint="Make it with `from_file_path` or `base64.b64encode`."
        ) from None


def _call(value: Mapping[str, Any]) -> Said:
    return Said(value["id"] or value["tool_name"], value["tool_name"], value["arguments"])


def _result(value: Mapping[str, Any]) -> ToolResult:
    result, origin = value["result"], value["origin"]
    content = (list(_said(result)) or "") if isinstance(result, list) else result
    return ToolResult(origin["id"] or origin["tool_name"], content, bool(value["error"]))


def reply_of(answer: CompletionResponse, **meta: Any) -> ChatMessage:
    """A whole answer. All of its parts are kept beside it where Haystack's would lose something of them."""
    parts = answer.message.content
    reply = _reply(parts, {**facts_of(answer), "index": 0, **meta})
    if not is_all_said(parts, _said_of(parts)):
        reply.meta[KEY] = kept(parts)
    return reply


def _reply(parts: Iterable[ContentPart], meta: dict[str, Any]) -> ChatMessage:
    parts = list(parts)
    texts = [part.text for part in parts if isinstance(part, Text | Refusal)]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    return ChatMessage.from_assistant(
        "".join(texts) if texts else None,
        meta=meta,
        reasoning=_reasoning([part for part in parts if isinstance(part, Thinking)]),
        tool_calls=[TheirCall(call.name, arguments_of(call.arguments), call.id) for call in calls],
    )


def _reasoning(thoughts: list[Thinking]) -> ReasoningContent | None:
    if not thoughts:
        return None
    text = "\n\n".join(thought.text for thought in thoughts if thought.text)
    sealed = thoughts[0].encrypted if len(thoughts) == 1 else None
    return ReasoningContent(text, {ENCRYPTED: sealed} if sealed else {})
