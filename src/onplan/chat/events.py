"""The chunks of a Chat Completions stream as types. Unknown fields are ignored.

Each field that may be null or missing has a default. Where servers differ in names or shapes, all known ones
are declared (tests/chat/servers has streams of ten servers). A whole answer, with ``message`` in place of
``delta``, is read as one chunk.
"""

from __future__ import annotations

from typing import Any

import msgspec

DONE = b"[DONE]"


class Function(msgspec.Struct, frozen=True, gc=False):
    """A piece of a call's function: usually first the name, then the arguments in pieces."""

    name: str | None = None
    arguments: Any = None  # text; one whole object at Ollama and llama.cpp
    extra_content: Any = None
    provider_specific_fields: Any = None
    thought_signature: Any = None


class Custom(msgspec.Struct, frozen=True, gc=False):
    """A piece of a call of a custom tool: the name, then the text in pieces (openai-openapi issue 576)."""

    name: str | None = None
    input: str | None = None


class CallDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call. ``index`` identifies the call, if the server counts correctly."""

    function: Function | None = None
    index: int | None = None
    id: str | None = None
    name: str | None = None  # of the function, if the object around it is missing
    arguments: Any = None
    extra_content: Any = None
    provider_specific_fields: Any = None
    thought_signature: Any = None
    custom: Custom | None = None


class Delta(msgspec.Struct, frozen=True):
    """A piece of the message, or all of it. Each server has its own field for reasoning."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[CallDelta] | None = None
    function_call: Function | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_text: Any = None
    reasoning_details: list[Any] | None = None
    thinking_blocks: list[Any] | None = None
    reasoning_opaque: Any = None
    extra_content: Any = None
    error: Any = None
    audio: Any = None
    images: Any = None
    annotations: Any = None  # what the text cites: from models that search the web


class Choice(msgspec.Struct, frozen=True):
    """One of the answers; requests ask for one."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    index: int | None = None
    usage: dict[str, Any] | None = None
    text: str | None = None  # in place of a delta, as in the legacy Completions API
    native_finish_reason: Any = None  # OpenRouter: the reason of the provider behind it
    error: Any = None


class Groq(msgspec.Struct, frozen=True):
    """Groq's own fields, among them the usage (tests/chat/servers/groq.sse)."""

    usage: dict[str, Any] | None = None
    error: Any = None


class Chunk(msgspec.Struct, frozen=True):
    """One event of the stream, or an error in its place."""

    choices: list[Choice] | None = None
    id: Any = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    x_groq: Groq | None = None
    error: Any = None
    base_resp: Any = None  # MiniMax: a code and a message
