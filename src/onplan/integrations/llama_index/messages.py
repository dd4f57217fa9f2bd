"""LlamaIndex's messages and their blocks as onplan's, and answers as LlamaIndex's."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from onplan.errors import InvalidRequestError
from onplan.integrations.answer_facts import facts_of
from onplan.integrations.arguments import named_values, wrong_kind
from onplan.integrations.call_arguments import Said
from onplan.integrations.kept_parts import ENCRYPTED, KEY, kept, restored
from onplan.integrations.merged_parts import SaidPart, as_parts, is_all_said, merged
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
)

_ROLES = {
    MessageRole.SYSTEM: Role.SYSTEM,
    MessageRole.DEVELOPER: Role.DEVELOPER,
    MessageRole.USER: Role.USER,
    MessageRole.ASSISTANT: Role.ASSISTANT,
    MessageRole.CHATBOT: Role.ASSISTANT,
    MessageRole.MODEL: Role.ASSISTANT,
    MessageRole.TOOL: Role.TOOL,
    MessageRole.FUNCTION: Role.TOOL,
}


def messages_of(given: Iterable[ChatMessage]) -> list[Message]:
    """The conversation. Raises InvalidRequestError for a block that models on a plan do not take."""
    return [_message(message) for message in given]


def _message(given: ChatMessage) -> Message:
    role = _ROLES[given.role]
    extra = named_values("additional_kwargs", given.additional_kwargs)
    if role is Role.TOOL:
        return Message.tool(_call_id(extra), list(_parts(given.blocks)) or "")
    if role is Role.ASSISTANT:
        return Message(role, _assistant_parts(given, extra))
    return Message(role, as_parts(_parts(given.blocks)))


def _call_id(extra: Mapping[str, Any]) -> str:
    found = extra.get("tool_call_id")
    if not isinstance(found, str):
        raise InvalidRequestError(
            "A tool's message has no tool_call_id.",
            hint='Give it `additional_kwargs={"tool_call_id": …}`, the id of the call that it answers.',
        )
    return found


def _assistant_parts(given: ChatMessage, extra: Mapping[str, Any]) -> list[ContentPart]:
    """The parts of an answer, as they came where the message was not changed since."""
    now = list(_parts(given.blocks))
    if KEY not in extra and not any(isinstance(part, Said) for part in now):
        now += _older_calls(extra.get("tool_calls"))
    parts = restored(extra.get(KEY))
    return merged(parts, _parts(blocks_of(parts)), now, INVALID_ARGUMENTS)


def _older_calls(given: Any) -> Iterator[Said]:
    """Calls beside the blocks, where classes for OpenAI's API have put them."""
    for call in given if isinstance(given, list) else ():
        item = call.model_dump() if hasattr(call, "model_dump") else call
        function = item.get("function") if isinstance(item, Mapping) else None
        if isinstance(function, Mapping):
            yield Said(str(item.get("id")), str(function.get("name")), function.get("arguments") or "{}")


def _parts(blocks: Iterable[Any]) -> Iterator[SaidPart]:
    for block in blocks:
        yield from _part(block)


def _part(block: Any) -> Iterator[SaidPart]:
    match block.block_type:
        case "text":
            if block.text:
                yield Text(block.text)
        case "image":
            yield _image(block)
        case "document":
            yield _file(block)
        case "thinking":
            yield Thinking(block.content or "", block.additional_information.get(ENCRYPTED))
        case "tool_call":
            yield Said(block.tool_call_id or block.tool_name, block.tool_name, block.tool_kwargs)
        case "cache":  # the backend finds by itself what is in its cache
            pass
        case "citable":
            yield from _parts(block.content)
        case "citation":
            yield from _part(block.cited_content)
        case kind:
            raise InvalidRequestError(
                f"A message has a block of the type {kind}, which models on a plan do not take.",
                hint="Give them text, images and documents.",
            )


def _image(block: ImageBlock) -> Image:
    if block.url is not None:
        return Image(url=str(block.url), detail=block.detail)
    if block.path is not None:
        return Image(path=_path(block.path), detail=block.detail)
    data = _bytes("image", block.image, block.resolve_image)
    return Image(data=data, mime_type=block.image_mimetype, detail=block.detail)


def _file(block: DocumentBlock) -> File:
    kind, name = block.document_mimetype, block.title
    if block.url is not None:
        return File(url=str(block.url), mime_type=kind, filename=name)
    if block.path is not None:
        path = _path(block.path)
        return File(path=path, mime_type=kind, filename=os.path.basename(path))  # noqa: PTH119 - no disk here
    if kind == "application/pdf" and name and not name.endswith(".pdf"):
        name += ".pdf"
    return File(data=_bytes("data", block.data, block.resolve_document), mime_type=kind, filename=name)


def _path(given: Any) -> str:
    if not isinstance(given, str | os.PathLike):
        raise wrong_kind("path", given, "a path")
    return os.fspath(given)


def _bytes(name: str, given: Any, resolve: Any) -> bytes:
    """The content of a block, which holds it in base64, or as an open file."""
    if isinstance(given, bytes):
        try:
            return b64decode(given, validate=True)
        except ValueError:
            return given
    if given is None:
        raise InvalidRequestError(
            f"An image or document block is empty: {name} is None.", hint="Give it a url, a path or bytes."
        )
    if not isinstance(given, str) and not hasattr(given, "read"):
        raise wrong_kind(name, given, "bytes, or an open file")
    content: bytes = resolve().read()
    return content


def blocks_of(parts: Iterable[ContentPart]) -> list[Any]:
    """The blocks of an answer. Texts in a row are one, as ``message.content`` joins blocks by lines."""
    blocks: list[Any] = []
    for part in parts:
        match part:
            case Text() | Refusal():
                if blocks and isinstance(blocks[-1], TextBlock):
                    blocks[-1].text += part.text
                else:
                    blocks.append(TextBlock(text=part.text))
            case Thinking():
                sealed = {ENCRYPTED: part.encrypted} if part.encrypted else {}
                blocks.append(ThinkingBlock(content=part.text or None, additional_information=sealed))
            case ToolCall():
                blocks.append(call_block(part.id, part.name, part.arguments))
    return blocks


def call_block(call_id: str, name: str, arguments: str) -> ToolCallBlock:
    """A call, with its arguments as the text that the model wrote."""
    return ToolCallBlock(tool_call_id=call_id, tool_name=name, tool_kwargs=arguments)


def beside(call: ToolCallBlock) -> dict[str, Any]:
    """A call as it stands beside the blocks, in ``additional_kwargs["tool_calls"]``."""
    function = {"name": call.tool_name, "arguments": call.tool_kwargs}
    return {"id": call.tool_call_id, "type": "function", "function": function}


def growing_message(blocks: list[Any], calls: list[dict[str, Any]]) -> ChatMessage:
    """An answer's message with the blocks and calls so far.

    Not validated: that would look at all blocks again for each piece that arrives.
    """
    extra = {"tool_calls": calls} if calls else {}
    return ChatMessage.model_construct(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=extra)


def _answer_message(blocks: list[Any], kept_parts: list[dict[str, Any]]) -> ChatMessage:
    """A whole answer's message. Calls stand beside the blocks, too: streams of objects look there.

    That something is kept, if only an empty list, says that they are those of the blocks.
    """
    extra: dict[str, Any] = {KEY: kept_parts} if kept_parts else {}
    if calls := [beside(block) for block in blocks if isinstance(block, ToolCallBlock)]:
        extra |= {"tool_calls": calls, KEY: kept_parts}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=extra)


def response_of(answer: CompletionResponse, delta: str | None = None) -> ChatResponse:
    """A whole answer."""
    parts = answer.message.content
    blocks = blocks_of(parts)
    message = _answer_message(blocks, [] if is_all_said(parts, _parts(blocks)) else kept(parts))
    raw = facts_of(answer)
    return ChatResponse(message=message, raw=raw, delta=delta, additional_kwargs=counts_of(answer))


def counts_of(answer: CompletionResponse) -> dict[str, Any]:
    """The tokens, where classes of LlamaIndex have them."""
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
