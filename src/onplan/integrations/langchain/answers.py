"""onplan's answers, whole and as chunks, as LangChain's messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from onplan.integrations.answer_facts import facts_of
from onplan.integrations.langchain.kept import CUSTOM_INPUT, additional, arguments_of
from onplan.types import (
    CompletionResponse,
    Done,
    StreamChunk,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)

PROVIDER = "onplan"


def message_of(response: CompletionResponse) -> AIMessage:
    """The whole answer: text as a string, calls, usage; what else there is in ``additional_kwargs``."""
    calls, invalid = [], []
    for call in response.tool_calls:
        try:
            calls.append(tool_call(name=call.name, args=arguments_of(call), id=call.id))
        except ValueError as error:
            wrong = invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=str(error))
            invalid.append(wrong)
    thinking = {"reasoning_content": response.thinking} if response.thinking else {}
    return AIMessage(
        content=response.text,
        additional_kwargs={**thinking, **_additional(response)},
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=_usage(response.usage),
        response_metadata=_metadata(response),
    )


class ChunkWriter:
    """Makes the message chunks of one answer."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    def write(self, chunk: StreamChunk) -> Iterator[AIMessageChunk]:
        """What ``chunk`` says, in none or more chunks."""
        match chunk:
            case TextDelta(text=text):
                yield _chunk(text)
            case ThinkingDelta(text=text):
                yield _chunk(additional_kwargs={"reasoning_content": text})
            case ToolCallStart(id=id_, name=name, is_custom=is_custom):
                self._calls[id_] = call = _Call(len(self._calls), is_custom=is_custom)
                yield call.begun(id_, name)
            case ToolCallDelta(id=id_, arguments_delta=arguments):
                yield self._calls[id_].more(arguments)
            case ToolCallEnd(id=id_) if self._calls[id_].is_custom:
                yield self._calls[id_].ended()
            case Done(response=response):
                yield from self._spoiled(response)
                yield _chunk(
                    additional_kwargs=_additional(response),
                    usage_metadata=_usage(response.usage),
                    response_metadata=_metadata(response),
                    chunk_position="last",
                )

    def _spoiled(self, response: CompletionResponse) -> Iterator[AIMessageChunk]:
        finished = {call.id for call in response.tool_calls}
        for id_, call in self._calls.items():
            if id_ not in finished:
                yield call.spoiled()


class _Call:
    """A tool call that is being written. The text for a custom tool is written as the one JSON argument."""

    def __init__(self, index: int, *, is_custom: bool) -> None:
        self._index, self.is_custom = index, is_custom
        self._written: list[str] = []

    def begun(self, id_: str, name: str) -> AIMessageChunk:
        """The first chunk, which says what is called."""
        return self._chunk(json.dumps({CUSTOM_INPUT: ""})[:-2] if self.is_custom else "", name, id_)

    def more(self, arguments: str) -> AIMessageChunk:
        """More of the arguments."""
        return self._chunk(json.dumps(arguments, ensure_ascii=False)[1:-1] if self.is_custom else arguments)

    def ended(self) -> AIMessageChunk:
        """The end of a custom tool's text."""
        return self._chunk('"}')

    def spoiled(self) -> AIMessageChunk:
        """An end that makes the call an invalid one: it was cut off.

        LangChain completes JSON that is cut off, and a program would then carry out a call with half of its
        arguments. What has been handed out cannot be taken back.
        """
        return self._chunk(_wrong_end("".join(self._written)))

    def _chunk(self, arguments: str, name: str | None = None, id_: str | None = None) -> AIMessageChunk:
        self._written.append(arguments)
        return _chunk(
            tool_call_chunks=[tool_call_chunk(name=name, args=arguments, id=id_, index=self._index)]
        )


def _wrong_end(text: str) -> str:
    """Brackets that do not fit the JSON ``text``, however much of it is there."""
    opened: list[str] = []
    is_inside, is_escaped = False, False
    for character in text:
        if is_inside:
            is_inside = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            is_inside = True
        elif character in "{[":
            opened.append(character)
        elif character in "}]" and opened:
            opened.pop()
    closed = ("\\" if is_escaped else "") + '"' if is_inside else ""
    return closed + ("]" if opened and opened[-1] == "{" else "}")


def _chunk(content: str = "", **fields: Any) -> AIMessageChunk:
    fields.setdefault("response_metadata", {"model_provider": PROVIDER})
    return AIMessageChunk(content=content, **fields)


def _additional(response: CompletionResponse) -> dict[str, Any]:
    refusal = {} if response.refusal is None else {"refusal": response.refusal}
    return {**additional(response.message.content), **refusal}


def _usage(usage: Usage) -> Any:
    """None for an answer that onplan ended itself, before the backend had counted."""
    if usage == Usage():
        return None
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "input_token_details": {
            "cache_read": usage.cache_read_tokens,
            "cache_creation": usage.cache_write_tokens,
        },
        "output_token_details": {"reasoning": usage.reasoning_tokens},
    }


def _metadata(response: CompletionResponse) -> dict[str, Any]:
    """What else is known, under LangChain's names where it has one."""
    facts = {name: value for name, value in facts_of(response).items() if name not in _SAID_APART}
    if response.native_finish_reason:
        facts["native_finish_reason"] = response.native_finish_reason
    return {"model_provider": PROVIDER} | {_THEIR_NAMES.get(name, name): facts[name] for name in facts}


_SAID_APART = ("usage", "refusal")
_THEIR_NAMES = {"model": "model_name", "response_id": "id"}
