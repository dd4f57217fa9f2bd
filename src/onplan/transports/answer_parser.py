"""Parses answers of HTTP/1.1 with httptools. Pure; any split of the bytes gives the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httptools

from onplan.turn.steps import Head

if not hasattr(httptools.HttpResponseParser, "set_dangerous_leniencies"):  # its parser has faults that matter
    raise ModuleNotFoundError("httptools is older than 0.6.4", name="httptools")

# Bytes that may come without one of the body: informational responses (1xx), the head, extensions of chunks,
# the trailer section.
MOST_AROUND_BODY = 512 * 1024


class BadAnswerError(Exception):
    """What came is no answer, or not a whole one. Its text says why, as the end of a sentence."""


class AnswerParser:
    """One answer, with the informational responses (1xx) that come before it.

    Args:
        method: of the request. The answer to ``HEAD`` has no body, whatever its head says.

    Attributes:
        head: None until it has come.
        parts: of the body, as far as they have come and were not taken.
        is_complete: whether nothing more belongs to the answer.
        keeps_open: whether the server can be asked again on the same connection, once the answer is complete.
    """

    __slots__ = (
        "_around",
        "_fields",
        "_is_bodiless",
        "_parser",
        "_refused",
        "_until_close",
        "head",
        "is_complete",
        "keeps_open",
        "on_body",
        "parts",
    )

    def __init__(self, method: str) -> None:
        self.head: Head | None = None
        self.parts: list[bytes] = []
        self.is_complete = self.keeps_open = False
        self.on_body = self.parts.append  # called by httptools, without a step through Python
        self._fields: list[bytes] = []  # names and values, in turn
        self._is_bodiless = method == "HEAD"
        self._until_close = False
        self._around = 0  # bytes that have come since the last one of the body
        self._refused: str | None = None
        self._parser: httptools.HttpResponseParser | None = _parser_for(self)

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes from the network. What they hold of the body is in ``parts``, also if they end in an error.

        Raises:
            BadAnswerError: they are no answer, or none of an acceptable size.
        """
        parser, parts = self._parser, len(self.parts)
        if parser is None:
            self.keeps_open = False  # they follow the answer
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise self._failure("the server changed the protocol") from None
        except httptools.HttpParserError:
            if not self.is_complete:
                raise self._failure(self._refused or "what came is not HTTP") from None
            self.keeps_open = False
        if self.is_complete:
            self._parser = None
            if self._is_bodiless:
                self.parts.clear()
        elif len(self.parts) > parts:
            self._around = 0
        else:
            self._around += len(data)
            if self._around > MOST_AROUND_BODY:
                raise self._failure("the head of the answer is too long")

    def close(self, *, is_clean: bool = True) -> None:
        """The connection has ended. Raises BadAnswerError if that is not the answer's end.

        ``is_clean``: whether it is known that the server has ended it, and said all.
        """
        if self.is_complete:
            self.keeps_open = False
        elif not (self._until_close and is_clean):
            where = "before" if self.head is None else "in the middle of"
            raise self._failure(f"it was closed {where} the answer")
        self._parser, self.is_complete = None, True

    def take(self) -> bytes:
        """The parts of the body that have come since the last call."""
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return data

    def _failure(self, reason: str) -> BadAnswerError:
        self._parser = None  # which refers to this object
        return BadAnswerError(reason)

    # --- called by httptools; what they raise ends ``feed_data`` ----------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins, or an informational response."""
        if self.is_complete:
            raise BadAnswerError
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a field of the trailer section, which is of no use."""
        if self.head is None:
            self._fields += (name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser = self._parser
        status = parser.get_status_code() if parser else 0
        headers = headers_of(self._fields)
        self._refused = refusal(status, headers)
        if parser is None or self._refused:
            raise BadAnswerError
        if status < 200:
            return
        self.parts.clear()  # an informational response has no body
        self._until_close = ends_with_the_connection(status, headers)
        self.head = Head(status, headers)
        self.keeps_open = parser.should_keep_alive() and not self._is_bodiless
        self.is_complete = self._is_bodiless

    def on_message_complete(self) -> None:
        """An answer ends, or an informational response."""
        self.is_complete = self.head is not None


def headers_of(fields: Sequence[bytes]) -> dict[str, str]:
    """The headers in ``fields``, which are names and values in turn. Names are made lower case.

    What several headers of one name say becomes one value (RFC 9110 §5.2).
    """
    texts = b"\n".join(fields).decode("latin-1").split("\n")  # all at once: no name or value has a line end
    names, values = [name.lower() for name in texts[::2]], texts[1::2]
    headers = dict(zip(names, values, strict=False))
    if 2 * len(headers) != len(fields) or len(texts) != len(fields):
        return _joined(fields)
    return headers


def _joined(fields: Sequence[bytes]) -> dict[str, str]:
    """The headers where a name stands twice."""
    values: dict[str, list[str]] = {}
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return {name: ", ".join(several) for name, several in values.items()}


def refusal(status: int, headers: Mapping[str, str]) -> str | None:
    """Why an answer with this head cannot be read; None if it can."""
    if status < 100:
        return "what came is not HTTP"
    coding = _transfer_encoding(headers)
    return None if coding in ("", "chunked", "identity") else f"its transfer encoding {coding!r} is unknown"


def ends_with_the_connection(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer has a body of which the end of the connection is the only end (RFC 9112 §6.3)."""
    is_delimited = "content-length" in headers or _transfer_encoding(headers) == "chunked"
    return not is_delimited and status not in (204, 304)


def _transfer_encoding(headers: Mapping[str, str]) -> str:
    return headers.get("transfer-encoding", "").strip().lower()


def _parser_for(answer: AnswerParser) -> httptools.HttpResponseParser:
    parser = httptools.HttpResponseParser(answer)
    # Servers in use send line feeds alone, folded headers and spaces behind the size of a chunk. What is
    # dangerous for a server, which must read a request as the proxy before it did, is not so here.
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser
