"""An image becomes a file: whole, of the right name, and never over another one unless asked."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from onplan.errors import ConfigurationError
from onplan.images.response import GeneratedImage
from onplan.images.saving import has_image_suffix, require_free, save_file, save_numbered, with_suffix

PNG = (Path(__file__).parent.parent / "pixel.png").read_bytes()
FOX = GeneratedImage(PNG, "image/png")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("mime_type", "suffix", "others"),
    [
        ("image/png", ".png", ""),
        ("image/jpeg", ".jpg", ".jpeg .jpe .jfif"),
        ("image/webp", ".webp", ""),
        ("image/gif", ".gif", ""),
        ("image/avif", ".avif", ""),
        ("image/heic", ".heic", ".heif"),
        ("image/tiff", ".tiff", ".tif"),
        ("image/bmp", ".bmp", ""),
        ("image/jxl", ".jxl", ""),
        ("image/svg+xml", ".svg", ""),
        ("image/x-icon", ".ico", ""),
        ("image/vnd.adobe.photoshop", ".psd", ""),
    ],
)
def test_suffixes_of_every_format(mime_type: str, suffix: str, others: str) -> None:
    """One is added, or comes in the place of another format's; the format's own are left as they are."""
    other = ".webp" if suffix == ".png" else ".png"
    for given in ("fox", f"fox{other}"):
        assert with_suffix(Path(given), mime_type) == Path(f"fox{suffix}")
    for own in (suffix, *others.split()):
        assert with_suffix(Path(f"fox{own}"), mime_type) == Path(f"fox{own}")
        assert with_suffix(Path(f"fox{own}"), "image/unheard-of") == Path(f"fox{own}")
        if mime_type != "image/png":
            assert with_suffix(Path(f"fox{own}"), "image/png") == Path("fox.png")


@pytest.mark.parametrize(
    ("mime_type", "given", "made"),
    [
        ("image/png", "fox", "fox.png"),
        ("image/png", "fox.png", "fox.png"),
        ("image/png", "fox.PNG", "fox.PNG"),
        ("image/png", "fox.jpg", "fox.png"),
        ("image/png", "fox.v2", "fox.v2.png"),
        ("image/png", ".fox", ".fox.png"),
        ("image/png", "fox.", "fox..png"),
        ("image/jpeg", "fox.jpeg", "fox.jpeg"),
        ("image/jpeg", "fox.png", "fox.jpg"),
        ("image/webp", "fox", "fox.webp"),
        ("image/unheard-of", "fox.x", "fox.x"),
    ],
)
def test_the_suffix_is_right(tmp_path: Path, mime_type: str, given: str, made: str) -> None:
    """It is that of the format; the path says where the image is."""
    path = GeneratedImage(PNG, mime_type).save(tmp_path / given)

    assert path == tmp_path / made
    assert path.read_bytes() == PNG
    assert names(tmp_path) == [made]


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    """Also not what a broken link points at."""
    path = tmp_path / "fox.png"
    path.write_bytes(b"precious")
    (tmp_path / "link.png").symlink_to("nowhere")

    for name in ("fox.png", "fox", "fox.jpg", "link.png"):
        with pytest.raises(ConfigurationError, match="exists already") as caught:
            FOX.save(tmp_path / name)
        assert "overwrite=True" in caught.value.hint
    assert path.read_bytes() == b"precious"
    assert FOX.save(path, overwrite=True) == path
    assert path.read_bytes() == PNG
    assert names(tmp_path) == ["fox.png", "link.png"]


def test_a_link_is_followed_when_it_is_replaced(tmp_path: Path) -> None:
    """The file has the image then, and the link is still one."""
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to("real.png")

    FOX.save(tmp_path / "link.png", overwrite=True)

    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_bytes() == PNG


def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    """It is no secret."""
    before = os.umask(0o027)
    try:
        path = FOX.save(tmp_path / "fox")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_is_no_image_keeps_its_name(tmp_path: Path) -> None:
    """Its suffix says nothing of the data; it overwrites no more than an image does."""
    path = tmp_path / "fox.png"
    assert save_file(b"a text", path, overwrite=False) == path
    with pytest.raises(ConfigurationError, match="exists already"):
        save_file(b"another", path, overwrite=False)
    assert path.read_bytes() == b"a text"
    save_file(b"another", path, overwrite=True)
    assert (path.read_bytes(), names(tmp_path)) == (b"another", ["fox.png"])


@pytest.mark.parametrize("path", ["", ".", "/", "folder/", None, 5, b"fox.png"])
def test_what_is_no_path_of_a_file(path: Any) -> None:
    """It is refused with an example."""
    with pytest.raises(ConfigurationError, match="is not the path of a file") as caught:
        FOX.save(path)
    assert "fox.png" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/fox.png", "no such file or directory"),
        ("file/fox.png", "one of the folders in its path is a file"),
        ("nul\0.png", "null"),
        ("n" * 300, "file name too long"),
    ],
)
def test_where_it_cannot_be_written(tmp_path: Path, path: str, reason: str) -> None:
    """The error says why, and nothing is left behind."""
    (tmp_path / "file").touch()

    for overwrite in (False, True):
        with pytest.raises(ConfigurationError, match=reason):
            FOX.save(tmp_path / path, overwrite=overwrite)
    assert names(tmp_path) == ["file"]


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """Nor a named pipe, even when asked: another program waits for it."""
    os.mkfifo(tmp_path / "pipe.png")

    with pytest.raises(ConfigurationError, match="named pipe"):
        FOX.save(tmp_path / "pipe.png", overwrite=True)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half image, and no temporary file."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for overwrite in (False, True):
        with pytest.raises(ConfigurationError, match="the disk is full"):
            FOX.save(tmp_path / "fox.png", overwrite=overwrite)
    assert names(tmp_path) == []


def test_where_files_have_one_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without hard links it is saved all the same, and overwrites nothing."""

    def refuse(*paths: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    path = FOX.save(tmp_path / "fox.png")

    assert path.read_bytes() == PNG
    with pytest.raises(ConfigurationError, match="exists already"):
        FOX.save(path)
    assert names(tmp_path) == ["fox.png"]


def test_many_at_once_have_names_of_their_own(tmp_path: Path) -> None:
    """Each is kept, under the next free number."""
    with ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(lambda _: save_numbered(PNG, "image/png", tmp_path / "fox"), range(16)))

    assert sorted(path.name for path in paths) == sorted(["fox.png", *(f"fox-{n}.png" for n in range(2, 17))])
    assert len(names(tmp_path)) == 16


def test_names_of_images() -> None:
    """By their suffix, in capital letters, too."""
    names = ("fox.png", "fox.JPG", "fox.txt", "fox", ".png", "png")

    assert [name for name in names if has_image_suffix(name)] == ["fox.png", "fox.JPG"]


def test_whether_a_name_is_free(tmp_path: Path) -> None:
    """It is asked before an image is."""
    require_free(tmp_path / "fox")
    FOX.save(tmp_path / "fox")
    with pytest.raises(ConfigurationError, match="exists already"):
        require_free(tmp_path / "fox.jpg")
    with pytest.raises(ConfigurationError, match="no such file"):
        require_free(tmp_path / "missing/fox")
