"""Assembles tool calls from their pieces, and decides which call a piece belongs to.

In the protocol ``index`` identifies a call, and its id and name come in the first piece. Some servers leave
the index out or count wrong, give every call the index 0, give one id to several calls, or send ids late,
never, or a new one with each piece; others split or repeat names, send arguments whole, or send all calls
again at the end (tests/chat/test_calls.py tests each case and names the server). So the arguments are looked
at as well: once they are complete JSON, a further piece does not continue them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from onplan.chat.arguments import Arguments, FreeText, meaning_of, text_of
from onplan.chat.events import CallDelta, Custom
from onplan.chat.signatures import merge, sealed, signature_in
from onplan.errors import StreamCorruptError
from onplan.types import PartDone, StreamChunk, ToolCall, ToolCallDelta, ToolCallEnd, ToolCallStart

Chunks: TypeAlias = list[StreamChunk]
_Place: TypeAlias = tuple[int, int]  # the choice, and the index in it

_LONGEST_NAME = 4096  # characters; names of functions have 64 at most
MAXIMUM_CALLS = 10_000
_OTHER_TYPE = "A tool call changed its type while it arrived."


class _Call:
    """One call that is arriving. ``ToolCallStart`` is emitted when its id and name are known to be whole.

    Attributes:
        id: the id that the program sees; empty until it is known or derived.
        server_id: the id that came with it, which another call may have, too.
        follows: an earlier call with the same id or index, which this call may repeat.
        has_only_place: whether it has the same index as ``follows``, and neither call has an id.
        is_custom: whether it calls a custom tool, with free text.
    """

    __slots__ = (
        "arguments",
        "follows",
        "has_only_place",
        "id",
        "is_custom",
        "name",
        "server_id",
        "signature",
        "started",
    )

    def __init__(self, follows: _Call | None, *, is_custom: bool) -> None:
        self.id = self.name = self.server_id = ""
        self.follows = follows
        self.is_custom = is_custom
        self.arguments = FreeText() if is_custom else Arguments()
        self.signature: dict[str, Any] = {}
        self.started = self.has_only_place = False

    @property
    def meaning(self) -> str | bytes:
        """A normal form of its arguments."""
        text = self.arguments.text
        return text if self.is_custom else meaning_of(text)

    @property
    def is_whole(self) -> bool:
        """Whether it has a name, and its arguments are valid JSON or absent."""
        return bool(self.name) and (not self.arguments or self.arguments.is_whole)

    def goes_on_with(self, name: str, piece: str) -> bool:
        """Whether ``piece`` must continue these arguments: they have begun, and none begin like it."""
        arguments = self.arguments
        return bool(arguments) and not arguments.whole and name in ("", self.name) and not _begins(piece)

    def is_padded_by(self, name: str, piece: str) -> bool:
        """Whether ``piece`` is white space, which does not begin a new call."""
        return name == self.name and piece.isspace()

    def is_replaced_by(self, name: str, piece: str) -> bool:
        """Whether the arguments so far are an empty placeholder, and the real ones begin in ``piece``."""
        return bool(piece) and name in ("", self.name) and self.arguments.is_placeholder

    def add_name(self, piece: str) -> None:
        """Add a piece of the name, or the whole name again. Raises StreamCorruptError if that is too late."""
        if piece == self.name:
            return
        if self.name and self.arguments:
            raise StreamCorruptError("A tool call changed its name while it arrived.")
        self.name = piece if piece.startswith(self.name) else self.name + piece
        if len(self.name) > _LONGEST_NAME:
            raise StreamCorruptError("The name of a tool call is too long to be one.")

    def add_arguments(self, piece: str, chunks: Chunks) -> None:
        """Add a piece of the arguments, and emit what it adds."""
        new = self.arguments.add(piece)
        if self.started:
            if new:
                chunks.append(ToolCallDelta(self.id, new))
        elif self.id and self.name and not self.arguments.is_placeholder:
            self.start(chunks)

    def start(self, chunks: Chunks) -> None:
        """Emit the start of the call, and its arguments so far."""
        self.started = True
        chunks.append(ToolCallStart(self.id, self.name, is_custom=self.is_custom))
        if text := self.arguments.text:
            chunks.append(ToolCallDelta(self.id, text))


_Content: TypeAlias = tuple[str, str | bytes]  # the name, and a normal form of the arguments
# The first call with some content, by the server's id; under None, the first with any id.
_FirstCalls: TypeAlias = dict[tuple[str | None, str, str | bytes], _Call]


class Calls:
    """The calls of one message, in the order in which they began.

    Attributes:
        pieces: how many pieces have arrived.
    """

    def __init__(self) -> None:
        self.pieces = 0
        self._calls: list[_Call] = []
        self._by_id: dict[str | None, _Call] = {}  # the newest with that id
        self._by_place: dict[_Place, _Call] = {}
        self._last: dict[int, _Call] = {}  # the call of the latest piece, in each choice

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, deltas: Iterable[CallDelta], chunks: Chunks, choice: int) -> None:
        """Add pieces. Raises StreamCorruptError if they contradict earlier ones."""
        for delta in deltas:
            self.pieces += 1
            if delta.custom is not None:
                self._add_custom(delta, delta.custom, chunks, choice)
                continue
            function = delta.function or delta
            name = function.name or ""
            piece = function.arguments
            if piece.__class__ is not str:
                piece = text_of(piece)
            place = None if delta.index is None else (choice, delta.index)
            call = None if place is None or name or delta.id else self._by_place.get(place)
            if call is None:
                call = self._call_of(delta.id or "", place, name, piece, choice)
                if call.is_custom:
                    raise StreamCorruptError(_OTHER_TYPE)
                self._add(call, delta, name, piece, chunks)
            else:  # nearly every piece: more arguments for the call at this index
                self._last[choice] = call
                if piece:
                    if call.is_custom:
                        raise StreamCorruptError(_OTHER_TYPE)
                    call.add_arguments(piece, chunks)
                if (
                    delta.extra_content
                    or delta.provider_specific_fields
                    or delta.thought_signature
                    or function.extra_content
                    or function.provider_specific_fields
                    or function.thought_signature
                ):
                    merge(call.signature, signature_in(delta))

    def complete(self, calls: Sequence[CallDelta], chunks: Chunks, choice: int) -> None:
        """Add what the pieces did not contain, from whole calls that are sent again at the end, in order."""
        for position, whole in enumerate(calls):
            if whole.custom is not None:
                self._complete_custom(position, whole, whole.custom, chunks, choice)
                continue
            function = whole.function or whole
            call = self._streamed(whole, position)
            if call is None or call.name != function.name:
                self.feed([whole], chunks, choice)
                continue
            arguments, streamed = text_of(function.arguments), call.arguments.text
            goes_on = call.arguments.is_placeholder or arguments.startswith(streamed)
            rest = arguments.removeprefix(streamed) if goes_on else ""
            if not goes_on and arguments and meaning_of(arguments) != meaning_of(streamed):
                raise StreamCorruptError("What was streamed of a tool call contradicts the whole message.")
            self._add(call, whole, None, rest, chunks)

    def _streamed(self, whole: CallDelta, position: int) -> _Call | None:
        """The call that came in pieces before: the one with this id, else the one at this position."""
        if known := self._by_id.get(whole.id):
            return known
        return self._calls[position] if position < len(self._calls) else None

    def _add(
        self, call: _Call, delta: CallDelta, name: str | None, piece: str | None, chunks: Chunks
    ) -> None:
        if delta.id:
            call.server_id = call.server_id or delta.id
            if call.follows is None:  # else it may repeat that call: it starts at the end, if it does not
                call.id = call.id or delta.id
            if call.server_id == delta.id:
                self._by_id[delta.id] = call
        merge(call.signature, signature_in(delta))
        if name:
            call.add_name(name)
        if piece:
            call.add_arguments(piece, chunks)

    # --- custom tools -------------------------------------------------------------------------------

    def _add_custom(self, delta: CallDelta, custom: Custom, chunks: Chunks, choice: int) -> None:
        """Add a piece of a call of a custom tool.

        Only servers that identify calls as the protocol says have such tools, and free text does not show
        what it belongs to. So a piece goes to the call with its index or id, and a new id or name begins one.
        """
        place = None if delta.index is None else (choice, delta.index)
        call = self._by_place.get(place) if place else self._by_id.get(delta.id, self._last.get(choice))
        if call is None or (delta.id and call.server_id and delta.id != call.server_id):
            if not custom.name:
                raise StreamCorruptError("A piece of a tool call came that belongs to no call.")
            call = self._open(is_custom=True)
        if not call.is_custom:
            raise StreamCorruptError(_OTHER_TYPE)
        self._last[choice] = call
        if place is not None:
            self._by_place[place] = call
        self._add(call, delta, custom.name, custom.input, chunks)

    def _complete_custom(
        self, position: int, whole: CallDelta, custom: Custom, chunks: Chunks, choice: int
    ) -> None:
        """Add what the pieces of a call did not contain, from the whole call that is sent at the end."""
        call = self._streamed(whole, position)
        if call is None or call.name != custom.name:
            self._add_custom(whole, custom, chunks, choice)
            return
        text, streamed = custom.input or "", call.arguments.text
        if not call.is_custom or (text and not text.startswith(streamed)):
            raise StreamCorruptError("What was streamed of a tool call contradicts the whole message.")
        self._add(call, whole, None, text[len(streamed) :], chunks)

    # --- which call a piece belongs to --------------------------------------------------------------

    def _call_of(self, id_: str, place: _Place | None, name: str, piece: str, choice: int) -> _Call:
        call = self._meant_by(id_, place, name, piece, choice)
        if place is not None:
            self._by_place[place] = call
        self._last[choice] = call
        return call

    def _meant_by(self, id_: str, place: _Place | None, name: str, piece: str, choice: int) -> _Call:
        here = self._by_place.get(place) if place is not None else self._last.get(choice)
        known = self._by_id.get(id_) if id_ else None
        if here and id_ and here.server_id == id_:
            known = here  # of several calls with one id, the one at this index
        call = known or here or self._last.get(choice)
        if call is not None and call.goes_on_with(name, piece):
            return call
        said = known or (None if id_ and here and here.server_id else here)
        if said is not None and said.is_padded_by(name, piece):
            return said
        if known is not None:
            if here is known or place is None:
                begins = known.arguments.whole and not known.is_replaced_by(name, piece)
            else:
                begins = known.arguments.whole or _begins(piece)
            return self._open(known) if name and known.name and begins else known
        if here is None:
            return self._at_new_place(id_, name, piece, choice)
        if here.arguments.whole:
            return self._after_whole(here, id_, name, piece)
        goes_on = not name or not (id_ and here.server_id) or self._renames(here, place, name, piece)
        return here if goes_on else self._open()

    def _at_new_place(self, id_: str, name: str, piece: str, choice: int) -> _Call:
        last = self._last.get(choice)
        if last is None or name or (id_ and (last.server_id or last.arguments.whole)):
            return self._open()
        # A new index without a name or an id of its own: the server counts pieces, not calls.
        return self._open(last) if last.arguments.whole and piece.strip() else last

    def _after_whole(self, here: _Call, id_: str, name: str, piece: str) -> _Call:
        """The call of a piece at the index of a call whose arguments have ended."""
        if not (name and here.name) and not (id_ and here.server_id):
            return here
        is_unidentified = bool(here.server_id) and not id_
        if (not name or is_unidentified) and here.is_replaced_by(name, piece):
            return here
        # A piece without a name or an id of its own may repeat the call. If there are no ids at all, it can
        # be a repetition only where the index identifies calls.
        may_repeat = not (name and id_ and here.server_id)
        call = self._open(here if may_repeat else None)
        call.has_only_place = not id_ and not here.server_id
        return call

    def _renames(self, here: _Call, place: _Place | None, name: str, piece: str) -> bool:
        """Whether a piece with the same name continues ``here`` although its id differs.

        Poolside's server gives each piece a new id (seen May 2026, poolsideai/pool issue 9), and
        mlx-openai-server did until March 2026 (its pull request 216).

        The piece must have an index.
        """
        if name != here.name or place is None:
            return False
        return here.arguments.expect_a_value if here.arguments else bool(piece)

    def _open(self, follows: _Call | None = None, *, is_custom: bool = False) -> _Call:
        if len(self._calls) >= MAXIMUM_CALLS:
            raise StreamCorruptError(f"The answer has more than {MAXIMUM_CALLS:,} tool calls.")
        call = _Call(follows, is_custom=is_custom)
        self._calls.append(call)
        return call

    # --- the end ------------------------------------------------------------------------------------

    @property
    def are_whole(self) -> bool:
        """Whether every call has a name, and its arguments show that they are whole, or are absent."""
        return all(call.is_whole and not call.is_custom for call in self._calls)

    def last_is_whole(self, choice: int) -> bool:
        """Whether the call of the latest piece in ``choice`` is whole; true if there is none."""
        return choice not in self._last or self._last[choice].is_whole

    def finish(self, response_id: str, chunks: Chunks, *, cut: bool) -> list[ToolCall]:
        """The finished calls, after the last piece; emits what has not been emitted of them yet.

        ``cut``: whether the answer was cut; then calls that are not whole are left out.

        Raises:
            StreamCorruptError: a call has no name.
        """
        parts: list[ToolCall] = []
        calls = self._without_repetitions(chunks)
        ids = {call.id for call in calls}
        for position, call in enumerate(calls):
            # Nothing shows that free text is whole but another call after it.
            whole = call is not self._calls[-1] if call.is_custom else call.arguments.is_whole
            if cut and not (call.name and whole):
                continue
            if not call.name:
                raise StreamCorruptError("A tool call arrived without its name.")
            if not call.id:
                free = call.server_id not in ids
                call.id = call.server_id if free else _derived_id(response_id, position, call)
                ids.add(call.id)
            if not call.started:
                call.start(chunks)
            text, signature = call.arguments.text, sealed(call.signature)
            part = ToolCall(call.id, call.name, text, signature=signature, is_custom=call.is_custom)
            chunks += (ToolCallEnd(call.id), PartDone(part))
            parts.append(part)
        return parts

    def _without_repetitions(self, chunks: Chunks) -> list[_Call]:
        """The calls without repetitions, which have the name and the arguments of an earlier call."""
        kept: list[_Call] = []
        said: _FirstCalls = {}
        numbered = any(index > 0 for _, index in self._by_place)  # else all calls may have the index 0
        for call in self._calls:
            rest = call.arguments.finish()
            if rest and call.started:
                chunks.append(ToolCallDelta(call.id, rest))
            followed = call.follows if numbered or not call.has_only_place else None
            words = (call.name or followed.name) if followed else call.name, call.meaning
            first = None if call.started else _repeated_by(call, followed, words, said)
            if first is not None:
                merge(first.signature, call.signature)
                continue
            said.setdefault((call.server_id, *words), call)
            if call.server_id:
                said.setdefault((None, *words), call)
            kept.append(call)
        return kept


def _repeated_by(call: _Call, followed: _Call | None, words: _Content, said: _FirstCalls) -> _Call | None:
    """The earlier call that ``call`` repeats; None if there is none."""
    if followed:
        if found := said.get((call.server_id, *words)):
            return found
        nothing_new = words[0] == followed.name and not call.arguments
        if nothing_new or words == (followed.name, meaning_of(followed.arguments.text)):
            return followed
    # Where calls have ids, one without an id is a repetition.
    return None if call.server_id else said.get((None, *words))


def _begins(piece: str) -> bool:
    """Whether arguments may begin with ``piece``: it is empty, or begins an object."""
    return not piece or piece.startswith("{")


def _derived_id(response_id: str, position: int, call: _Call) -> str:
    """An id for a call without one; it differs between the turns of a conversation."""
    content = "\0".join((response_id, str(position), call.name, call.arguments.text))
    return f"call_{sha256(content.encode()).hexdigest()[:24]}"
