"""LangChain's messages as onplan's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from onplan.errors import InvalidRequestError
from onplan.integrations.arguments import several
from onplan.integrations.call_arguments import Said
from onplan.integrations.langchain.content import answered_parts, given_parts
from onplan.integrations.langchain.kept import CUSTOM_INPUT, kept_in, said_of
from onplan.integrations.merged_parts import merged
from onplan.types import ContentPart, Message, Refusal, Role, ToolResult

_Messages = Iterable[Any]


def onplan_messages(messages: _Messages) -> list[Message]:
    """The conversation. Raises InvalidRequestError, which names the place, for what cannot be sent."""
    given = several("messages", messages, "a list of messages")
    return [_message(message, f"messages[{index}]") for index, message in enumerate(given)]


def _message(message: Any, where: str) -> Message:
    match message:
        case AIMessage():
            return Message(Role.ASSISTANT, _answer(message, where))
        case ToolMessage():
            result = given_parts(message.content, where) or ""
            failed = message.status == "error"
            return Message(Role.TOOL, [ToolResult(message.tool_call_id, result, failed)])
        case HumanMessage():
            return Message(Role.USER, given_parts(message.content, where))
        case SystemMessage():
            # langchain-core reads the role "developer" as a system message with this note.
            role = message.additional_kwargs.get("__openai_role__") or Role.SYSTEM
            return Message(role, given_parts(message.content, where))
        case ChatMessage():
            return Message(_role(message.role), given_parts(message.content, where))
    kind = type(message).__name__ if isinstance(message, BaseMessage) else f"a {type(message).__name__}"
    raise InvalidRequestError(
        f"{where} is {kind}, which cannot be sent.",
        hint="Use HumanMessage, AIMessage, SystemMessage and ToolMessage.",
    )


def _role(given: str) -> str:
    return {"human": "user", "ai": "assistant"}.get(given, given)


def _answer(message: Any, where: str) -> list[ContentPart]:
    said = answered_parts(message.content, where)
    refusal = message.additional_kwargs.get("refusal")
    if refusal and not any(isinstance(part, Refusal) for part in said):
        said.append(Refusal(str(refusal)))
    kept = kept_in(message.additional_kwargs)
    return merged(kept, said_of(kept), [*said, *said_calls(message)], CUSTOM_INPUT)


def said_calls(message: Any, where: str = "message") -> list[Said]:
    """The calls of an answer, as it has them now; arguments that were no JSON as text."""
    given = several(f"{where}.tool_calls", message.tool_calls, "a list of calls")
    calls = [Said(_id(call), call["name"], call["args"]) for call in given]
    invalid = [
        Said(_id(call), call.get("name") or "", call.get("args") or "") for call in message.invalid_tool_calls
    ]
    return [*calls, *invalid]


def _id(call: Any) -> str:
    """The id by which a result names the call; a program may have left it out."""
    return call.get("id") or f"call_{call.get('name') or ''}"
