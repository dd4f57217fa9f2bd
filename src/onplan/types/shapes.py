"""The shapes in which a message may be given as a dict, and the message of each.

A dict may be a message of Chat Completions, an input or output item of the Responses API, or a message as
``msgspec.json`` writes it. Fields typed Any are passed over: they do not change what is asked. No shape has a
``path``: a program may pass on what other people wrote, and they must not have files of this machine sent.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from onplan.errors import InvalidRequestError
from onplan.types.citations import annotations_from
from onplan.types.message import Message, Role
from onplan.types.parts import (
    IMAGE_GENERATION,
    WEB_SEARCH,
    ContentPart,
    File,
    HostedToolCall,
    Image,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    """An object of one of the APIs."""


class _Part(_Shape, tag_field="type", kw_only=True):
    """A content part. Clients of several APIs mark what is to be cached; here that needs no mark."""

    cache_control: Any = None

    def part(self, where: str) -> ContentPart:
        """The part of ours. Raises InvalidRequestError."""
        raise NotImplementedError


class _Text(_Part, tag="text"):
    text: str
    phase: str | None = None
    annotations: Any = None
    logprobs: Any = None

    def part(self, where: str) -> ContentPart:
        """A text."""
        return Text(self.text, self.phase, annotations_from(self.annotations))


class _InputText(_Text, tag="input_text"):
    pass


class _OutputText(_Text, tag="output_text"):
    pass


class _ImageURL(_Shape):
    url: str
    detail: str | None = None


class _ImagePart(_Part, tag="image_url"):
    image_url: _ImageURL | str

    def part(self, where: str) -> ContentPart:
        """An image by its URL, of Chat Completions."""
        image = _ImageURL(self.image_url) if isinstance(self.image_url, str) else self.image_url
        return Image(url=image.url, detail=image.detail)


class _InputImage(_Part, tag="input_image"):
    image_url: str
    detail: str | None = None

    def part(self, where: str) -> ContentPart:
        """An image by its URL, of the Responses API."""
        return Image(url=self.image_url, detail=self.detail)


class _OwnImage(_Part, tag="image"):
    url: str | None = None
    data: bytes | None = None
    mime_type: str | None = None
    detail: str | None = None

    def part(self, where: str) -> ContentPart:
        """An image as onplan writes it."""
        return Image(self.url, None, self.data, self.mime_type, self.detail)


class _FileData(_Shape):
    file_data: str
    filename: str | None = None


class _File(_Part, tag="file"):
    file: _FileData | None = None
    url: str | None = None
    data: bytes | None = None
    mime_type: str | None = None
    filename: str | None = None

    def part(self, where: str) -> ContentPart:
        """A file of Chat Completions, or as onplan writes it."""
        if self.file:
            return _file(self.file.file_data, self.file.filename, f"{where}.file.file_data")
        return File(self.url, None, self.data, self.mime_type, self.filename)


class _InputFile(_Part, tag="input_file"):
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None

    def part(self, where: str) -> ContentPart:
        """A file of the Responses API."""
        if self.file_data is None:
            return File(url=self.file_url, filename=self.filename)
        return _file(self.file_data, self.filename, f"{where}.file_data")


class _Refusal(_Part, tag="refusal"):
    refusal: str = ""
    text: str = ""

    def part(self, where: str) -> ContentPart:
        """A refusal."""
        return Refusal(self.refusal or self.text)


class _OwnToolCall(_Part, tag="tool_call"):
    id: str
    name: str
    arguments: str
    namespace: str | None = None
    signature: str | None = None
    is_custom: bool = False

    def part(self, where: str) -> ContentPart:
        """A call as onplan writes it."""
        return ToolCall(
            self.id, self.name, self.arguments, self.namespace, self.signature, is_custom=self.is_custom
        )


class _OwnHostedToolCall(_Part, tag="hosted_tool_call"):
    name: str
    fields: dict[str, Any] = {}

    def part(self, where: str) -> ContentPart:
        """A hosted tool's call as onplan writes it."""
        return HostedToolCall(self.name, self.fields)


class _OwnToolResult(_Part, tag="tool_result"):
    tool_call_id: str
    content: str | list[OfUser]
    is_error: bool = False

    def part(self, where: str) -> ContentPart:
        """A result as onplan writes it."""
        return ToolResult(self.tool_call_id, _result(self.content, f"{where}.content"), self.is_error)


class _OwnThinking(_Part, tag="thinking"):
    text: str = ""
    encrypted: str | None = None

    def part(self, where: str) -> ContentPart:
        """Thinking as onplan writes it."""
        return Thinking(self.text, self.encrypted)


OfUser: TypeAlias = (
    _Text | _InputText | _OutputText | _ImagePart | _InputImage | _OwnImage | _File | _InputFile
)
_Content: TypeAlias = OfUser | _Refusal | _OwnToolCall | _OwnHostedToolCall | _OwnToolResult | _OwnThinking

OF_USERS = ("text", "input_text", "image_url", "input_image", "image", "file", "input_file")


def _file(data: str, filename: str | None, where: str) -> File:
    """A file from its ``data:`` URL, or from base64 alone."""
    head, comma, encoded = data.rpartition(",")
    try:
        content = b64decode(encoded, validate=True)
    except binascii.Error:
        raise InvalidRequestError(f"{where} is neither a data URL nor base64.") from None
    mime_type = head.removeprefix("data:").partition(";")[0] if comma else None
    return File(data=content, mime_type=mime_type or None, filename=filename)


def _result(content: str | list[OfUser], where: str) -> str | list[ContentPart]:
    if isinstance(content, str):
        return content
    return [piece.part(f"{where}[{index}]") for index, piece in enumerate(content)]


class _Function(_Shape):
    name: str
    arguments: str = ""
    provider_specific_fields: Any = None
    thought_signature: Any = None
    extra_content: Any = None


class _Custom(_Shape):
    name: str
    input: str = ""


class _Call(_Shape):
    """An entry of ``tool_calls``. Signatures stay, as ``chat.signatures`` has them."""

    id: str
    function: _Function | None = None
    custom: _Custom | None = None
    type: str = "function"
    index: Any = None
    extra_content: Any = None
    provider_specific_fields: Any = None
    thought_signature: Any = None

    def part(self, where: str) -> ToolCall:
        """The call. Raises InvalidRequestError if it is neither of a function nor of a custom tool."""
        if self.custom is not None:
            return ToolCall(self.id, self.custom.name, self.custom.input, is_custom=True)
        if self.function is None:
            raise InvalidRequestError(f"{where}.function is missing.")
        outside, inside = _signature(self), _signature(self.function)
        fields = {**outside, "function": inside} if inside else outside
        signature = msgspec.json.encode(fields).decode() if fields else None
        return ToolCall(self.id, self.function.name, self.function.arguments, signature=signature)


def _signature(shape: _Call | _Function) -> dict[str, Any]:
    names = ("extra_content", "provider_specific_fields", "thought_signature")
    return {name: value for name in names if (value := getattr(shape, name))}


class _Message(_Shape):
    """A message of either API."""

    role: Role
    content: str | list[_Content] = ""
    tool_calls: list[_Call] = []
    tool_call_id: str | None = None
    refusal: str = ""
    reasoning_content: str = ""
    reasoning: str = ""
    reasoning_text: str = ""
    reasoning_details: list[dict[str, Any]] = []
    thinking_blocks: list[dict[str, Any]] = []
    phase: str | None = None
    type: Any = None
    id: Any = None
    status: Any = None
    annotations: Any = None

    def message(self, where: str) -> Message:
        """The message. Raises InvalidRequestError."""
        if self.role is Role.TOOL and self.tool_call_id is not None:
            pieces = _result(self._pieces(where), f"{where}.content")
            return Message(Role.TOOL, [ToolResult(self.tool_call_id, pieces)])
        return Message(self.role, [*self._thinking(), *self._said(where), *self._rest(where)])

    def _pieces(self, where: str) -> str | list[Any]:
        if isinstance(self.content, str):
            return self.content
        for index, piece in enumerate(self.content):
            if not isinstance(piece, OfUser):
                raise InvalidRequestError(
                    f"{where}.content[{index}] is no text, image or file, as a tool's result is."
                )
        return self.content

    def _said(self, where: str) -> Iterator[ContentPart]:
        if isinstance(self.content, str):
            if self.content or self.role is not Role.ASSISTANT:
                yield Text(self.content, self.phase, annotations_from(self.annotations))
            return
        for index, shape in enumerate(self.content):
            part = shape.part(f"{where}.content[{index}]")
            if isinstance(part, Text):
                yield Text(part.text, part.phase or self.phase, part.annotations)
            else:
                yield part

    def _thinking(self) -> list[Thinking]:
        """What a server wants back, in the fields in which it came (``chat.thinking``)."""
        fields = {name: value for name in _THINKING if (value := getattr(self, name))}
        text = next((value for value in fields.values() if isinstance(value, str)), "")
        return [Thinking(text, msgspec.json.encode(fields).decode())] if fields else []

    def _rest(self, where: str) -> list[ContentPart]:
        return [
            *([Refusal(self.refusal)] if self.refusal else []),
            *(call.part(f"{where}.tool_calls[{index}]") for index, call in enumerate(self.tool_calls)),
        ]


_THINKING = ("reasoning_content", "reasoning", "reasoning_text", "reasoning_details", "thinking_blocks")


class _FunctionCall(_Shape):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    type: Any = None
    id: Any = None
    status: Any = None

    def message(self, where: str) -> Message:
        """The call, as a message of the model."""
        return Message.assistant(ToolCall(self.call_id, self.name, self.arguments, self.namespace))


class _CustomToolCall(_Shape):
    call_id: str
    name: str
    input: str
    namespace: str | None = None
    type: Any = None
    id: Any = None
    status: Any = None

    def message(self, where: str) -> Message:
        """The call, as a message of the model."""
        return Message.assistant(
            ToolCall(self.call_id, self.name, self.input, self.namespace, is_custom=True)
        )


class _CallOutput(_Shape):
    """The result of a call; it is known by the call whether that was a custom tool's."""

    call_id: str
    output: str | list[OfUser]
    type: Any = None
    id: Any = None
    status: Any = None

    def message(self, where: str) -> Message:
        """The result, as a message."""
        return Message.tool(self.call_id, _result(self.output, f"{where}.output"))


class _Summary(_Shape):
    text: str
    type: Any = None


class _Reasoning(_Shape):
    summary: list[_Summary] = []
    encrypted_content: str | None = None
    content: list[_Summary] = []
    type: Any = None
    id: Any = None
    status: Any = None

    def message(self, where: str) -> Message:
        """The thinking, as a message of the model."""
        text = "\n\n".join(entry.text for entry in self.summary or self.content)
        return Message.assistant(Thinking(text, self.encrypted_content))


def hosted_call(item: Mapping[str, Any]) -> Message:
    """The call of a hosted tool, as a message of the model: it is kept whole."""
    fields = {name: item[name] for name in item if name != "type"}
    return Message.assistant(HostedToolCall(HOSTED_CALLS[item["type"]], fields))


HOSTED_CALLS: Mapping[str, str] = {f"{name}_call": name for name in (WEB_SEARCH, IMAGE_GENERATION)}


ITEMS: Mapping[str, type[_Message | _FunctionCall | _CustomToolCall | _CallOutput | _Reasoning]] = {
    "message": _Message,
    "function_call": _FunctionCall,
    "function_call_output": _CallOutput,
    "custom_tool_call": _CustomToolCall,
    "custom_tool_call_output": _CallOutput,
    "reasoning": _Reasoning,
}
