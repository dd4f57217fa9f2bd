"""Writes the bytes of an image or a file as a ``data:`` URL (RFC 2397)."""

from __future__ import annotations

from base64 import b64encode

from onplan.errors import InvalidRequestError
from onplan.types import File, Image


def data_url(part: Image | File) -> str:
    """The ``data:`` URL of ``part``, whose bytes must have been read already.

    Raises:
        InvalidRequestError: it has no bytes.
    """
    if part.data is None:
        missing = "has neither url nor data" if part.path is None else f"at {part.path} was not read"
        raise InvalidRequestError(f"The {part.type} {missing}.")
    default_type = "image/png" if isinstance(part, Image) else "application/octet-stream"
    return f"data:{part.mime_type or default_type};base64,{b64encode(part.data).decode('ascii')}"
