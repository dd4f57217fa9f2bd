"""Writes chunks, answers, model lists and errors as a Chat Completions server sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

import msgspec

from onplan.chat.signatures import unsealed
from onplan.errors import (
    InvalidRequestError,
    LimitError,
    NotSignedInError,
    OnplanError,
    PlanNotPermittedError,
    SignInAgainError,
    StreamTruncatedError,
)
from onplan.types import (
    CompletionResponse,
    ContentPart,
    Done,
    FinishReason,
    ModelInfo,
    PartDone,
    Refusal,
    Resumed,
    StreamChunk,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)

Item: TypeAlias = dict[str, Any]

_END = b"data: [DONE]\n\n"


class ChunkEncoder:
    """Encodes one answer as server-sent events: call ``encode`` with each chunk, including ``Done``.

    Args:
        completion_id: the id of the answer.
        model: the model id that the client sees.
        created: Unix seconds.
        include_usage: whether a last chunk has the token counts (``stream_options.include_usage``).
    """

    def __init__(self, completion_id: str, model: str, created: int, *, include_usage: bool = False) -> None:
        self._head = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._include_usage = include_usage
        self._begun = False
        self._positions: dict[str, int] = {}  # of the calls, by their ids
        self._custom: set[str] = set()  # the ids of those of custom tools
        self._said = 0  # how many characters of finished texts were sent
        self._sealed = 0  # how many parts of encrypted reasoning were sent
        self._encode = msgspec.json.Encoder().encode

    def encode(self, chunk: StreamChunk) -> bytes:
        """The events for ``chunk``, as bytes; empty for chunks that have no equivalent in this API.

        Raises:
            StreamTruncatedError: the answer began again; in this API nothing that was sent can be withdrawn.
        """
        if isinstance(chunk, Done):
            return self._last(chunk)
        delta = _DELTAS[type(chunk)](self, chunk)
        return b"" if delta is None else self._beginning() + self._event(_choice(delta))

    def encode_failure(self, error: OnplanError) -> bytes:
        """The event that ends a stream that failed after it had begun."""
        return b"data: %b\n\n" % self._encode(error_body(error))

    def _beginning(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._event(_choice({"role": "assistant", "content": ""}))

    def _last(self, chunk: Done) -> bytes:
        end = _choice({}, finish_reason_of(chunk.response))
        usage = b""
        if self._include_usage:
            usage = self._event({"choices": [], "usage": usage_body(chunk.usage)})
        return self._beginning() + self._event(end) + usage + _END

    def _event(self, fields: Item) -> bytes:
        counts = {"usage": None} if self._include_usage else {}
        return b"data: %b\n\n" % self._encode({**self._head, **counts, **fields})

    # --- the delta for each kind of chunk ------------------------------------------------------------

    def _text(self, chunk: TextDelta) -> Item:
        return {"content": chunk.text}

    def _thinking(self, chunk: ThinkingDelta) -> Item:
        return {"reasoning_content": chunk.text}

    def _call_start(self, chunk: ToolCallStart) -> Item:
        position = self._positions[chunk.id] = len(self._positions)
        self._custom |= {chunk.id} if chunk.is_custom else set()
        call = ToolCall(chunk.id, chunk.name, "", is_custom=chunk.is_custom)
        return {"tool_calls": [{"index": position, **_call(call)}]}

    def _call_delta(self, chunk: ToolCallDelta) -> Item:
        kind, text = ("custom", "input") if chunk.id in self._custom else ("function", "arguments")
        piece = {kind: {text: chunk.arguments_delta}}
        return {"tool_calls": [{"index": self._positions[chunk.id], **piece}]}

    def _call_end(self, chunk: ToolCallEnd) -> None:
        return None

    def _resumed(self, chunk: Resumed) -> NoReturn:
        raise StreamTruncatedError("The answer broke off, and this API cannot withdraw what was sent.")

    def _part_done(self, chunk: PartDone) -> Item | None:
        match chunk.part:
            case Text(text=text, annotations=annotations):
                offset, self._said = self._said, self._said + len(text)
                cited = _cited(annotations, offset)
                return {"annotations": cited} if cited else None
            case Refusal(text=text):
                return {"refusal": text}
            case Thinking(encrypted=str(sealed)):
                self._sealed += 1
                return {"reasoning_details": [_sealed(sealed, self._sealed - 1)]}
            case ToolCall(id=call_id, signature=str(signature)):
                return {"tool_calls": [{"index": self._positions[call_id], **unsealed(signature)}]}
            case _:
                return None


_DELTAS: Mapping[type, Callable[[ChunkEncoder, Any], Item | None]] = {
    TextDelta: ChunkEncoder._text,
    ThinkingDelta: ChunkEncoder._thinking,
    ToolCallStart: ChunkEncoder._call_start,
    ToolCallDelta: ChunkEncoder._call_delta,
    ToolCallEnd: ChunkEncoder._call_end,
    PartDone: ChunkEncoder._part_done,
    Resumed: ChunkEncoder._resumed,
}


def _choice(delta: Item, finish_reason: str | None = None) -> Item:
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}


def _call(call: ToolCall) -> Item:
    if call.is_custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    signed = unsealed(call.signature)
    function = {"name": call.name, "arguments": call.arguments, **signed.pop("function", {})}
    return {"id": call.id, "type": "function", "function": function, **signed}


def _cited(annotations: Iterable[Mapping[str, Any]], offset: int) -> list[Item]:
    """The citations of pages among ``annotations`` of a text that begins at ``offset`` in the message."""
    cited = [each for each in annotations if each.get("type") == "url_citation"]
    return [{"type": "url_citation", "url_citation": _moved(each, offset)} for each in cited]


def _all_cited(parts: Iterable[ContentPart]) -> list[Item]:
    cited: list[Item] = []
    offset = 0
    for part in parts:
        if isinstance(part, Text):
            cited += _cited(part.annotations, offset)
            offset += len(part.text)
    return cited


def _moved(annotation: Mapping[str, Any], offset: int) -> Item:
    places = {name: annotation.get(name) for name in ("start_index", "end_index")}
    moved = {name: place + offset for name, place in places.items() if isinstance(place, int)}
    return {**{name: value for name, value in annotation.items() if name != "type"}, **moved}


def _sealed(encrypted: str, index: int) -> Item:
    """Encrypted reasoning as an entry of ``reasoning_details``, which clients send back in the next turn.

    ``index``: lets clients tell a new entry from a piece of the one before.
    """
    return {"type": "reasoning.encrypted", "data": encrypted, "index": index}


# --- whole answers ----------------------------------------------------------------------------------


def response_body(response: CompletionResponse, completion_id: str, model: str, created: int) -> Item:
    """A whole answer as a ``chat.completion``, for a client that does not stream."""
    parts = response.message.content
    thinking = [part for part in parts if isinstance(part, Thinking)]
    sealed = [part.encrypted for part in thinking if part.encrypted]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    calls = [_call(part) for part in parts if isinstance(part, ToolCall)]
    message: Item = {"role": "assistant", "content": response.text or None, "refusal": refusal or None}
    optional = {
        "annotations": _all_cited(parts),
        "reasoning_content": "".join(part.text for part in thinking),
        "reasoning_details": [_sealed(text, index) for index, text in enumerate(sealed)],
        "tool_calls": calls,
    }
    message |= {name: value for name, value in optional.items() if value}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason_of(response)}
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": usage_body(response.usage),
    }


def finish_reason_of(response: CompletionResponse) -> str:
    """The ``finish_reason``. A refusal has ``stop`` in this API; its ``refusal`` field marks it."""
    refused = any(isinstance(part, Refusal) for part in response.message.content)
    return "stop" if refused else FinishReason(response.finish_reason).value


def usage_body(usage: Usage) -> Item:
    """The token counts as the ``usage`` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def models_body(models: Iterable[ModelInfo]) -> Item:
    """The model list, as ``GET /models`` returns it."""
    data = [{"id": model.id, "object": "model", "created": 0, "owned_by": model.provider} for model in models]
    return {"object": "list", "data": data}


# --- errors -----------------------------------------------------------------------------------------

# By onplan's error code: the type and the code that clients of this API know.
_ERRORS: Mapping[str, tuple[str, str]] = {
    "model_not_available": ("invalid_request_error", "model_not_found"),
    "context_length": ("invalid_request_error", "context_length_exceeded"),
    "content_policy": ("invalid_request_error", "content_policy_violation"),
    "invalid_image": ("invalid_request_error", "invalid_image"),
    # Only by this type does Codex CLI 0.171 explain the limit and stop (November 2026).
    "usage_limit": ("usage_limit_reached", "usage_limit_reached"),
    "not_included": ("insufficient_quota", "usage_not_included"),
    "rate_limit": ("rate_limit_error", "rate_limit_exceeded"),
    "overloaded": ("server_error", "server_is_overloaded"),
}

# What the caller, not the server, has to change.
_CALLERS = (InvalidRequestError, LimitError, NotSignedInError, SignInAgainError, PlanNotPermittedError)


def error_body(error: OnplanError) -> Item:
    """The JSON body of an error response, in the shape that clients of this API read."""
    usual = "invalid_request_error" if isinstance(error, _CALLERS) else "server_error"
    kind, code = _ERRORS.get(error.code, (usual, error.code))
    resets = {} if error.resets_at is None else {"resets_at": int(error.resets_at)}
    told = {"message": f"{error.message} {error.hint}", "type": kind, "param": None, "code": code}
    return {"error": {**told, **resets}}
