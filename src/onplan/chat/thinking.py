"""Assembles reasoning from each server's own fields, and writes it back into the same fields.

Chat Completions defines no such field. Servers use ``reasoning_content`` (DeepSeek, vLLM), ``reasoning``
(Groq, Ollama) or ``reasoning_details`` (OpenRouter; see tests/chat/servers), and some refuse a later turn
that does not repeat them. So the fields are kept as JSON in ``Thinking.encrypted``.
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

# Fields with the text; the first one that has some counts. reasoning_text: GitHub Copilot (November 2026).
TEXTS = ("reasoning_content", "reasoning", "reasoning_text")
# Lists of entries. thinking_blocks: LiteLLM, with Anthropic's signatures.
LISTS = ("reasoning_details", "thinking_blocks")
# Opaque fields. reasoning_opaque: GitHub Copilot; extra_content: Gemini.
SEALED = ("reasoning_opaque", "extra_content")
FIELDS = (*TEXTS, *LISTS, *SEALED)


class Reasoning:
    """The reasoning of one message, as far as it has arrived. ``begun``: whether any has."""

    def __init__(self) -> None:
        self.begun = False
        self._texts: list[str] = []
        self._field: str | None = None
        self._details: dict[str, Details] = {}
        self._sealed: dict[str, Any] = {}

    def feed(self, delta: Delta) -> str:
        """Add a delta; returns its text. If several fields of a chunk have the text, the first counts."""
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
        """Add reasoning that came inside the content; returns it."""
        if text:
            self.begun = True
            self._texts.append(text)
        return text

    def part(self) -> Thinking | None:
        """The finished part; None if it would be empty."""
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
    """The text in an entry or a list of entries; empty for an encrypted one."""
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
    """The fields that send these parts back; empty for parts that did not come from this API."""
    fields: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    lists: dict[str, Details] = {}
    for part in parts:
        for name, value in _carried(part).items():
            if name in LISTS:
                # A signature may have come late, after text that followed the signed entry.
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
    if not isinstance(carried, dict):  # from the Responses API, whose encrypted content is not JSON
        return {}
    return {name: carried[name] for name in FIELDS if isinstance(carried.get(name), _kinds(name))}


def _kinds(name: str) -> type | tuple[type, ...]:
    return str if name in TEXTS else list if name in LISTS else (str, dict)
