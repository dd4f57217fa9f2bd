"""Local files of a request, read before the pure builders see them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from onplan.config.file_errors import reason_of
from onplan.config.file_reading import read_file
from onplan.errors import InvalidRequestError
from onplan.request.image_types import image_type, with_true_type
from onplan.types import CompletionRequest, ContentPart, File, Image, Message, Text, ToolResult

# No request of OpenAI's API may be larger, in bytes: "up to 512 MB total payload size" (its guide to images).
_LARGEST = 512 * 1024 * 1024
_MANY = 500  # messages


def read_attachments(request: CompletionRequest) -> CompletionRequest:
    """``request`` with the bytes and types of its images and files in place of their paths.

    Raises:
        InvalidRequestError: a file cannot be read.
        InvalidImageError: an image has a format that the backends do not know, or not the one that is stated.
    """
    if not has_attachments(request):
        return request
    messages = [Message(message.role, map(_read, message.content)) for message in request.messages]
    return msgspec.structs.replace(request, messages=messages)


def has_attachments(request: CompletionRequest) -> bool:
    """Whether there are bytes to read or encode."""
    for message in request.messages:
        for part in message.content:
            if type(part) is not Text and _has_bytes(part):
                return True
    return False


def takes_long(request: CompletionRequest) -> bool:
    """Whether it takes milliseconds to make ``request`` ready: it has files, or very many messages."""
    return len(request.messages) > _MANY or has_attachments(request)


def attachments_in(returned: object) -> list[Image | File]:
    """The images and files with bytes to read or encode in what a function returned."""
    parts = returned if isinstance(returned, list | tuple) else [returned]
    return [part for part in parts if isinstance(part, Image | File) and _has_bytes(part)]


def require_readable(parts: Iterable[Image | File]) -> None:
    """Raise InvalidRequestError if one of these cannot be read, or cannot be sent."""
    for part in parts:
        _read(part)


def _has_bytes(part: ContentPart) -> bool:
    if isinstance(part, ToolResult):
        return not isinstance(part.content, str)
    return isinstance(part, Image | File) and (part.url is None or _is_data_url(part))


def _is_data_url(part: Image | File) -> bool:
    return isinstance(part, Image) and (part.url or "")[:5].lower() == "data:"


def _read(part: ContentPart) -> ContentPart:
    match part:
        case ToolResult(content=list() as pieces):
            return msgspec.structs.replace(part, content=[_read(piece) for piece in pieces])
        case Image(url=None):
            data = part.data if part.data is not None else content_of(part.path)
            mime_type = image_type(data, part.mime_type, part.path or "The image")
            return msgspec.structs.replace(part, data=data, mime_type=mime_type)
        case Image(url=str(url)) if _is_data_url(part):
            true = with_true_type(url, "The image")
            return part if true == url else msgspec.structs.replace(part, url=true)
        case File(url=None):
            data = part.data if part.data is not None else content_of(part.path)
            name = part.filename or (Path(part.path).name if part.path else _NAMES.get(part.mime_type or ""))
            guessed = part.mime_type or _type_by_name(name or "")
            return msgspec.structs.replace(part, data=data, filename=name, mime_type=guessed)
        case _:
            return part


# Backends want a name for the data of a document, and a program may have none.
_NAMES = {"application/pdf": "document.pdf"}


def _type_by_name(name: str) -> str | None:
    import mimetypes  # takes longer than all else here, and few requests have files

    return mimetypes.guess_type(name)[0]


def content_of(path: str | None) -> bytes:
    """The content of the file that an image or file names. Raises InvalidRequestError."""
    if path is None:
        raise InvalidRequestError("An image or file needs a url, a path or data.")
    try:
        return read_file(expanded(path), _LARGEST)
    except (OSError, ValueError) as error:  # ValueError: it holds a NUL, so it is no path at all
        reason = reason_of(error) if isinstance(error, OSError) else str(error).lower()
        raise InvalidRequestError(f"{path} cannot be read: {reason}.", hint="Check the path.") from None


def is_url(name: str) -> bool:
    """Whether an image or file is named by its address, and not by a path."""
    return name.lower().startswith(("https://", "http://", "data:"))


def expanded(path: str | os.PathLike[str]) -> Path:
    """``path`` with the home folder in place of a tilde."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a name that begins with a tilde, but there is no such user
        return Path(path)
