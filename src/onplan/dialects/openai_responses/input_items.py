"""Input items as clients send them, made into items that every backend accepts.

Ids and states are left out: backends that store nothing do not know them. An assistant's items get the form
in which they are sent by ``responses.items``, so that a warm WebSocket recognises them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from onplan.dialects.json_fields import elements_of, require_few
from onplan.dialects.openai_errors import ParameterError
from onplan.flow import JSON_ERRORS
from onplan.request.history import NO_RESULT, with_valid_calls
from onplan.request.json_mode import ASKED, REPAIR
from onplan.responses.items import CALL_KINDS, CONTENT_KINDS, Item, input_items, parts_in
from onplan.types import Message, Role

OUTPUTS = frozenset(f"{kind}_output" for kind in CALL_KINDS)


def sent_items(given: str | Sequence[msgspec.Raw], system_role: str) -> list[Item]:
    """The items to send for a client's ``input``.

    Raises:
        ParameterError: one of them is not an item.
    """
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    require_few(len(given), "input")
    items: list[Item] = []
    elements = len(given)
    for index, raw in enumerate(given):
        try:
            item = msgspec.json.decode(raw, type=dict[str, Any])
        except JSON_ERRORS:
            raise ParameterError(f"input[{index}] is not an object.", param=f"input[{index}]") from None
        elements += elements_of(item.values())
        require_few(elements, "input")
        items += sent_item(item, system_role, f"input[{index}]")
    return items


def sent_item(item: Item, system_role: str, place: str) -> Iterable[Item]:
    """What is sent for one item; nothing if it says nothing.

    Raises:
        ParameterError: it is not an item; ``place`` says where it stands.
    """
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind == "item_reference" or (kind is None and item.keys() == {"id"}):
        if not isinstance(item.get("id"), str):
            raise ParameterError(f"{place} has no id.", param=f"{place}.id")
        return [{"type": "item_reference", "id": item["id"]}]
    if not isinstance(kind, str):
        raise ParameterError(f"{place} has no type.", param=place)
    if kind == "message" and item.get("role") != "assistant":
        return [_message(item, system_role, place)]
    if (kind in CALL_KINDS or kind in OUTPUTS) and not isinstance(item.get("call_id"), str):
        raise ParameterError(f"{place} has no call_id.", param=f"{place}.call_id")
    if kind in CONTENT_KINDS:
        return repeated({**item, "type": kind}, system_role, place)
    return [{name: value for name, value in item.items() if name not in _LEFT_OUT and value is not None}]


_LEFT_OUT = frozenset(("id", "status"))


def repeated(item: Item, system_role: str, place: str) -> list[Item]:
    """The input items with which a later request repeats an output item."""
    try:
        said = Message(Role.ASSISTANT, parts_in(item))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ParameterError(f"{place} has a wrong shape.", param=place) from None
    return input_items([with_valid_calls(said)], system_role)


def _message(item: Item, system_role: str, place: str) -> Item:
    role, content = item.get("role"), item.get("content")
    if role not in _ROLES:
        message = f"{place} has no role, or another one than {', '.join(_ROLES)} and assistant."
        raise ParameterError(message, param=f"{place}.role")
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    if not isinstance(content, list):
        raise ParameterError(f"{place} has no content.", param=f"{place}.content")
    for index, part in enumerate(content):
        _check_part(part, f"{place}.content[{index}]")
    return {"type": "message", "role": system_role if role == "system" else role, "content": content}


_ROLES = ("user", "system", "developer")
_KEPT_FILES = "A ChatGPT plan keeps no files: send the {} itself, as a data URL."


def _check_part(part: Any, place: str) -> None:
    """Raise ParameterError if a part of a message's content is none, or cannot be had."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise ParameterError(f"{place} has no type.", param=f"{place}.type")
    if kind == "input_audio":
        message = "Models of a ChatGPT plan hear no audio: send the words as text."
        raise ParameterError(message, param=place, code="unsupported_value")
    if kind == "input_text" and not isinstance(part.get("text"), str):
        raise ParameterError(f"{place} has no text.", param=f"{place}.text")
    if kind in ("input_image", "input_file") and part.get("file_id") is not None:
        message = _KEPT_FILES.format("image" if kind == "input_image" else "file")
        raise ParameterError(message, param=f"{place}.file_id", code="unsupported_value")


def with_the_word(items: list[Item], system_role: str) -> tuple[list[Item], list[str]]:
    """The conversation with the word JSON in it, which ``json_object`` demands; what was changed for it."""
    if any("json" in text.lower() for item in items for text in _said(item)):
        return items, []
    asked = {"type": "message", "role": system_role, "content": [{"type": "input_text", "text": ASKED}]}
    return [asked, *items], [REPAIR]


def _said(item: Item) -> Iterator[str]:
    content = item.get("content") if item.get("type") == "message" else None
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def paired(items: Iterable[Item]) -> tuple[list[Item], list[str]]:
    """The conversation with one result for each call, and a call for each result; what was changed, in words.

    Aborted agents leave calls without a result (Codex issue 7051), which backends refuse. A result without
    its call is told as a message of the user: without it models call again and again.
    """
    items = list(items)
    results = {item.get("call_id") for item in items if item.get("type") in OUTPUTS}
    called: set[Any] = set()
    sent: list[Item] = []
    repairs: list[str] = []
    for item in items:
        kind = item.get("type")
        if kind in CALL_KINDS:
            called.add(item["call_id"])
            sent.append(item)
            if item["call_id"] not in results:
                sent.append({"type": f"{kind}_output", "call_id": item["call_id"], "output": NO_RESULT})
                repairs.append("A call had no result; one was sent that says so.")
        elif kind in OUTPUTS and item.get("call_id") not in called:
            sent.append({"type": "message", "role": "user", "content": _told(item.get("output"))})
            repairs.append("A result had no call; it was sent as a message of the user.")
        else:
            sent.append(item)
    return sent, repairs


def _told(output: Any) -> list[Item]:
    if isinstance(output, list):
        return output
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    return [{"type": "input_text", "text": text}]
