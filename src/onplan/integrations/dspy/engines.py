"""The engines that DSPy asks, and a language model with both."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, closing
from typing import Any, Self

import dspy

from onplan import async_client_parts, client_parts
from onplan.assembly import AsyncClientOptions, require_options
from onplan.errors import ConfigurationError
from onplan.integrations.arguments import named_values, wrong_kind
from onplan.integrations.client_pair import ClientPair
from onplan.integrations.divided_options import divided
from onplan.integrations.dspy.failures import translated
from onplan.integrations.dspy.requests import PREFIX, outgoing
from onplan.integrations.dspy.responses import Events, adaptations_of, response_of
from onplan.parameters import given_by, reports_on
from onplan.turn.context import Context

_HOME = "onplan.integrations.dspy"  # by which programs that are saved name the engines


class _Engine:
    """What both engines have: the clients, and what DSPy may ask about the models.

    Args:
        options: those of ``onplan.AsyncClient``, but for ``http_client`` and ``resume``.

    Raises:
        ConfigurationError: there is no such option, or it has a wrong value.
    """

    supports_function_calling = True
    supports_reasoning = True
    supports_response_schema = True
    supported_params = frozenset(
        {
            "max_tokens",
            "parallel_tool_calls",
            "reasoning_effort",
            "response_format",
            "stop",
            "stream",
            "temperature",
            "tool_choice",
            "tools",
            "top_p",
        }
    )

    def __init__(self, **options: Any) -> None:
        # DSPy's answers are plain texts only where no thinking comes with them.
        self._clients = ClientPair({"reasoning_summary": "none", **options}, type(self).__name__)

    def dump_state(self) -> dict[str, Any]:
        """What is saved with a program: the options that are no secrets and no objects."""
        return self._clients.dumped()

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """An engine with those options."""
        return cls(**named_values("state", state))

    def _prepared(self, request: Any, context: Context) -> tuple[Any, Events]:
        """The request to send, and the events of its answer: the first says already what is left out."""
        asked = outgoing(request, context.backend)
        reports = reports_on(
            given_by(asked.request), asked.request, context.backend, raising=context.raise_unsupported
        )
        return asked.request, Events(request.model, [*asked.adaptations, *adaptations_of(reports)])


class Engine(_Engine):
    """Answers the requests of ``dspy.LM(…, engine=Engine())`` on your plan.

    Its errors are those of ``dspy.lm15``. It takes the options of ``onplan.AsyncClient``.
    """

    __module__ = _HOME

    def complete(self, request: Any) -> Any:
        """The whole response. Raises an error of ``dspy.lm15``."""
        with translated():
            client = self._clients.sync
            asked = outgoing(request, client_parts.context_of(client).backend)
            return response_of(client.complete(asked.request), asked.adaptations)

    def stream(self, request: Any) -> Iterator[Any]:
        """The events of the response, as it arrives. Raises an error of ``dspy.lm15``."""
        with translated():
            client = self._clients.sync
            asked, events = self._prepared(request, client_parts.context_of(client))
            with closing(client.complete_stream(asked)) as chunks:
                for chunk in chunks:
                    yield from events.feed(chunk)

    def close(self) -> None:
        """Close the connections. It can be used again."""
        self._clients.close()


class AsyncEngine(_Engine):
    """The same for ``dspy.LM(…, async_engine=AsyncEngine())``, under any number of event loops."""

    __module__ = _HOME

    async def complete(self, request: Any) -> Any:
        """The whole response. Raises an error of ``dspy.lm15``."""
        with translated():
            client = self._clients.asynchronous
            asked = outgoing(request, async_client_parts.context_of(client).backend)
            return response_of(await client.complete(asked.request), asked.adaptations)

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        """The events of the response, as it arrives. Raises an error of ``dspy.lm15``."""
        with translated():
            client = self._clients.asynchronous
            asked, events = self._prepared(request, async_client_parts.context_of(client))
            async with aclosing(client.complete_stream(asked)) as chunks:
                async for chunk in chunks:
                    for event in events.feed(chunk):
                        yield event

    async def aclose(self) -> None:
        """Close the connections that belong to the running event loop. It can be used again."""
        await self._clients.aclose()


# What a dspy.LM has itself, and puts into its requests.
_OF_DSPY = frozenset(("model", "temperature", "max_tokens", "top_p", "stop", "reasoning_effort"))


def lm(model: str, **options: Any) -> Any:
    """A ``dspy.LM`` on your plan: ``dspy.configure(lm=lm("gpt-5.5"))``.

    Args:
        model: a model id, such as ``gpt-5.5``.
        options: those of ``onplan.AsyncClient``, such as ``profile``; all others go to ``dspy.LM``, such as
            ``cache``. DSPy does not try again unless ``num_retries`` says so: onplan does.

    Raises:
        ConfigurationError: an option of onplan has a wrong value, or neither onplan nor DSPy has one of that
            name.
    """
    if not isinstance(model, str):
        raise wrong_kind("model", model, "the id of a model")
    _require_known(options)
    known = AsyncClientOptions.__optional_keys__ - _OF_DSPY
    own, for_dspy = divided(options, known)
    for_dspy.setdefault("num_retries", 0)
    engines = {"engine": Engine(**own), "async_engine": AsyncEngine(**own)}
    return dspy.LM(PREFIX + model.removeprefix(PREFIX), **engines, **for_dspy)


def _require_known(options: Mapping[str, Any]) -> None:
    """Refuse a misspelt name here, where it stands: DSPy takes every name, and says so with each request."""
    for name in ("engine", "async_engine"):
        if name in options:
            raise ConfigurationError(
                f"{name} is set by lm.", hint=f"Give it to DSPy itself: `dspy.LM(…, {name}=…)`."
            )
    known = AsyncClientOptions.__optional_keys__ | inspect.signature(dspy.LM).parameters.keys()
    if options.keys() <= known:
        return
    from openai.resources.chat import Completions  # which DSPy needs: its requests have these fields

    fields = inspect.signature(Completions.create).parameters.keys() - {"self", "messages"}
    require_options(options, known - {"kwargs"} | fields | _ONLY_DSPYS, "lm")


# Fields of requests that OpenAI's API does not have.
_ONLY_DSPYS = frozenset(
    (
        "chat_template_kwargs",
        "enable_thinking",
        "reasoning",
        "reasoning_format",
        "rollout_id",
        "thinking",
        "top_k",
        "user_id",
    )
)
