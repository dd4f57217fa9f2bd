"""Reasoning in the fields that servers show it in, and how it goes back to them in those very fields.

Chat Completions knows none; servers have ``reasoning_content``, ``reasoning`` or ``reasoning_details``, and
some refuse a later turn that does not repeat what they said. So the fields are kept, as JSON, where a
``Thinking`` part carries what is for the server alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from onplan.chat.details import Details
from onplan.chat.events import Delta
from onplan.chat.signatures import merge
from onplan.flow import decode_json
from onplan.types import Thinking

# Where the text is, the first that has some; seen November 2026: reasoning_text at GitHub Copilot.
TEXTS = ("reasoning_content", "reasoning", "reasoning_text")
# Lists of entries; thinking_blocks at LiteLLM, with Anthropic's signatures in them.
LISTS = ("reasoning_details", "thinking_blocks")
# What is read by the server alone: reasoning_opaque at GitHub Copilot, extra_content at Gemini.
SEALED = ("reasoning_opaque", "extra_content")
FIELDS = (*TEXTS, *LISTS, *SEALED)


class Reasoning:
    """The reasoning of one message while it arrives. ``begun``: whether any of it has come."""

    def __init__(self) -> None:
        self.begun = False
        self._texts: list[str] = []
        self._field: str | None = None
        self._details: dict[str, Details] = {}
        self._sealed: dict[str, Any] = {}

    def feed(self, delta: Delta) -> str:
        """What is new of the text. Where one chunk shows it in several fields, the first counts."""
        self.begun = True
        listed = ""
        for name in LISTS:
            if came := getattr(delta, name):
                entries = [entry for entry in came if isinstance(entry, dict)]
                self._details.setdefault(name, Details()).feed(entries)
                listed = listed or text_of(entries)
        if delta.reasoning_opaque or delta.extra_content:
            merge(self._sealed, {name: getattr(delta, name) for name in SEALED})
        for field in TEXTS:
            value = getattr(delta, field)
            if value and isinstance(value, str):
                self._field = field
                self._texts.append(value)
                return value
            if text := text_of(value):
                return self.add_text(text)
        return self.add_text(listed)

    def add_text(self, text: str) -> str:
        """Reasoning that came in no field of its own."""
        if text:
            self.begun = True
            self._texts.append(text)
        return text

    def part(self) -> Thinking | None:
        """All of it, as a finished part; None if there is nothing."""
        text = "".join(self._texts)
        fields: dict[str, Any] = {}
        if self._field:
            fields[self._field] = text
        fields |= {name: details.entries for name, details in self._details.items()}
        fields |= self._sealed
        if not text and not fields:
            return None
        return Thinking(text, msgspec.json.encode(fields).decode() if fields else None)


def text_of(value: Any) -> str:
    """The text in an entry, or in a list of them; what is no text, such as a sealed one, has none."""
    match value:
        case str():
            return value
        case list():
            return "".join(text_of(piece) for piece in value)
        case dict():
            named = (text_of(value.get(name)) for name in ("text", "summary", "thinking", "content"))
            return next(filter(None, named), "")
        case _:
            return ""


def fields_of(parts: Iterable[Thinking]) -> dict[str, Any]:
    """The fields in which these parts go back to the server that they came from; none for others' parts."""
    fields: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    lists: dict[str, Details] = {}
    for part in parts:
        for name, value in _carried(part).items():
            if name in LISTS:
                # A signature may have come after the text that followed what it signs.
                entries = [entry for entry in value if isinstance(entry, dict)]
                lists.setdefault(name, Details()).feed(entries, whole=True)
            elif name in TEXTS:
                texts.setdefault(name, []).append(value)
            else:
                merge(fields, {name: value})
    joined = {name: "".join(pieces) for name, pieces in texts.items()}
    return {**joined, **{name: details.entries for name, details in lists.items()}, **fields}


def _carried(part: Thinking) -> Mapping[str, Any]:
    carried = decode_json((part.encrypted or "").encode())
    if not isinstance(carried, dict):  # the Responses API's, which is no JSON
        return {}
    return {name: carried[name] for name in FIELDS if isinstance(carried.get(name), _kinds(name))}


def _kinds(name: str) -> type | tuple[type, ...]:
    return str if name in TEXTS else list if name in LISTS else (str, dict)
