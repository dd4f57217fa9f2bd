"""Writes an image to a file: whole or not at all, and over an existing file only if that is asked for."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from onplan.attachments import expanded
from onplan.config.file_errors import reason_of
from onplan.config.file_reading import require_regular
from onplan.config.private_files import sync_folder
from onplan.errors import ConfigurationError

# The first of a type is the one that is given to a file; the others are left as they are.
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/webp": (".webp",),
    "image/gif": (".gif",),
    "image/avif": (".avif",),
    "image/heic": (".heic", ".heif"),
    "image/tiff": (".tiff", ".tif"),
    "image/bmp": (".bmp",),
    "image/jxl": (".jxl",),
    "image/svg+xml": (".svg",),
    "image/x-icon": (".ico",),
    "image/vnd.adobe.photoshop": (".psd",),
}
_KNOWN = frozenset(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)


def with_suffix(path: Path, mime_type: str) -> Path:
    """``path`` with the suffix of the type: added, or in place of that of another image format."""
    right = _SUFFIXES.get(mime_type, ())
    suffix = path.suffix.lower()
    if not right or suffix in right:
        return path
    return path.with_suffix(right[0]) if suffix in _KNOWN else path.with_name(path.name + right[0])


def has_image_suffix(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is an image."""
    return Path(path).suffix.lower() in _KNOWN


def save_file(data: bytes, path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Write ``data`` that is not an image, as ``save_image`` does; the name is left as it is."""
    return save_image(data, "", path, overwrite=overwrite)


def save_image(data: bytes, mime_type: str, path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Write ``data`` beside ``path`` and give it that name, with the type's suffix. Returns the path.

    A crash leaves no file of that name, or the old one. A symbolic link is followed. The process's umask
    decides who may read the file.

    Raises:
        ConfigurationError: the file exists and may not be overwritten, or it cannot be written.
    """
    with explained(path):
        target = with_suffix(named(path), mime_type)
        if overwrite:
            _replace(Path(os.path.realpath(target)), data)
        else:
            _create(target, data)
    return target


def save_numbered(data: bytes, mime_type: str, path: str | os.PathLike[str]) -> Path:
    """As ``save_image``; where the name is taken, with the first number behind it that is free."""
    with explained(path):
        first = with_suffix(named(path), mime_type)
        target, number = first, 1
        while True:
            try:
                _create(target, data)
            except FileExistsError:
                number += 1
                target = first.with_name(f"{first.stem}-{number}{first.suffix}")
            else:
                return target


def require_free(path: str | os.PathLike[str], mime_type: str = "image/png") -> None:
    """Raise ConfigurationError if the file exists or its folder does not: before an image is asked for."""
    with explained(path):
        target = with_suffix(named(path), mime_type)
        if os.path.lexists(target):
            raise FileExistsError(target)
        target.parent.stat()


def named(path: str | os.PathLike[str]) -> Path:
    """``path``, if it names a file. Raises ConfigurationError."""
    given: object = path
    text = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(text, str) or not Path(text).name or text.endswith(("/", os.sep)):
        raise ConfigurationError(
            f"{given!r} is not the path of a file.", hint='Write `image.save("fox.png")`.'
        )
    return expanded(text)


@contextlib.contextmanager
def explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError into a ConfigurationError that says why ``path`` cannot be written."""
    try:
        yield
    except FileExistsError as error:
        raise ConfigurationError(
            f"{error.args[0] if len(error.args) == 1 else path} exists already.",
            hint="Choose another name, or say that it may be replaced: `save(…, overwrite=True)`, `--force`.",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: there is a NUL in the path
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"{path} cannot be written: {reason}.", hint="Choose another place, or make room."
        ) from None


def _replace(target: Path, data: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        require_regular(target.stat(), or_null=False)
    with _written(target, data) as temporary:
        temporary.replace(target)


def _create(target: Path, data: bytes) -> None:
    if os.path.lexists(target):
        raise FileExistsError(target)
    with _written(target, data) as temporary:
        try:
            os.link(temporary, target)  # unlike a rename, it fails if there is one by now
        except FileExistsError:
            raise FileExistsError(target) from None
        except OSError:  # a file system without links
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            temporary.replace(target)


@contextlib.contextmanager
def _written(target: Path, data: bytes) -> Iterator[Path]:
    """A new file beside ``target`` that holds ``data``; removed in the end unless it was renamed."""
    temporary = target.with_name(f".{target.name[:100]}.~{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    sync_folder(target.parent)
