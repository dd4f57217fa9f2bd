"""The vocabulary: what a program says to a provider and what it hears back.

Knows nothing of wires. Every tagged value has a readable ``type``; enumerations equal their strings.
Everything here is a ``msgspec.Struct``, so ``msgspec.json.encode`` and ``decode`` give the JSON shapes.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec
from msgspec.structs import force_setattr

from onplan.errors import InvalidRequestError
from onplan.field_types import PathLike, require_fields

__all__ = [
    "APIKey",
    "CompletionRequest",
    "CompletionResponse",
    "ContentPart",
    "Credential",
    "Done",
    "File",
    "FinishReason",
    "Image",
    "Message",
    "ModelInfo",
    "OAuthCredentials",
    "PartDone",
    "Provider",
    "Refusal",
    "Resumed",
    "Role",
    "StreamChunk",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "ToolChoice",
    "ToolDefinition",
    "ToolResult",
    "Usage",
    "as_request",
]


class Role(enum.StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class FinishReason(enum.StrEnum):
    """Why the model stopped. ``STOP`` and ``TOOL_CALLS`` are the complete answers."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


# --- content parts ----------------------------------------------------------------------------------


class _Part(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """A tagged piece of a message.

    Raises:
        TypeError: a field holds what it cannot.
    """

    def __post_init__(self) -> None:
        """Accept the short spellings."""
        require_fields(self, _ADVICE)


# What makes the right thing of a wrong one, by the field's name.
_ADVICE = {
    "arguments": " `json.dumps` makes the JSON text.",
    "url": " A file on this machine is named with `path=`.",
    "data": " `base64.b64decode` makes them of base64.",
}


class Text(_Part, frozen=True, tag="text"):
    """Text. ``phase`` (commentary, final_answer) is the backend's own and is carried over unchanged."""

    type: ClassVar[Literal["text"]] = "text"
    text: str
    phase: str | None = None


class Image(_Part, frozen=True, tag="image"):
    """An image: by ``url`` (https or data), by local ``path`` (read when sent), or as ``data`` bytes.

    The bytes decide its type. ``mime_type`` counts for kinds of images that only some servers take.
    """

    type: ClassVar[Literal["image"]] = "image"
    url: str | None = None
    path: str | None = None
    data: bytes | None = None
    mime_type: str | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            url: str | None = None,
            path: str | PathLike | None = None,
            data: bytes | bytearray | memoryview | None = None,
            mime_type: str | None = None,
        ) -> None: ...


class File(_Part, frozen=True, tag="file"):
    """A document: by ``url``, by local ``path`` (read when sent), or as ``data`` bytes."""

    type: ClassVar[Literal["file"]] = "file"
    url: str | None = None
    path: str | None = None
    data: bytes | None = None
    mime_type: str | None = None
    filename: str | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            url: str | None = None,
            path: str | PathLike | None = None,
            data: bytes | bytearray | memoryview | None = None,
            mime_type: str | None = None,
            filename: str | None = None,
        ) -> None: ...


class ToolCall(_Part, frozen=True, tag="tool_call"):
    """The model asks for a function; ``arguments`` is the JSON text, whole.

    ``namespace`` is that in which the function was offered, if it was in one. ``signature`` is what the
    server wants back with the call and only the server can read (a thought signature), as JSON text; it is
    carried over unchanged.
    """

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    id: str
    name: str
    arguments: str
    namespace: str | None = None
    signature: str | None = None

    def parse_arguments(self) -> Any:
        """The arguments as Python values. Raises ``msgspec.DecodeError`` if the model wrote bad JSON."""
        return msgspec.json.decode(self.arguments or "{}")


class ToolResult(_Part, frozen=True, tag="tool_result"):
    """What a function returned: text, or text and image parts."""

    type: ClassVar[Literal["tool_result"]] = "tool_result"
    tool_call_id: str
    content: str | list[Text | Image]

    def __post_init__(self) -> None:
        """Accept the short spellings. Raises TypeError for what is neither text nor a list of parts."""
        super().__post_init__()
        given: Any = self.content
        if isinstance(given, str):
            return
        pieces = given if isinstance(given, list | tuple) else [given]
        parts = [Text(piece) if isinstance(piece, str) else piece for piece in pieces]
        for part in parts:
            if not isinstance(part, _Part):
                raise TypeError(
                    f"A tool's result is a string, or Text and Image parts, and not {type(part).__name__}. "
                    "`json.dumps` or `str` makes a string of it."
                )
        force_setattr(self, "content", parts)


class Thinking(_Part, frozen=True, tag="thinking"):
    """A summary of the model's reasoning; ``encrypted`` is the reasoning itself, for the next turn only."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    text: str = ""
    encrypted: str | None = None


class Refusal(_Part, frozen=True, tag="refusal"):
    """The model declined, in words."""

    type: ClassVar[Literal["refusal"]] = "refusal"
    text: str


ContentPart: TypeAlias = Text | Image | File | ToolCall | ToolResult | Thinking | Refusal


# --- messages ---------------------------------------------------------------------------------------


class Message(msgspec.Struct, frozen=True):
    """One message. ``content`` may be given as a string; it always reads as a list of parts.

    Raises:
        ValueError: ``role`` is not one of ``Role``.
        TypeError: ``content`` is neither a string nor a list of content parts.
    """

    role: Role
    content: list[ContentPart]

    if TYPE_CHECKING:

        def __init__(
            self, role: Role | str, content: str | ContentPart | Iterable[str | ContentPart]
        ) -> None: ...

    def __post_init__(self) -> None:
        """Accept the short spellings."""
        force_setattr(self, "role", Role(self.role))
        given: Any = self.content
        items = [given] if isinstance(given, str | _Part) else list(given)
        parts = [Text(item) if isinstance(item, str) else item for item in items]
        for part in parts:
            if not isinstance(part, _Part):
                raise TypeError(f"A message holds strings and content parts, not {type(part).__name__}.")
        force_setattr(self, "content", parts)

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls, in order."""
        return [part for part in self.content if isinstance(part, ToolCall)]

    @classmethod
    def system(cls, *content: str | ContentPart) -> Message:
        """What the model is told about its task."""
        return cls(Role.SYSTEM, content)

    @classmethod
    def developer(cls, *content: str | ContentPart) -> Message:
        """The same, in the Responses API's own word."""
        return cls(Role.DEVELOPER, content)

    @classmethod
    def user(cls, *content: str | ContentPart) -> Message:
        """What the person says: text, images, files."""
        return cls(Role.USER, content)

    @classmethod
    def assistant(cls, *content: str | ContentPart) -> Message:
        """What the model said before."""
        return cls(Role.ASSISTANT, content)

    @classmethod
    def tool(cls, tool_call_id: str, content: str | list[Text | Image]) -> Message:
        """What the function answered to the call ``tool_call_id``."""
        return cls(Role.TOOL, [ToolResult(tool_call_id, content)])


class ToolDefinition(msgspec.Struct, frozen=True):
    """A function the model may call; ``parameters`` is a JSON schema of type object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})


class ToolChoice(msgspec.Struct, frozen=True):
    """``tool_choice`` for one particular tool: the model must call the tool of this name."""

    name: str


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One question to a model. Whatever the backend cannot take is reported, never quietly ignored.

    Raises InvalidRequestError where a field holds what it cannot.

    Attributes:
        messages: the conversation, oldest first; a plain string stands for one user message.
        model: a model id; without one, ``ONPLAN_MODEL``, then the profile's, then the first listed.
        tools: functions the model may call.
        tool_choice: ``auto``, ``none``, ``required``, or ``ToolChoice(name)`` for one of ``tools``.
        parallel_tool_calls: whether several calls may come in one answer.
        temperature: sampling temperature.
        top_p: nucleus sampling.
        max_tokens: longest answer, in tokens.
        stop: texts at which the answer ends.
        reasoning_effort: how hard to think: one of the model's ``reasoning_efforts``.
        reasoning_summary: ``auto``, ``concise``, ``detailed`` or ``none``: whether to show the thinking.
        verbosity: ``low``, ``medium`` or ``high``.
        service_tier: such as ``priority``.
        response_format: a JSON schema that the answer's text will follow.
        session_id: names the conversation, so that its prompt is found in the cache; one is derived from
            the conversation's beginning when it is not given.
        metadata: free labels, for backends that keep them.
    """

    messages: list[Message]
    model: str | None = None
    tools: list[ToolDefinition] = []
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] = []
    reasoning_effort: str | None = None
    reasoning_summary: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    response_format: dict[str, Any] | None = None
    session_id: str | None = None
    metadata: dict[str, str] = {}

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            messages: str | Message | Iterable[Message],
            model: str | None = None,
            tools: list[ToolDefinition] | None = ...,
            tool_choice: Literal["auto", "none", "required"] | ToolChoice | None = None,
            parallel_tool_calls: bool | None = None,
            temperature: float | None = None,
            top_p: float | None = None,
            max_tokens: int | None = None,
            stop: str | list[str] | None = ...,
            reasoning_effort: str | None = None,
            reasoning_summary: str | None = None,
            verbosity: str | None = None,
            service_tier: str | None = None,
            response_format: dict[str, Any] | None = None,
            session_id: str | None = None,
            metadata: dict[str, str] | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Accept the short spellings."""
        given: Any = self.messages
        if isinstance(given, str):
            given = [Message.user(given)]
        elif isinstance(given, Message):
            given = [given]
        _require(given, Iterable, "messages", "a string, a Message or several of them")
        force_setattr(self, "messages", list(given))
        for message in self.messages:
            _require(
                message, Message, "messages", 'Message objects, such as Message.user("Name three birds")'
            )
        for name in ("tools", "stop", "metadata"):
            if getattr(self, name) is None:  # as other libraries say that there are none
                force_setattr(self, name, {} if name == "metadata" else [])
        stop: Any = self.stop
        if isinstance(stop, str):
            force_setattr(self, "stop", [stop])
        _require(self.tools, list | tuple, "tools", "a list of ToolDefinition objects")
        for tool in self.tools:
            _require(
                tool, ToolDefinition, "tools", "ToolDefinition objects: a name, a description, parameters"
            )
        for name in _TEXTS:
            _require(getattr(self, name), str | None, name, "a string")
        if not isinstance(self.tool_choice, ToolChoice | None) and self.tool_choice not in _TOOL_CHOICES:
            raise InvalidRequestError(
                f"tool_choice is {self.tool_choice!r}, which is neither auto, none nor required.",
                hint="For one particular tool give it `ToolChoice(NAME)`.",
            )
        self._require_schema()

    def _require_schema(self) -> None:
        schema: Any = self.response_format
        expected = "a JSON schema as a dict; of a pydantic model that is `Model.model_json_schema()`"
        _require(schema, dict | None, "response_format", expected)
        if schema and schema.get("type") in _WRAPPERS:
            raise InvalidRequestError(
                f"response_format is the API's wrapper ({schema['type']}), and not the JSON schema itself.",
                hint='Give it the schema, such as {"type": "object", "properties": {…}}.',
            )


_TOOL_CHOICES = ("auto", "none", "required")
_TEXTS = (
    "model",
    "reasoning_effort",
    "reasoning_summary",
    "verbosity",
    "service_tier",
    "session_id",
)
# Types of `response_format` and of `text.format` in the API. No JSON schema has one of them.
_WRAPPERS = ("json_schema", "json_object", "text")


def _require(given: object, kind: Any, field: str, expected: str) -> None:
    if not isinstance(given, kind):
        raise InvalidRequestError(
            f"{field} cannot hold what it was given: {_named(given)}.",
            hint=f"Give it {expected}.",
        )


def _named(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__


def as_request(request: object) -> CompletionRequest:
    """A request from a request, or from a plain string. Raises InvalidRequestError for anything else."""
    if isinstance(request, CompletionRequest):
        return request
    if isinstance(request, str):
        return CompletionRequest(messages=request)
    raise InvalidRequestError(
        f"A request is a string or a CompletionRequest, and not {type(request).__name__}.",
        hint="Write `CompletionRequest(messages=…)`, with the model and whatever else is wanted.",
    )


# --- answers ----------------------------------------------------------------------------------------


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the backend counted them. Cached and reasoning tokens are included in the totals."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class CompletionResponse(msgspec.Struct, frozen=True):
    """A whole answer.

    Attributes:
        message: append it to the conversation for the next turn; its thinking parts belong there too.
        finish_reason: anything but ``stop`` and ``tool_calls`` means that the answer was cut or refused.
        model: the model that answered, which may differ from the one that was asked.
        ignored_parameters: request parameters that the backend does not take and that were left out.
        history_repairs: what was changed in the conversation so that the backend does not refuse it, one
            sentence each: arguments that were no JSON, calls without a result, results without a call.
        native_finish_reason: a Chat Completions server's own word, where it is none of ``FinishReason``. A
            word that is not known is taken for ``stop``. None over the Responses API.
    """

    message: Message
    usage: Usage
    finish_reason: FinishReason
    model: str
    response_id: str | None = None
    ignored_parameters: list[str] = []
    history_repairs: list[str] = []
    native_finish_reason: str | None = None

    @property
    def text(self) -> str:
        """The answer's text parts, joined."""
        return self.message.text

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls to carry out, in order."""
        return self.message.tool_calls


class _Chunk(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """A tagged piece of a stream."""


class TextDelta(_Chunk, frozen=True, tag="text"):
    """More of the answer's text."""

    type: ClassVar[Literal["text"]] = "text"
    text: str


class ThinkingDelta(_Chunk, frozen=True, tag="thinking"):
    """More of the reasoning summary."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    text: str


class ToolCallStart(_Chunk, frozen=True, tag="tool_call_start"):
    """The model begins a call; its arguments follow under the same ``id``."""

    type: ClassVar[Literal["tool_call_start"]] = "tool_call_start"
    id: str
    name: str


class ToolCallDelta(_Chunk, frozen=True, tag="tool_call_delta"):
    """More of one call's argument text."""

    type: ClassVar[Literal["tool_call_delta"]] = "tool_call_delta"
    id: str
    arguments_delta: str


class ToolCallEnd(_Chunk, frozen=True, tag="tool_call_end"):
    """One call's arguments are complete."""

    type: ClassVar[Literal["tool_call_end"]] = "tool_call_end"
    id: str


class PartDone(_Chunk, frozen=True, tag="part_done"):
    """A content part is finished; it stays true if the connection breaks later."""

    type: ClassVar[Literal["part_done"]] = "part_done"
    part: ContentPart


class Done(_Chunk, frozen=True, tag="done"):
    """The end: exactly one, the last chunk of every stream that did not raise."""

    type: ClassVar[Literal["done"]] = "done"
    usage: Usage
    finish_reason: FinishReason
    response: CompletionResponse


class Resumed(_Chunk, frozen=True, tag="resumed"):
    """The connection broke and the turn was asked again; only with ``resume=True``.

    ``parts`` are finished and stay, in order. Whatever else was streamed so far is void.
    """

    type: ClassVar[Literal["resumed"]] = "resumed"
    parts: list[ContentPart]


StreamChunk: TypeAlias = (
    TextDelta | ThinkingDelta | ToolCallStart | ToolCallDelta | ToolCallEnd | PartDone | Resumed | Done
)


# --- models and credentials -------------------------------------------------------------------------


class ModelInfo(msgspec.Struct, frozen=True):
    """A model a provider serves. Costs are per million tokens; on a plan they are zero."""

    id: str
    name: str
    provider: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    supports_vision: bool = False
    reasoning_efforts: list[str] = []
    default_reasoning_effort: str | None = None
    input_cost_per_million: float | None = None
    output_cost_per_million: float | None = None


class OAuthCredentials(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a sign-in leaves behind. Its printed form shows who and until when, never a token.

    Attributes:
        expires_at: when the access token expires, Unix seconds.
        account_id: the ChatGPT account (workspace) that requests are made for.
        client_id: the OAuth client the tokens belong to.
        issuer: the authorization server they came from, and where they are refreshed.
        scopes: what was granted.
        earliest_refresh_at: before when the server wants no refresh, Unix seconds, if it said so.
    """

    access_token: str
    refresh_token: str | None = None
    id_token: str | None = None
    expires_at: float | None = None
    account_id: str | None = None
    plan: str | None = None
    email: str | None = None
    client_id: str | None = None
    issuer: str | None = None
    scopes: list[str] = []
    earliest_refresh_at: float | None = None

    def __repr__(self) -> str:
        """Masked: a credential in a log or a traceback shows no token."""
        return (
            f"OAuthCredentials(email={self.email!r}, plan={self.plan!r}, account_id={self.account_id!r}, "
            f"expires_at={self.expires_at!r}, access_token=…, refresh_token=…)"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Masked for rich as well, which would not ask ``__repr__``."""
        return [("email", self.email), ("plan", self.plan), ("expires_at", self.expires_at)]


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A client that an issuer registered for one person, workspace and program. None of it is secret.

    Attributes:
        client_id: as it was issued.
        issuer: by whom.
        subject: who signed in with it (the ID token's ``sub``); None until somebody has.
        email: of that person.
    """

    client_id: str
    issuer: str
    subject: str | None = None
    email: str | None = None


class APIKey(msgspec.Struct, frozen=True):
    """A bearer token that is never refreshed: a platform's key; empty for a server that wants none."""

    access_token: str = ""

    def __repr__(self) -> str:
        """Masked."""
        return "APIKey(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Masked for rich as well, which would not ask ``__repr__``."""
        return []


Credential: TypeAlias = OAuthCredentials | APIKey
"""What a request is made under; a backend's row says which of the two it takes."""


@runtime_checkable
class Provider(Protocol):
    """Anything that answers: ``AsyncClient``, ``OpenAICodexProvider``, or a program's own."""

    @property
    def name(self) -> str:
        """The backend's name, such as ``openai-codex``."""
        ...

    def list_models(self) -> Awaitable[Sequence[ModelInfo]]:
        """The models this provider serves now, best first."""
        ...

    def complete(self, request: CompletionRequest | str) -> Awaitable[CompletionResponse]:
        """A whole answer, or an ``OnplanError``."""
        ...

    def complete_stream(self, request: CompletionRequest | str) -> AsyncIterator[StreamChunk]:
        """The answer as it arrives: one ``Done`` at the end, or an ``OnplanError``."""
        ...
