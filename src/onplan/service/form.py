"""Reads forms with uploads (``multipart/form-data``, RFC 7578), with python-multipart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_images import FormField

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

    _ParseOptions = Callable[[str | bytes | None], tuple[bytes, dict[bytes, bytes]]]

_MOST_FIELDS = 100
# Without any handler Python prints what the library says of damaged forms on stderr; the reply says it, too.
_UNPRINTED = logging.NullHandler()


def read_form(body: bytes, content_type: str) -> list[FormField]:
    """The fields of a form, in their order.

    Args:
        body: whole.
        content_type: the header, which names the boundary.

    Raises:
        ParameterError: it is no form, is not complete, or has more than 100 fields.
        MissingExtraError: python-multipart is not installed.
    """
    try:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser, parse_options_header
    except ModuleNotFoundError:
        from onplan.config.installation import missing_extra

        raise missing_extra("server", "Reading uploads") from None
    logging.getLogger("python_multipart").addHandler(_UNPRINTED)
    fields = _Fields(parse_options_header)
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if boundary:
        try:
            MultipartParser(boundary, fields.callbacks()).write(body)
        except FormParserError:
            fields.is_complete = False
    if not fields.is_complete:
        message = "The body is not a complete form, or its boundary is not that of Content-Type."
        raise ParameterError(message, code="invalid_form")
    return fields.found


class _Fields:
    """Collects the fields that the parser finds."""

    def __init__(self, parse_options: _ParseOptions) -> None:
        self._parse_options = parse_options
        self.found: list[FormField] = []
        self.is_complete = False
        self._begin()

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.append(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.append(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._content.append(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def _begin(self) -> None:
        self._disposition = b""
        self._header: list[bytes] = []
        self._value: list[bytes] = []
        self._content: list[bytes] = []

    def _end_header(self) -> None:
        if b"".join(self._header).lower() == b"content-disposition":
            self._disposition = b"".join(self._value)
        self._header, self._value = [], []

    def _end(self) -> None:
        _, options = self._parse_options(self._disposition)
        name = options.get(b"name")
        if name is None:
            raise ParameterError("A field of the form has no name.", code="invalid_form")
        if len(self.found) == _MOST_FIELDS:
            raise ParameterError(f"The form has more than {_MOST_FIELDS} fields.", code="invalid_form")
        named, data = name.decode("utf-8", "replace"), b"".join(self._content)
        self.found.append(FormField(named, data, b"filename" in options))

    def _complete(self) -> None:
        self.is_complete = True
