"""The format of a conversation's file: JSON lines, a header and then one for each message and compaction.

::

    {"type":"onplan.conversation","version":2,"session_id":"…","settings":{"model":"gpt-5.5"}}
    {"role":"user","content":[{"type":"text","text":"hi"}]}
    {"role":"assistant","content":[{"type":"text","text":"Hello."}]}
    {"type":"compaction","covers":2,"encrypted":"…","account":"…","family":"2911","id":"cmp_…"}

A compaction covers the first so many messages, which stay in the file; it may have a ``summary`` instead of
something ``encrypted``. Version 2 has them. A file without any is version 1, which older releases read.

A local image or file stands there with its bytes (``data``, base64), or by its ``path`` with the ``sha256``
of its content. The digest is required: the author of a conversation that another person loads could otherwise
have any file of that person sent.

A line is whole when its line end has been written. A last line without one was cut off by a crash, and is
left out unless it is a whole message all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from onplan.errors import ConversationFileError, OnplanError
from onplan.field_types import prepare
from onplan.types import Compaction, CompletionRequest, Message

KIND = "onplan.conversation"
VERSION = 2
_VERSION_WITHOUT_COMPACTIONS = 1
# In bytes. No request may be larger than 512 MB, and what is shorter is read without a thought for memory.
LARGEST_LINE = 64 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Header:
    """What a conversation is besides its messages.

    Attributes:
        session_id: the conversation's name at the backend.
        settings: the fields of its requests, as JSON values.
        left_out: fields that it had, too, and that no file can hold, such as a Python type.
    """

    session_id: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a file holds.

    Attributes:
        entries: messages and compactions, in order.
        ends: where the header and then each entry ends, in bytes from the beginning, with the empty lines
            after it.
        torn: how many bytes at the end belong to a line that was cut off.
        complete: whether the last whole line has its line end.
        digests: for each entry, those of the local files in it by their paths.
        version: of the format.
    """

    header: Header
    entries: tuple[Message | Compaction, ...]
    ends: tuple[int, ...]
    torn: int = 0
    complete: bool = True
    digests: tuple[Mapping[str, str], ...] = ()
    version: int = VERSION


# --- writing ----------------------------------------------------------------------------------------


def header_of(request: CompletionRequest, session_id: str) -> Header:
    """The header for a conversation whose requests have the fields of ``request``."""
    settings: dict[str, Any] = {}
    left_out = []
    for name, default in _defaults().items():
        value = getattr(request, name)
        if name in _NOT_SETTINGS or value is None or value == default:
            continue
        try:
            settings[name] = msgspec.json.decode(msgspec.json.encode(value))
        except (TypeError, ValueError, OverflowError, RecursionError):
            left_out.append(name)
    return Header(session_id, settings, tuple(left_out))


_NOT_SETTINGS = ("messages", "session_id")


def _defaults() -> Mapping[str, Any]:
    empty = CompletionRequest(messages=[])
    return {name: getattr(empty, name) for name in CompletionRequest.__struct_fields__}


def version_for(entries: Iterable[Message | Compaction]) -> int:
    """The earliest version that can hold ``entries``."""
    has_compactions = any(isinstance(entry, Compaction) for entry in entries)
    return VERSION if has_compactions else _VERSION_WITHOUT_COMPACTIONS


def encode_header(header: Header, version: int = _VERSION_WITHOUT_COMPACTIONS) -> bytes:
    """The first line."""
    fields = {"session_id": header.session_id, "settings": header.settings, "left_out": header.left_out}
    written = {name: value for name, value in fields.items() if value}
    return _line({"type": KIND, "version": version, **written})


def encode_compaction(compaction: Compaction) -> bytes:
    """The line of a compaction."""
    return _line(compaction)


def encode_message(message: Message, digests: Mapping[str, str]) -> bytes:
    """The line of a message.

    Args:
        message: paths in it are absolute.
        digests: the SHA-256 of the content of each local file, by its path.
    """
    written = msgspec.to_builtins(message)
    for part in _parts(written):
        if isinstance(path := part.get("path"), str):
            part["sha256"] = digests[path]
    return _line(written)


def _line(value: Any) -> bytes:
    line = msgspec.json.encode(value) + b"\n"
    if len(line) > LARGEST_LINE:
        raise ConversationFileError(
            f"A message is too long for a conversation's file: {len(line) >> 20} MiB.",
            hint='Save it with `attachments="path"`, so that images and files stay outside.',
        )
    return line


def _parts(message: Any) -> Iterator[dict[str, Any]]:
    """The parts of a message that is made of dicts and lists, and the parts inside tool results."""
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            yield part
            yield from _parts(part)


# --- reading ----------------------------------------------------------------------------------------


def decode(lines: Iterable[bytes], name: str) -> Decoded:
    """Read a file, line by line; ``name`` is the file's in errors.

    Args:
        lines: each with its line end; only the last may have none. One that is longer than LARGEST_LINE may
            be given in part.
        name: what the file is called.

    Raises:
        ConversationFileError: it is no conversation, of a later version, or a line in its middle is damaged.
    """
    header: Header | None = None
    version, count = VERSION, 0
    entries: list[Message | Compaction] = []
    ends: list[int] = []
    digests: list[Mapping[str, str]] = []
    position, torn, complete = 0, 0, True
    for number, line in enumerate(lines, 1):
        _require_short(line, f"{name}, line {number}")
        position += len(line)
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        whole = line.endswith(b"\n")
        if not text.strip():
            if ends:
                ends[-1], complete = position, whole
            continue
        if header is None:
            header, version = _header(text, name)
        else:
            try:
                entry, digests_of_entry = _entry(text, f"{name}, line {number}", count)
            except _UnreadableError:
                if whole:
                    raise
                torn = len(line)
                break
            entries.append(entry)
            count += isinstance(entry, Message)
            digests.append(digests_of_entry)
        ends.append(position)
        complete = whole
    if header is None:
        raise ConversationFileError(f"{name} is empty.", hint="Check that it is the right file.")
    return Decoded(header, tuple(entries), tuple(ends), torn, complete, tuple(digests), version)


class _UnreadableError(ConversationFileError):
    """A line that is no JSON, as one that was cut off."""


def _require_short(line: bytes, where: str) -> None:
    if len(line) > LARGEST_LINE:
        raise ConversationFileError(
            f"{where} is longer than {LARGEST_LINE >> 20} MiB, as no message is.",
            hint="Check that it is the right file.",
        )


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise _UnreadableError(f"{where} is damaged: it is not JSON.", hint=_DAMAGED) from None
    if not isinstance(value, dict):
        raise ConversationFileError(f"{where} is damaged: it is not a JSON object.", hint=_DAMAGED)
    return value


_DAMAGED = "Restore the file from a copy, or remove that line."


class _HeaderLine(msgspec.Struct):
    session_id: str
    settings: dict[str, Any] = {}
    left_out: tuple[str, ...] = ()


prepare(_HeaderLine, Compaction, CompletionRequest, Message)


def _header(line: bytes, name: str) -> tuple[Header, int]:
    """The header and the version of the format."""
    try:
        value = _object(line, name)
    except ConversationFileError:
        value = {}
    if value.get("type") != KIND:
        raise ConversationFileError(
            f"{name} is not a conversation that onplan saved: its first line is another one.",
            hint="Check that it is the right file; `talk.save(PATH)` writes one.",
        )
    version = value.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION:
        is_later = isinstance(version, int) and version > VERSION
        raise ConversationFileError(
            f"{name} has version {version!r} of the format, and this onplan reads up to version {VERSION}.",
            hint="Update onplan: `pip install --upgrade onplan`." if is_later else _DAMAGED,
        )
    read = _converted(value, _HeaderLine, f"{name}, line 1")
    return Header(read.session_id, read.settings, read.left_out), version


def _entry(line: bytes, where: str, count: int) -> tuple[Message | Compaction, Mapping[str, str]]:
    """The message or the compaction of a line, and the digests of the local files that it names.

    ``count``: how many messages stand before it.
    """
    value = _object(line, where)
    if value.get("type") == Compaction.type:
        compaction: Compaction = _converted(value, Compaction, where)
        if not 0 < compaction.covers <= count:
            raise ConversationFileError(
                f"{where} is damaged: a compaction covers {compaction.covers} of {count} messages.",
                hint=_DAMAGED,
            )
        return compaction, {}
    if value.get("type") == KIND:
        raise ConversationFileError(
            f"{where} is a second header: two files were joined.", hint="Split the file before that line."
        )
    digests: dict[str, str] = {}
    for part in _parts(value):
        path, digest = part.get("path"), part.pop("sha256", None)
        if path is None:
            continue
        if not isinstance(path, str) or not isinstance(digest, str):
            raise ConversationFileError(
                f"{where} names the local file {path!r} without its sha256.", hint=_DAMAGED
            )
        digests[path] = digest
    return _converted(value, Message, where), digests


def _converted(value: Any, kind: Callable[..., Any], where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OnplanError) as error:
        raise ConversationFileError(f"{where} is damaged: {error}", hint=_DAMAGED) from None


def settings_of(header: Header, name: str) -> tuple[CompletionRequest, tuple[str, ...]]:
    """The fields of the conversation's requests, as a request without messages; and those that it lacks.

    Raises ConversationFileError if one has a value that it cannot have.
    """
    known = {key: value for key, value in header.settings.items() if key in _FIELDS}
    request: CompletionRequest = _converted({**known, "messages": []}, CompletionRequest, f"{name}, line 1")
    return request, (*header.left_out, *(key for key in header.settings if key not in _FIELDS))


_FIELDS = frozenset(CompletionRequest.__struct_fields__) - frozenset(_NOT_SETTINGS)
