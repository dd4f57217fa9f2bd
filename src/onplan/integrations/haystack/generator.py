"""The component that Haystack's pipelines and agents ask: a model on the plan."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import aclosing, closing
from typing import Any, cast

import msgspec
from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import ChatMessage, ComponentInfo, StreamingChunk, select_streaming_callback
from haystack.tools import (
    deserialize_tools_or_toolset_inplace,
    flatten_tools_or_toolsets,
    serialize_tools_or_toolset,
    warm_up_tools,
)
from haystack.utils import deserialize_callable, serialize_callable

from onplan import async_client_parts, client_parts
from onplan.backends import Backend
from onplan.errors import InvalidRequestError
from onplan.integrations.arguments import named_values, wrong_kind
from onplan.integrations.client_pair import ClientPair
from onplan.integrations.haystack.chunks import Chunks
from onplan.integrations.haystack.messages import messages_of, reply_of
from onplan.integrations.haystack.parameters import definitions_of, fields_of
from onplan.integrations.hints import HAYSTACK
from onplan.integrations.told_errors import telling
from onplan.structured.output_format import output_format
from onplan.types import CompletionResponse

Callback = Callable[[StreamingChunk], Any]


@component
class OnplanChatGenerator:
    """A model on your plan, as a component of Haystack.

    Its errors are those of onplan; a pipeline puts their text, which says what to do, into its own. It asks
    again itself where that makes sense.

    Args:
        model: a model id; without one that of the profile, or the first that the plan offers.
        streaming_callback: is called with each ``StreamingChunk``.
        generation_kwargs: fields of ``onplan.CompletionRequest`` for each request; also by the names that
            they have in OpenAI's APIs, such as ``max_completion_tokens``.
        tools: what the model may call: tools, toolsets, or a list of these.
        tools_strict: whether arguments must follow the schema of their tool to the letter.
        options: those of ``onplan.AsyncClient``, such as ``profile``; not ``http_client`` and ``resume``.

    Raises:
        ConfigurationError: there is no such option, or it has a wrong value.
        InvalidRequestError: a tool cannot be offered.
    """

    __module__ = "onplan.integrations.haystack"  # by which pipelines that are written down name it

    def __init__(
        self,
        model: str | None = None,
        streaming_callback: Callback | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        tools: Any = None,
        tools_strict: bool = False,
        **options: Any,
    ) -> None:
        self.model, self.streaming_callback = model, _callable(streaming_callback)
        self.generation_kwargs = dict(named_values("generation_kwargs", generation_kwargs))
        self.tools, self.tools_strict = tools, tools_strict
        self._strict_parameters = options.get("unsupported") == "raise"
        self._clients = ClientPair(options, "OnplanChatGenerator", _OWN_ARGUMENTS)
        definitions_of(flatten_tools_or_toolsets(tools), strict=False)

    def warm_up(self) -> None:
        """Make the tools ready. The connections are opened with the first request."""
        warm_up_tools(self.tools)

    def close(self) -> None:
        """Close the connections of ``run``. It can be used again."""
        self._clients.close()

    async def close_async(self) -> None:
        """Close those of ``run_async`` in the running event loop. It can be used again."""
        await self._clients.aclose()

    def to_dict(self) -> dict[str, Any]:
        """Its settings, without secrets and objects."""
        callback = self.streaming_callback
        written: dict[str, Any] = default_to_dict(
            self,
            model=self.model,
            streaming_callback=serialize_callable(callback) if callback else None,
            generation_kwargs=_written(self.generation_kwargs),
            tools=serialize_tools_or_toolset(self.tools),
            tools_strict=self.tools_strict,
            **self._clients.dumped(),
        )
        return written

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OnplanChatGenerator:
        """A component with the settings that ``to_dict`` has written."""
        settings = data.get("init_parameters", {})
        deserialize_tools_or_toolset_inplace(settings, key="tools")
        if callback := settings.get("streaming_callback"):
            settings["streaming_callback"] = deserialize_callable(callback)
        made: OnplanChatGenerator = default_from_dict(cls, data)
        return made

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: Callback | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: Any = None,
        tools_strict: bool | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """The answer to ``messages``, as the one entry of ``replies``; no entry if there are no messages.

        Args:
            messages: the conversation, or a text of the user.
            streaming_callback: instead of the component's own.
            generation_kwargs: besides the component's own, which they replace one by one.
            tools: instead of the component's own.
            tools_strict: instead of the component's own.

        Raises:
            OnplanError: no whole answer came.
        """
        if not messages:
            return {"replies": []}
        callback = self._callback(streaming_callback, requires_async=False)
        with telling(HAYSTACK):
            client, asked = self._clients.sync, messages_of(messages)
            backend = client_parts.context_of(client).backend
            fields, ignored = self._fields(backend, generation_kwargs, tools, tools_strict)
            if callback is None:
                answer = client.complete(asked, **fields)
                return {"replies": [reply_of(answer, **_left_out(answer, ignored))]}
            chunks = Chunks(ComponentInfo.from_component(self))
            with closing(client.complete_stream(asked, **fields)) as stream:
                for each in stream:
                    for chunk in chunks.feed(each):
                        callback(chunk)
            return {"replies": [_told(chunks, ignored)]}

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: Callback | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: Any = None,
        tools_strict: bool | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """As ``run``; the callback may be asynchronous."""
        if not messages:
            return {"replies": []}
        callback = self._callback(streaming_callback, requires_async=True)
        with telling(HAYSTACK):
            client, asked = self._clients.asynchronous, messages_of(messages)
            backend = async_client_parts.context_of(client).backend
            fields, ignored = self._fields(backend, generation_kwargs, tools, tools_strict)
            if callback is None:
                answer = await client.complete(asked, **fields)
                return {"replies": [reply_of(answer, **_left_out(answer, ignored))]}
            chunks = Chunks(ComponentInfo.from_component(self))
            async with aclosing(client.complete_stream(asked, **fields)) as stream:
                async for each in stream:
                    for chunk in chunks.feed(each):
                        called = callback(chunk)
                        if inspect.isawaitable(called):
                            await called
            return {"replies": [_told(chunks, ignored)]}

    def _callback(self, given: Callback | None, *, requires_async: bool) -> Callback | None:
        """Raises ValueError if it is asynchronous and there is no event loop for it."""
        chosen: Callback | None = select_streaming_callback(
            self.streaming_callback, _callable(given), requires_async=requires_async
        )
        return chosen

    def _fields(
        self, backend: Backend, given: Mapping[str, Any] | None, tools: Any, strict: bool | None
    ) -> tuple[dict[str, Any], list[str]]:
        """The fields of a request, and which of ``generation_kwargs`` are left out."""
        own, more = self.generation_kwargs, named_values("generation_kwargs", given)
        fields, ignored = fields_of({**own, **more}, backend)
        if ignored and self._strict_parameters:
            raise InvalidRequestError(
                f"{backend.name} does not take {', '.join(ignored)}.",
                hint="Leave that out of `generation_kwargs`.",
            )
        if self.model is not None:
            fields.setdefault("model", self.model)
        offered = flatten_tools_or_toolsets(self.tools if tools is None else tools)
        strictly = self.tools_strict if strict is None else strict
        if offered:
            fields["tools"] = definitions_of(offered, strict=strictly)
        return fields, ignored


_OWN_ARGUMENTS = ("model", "streaming_callback", "generation_kwargs", "tools", "tools_strict")


def _callable(given: Callback | None) -> Callback | None:
    if given is not None and not callable(given):
        raise wrong_kind("streaming_callback", given, "a function that takes a StreamingChunk")
    return given


def _told(chunks: Chunks, ignored: list[str]) -> ChatMessage:
    """The reply after a stream, which has ended with a whole answer or raised an error."""
    answer = cast("CompletionResponse", chunks.answer)
    return reply_of(answer, completion_start_time=chunks.begun_at, **_left_out(answer, ignored))


def _left_out(answer: CompletionResponse, ignored: list[str]) -> dict[str, Any]:
    return {"ignored_parameters": [*answer.ignored_parameters, *ignored]} if ignored else {}


def _written(given: Mapping[str, Any]) -> dict[str, Any]:
    """``generation_kwargs`` as JSON values: a type that says the format of answers as its schema."""
    written = {**given}
    for name in ("response_format", "text_format"):
        if written.get(name) is not None and not isinstance(written[name], Mapping):
            output = output_format(written[name])
            format_ = {"name": output.name, "schema": output.schema, "strict": output.strict}
            written[name] = {"type": "json_schema", "json_schema": msgspec.to_builtins(format_)}
    return written
