"""Builds a Chat Completions request from a completion request and the backend's row."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from onplan.backends import Backend
from onplan.chat.messages import wire_messages
from onplan.chat.stream import ChatStream
from onplan.errors import InvalidRequestError
from onplan.flow import CLIENT_REQUEST_ID, Request
from onplan.parameters import (
    NOTHING_REPORTED,
    Reports,
    asked_by,
    given_by,
    output_format_of,
    reports_on,
    session_id_of,
    takes_custom_tools,
    tool_choice_of,
    uuid_text,
    with_extra,
)
from onplan.printed_form import PartlyPrinted
from onplan.request.encodable import encoded_body
from onplan.request.history import repaired
from onplan.request.json_mode import with_the_word
from onplan.types import (
    CompletionRequest,
    ContentPart,
    Credential,
    CustomTool,
    HostedTool,
    Message,
    ToolChoice,
    ToolDefinition,
)

if TYPE_CHECKING:
    from onplan.structured.output_format import OutputFormat

Body: TypeAlias = dict[str, Any]


class ChatCall(PartlyPrinted, frozen=True):
    """A completion request ready to send, except for the credentials.

    Attributes:
        base_url: the address that API paths are appended to.
        body: the JSON body; ``repr`` leaves it out.
        session_id: identifies the conversation.
        reports: what becomes of the parameters that the backend does not take.
        given: the names of the parameters that the program set.
        history_repairs: what was changed in the conversation so that servers accept it.
        output: reads the value that the answer's text is to be, if the program asked for one.
        kept: always empty; see ``after``.
    """

    not_printed: ClassVar[tuple[str, ...]] = ("body",)

    backend: Backend
    base_url: str
    model: str
    session_id: str
    body: bytes
    reports: Reports = NOTHING_REPORTED
    given: frozenset[str] = frozenset()
    history_repairs: tuple[str, ...] = ()
    output: OutputFormat | None = None
    kept: ClassVar[tuple[ContentPart, ...]] = ()

    @property
    def url(self) -> str:
        """The address of the chat completions endpoint."""
        return f"{self.base_url}/chat/completions"

    def request(self, credentials: Credential) -> Request:
        """The HTTP request with ``credentials``."""
        headers = {
            **self.backend.api_headers(credentials),
            "accept": "text/event-stream",
            "content-type": "application/json",
            CLIENT_REQUEST_ID: uuid_text(secrets.token_bytes(16), version=4),
        }
        return Request("POST", self.url, headers, self.body)

    def stream(self, request_id: str | None) -> ChatStream:
        """The assembler for the answer."""
        return ChatStream(self.model, self.reports, request_id, self.history_repairs)

    def after(self, parts: Sequence[ContentPart]) -> ChatCall:
        """The same call again: few servers of this API can continue an answer that broke off."""
        return self


def prepare(
    request: CompletionRequest,
    backend: Backend,
    base_url: str,
    model: str,
    *,
    raise_unsupported: bool = False,
) -> ChatCall:
    """Build the call. Images and files given by path must have been read already.

    Raises:
        InvalidRequestError: the request cannot be said to this backend; with ``raise_unsupported``, also
            when it has a parameter that would be left out.
    """
    given = given_by(request)
    reports = reports_on(given, request, backend, raising=raise_unsupported)
    session_id = session_id_of(request)
    history = repaired(request.messages, late_results=False, takes_custom=takes_custom_tools(backend))
    output = output_format_of(request)
    if output is not None and output.json_object:
        history = with_the_word(history)
    body = encoded_body(_body(request, history.messages, backend, model, session_id))
    return ChatCall(
        backend,
        base_url,
        model,
        session_id,
        body,
        reports,
        asked_by(request, given),
        history.repairs,
        output,
    )


def _body(
    request: CompletionRequest, messages: Sequence[Message], backend: Backend, model: str, session_id: str
) -> Body:
    """The fields of the body, without those that have no value."""
    said = wire_messages(messages, backend)
    if not said:
        raise InvalidRequestError("The request has no messages, or they are all empty.")
    body: Body = {"model": model, **backend.required, "messages": said}
    if backend.sends("session_id"):
        body["prompt_cache_key"] = session_id
    if request.max_tokens is not None:
        body[backend.max_tokens_name(model)] = request.max_tokens
    for name, build in _FIELDS.items():
        value = build(request)
        if value is not None:
            body[name] = value
    return with_extra(body, request, backend)


def _tools(request: CompletionRequest) -> list[Body] | None:
    return [_tool(tool) for tool in request.tools if not isinstance(tool, HostedTool)] or None


def _tool(tool: ToolDefinition | CustomTool) -> Body:
    if isinstance(tool, CustomTool):
        return {"type": "custom", "custom": _custom(tool)}
    return {"type": "function", "function": _function(tool)}


def _custom(tool: CustomTool) -> Body:
    described = {"description": tool.description} if tool.description else {}
    grammar = tool.format
    if grammar == "text":
        return {"name": tool.name, **described, "format": {"type": "text"}}
    rules = {"syntax": grammar.syntax, "definition": grammar.definition}
    return {"name": tool.name, **described, "format": {"type": "grammar", "grammar": rules}}


def _function(tool: ToolDefinition) -> Body:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    strict = {} if tool.strict is None else {"strict": tool.strict}
    return {name: value for name, value in function.items() if value != ""} | strict


def _tool_choice(request: CompletionRequest) -> Any:
    choice = tool_choice_of(request)
    if choice is None or not request.tools:
        return None
    if isinstance(choice, ToolChoice):
        custom = any(isinstance(tool, CustomTool) and tool.name == choice.name for tool in request.tools)
        kind = "custom" if custom else "function"
        return {"type": kind, kind: {"name": choice.name}}
    return choice


def _response_format(request: CompletionRequest) -> Body | None:
    output = output_format_of(request)
    if output is None:
        return None
    if output.json_object:
        return {"type": "json_object"}
    named = {"name": output.name, "schema": output.schema, "strict": output.strict}
    return {"type": "json_schema", "json_schema": named}


# A parameter that is not here is left out by the rows of the backends with this API.
_FIELDS: dict[str, Callable[[CompletionRequest], Any]] = {
    "temperature": lambda request: request.temperature,
    "top_p": lambda request: request.top_p,
    "stop": lambda request: request.stop or None,
    "reasoning_effort": lambda request: request.reasoning_effort,
    "verbosity": lambda request: request.verbosity,
    "service_tier": lambda request: request.service_tier,
    "response_format": _response_format,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": lambda request: request.parallel_tool_calls if request.tools else None,
}
