"""An answer of onplan, chunk by chunk, as the events of ``llm``, and as what it logs of a whole one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import llm
import msgspec
from llm.parts import StreamEvent

import onplan
from onplan.integrations.llm.kept import metadata_of, parsed
from onplan.structured.output_format import output_format
from onplan.structured.references import WRAPPED
from onplan.types import (
    ContentPart,
    Done,
    FinishReason,
    HostedToolCall,
    PartDone,
    Refusal,
    StreamChunk,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
)


class Events:
    """Turns chunks into events. Each part has an index of its own, so that no two are joined by ``llm``.

    Args:
        response: the ``llm.Response`` that takes the calls, the usage and what is logged.

    Attributes:
        is_line_open: whether the text so far ends within a line.
    """

    def __init__(self, response: Any) -> None:
        self._response = response
        schema = response.prompt.schema
        self._is_wrapped = bool(schema) and output_format(schema).wrapped
        self._last_index = -1
        self.is_line_open = False
        # Parts that are not finished, by "text", "reasoning" or the id of a call: index, and text so far.
        self._open: dict[str, tuple[int, str]] = {}

    def of(self, chunk: StreamChunk) -> Iterator[StreamEvent]:
        """The events of one chunk; at the last one the response is told what else there is to know."""
        match chunk:
            case TextDelta(text=text) if not self._is_wrapped:
                yield self._more("text", text)
            case ThinkingDelta(text=text):
                yield self._more("reasoning", text)
            case ToolCallStart(id=call_id, name=name):
                yield self._more("tool_call_name", name, call_id)
            case ToolCallDelta(id=call_id, arguments_delta=text):
                yield self._more("tool_call_args", text, call_id)
            case PartDone(part=part):
                yield from self._finished(part)
            case Done(response=whole):
                tell(self._response, whole)

    def _more(self, kind: str, text: str, call_id: str | None = None, **facts: Any) -> StreamEvent:
        key = call_id or kind
        if kind == "text" and text:
            self.is_line_open = not text.endswith("\n")
        index, said = self._open.get(key, (None, ""))
        if index is None:
            self._last_index = index = self._last_index + 1
        self._open[key] = (index, said if kind == "tool_call_name" else said + text)
        return StreamEvent(kind, text, part_index=index, tool_call_id=call_id, **facts)

    def _rest(self, kind: str, text: str, call_id: str | None = None, **facts: Any) -> StreamEvent:
        """What of the finished part's ``text`` has not been said yet, with what is kept of the part."""
        _, said = self._open.get(call_id or kind, (None, ""))
        rest = text[len(said) :] if text.startswith(said) else ""
        event = self._more(kind, rest, call_id, **facts)
        del self._open[call_id or kind]
        return event

    def _finished(self, part: ContentPart) -> Iterator[StreamEvent]:
        kept = metadata_of(part)
        match part:
            case Text(text=text) | Refusal(text=text):
                yield self._rest("text", self._unwrapped(text), provider_metadata=kept)
            case Thinking(text=text):
                yield self._rest("reasoning", text, provider_metadata=kept)
            case ToolCall(id=call_id, name=name, arguments=arguments):
                if call_id not in self._open:
                    yield self._more("tool_call_name", name, call_id)
                yield self._rest("tool_call_args", arguments, call_id, provider_metadata=kept)
                self._response.add_tool_call(llm.ToolCall(name, parsed(arguments), call_id))
            case HostedToolCall(name=name, fields=fields):
                yield from self._hosted(name, fields, kept)

    def _unwrapped(self, text: str) -> str:
        """The JSON that the schema describes; if that is no object, the model writes it inside of one."""
        try:
            value = json.loads(text) if self._is_wrapped else None
        except ValueError:
            value = None
        return json.dumps(value[WRAPPED], ensure_ascii=False) if value and WRAPPED in value else text

    def _hosted(self, name: str, fields: dict[str, Any], kept: Any) -> Iterator[StreamEvent]:
        """A call that the backend has carried out itself: logged, and never carried out by ``llm``."""
        call_id = str(fields.get("id") or f"{name}_{self._last_index}")
        action = msgspec.json.encode(fields.get("action") or {}).decode()
        yield self._more("tool_call_name", name, call_id, server_executed=True)
        yield self._rest("tool_call_args", action, call_id, server_executed=True, provider_metadata=kept)
        results = fields.get("results") or fields.get("status") or "completed"
        told = results if isinstance(results, str) else msgspec.json.encode(results).decode()
        self._last_index += 1
        yield StreamEvent(
            "tool_result",
            told,
            part_index=self._last_index,
            tool_call_id=call_id,
            tool_name=name,
            server_executed=True,
        )


def tell(response: Any, whole: onplan.CompletionResponse) -> None:
    """Tell ``response`` what the whole answer cost, who gave it, and what became of the request.

    Raises:
        OutputRefusedError: a schema was asked for, and the model declined to answer.
    """
    response.set_resolved_model(whole.model)
    response.set_usage(
        input=whole.usage.prompt_tokens,
        output=whole.usage.completion_tokens,
        details=_details(whole.usage),
    )
    response.response_json = _logged(whole)
    if response.prompt.schema and whole.refusal is not None:
        raise onplan.OutputRefusedError(f"The model declined to answer: {whole.refusal}")


def _details(usage: onplan.Usage) -> dict[str, Any] | None:
    """What is not zero, under the names that ``llm`` logs for OpenAI's models."""
    inputs = {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens}
    outputs = {"reasoning_tokens": usage.reasoning_tokens}
    both = {"input_tokens_details": inputs, "output_tokens_details": outputs}
    found = {name: {key: value for key, value in counts.items() if value} for name, counts in both.items()}
    return {name: counts for name, counts in found.items() if counts} or None


def _logged(whole: onplan.CompletionResponse) -> dict[str, Any]:
    """What ``response_json`` has, without what is empty; the answer itself is logged in its parts."""
    facts = {
        "id": whole.response_id,
        "request_id": whole.request_id,
        "model": whole.model,
        "finish_reason": str(whole.finish_reason),
        **{name: getattr(whole, name) for name in REPORTS},
        "citations": whole.citations,
        "searches": whole.searches,
        "limits": whole.limits and _limits(whole.limits),
    }
    return {name: msgspec.to_builtins(value) for name, value in facts.items() if value}


def _limits(limits: onplan.Limits) -> dict[str, Any]:
    windows = ({"name": each.name, **msgspec.to_builtins(each)} for each in limits.windows)
    return {"plan": limits.plan, "windows": list(windows)}


# What onplan did with the request: parameters left out, carried out by itself, and changes of the history.
REPORTS = ("ignored_parameters", "emulated_parameters", "history_repairs")


def remarks_on(whole: onplan.CompletionResponse, backend: str) -> Iterator[str]:
    """Sentences for the person who asked, of what they would not see otherwise."""
    if whole.ignored_parameters:
        yield f"{backend} does not take {', '.join(whole.ignored_parameters)}: left out."
    if "reasoning_effort" in whole.emulated_parameters:
        yield f"{whole.model} does not offer that reasoning effort: it was given the nearest one."
    if whole.finish_reason is FinishReason.LENGTH:
        yield "The answer is cut off: it has reached max_output_tokens, or the most that the model writes."
    if whole.finish_reason is FinishReason.CONTENT_FILTER:
        yield "The answer is cut off by the backend's content filter."
