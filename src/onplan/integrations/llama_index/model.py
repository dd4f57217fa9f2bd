"""The class that LlamaIndex asks: a model on the plan."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, closing
from typing import Any

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json

from onplan.client_parts import known_model
from onplan.errors import OutputError
from onplan.integrations.arguments import several, wrong_kind
from onplan.integrations.call_arguments import arguments_of
from onplan.integrations.client_pair import ClientPair
from onplan.integrations.divided_options import divided
from onplan.integrations.hints import LLAMA_INDEX
from onplan.integrations.llama_index.messages import messages_of, response_of
from onplan.integrations.llama_index.streaming import Growing
from onplan.integrations.told_errors import telling
from onplan.types import ModelInfo, ToolChoice

_FIELDS = (
    "model",
    "temperature",
    "max_tokens",
    "reasoning_effort",
    "reasoning_summary",
    "verbosity",
)


class Onplan(FunctionCallingLLM):
    """A model on your plan, wherever LlamaIndex takes one.

    ``Onplan(model="gpt-5.5", profile="work")``: besides the fields, it takes the options of
    ``onplan.AsyncClient``. Its errors are those of onplan: LlamaIndex has none of its own.

    Attributes:
        model: a model id; without one that of the profile, or the first that the plan offers.
        context_window: in tokens, where the catalogue is wrong or does not say.
        additional_kwargs: fields of ``onplan.CompletionRequest`` for each request.

    Raises:
        ConfigurationError: there is no such option, or it has a wrong value.
    """

    model: str | None = Field(default=None, description="A model id.")
    temperature: float | None = Field(default=None, description="Sampling temperature.")
    max_tokens: int | None = Field(default=None, description="Longest answer, in tokens.")
    reasoning_effort: str | None = Field(default=None, description="How long to think.")
    reasoning_summary: str | None = Field(default=None, description="Whether to show the thinking.")
    verbosity: str | None = Field(default=None, description="low, medium or high.")
    context_window: int | None = Field(default=None, description="Tokens, instead of the catalogue's.")
    additional_kwargs: dict[str, Any] = Field(default_factory=dict, description="Fields of each request.")

    _clients: ClientPair = PrivateAttr()
    _known: dict[str | None, ModelInfo | None] = PrivateAttr(default_factory=dict)

    def __init__(self, model: str | None = None, **options: Any) -> None:
        own, for_clients = divided(options, type(self).model_fields)
        clients = ClientPair(for_clients, type(self).__name__, type(self).model_fields)
        super().__init__(model=model, **own)
        self._clients = clients

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex writes it down."""
        return "onplan_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex asks of a model.

        The catalogue is asked for a model that onplan has not heard of yet, once.
        """
        known = self._known_model()
        window = self.context_window or (known.context_window if known else None)
        sizes = {"context_window": window} if window else {}
        output = self.max_tokens or (known.max_output_tokens if known else None)
        if output:
            sizes["num_output"] = output
        name = self.model or (known.id if known else "default")
        return LLMMetadata(**sizes, is_chat_model=True, is_function_calling_model=True, model_name=name)

    # --- the eight methods -----------------------------------------------------------------------------

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer. Raises an OnplanError."""
        return self._chat(messages, **kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The answer as it arrives. Raises an OnplanError while it is read."""
        return self._stream_chat(messages, **kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer. Raises an OnplanError."""
        return await self._achat(messages, **kwargs)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """The answer as it arrives. Raises an OnplanError while it is read."""
        return await self._astream_chat(messages, **kwargs)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The whole answer to a prompt. Raises an OnplanError."""
        return chat_to_completion_decorator(self._chat)(prompt, **kwargs)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The answer to a prompt as it arrives. Raises an OnplanError while it is read."""
        return stream_chat_to_completion_decorator(self._stream_chat)(prompt, **kwargs)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The whole answer to a prompt. Raises an OnplanError."""
        return await achat_to_completion_decorator(self._achat)(prompt, **kwargs)

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """The answer to a prompt as it arrives. Raises an OnplanError while it is read."""
        return await astream_chat_to_completion_decorator(self._astream_chat)(prompt, **kwargs)

    # The same without the framework's callbacks, which must hear of a request once.

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        with telling(LLAMA_INDEX):
            return response_of(self._clients.sync.complete(messages_of(messages), **self._fields(kwargs)))

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        with telling(LLAMA_INDEX):
            chunks = self._clients.sync.complete_stream(messages_of(messages), **self._fields(kwargs))

        def answers() -> ChatResponseGen:
            growing = Growing()
            with telling(LLAMA_INDEX), closing(chunks):
                for chunk in chunks:
                    if (answer := growing.feed(chunk)) is not None:
                        yield answer

        return answers()

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        with telling(LLAMA_INDEX):
            client = self._clients.asynchronous
            return response_of(await client.complete(messages_of(messages), **self._fields(kwargs)))

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        with telling(LLAMA_INDEX):
            client = self._clients.asynchronous
            chunks = client.complete_stream(messages_of(messages), **self._fields(kwargs))

        async def answers() -> ChatResponseAsyncGen:
            growing = Growing()
            with telling(LLAMA_INDEX):
                async with aclosing(chunks):
                    async for chunk in chunks:
                        if (answer := growing.feed(chunk)) is not None:
                            yield answer

        return answers()

    # --- tools -----------------------------------------------------------------------------------------

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What ``chat`` is to be called with, for a message and tools."""
        messages = several("chat_history", chat_history or (), "a list of ChatMessage")
        if user_msg is not None:
            messages.append(
                ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg
            )
        definitions = [_definition(*each) for each in enumerate(several("tools", tools, "a list of tools"))]
        if not definitions:
            return {"messages": messages, **kwargs}
        choice = _choice(tool_choice) or ("required" if tool_required else None)
        chosen = {"tool_choice": choice} if choice else {}
        parallel = allow_parallel_tool_calls
        return {
            "messages": messages,
            "tools": definitions,
            "parallel_tool_calls": parallel,
            **chosen,
            **kwargs,
        }

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,
        **kwargs: Any,
    ) -> list[ToolSelection]:
        """The calls of an answer, also of one that is still arriving.

        Arguments of a whole answer that are no JSON object stand under ``invalid_arguments``: they are not
        completed, for a tool would be called with others than the model wrote.

        Raises:
            OutputError: there is none, and there should be. LlamaIndex's own classes raise ValueError.
        """
        if not isinstance(response, ChatResponse):
            raise wrong_kind("response", response, "a ChatResponse")
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if error_on_no_tool_call and not calls:
            raise NoToolCallError(
                "The model answered without calling a tool.",
                hint="Ask again, or for a tool with `tool_required=True`.",
                text=response.message.content or "",
            )
        read = arguments_of if response.raw else _arguments_so_far
        return [
            ToolSelection(
                tool_id=call.tool_call_id or "",
                tool_name=call.tool_name,
                tool_kwargs=read(given) if isinstance(given := call.tool_kwargs, str) else dict(given),
            )
            for call in calls
        ]

    def _known_model(self) -> ModelInfo | None:
        if self.model not in self._known:
            found, is_final = known_model(self._clients.sync, self.model)
            if not is_final:
                return None
            self._known[self.model] = found
        return self._known[self.model]

    # --- settings --------------------------------------------------------------------------------------

    def _fields(self, given: dict[str, Any]) -> dict[str, Any]:
        """The fields of a request: the model's, and those given with the call."""
        own = {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}
        fields = {**own, **self.additional_kwargs, **given}
        for name in ("tools", "tool_choice"):
            if fields.get(name, "") is None:
                del fields[name]
        return fields

    def close(self) -> None:
        """Close the connections of the methods that are not asynchronous."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections of the asynchronous methods in the running event loop."""
        await self._clients.aclose()

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Its settings, without secrets and objects; ``Onplan.from_dict`` makes another one of them."""
        written: dict[str, Any] = {**super().to_dict(**kwargs), **self._clients.dumped()}
        return written

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds. Raises ConfigurationError if an option is a secret, or an object."""
        state: dict[str, Any] = super().__getstate__()
        _, (options,) = self._clients.__reduce__()
        fields = {name: value for name, value in state["__dict__"].items() if name in type(self).model_fields}
        return {**state, "__dict__": {**fields, **options}, "__pydantic_private__": None}


class NoToolCallError(OutputError, ValueError):
    """The model called no tool where one must be called. Also a ValueError, which LlamaIndex expects."""


def _definition(index: int, tool: Any) -> Any:
    if not hasattr(tool, "metadata"):
        raise wrong_kind(f"tools[{index}]", tool, "a tool, such as `FunctionTool.from_defaults(…)`")
    return tool.metadata.to_openai_tool(skip_length_check=True)


def _choice(given: Any) -> Any:
    """LlamaIndex's word for which tool to call: a name stands for itself."""
    if isinstance(given, str) and given not in ("auto", "none", "required", "any"):
        return ToolChoice(given)
    return "required" if given == "any" else given


def _arguments_so_far(text: str) -> dict[str, Any]:
    """What can be read of arguments that are still arriving."""
    try:
        read = parse_partial_json(text)
    except (ValueError, RecursionError):
        read = {}
    return read if isinstance(read, dict) else {}
