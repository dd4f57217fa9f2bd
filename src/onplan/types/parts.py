"""What messages consist of: text, images, files, tool calls and their results, thinking."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from onplan.errors import InvalidRequestError
from onplan.field_types import PathLike, require_fields


class Part(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """A piece of a message, tagged by its ``type``.

    Raises:
        InvalidRequestError: a field has a value of another type than it says.
    """

    def __post_init__(self) -> None:
        """Accept the short spellings."""
        require_fields(self, _ADVICE)


# By the field's name: how to turn a value that is often given by mistake into the right one.
_ADVICE = {
    "arguments": "`json.dumps` makes the JSON text.",
    "url": "A file on this machine is named with `path=`.",
    "data": "`base64.b64decode` makes them of base64.",
}
# A scheme of one letter is a drive of Windows.
_URL = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+:", re.IGNORECASE)


class _Source(Part, frozen=True):
    """A part whose content is at a ``url``, at a ``path``, or in ``data``."""

    def __post_init__(self) -> None:
        """Take a path where the URL stands first, but no string: that may come from another person."""
        url: Any = getattr(self, "url", None)
        if isinstance(url, PathLike):
            force_setattr(self, "path", url)
            force_setattr(self, "url", None)
        super().__post_init__()
        if isinstance(url, str) and not _URL.match(url):
            kind = type(self).__name__
            raise InvalidRequestError(
                f"{kind}.url is not a URL: it does not begin with a scheme such as https.",
                hint=f"A file on this machine is `{kind}(path=…)`, and its content `{kind}(data=…)`.",
            )


class Text(Part, frozen=True, tag="text"):
    """Text.

    Attributes:
        phase: the Responses API's (``commentary``, ``final_answer``); it goes back to it unchanged.
        annotations: what the server says about places in the text, such as which page they cite, as objects
            of the Responses API; they go back to it unchanged. ``CompletionResponse.citations`` reads them.
    """

    type: ClassVar[Literal["text"]] = "text"
    text: str
    phase: str | None = None
    annotations: tuple[dict[str, Any], ...] = ()

    if TYPE_CHECKING:

        def __init__(
            self, text: str, phase: str | None = None, annotations: Iterable[dict[str, Any]] = ()
        ) -> None: ...

    def __post_init__(self) -> None:
        """Accept a list of annotations."""
        if type(self.text) is not str or self.phase is not None:  # nearly all texts are plain
            super().__post_init__()
        given: Any = self.annotations
        if given == ():
            return
        if not isinstance(given, list | tuple) or not all(map(is_json_object, given)):
            raise InvalidRequestError(
                "Text.annotations are not a list of JSON objects.",
                hint="Leave them out, or give those of an answer.",
            )
        force_setattr(self, "annotations", tuple(given))

    def __hash__(self) -> int:
        """By the text alone, since dicts have no hash."""
        return hash((self.text, self.phase))


def is_json_object(value: object) -> bool:
    """Whether ``value`` is a dict that JSON can say."""
    try:
        return isinstance(value, dict) and bool(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False


class Image(_Source, frozen=True, tag="image"):
    """An image: by ``url`` (https or data), by local ``path`` (read when sent), or as ``data`` bytes.

    ``Image(Path("a.png"))`` is an image by its path. A string that stands first must be a URL.

    Its bytes decide its type. ``mime_type`` is used only for formats that few servers accept. ``detail`` says
    how closely the model looks: ``low``, ``high``, ``original`` or ``auto``.
    """

    type: ClassVar[Literal["image"]] = "image"
    url: str | None = None
    path: str | None = None
    data: bytes | None = None
    mime_type: str | None = None
    detail: str | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            url: str | PathLike | None = None,
            path: str | PathLike | None = None,
            data: bytes | bytearray | memoryview | None = None,
            mime_type: str | None = None,
            detail: str | None = None,
        ) -> None: ...


class File(_Source, frozen=True, tag="file"):
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
            url: str | PathLike | None = None,
            path: str | PathLike | None = None,
            data: bytes | bytearray | memoryview | None = None,
            mime_type: str | None = None,
            filename: str | None = None,
        ) -> None: ...


class ToolCall(Part, frozen=True, tag="tool_call"):
    """The model's request to run a function of the program.

    Attributes:
        arguments: the JSON text, whole; of a custom tool the text that the model wrote for it.
        namespace: in which the function was offered, if it was in one.
        signature: a thought signature that the server wants back with the call, as JSON text. Only the server
            can read it.
        is_custom: whether it calls a ``CustomTool``; then ``arguments`` are free text, and not JSON.
    """

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    id: str
    name: str
    arguments: str
    namespace: str | None = None
    signature: str | None = None
    is_custom: bool = False

    def parse_arguments(self) -> Any:
        """The arguments as Python values; those of a custom tool as the text that they are.

        Raises ``msgspec.DecodeError`` if the model wrote bad JSON.
        """
        return self.arguments if self.is_custom else msgspec.json.decode(self.arguments or "{}")


# The hosted tools whose calls are kept, as the APIs name them.
WEB_SEARCH, IMAGE_GENERATION = "web_search", "image_generation"


class HostedToolCall(Part, frozen=True, tag="hosted_tool_call"):
    """A call of a hosted tool, which the backend has carried out itself. It is sent back unchanged.

    Attributes:
        name: the tool's, such as ``web_search``.
        fields: the fields of its item in the Responses API: ``id``, ``status``, ``action``.
    """

    type: ClassVar[Literal["hosted_tool_call"]] = "hosted_tool_call"
    name: str
    fields: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Check the fields. Raises InvalidRequestError."""
        super().__post_init__()
        if not is_json_object(self.fields):
            raise InvalidRequestError(
                f"HostedToolCall.fields is a dict of JSON values, and not {type(self.fields).__name__}.",
                hint="Give the fields of an answer's item.",
            )

    def __hash__(self) -> int:
        """By the name alone, since dicts have no hash."""
        return hash(self.name)


class ToolResult(Part, frozen=True, tag="tool_result"):
    """The output of a function: text, or text, image and file parts.

    Attributes:
        content: any other JSON value is written as text; a list counts as parts if there is a part in it.
        is_error: whether the function failed; the model is told so.
    """

    type: ClassVar[Literal["tool_result"]] = "tool_result"
    tool_call_id: str
    content: str | list[Text | Image | File]
    is_error: bool = False

    if TYPE_CHECKING:

        def __init__(self, tool_call_id: str, content: object, is_error: bool = False) -> None: ...  # noqa: FBT001, FBT002 - a field

    def __post_init__(self) -> None:
        """Accept the short spellings. Raises InvalidRequestError if ``content`` cannot be written."""
        super().__post_init__()
        self._take_content()
        content = self.content
        for text in [content] if isinstance(content, str) else content:
            _require_whole_characters(text if isinstance(text, str) else getattr(text, "text", ""))

    def _take_content(self) -> None:
        given: Any = self.content
        if isinstance(given, str):
            return
        pieces = given if isinstance(given, list | tuple) else [given]
        if not any(isinstance(piece, Part) for piece in pieces):
            force_setattr(self, "content", _json_text(given))
            return
        parts = [Text(piece) if isinstance(piece, str) else piece for piece in pieces]
        for part in parts:
            if not isinstance(part, Text | Image | File):
                raise InvalidRequestError(
                    f"The parts of a tool's result are Text, Image and File, and not {type(part).__name__}.",
                    hint="`json.dumps` or `str` makes a string of it.",
                )
        force_setattr(self, "content", parts)


def _require_whole_characters(text: str) -> None:
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(
            "A tool's result holds half of a character (a lone surrogate), which cannot be sent.",
            hint='Where the text comes from bytes, decode them with errors="replace".',
        ) from None


def _json_text(value: object) -> str:
    given: object = _NO_JSON if isinstance(value, bytes | bytearray | memoryview) else value
    try:
        return msgspec.json.encode(given, enc_hook=_as_json).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise InvalidRequestError(
            f"A tool's result is a string, a JSON value, or Text, Image and File parts, and not "
            f"{type(value).__name__}.",
            hint="`str` makes a string of it; bytes are `Image(data=…)` or `File(data=…)`.",
        ) from None


_NO_JSON = object()  # msgspec would write bytes in base64, which no model reads


def _as_json(value: object) -> object:
    """Models of pydantic, arrays and numbers of NumPy know their JSON value."""
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    if callable(plain := getattr(value, "tolist", None)):
        return plain()
    raise TypeError


class Thinking(Part, frozen=True, tag="thinking"):
    """A summary of the model's reasoning. ``encrypted`` is the reasoning; only the server can read it."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    text: str = ""
    encrypted: str | None = None


class Refusal(Part, frozen=True, tag="refusal"):
    """The model's explanation why it does not answer."""

    type: ClassVar[Literal["refusal"]] = "refusal"
    text: str


class Compaction(Part, frozen=True, tag="compaction"):
    """The beginning of a conversation, compacted: by the backend, which alone can read it, or as a summary.

    A conversation keeps it beside its messages, and sends it in place of those that it covers
    (``turn.compactor``).

    Attributes:
        covers: how many messages it stands for, counted from the first.
        encrypted: what they became at the backend; empty for a summary.
        account: a digest of the account for which it was encrypted.
        family: names the models that can read it (``ModelInfo.compaction_family``).
        id: the backend's name of it.
        summary: what a model wrote of them, which every model can read.
    """

    type: ClassVar[Literal["compaction"]] = "compaction"
    covers: int
    encrypted: str = ""
    account: str = ""
    family: str = ""
    id: str | None = None
    summary: str | None = None


ContentPart: TypeAlias = Text | Image | File | ToolCall | HostedToolCall | ToolResult | Thinking | Refusal
