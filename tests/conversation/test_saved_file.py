"""Conversations in files, without a server: what is written, attachments, other programs, full disks."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan import ConversationFileError, ConversationFileWarning, File, Image, Message, Text, ToolResult
from onplan.conversation import saved_file
from onplan.conversation.file_format import Header
from onplan.conversation.history import History
from onplan.conversation.saved_file import Attachments, KeptFile, load, save
from onplan.types import Compaction

PIXEL = (Path(__file__).parent.parent / "pixel.png").read_bytes()
HEADER = Header("s-1")
U, A = Message.user("hi"), Message.assistant("ho")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which there is an image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(PIXEL)
    (tmp_path / "b.txt").write_bytes(b"words")
    return tmp_path


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """A warning that no test expects is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def kept(path: Path, *messages: Message, attachments: Attachments = "path") -> KeptFile:
    file = KeptFile(path, attachments)
    file.begin(HEADER, History(tuple(messages)))
    return file


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has access lists instead of modes")
def test_a_file_is_its_owners_alone(folder: Path) -> None:
    """Also if there was one that others could read; and folders that are made for it."""
    (folder / "old.jsonl").write_bytes(b"")
    (folder / "old.jsonl").chmod(0o644)
    for name in ("old.jsonl", "new/new.jsonl"):
        save(name, HEADER, History((U,)), "path")
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    kept(folder / "kept.jsonl", U)

    assert stat.S_IMODE((folder / "kept.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize("attachments", ["path", "inside"])
def test_attachments_are_saved_by_path_or_inside(folder: Path, attachments: Attachments) -> None:
    """By path they are where they were, from any folder; inside, the file is enough. Also in tool results."""
    message = Message.user("Look:", Image(path="a.png", detail="low"), File(Path("b.txt")))
    result = Message.tool("c", [Image(path="a.png"), "a pixel"])
    save(
        "talk.jsonl",
        HEADER,
        History(
            (
                message,
                result,
            )
        ),
        attachments,
    )
    if attachments == "inside":
        (folder / "a.png").unlink()
        (folder / "b.txt").unlink()
        image, file = Image(data=PIXEL, detail="low"), File(data=b"words", filename="b.txt")
    else:
        image, file = Image(path=folder / "a.png", detail="low"), File(path=folder / "b.txt")
    said, told = load("talk.jsonl").history.messages

    assert said == Message.user("Look:", image, file)
    (part,) = told.content
    assert isinstance(part, ToolResult)
    assert part.content == [Image(path=image.path, data=image.data), Text("a pixel")]


def test_a_tilde_is_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for images, files and stores; no folder of that name is made."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder / "home"))
    (folder / "home").mkdir()
    save("~/saved.jsonl", HEADER, History((U, A)), "path")
    file = kept(Path("~/kept.jsonl"), U)

    assert list(load("~/saved.jsonl").history.entries) == [U, A]
    assert file.is_at("~/kept.jsonl")
    assert not saved_file.is_missing("~/kept.jsonl")
    assert {path.name for path in (folder / "home").iterdir()} == {"saved.jsonl", "kept.jsonl"}
    assert not (folder / "~").exists()


def test_an_attachment_that_has_changed_is_a_text(folder: Path) -> None:
    """The model is told what is missing, and the program is warned; the rest is there."""
    save(
        "talk.jsonl",
        HEADER,
        History(
            (
                Message.user("Look:", Image(path="a.png"), File(path="b.txt")),
                A,
            )
        ),
        "path",
    )
    (folder / "a.png").unlink()
    (folder / "b.txt").write_bytes(b"other words")
    with pytest.warns(ConversationFileWarning) as caught:
        messages = load("talk.jsonl").history.messages

    assert messages == (
        Message.user(
            "Look:",
            "[The image a.png is gone and is left out.]",
            "[The file b.txt has changed and is left out.]",
        ),
        A,
    )
    assert [str(warning.message).split(" since")[0] for warning in caught] == [
        f"{folder / 'a.png'} is gone",
        f"{folder / 'b.txt'} has changed",
    ]


def test_a_planted_path_is_not_read_into_a_conversation(folder: Path) -> None:
    """Who writes a file for somebody else does not know the digests of that person's files."""
    part = {"type": "file", "path": str(folder / "b.txt"), "sha256": "00" * 32}
    save("talk.jsonl", HEADER, History(()), "path")
    with (folder / "talk.jsonl").open("a") as file:
        file.write(json.dumps({"role": "user", "content": [part]}) + "\n")
    with pytest.warns(ConversationFileWarning, match="has changed"):
        (message,) = load("talk.jsonl").history.messages

    assert [type(part) for part in message.content] == [Text]


def test_an_attachment_that_cannot_be_read_is_an_error(folder: Path) -> None:
    """When it is saved; the file that was there is unchanged."""
    save("talk.jsonl", HEADER, History((U,)), "path")
    before = (folder / "talk.jsonl").read_bytes()
    with pytest.raises(onplan.InvalidRequestError, match=r"c\.png cannot be read"):
        save("talk.jsonl", HEADER, History((Message.user(Image(path="c.png")),)), "path")

    assert (folder / "talk.jsonl").read_bytes() == before


def test_what_is_sent_is_saved(folder: Path) -> None:
    """A part with a path beside its URL or data is sent without it, and so is saved without it."""
    parts = [Image(url="https://example.org/a.png", path="gone.png"), File(data=b"x", path="gone.txt")]
    save("talk.jsonl", HEADER, History((Message.user(*parts),)), "path")

    assert load("talk.jsonl").history.messages[0].content == [
        Image(url="https://example.org/a.png"),
        File(data=b"x"),
    ]


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([[U], [U, A]], [U, A]),
        ([[U, A], [U, A, U, A], [U, A]], [U, A]),
        ([[U, A], []], []),
        ([[U], [], [A]], [A]),
        ([[U, A], [U, Message.assistant("no"), U]], [U, Message.assistant("no"), U]),
    ],
    ids=["grows", "is cut", "is emptied", "begins anew", "is another"],
)
def test_a_kept_file_holds_what_it_is_told(
    folder: Path, steps: list[list[Message]], left: list[Message]
) -> None:
    """After each step it is a whole conversation."""
    file = kept(folder / "talk.jsonl")
    for messages in steps:
        file.update(History(tuple(messages)))
        assert list(load("talk.jsonl").history.messages) == messages

    assert list(load("talk.jsonl").history.messages) == left


@pytest.mark.parametrize(
    ("tail", "size"), [(b'{"role":"assi', 13), (bytes(50), 50), (b"", 0)], ids=["torn", "zeros", "whole"]
)
def test_a_torn_line_is_removed_and_nothing_else(folder: Path, tail: bytes, size: int) -> None:
    """Loading leaves the file as it is; going on repairs it. Both warn."""
    path = folder / "talk.jsonl"
    save(
        path,
        HEADER,
        History(
            (
                U,
                A,
            )
        ),
        "path",
    )
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        saved = load(path)
    assert [f"({size} bytes)" in str(warning.message) for warning in caught] == [True] * bool(size)
    assert path.read_bytes() == whole + tail
    file = KeptFile(path, "path")
    file.go_on(saved)
    assert path.read_bytes() == whole
    file.update(saved.history.plus([U]))

    assert load(path).history.messages == (U, A, U)


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data[:-1],
        lambda data: data + b"\n \n",
        lambda data: data + b"\n  ",
        lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
    ],
    ids=["no last line end", "empty lines", "blanks", "BOM and CRLF"],
)
def test_a_file_that_an_editor_saved_goes_on(folder: Path, edit: Callable[[bytes], bytes]) -> None:
    """The next message has a line of its own."""
    path = folder / "talk.jsonl"
    save(
        path,
        HEADER,
        History(
            (
                U,
                A,
            )
        ),
        "path",
    )
    path.write_bytes(edit(path.read_bytes()))
    file, saved = KeptFile(path, "path"), load(path)
    file.go_on(saved)
    file.update(saved.history.plus([U]))

    assert load(path).history.messages == (U, A, U)


def test_another_program_is_noticed(folder: Path) -> None:
    """What it wrote is not overwritten."""
    file = kept(folder / "talk.jsonl", U)
    other, saved = KeptFile("talk.jsonl", "path"), load("talk.jsonl")
    other.go_on(saved)
    other.update(saved.history.plus([A]))
    before = (folder / "talk.jsonl").read_bytes()
    with pytest.raises(ConversationFileError, match="was changed by another program"):
        file.update(History((U, U)))

    assert (folder / "talk.jsonl").read_bytes() == before


def test_a_kept_file_that_was_removed_is_an_error(folder: Path) -> None:
    """It does not come back with its newest message alone."""
    file = kept(folder / "talk.jsonl", U)
    (folder / "talk.jsonl").unlink()
    with pytest.raises(ConversationFileError, match=r"talk\.jsonl cannot be written: no such file"):
        file.update(History((U, A)))
    assert not (folder / "talk.jsonl").exists()


class FullDisk(FileIO):
    """A file on a disk that has room for ten more bytes."""

    room = 10

    def write(self, data: Any, /) -> int:
        if not FullDisk.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = super().write(bytes(data)[: FullDisk.room])
        FullDisk.room -= written
        return written


def test_a_full_disk_leaves_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that has no room is taken back; once there is room, it is written with the next ones."""
    file = kept(folder / "talk.jsonl", U)
    with monkeypatch.context() as patch:
        patch.setattr(saved_file, "FileIO", FullDisk)
        with pytest.raises(ConversationFileError, match="the disk is full"):
            file.update(History((U, A)))
    assert load("talk.jsonl").history.messages == (U,)
    file.update(History((U, A, U)))

    assert load("talk.jsonl").history.messages == (U, A, U)


@pytest.mark.parametrize(
    ("path", "words"),
    [("gone.jsonl", "no such file"), (".", "it is a folder"), ("a\0b", "null"), ("a.png", "not a conv")],
)
def test_what_cannot_be_read_is_explained(folder: Path, path: str, words: str) -> None:
    """By an error of onplan's, which names the file."""
    with pytest.raises(ConversationFileError, match=words):
        load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_a_fifo_is_not_waited_for(folder: Path) -> None:
    """Nobody may ever write into it."""
    os.mkfifo("talk.jsonl")
    with pytest.raises(ConversationFileError, match="cannot be read"):
        load("talk.jsonl")


def test_a_line_of_a_hundred_megabytes_is_refused(folder: Path) -> None:
    """And not read into memory as a whole."""
    save("talk.jsonl", HEADER, History((U,)), "path")
    with (folder / "talk.jsonl").open("r+b") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(ConversationFileError, match="line 3 is longer than 64 MiB"):
        load("talk.jsonl")


@pytest.mark.parametrize("written", ["whole", "by an editor"])
def test_a_file_becomes_one_of_the_version_that_it_needs(folder: Path, written: str) -> None:
    """With its first compaction: the header is another one, and each other byte is as it was."""
    save("talk.jsonl", HEADER, History((U, Message.user(Image(path="a.png")), A)), "path")
    path = folder / "talk.jsonl"
    if written == "by an editor":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    (folder / "a.png").unlink()  # its line stays as it is
    lines = path.read_bytes().splitlines(keepends=True)
    with pytest.warns(ConversationFileWarning, match="is gone"):
        saved = load("talk.jsonl")
    file = KeptFile("talk.jsonl", "path")
    file.go_on(saved)
    compaction = Compaction(2, "sealed", "me", "3000")
    history = saved.history.plus([U]).compacted([compaction])
    file.update(history)

    after = path.read_bytes().splitlines(keepends=True)
    assert json.loads(after[0]) == {**json.loads(lines[0].decode("utf-8-sig")), "version": 2}
    kept = [line for line in lines[1:] if line.strip()]
    assert [line for line in after[1:] if line.strip()][: len(kept)] == kept
    with pytest.warns(ConversationFileWarning, match="is gone"):
        assert load("talk.jsonl").history == history
    file.update(saved.history)
    file.update(history.plus([A]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or sys.platform == "win32"
    with pytest.warns(ConversationFileWarning, match="is gone"):
        assert load("talk.jsonl").history == history.plus([A])


def test_another_program_is_noticed_before_the_version_changes(folder: Path) -> None:
    """What it wrote is not overwritten."""
    file = kept(folder / "talk.jsonl", U, A)
    with (folder / "talk.jsonl").open("ab") as other:
        other.write(b"\n")
    before = (folder / "talk.jsonl").read_bytes()
    with pytest.raises(ConversationFileError, match="changed by another program"):
        file.update(History((U, A, Compaction(2, "sealed", "me", "3000"))))
    assert (folder / "talk.jsonl").read_bytes() == before


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0.0, -0.0)])
def test_what_python_calls_equal_is_written_anew(folder: Path, old: object, new: object) -> None:
    """A file has the values of its history, also where those before them only seem to be the same."""
    file = kept(folder / "talk.jsonl", U, Message.assistant(Text("x", annotations=[{"type": "t", "n": old}])))
    changed = Message.assistant(Text("x", annotations=[{"type": "t", "n": new}]))
    file.update(History((U, changed)))

    [text] = load(folder / "talk.jsonl").history.messages[1].content
    assert isinstance(text, Text)
    assert repr(text.annotations[0]["n"]) == repr(new)
