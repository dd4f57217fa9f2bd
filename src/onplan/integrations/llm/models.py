"""The models, as ``llm`` has them: nothing of onplan is imported before one is asked."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import llm
from llm.parts import StreamEvent
from pydantic import Field, field_validator

from onplan.integrations.llm.names import DEFAULT_MODEL, model_id, note_names_once

logger = logging.getLogger("onplan.integrations.llm")


class OnplanOptions(llm.Options):
    """What ``-o`` takes. Names are those of other plug-ins for OpenAI's models, where they have one."""

    reasoning_effort: str | None = Field(
        None, description="How long the model thinks: none, minimal, low, medium, high, xhigh, max or ultra."
    )
    reasoning_summary: str | None = Field(
        None, description="How much of its thinking is summed up: auto, concise, detailed or none."
    )
    verbosity: str | None = Field(None, description="How long answers are: low, medium or high.")
    service_tier: str | None = Field(
        None, description="fast (or priority) answers sooner and counts more; flex, default and auto."
    )
    max_output_tokens: int | None = Field(None, ge=1, description="The most tokens of an answer.")
    stop: str | None = Field(None, description="A text at which the answer ends.")
    temperature: float | None = Field(None, description="Not taken by a ChatGPT plan: left out and reported.")
    top_p: float | None = Field(None, description="Not taken by a ChatGPT plan: left out and reported.")
    tool_choice: str | None = Field(None, description="Whether tools are called: auto, none or required.")
    parallel_tool_calls: bool | None = Field(None, description="Whether several tools may be called at once.")
    image_detail: str | None = Field(
        None, description="How closely the model looks at images: low, high, original or auto."
    )
    prompt_cache_key: str | None = Field(
        None,
        description="Prompts with the same key share the prompt cache; without it, those of a conversation.",
    )
    web_search: bool | None = Field(None, description="Offer the web search that the backend runs itself.")
    web_search_live: bool | None = Field(
        None, description="Whether that search fetches pages now, or uses the backend's index only."
    )
    web_search_context_size: str | None = Field(
        None, description="How much of the pages the model reads: low, medium or high."
    )
    extra_body: dict[str, Any] | str | None = Field(
        None, description="Further fields of the request's body, as a JSON object."
    )

    @field_validator("extra_body")
    @classmethod
    def _read_object(cls, given: dict[str, Any] | str | None) -> dict[str, Any] | None:
        """The command line gives texts."""
        value = json.loads(given) if isinstance(given, str) else given
        if value is not None and not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        return value


class _Model:
    """What both kinds of models have in common.

    Args:
        name: of the model at the backend, or ``default``.
        profile: whose sign-in is used; None for the profile in use.
    """

    needs_key = None
    can_stream = True
    supports_schema = True
    supports_tools = True
    attachment_types = frozenset(("image/png", "image/jpeg", "image/webp", "image/gif", "application/pdf"))
    Options = OnplanOptions

    def __init__(self, name: str, profile: str | None = None) -> None:
        self.model_id = model_id(name, profile)
        self._model = None if name == DEFAULT_MODEL else name
        self._profile = profile

    @property
    def supported_server_side_tools(self) -> tuple[type[llm.ServerSideTool], ...]:
        """``-T WebSearch``, and any other tool of the backend as ``-T 'ServerSideTool({"type": …})'``."""
        from llm.default_plugins.openai_models import WebSearch

        return (WebSearch, llm.ServerSideTool)

    def __str__(self) -> str:
        return f"onplan: {self.model_id}"


class OnplanModel(_Model, llm.Model):
    """A model of the plan."""

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[StreamEvent]:
        """The events of the answer. Raises llm.ModelError."""
        with _model_errors():
            from onplan.integrations.llm.clients import CLIENTS
            from onplan.integrations.llm.events import Events
            from onplan.integrations.llm.prompts import completion_request

            events, request = Events(response), completion_request(prompt, self._model)
            client = CLIENTS.client(self._profile)
            with client.stream(request) as chunks:
                for chunk in chunks:
                    yield from events.of(chunk)
            _note(client.name, chunks.response, is_line_open=stream and events.is_line_open)


class AsyncOnplanModel(_Model, llm.AsyncModel):
    """The same model, awaited."""

    async def execute(
        self,
        prompt: Any,
        stream: bool,
        response: Any,
        conversation: Any,
    ) -> AsyncIterator[StreamEvent]:
        """The events of the answer. Raises llm.ModelError."""
        with _model_errors():
            from onplan.integrations.llm.clients import CLIENTS
            from onplan.integrations.llm.events import Events
            from onplan.integrations.llm.prompts import completion_request

            events, request = Events(response), completion_request(prompt, self._model)
            client = CLIENTS.async_client(self._profile)
            async with client.stream(request) as chunks:
                async for chunk in chunks:
                    for event in events.of(chunk):
                        yield event
            _note(client.name, chunks.response, is_line_open=stream and events.is_line_open)


@contextmanager
def _model_errors() -> Iterator[None]:
    """Errors as ``llm`` shows them: in one line, with the next command to type. The cause is onplan's own."""
    from onplan.errors import OnplanError

    try:
        yield
    except OnplanError as error:
        from onplan.integrations.hints import LLM, in_words

        raise llm.ModelError(f"{error.message} {in_words(error.hint, LLM)}".strip()) from error


def _is_one_screen() -> bool:
    """Whether answers and warnings are shown on the same one: no program has taken the warnings."""
    return not logger.hasHandlers() and sys.stdout.isatty() and sys.stderr.isatty()


def _note(backend: str, whole: Any, *, is_line_open: bool) -> None:
    """After an answer: say what the person would not see otherwise, and note what models are known now.

    ``is_line_open``: whether ``llm`` has yet to end the last line of the answer.
    """
    from onplan.errors import ConfigurationError
    from onplan.integrations.llm.events import remarks_on

    remarks = list(remarks_on(whole, backend))
    if remarks and is_line_open and _is_one_screen():
        sys.stderr.write("\n")
    for remark in remarks:
        logger.warning("%s", remark)
    with suppress(ConfigurationError):
        note_names_once(llm.user_dir())
