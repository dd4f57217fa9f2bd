"""Messages, answers and tool calls as JSON, in the form that OpenTelemetry's conventions give them.

Their schemas: gen-ai-input-messages.json and gen-ai-output-messages.json of the conventions. Images and files
are described without their content, and thinking that only the server can read is left out.
"""

from __future__ import annotations

import json
from typing import Any, assert_never

import msgspec

from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    ContentPart,
    File,
    FinishReason,
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

_FINISH_REASONS = {FinishReason.TOOL_CALLS: "tool_call"}
_ROLES = {Role.DEVELOPER: "system"}


def request_contents(request: CompletionRequest) -> dict[str, str]:
    """What was said to the model, and the tools that it was offered."""
    told = {"gen_ai.input.messages": _json([_message(message) for message in request.messages])}
    if request.tools:
        offered = [{"type": "function", "name": getattr(tool, "name", None)} for tool in request.tools]
        told["gen_ai.tool.definitions"] = _json([tool for tool in offered if tool["name"]])
    return told


def response_contents(response: CompletionResponse) -> dict[str, str]:
    """What the model said."""
    reason = _FINISH_REASONS.get(response.finish_reason, str(response.finish_reason))
    return {"gen_ai.output.messages": _json([{**_message(response.message), "finish_reason": reason}])}


def call_contents(call: ToolCall) -> dict[str, str]:
    """What a tool is called with."""
    text = call.arguments if call.is_custom else call.arguments or "{}"
    return {"gen_ai.tool.call.arguments": _printable(text)}


def result_contents(value: object) -> dict[str, str]:
    """What a tool returned, as the model gets it. Raises InvalidRequestError if it cannot be sent."""
    content = ToolResult("", value).content
    text = _printable(content) if isinstance(content, str) else _json([_part(part) for part in content])
    return {"gen_ai.tool.call.result": text}


def _message(message: Message) -> dict[str, Any]:
    role = _ROLES.get(message.role, str(message.role))
    # Some thinking has nothing but what the server can read.
    parts = [part for part in message.content if not (isinstance(part, Thinking) and not part.text)]
    return {"role": role, "parts": [_part(part) for part in parts]}


def _part(part: ContentPart) -> dict[str, Any]:
    told: dict[str, Any]
    match part:
        case Text(text=text):
            told = {"type": "text", "content": text}
        case Thinking(text=text):
            told = {"type": "reasoning", "content": text}
        case Refusal(text=text):
            told = {"type": "refusal", "content": text}
        case ToolCall(id=call_id, name=name):
            told = {"type": "tool_call", "id": call_id, "name": name, "arguments": _value(part)}
        case ToolResult(tool_call_id=call_id, content=content):
            result = content if isinstance(content, str) else [_part(each) for each in content]
            told = {"type": "tool_call_response", "id": call_id, "response": result}
        case HostedToolCall(name=name, fields=fields):
            told = {"type": "server_tool_call", "name": name, "server_tool_call": {**fields, "type": name}}
        case Image() | File():
            told = _attachment(part)
        case _:
            assert_never(part)
    return told


def _attachment(part: Image | File) -> dict[str, Any]:
    """An image or a file without its content."""
    told: dict[str, Any] = {
        "type": "attachment",
        "modality": "image" if isinstance(part, Image) else "document",
        "mime_type": part.mime_type,
        "filename": part.filename if isinstance(part, File) else None,
        "size": None if part.data is None else len(part.data),
    }
    if part.url is not None and part.url[:5].lower() != "data:":
        told |= {"type": "uri", "uri": part.url}
    return {name: value for name, value in told.items() if value is not None}


def _value(call: ToolCall) -> object:
    """The arguments of a call as a JSON value; as text, if the model wrote something else."""
    try:
        return call.parse_arguments()
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return call.arguments


def _json(value: object) -> str:
    return _printable(json.dumps(value, ensure_ascii=False))


def _printable(text: str) -> str:
    """``text`` without halves of characters, which no exporter can send."""
    return text.encode("utf-8", "backslashreplace").decode()
