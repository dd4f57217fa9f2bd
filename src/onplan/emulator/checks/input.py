"""Checks the items of `input`, each alone and together."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from onplan.emulator.checks.refusals import missing, refuse, supported
from onplan.emulator.checks.tools import check_tools
from onplan.emulator.wire.replies import Refusal, api_error, detail
from onplan.emulator.world import World

Item = dict[str, Any]
Check = Callable[[World, Item, str, str], None]  # world, item, its path in the request, model

CONTENT_TYPES = {
    "user": ("input_text", "input_image", "input_file"),
    "developer": ("input_text", "input_image", "input_file"),
    "assistant": ("output_text", "refusal"),
}
NO_IMAGE = (
    "The image data you provided does not represent a valid image. Please check your input and try again."
)
NOT_VERIFIED = (
    "The encrypted content {}... could not be verified. "
    "Reason: Encrypted content could not be decrypted or parsed."
)
TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
# Fields with images and files, whose length says nothing about their tokens.
ATTACHED = ("image_url", "file_data")
IMAGE_DATA = re.compile(r"data:image/[a-z0-9.+-]+;base64,(.+)", re.DOTALL | re.IGNORECASE)


def _required(item: Item, name: str, where: str, kinds: type | tuple[type, ...] = str) -> None:
    if item.get(name) is None:
        raise missing(f"{where}.{name}")
    if not isinstance(item[name], kinds):
        given = type(item[name]).__name__
        message = f"Invalid type for '{where}.{name}': got {given} instead."
        raise refuse(message, f"{where}.{name}", "invalid_type")


def _message(world: World, item: Item, where: str, model: str) -> None:
    role = item.get("role")
    if role == "system":
        raise Refusal(detail("System messages are not allowed"))
    supported(role, tuple(CONTENT_TYPES), f"{where}.role")
    _required(item, "content", where, (str, list))
    if isinstance(item["content"], list):
        _parts(item["content"], CONTENT_TYPES[str(role)], f"{where}.content")


def _parts(parts: list[Any], allowed: tuple[str, ...], where: str) -> None:
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        supported(kind, allowed, f"{where}[{index}].type")
        PARTS[str(kind)](part, f"{where}[{index}]")


def _image(part: Item, where: str) -> None:
    if part.get("file_id") is not None and part.get("image_url") is None:
        return
    _required(part, "image_url", where)
    url = part["image_url"]
    data = IMAGE_DATA.fullmatch(url)
    if data is None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            complaint = "Expected a valid URL, but got a value with an invalid format."
            raise refuse(f"Invalid '{where}.image_url'. {complaint}", f"{where}.image_url", "invalid_value")
        return
    try:
        base64.b64decode(data[1], validate=True)
    except binascii.Error as error:
        raise refuse(NO_IMAGE, f"{where}.image_url", "invalid_value") from error


def _output_text(part: Item, where: str) -> None:
    _required(part, "text", where)
    annotations = part.get("annotations") or []
    if not isinstance(annotations, list):
        raise refuse(f"Invalid type for '{where}.annotations'.", f"{where}.annotations", "invalid_type")
    for index, annotation in enumerate(annotations):
        kind = annotation.get("type") if isinstance(annotation, dict) else None
        supported(kind, ANNOTATIONS, f"{where}.annotations[{index}].type")


ANNOTATIONS = ("url_citation", "file_citation", "container_file_citation", "file_path")


def _file(part: Item, where: str) -> None:
    if not any(isinstance(part.get(name), str) for name in ("file_data", "file_url", "file_id")):
        raise missing(f"{where}.file_data")


PARTS: dict[str, Callable[[Item, str], None]] = {
    "input_text": lambda part, where: _required(part, "text", where),
    "output_text": _output_text,
    "refusal": lambda part, where: _required(part, "refusal", where),
    "input_image": _image,
    "input_file": _file,
}


def _call(*names: str) -> Check:
    def check(world: World, item: Item, where: str, model: str) -> None:
        for name in names:
            _required(item, name, where)

    return check


def _output(world: World, item: Item, where: str, model: str) -> None:
    _required(item, "call_id", where)
    _required(item, "output", where, (str, list))
    if isinstance(item["output"], list):
        _parts(item["output"], CONTENT_TYPES["user"], f"{where}.output")


def _reference(world: World, item: Item, where: str, model: str) -> None:
    raise _not_found(item)


def _not_found(item: Item) -> Refusal:
    message = (
        f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input."
    )
    return Refusal(api_error(message, param="input", status=404))


def _reasoning(world: World, item: Item, where: str, model: str) -> None:
    _required(item, "summary", where, list)
    sealed = item.get("encrypted_content")
    if not sealed:  # without it, the item would have to be stored
        raise _not_found(item)
    if not world.seals.verifies(str(sealed), account_id=world.scenario.account_id, model=model):
        raise refuse(NOT_VERIFIED.format(str(sealed)[:12]), where, "invalid_encrypted_content")


def _compaction(world: World, item: Item, where: str, model: str) -> None:
    _required(item, "encrypted_content", where)
    sealed, account_id = item["encrypted_content"], world.scenario.account_id
    if not world.seals.verifies(sealed, account_id=account_id, model=world.compaction_family(model)):
        raise refuse(NOT_VERIFIED.format(sealed[:12]), where, "invalid_encrypted_content")


def _compaction_trigger(world: World, item: Item, where: str, model: str) -> None:
    """The trigger has no other field: an `id` was seen to be refused (Menci/Floway#93)."""
    for name in item:
        if name != "type":
            param = f"{where}.{name}"
            raise refuse(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def _tools(world: World, item: Item, where: str, model: str) -> None:
    _required(item, "tools", where, list)
    check_tools(item["tools"], f"{where}.tools")


def _anything(world: World, item: Item, where: str, model: str) -> None:
    """Items that the service produces, or that control it; their contents are not checked."""


ITEMS: dict[str, Check] = {
    "message": _message,
    "function_call": _call("call_id", "name", "arguments"),
    "function_call_output": _output,
    "custom_tool_call": _call("call_id", "name", "input"),
    "custom_tool_call_output": _output,
    "reasoning": _reasoning,
    "item_reference": _reference,
    "additional_tools": _tools,
    "compaction": _compaction,
    "compaction_trigger": _compaction_trigger,
    "image_generation_call": _anything,
    "local_shell_call": _anything,
    "local_shell_call_output": _anything,
    "tool_search_call": _anything,
    "tool_search_output": _anything,
    "web_search_call": _anything,
}
# output -> call; each needs the other.
ANSWERS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
ANSWERED = {call: (answer, call.replace("_", " ")) for answer, call in ANSWERS.items()}


def check_input(world: World, body: dict[str, Any]) -> None:
    """Raise the Refusal for the first item that is not acceptable."""
    calls: dict[tuple[str, str], bool] = {}
    for index, item in enumerate(body["input"]):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            message = (
                f"Invalid type for '{where}': expected an object, but got {type(item).__name__} instead."
            )
            raise refuse(message, where, "invalid_type")
        kind = item.get("type", "message" if "role" in item else "")
        if kind == "compaction_trigger" and index < len(body["input"]) - 1:
            raise refuse("A compaction_trigger must be the final input item.", where, "invalid_value")
        supported(kind, tuple(ITEMS), f"{where}.type")
        ITEMS[kind](world, item, where, body["model"])
        if kind in ANSWERED:
            calls[kind, item["call_id"]] = False
        if kind in ANSWERS:
            _answer(calls, ANSWERS[kind], item["call_id"])
    for (kind, call_id), answered in calls.items():
        if not answered:
            raise refuse(f"No tool output found for {ANSWERED[kind][1]} {call_id}.", "input")


def _answer(calls: dict[tuple[str, str], bool], kind: str, call_id: str) -> None:
    if (kind, call_id) not in calls:
        raise refuse(f"No tool call found for {ANSWERED[kind][1]} output with call_id {call_id}.", "input")
    calls[kind, call_id] = True


def check_window(world: World, body: dict[str, Any]) -> None:
    """Raise the Refusal for input that is longer than the model's context window."""
    window = world.context_window(body["model"])
    attached = sum(len(part[name]) for part in _parts_in(body["input"]) for name in ATTACHED if name in part)
    if window is not None and (len(msgspec.json.encode(body["input"])) - attached) // 4 > window:
        raise refuse(TOO_LONG, "input", "context_length_exceeded")


def _parts_in(items: list[Item]) -> Iterator[dict[str, Any]]:
    """The content parts of messages and of tool outputs."""
    for item in items:
        for name in ("content", "output"):
            parts = item.get(name)
            yield from (part for part in (parts if isinstance(parts, list) else ()) if isinstance(part, dict))
