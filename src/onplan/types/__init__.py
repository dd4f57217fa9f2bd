"""The vocabulary: what a program says to a provider and what it gets back, whatever the API.

Every value is a ``msgspec.Struct``: ``msgspec.json.encode`` writes its JSON form, ``msgspec.json.decode``
reads it. Content parts and chunks have a ``type``; enumerations equal their strings.
"""

from __future__ import annotations

from onplan.types.answer import (
    CompletionResponse,
    Done,
    FinishReason,
    PartDone,
    Resumed,
    StreamChunk,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from onplan.types.credentials import APIKey, Credential, OAuthCredentials, Registration
from onplan.types.dicts import MessageLike, Prompt
from onplan.types.limits import Credits, Limits, Meter, SpendingLimit, Window
from onplan.types.message import (
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
from onplan.types.provider import ModelInfo, Provider
from onplan.types.request import CompletionRequest, ToolChoice, ToolDefinition
from onplan.types.request_fields import RequestDefaults, RequestFields, as_request

__all__ = [
    "APIKey",
    "CompletionRequest",
    "CompletionResponse",
    "ContentPart",
    "Credential",
    "Credits",
    "Done",
    "File",
    "FinishReason",
    "Image",
    "Limits",
    "Message",
    "MessageLike",
    "Meter",
    "ModelInfo",
    "OAuthCredentials",
    "PartDone",
    "Prompt",
    "Provider",
    "Refusal",
    "Registration",
    "RequestDefaults",
    "RequestFields",
    "Resumed",
    "Role",
    "SpendingLimit",
    "StreamChunk",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "ToolChoice",
    "ToolDefinition",
    "ToolResult",
    "Usage",
    "Window",
    "as_request",
]
