"""Server-sent events: bytes in, ``data`` payloads out (WHATWG HTML §9.2.6).

Any split of the bytes gives the same payloads. Lines end with LF, CR or CRLF and with nothing else: the
other line breaks of Unicode are legal inside JSON strings, so ``splitlines`` would break events.

A server that does not stream answers with one JSON object. It is handed over as one payload, whatever its
Content-Type: no line of a stream begins with a brace.
"""

from __future__ import annotations

import re
from contextlib import suppress

from onplan.errors import StreamCorruptError, StreamError, StreamTruncatedError
from onplan.wire import decode_json

# An event may carry a whole base64 image; nothing larger is expected, and memory must be bounded.
MAXIMUM_EVENT_SIZE = 32 * 1024 * 1024

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CARRIAGE_RETURN = ord("\r")  # a number is looked for in a quarter of the time


class EventDecoder:
    """Feed it bytes as they come; it gives back the payloads of the events that are complete.

    Event names, ids and retry times are not used by the protocols spoken here and are skipped.
    """

    def __init__(self, maximum_event_size: int = MAXIMUM_EVENT_SIZE) -> None:
        self._maximum = maximum_event_size
        self._pending: list[bytes] = []  # of the event that is not complete yet
        self._pending_size = 0
        self._after_carriage_return = False
        self._at_start = True
        self._is_document: bool | None = None  # unknown before the first byte that counts
        self._between_events = False  # of a stream, beyond its start: nothing is kept of what came before

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads completed by ``data``, in order.

        Raises:
            StreamCorruptError: an event has grown beyond the maximum size.
        """
        # Nearly every read is whole events, and begins where one ended.
        if self._between_events and data[-2:] == b"\n\n" and _CARRIAGE_RETURN not in data:
            return _payloads(data)
        payloads = self._feed(data)
        self._between_events = not (self._pending or self._after_carriage_return or self._at_start)
        return payloads

    def _feed(self, data: bytes) -> list[bytes]:
        self._check_size()
        if self._is_document is not False and self._begins_document(data):
            self._keep(data)
            return []
        data = self._normalise(data)
        if b"\n\n" not in self._last_byte() + data:  # a piece of a long event: kept as it is
            self._keep(data)
            return []
        if self._pending:
            data = b"".join((*self._pending, data))
            self._pending.clear()
            self._pending_size = 0
        end = data.rindex(b"\n\n") + 2
        self._keep(data[end:])
        if self._at_start:
            data, self._at_start = data[:end].removeprefix(_BYTE_ORDER_MARK), False
            end = len(data)
        return _payloads(data[:end])

    def close(self) -> list[bytes]:
        """The bytes have ended. What is whole still counts, although its last line does not end.

        Raises:
            StreamTruncatedError: the end came in the middle of a line.
            StreamCorruptError: as for ``feed``.
        """
        self._check_size()
        rest = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        if self._at_start:
            rest = rest.removeprefix(_BYTE_ORDER_MARK)
        payload = rest if self._is_document else _payload(rest)
        last_line = rest.rpartition(b"\n")[2]
        # A comment that was cut is no loss.
        is_open = self._is_document or (last_line and not last_line.startswith(b":"))
        if is_open and not _is_whole(payload):
            raise StreamTruncatedError("The answer was cut off in the middle of an event.")
        return [] if payload is None else [payload]

    def salvage(self) -> list[bytes]:
        """The connection broke: what had come whole nevertheless, without the line end after it."""
        with suppress(StreamError):
            return self.close()
        return []

    def _begins_document(self, data: bytes) -> bool:
        """Whether this is no stream but one JSON object. Leading white space decides nothing yet."""
        if self._is_document is None:
            head = b"".join((*self._pending, data)).lstrip()
            if not _BYTE_ORDER_MARK.startswith(head):
                self._is_document = head.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"{")
        return bool(self._is_document)

    def _normalise(self, data: bytes) -> bytes:
        """Only LF ends lines from here on; a CRLF that is split between two reads is one line end."""
        if self._after_carriage_return and data:
            data = data.removeprefix(b"\n")
            self._after_carriage_return = False
        if _CARRIAGE_RETURN in data:
            self._after_carriage_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _last_byte(self) -> bytes:
        return self._pending[-1][-1:] if self._pending else b""

    def _keep(self, data: bytes) -> None:
        if data:
            self._pending.append(data)
            self._pending_size += len(data)

    def _check_size(self) -> None:
        # Checked before more is taken in, so that events completed earlier have been handed over.
        if self._pending_size > self._maximum:
            raise StreamCorruptError(f"An event of the stream is larger than {self._maximum:,} bytes.")


_USUAL_EVENT = re.compile(rb"event: [^\n]*\ndata: ([^\n]*)\n\n")


def _payloads(data: bytes) -> list[bytes]:
    """The data of whole events. Where each is the usual two lines, one pass in C finds them all."""
    parts = _USUAL_EVENT.split(data)  # what is between the events, and at every second place their data
    if not any(parts[::2]):
        return parts[1::2]
    return [payload for block in data.split(b"\n\n") if (payload := _payload(block)) is not None]


def _payload(block: bytes) -> bytes | None:
    """The data of one event's lines, or None if it has none."""
    start = block.find(b"data: ")
    # Nearly every event is `event: …` and one `data: …` line, or the latter alone.
    named = start > 0 and block.startswith(b"event: ") and block.find(b"\n") == start - 1
    if (start == 0 or named) and block.find(b"\n", start) < 0:
        return block[start + 6 :]
    lines = [value for line in block.split(b"\n") if (value := _data_of(line)) is not None]
    return b"\n".join(lines) if lines else None


def _data_of(line: bytes) -> bytes | None:
    name, _, value = line.partition(b":")
    return value.removeprefix(b" ") if name == b"data" else None


def _is_whole(payload: bytes | None) -> bool:
    """Whether a payload needs no line end to tell that nothing of it is missing."""
    return payload == b"[DONE]" or isinstance(decode_json(payload or b""), dict)
