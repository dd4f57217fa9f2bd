"""The table of amendments: what servers refuse, how the refusal is recognised, and what is sent instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from onplan.chat import signatures, thinking
from onplan.errors import (
    BackendError,
    EncryptedReasoningError,
    InvalidRequestError,
    OnplanError,
)
from onplan.lazy_pattern import LazyPattern
from onplan.turn.amendments import Amendment, Body, Call, changed_by
from onplan.turn.refused_fields import Path, is_refusal, names

# --- fields that are sent unasked -------------------------------------------------------------------


def _remove(value: Any, path: Path) -> bool:
    """Take the field at ``path`` out of ``value``, and what holds nothing else; whether it was there."""
    key, rest = path[0], path[1:]
    if key == "*":
        removed_from = [_remove(entry, rest) for entry in value] if isinstance(value, list) else []
        return any(removed_from)
    if not isinstance(value, dict) or key not in value:
        return False
    if rest:
        removed = _remove(value[key], rest)
        if removed and value[key] == {}:
            del value[key]
        return removed
    del value[key]
    return True


def _has(value: Any, path: Path) -> bool:
    """Whether there is a field at ``path``."""
    if not path:
        return True
    if path[0] == "*":
        return isinstance(value, list) and any(_has(entry, path[1:]) for entry in value)
    return isinstance(value, dict) and path[0] in value and _has(value[path[0]], path[1:])


def _without(*paths: Path) -> Callable[[Body], bool]:
    def change(body: Body) -> bool:
        removed = [_remove(body, path) for path in paths]
        return any(removed)

    return change


def _refuses(*paths: Path, words: str | None = None) -> Callable[[OnplanError, Body], bool]:
    """Whether an error refuses one of the fields at ``paths``, or says ``words`` (a pattern).

    Where the first is all that its object holds, naming the object names it.
    """
    said = LazyPattern(words) if words else None

    def is_meant(error: OnplanError, body: Body) -> bool:
        if not is_refusal(error):
            return False
        alone = [path[:1] for path in paths[:1] if len(path) == 2 and len(body.get(path[0]) or ()) == 1]
        there = [path for path in paths if _has(body, path)]
        named = any(names(error.message, path) for path in (*there, *alone))
        return named or bool(said and said.search(error.message))

    return is_meant


def _unasked(
    *path: str, asked_by: str | None = None, reported_as: str | None = None, words: str | None = None
) -> Amendment:
    """A field that is left out when it is refused."""
    return Amendment(
        name=".".join(path),
        is_meant=_refuses(path, words=words),
        change=_without(path),
        asked_by=asked_by,
        reported_as=reported_as,
    )


# --- thinking ---------------------------------------------------------------------------------------

_IN_MESSAGES = [("messages", "*", name) for name in thinking.FIELDS]
_IN_CALLS = [
    ("messages", "*", "tool_calls", "*", *inner, name)
    for name in signatures.FIELDS
    for inner in ((), ("function",))
]
_CHAT_THINKING = (*_IN_MESSAGES, *_IN_CALLS)
_THINKING_WORDS = (
    r"thought.?signature|reasoning (?:item|content)|thinking (?:block|content)|['\"`]thinking['\"`]"
)


def _without_reasoning_items(body: Body) -> bool:
    items = body.get("input")
    if not isinstance(items, list):
        return False
    body["input"] = [item for item in items if item.get("type") != "reasoning"]
    return len(body["input"]) < len(items)


def _without_thinking(body: Body) -> bool:
    """Leave out earlier thinking, in the fields of either API."""
    items, fields = _without_reasoning_items(body), _without(*_CHAT_THINKING)(body)
    return items or fields


_REASONING_ITEMS = (("encrypted_content",), ("input", "*", "summary"))
_SAYS_THINKING = LazyPattern(_THINKING_WORDS)


def _refuses_thinking(error: OnplanError, body: Body) -> bool:
    """Whether an error names thinking, under any of its names.

    Gateways rename the field on the way (seen November 2026: LiteLLM before Mistral), so any name will do.
    In the Responses API ``reasoning`` alone is a parameter.
    """
    over_chat = "messages" in body
    known = [path for path in _CHAT_THINKING if over_chat or "_" in path[-1]]
    named = any(names(error.message, path) for path in (*known, *_REASONING_ITEMS))
    return is_refusal(error) and (named or bool(_SAYS_THINKING.search(error.message)))


# Gemini: "Corrupted thought signature"; Anthropic: "Invalid `signature` in `thinking` block" (November 2026).
_BAD = r"(?:corrupt|invalid|not valid|could not|cannot|expired)"
_SIGNATURE = r"(?:thought.?signature|signature.{0,20}thinking|thinking.{0,20}signature)"
_BAD_SIGNATURE = LazyPattern(rf"{_BAD}.{{0,40}}{_SIGNATURE}", rf"{_SIGNATURE}.{{0,40}}{_BAD}")


def _cannot_read_thinking(error: OnplanError, body: Body) -> bool:
    """Whether sealed or signed thinking is not this server's, or not this account's."""
    signed = isinstance(error, InvalidRequestError) and bool(_BAD_SIGNATURE.search(error.message))
    return signed or isinstance(error, EncryptedReasoningError)


# --- others -----------------------------------------------------------------------------------------

# What stands for the instructions of a program that gave none.
NEUTRAL_INSTRUCTIONS = "Follow the conversation and answer its last message."
_INSTRUCTIONS = "instructions are required"


def _wants_instructions(error: OnplanError, body: Body) -> bool:
    """Exactly ``400 {"detail": "Instructions are required"}``, over HTTP or in a frame."""
    return error.status_code == 400 and error.message.strip().rstrip(".").lower() == _INSTRUCTIONS


def _with_instructions(body: Body) -> bool:
    """Give ``instructions``: the text of the leading system or developer message, else a neutral sentence.

    What moves there is no longer in the input, unless nothing else is.
    """
    items = body.get("input")
    if body.get("instructions") or not isinstance(items, list):
        return False
    first: Body = next((item for item in items if item.get("type") == "message"), {})
    content = first.get("content") if first.get("role") in ("system", "developer") else None
    texts = [part.get("text") for part in content or () if part.get("type") == "input_text"]
    if not content or len(texts) < len(content):
        body["instructions"] = NEUTRAL_INSTRUCTIONS
        return True
    body["instructions"] = "\n".join(texts)
    body["input"] = [item for item in items if item is not first] or items
    return True


_TEXT_WANTED = LazyPattern(
    r"content.{0,60}(?:must be|should be|expected|not) (?:of type |a )?(?:valid |single )?str",
    r"sequence,? expected (?:a )?string|str type expected",
    r"expected a string,? (?:but )?got (?:an? )?(?:array|list)",
)


def _wants_text(error: OnplanError, body: Body) -> bool:
    """Whether the content of a message is wanted as one string."""
    return isinstance(error, InvalidRequestError | BackendError) and bool(_TEXT_WANTED.search(error.message))


def _with_text(body: Body) -> bool:
    """Say the texts of a message as one string, where it holds texts alone."""
    changed = False
    for message in body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, list) and all(part.get("type") == "text" for part in content):
            message["content"] = "\n".join(part["text"] for part in content)
            changed = True
    return changed


_SCHEMA_REFUSED = LazyPattern(r"invalid (?:json )?schema for (?:response_format|text\.format)")


def _refuses_schema(error: OnplanError, body: Body) -> bool:
    """Whether a schema is refused, which may be taken if it is not strict."""
    return isinstance(error, InvalidRequestError) and bool(_SCHEMA_REFUSED.search(error.message))


def _not_strict(body: Body) -> bool:
    chat, responses = body.get("response_format") or {}, body.get("text") or {}
    schemas = [named for named in (chat.get("json_schema"), responses.get("format")) if named]
    strict = [named for named in schemas if named.get("strict")]
    for named in strict:
        named["strict"] = False
    return bool(strict)


_LENGTHS: Mapping[str, str] = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}


def _wants_other_length(error: OnplanError, body: Body) -> bool:
    """Whether the length of the answer has another name at this server."""
    return is_refusal(error) and any(name in body and names(error.message, (name,)) for name in _LENGTHS)


def _with_other_length(body: Body) -> bool:
    name = next((name for name in _LENGTHS if name in body), None)
    if name:
        body[_LENGTHS[name]] = body.pop(name)
    return name is not None


_SHORT_EFFORTS = ("none", "minimal")
_refuses_effort_field = _refuses(("reasoning", "effort"), ("reasoning_effort",))


def _refuses_effort(error: OnplanError, body: Body) -> bool:
    """Whether a model does not think as little as it is asked to."""
    return _refuses_effort_field(error, body) and _with_low_effort(dict(body))


def _with_low_effort(body: Body) -> bool:
    """Ask for little thinking in place of none: the shortest effort that every model offers."""
    reasoning = body.get("reasoning") or {}
    if reasoning.get("effort") in _SHORT_EFFORTS:
        body["reasoning"] = {**reasoning, "effort": "low"}
        return True
    if body.get("reasoning_effort") in _SHORT_EFFORTS:
        body["reasoning_effort"] = "low"
        return True
    return False


AMENDMENTS: tuple[Amendment, ...] = (
    # Thinking that was sealed for another account or model: what comes from this one is good.
    Amendment(
        "encrypted thinking",
        is_meant=_cannot_read_thinking,
        change=_without_thinking,
        reported_as="thinking",
        remembered="never",
    ),
    # Seen November 2026: Cerebras, Groq, LiteLLM in front of Mistral; gateways that rename the field.
    Amendment(
        "thinking",
        is_meant=_refuses_thinking,
        change=_without_thinking,
        reported_as="thinking",
    ),
    # January to May 2026: the Codex backend. The official client sends none any more (0.171.0).
    Amendment("instructions", is_meant=_wants_instructions, change=_with_instructions, remembered="server"),
    # Seen November 2026: Mistral, Databricks, Azure with data sources. The answer then has no usage.
    _unasked("stream_options"),
    # Seen November 2026: the platform, to organisations that are not verified. The answer comes in one piece.
    Amendment(
        "stream",
        is_meant=_refuses(
            ("stream",),
            words=r"verified to stream|streaming (?:\w+ ){0,5}(?:is|are)(?: not|n't)"
            r"|not support (?:\w+ ){0,2}stream",
        ),
        change=_without(("stream",), ("stream_options",)),
    ),
    _unasked("store"),
    _unasked("include", words=r"encrypted content is not supported"),
    _unasked("prompt_cache_key", asked_by="session_id", reported_as="session_id"),
    _unasked(
        "reasoning",
        "summary",
        asked_by="reasoning_summary",
        words=r"verified to generate reasoning summar|reasoning summar\w+ (?:is|are)(?: not|n't)",
    ),
    # OpenAI's Agents SDK 0.24, as a client of the server, asks models for "none" by itself (November 2026).
    Amendment(
        "reasoning effort", is_meant=_refuses_effort, change=_with_low_effort, asked_by="reasoning_effort"
    ),
    _unasked("tool_choice", asked_by="tool_choice"),
    _unasked("parallel_tool_calls", asked_by="parallel_tool_calls"),
    _unasked("tools", "*", "strict", asked_by="strict"),
    # Seen November 2026: models of the platform that reason.
    Amendment("stop", is_meant=_refuses(("stop",)), change=_without(("stop",)), emulates_stop=True),
    _unasked("text", "format", "strict"),
    _unasked("response_format", "json_schema", "strict"),
    # The subset that strict mode takes changes.
    Amendment("strict schema", is_meant=_refuses_schema, change=_not_strict, remembered="never"),
    _unasked("input", "*", "phase"),
    # Seen November 2026: Groq, DeepSeek and others, some of them for the user's messages, too.
    Amendment("text as one string", is_meant=_wants_text, change=_with_text),
    # "Use 'max_completion_tokens' instead", or an extra input; it is the same wish under its other name.
    Amendment("max_tokens", is_meant=_wants_other_length, change=_with_other_length),
)


def amended(error: OnplanError, call: Call, others: Iterable[Amendment]) -> tuple[Amendment, Call] | None:
    """The row by which ``call`` becomes one that ``error`` does not refuse, and that call.

    ``others``: rows that have been applied already. None if there is no row for it.
    """
    used = set(map(id, others))
    body = msgspec.json.decode(call.body)
    for amendment in AMENDMENTS:
        if id(amendment) not in used and amendment.is_meant(error, body):
            changed = changed_by(call, [amendment])
            if changed is not None:
                return amendment, changed
    return None
