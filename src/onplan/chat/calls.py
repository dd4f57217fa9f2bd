"""Tool calls while they arrive: pieces are joined, whatever the server says of which call they belong to.

By the protocol ``index`` tells calls apart, and the id and the name come in the first piece. Servers are
known that leave the index out or count wrong, give every call the index 0, give ids later or never or anew
with every piece, split names or repeat them, and send arguments whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from onplan.chat.events import CallDelta
from onplan.chat.signatures import merge, sealed, signature_in
from onplan.errors import StreamCorruptError
from onplan.types import PartDone, StreamChunk, ToolCall, ToolCallDelta, ToolCallEnd, ToolCallStart
from onplan.wire import decode_json

Chunks: TypeAlias = list[StreamChunk]


class _Call:
    """One call that is arriving. Its start is announced when its id and name are known to be whole."""

    __slots__ = ("_pieces", "id", "name", "signature", "started")

    def __init__(self) -> None:
        self.id = self.name = ""
        self.signature: dict[str, Any] = {}
        self.started = False
        self._pieces: list[str] = []

    @property
    def arguments(self) -> str:
        """The argument text so far."""
        return "".join(self._pieces)

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a whole JSON text."""
        return decode_json(self.arguments.encode()) is not None

    def add_name(self, piece: str) -> None:
        """A piece of the name, or all of it once more. Raises StreamCorruptError if it comes too late."""
        if piece == self.name:
            return
        if self.started:
            raise StreamCorruptError("A tool call changed its name while it arrived.")
        self.name = piece if piece.startswith(self.name) else self.name + piece

    def add_arguments(self, piece: str, chunks: Chunks) -> None:
        """More of the arguments, which come after the name."""
        if not piece:
            return
        self._pieces.append(piece)
        if self.started:
            chunks.append(ToolCallDelta(self.id, piece))
        elif self.id and self.name:
            self.start(chunks)

    def start(self, chunks: Chunks) -> None:
        """Announce the call, with what there is of its arguments."""
        self.started = True
        chunks.append(ToolCallStart(self.id, self.name))
        if self._pieces:
            chunks.append(ToolCallDelta(self.id, self.arguments))


class Calls:
    """The calls of one message, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}
        self._shared_ids: set[str] = set()  # placeholders, which several calls have

    def feed(self, deltas: Iterable[CallDelta], chunks: Chunks) -> None:
        """More pieces. Raises StreamCorruptError if they contradict what came before."""
        for delta in deltas:
            call = self._call_of(delta)
            if delta.id and not call.id and delta.id not in self._shared_ids:
                call.id = delta.id
                self._by_id[delta.id] = call
            merge(call.signature, signature_in(delta))
            if delta.function:
                if delta.function.name:
                    call.add_name(delta.function.name)
                call.add_arguments(_text(delta.function.arguments), chunks)

    def _call_of(self, delta: CallDelta) -> _Call:
        known = delta.id and delta.id not in self._shared_ids
        call = self._by_id.get(delta.id) if delta.id and known else None
        if call is not None and self._begins_another(delta, call):
            self._shared_ids.add(delta.id or "")
            call = _Call()
        if call is None:
            call = self._meant_by(delta) or _Call()
        if call not in self._calls:
            self._calls.append(call)
        if delta.index is not None:
            self._by_index[delta.index] = call
        return call

    def _begins_another(self, delta: CallDelta, call: _Call) -> bool:
        """Whether a piece with the id of ``call`` has a name and a place of its own."""
        named = bool(delta.function and delta.function.name)
        elsewhere = delta.index is not None and self._by_index.get(delta.index) is not call
        return named and elsewhere

    def _meant_by(self, delta: CallDelta) -> _Call | None:
        """The call that a piece with no id, or with an id not seen before, goes on with; None: a new one."""
        named = bool(delta.function and delta.function.name)
        call = self._calls[-1] if self._calls else None
        if delta.index is not None:
            call = self._by_index.get(delta.index, None if named or delta.id else call)
        if call is None:
            return None
        another_id = bool(delta.id and call.id)
        if another_id and (named or not (delta.function and delta.function.arguments)):
            return None
        # A name where the arguments are complete already: the index is wrong, or there is none.
        return None if named and call.is_whole else call

    def finish(self, response_id: str, chunks: Chunks, *, cut: bool) -> list[ToolCall]:
        """No more pieces come: the calls that can be carried out.

        ``cut``: the answer was; then a call that is not whole is left out. Raises StreamCorruptError for a
        call without a name.
        """
        parts = []
        for position, call in enumerate(self._calls):
            if cut and not (call.name and call.is_whole):
                continue
            if not call.name:
                raise StreamCorruptError("A tool call arrived without its name.")
            call.id = call.id or _derived_id(response_id, position, call)
            if not call.started:
                call.start(chunks)
            part = ToolCall(call.id, call.name, call.arguments, signature=sealed(call.signature))
            chunks += (ToolCallEnd(call.id), PartDone(part))
            parts.append(part)
        return parts


def _text(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return msgspec.json.encode(arguments).decode()


def _derived_id(response_id: str, position: int, call: _Call) -> str:
    """An id where the server gave none, which two turns of a conversation do not share."""
    content = "\0".join((response_id, str(position), call.name, call.arguments))
    return f"call_{sha256(content.encode()).hexdigest()[:24]}"
