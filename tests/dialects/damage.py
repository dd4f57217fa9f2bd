"""Damage to the events of a stream, of every kind."""

from __future__ import annotations

import copy
import random
from typing import Any

from .openai_responses.streams import Event

VALUES = [None, 0, 1, -1, 10**30, "", "x", [], [1], {}, {"a": 1}, True, 1.5, "fc_0", "msg_1", ["text"]]
# What these say is handed on as it is.
_LEFT_ALONE = ("type", "logprobs")


def damage(events: list[Event], chance: random.Random) -> None:
    """Lose, double or move an event, or lose a field of one, or give it another value."""
    at = chance.randrange(len(events))
    match chance.randrange(6):
        case 0:
            del events[at]
        case 1:
            events.insert(at, copy.deepcopy(chance.choice(events)))
        case 2:
            other = chance.randrange(len(events))
            events[at], events[other] = events[other], events[at]
        case kind:
            *places, last = chance.choice(list(_places(events[at])))
            holder: Any = events[at]
            for place in places:
                holder = holder[place]
            if kind == 3 and isinstance(holder, dict):
                del holder[last]
            else:
                holder[last] = copy.deepcopy(chance.choice(VALUES))


def _places(value: Any, before: tuple[Any, ...] = ()) -> Any:
    """The places of all values inside of ``value``."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, held in inner:
        if name not in _LEFT_ALONE:
            yield (*before, name)
        if isinstance(held, dict | list):
            yield from _places(held, (*before, name))
