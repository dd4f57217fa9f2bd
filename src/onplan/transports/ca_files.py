"""Certificates of authorities, out of files as they are found: in other encodings, and not files at all."""

from __future__ import annotations

import codecs
import os
import ssl
from pathlib import Path

from onplan.config.file_reading import as_utf8, read_file


def recoded_certificates(file: str | os.PathLike[str]) -> str | None:
    """The certificates in ``file`` as ASCII, if OpenSSL could not read its encoding; None if it can.

    OpenSSL overlooks each certificate behind a byte order mark, which may be in the middle of files that were
    joined; it finds none in UTF-16, and waits for ever at a FIFO. Raises OSError; ssl.SSLError, which is
    one, if there can be no certificate.
    """
    data = read_file(Path(file))
    try:
        text = as_utf8(data)
    except UnicodeError:
        text = b""
    if text is data and codecs.BOM_UTF8 not in data:
        return None
    if not text.strip():
        raise ssl.SSLError("no certificate")
    return text.decode("ascii", "ignore")  # comments may be in any language


def trust(context: ssl.SSLContext, file: str | os.PathLike[str]) -> None:
    """Have ``context`` trust the authorities in the PEM ``file`` as well. Raises OSError as above."""
    text = recoded_certificates(file)
    if text is None:
        context.load_verify_locations(cafile=file)
    else:
        context.load_verify_locations(cadata=text)
