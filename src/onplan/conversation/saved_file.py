"""Conversations in files: saved as a whole, loaded, and kept up to date while they grow."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import FileIO
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from onplan.attachments import content_of, expanded
from onplan.config.file_errors import reason_of
from onplan.config.file_reading import open_file
from onplan.config.private_files import write_private_file
from onplan.conversation import file_format
from onplan.conversation.file_format import Decoded, Header
from onplan.errors import ConversationFileError, InvalidRequestError
from onplan.types import ContentPart, File, Image, Message, Text, ToolResult

Attachments: TypeAlias = Literal["path", "inside"]
"""How local images and files are saved: by their path, or with their content."""


class ConversationFileWarning(UserWarning):
    """Something of a saved conversation is missing, and the rest was loaded."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A conversation that was read from a file.

    Attributes:
        messages: without the contents of local files that are gone or have changed.
    """

    decoded: Decoded
    messages: tuple[Message, ...]


def load(path: str | os.PathLike[str]) -> Saved:
    """Read a conversation, and warn of what is missing.

    Raises ConversationFileError if it cannot be read, or is no conversation; the file is never changed.
    """
    with _explained(path, "read"), open_file(Path(path)) as file:
        lines = iter(lambda: file.readline(file_format.LARGEST_LINE + 1), b"")
        decoded = file_format.decode(lines, str(path))
    if decoded.torn:
        _warn(f"{path}: the last line was cut off in the middle ({decoded.torn} bytes), and was left out.")
    return Saved(decoded, tuple(map(_with_files, decoded.messages, decoded.digests)))


def _warn(sentence: str) -> None:
    warnings.warn(sentence, ConversationFileWarning, stacklevel=2)


def warn_of_missing(names: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Warn that settings of these names were not saved and not given again."""
    for name in names:
        _warn(f"{path}: {name} of the conversation could not be saved. Give it again, as `{name}=`.")


def save(
    path: str | os.PathLike[str], header: Header, messages: Iterable[Message], attachments: Attachments
) -> None:
    """Write a conversation as a whole, private to its owner: a crash leaves the old or the new file.

    Raises ConversationFileError, InvalidRequestError for an image or file that cannot be read.
    """
    lines = _lines(header, messages, attachments)
    with _explained(path, "written"):
        write_private_file(Path(path), b"".join(lines))


def _lines(header: Header, messages: Iterable[Message], attachments: Attachments) -> list[bytes]:
    return [file_format.encode_header(header), *(_line(message, attachments) for message in messages)]


def is_missing(path: str | os.PathLike[str]) -> bool:
    """Whether there is no file, or an empty one, in which a conversation may begin."""
    try:
        return Path(path).stat().st_size == 0 and Path(path).is_file()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # which is explained when it is opened
        return False


class KeptFile:
    """The file of a conversation that is written while it grows. One program may do that at a time.

    Args:
        path: of the file.
        attachments: how local images and files are saved.
    """

    def __init__(self, path: str | os.PathLike[str], attachments: Attachments) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow symbolic links
        self._attachments = attachments
        self._messages: list[Message] = []
        self._ends: list[int] = []

    def is_at(self, path: str | os.PathLike[str]) -> bool:
        """Whether ``path`` is that of this file."""
        return os.path.realpath(path) == os.path.realpath(self.path)

    def begin(self, header: Header, messages: Sequence[Message]) -> None:
        """Write the whole file. Raises ConversationFileError, InvalidRequestError."""
        lines = _lines(header, messages, self._attachments)
        with _explained(self.path, "written"):
            write_private_file(self.path, b"".join(lines))
        self._messages, self._ends = list(messages), list(accumulate(map(len, lines)))

    def go_on(self, saved: Saved) -> None:
        """Go on after what was read from the file; a line that was cut off is removed from it."""
        decoded = saved.decoded
        self._messages, self._ends = list(saved.messages), list(decoded.ends)
        with _explained(self.path, "written"), self._opened(self._ends[-1] + decoded.torn) as file:
            if decoded.torn:
                file.truncate(self._ends[-1])
            if not decoded.complete:
                self._append(file, b"\n")
                self._ends[-1] += 1

    def update(self, messages: Sequence[Message]) -> None:
        """Make the file hold ``messages``: remove what is no part of them, and append the rest, synced.

        Raises:
            ConversationFileError: it cannot be written, or another program has changed it.
            InvalidRequestError: an image or file cannot be read.
        """
        pairs = zip(self._messages, messages, strict=False)
        same = next((at for at, (old, new) in enumerate(pairs) if old is not new and old != new), None)
        same = min(len(self._messages), len(messages)) if same is None else same
        lines = [_line(message, self._attachments) for message in messages[same:]]
        with _explained(self.path, "written"), self._opened(self._ends[-1]) as file:
            file.truncate(self._ends[same])
            self._messages, self._ends = self._messages[:same], self._ends[: same + 1]
            self._append(file, b"".join(lines))
        for message, line in zip(messages[same:], lines, strict=True):
            self._messages.append(message)
            self._ends.append(self._ends[-1] + len(line))

    def _append(self, file: FileIO, data: bytes) -> None:
        """Write ``data`` after what is known to be there, and sync it; or leave nothing of it."""
        try:
            file.seek(self._ends[-1])
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(self._ends[-1])
            raise

    @contextlib.contextmanager
    def _opened(self, size: int) -> Iterator[FileIO]:
        """The file, opened to be changed; it should have ``size`` bytes."""
        with FileIO(self.path, "r+") as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise ConversationFileError(
                    f"{self.path} was changed by another program: it has {found} bytes and not {size}.",
                    hint="`talk.save(PATH)` saves this conversation elsewhere; "
                    "`client.conversation.open(PATH)` goes on with what the file holds now.",
                )
            yield file


# --- images and files -------------------------------------------------------------------------------


def _line(message: Message, attachments: Attachments) -> bytes:
    """The line of a message, with the content or the digest of each local file in it."""
    digests: dict[str, str] = {}

    def written(part: Image | File) -> Image | File:
        data, path = content_of(part.path), str(expanded(str(part.path)).absolute())
        if attachments == "inside":
            return _with_content(part, data)
        digests[path] = sha256(data).hexdigest()
        return msgspec.structs.replace(part, path=path)

    parts = [_each_file(part, written) for part in message.content]
    return file_format.encode_message(Message(message.role, parts), digests)


def _with_content(part: Image | File, data: bytes) -> Image | File:
    if isinstance(part, Image):
        return msgspec.structs.replace(part, path=None, data=data)
    name = part.filename or Path(str(part.path)).name
    return msgspec.structs.replace(part, path=None, data=data, filename=name)


def _with_files(message: Message, digests: Mapping[str, str]) -> Message:
    """``message`` with a text in place of each local file whose content is not what it was."""
    if not digests:
        return message

    def read(part: Image | File) -> ContentPart:
        path = str(part.path)
        try:
            if sha256(content_of(path)).hexdigest() == digests[path]:
                return part
            problem = "has changed"
        except InvalidRequestError:
            problem = "is gone"
        _warn(f"{path} {problem} since the conversation was saved; a text stands in its place.")
        return Text(f"[The {part.type} {Path(path).name} {problem} and is left out.]")

    return Message(message.role, [_each_file(part, read) for part in message.content])


def _each_file(part: Any, change: Any) -> Any:
    """``part``, changed if it is a local image or file, or with the parts of a tool result changed."""
    match part:
        case Image(path=str(), url=None, data=None) | File(path=str(), url=None, data=None):
            return change(part)
        case Image(path=str()) | File(path=str()):  # which is not what is sent
            return msgspec.structs.replace(part, path=None)
        case ToolResult(content=list() as pieces):
            return msgspec.structs.replace(part, content=[_each_file(piece, change) for piece in pieces])
        case _:
            return part


@contextlib.contextmanager
def _explained(path: str | os.PathLike[str], done: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: there is a NUL in the path
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ConversationFileError(f"{path} cannot be {done}: {reason}.", hint="Check the path.") from None
