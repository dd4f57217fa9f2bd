"""Converts messages to the ``messages`` of a Chat Completions request.

Tool results must follow their calls directly, and hold text only. So other messages before the model's next
turn are moved behind the results, and images and files from tools are sent in a user message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from onplan.backends import Backend
from onplan.chat.signatures import unsealed
from onplan.chat.thinking import fields_of
from onplan.errors import InvalidRequestError
from onplan.request.data_url import data_url
from onplan.request.tool_results import pieces_of
from onplan.types import (
    ContentPart,
    File,
    HostedToolCall,
    Image,
    Message,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

Item: TypeAlias = dict[str, Any]

_HOLDS: Mapping[Role, tuple[type, ...]] = {
    Role.SYSTEM: (Text,),
    Role.DEVELOPER: (Text,),
    Role.USER: (Text, Image, File, ToolResult),
    # A hosted tool's call has no place in this API: it is not sent, as earlier thinking is not.
    Role.ASSISTANT: (Text, Refusal, ToolCall, HostedToolCall, Thinking),
    Role.TOOL: (ToolResult,),
}


def wire_messages(messages: Iterable[Message], backend: Backend) -> list[Item]:
    """The ``messages`` of a request.

    Args:
        messages: a conversation in which each tool result answers a call of the assistant message before it,
            as ``history.repaired`` gives it.
        backend: the row of the backend.

    Raises:
        InvalidRequestError: a message holds a part that its role does not allow.
    """
    conversation = _Conversation()
    for message in messages:
        for part in message.content:
            if not isinstance(part, _HOLDS[message.role]):
                raise InvalidRequestError(
                    f"A message of role {message.role} cannot hold a {part.type} part in Chat Completions."
                )
        conversation.add(message, backend)
    return conversation.flush()


class _Conversation:
    """The messages so far, and those that wait until the calls are answered."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._attachments: list[Item] = []
        self._waiting: list[Item] = []

    def add(self, message: Message, backend: Backend) -> None:
        """Add a message."""
        if message.role is Role.ASSISTANT:
            self.flush()
            self._items += _assistant_message(message, backend)
            return
        for part in message.content:
            if isinstance(part, ToolResult):
                self._items.append(_tool_message(part))
                self._attachments += _attachments(part)
        self._waiting += _plain_message(message, backend)

    def flush(self) -> list[Item]:
        """Add what waits; returns all messages."""
        if self._attachments:
            self._items.append({"role": "user", "content": self._attachments})
        self._items += self._waiting
        self._attachments, self._waiting = [], []
        return self._items


def _plain_message(message: Message, backend: Backend) -> Iterable[Item]:
    roles = {Role.SYSTEM: backend.system_role, Role.DEVELOPER: backend.developer_role}
    content = [_content(part) for part in message.content if not isinstance(part, ToolResult)]
    if content:
        is_users = message.role is Role.USER
        role, said = (
            roles.get(message.role, message.role.value),
            _short(content) if is_users else _text(content),
        )
        yield {"role": role, "content": said}


def _assistant_message(message: Message, backend: Backend) -> Iterable[Item]:
    text = message.text if any(isinstance(part, Text) for part in message.content) else None
    refusal = "".join(part.text for part in message.content if isinstance(part, Refusal))
    calls = [_tool_call(part, backend) for part in message.tool_calls]
    thinking = [part for part in message.content if isinstance(part, Thinking)]
    item: Item = {"role": "assistant", "content": text}
    if refusal:
        item["refusal"] = refusal
    if calls:
        item["tool_calls"] = calls
    if len(item) > 2 or text is not None:  # a message with thinking alone is not sent
        yield {**item, **(fields_of(thinking) if backend.replays_thinking else {})}


def _short(content: list[Item]) -> str | list[Item]:
    """A single text as a string, which every server accepts; else the list of parts."""
    return content[0]["text"] if [part["type"] for part in content] == ["text"] else content


def _text(content: list[Item]) -> str:
    """The texts as one string, each on its own line.

    For roles other than ``user`` many servers accept only a string (seen November 2026: Groq, "value must
    be a string"; DeepSeek).
    """
    return "\n".join(part["text"] for part in content)


def _tool_call(part: ToolCall, backend: Backend) -> Item:
    if part.is_custom:
        return {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": part.arguments}}
    function = {"name": part.name, "arguments": part.arguments}
    signed = unsealed(part.signature) if backend.replays_thinking else {}
    function |= signed.pop("function", {})
    return {"id": part.id, "type": "function", "function": function, **signed}


def _tool_message(result: ToolResult) -> Item:
    pieces = pieces_of(result)
    texts = [_content(piece) for piece in pieces if isinstance(piece, Text)]
    content = _text(texts) if texts else "The result is below."
    return {"role": "tool", "tool_call_id": result.tool_call_id, "content": content}


def _attachments(result: ToolResult) -> list[Item]:
    """What a tool message cannot hold, each behind a text that says where it is from."""
    items: list[Item] = []
    for piece in pieces_of(result):
        if not isinstance(piece, Text):
            label = f"{type(piece).__name__} from the tool call {result.tool_call_id}:"
            items += [{"type": "text", "text": label}, _content(piece)]
    return items


def _content(part: ContentPart) -> Item:
    """One content part as its JSON object."""
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image():
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": part.url or data_url(part), **detail}}
        case File(url=None):
            name = {"filename": part.filename or "file"}
            data = data_url(part)
            return {"type": "file", "file": {**name, "file_data": data}}
        case File():
            raise InvalidRequestError(
                "Chat Completions takes no file by its URL.",
                hint='Give its path or data, or use `api="responses"` where the server speaks that.',
            )
        case _:
            raise InvalidRequestError(f"A {part.type} part cannot stand inside a message's content.")
