"""The chunks of a Chat Completions stream, as types. Unknown fields never fail.

Servers imitate this API more or less: whatever may be null or missing has a default, and where they differ
in names or shapes, all that are known are read. A whole answer (``message`` in place of ``delta``) is read
as one chunk.
"""

from __future__ import annotations

from typing import Any

import msgspec

DONE = b"[DONE]"


class Function(msgspec.Struct, frozen=True, gc=False):
    """A piece of a call: usually the name first, then the arguments bit by bit."""

    name: str | None = None
    arguments: Any = None  # some servers send an object, whole
    extra_content: Any = None
    provider_specific_fields: Any = None
    thought_signature: Any = None


class CallDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call. ``index`` says of which one, if the server says it right."""

    function: Function | None = None
    index: int | None = None
    id: str | None = None
    name: str | None = None  # of the function, where some servers leave the object around it out
    arguments: Any = None
    extra_content: Any = None
    provider_specific_fields: Any = None
    thought_signature: Any = None


class Delta(msgspec.Struct, frozen=True):
    """More of the message, or all of it. Reasoning has as many names as there are servers."""

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


class Choice(msgspec.Struct, frozen=True):
    """One of the answers, of which one was asked for."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    index: int | None = None
    usage: dict[str, Any] | None = None
    text: str | None = None  # in place of a delta, as of the completions of old
    native_finish_reason: Any = None  # OpenRouter: the word of the server behind it
    error: Any = None


class Groq(msgspec.Struct, frozen=True):
    """What Groq adds of its own: the usage among it."""

    usage: dict[str, Any] | None = None
    error: Any = None


class Chunk(msgspec.Struct, frozen=True):
    """One event of the stream. An error may come in place of anything else."""

    choices: list[Choice] | None = None
    id: Any = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    x_groq: Groq | None = None
    error: Any = None
    base_resp: Any = None  # MiniMax: a code and a message
