"""Reasoning in the fields that servers show it in, and how it goes back to them in those very fields.

Chat Completions knows none; servers have ``reasoning_content``, ``reasoning`` or ``reasoning_details``, and
some refuse a later turn that does not repeat what they said. So the fields are kept, as JSON, where a
``Thinking`` part carries what is for the server alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from onplan.chat.events import Delta
from onplan.types import Thinking
from onplan.wire import decode_json

FIELDS = ("reasoning_content", "reasoning", "reasoning_details")


class Reasoning:
    """The reasoning of one message while it arrives."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._field: str | None = None
        self._details: list[dict[str, Any]] = []

    def feed(self, delta: Delta) -> str:
        """What is new of the text. Where one chunk shows it in several fields, the first counts."""
        details = [entry for entry in delta.reasoning_details or () if isinstance(entry, dict)]
        for entry in details:
            self._add(entry)
        for field in ("reasoning_content", "reasoning"):
            text = getattr(delta, field)
            if isinstance(text, str) and text:
                self._field = field
                self._texts.append(text)
                return text
        text = "".join(str(entry.get("text") or entry.get("summary") or "") for entry in details)
        return self.add_text(text)

    def add_text(self, text: str) -> str:
        """Reasoning that came in no field of its own."""
        if text:
            self._texts.append(text)
        return text

    def _add(self, entry: dict[str, Any]) -> None:
        """A detail, or more of the one before it."""
        last = self._details[-1] if self._details else {}
        if not last or (last.get("type"), last.get("index")) != (entry.get("type"), entry.get("index")):
            self._details.append(dict(entry))
            return
        for name, value in entry.items():
            grows = name in ("text", "summary", "data") and isinstance(last.get(name), str)
            if value is not None:
                last[name] = last[name] + str(value) if grows else value

    def part(self) -> Thinking | None:
        """All of it, as a finished part; None if there is nothing."""
        text = "".join(self._texts)
        fields: dict[str, Any] = {}
        if self._field:
            fields[self._field] = text
        if self._details:
            fields["reasoning_details"] = self._details
        if not text and not fields:
            return None
        return Thinking(text, msgspec.json.encode(fields).decode() if fields else None)


def fields_of(parts: Iterable[Thinking]) -> dict[str, Any]:
    """The fields in which these parts go back to the server that they came from; none for others' parts."""
    fields: dict[str, Any] = {}
    for part in parts:
        for name, value in _carried(part).items():
            fields[name] = fields[name] + value if name in fields else value
    return fields


def _carried(part: Thinking) -> Mapping[str, Any]:
    carried = decode_json((part.encrypted or "").encode())
    if not isinstance(carried, dict):  # the Responses API's, which is no JSON
        return {}
    kinds = {"reasoning_details": list}
    return {name: carried[name] for name in FIELDS if isinstance(carried.get(name), kinds.get(name, str))}
