"""Checks a request to `alpha/search`: its fields are those of the official client, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onplan.emulator.checks.refusals import missing, must_be, of_type, one_of, refuse
from onplan.emulator.wire.replies import Refusal, Request, detail
from onplan.emulator.world import World

Fields = Mapping[str, tuple[type | tuple[type, ...], str]]

_TEXT = (str, "a string")
_LIST = (list, "an array")
_OBJECT = (dict, "an object")
_NUMBER = (int, "an integer")
FIELDS: Fields = {
    "id": _TEXT,
    "model": _TEXT,
    "input": ((str, list), "a string or an array"),
    "commands": _OBJECT,
    "settings": _OBJECT,
    "max_output_tokens": _NUMBER,
    "reasoning": _OBJECT,
}
REQUIRED = ("id", "model", "commands")
SETTINGS: Fields = {
    "allowed_callers": _LIST,
    "external_web_access": ((bool, str), "a boolean or 'indexed'"),
    "user_location": _OBJECT,
    "search_context_size": _TEXT,
    "filters": _OBJECT,
    "image_settings": _OBJECT,
}
_QUERY: tuple[Fields, Fields] = ({"q": _TEXT}, {"recency": _NUMBER, "domains": _LIST})
_REF: Fields = {"ref_id": _TEXT}
_SPORTS = ("tool", "team", "opponent", "date_from", "date_to", "locale")
# The fields that each entry of a command needs, and those that it may have.
COMMANDS: Mapping[str, tuple[Fields, Fields]] = {
    "search_query": _QUERY,
    "image_query": _QUERY,
    "open": (_REF, {"lineno": _NUMBER}),
    "click": ({**_REF, "id": _NUMBER}, {}),
    "find": ({**_REF, "pattern": _TEXT}, {}),
    "screenshot": ({**_REF, "pageno": _NUMBER}, {}),
    "finance": ({"ticker": _TEXT, "type": _TEXT}, {"market": _TEXT}),
    "weather": ({"location": _TEXT}, {"start": _TEXT, "duration": _NUMBER}),
    "sports": (
        {"fn": _TEXT, "league": _TEXT},
        {**dict.fromkeys(_SPORTS, _TEXT), "num_games": _NUMBER},
    ),
    "time": ({"utc_offset": _TEXT}, {}),
}
LENGTHS = ("short", "medium", "long")


def check_search(world: World, request: Request) -> None:
    """Raise the Refusal for the first thing wrong with a search."""
    body = request.body
    if request.plain is None or request.media_type != "application/json" or not isinstance(body, dict):
        raise Refusal(detail("Request body must be a JSON object"))
    _known(body, FIELDS, "")
    for name in REQUIRED:
        if body.get(name) is None:
            raise missing(name)
    if world.model(body["model"]) is None:
        raise Refusal(detail(f"The '{body['model']}' model is not supported."))
    _known(body.get("settings") or {}, SETTINGS, "settings.")
    for name, given in body["commands"].items():
        if name == "response_length":
            one_of(given, LENGTHS, "commands.response_length")
            continue
        if name not in COMMANDS:
            raise _unknown(f"commands.{name}")
        of_type(given, list, f"commands.{name}", "an array")
        for index, entry in enumerate(given or ()):
            _entry(entry, *COMMANDS[name], f"commands.{name}[{index}]")


def _entry(entry: Any, needed: Fields, more: Fields, where: str) -> None:
    must_be(entry, dict, where, "an object")
    _known(entry, {**needed, **more}, f"{where}.")
    for name in needed:
        if entry.get(name) is None:
            raise missing(f"{where}.{name}")


def _known(given: dict[str, Any], fields: Fields, where: str) -> None:
    for name, value in given.items():
        if name not in fields:
            raise _unknown(f"{where}{name}")
        kinds, called = fields[name]
        of_type(value, kinds, f"{where}{name}", called)


def _unknown(param: str) -> Refusal:
    return refuse(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
