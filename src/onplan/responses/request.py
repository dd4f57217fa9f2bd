"""From a completion request to a Responses request, by the backend's row. Reads no file and no clock."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from onplan.backends import Backend
from onplan.errors import ConfigurationError, InvalidRequestError, SignInAgainError
from onplan.responses.items import input_items
from onplan.types import CompletionRequest, OAuthCredentials, ToolDefinition
from onplan.wire import Request

Body: TypeAlias = dict[str, Any]

TOOL_CHOICES = frozenset({"auto", "none", "required"})


@dataclass(frozen=True, slots=True)
class ResponsesCall:
    """A completion request made ready to send: everything but the credential.

    Attributes:
        url: of the responses endpoint.
        body: the JSON body. It has no printed form.
        session_id: names the conversation in the header by which the prompt cache is found.
        ignored_parameters: what the backend does not take and what was therefore left out.
    """

    backend: Backend
    url: str
    model: str
    session_id: str
    body: bytes = field(repr=False)
    ignored_parameters: tuple[str, ...] = ()

    def request(self, credentials: OAuthCredentials) -> Request:
        """The HTTP request under ``credentials``."""
        headers = {
            **api_headers(self.backend, credentials),
            "accept": "text/event-stream",
            "content-type": "application/json",
            # Without this header the prompt cache is never hit, whatever the body's prompt_cache_key.
            "session-id": self.session_id,
            "x-client-request-id": str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
        }
        return Request("POST", self.url, headers, self.body)


def api_headers(backend: Backend, credentials: OAuthCredentials) -> dict[str, str]:
    """The headers of every API call: the credential, the account, and who we are."""
    if not all(_fits_header(value) for value in (credentials.access_token, credentials.account_id or "")):
        raise SignInAgainError("The stored access token or account id is damaged: no header can hold it.")
    headers = {**backend.headers, "authorization": f"Bearer {credentials.access_token}"}
    if backend.account_header and credentials.account_id:
        headers[backend.account_header] = credentials.account_id
    return headers


def _fits_header(value: str) -> bool:
    """Whether the HTTP library takes it; it would print it in its complaint."""
    return value.isascii() and value.isprintable()


def refuses(unsupported: str) -> bool:
    """Whether ``unsupported`` says that parameters which the backend lacks are refused, or dropped.

    Raises:
        ConfigurationError: it says neither; a misspelt ``refuse`` must not drop anything.
    """
    if unsupported not in ("drop", "refuse"):
        raise ConfigurationError(
            f"unsupported={unsupported!r} is neither 'drop' nor 'refuse'.", hint="Write one of the two."
        )
    return unsupported == "refuse"


def prepare(
    request: CompletionRequest,
    backend: Backend,
    base_url: str,
    model: str,
    *,
    refuse_unsupported: bool = False,
) -> ResponsesCall:
    """Build the call. Images and files must have been read already.

    Raises:
        InvalidRequestError: the request cannot be said to this backend; with ``refuse_unsupported``, also
            when it has a parameter that would be left out.
    """
    ignored = tuple(name for name in _given_parameters(request) if backend.drops(name))
    if ignored and refuse_unsupported:
        raise InvalidRequestError(
            f"{backend.name} does not take {', '.join(ignored)}.",
            hint='Remove them, or let them be left out: `Client(unsupported="drop")`.',
        )
    session_id = request.session_id or derive_session_id(request)
    if not (session_id.isascii() and session_id.isprintable()):  # it travels in a header
        raise InvalidRequestError("A session_id consists of printable ASCII characters.")
    body = _body(request, backend, model, session_id)
    return ResponsesCall(
        backend, f"{base_url}/responses", model, session_id, msgspec.json.encode(body), ignored
    )


def derive_session_id(request: CompletionRequest) -> str:
    """A name for the conversation, from its first messages: the same for every turn of it.

    A program that keeps no state of its own so still finds its prompt in the cache.
    """
    beginning = []
    for message in request.messages:
        beginning.append(message)
        if message.role == "user":
            break
    digest = sha256(msgspec.json.encode(beginning)).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


_NOTHING_GIVEN = CompletionRequest(messages=[])


def _given_parameters(request: CompletionRequest) -> list[str]:
    """The names of the parameters that the program set."""
    return [
        name
        for name in request.__struct_fields__
        if name != "messages" and getattr(request, name) != getattr(_NOTHING_GIVEN, name)
    ]


def _body(request: CompletionRequest, backend: Backend, model: str, session_id: str) -> Body:
    """The body's fields; those without a value are absent."""
    items = input_items(request.messages, backend.system_role)
    if not items:
        raise InvalidRequestError("The request says nothing: it has no messages, or they are empty.")
    body: Body = {
        "model": model,
        **backend.required,
        "input": items,
        "prompt_cache_key": session_id,
    }
    for name, build in _FIELDS.items():
        value = build(request, backend)
        if value is not None:
            body[name] = value
    return body


def _tools(request: CompletionRequest, backend: Backend) -> list[Body] | None:
    return [_tool(tool) for tool in request.tools] or None


def _tool(tool: ToolDefinition) -> Body:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": False,
    }


def _tool_choice(request: CompletionRequest, backend: Backend) -> Any:
    choice = request.tool_choice
    if choice is None:
        return "auto" if request.tools else None
    if choice in TOOL_CHOICES:
        return choice
    if choice not in {tool.name for tool in request.tools}:
        raise InvalidRequestError(
            f"tool_choice names {choice!r}, which is not one of the tools.",
            hint="Use auto, none, required, or the name of a tool in the request.",
        )
    return {"type": "function", "name": choice}


def _parallel_tool_calls(request: CompletionRequest, backend: Backend) -> bool | None:
    if request.parallel_tool_calls is None and request.tools:
        return True
    return request.parallel_tool_calls


def _reasoning(request: CompletionRequest, backend: Backend) -> Body | None:
    summary = request.reasoning_summary or backend.default_reasoning_summary
    reasoning = {
        "effort": request.reasoning_effort,
        "summary": None if summary == "none" else summary,
    }
    return {name: value for name, value in reasoning.items() if value} or None


def _text(request: CompletionRequest, backend: Backend) -> Body | None:
    text: Body = {"verbosity": request.verbosity} if request.verbosity else {}
    schema = request.response_format
    if schema is not None:
        text["format"] = {
            "type": "json_schema",
            "name": _schema_name(schema),
            "schema": schema,
            "strict": is_strict(schema),
        }
    return text or None


def _schema_name(schema: Body) -> str:
    title = "".join(
        c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in str(schema.get("title") or "")
    )
    return title[:64] or "response"


def is_strict(schema: Any) -> bool:
    """Whether every object in a JSON schema is closed and requires all its properties.

    Only such a schema may be sent as strict; another one would be refused.
    """
    if isinstance(schema, list):
        return all(is_strict(entry) for entry in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    kinds = schema.get("type")
    if "object" in (kinds if isinstance(kinds, list) else [kinds]) or isinstance(properties, dict):
        closed = schema.get("additionalProperties") is False
        if not closed or set(properties or ()) != set(schema.get("required") or ()):
            return False
    return all(is_strict(value) for value in schema.values())


def _service_tier(request: CompletionRequest, backend: Backend) -> str | None:
    return request.service_tier


_FIELDS: dict[str, Callable[[CompletionRequest, Backend], Any]] = {
    "service_tier": _service_tier,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _parallel_tool_calls,
    "reasoning": _reasoning,
    "text": _text,
}
