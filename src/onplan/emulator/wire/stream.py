"""A turn as a stream: its frames, writes, pauses and endings. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from onplan.emulator.wire import frames
from onplan.emulator.wire.events import Event, events_of
from onplan.emulator.wire.items import Turn

WRITE_SIZE = 16 * 1024
# Where a stream breaks: the first piece of content, or else its end.
BREAKING_POINTS = (
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.completed",
)

TERMINAL = (
    "response.completed",
    "response.failed",
    "response.incomplete",
    "response.done",
    "response.cancelled",
    "response.error",
    "error",
)


class Raw(bytes):
    """WebSocket frames as they are to be written; `kind` is that of the event in them, or `close`."""

    kind = ""


# An event, or the data of a frame that is not JSON.
Frame = Event | bytes
Alteration = Callable[[Iterable[Frame]], Iterator[Frame]]


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How events become lines (WHATWG HTML, section 9.2); the defaults are what the services send."""

    newline: bytes = b"\n"
    bom: bool = False
    comments: bool = False
    event_lines: bool = True
    data_prefix: bytes = b"data: "
    multiline: bool = False
    write_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A turn on its way to the wire. `announcements` are events that follow the first one.

    It may break at its first content, or at its end, after everything was sent.
    """

    turn: Turn
    interval: float = 0.0
    announcements: tuple[Event, ...] = ()
    framing: Framing = Framing()
    alteration: Alteration | None = None
    breaks: Literal["cut", "stall", "silence"] | None = None
    breaks_at: Literal["content", "end"] = "content"

    @property
    def breaks_early(self) -> bool:
        """Whether something of the turn is not sent."""
        return self.breaks is not None and self.breaks_at == "content"

    def frames(self) -> Iterator[Frame]:
        """The numbered events."""
        events: Iterable[Frame] = _announced(events_of(self.turn), self.announcements)
        number = 0
        for frame in self.alteration(events) if self.alteration else events:
            if isinstance(frame, bytes):
                yield frame
            else:
                yield {"type": frame["type"], "sequence_number": number, **frame}
                number += 1

    def writes(self) -> Iterator[bytes]:
        """The bytes of each write, up to where the stream breaks."""
        chunks = _encoded(self.frames(), self.framing, breaking=self.breaks_early)
        if self.framing.write_size is not None:
            return cut_up(chunks, self.framing.write_size)
        return chunks if self.interval else joined(chunks)

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """The kind and the frame of each message of a WebSocket, up to where the stream breaks."""
        encode = msgspec.json.Encoder().encode
        for frame in self.frames():
            if isinstance(frame, Raw):
                yield frame.kind, frame
                continue
            kind = "" if isinstance(frame, bytes) else str(frame["type"])
            chunk = frames.encode(frames.TEXT, frame if isinstance(frame, bytes) else encode(frame))
            if self.breaks_early and kind in BREAKING_POINTS:
                yield "", chunk[: len(chunk) // 2] if self.breaks == "cut" else b""
                return
            yield kind, chunk


def _announced(events: Iterator[Event], announcements: tuple[Event, ...]) -> Iterator[Event]:
    yield next(events)
    yield from announcements
    yield from events


def _encoded(frames: Iterable[Frame], framing: Framing, *, breaking: bool) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    if framing.bom:
        yield b"\xef\xbb\xbf"
    usual = framing == Framing()
    for frame in frames:
        data = frame if isinstance(frame, bytes) else encode(frame)
        kind = "message" if isinstance(frame, bytes) else frame["type"]
        chunk = b"event: %b\ndata: %b\n\n" % (kind.encode(), data) if usual else framed(kind, data, framing)
        if breaking and kind in BREAKING_POINTS:
            yield chunk[: len(chunk) // 2]
            return
        yield chunk


def framed(kind: str, data: bytes, framing: Framing) -> bytes:
    """One event's lines, and the blank one after them."""
    # Indented JSON can be split at its line ends, because no JSON string contains one.
    pieces = msgspec.json.format(data, indent=1).split(b"\n") if framing.multiline else [data]
    lines = [framing.data_prefix + piece for piece in pieces]
    if framing.event_lines:
        lines.insert(0, b"event: " + kind.encode())
    if framing.comments:
        lines.insert(0, b": keep-alive")
    return framing.newline.join([*lines, b"", b""])


def joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Larger writes."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        if held and size + len(chunk) > WRITE_SIZE:
            yield b"".join(held)
            held, size = [], 0
        held.append(chunk)
        size += len(chunk)
    if held:
        yield b"".join(held)


def cut_up(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Smaller writes."""
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def changed_response(frame: Frame, **changes: Any) -> Frame:
    """The same event with another response object in it."""
    if isinstance(frame, bytes):
        return frame
    return {**frame, "response": {**frame["response"], **changes}}
