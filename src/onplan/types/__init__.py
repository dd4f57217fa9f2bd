"""The vocabulary: what a program says to a provider and what it gets back, whatever the API.

Every value is a ``msgspec.Struct``: ``msgspec.json.encode`` writes its JSON form, ``msgspec.json.decode``
reads it. Content parts and chunks have a ``type``; enumerations equal their strings.
"""

from __future__ import annotations

from onplan.types.answer import (
    CompletionResponse,
    Done,
    FinishReason,
    JSONReader,
    PartDone,
    Resumed,
    StreamChunk,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    output_of,
    read_by,
)
from onplan.types.citations import Citation, SearchAction
from onplan.types.credentials import APIKey, Credential, OAuthCredentials, Registration
from onplan.types.dicts import MessageLike, Prompt
from onplan.types.limits import Credits, Limits, Meter, SpendingLimit, Window
from onplan.types.message import Message, Role
from onplan.types.parts import (
    IMAGE_GENERATION,
    WEB_SEARCH,
    Compaction,
    ContentPart,
    File,
    HostedToolCall,
    Image,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from onplan.types.provider import ModelInfo, Provider
from onplan.types.request import CompletionRequest, ResponseFormat
from onplan.types.request_fields import (
    AnswerFields,
    FieldsWithoutFormat,
    RequestDefaults,
    RequestFields,
    as_request,
)
from onplan.types.tools import CustomTool, Grammar, HostedTool, Tool, ToolChoice, ToolDefinition
from onplan.types.web_search import Location, web_search

__all__ = [
    "IMAGE_GENERATION",
    "WEB_SEARCH",
    "APIKey",
    "AnswerFields",
    "Citation",
    "Compaction",
    "CompletionRequest",
    "CompletionResponse",
    "ContentPart",
    "Credential",
    "Credits",
    "CustomTool",
    "Done",
    "FieldsWithoutFormat",
    "File",
    "FinishReason",
    "Grammar",
    "HostedTool",
    "HostedToolCall",
    "Image",
    "JSONReader",
    "Limits",
    "Location",
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
    "ResponseFormat",
    "Resumed",
    "Role",
    "SearchAction",
    "SpendingLimit",
    "StreamChunk",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "Tool",
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
    "output_of",
    "read_by",
    "web_search",
]
