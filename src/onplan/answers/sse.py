"""Decodes server-sent events: bytes in, ``data`` payloads out (WHATWG HTML §9.2.6).

Any split of the bytes gives the same payloads. Lines end with LF, CR or CRLF and with nothing else: the
other line breaks of Unicode are legal inside JSON strings, so ``splitlines`` would break events.

A response that is not a stream is returned as one ``Body``, whatever its Content-Type: a JSON object or
list, or a text in which no line is a field of an event stream.

An error that a server reports outside the ``data`` of an event is returned as the payload of an error event,
``{"type": "error", "error": …}``, which the decoders of both APIs understand.
"""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec

from onplan.errors import StreamCorruptError, StreamError, StreamTruncatedError
from onplan.flow import decode_json

# An event may carry a whole base64 image; nothing larger is expected, and memory must be bounded.
MAXIMUM_EVENT_SIZE = 32 * 1024 * 1024
# JSON may be printed over many lines, but not over more than this: each line takes ten times its length in
# memory.
MAXIMUM_EVENT_LINES = 100_000
_TOO_MANY_LINES = f"An event of the stream has more than {MAXIMUM_EVENT_LINES:,} lines."

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CARRIAGE_RETURN = ord("\r")  # `in` finds a number four times as fast as a byte string


class Body(bytes):
    """The payload of a response that is not a stream: its whole body."""

    __slots__ = ()


class EventDecoder:
    """Takes bytes as they arrive and returns the payloads of complete events.

    Names, ids and retry times of events are skipped: neither API uses them.

    Args:
        maximum_event_size: bytes of the largest event that is accepted.
    """

    def __init__(self, maximum_event_size: int = MAXIMUM_EVENT_SIZE) -> None:
        self._maximum = maximum_event_size
        self._pending = bytearray()  # of the event that is not complete yet
        self._after_carriage_return = False
        self._at_start = True
        self._is_document: bool | None = None  # unknown before the first byte that is not white space
        self._undecided = b""  # a start that may be either: of a byte order mark, or an opening bracket
        self._began = False  # whether there was a payload
        self._head = b""  # the beginning of the body, until there was one
        self._between_events = False  # whether the last read ended with an event, and nothing is pending
        self._silent = 0  # bytes read that held no payload
        self._excess: str | None = None  # the error to raise at the next call, after the payloads before it

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads completed by ``data``, in order.

        Raises:
            StreamCorruptError: an event, or what came between two events, exceeds the maximum size.
        """
        # Nearly every read consists of whole events.
        if self._between_events and data[-2:] == b"\n\n" and _CARRIAGE_RETURN not in data:
            try:
                payloads = _payloads(data)
            except StreamCorruptError:  # the payloads before that event are returned below
                payloads = []
            if payloads:
                return payloads
        payloads = self._feed(data)
        self._between_events = self._began and not (self._pending or self._excess)
        return payloads

    def _feed(self, data: bytes) -> list[bytes]:
        self._check_size()
        if self._is_document is None:
            self._is_document = self._begins_document(data)
        if self._is_document:
            self._pending += data
            return []
        data = self._normalise(data)
        end = data.rfind(b"\n\n") + 2
        if end == 1 and not (self._pending[-1:] == b"\n" and data[:1] == b"\n"):
            self._pending += data  # a piece of a long event
            return []
        rest = bytearray(data[end:])
        data = b"".join((self._pending, data[:end])) if self._pending else data[:end]
        self._pending = rest
        if self._at_start:
            data, self._at_start = data.removeprefix(_BYTE_ORDER_MARK), False
        return self._payloads(data)

    def close(self) -> list[bytes]:
        """The payloads left at the end of the bytes; a whole one counts without the line end after it.

        Raises:
            StreamTruncatedError: the bytes ended in the middle of a line.
            StreamCorruptError: as for ``feed``.
        """
        self._check_size()
        rest = bytes(self._pending)
        self._pending.clear()
        if self._at_start:
            rest = rest.removeprefix(_BYTE_ORDER_MARK)
        if self._is_document:
            return _document(rest)
        if not self._began and not _is_stream(head := (self._head + rest)[:_HEAD_SIZE]):
            return [Body(head)]
        payloads = self._payloads(rest)
        self._check_size()
        last_line = rest.rpartition(b"\n")[2]
        # A comment that was cut does not matter.
        if last_line and not last_line.startswith(b":") and not (payloads and all(map(_is_whole, payloads))):
            raise StreamTruncatedError("The answer was cut off in the middle of an event.")
        return payloads

    def salvage(self) -> list[bytes]:
        """The payloads left when the connection breaks: those that lack only the line end after them."""
        with suppress(StreamError):
            return [payload for payload in self.close() if self._is_document or type(payload) is not Body]
        return []

    def _begins_document(self, data: bytes) -> bool | None:
        """Whether the body is JSON, not a stream; None while only white space or ``[`` has come."""
        head = self._undecided + data
        start = head.removeprefix(_BYTE_ORDER_MARK).strip()
        if _BYTE_ORDER_MARK.startswith(head):
            self._undecided = head
        elif start in (b"", b"["):
            self._undecided = start
        else:
            return _DOCUMENT.match(start) is not None
        return None

    def _normalise(self, data: bytes) -> bytes:
        """``data`` with LF for every line end; a CRLF split between two reads is one line end."""
        if self._after_carriage_return and data:
            data = data.removeprefix(b"\n")
            self._after_carriage_return = False
        if _CARRIAGE_RETURN in data:
            self._after_carriage_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _payloads(self, data: bytes) -> list[bytes]:
        """The payloads of whole events, up to the first one that has too many lines."""
        try:
            payloads = _payloads(data)
        except StreamCorruptError:
            self._excess = _TOO_MANY_LINES
            payloads = _payloads(_without_excess(data))
        if payloads:
            self._began = True
        else:
            self._note_silence(data)
        return payloads

    def _note_silence(self, data: bytes) -> None:
        self._head = (self._head + data)[:_HEAD_SIZE]
        self._silent += len(data)
        if self._silent > self._maximum:
            self._excess = f"More than {self._maximum:,} bytes of the stream held no event."

    def _check_size(self) -> None:
        # Checked before more is read, so that events completed earlier have been returned.
        if len(self._pending) > self._maximum:
            self._excess = f"An event of the stream is larger than {self._maximum:,} bytes."
        if self._excess:
            raise StreamCorruptError(self._excess)


_DOCUMENT = re.compile(rb"\{|\[\s*[\[{]")


def _document(body: bytes) -> list[bytes]:
    """The payloads of a body that begins as JSON: one document, or a line of JSON before the events.

    Raises:
        StreamTruncatedError: the JSON is not whole.
    """
    if decode_json(body) is not None:
        return [Body(body)]
    line, _, rest = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").partition(b"\n")
    if not _is_whole(line):
        raise StreamTruncatedError("The answer was cut off in the middle of an event.")
    return [line, *_payloads(rest)]


_HEAD_SIZE = 2_000
_FIELDS = (b"data", b"event", b"id", b"retry", b"error", b"")  # the last of a comment


def _is_stream(head: bytes) -> bool:
    """Whether a body that begins with ``head`` may be a stream: a line is a field, or the start of one."""
    lines = [line for line in head.split(b"\n") if line.strip()]
    return not lines or any(
        name in _FIELDS if colon else any(field.startswith(name) for field in _FIELDS)
        for name, colon, _ in (line.partition(b":") for line in lines)
    )


# Anchored: otherwise a line with a million times "event: " in it would be scanned a million times.
_USUAL_EVENT = re.compile(rb"^event: (?!error\n)[^\n]*+\ndata: ([^\n]*+)\n\n", re.MULTILINE)


def _payloads(data: bytes) -> list[bytes]:
    """The data of whole events. If each has the usual two lines, one pass in C finds them all.

    Raises:
        StreamCorruptError: an event has too many lines.
    """
    if data[:7] == b"event: ":
        parts = _USUAL_EVENT.split(data)  # text between the events, and at every second place their data
        if not any(parts[::2]):
            return parts[1::2]
    payloads: list[bytes] = []
    for block in data.split(b"\n\n"):
        # Nearly every other event is one line.
        if block[:6] == b"data: " and b"\n" not in block:
            payloads.append(block[6:])
        elif block.count(b"\n") >= MAXIMUM_EVENT_LINES:
            raise StreamCorruptError(_TOO_MANY_LINES)
        elif block:
            payloads += _read_event(block)
    return payloads


def _without_excess(data: bytes) -> bytes:
    """``data`` up to the first event with too many lines, of which there is one."""
    blocks = data.split(b"\n\n")
    lines = (block.count(b"\n") for block in blocks)
    first = next(place for place, count in enumerate(lines) if count >= MAXIMUM_EVENT_LINES)
    return b"\n\n".join(blocks[:first])


def _read_event(block: bytes) -> list[bytes]:
    """The payloads of one event, usually one."""
    is_error, data, errors = False, [], []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            is_error = value == b"error"
        elif name == b"error":  # llama.cpp until autumn 2025 (its pull request 16109)
            errors.append(_error_event(value))
    if not data and not errors:
        # Bare JSON among the events: gateways that fail in the middle of an answer (llm_wiki issue 619).
        is_json = block.lstrip().startswith(b"{")
        return [line for line in _events_of(block.split(b"\n")) if _is_whole(line)] if is_json else []
    if is_error:
        return [*errors, *_error_data(data)]
    return [*errors, *_events_of(data)]


def _events_of(data: list[bytes]) -> list[bytes]:
    """The payload of an event; several, if each of its lines is JSON and together they are not.

    GLM-4.7 and Kimi-K2.5 gateways leave out the blank lines (eventsource-parser pull request 31).
    """
    if len(data) > 1 and all(_is_whole(line) for line in data):
        return data
    return [b"\n".join(data)] if data else []


def _error_data(data: list[bytes]) -> list[bytes]:
    """The payloads of an event named ``error``, as an error event of either API."""
    done = [line for line in data if line == _DONE]
    payload = b"\n".join(line for line in data if line != _DONE)
    body = decode_json(payload)
    if isinstance(body, dict) and ("error" in body or "type" in body):
        return [payload, *done]
    return [_error_event(payload), *done]


def _error_event(said: bytes) -> bytes:
    error = decode_json(said)
    error = said.decode("utf-8", "replace") if error is None else error
    return msgspec.json.encode({"type": "error", "error": error})


_DONE = b"[DONE]"


def _is_whole(payload: bytes) -> bool:
    """Whether a payload is complete even if no line end follows it."""
    return payload == _DONE or isinstance(decode_json(payload), dict)
