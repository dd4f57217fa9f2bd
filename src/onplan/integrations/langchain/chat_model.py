"""``ChatOnplan``: LangChain's chat model on the plan, by onplan's two clients."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from difflib import get_close_matches
from typing import Any, Literal, Self, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from onplan.assembly import AsyncClientOptions
from onplan.backends import ROWS
from onplan.config.store_spec import spec_of_file
from onplan.errors import ConfigurationError
from onplan.integrations.arguments import wrong_kind
from onplan.integrations.langchain import blocks
from onplan.integrations.langchain.answers import PROVIDER, ChunkWriter, message_of
from onplan.integrations.langchain.clients import ModelClients
from onplan.integrations.langchain.errors import RetryableModelError, langchain_errors
from onplan.integrations.langchain.messages import onplan_messages
from onplan.integrations.langchain.structured import structured_output
from onplan.integrations.langchain.tools import tool_choice_for, tool_dicts
from onplan.secret import SecretText
from onplan.token_estimate import estimate_tokens
from onplan.types import CompletionRequest, ModelInfo, as_request

blocks.register()
Messages: TypeAlias = list[BaseMessage]


class ChatOnplan(BaseChatModel):
    """A model on your plan. ``ChatOnplan(model="gpt-5.5").invoke("Name three birds")``.

    Without a ``model`` it is the one that ``onplan`` uses: ``ONPLAN_MODEL``, then the profile's, then the
    first that the backend lists. Parameters of requests may also be given to ``invoke`` and ``bind``; those
    that the backend does not take are listed in ``response_metadata["ignored_parameters"]``.

    Every failure is raised as a class that is both onplan's and LangChain's: ``except UsageLimitError`` and
    ``except ModelRateLimitError`` find the same one.

    Attributes:
        account: the profile, that is the sign-in, to use; LangChain's own ``profile`` is something else.
        backend: the backend's name.
        store: where the sign-in is kept, as for ``onplan.Client``.
        base_url: where the backend's API is. One with a password goes into ``client_options``.
        api_key: for backends that take one. It is neither used nor sent where the plan pays.
        timeout: seconds, or an ``onplan.Timeouts``.
        max_retries: how often a request that failed before its first token is asked again; None: as often
            as onplan's clients do. A usage limit is never tried again.
        unsupported: ``report`` or ``raise``, as for ``onplan.Client``.
        client_options: further options of ``onplan.Client``, such as ``proxy`` and ``max_window_share``.
        session_id: names the conversation, so that its prompt is found in the cache; else it is derived.
        streaming: whether ``invoke`` reports each token to callbacks.

    Raises:
        ConfigurationError: an option cannot be used; with the first request, what is wrong with the sign-in.
    """

    model_config = ConfigDict(populate_by_name=True, extra="forbid", hide_input_in_errors=True)

    model_name: str | None = Field(default=None, alias="model")
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | str | None = Field(default=None, alias="stop_sequences")
    reasoning_effort: str | None = None
    reasoning_summary: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None
    session_id: str | None = None
    extra_body: dict[str, Any] | None = None

    account: str | None = None
    backend: str | None = None
    store: Any = None
    base_url: str | None = None
    api_key: SecretStr | None = None
    timeout: Any = None
    max_retries: int | None = Field(default=None, ge=0)
    unsupported: Literal["report", "raise"] | None = None
    client_options: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    streaming: bool = False

    # Given on to what is made of this model, so that the connections are shared.
    clients: Any = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _require_known(cls, given: Any) -> Any:
        """Say which argument is meant, where pydantic would say that there must be no other."""
        known = {name for field, info in cls.model_fields.items() for name in (field, info.alias) if name}
        for name in given.keys() - known if isinstance(given, dict) else ():
            if name in AsyncClientOptions.__optional_keys__:
                own = _OWN_ARGUMENTS.get(name)
                hint = f"Give it as `{own}=…`." if own else f"Give it as `client_options={{{name!r}: …}}`."
            elif near := get_close_matches(name, known, n=1):
                hint = f"Did you mean {near[0]!r}?"
            else:
                hint = "Options of `onplan.Client` go into `client_options`."
            raise ConfigurationError(f"ChatOnplan has no argument {name!r}.", hint=hint)
        return given

    @field_validator("profile", mode="before", check_fields=False)  # before 1.2 it is no field
    @classmethod
    def _require_model_profile(cls, given: Any) -> Any:
        if isinstance(given, str):
            raise ConfigurationError(
                "profile is LangChain's word for what a model can do.",
                hint="Name the sign-in: `ChatOnplan(account=…)`.",
            )
        return given

    @field_validator("clients", mode="before")
    @classmethod
    def _require_clients(cls, given: Any) -> Any:
        if given is not None and not isinstance(given, ModelClients):
            raise ConfigurationError(
                "clients is handed on from model to model, and is no argument.",
                hint="Leave it out: what onplan's clients take goes into `client_options`.",
            )
        return given

    @field_validator("store", mode="before")
    @classmethod
    def _name_store(cls, given: Any) -> Any:
        """A path as the spec that it stands for, which can be written down."""
        return spec_of_file(given) if isinstance(given, os.PathLike) else given

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        for name in self.client_options.keys() & _OWN_ARGUMENTS.keys():
            raise ConfigurationError(
                f"client_options cannot have {name!r}.",
                hint=f"Give it apart: `ChatOnplan({_OWN_ARGUMENTS[name]}=…)`.",
            )
        if "@" in (self.base_url or ""):
            raise ConfigurationError(
                "base_url has a password in it, which would be written where models are saved.",
                hint='Give it apart: `client_options={"base_url": …}`.',
            )
        self._made_clients()
        return self

    # --- what LangChain asks ------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            request = self._request(messages, stop, kwargs)
            response = self._made_clients().sync.complete(request)
        return ChatResult(generations=[ChatGeneration(message=message_of(response))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            request = self._request(messages, stop, kwargs)
            client = self._made_clients().asynchronous
            response = await client.complete(request)
        return ChatResult(generations=[ChatGeneration(message=message_of(response))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        writer = ChunkWriter()
        with langchain_errors():
            request = self._request(messages, stop, kwargs)
            with closing(self._made_clients().sync.complete_stream(request)) as chunks:
                for chunk in chunks:
                    for message in writer.write(chunk):
                        generation = ChatGenerationChunk(message=message)
                        if run_manager:
                            run_manager.on_llm_new_token(message.content, chunk=generation)
                        yield generation

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        writer = ChunkWriter()
        with langchain_errors():
            request = self._request(messages, stop, kwargs)
            client = self._made_clients().asynchronous
            async with aclosing(client.complete_stream(request)) as chunks:
                async for chunk in chunks:
                    for message in writer.write(chunk):
                        generation = ChatGenerationChunk(message=message)
                        if run_manager:
                            await run_manager.on_llm_new_token(message.content, chunk=generation)
                        yield generation

    @property
    def _llm_type(self) -> str:
        return "onplan-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        named = ("account", "backend", "base_url", "unsupported", "stop", *_PARAMETERS)
        given = {name: value for name in named if (value := getattr(self, name)) is not None}
        return {"model_name": self.model_name, **given}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        known = {
            "ls_temperature": kwargs.get("temperature", self.temperature),
            "ls_max_tokens": kwargs.get("max_tokens", self.max_tokens),
            "ls_stop": stop or ([self.stop] if isinstance(self.stop, str) else self.stop),
        }
        return {
            "ls_provider": PROVIDER,
            "ls_model_name": kwargs.get("model") or self.model_name or "default",
            "ls_model_type": "chat",
            **{name: value for name, value in known.items() if value is not None},
        }

    def _resolve_model_profile(self) -> Any:
        """What is known of a model without asking the backend."""
        listed = (model for row in ROWS for model in row.fallback_models if model.id == self.model_name)
        return next(map(_model_profile, listed), None)

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens ``text`` has; nothing is sent."""
        with langchain_errors():
            if not isinstance(text, str):
                raise wrong_kind("text", text, "a string")
            return estimate_tokens(text)

    def get_num_tokens_from_messages(self, messages: Messages, tools: Sequence[Any] | None = None) -> int:
        """About how many tokens the messages and tools have; nothing is sent."""
        with langchain_errors():
            given = tool_dicts(tools or (), None)
            return estimate_tokens(onplan_messages(messages), tools=given)

    # --- what programs call -------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[Any],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """This model with ``tools`` that it may call.

        Args:
            tools: LangChain's tools, functions, pydantic classes, JSON schemas; tools that the backend runs
                itself, such as ``{"type": "web_search"}``; and onplan's.
            tool_choice: ``auto``, ``none``, ``any`` (also ``required`` and True), a tool's name, or a dict.
            strict: whether arguments must follow the schemas to the letter.
            kwargs: further arguments of the requests, such as ``parallel_tool_calls`` and
                ``response_format``.
        """
        with langchain_errors():
            given = tool_dicts(tools, strict)
            choice = tool_choice_for(tool_choice, given)
        bound = {"tools": given, **({} if choice is None else {"tool_choice": choice}), **kwargs}
        return self.bind(**{name: value for name, value in bound.items() if value is not None})

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """This model with values of ``schema`` as its answers.

        Args:
            schema: a pydantic class, a dataclass, a TypedDict, or a JSON schema.
            method: by the answer's text, which the backend holds to the schema; by a call of a tool; or any
                JSON, of which the prompt has to say what it is to be.
            include_raw: whether to return a dict with ``raw``, ``parsed`` and ``parsing_error`` instead.
            strict: whether the backend must hold the answer to the schema; None: where the schema allows it.
            kwargs: further arguments of the requests; ``tools`` too, which the model may call first.
        """
        with langchain_errors():
            return structured_output(
                self, schema, method, include_raw=include_raw, strict=strict, bound=dict(kwargs)
            )

    def with_retry(self, *, retry_if_exception_type: Any = (RetryableModelError,), **kwargs: Any) -> Any:
        """This model, asked again after failures that may pass; never after a usage limit.

        onplan has tried again by then. ``with_retry`` of a chain tries everything again, unless it is told
        not to.
        """
        return super().with_retry(retry_if_exception_type=retry_if_exception_type, **kwargs)

    def close(self) -> None:
        """Close the connections of synchronous calls; they are also closed when the model is dropped."""
        self._made_clients().close()

    async def aclose(self) -> None:
        """Close all connections, those of the running event loop too; they are also closed when it ends."""
        await self._made_clients().aclose()
        self.close()

    # --- saving -------------------------------------------------------------------------------------

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """LangChain may write its arguments down; secrets are named, and not written."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Where a loaded model finds its key."""
        return {"api_key": "OPENAI_API_KEY"}

    def __getstate__(self) -> dict[Any, Any]:
        """Without connections, and for the same sign-in. Raises ConfigurationError if there is a secret."""
        options = self._made_clients().sync.__getstate__()
        state = super().__getstate__()
        fields = {name: value for name, value in state["__dict__"].items() if name in type(self).model_fields}
        pinned = {"account": options["profile"], "backend": options["backend"], "clients": None}
        return {**state, "__dict__": {**fields, **pinned}}

    # --- inside -------------------------------------------------------------------------------------

    def _made_clients(self) -> ModelClients:
        """The clients for the options that this model has now: those of a copy may be others."""
        named = {
            "profile": self.account,
            "backend": self.backend,
            "store": self.store,
            "base_url": self.base_url,
            "api_key": self.api_key and SecretText(self.api_key.get_secret_value()),
            "timeout": self.timeout,
            "retry": None if self.max_retries is None else self.max_retries + 1,
            "unsupported": self.unsupported,
        }
        options = {name: value for name, value in named.items() if value is not None} | self.client_options
        if self.clients is None or self.clients.asked_for != options:
            self.clients = ModelClients(options)
        made: ModelClients = self.clients
        return made

    def _request(
        self, messages: Messages, stop: list[str] | None, given: Mapping[str, Any]
    ) -> CompletionRequest:
        own = {name: value for name in _PARAMETERS if (value := getattr(self, name)) is not None}
        fields: Any = {
            "model": self.model_name,
            **own,
            "stop": self.stop if stop is None else stop,
            **{name: value for name, value in given.items() if name not in _NOT_SENT},
        }
        return as_request(onplan_messages(messages), fields)


_PARAMETERS = (
    *("temperature", "top_p", "max_tokens", "reasoning_effort", "reasoning_summary", "verbosity"),
    *("service_tier", "parallel_tool_calls", "session_id", "extra_body"),
)
# Arguments that LangChain and its integrations leave among those of a request.
_NOT_SENT = frozenset(
    {"stream", "stream_usage", "stream_options", "ls_structured_output_format", "structured_output_format"}
)
# Options of clients by the arguments that ChatOnplan has for them.
_OWN_ARGUMENTS = {
    **{name: name for name in ("backend", "store", "api_key", "timeout", "unsupported", *_PARAMETERS)},
    "profile": "account",
    "retry": "max_retries",
    "model": "model",
    "stop": "stop",
}


def _model_profile(model: ModelInfo) -> dict[str, Any]:
    return {
        **({"max_input_tokens": model.context_window} if model.context_window else {}),
        "text_inputs": True,
        "image_inputs": model.supports_vision,
        "image_url_inputs": model.supports_vision,
        "image_tool_message": model.supports_vision,
        "pdf_inputs": True,
        "pdf_tool_message": True,
        "text_outputs": True,
        "reasoning_output": bool(model.reasoning_efforts),
        "tool_calling": True,
        "tool_choice": True,
        "structured_output": True,
    }
