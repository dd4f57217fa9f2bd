"""Damage to bytes, from a seed: of single bytes, of lines, and of the JSON values that stand in them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

# Values of other shapes and sizes than any that are expected.
_ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    float("nan"),
    1e308,
    2**63,
    10**400,
    "",
    " ",
    "0",
    "null",
    "\ud800",
    "\x00",
    "completed",
    "failed",
    "function_call",
    "custom_tool_call",
    "message",
    "x" * 5_000,
    [],
    {},
    [None],
    [[[]]],
    {"type": "text", "text": "odd"},
    {"error": {"message": "odd"}},
    ["odd", {"type": "function_call", "call_id": "call_1", "name": "odd", "arguments": "{}"}],
)


_FIELD = re.compile(
    rb'"(id|item_id|call_id|output_index|content_index|summary_index|index|name|type|status|delta|finish_reason)"'
    rb'\s*:\s*("(?:[^"\\]|\\.)*"|\d+|null)'
)


class Damage:
    """What is done to bytes. The same seed does the same.

    Args:
        seed: of the random numbers.
        others: bytes of the same kind, of which pieces are mixed in.
    """

    def __init__(self, seed: str, others: list[bytes]) -> None:
        self.random = random.Random(seed)
        self._others = others

    def of(self, data: bytes) -> bytes:
        """``data`` after one to three damages."""
        for _ in range(self.random.choice((1, 1, 2, 3))):
            data = self.random.choice(list(_KINDS.values()))(self, data)
        return data

    def pieces(self, data: bytes) -> list[bytes]:
        """``data`` as up to eight reads would bring it."""
        cuts = sorted(self.random.randint(0, len(data)) for _ in range(self.random.randint(0, 7)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    # --- kinds of damage ----------------------------------------------------------------------------

    def _change_bytes(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self.random.randint(1, 3)):
            if changed:
                changed[self._place(changed)] = self.random.randrange(256)
        return bytes(changed)

    def _insert_bytes(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + bytes([self.random.randrange(256)]) * self.random.randint(1, 9) + data[at:]

    def _remove_bytes(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + data[at + self.random.randint(1, 200) :]

    def _end_early(self, data: bytes) -> bytes:
        return data[: self._place(data)]

    def _mix(self, data: bytes) -> bytes:
        other = self.random.choice(self._others)
        at, start = self._place(data), self._place(other)
        return data[:at] + other[start : start + self.random.randint(1, 400)] + data[at:]

    def _shuffle_lines(self, data: bytes) -> bytes:
        return b"\n".join(self._shuffled(data.split(b"\n")))

    def _shuffle_events(self, data: bytes) -> bytes:
        return b"\n\n".join(self._shuffled(data.split(b"\n\n")))

    def _shuffled(self, pieces: list[bytes]) -> list[bytes]:
        """``pieces`` of which one is left out or repeated, or two are exchanged."""
        one, other = self._place(pieces), self._place(pieces)
        match self.random.randrange(3):
            case 0:
                del pieces[one]
            case 1:
                pieces.insert(other, pieces[one])
            case _:
                pieces[one], pieces[other] = pieces[other], pieces[one]
        return pieces

    def _confuse(self, data: bytes) -> bytes:
        """Give a field that says what belongs together the value that it has in another place."""
        fields = list(_FIELD.finditer(data))
        if not fields:
            return data
        one = self.random.choice(fields)
        other = self.random.choice([field for field in fields if field[1] == one[1]])
        return data[: one.start(2)] + other[2] + data[one.end(2) :]

    def _change_json(self, data: bytes) -> bytes:
        """Change a value in one line of JSON, or in all of it."""
        lines = data.split(b"\n")
        found = [at for at, line in enumerate(lines) if line.lstrip(b"data: ")[:1] == b"{"]
        if found:
            at = self.random.choice(found)
            start = lines[at].index(b"{")
            lines[at] = lines[at][:start] + self._changed(lines[at][start:])
            return b"\n".join(lines)
        return self._changed(data)

    def _changed(self, text: bytes) -> bytes:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return json.dumps(self._with_one_odd(value)).encode("utf-8", "surrogatepass")

    def _with_one_odd(self, value: Any) -> Any:
        """``value`` with something in it replaced, left out, or put there."""
        if isinstance(value, dict) and value and self.random.random() < 0.85:
            key = self.random.choice(list(value))
            if self.random.random() < 0.15:
                return {name: entry for name, entry in value.items() if name != key}
            return {**value, key: self._with_one_odd(value[key])}
        if isinstance(value, list) and value and self.random.random() < 0.85:
            at = self._place(value)
            if self.random.random() < 0.15:
                return [*value[: at + 1], *value[at:]]
            return [*value[:at], self._with_one_odd(value[at]), *value[at + 1 :]]
        return self.random.choice(_ODD)

    def _place(self, sequence: Any) -> int:
        return self.random.randrange(len(sequence)) if len(sequence) else 0


_KINDS: Mapping[str, Callable[[Damage, bytes], bytes]] = {
    "change bytes": Damage._change_bytes,
    "insert bytes": Damage._insert_bytes,
    "remove bytes": Damage._remove_bytes,
    "end early": Damage._end_early,
    "mix": Damage._mix,
    "shuffle lines": Damage._shuffle_lines,
    "shuffle events": Damage._shuffle_events,
    "confuse": Damage._confuse,
    "confuse once more": Damage._confuse,
    "change json": Damage._change_json,
    "change json once more": Damage._change_json,
}
