"""Reads the ``messages`` of a Chat Completions request."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from onplan.chat.signatures import sealed, signature_of
from onplan.dialects.json_fields import decoded, elements_of, require_few
from onplan.dialects.openai_errors import ParameterError
from onplan.types import (
    ContentPart,
    File,
    Image,
    Message,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

# --- the shapes; fields that are not named here change nothing of what is asked ---------------------------


class _Part(msgspec.Struct, tag_field="type", gc=False):
    """A content part. Those of the Responses API are read, too: clients of both mix them up."""

    def part(self) -> ContentPart:
        """The part of ours. Raises _PartError."""
        raise NotImplementedError


class _PartError(Exception):
    """A part cannot be used: in which of its fields, and why."""

    def __init__(self, field: str, why: str, code: str = "invalid_value") -> None:
        super().__init__(why)
        self.field, self.why, self.code = field, why, code


class _Text(_Part, tag="text", gc=False):
    text: str

    def part(self) -> Text:
        """A text."""
        return Text(self.text)


class _InputText(_Text, tag="input_text", gc=False):
    pass


class _OutputText(_Text, tag="output_text", gc=False):
    pass


class _Refusal(_Part, tag="refusal", gc=False):
    refusal: str

    def part(self) -> Refusal:
        """A refusal."""
        return Refusal(self.refusal)


class _ImageURL(msgspec.Struct, gc=False):
    url: str
    detail: str | None = None


class _Image(_Part, tag="image_url", gc=False):
    image_url: _ImageURL | str

    def part(self) -> Image:
        """An image by its URL."""
        if isinstance(self.image_url, str):
            return _image(self.image_url, None, "image_url")
        return _image(self.image_url.url, self.image_url.detail, "image_url.url")


class _InputImage(_Part, tag="input_image", gc=False):
    image_url: str
    detail: str | None = None

    def part(self) -> Image:
        """An image by its URL."""
        return _image(self.image_url, self.detail, "image_url")


def _image(url: str, detail: str | None, field: str) -> Image:
    if not url[:8].lower().startswith(("https://", "http://", "data:")):
        raise _PartError(field, "is neither an http(s) URL nor a data URL")
    return Image(url=url, detail=detail)


class _FileData(msgspec.Struct, gc=False):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None

    def read(self, place: str = "") -> File:
        """The file."""
        if self.file_data is None:
            why = "is not there: on a plan no files are kept, so its content must be sent"
            raise _PartError(f"{place}file_data", why, "missing_required_parameter")
        head, comma, encoded = self.file_data.rpartition(",")
        try:
            content = b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise _PartError(f"{place}file_data", "is neither a data URL nor base64") from None
        mime_type = head[5:].partition(";")[0] if comma and head[:5].lower() == "data:" else None
        return File(data=content, mime_type=mime_type or None, filename=self.filename)


class _File(_Part, tag="file", gc=False):
    file: _FileData

    def part(self) -> File:
        """A file by its content."""
        return self.file.read("file.")


class _InputFile(_Part, tag="input_file", gc=False):
    file_data: str | None = None
    filename: str | None = None
    file_url: str | None = None

    def part(self) -> File:
        """A file by its content or its URL."""
        if self.file_url is not None:
            if not self.file_url[:8].lower().startswith(("https://", "http://")):
                raise _PartError("file_url", "is not an http(s) URL")
            return File(url=self.file_url, filename=self.filename)
        return _FileData(self.file_data, self.filename).read()


class _Audio(_Part, tag="input_audio", gc=False):
    def part(self) -> ContentPart:
        """No model of a plan hears."""
        raise _PartError("type", "is audio, which is not taken", "unsupported_value")


_Shape: TypeAlias = (
    str | _Text | _InputText | _OutputText | _Refusal | _Image | _InputImage | _File | _InputFile | _Audio
)


class _Message(msgspec.Struct, gc=False):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Shape] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_details: Any = None
    function_call: dict[str, Any] | None = None
    name: Any = None


_MESSAGES = msgspec.json.Decoder(list[_Message])


def read_messages(raw: msgspec.Raw) -> list[Message]:
    """The conversation that ``messages`` are.

    Assistant messages that say nothing are left out. What an earlier answer thought is kept as far as it is
    sealed, in ``reasoning_details``; a server cannot use its text.

    Raises:
        ParameterError: one of them has a wrong shape.
    """
    conversation, items = _Conversation(), decoded(raw, _MESSAGES, "messages")
    require_few(sum(1 + elements_of((item.content, item.tool_calls)) for item in items), "messages")
    for index, item in enumerate(items):
        conversation.add(item, f"messages[{index}]")
    return conversation.messages


class _Conversation:
    """The messages so far."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._functions = 0  # how many calls there were in the form before tools
        self._calls: dict[str, str] = {}  # the ids that the latest of these got, by the functions' names

    def add(self, item: _Message, place: str) -> None:
        """Add a message."""
        match item.role:
            case "assistant":
                said = [*_sealed(item.reasoning_details), *_said(item, place), *self._calls_of(item, place)]
                if any(not isinstance(part, Thinking) for part in said):
                    self.messages.append(Message(Role.ASSISTANT, said))
            case "tool":
                if item.tool_call_id is None:
                    raise _missing(f"{place}.tool_call_id")
                self._add_result(item.tool_call_id, item, place)
            case "function":
                name = item.name if isinstance(item.name, str) else ""
                self._add_result(self._calls.pop(name, name or "function"), item, place)
            case role:
                if item.content is None:
                    raise _missing(f"{place}.content")
                self.messages.append(Message(Role(role), list(_contents(item, place))))

    def _add_result(self, call_id: str, item: _Message, place: str) -> None:
        content: object = item.content or ""
        if isinstance(item.content, list):
            parts = enumerate(_contents(item, place))
            content = [_of_result(part, f"{place}.content[{index}]") for index, part in parts]
        self.messages.append(Message(Role.TOOL, [ToolResult(call_id, content)]))

    def _calls_of(self, item: _Message, place: str) -> Iterator[ToolCall]:
        for index, call in enumerate(item.tool_calls or ()):
            yield _call(call, f"{place}.tool_calls[{index}]")
        if item.function_call is not None:
            name = _string(item.function_call, "name", f"{place}.function_call")
            self._functions += 1
            call_id = self._calls[name] = f"call_{self._functions}_{name}"
            yield ToolCall(call_id, name, _arguments(item.function_call.get("arguments")))


def _of_result(part: ContentPart, where: str) -> ContentPart:
    if isinstance(part, Refusal):
        raise ParameterError(f"{where}.type is a refusal, which is no result of a tool.", param=where)
    return part


def _said(item: _Message, place: str) -> Iterator[ContentPart]:
    if item.content:
        yield from _contents(item, place)
    if item.refusal:
        yield Refusal(item.refusal)


def _contents(item: _Message, place: str) -> Iterator[ContentPart]:
    content = item.content
    if isinstance(content, str):
        yield Text(content)
        return
    for index, shape in enumerate(content or ()):
        if isinstance(shape, str):
            yield Text(shape)
            continue
        try:
            yield shape.part()
        except _PartError as problem:
            where = f"{place}.content[{index}].{problem.field}"
            raise ParameterError(f"{where} {problem.why}.", param=where, code=problem.code) from None


def _call(call: Mapping[str, Any], place: str) -> ToolCall:
    call_id = _string(call, "id", place)
    kind = "custom" if isinstance(call.get("custom"), dict) else "function"
    inner = call.get(kind)
    if not isinstance(inner, dict):
        raise _missing(f"{place}.{kind}")
    name = _string(inner, "name", f"{place}.{kind}")
    if kind == "custom":
        return ToolCall(call_id, name, _arguments(inner.get("input")), is_custom=True)
    return ToolCall(call_id, name, _arguments(inner.get("arguments")), signature=sealed(signature_of(call)))


def _arguments(given: Any) -> str:
    """The text of arguments, which some clients send as an object."""
    if isinstance(given, str):
        return given
    return "" if given is None else msgspec.json.encode(given).decode()


def _string(fields: Mapping[str, Any], name: str, place: str) -> str:
    value = fields.get(name)
    if value is None or value == "":
        raise _missing(f"{place}.{name}")
    if not isinstance(value, str):
        raise ParameterError(f"{place}.{name} is not a string.", param=f"{place}.{name}", code="invalid_type")
    return value


def _missing(place: str) -> ParameterError:
    return ParameterError(f"{place} is missing.", param=place, code="missing_required_parameter")


def _sealed(details: Any) -> list[Thinking]:
    """The sealed thinking of an earlier answer, if the client sent it back (``answer.sealed_entry``)."""
    entries = details if isinstance(details, list) else []
    data = [entry.get("data") for entry in entries if isinstance(entry, dict)]
    return [Thinking("", text) for text in data if isinstance(text, str) and text]
