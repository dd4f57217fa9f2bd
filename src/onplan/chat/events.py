"""The chunks of a Chat Completions stream, as types. Unknown fields never fail.

Servers imitate this API more or less: whatever may be null or missing has a default, and where they differ
in names or shapes, all that are known are read. A whole answer (``message`` in place of ``delta``) is read
as one chunk.
"""

from __future__ import annotations

from typing import Any

import msgspec

from onplan.errors import StreamCorruptError

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


class Choice(msgspec.Struct, frozen=True):
    """One of the answers; we ask for one."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    index: int | None = None
    usage: dict[str, Any] | None = None


class Groq(msgspec.Struct, frozen=True):
    """What Groq adds of its own: the usage among it."""

    usage: dict[str, Any] | None = None


class Chunk(msgspec.Struct, frozen=True):
    """One event of the stream. An error may come in place of anything else."""

    choices: list[Choice] | None = None
    id: Any = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    x_groq: Groq | None = None
    error: Any = None
    object: Any = None
    message: Any = None
    code: Any = None
    type: Any = None


_CHUNK = msgspec.json.Decoder(Chunk)
# Bytes that are no UTF-8, and nesting without end, are reported by Python's own errors.
_UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def decode_chunk(payload: bytes) -> Chunk | None:
    """The chunk in ``payload``; None if it is no JSON object at all.

    Raises:
        StreamCorruptError: broken JSON, or a field of another type than it must have. Skipping it could lose
            a part of the answer.
    """
    try:
        return _CHUNK.decode(payload)
    except _UNDECODABLE:
        pass
    if not payload.lstrip().startswith(b"{"):
        return None
    raise StreamCorruptError("An event of the stream is not a valid chunk.")
