"""Faults of a compaction: other than exactly one item, or one with nothing in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onplan.emulator.faults.actions import RESPONSES
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.items import Compaction, Item
from onplan.emulator.wire.replies import Reply, Request


def _asks(request: Request) -> bool:
    """Whether the conversation is to be compacted."""
    items = request.fields.get("input")
    last = items[-1] if isinstance(items, list) and items else None
    return isinstance(last, dict) and last.get("type") == "compaction_trigger"


def _row(name: str, line: str, items: Callable[[Compaction], tuple[Item, ...]]) -> Fault:
    def after(reply: Reply) -> Reply:
        if reply.stream is None:
            return reply
        turn = reply.stream.turn
        made = tuple(
            one for item in turn.items for one in (items(item) if isinstance(item, Compaction) else (item,))
        )
        return replace(reply, stream=replace(reply.stream, turn=replace(turn, items=made)))

    return Fault(name, line, RESPONSES[:2], after=after, fits=_asks)


FAULTS = (
    _row("compaction_missing", "A compaction without its item.", lambda made: ()),
    _row(
        "compaction_twice",
        "A compaction with two items.",
        lambda made: (made, Compaction(made.encrypted_content)),
    ),
    _row("compaction_empty", "A compaction with nothing in it.", lambda made: (Compaction(""),)),
)
