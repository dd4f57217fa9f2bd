"""Builds a Responses API request from a completion request and the backend's row."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from onplan.backends import Backend
from onplan.errors import InvalidRequestError
from onplan.flow import CLIENT_REQUEST_ID, NOTHING, Request
from onplan.parameters import (
    NOTHING_REPORTED,
    Reports,
    asked_by,
    given_by,
    output_format_of,
    reports_on,
    session_id_of,
    tool_choice_of,
    uuid_text,
    with_extra,
)
from onplan.printed_form import PartlyPrinted
from onplan.request.encodable import encoded_body
from onplan.request.history import repaired
from onplan.request.json_mode import with_the_word
from onplan.responses.answer_stream import AnswerStream
from onplan.responses.continuation import Create
from onplan.responses.items import input_items
from onplan.responses.stream import ResponseStream
from onplan.types import (
    CompletionRequest,
    ContentPart,
    Credential,
    CustomTool,
    HostedTool,
    Message,
    Role,
    Tool,
    ToolChoice,
)

if TYPE_CHECKING:
    from onplan.structured.output_format import OutputFormat

Body: TypeAlias = dict[str, Any]
CompactionTrigger: TypeAlias = Literal["auto", "manual"]

TURN_METADATA = "x-codex-turn-metadata"
# What the official client says of a compaction (recorded from 0.171.0).
_COMPACTION = {"implementation": "responses_compaction_v2", "strategy": "memento"}
_TRIGGERS: Mapping[CompactionTrigger, Mapping[str, str]] = {
    "auto": {"reason": "context_limit", "phase": "mid_turn"},
    "manual": {"reason": "user_requested", "phase": "standalone_turn"},
}


class ResponsesCall(PartlyPrinted, frozen=True):
    """A completion request ready to send, except for the credentials.

    Attributes:
        base_url: the address that API paths are appended to.
        body: the JSON body; ``repr`` leaves it out.
        session_id: identifies the conversation, in the header by which the backend finds its prompt cache.
        reports: what becomes of the parameters that the backend does not take.
        given: the names of the parameters that the program set.
        history_repairs: what was changed in the conversation so that servers accept it.
        output: reads the value that the answer's text is to be, if the program asked for one.
        kept: finished parts of an answer that broke off; the next answer continues after them.
        headers: more headers of the request.
    """

    not_printed: ClassVar[tuple[str, ...]] = ("body", "headers")

    backend: Backend
    base_url: str
    model: str
    session_id: str
    body: bytes
    reports: Reports = NOTHING_REPORTED
    given: frozenset[str] = frozenset()
    history_repairs: tuple[str, ...] = ()
    kept: tuple[ContentPart, ...] = ()
    output: OutputFormat | None = None
    headers: Mapping[str, str] = NOTHING

    @property
    def url(self) -> str:
        """The address of the responses endpoint."""
        return f"{self.base_url}/responses"

    def request(self, credentials: Credential) -> Request:
        """The HTTP request with ``credentials``."""
        headers = self._headers(credentials)
        headers["accept"], headers["content-type"] = "text/event-stream", "application/json"
        return Request("POST", self.url, headers, self.body, encoding=self.backend.request_encoding)

    def upgrade(self, credentials: Credential) -> Request:
        """The request that opens a WebSocket with ``credentials``, for backends that have one."""
        return Request("GET", self.url, {**self._headers(credentials), **(self.backend.websocket or {})})

    def create(self) -> Create:
        """The request in the form that is sent over a WebSocket."""
        return Create(self.body)

    def stream(self, request_id: str | None) -> ResponseStream:
        """The assembler for the answer."""
        return AnswerStream(self.model, self.reports, request_id, self.kept, self.history_repairs)

    def after(self, parts: Sequence[ContentPart]) -> ResponsesCall:
        """The call that continues an answer after ``parts``, which begin with ``kept``."""
        said = Message(Role.ASSISTANT, list(parts[len(self.kept) :]))
        items = input_items([said], self.backend.system_role)
        return replace(self, body=self._with_input(lambda old: [*old, *items]), kept=tuple(parts))

    def compacting(self, trigger: CompactionTrigger) -> ResponsesCall:
        """The call that has its conversation compacted instead of answered (docs/protocol.md)."""
        metadata = msgspec.json.encode(
            {
                "session_id": self.session_id,
                "model": self.model,
                "request_kind": "compaction",
                "compaction": {**_COMPACTION, **_TRIGGERS[trigger], "trigger": trigger},
            }
        ).decode()
        body = msgspec.json.decode(self.body)
        body["input"].append({"type": "compaction_trigger"})
        body["client_metadata"] = {**body.get("client_metadata", {}), TURN_METADATA: metadata}
        return replace(
            self, body=msgspec.json.encode(body), headers={**self.headers, TURN_METADATA: metadata}
        )

    def _with_input(self, change: Callable[[list[Body]], list[Body]]) -> bytes:
        body = msgspec.json.decode(self.body)
        return msgspec.json.encode({**body, "input": change(body["input"])})

    def _headers(self, credentials: Credential) -> dict[str, str]:
        headers = self.backend.api_headers(credentials)
        if self.backend.session_header:
            headers[self.backend.session_header] = self.session_id
        headers[CLIENT_REQUEST_ID] = uuid_text(secrets.token_bytes(16), version=4)
        headers.update(self.headers)
        return headers


def prepare(
    request: CompletionRequest,
    backend: Backend,
    base_url: str,
    model: str,
    *,
    raise_unsupported: bool = False,
) -> ResponsesCall:
    """Build the call. Images and files given by path must have been read already.

    Raises:
        InvalidRequestError: the request cannot be said to this backend; with ``raise_unsupported``, also
            when it has a parameter that would be left out.
    """
    given = given_by(request)
    reports = reports_on(given, request, backend, raising=raise_unsupported)
    session_id = session_id_of(request)
    history, output = repaired(request.messages, late_results=True), output_format_of(request)
    if output is not None and output.json_object:
        history = with_the_word(history)
    body = encoded_body(_body(request, history.messages, backend, model, session_id=session_id, given=given))
    return ResponsesCall(
        backend,
        base_url,
        model,
        session_id,
        body,
        reports,
        asked_by(request, given),
        history.repairs,
        output=output,
    )


def _body(
    request: CompletionRequest,
    messages: Sequence[Message],
    backend: Backend,
    model: str,
    *,
    session_id: str,
    given: Collection[str],
) -> Body:
    """The fields of the body, without those that have no value."""
    items = input_items(messages, backend.system_role)
    if not items:
        raise InvalidRequestError("The request has no messages, or they are all empty.")
    if request.tools and backend.tool_shape == "additional_tools":
        offered = [_tool(tool) for tool in request.tools]
        items = [{"type": "additional_tools", "role": "developer", "tools": offered}, *items]
    body: Body = {"model": model, **backend.required, "input": items}
    if backend.is_reasoning_model(model):
        body |= backend.reasoning_required
    if backend.sends("session_id"):
        body["prompt_cache_key"] = session_id
    for name, build in (_FIELDS if given else _ALWAYS).items():
        value = build(request, backend)
        if value is not None:
            body[name] = value
    return with_extra(body, request, backend)


def _tools(request: CompletionRequest, backend: Backend) -> list[Body] | None:
    tools = [_tool(tool) for tool in request.tools]
    if not tools or backend.tool_shape == "additional_tools":
        return None
    return [{**_NAMESPACE, "tools": tools}] if backend.tool_shape == "namespace" else tools


_NAMESPACE = {"type": "namespace", "name": "program", "description": "Functions of the program that asks."}


def _tool(tool: Tool) -> Body:
    if isinstance(tool, HostedTool):
        return {"type": tool.name, **tool.options}
    if isinstance(tool, CustomTool):
        return _custom_tool(tool)
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": bool(tool.strict),
    }


def _custom_tool(tool: CustomTool) -> Body:
    described = {"description": tool.description} if tool.description else {}
    grammar = tool.format
    shape = (
        {"type": "text"}
        if grammar == "text"
        else {"type": "grammar", "syntax": grammar.syntax, "definition": grammar.definition}
    )
    return {"type": "custom", "name": tool.name, **described, "format": shape}


def _tool_choice(request: CompletionRequest, backend: Backend) -> Any:
    choice = tool_choice_of(request)
    if choice is None:
        return "auto" if request.tools else None
    if not isinstance(choice, ToolChoice):
        return choice
    chosen = next(tool for tool in request.tools if tool.name == choice.name)
    if isinstance(chosen, HostedTool):
        return {"type": choice.name}
    return {"type": "custom" if isinstance(chosen, CustomTool) else "function", "name": choice.name}


def _parallel_tool_calls(request: CompletionRequest, backend: Backend) -> bool | None:
    if request.parallel_tool_calls is None and request.tools:
        return True
    return request.parallel_tool_calls


def _reasoning(request: CompletionRequest, backend: Backend) -> Body | None:
    summary = request.reasoning_summary or backend.default_reasoning_summary
    reasoning: Body = {"effort": request.reasoning_effort} if request.reasoning_effort else {}
    if summary and summary != "none":
        reasoning["summary"] = summary
    return reasoning or None


def _text(request: CompletionRequest, backend: Backend) -> Body | None:
    text: Body = {"verbosity": request.verbosity} if request.verbosity else {}
    output = output_format_of(request)
    if output is not None and output.json_object:
        text["format"] = {"type": "json_object"}
    elif output is not None:
        text["format"] = {
            "type": "json_schema",
            "name": output.name,
            "schema": output.schema,
            "strict": output.strict,
        }
    return text or None


def _plain(name: str) -> Callable[[CompletionRequest, Backend], Any]:
    """A parameter that is sent unchanged, if it was given and the backend accepts it."""

    def build(request: CompletionRequest, backend: Backend) -> Any:
        value = getattr(request, name)
        return None if value == {} or not backend.sends(name) else value

    return build


_FIELDS: dict[str, Callable[[CompletionRequest, Backend], Any]] = {
    "temperature": _plain("temperature"),
    "top_p": _plain("top_p"),
    "max_output_tokens": _plain("max_tokens"),
    "metadata": _plain("metadata"),
    "service_tier": _plain("service_tier"),
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _parallel_tool_calls,
    "reasoning": _reasoning,
    "text": _text,
}
# What a request has that sets no parameter.
_ALWAYS = {"reasoning": _reasoning}
