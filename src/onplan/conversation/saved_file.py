"""Conversations in files: saved as a whole, loaded, and kept up to date while they grow."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
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
from onplan.conversation.history import Entry, History
from onplan.errors import ConversationFileError, InvalidRequestError
from onplan.types import Compaction, ContentPart, File, Image, Message, Text, ToolResult

Attachments: TypeAlias = Literal["path", "inside"]
"""How local images and files are saved: by their path, or with their content."""


class ConversationFileWarning(UserWarning):
    """Something of a saved conversation is missing, and the rest was loaded."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A conversation that was read from a file.

    Attributes:
        history: without the contents of local files that are gone or have changed.
    """

    decoded: Decoded
    history: History


def load(path: str | os.PathLike[str]) -> Saved:
    """Read a conversation, and warn of what is missing.

    Raises ConversationFileError if it cannot be read, or is no conversation; the file is never changed.
    """
    with _explained(path, "read"), open_file(expanded(path)) as file:
        lines = iter(lambda: file.readline(file_format.LARGEST_LINE + 1), b"")
        decoded = file_format.decode(lines, str(path))
    if decoded.torn:
        _warn(f"{path}: the last line was cut off in the middle ({decoded.torn} bytes), and was left out.")
    return Saved(decoded, History(tuple(map(_with_files, decoded.entries, decoded.digests))))


def _warn(sentence: str) -> None:
    warnings.warn(sentence, ConversationFileWarning, stacklevel=2)


def warn_of_missing(names: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Warn that settings of these names were not saved and not given again."""
    for name in names:
        _warn(f"{path}: {name} of the conversation could not be saved. Give it again, as `{name}=`.")


def save(path: str | os.PathLike[str], header: Header, history: History, attachments: Attachments) -> None:
    """Write a conversation as a whole, private to its owner: a crash leaves the old or the new file.

    Raises ConversationFileError, InvalidRequestError for an image or file that cannot be read.
    """
    lines = _lines(header, history, attachments)
    with _explained(path, "written"):
        write_private_file(expanded(path), b"".join(lines))


def _lines(header: Header, history: History, attachments: Attachments) -> list[bytes]:
    first = file_format.encode_header(header, file_format.version_for(history.entries))
    return [first, *(_line(entry, attachments) for entry in history.entries)]


def require_replaceable(
    path: str | os.PathLike[str], session_id: str, hint: str = "Choose another name."
) -> None:
    """Raise ConversationFileError if there is a file that is neither empty nor the same conversation."""
    if is_missing(path):
        return
    with _explained(path, "read"), open_file(expanded(path)) as file:
        first = file.readline(file_format.LARGEST_LINE + 1)
    with contextlib.suppress(ConversationFileError):
        if file_format.decode([first], str(path)).header.session_id == session_id:
            return
    raise ConversationFileError(f"{path} exists already, and is not a copy of this conversation.", hint=hint)


def is_missing(path: str | os.PathLike[str]) -> bool:
    """Whether there is no file, or an empty one, in which a conversation may begin."""
    try:
        return expanded(path).stat().st_size == 0 and expanded(path).is_file()
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
        self.path = Path(os.path.abspath(expanded(path)))  # noqa: PTH100 - resolve() would follow symbolic links
        self._attachments = attachments
        self._header = Header("")
        self._version = 0
        self._entries: list[Entry] = []
        self._ends: list[int] = []

    def is_at(self, path: str | os.PathLike[str]) -> bool:
        """Whether ``path`` is that of this file."""
        return os.path.realpath(expanded(path)) == os.path.realpath(self.path)

    def begin(self, header: Header, history: History) -> None:
        """Write the whole file. Raises ConversationFileError, InvalidRequestError."""
        lines = _lines(header, history, self._attachments)
        with _explained(self.path, "written"):
            write_private_file(self.path, b"".join(lines))
        self._header, self._version = header, file_format.version_for(history.entries)
        self._entries, self._ends = list(history.entries), list(accumulate(map(len, lines)))

    def go_on(self, saved: Saved) -> None:
        """Go on after what was read from the file; a line that was cut off is removed from it."""
        decoded = saved.decoded
        self._header, self._version = decoded.header, decoded.version
        self._entries, self._ends = list(saved.history.entries), list(decoded.ends)
        with _explained(self.path, "written"), self._opened(self._ends[-1] + decoded.torn) as file:
            if decoded.torn:
                file.truncate(self._ends[-1])
            if not decoded.complete:
                self._append(file, b"\n")
                self._ends[-1] += 1

    def update(self, history: History) -> None:
        """Make the file hold ``history``: remove what is no part of it, and append the rest, synced.

        Raises:
            ConversationFileError: it cannot be written, or another program has changed it.
            InvalidRequestError: an image or file cannot be read.
        """
        entries = history.entries
        pairs = zip(self._entries, entries, strict=False)
        same = next((at for at, (old, new) in enumerate(pairs) if not _is_same(old, new)), None)
        same = min(len(self._entries), len(entries)) if same is None else same
        lines = [_line(entry, self._attachments) for entry in entries[same:]]
        with _explained(self.path, "written"):
            self._raise_version(file_format.version_for(entries[same:]))
            with self._opened(self._ends[-1]) as file:
                file.truncate(self._ends[same])
                self._entries, self._ends = self._entries[:same], self._ends[: same + 1]
                self._append(file, b"".join(lines))
        for entry, line in zip(entries[same:], lines, strict=True):
            self._entries.append(entry)
            self._ends.append(self._ends[-1] + len(line))

    def _raise_version(self, version: int) -> None:
        """Write the file anew with another header if what it is to hold needs a later version."""
        if version <= self._version:
            return
        with self._opened(self._ends[-1]) as file:
            file.seek(self._ends[0])
            rest = file.read()
        first = file_format.encode_header(self._header, version)
        write_private_file(self.path, first + rest)
        longer = len(first) - self._ends[0]
        self._version, self._ends = version, [end + longer for end in self._ends]

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
                    hint="`talk.save(PATH)` saves this conversation to another file; "
                    "`client.conversation.open(PATH)` goes on with what the file holds now.",
                )
            yield file


# --- images and files -------------------------------------------------------------------------------


def _is_same(old: Entry, new: Entry) -> bool:
    """Whether a file that has ``old`` has ``new``: for Python 1, 1.0 and true in an annotation are equal."""
    return old is new or (old == new and msgspec.json.encode(old) == msgspec.json.encode(new))


def _line(entry: Entry, attachments: Attachments) -> bytes:
    """The line of an entry, with the content or the digest of each local file in it."""
    if isinstance(entry, Compaction):
        return file_format.encode_compaction(entry)
    digests: dict[str, str] = {}

    def written(part: Image | File) -> Image | File:
        data, path = content_of(part.path), str(expanded(str(part.path)).absolute())
        if attachments == "inside":
            return _with_content(part, data)
        digests[path] = sha256(data).hexdigest()
        return msgspec.structs.replace(part, path=path)

    parts = [_each_file(part, written) for part in entry.content]
    return file_format.encode_message(Message(entry.role, parts), digests)


def _with_content(part: Image | File, data: bytes) -> Image | File:
    if isinstance(part, Image):
        return msgspec.structs.replace(part, path=None, data=data)
    name = part.filename or Path(str(part.path)).name
    return msgspec.structs.replace(part, path=None, data=data, filename=name)


def _with_files(entry: Entry, digests: Mapping[str, str]) -> Entry:
    """``entry`` with a text in place of each local file whose content is not what it was."""
    if not digests or isinstance(entry, Compaction):
        return entry

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

    return Message(entry.role, [_each_file(part, read) for part in entry.content])


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
