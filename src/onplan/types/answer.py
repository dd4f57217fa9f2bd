"""An answer, whole or as the chunks of a stream, with the tokens that it used."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeAlias, cast

import msgspec

from onplan.errors import InvalidRequestError, OutputError, OutputRefusedError, OutputTruncatedError
from onplan.types.limits import Limits
from onplan.types.message import Message
from onplan.types.parts import ContentPart, Image, Refusal, Text, Thinking, ToolCall

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from onplan.structured.output_format import OutputFormat
    from onplan.types.citations import Citation, SearchAction

    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)


class FinishReason(enum.StrEnum):
    """Why the answer ended. After ``STOP`` and ``TOOL_CALLS`` it is complete."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the backend counted them. Cached and reasoning tokens are included in the totals."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class CompletionResponse(msgspec.Struct, Generic[T_co], frozen=True, dict=True):
    """An answer that is complete. ``CompletionResponse[Bird]`` is the answer to ``response_format=Bird``.

    Attributes:
        message: append it to the conversation for the next turn; its thinking parts belong there too.
        finish_reason: ``length`` and ``content_filter`` mean that the answer was cut off.
        model: the model that answered, which may differ from the one that was asked.
        ignored_parameters: request parameters that the backend does not take and that were left out.
        emulated_parameters: request parameters that onplan carried out itself, for the backend does not:
            ``stop`` and ``max_tokens``, after which an answer that onplan ended may have no usage, and
            ``reasoning_effort`` if it was changed to one that the model offers.
        history_repairs: what was changed in the conversation so that the backend does not refuse it, one
            sentence each: arguments that were not JSON, calls without a result, results without a call.
        native_finish_reason: the word of a Chat Completions server, if it is none of ``FinishReason``. An
            unknown word counts as ``stop``. None over the Responses API.
        request_id: the backend's identifier of the request, to quote in a report; else the one that onplan
            sent.
        limits: what the plan has left, as far as that came with the answer; None if it did not.
        repairs: how often the model was told that its answer did not fit (``complete(…, repairs=1)``). The
            usage is that of all these answers together.
    """

    message: Message
    usage: Usage
    finish_reason: FinishReason
    model: str
    response_id: str | None = None
    ignored_parameters: list[str] = []
    history_repairs: list[str] = []
    native_finish_reason: str | None = None
    limits: Limits | None = None
    request_id: str | None = None
    repairs: int = 0
    emulated_parameters: list[str] = []

    @property
    def text(self) -> str:
        """The answer's text parts, joined."""
        return self.message.text

    @property
    def thinking(self) -> str:
        """The summary of the model's reasoning, its parts apart by an empty line; empty if there is none."""
        parts = self.message.content
        return "\n\n".join(part.text for part in parts if isinstance(part, Thinking) and part.text)

    @property
    def refusal(self) -> str | None:
        """The model's explanation why it does not answer; None if it did."""
        said = [part.text for part in self.message.content if isinstance(part, Refusal)]
        return "".join(said) if said else None

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls to run, in order."""
        return self.message.tool_calls

    @property
    def citations(self) -> list[Citation]:
        """The web pages that the answer names as its sources, in order.

        They are those that the server annotated. Where it annotated none, they are the Markdown links in the
        text; ``Citation.source`` says which.
        """
        from onplan.types.citations import citations_of

        return citations_of(self.message.content)

    @property
    def searches(self) -> list[SearchAction]:
        """What the model did on the web with the hosted tool: searches, and pages that it opened."""
        from onplan.types.citations import searches_in

        return searches_in(self.message.content)

    @property
    def images(self) -> list[Image]:
        """The images that the hosted tool ``image_generation`` made, in order, each with its ``data``.

        ``client.images`` makes images without asking a model.
        """
        from onplan.types.hosted_images import images_in

        return images_in(self.message.content)

    @property
    def parsed(self) -> T_co:
        """The value that the request's ``response_format`` asks for, read from the text once.

        Raises:
            OutputError: the text is not such a value; or there is none, since the model calls tools.
            OutputRefusedError: the model declined to answer.
            OutputTruncatedError: the answer was cut off.
            InvalidRequestError: the request had no ``response_format``.
        """
        kept = self.__dict__
        if _VALUE not in kept:
            output: OutputFormat | None = kept.get(_OUTPUT)
            if output is None:
                raise InvalidRequestError(
                    "The request had no response_format, so there is no value to read from the answer.",
                    hint="Give it one: `client.complete(…, response_format=Bird)`.",
                )
            try:
                kept[_VALUE] = output.parse(_whole_text(self))
            except OutputError as error:
                error.request_id = self.request_id
                raise
        return cast("T_co", kept[_VALUE])

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, also in other processes, have the same ``parsed``."""
        fields = tuple(getattr(self, name) for name in self.__struct_fields__)
        return _restored, (fields, self.__dict__.get(_OUTPUT))


# What is no field: it has no JSON form, and is no part of what makes two answers equal.
_OUTPUT, _VALUE = "_output", "_value"


def read_by(response: CompletionResponse, output: OutputFormat | None) -> None:
    """Let ``response.parsed`` be the value that ``output`` reads."""
    if output is not None:
        response.__dict__[_OUTPUT] = output


def output_of(response: CompletionResponse) -> OutputFormat | None:
    """The format by which ``response.parsed`` is read."""
    return response.__dict__.get(_OUTPUT)


def _restored(fields: tuple[Any, ...], output: OutputFormat | None) -> CompletionResponse:
    response: CompletionResponse = CompletionResponse(*fields)
    read_by(response, output)
    return response


def _whole_text(response: CompletionResponse) -> str:
    """The text to read a value from, without remarks that the model makes on its way to the answer.

    Raises:
        OutputError: the answer is not whole, or is no answer.
    """
    content = response.message.content
    text = "".join(part.text for part in content if isinstance(part, Text) and part.phase != "commentary")
    if response.refusal is not None or response.finish_reason is FinishReason.CONTENT_FILTER:
        said = response.refusal or text
        raise OutputRefusedError("The model declined to answer, or its answer was filtered.", text=said)
    if response.finish_reason is FinishReason.LENGTH:
        raise OutputTruncatedError("The answer was cut off, so there is no whole value in it.", text=text)
    if response.finish_reason is FinishReason.TOOL_CALLS:
        names = ", ".join(call.name for call in response.tool_calls)
        raise OutputError(
            f"The model calls tools before it answers: {names}.",
            hint="Run the calls, and ask again with their results.",
            text=text,
        )
    return text


class JSONReader(Protocol[T_co]):
    """What reads JSON as a value of a type: pydantic's ``TypeAdapter``."""

    def validate_json(self, data: str | bytes | bytearray, /) -> T_co:
        """The value in the JSON text ``data``."""
        ...


class _Chunk(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """A piece of an answer, tagged by its ``type``."""


class TextDelta(_Chunk, frozen=True, tag="text"):
    """More of the answer's text."""

    type: ClassVar[Literal["text"]] = "text"
    text: str


class ThinkingDelta(_Chunk, frozen=True, tag="thinking"):
    """More of the reasoning summary."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    text: str


class ToolCallStart(_Chunk, frozen=True, tag="tool_call_start", omit_defaults=True):
    """A tool call begins; its arguments follow under the same ``id``.

    Attributes:
        is_custom: whether it calls a ``CustomTool``, so that its arguments are free text.
    """

    type: ClassVar[Literal["tool_call_start"]] = "tool_call_start"
    id: str
    name: str
    is_custom: bool = False


class ToolCallDelta(_Chunk, frozen=True, tag="tool_call_delta"):
    """More of the JSON text of one call's arguments, or of the text for a custom tool."""

    type: ClassVar[Literal["tool_call_delta"]] = "tool_call_delta"
    id: str
    arguments_delta: str


class ToolCallEnd(_Chunk, frozen=True, tag="tool_call_end"):
    """The arguments of one call are complete."""

    type: ClassVar[Literal["tool_call_end"]] = "tool_call_end"
    id: str


class PartDone(_Chunk, frozen=True, tag="part_done"):
    """A content part is complete. It stays valid if the connection breaks later."""

    type: ClassVar[Literal["part_done"]] = "part_done"
    part: ContentPart


class Done(_Chunk, frozen=True, tag="done"):
    """The answer is complete. Every stream that raises no error ends with exactly one of these."""

    type: ClassVar[Literal["done"]] = "done"
    usage: Usage
    finish_reason: FinishReason
    response: CompletionResponse


class Resumed(_Chunk, frozen=True, tag="resumed"):
    """The connection broke and the request was sent again; only with ``resume=True``.

    ``parts`` are complete and stay valid, in order. Discard whatever else was streamed so far.
    """

    type: ClassVar[Literal["resumed"]] = "resumed"
    parts: list[ContentPart]


StreamChunk: TypeAlias = (
    TextDelta | ThinkingDelta | ToolCallStart | ToolCallDelta | ToolCallEnd | PartDone | Resumed | Done
)
