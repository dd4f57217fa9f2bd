"""Loads certificates of authorities, also from files that OpenSSL misreads: byte order marks, UTF-16."""

from __future__ import annotations

import codecs
import os
import ssl
from pathlib import Path

from onplan.config.file_reading import as_utf8, read_file


def recoded_certificates(file: str | os.PathLike[str]) -> str | None:
    """The certificates in ``file`` as ASCII, if OpenSSL cannot read its encoding; None if it can.

    OpenSSL overlooks a certificate that follows a byte order mark, which may be in the middle of files that
    were joined. It finds none in UTF-16, and waits for ever for a FIFO.

    Raises:
        OSError: the file cannot be read; ssl.SSLError, a kind of OSError, if it cannot hold a certificate.
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
    """Have ``context`` trust the authorities in ``file``, in PEM, as well. Raises OSError, ssl.SSLError."""
    text = recoded_certificates(file)
    if text is None:
        context.load_verify_locations(cafile=file)
    else:
        context.load_verify_locations(cadata=text)
