"""Makes LiteLLM's objects of answers: whole ones, and the chunks of streams."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import litellm
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from onplan.dialects.openai_chat.answer import finish_reason_of, response_body, usage_body
from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.dialects.served import reported_parameters
from onplan.types import CompletionResponse, Done, StreamChunk, TextDelta

# LiteLLM's proxy hands headers on that begin so.
_HEADERS_OF_PROVIDERS = "llm_provider-"
_OURS = ("reasoning_details", "annotations")


def fill(given: Any, response: CompletionResponse, model: str, ignored: list[str]) -> Any:
    """``given``, LiteLLM's empty ``ModelResponse``, as the whole answer."""
    body = response_body(response, given.id, model, int(time.time()))
    [choice] = body["choices"]
    facts = _reports(response, ignored)
    given.choices[0].message = litellm.Message(**_sorted({**choice["message"], **facts}))
    given.choices[0].finish_reason = choice["finish_reason"]
    given.model, given.created = response.model or model, body["created"]
    given.usage = litellm.Usage(**body["usage"])
    reported = reported_parameters(ignored, response.emulated_parameters)
    given._hidden_params["additional_headers"] = {
        _HEADERS_OF_PROVIDERS + name: value for name, value in reported.items()
    }
    return given


_REPORTS = ("ignored_parameters", "emulated_parameters")


def _reports(response: CompletionResponse, ignored: list[str]) -> dict[str, Any]:
    """What became of the parameters, for whole answers and streams alike."""
    return dict(zip(_REPORTS, (ignored, list(response.emulated_parameters)), strict=True))


def _sorted(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a message or delta; what LiteLLM has no place for stands where it is kept."""
    others = ("reasoning_details", "refusal", *_REPORTS)
    specific = {name: value for name in others if (value := fields.pop(name, None))}
    if specific:
        fields["provider_specific_fields"] = specific
    return fields


class Chunks:
    """The chunks of one answer, as LiteLLM's streams take them from a provider.

    Args:
        model: as LiteLLM's caller names it.
    """

    def __init__(self, model: str) -> None:
        self._id, self._model, self._created = f"chatcmpl-{secrets.token_hex(12)}", model, int(time.time())
        self._deltas = ChunkEncoder(self._id, model, self._created)
        self._role: str | None = "assistant"  # said once

    def of(self, chunk: StreamChunk, ignored: list[str]) -> Iterator[Any]:
        """LiteLLM's chunks for one of onplan's. Raises StreamTruncatedError as ``ChunkEncoder`` does.

        ``ignored``: at the end, the parameters that were left out.
        """
        if type(chunk) is TextDelta:
            yield self._chunk({"content": chunk.text})
        elif isinstance(chunk, Done):
            if reported := _sorted(_reports(chunk.response, ignored)):
                yield self._chunk(reported)
            # LiteLLM makes a last chunk of its own from the reason, and reads nothing else beside it.
            yield self._chunk({}, usage=litellm.Usage(**usage_body(chunk.usage)))
            yield self._chunk({}, reason=finish_reason_of(chunk.response))
        elif (delta := self._deltas.delta(chunk)) is not None:
            yield self._chunk(_sorted(delta))

    def _chunk(self, delta: dict[str, Any], reason: str | None = None, usage: Any = None) -> Any:
        role, self._role = self._role, None
        choice = StreamingChoices(finish_reason=reason, delta=Delta(role=role, **delta))
        return ModelResponseStream(
            id=self._id, created=self._created, model=self._model, choices=[choice], usage=usage
        )
