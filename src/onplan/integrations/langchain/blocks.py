"""``content_blocks`` of onplan's messages: what LangChain has standard blocks for beyond text and calls.

Citations, searches, images and refusals are in the kept parts. LangChain asks here, by the message's
``model_provider``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.messages.block_translators import register_translator

from onplan.integrations.call_arguments import is_same
from onplan.integrations.langchain.answers import PROVIDER
from onplan.integrations.langchain.kept import arguments_of, calls_of, kept_in, said_of, text_of
from onplan.integrations.langchain.messages import said_calls
from onplan.types import (
    IMAGE_GENERATION,
    ContentPart,
    HostedToolCall,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)

Block: TypeAlias = dict[str, Any]


def register() -> None:
    """Let LangChain ask here."""
    register_translator(PROVIDER, blocks_of, blocks_of_chunk)


def blocks_of(message: Any) -> list[Any]:
    """The blocks of a whole answer.

    Raises NotImplementedError where LangChain's own reading is right: nothing was kept, or the message no
    longer says the same.
    """
    parts = kept_in(message.additional_kwargs)
    if not parts or not isinstance(message.content, str) or not _says(message, parts):
        raise NotImplementedError
    return [block for part in parts for block in _blocks(part)]


def blocks_of_chunk(chunk: Any) -> list[Any]:
    """The blocks of one chunk, or of several that were added."""
    parts = kept_in(chunk.additional_kwargs)
    if not parts or not isinstance(chunk.content, str):
        raise NotImplementedError
    if _says(chunk, parts):
        return blocks_of(chunk)
    if chunk.content or chunk.tool_call_chunks:
        raise NotImplementedError
    return list(_late_blocks(parts))  # the last chunk alone


def _says(message: Any, parts: Sequence[ContentPart]) -> bool:
    thinking = "\n\n".join(part.text for part in parts if isinstance(part, Thinking) and part.text)
    kept = sorted(said_of(calls_of(parts)), key=_id)
    now = sorted(said_calls(message), key=_id)
    return (
        message.content == text_of(parts)
        and len(kept) == len(now)
        and all(map(is_same, kept, now))
        and message.additional_kwargs.get("reasoning_content", "") == thinking
    )


def _id(call: Any) -> str:
    return str(call.id)


def _blocks(part: ContentPart) -> Iterator[Block]:
    match part:
        case Text(text=text, annotations=annotations):
            cited = [_citation(annotation, text) for annotation in annotations]
            yield {"type": "text", "text": text, **({"annotations": cited} if cited else {})}
        case Thinking(text=text) if text:
            yield {"type": "reasoning", "reasoning": text}
        case Refusal(text=text):
            yield {"type": "refusal", "refusal": text}
        case ToolCall():
            yield _call(part)
        case HostedToolCall():
            yield from _hosted(part)


def _late_blocks(parts: Sequence[ContentPart]) -> Iterator[Block]:
    """What no earlier chunk has said: those had the texts as one, so citations count from its beginning."""
    said, cited = "", []
    for part in parts:
        if isinstance(part, Text):
            cited += [_citation(annotation, part.text, len(said)) for annotation in part.annotations]
            said += part.text
    if cited:
        yield {"type": "text", "text": "", "annotations": cited}
    for part in parts:
        if isinstance(part, Refusal | HostedToolCall):
            yield from _blocks(part)


def _call(part: ToolCall) -> Block:
    named: Block = {"id": part.id, "name": part.name}
    try:
        return {"type": "tool_call", **named, "args": arguments_of(part)}
    except ValueError as error:
        return {"type": "invalid_tool_call", **named, "args": part.arguments, "error": str(error)}


def _citation(annotation: Mapping[str, Any], text: str, begins_at: int = 0) -> Block:
    if annotation.get("type") != "url_citation":
        return {"type": "non_standard_annotation", "value": dict(annotation)}
    start, end = annotation.get("start_index"), annotation.get("end_index")
    block: Block = {"type": "citation", "url": annotation.get("url"), "title": annotation.get("title")}
    if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end <= len(text):
        cited = text[start:end]
        block |= {"start_index": begins_at + start, "end_index": begins_at + end, "cited_text": cited}
    return {name: value for name, value in block.items() if value is not None}


def _hosted(part: HostedToolCall) -> Iterator[Block]:
    id_ = str(part.fields.get("id") or "")
    if part.name == IMAGE_GENERATION and isinstance(result := part.fields.get("result"), str):
        kind = part.fields.get("output_format") or "png"
        yield {"type": "image", "id": id_, "base64": result, "mime_type": f"image/{kind}"}
        return
    given = part.fields.get("action")
    action = dict(given) if isinstance(given, Mapping) else {}
    sources = action.pop("sources", None)
    yield {"type": "server_tool_call", "id": id_, "name": part.name, "args": action}
    found: Block = {"output": sources} if sources else {}
    status = "error" if part.fields.get("status") == "failed" else "success"
    yield {"type": "server_tool_result", "tool_call_id": id_, "status": status, **found}
