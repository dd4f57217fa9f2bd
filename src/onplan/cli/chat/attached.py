"""Images and files that go with the next message."""

from __future__ import annotations

from pathlib import Path

from onplan.attachments import content_of, expanded, is_url
from onplan.types import File, Image

_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp")


class Attached:
    """The attachments of the next message. Files are read at once: a screenshot may be gone later."""

    def __init__(self) -> None:
        self.parts: list[Image | File] = []

    def add(self, name: str, *, image: bool | None = None) -> str:
        """Attach the file or address ``name``, and return its short name.

        Args:
            name: a path or URL.
            image: whether it is an image; None to tell by its name.

        Raises InvalidRequestError.
        """
        if image is None:
            image = name.lower().endswith(_IMAGES)
        if is_url(name):
            self.parts.append(Image(url=name) if image else File(url=name))
        else:
            data = content_of(name)
            filename = Path(name).name
            self.parts.append(Image(data=data) if image else File(data=data, filename=filename))
        return title_of(name)

    def take(self) -> list[Image | File]:
        """Remove and return what is attached."""
        parts, self.parts = self.parts, []
        return parts

    def __str__(self) -> str:
        """How much is attached, for people; an empty string for nothing."""
        images = sum(isinstance(part, Image) for part in self.parts)
        files = len(self.parts) - images
        counts = [(images, "image"), (files, "file")]
        return " and ".join(f"{count} {noun}{'s' if count > 1 else ''}" for count, noun in counts if count)


def title_of(name: str) -> str:
    """The short name of a path or address."""
    if name[:5].lower() == "data:":
        return "data"
    return name if is_url(name) else Path(name).name


def is_file(name: str) -> bool:
    """Whether there is a file of this name."""
    try:
        return expanded(name).is_file()
    except (OSError, ValueError):  # not permitted, too long, or with a NUL
        return False
