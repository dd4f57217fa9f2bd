"""Files as they are found: in other encodings, and not files at all."""

from __future__ import annotations

import codecs
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import onplan
from onplan.config.file_reading import LARGEST, as_utf8, open_file, read_file
from onplan.config.private_files import PrivateFile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.errors import ConfigurationError, InvalidRequestError
from onplan.stores import Record, open_store
from onplan.types import CompletionRequest, Image, Message

TEXT = '[profiles.default]\nmodel = "é ☃ 𝄞"\n'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (codecs.BOM_UTF8 + TEXT.encode(), TEXT),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), TEXT),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), TEXT),
        (codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), TEXT),
        (codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"), TEXT),
        (TEXT.encode("utf-16-le"), TEXT),
        (TEXT.encode("utf-16-be"), TEXT),
        (b"{\0", "{"),
        (codecs.BOM_UTF8, ""),
        (codecs.BOM_UTF16_LE, ""),
        (TEXT.encode(), TEXT),
        (b"", ""),
        (b"\0\0", "\0\0"),
        ("\ufeff".encode() * 2, "\ufeff"),
        ("x\ufeff".encode(), "x\ufeff"),
    ],
)
def test_every_unicode_encoding_is_read(data: bytes, expected: str) -> None:
    """Text in any encoding that shows itself is the same text in UTF-8; what is UTF-8 stays as it is."""
    assert as_utf8(data) == expected.encode()


def test_what_is_not_utf_8_comes_back_as_it_is() -> None:
    """Bytes that show no encoding are for the caller to refuse."""
    assert as_utf8(b"\xe9t\xe9") == b"\xe9t\xe9"


@pytest.mark.parametrize("data", [codecs.BOM_UTF16_LE + b"x", codecs.BOM_UTF16_BE + b"\xd8\0", b"{\0x"])
def test_a_torn_character_is_an_error(data: bytes) -> None:
    """UTF-16 that ends within a character is not guessed at."""
    with pytest.raises(UnicodeError):
        as_utf8(data)


# --- what people edit ---------------------------------------------------------------------------------

_ENCODINGS: list[tuple[str, Callable[[str], bytes]]] = [
    ("UTF-8 with a mark", lambda text: codecs.BOM_UTF8 + text.encode()),
    ("UTF-16 LE with a mark", lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le")),
    ("UTF-16 BE with a mark", lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be")),
    ("UTF-16 LE", lambda text: text.encode("utf-16-le")),
    ("UTF-8", lambda text: text.encode()),
]
encodings = pytest.mark.parametrize(
    "encoded", [encoded for _, encoded in _ENCODINGS], ids=[name for name, _ in _ENCODINGS]
)


@encodings
def test_config_toml_is_read(clean_environment: Path, encoded: Callable[[str], bytes]) -> None:
    """config.toml may be saved by any editor."""
    clean_environment.mkdir()
    (clean_environment / "config.toml").write_bytes(encoded('[profiles.default]\r\nmodel = "gpt-5.5"\r\n'))

    assert load_settings().model == "gpt-5.5"


@encodings
def test_profiles_json_is_read(clean_environment: Path, encoded: Callable[[str], bytes]) -> None:
    """So may profiles.json."""
    clean_environment.mkdir()
    text = '{"profile": "work", "profiles": {"work": {"model": "gpt-5.5"}}}'
    (clean_environment / "profiles.json").write_bytes(encoded(text))

    assert load_settings().profile == "work"


@encodings
def test_a_stored_sign_in_is_read(
    signed_in: Emulator, clean_environment: Path, encoded: Callable[[str], bytes]
) -> None:
    """So may the file of a sign-in, which is refreshed in UTF-8."""
    path = clean_environment / "credentials" / "default.json"
    before = open_store(f"file:{path}").load()
    path.write_bytes(encoded(path.read_text()))
    signed_in.expire_access_tokens()

    with onplan.Client() as client:
        assert client.complete("hi").text
    assert before
    assert path.read_bytes().startswith(b"{\n")


@encodings
def test_the_codex_clis_files_are_read(tmp_path: Path, encoded: Callable[[str], bytes]) -> None:
    """So may the Codex CLI's auth.json, and its config.toml."""
    (tmp_path / "auth.json").write_bytes(encoded('{"tokens": {"access_token": "at"}}'))
    loaded = open_store(f"codex:{tmp_path}").load()
    assert loaded
    assert loaded.record.credentials
    assert loaded.record.credentials.access_token == "at"

    (tmp_path / "auth.json").unlink()
    (tmp_path / "config.toml").write_bytes(encoded('cli_auth_credentials_store = "keyring"'))
    with pytest.raises(onplan.StoreError, match="keyring"):
        open_store(f"codex:{tmp_path}").load()


def test_a_token_in_the_environment_may_begin_with_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable filled from a file with a byte order mark holds the token all the same."""
    monkeypatch.setenv("TOKEN", "\ufeffabc")
    loaded = open_store("env:TOKEN").load()

    assert loaded
    assert loaded.record.credentials
    assert loaded.record.credentials.access_token == "abc"


@encodings
def test_a_prompt_through_a_pipe_is_read(
    signed_in: Emulator,
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
    encoded: Callable[[str], bytes],
) -> None:
    """What PowerShell pipes into ``onplan ask`` is asked without its mark."""
    asked = subprocess.run(
        [sys.executable, "-m", "onplan", "ask"],
        input=encoded("say é"),
        capture_output=True,
        timeout=60,
        check=True,
    )

    assert asked.stdout.decode("utf-8").strip() == "You said: say é"


# --- what is no file ----------------------------------------------------------------------------------


@pytest.fixture(params=["fifo", "socket", "device", "endless device", "folder", "loop", "huge"])
def odd(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Path]]:
    """Puts something else in a file's place."""
    if sys.platform == "win32":
        pytest.skip("mkfifo(3)")
    opened: list[socket.socket] = []

    def put(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        match request.param:
            case "fifo":
                os.mkfifo(path, 0o600)
            case "socket":
                opened.append(socket.socket(socket.AF_UNIX))
                here = Path.cwd()
                os.chdir(path.parent)  # a socket's address is at most some 100 characters long
                try:
                    opened[-1].bind(path.name)
                finally:
                    os.chdir(here)
            case "device":
                path.symlink_to("/dev/tty")
            case "endless device":
                path.symlink_to("/dev/zero")
            case "folder":
                path.mkdir()
            case "loop":
                path.symlink_to(path.name)
            case "huge":
                path.touch(0o600)
                os.truncate(path, LARGEST + 1)
        return path

    yield put
    for each in opened:
        each.close()


def test_what_is_no_file_is_not_read(tmp_path: Path, odd: Callable[[Path], Path]) -> None:
    """Whatever stands in a file's place is an OSError at once: nothing waits, and nothing reads for ever."""
    with pytest.raises(OSError):  # noqa: PT011 - each system has its own number for it
        read_file(odd(tmp_path / "x"))


@pytest.mark.parametrize("name", ["config.toml", "profiles.json"])
def test_settings_that_are_no_file_are_refused(
    clean_environment: Path, odd: Callable[[Path], Path], name: str
) -> None:
    """Where settings should be, the error names the file."""
    path = odd(clean_environment / name)

    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        load_settings()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("scheme", ["file", "codex"])
def test_a_sign_in_that_is_no_file_is_refused(
    tmp_path: Path, odd: Callable[[Path], Path], scheme: str
) -> None:
    """Where a sign-in should be, reading and writing is refused with what to do, and what is there stays."""
    path = odd(tmp_path / "auth.json")
    kind = stat.S_IFMT(path.lstat().st_mode)
    store = open_store(f"file:{path}" if scheme == "file" else f"codex:{tmp_path}")

    for use in (store.load, partial(store.save, Record(), None)):
        with pytest.raises(onplan.StoreError) as caught:
            use()
        assert store.describe() in str(caught.value)
    assert stat.S_IFMT(path.lstat().st_mode) == kind


def test_an_attachment_that_is_no_file_is_refused(tmp_path: Path, odd: Callable[[Path], Path]) -> None:
    """So is an image that is no file, before anything is sent; one of any size is read."""
    from onplan.attachments import read_attachments

    path = odd(tmp_path / "x.png")
    request = CompletionRequest(messages=[Message.user(Image(path=str(path)))])

    with pytest.raises(InvalidRequestError, match="is not a PNG" if path.is_file() else "cannot be read"):
        read_attachments(request)


def test_the_null_device_is_an_empty_file(tmp_path: Path) -> None:
    """A link to the null device, by which people switch a configuration off, is read as nothing."""
    (tmp_path / "x").symlink_to(os.devnull)

    assert read_file(tmp_path / "x") == b""


def test_a_file_s_descriptor_is_not_left_open(tmp_path: Path) -> None:
    """What is refused is closed again."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("proc(5)")
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(IsADirectoryError):
            open_file(tmp_path)

    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_of_a_reading_is_told_as_one(tmp_path: Path) -> None:
    """Ctrl-C at any step of it is no error of the file, whose descriptor might be closed twice."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    steps = 0
    while interrupted_at(steps, lambda: read_file(path)):
        steps += 1
    assert steps > 5


def interrupted_at(step: int, work: Callable[[], object]) -> bool:
    """Whether ``work`` has so many lines and returns that Ctrl-C can come at this one, and raises it then."""
    left = step

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        left -= event in ("line", "return")
        if left < 0:
            sys.settrace(None)
            del argument  # what would have been returned: nothing holds it any more
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """A file that cannot be replaced keeps its content, and neither half of the attempt stays beside it."""
    kept = PrivateFile(tmp_path / "x")
    (tmp_path / "x").mkdir()

    with pytest.raises(OSError):  # noqa: PT011
        kept.write(b"data", room=100)

    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def _fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _device(number: int, path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, number))  # Linux: 3 is the null device
    except (PermissionError, AttributeError):
        pytest.skip("needs permission to make devices")


@pytest.mark.skipif(sys.platform == "win32", reason="there are none on Windows")
@pytest.mark.parametrize("make", [_fifo, _socket, partial(_device, 3), partial(_device, 5)])
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], linked: bool
) -> None:
    """A device, FIFO or socket is neither removed nor replaced, also where a link leads to it."""
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    make(Path("it"))
    target = path = tmp_path / "it"
    if linked:
        path = tmp_path / "link"
        path.symlink_to(target)
    before = target.lstat()
    file = PrivateFile(path)

    with pytest.raises(OSError, match="not a file"):
        file.write(b"data", room=10)
    with pytest.raises(OSError, match="not a file"):
        file.remove(instead=b"")
    with pytest.raises(onplan.StoreError, match=r"cannot be removed.*not a file"):
        open_store(f"file:{path}").delete()

    after = target.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    names = {"it", "it.lock", *(["link"] if linked else [])}
    assert {entry.name for entry in tmp_path.iterdir()} == names
