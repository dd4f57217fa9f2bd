"""Streams with damage of every kind: an error, or an answer that clients can read."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from onplan.parameters import CutAt

from .reading import read
from .streams import Event, encoded, relay, whole_stream

SEEDS = range(600)
VALUES = [None, 0, 1, -1, 10**30, "", "x", [], [1], {}, {"a": 1}, True, 1.5, "fc_0", "msg_1", ["text"]]
# What these say is handed on as it is.
_LEFT_ALONE = ("type", "logprobs")


def test_damage_is_an_error_or_nothing_that_clients_see() -> None:
    """Events lost, doubled or moved, fields lost or of another type: never an unknown exception."""
    endings = {_ending(random.Random(seed)) for seed in SEEDS}
    assert endings == {"completed", "incomplete", "failed", "unseen"}


def _ending(chance: random.Random) -> str:
    """How a damaged stream ends for a client; AssertionError if it cannot read it."""
    events = copy.deepcopy(whole_stream())
    for _ in range(chance.choice([1, 1, 2, 3, 5])):
        _damage(events, chance)
    limit = CutAt(max_tokens=chance.randrange(1, 12)) if chance.random() < 0.2 else None
    stream = relay(framed=False, cut_at=limit)
    sent = [piece for payload in encoded(events) for piece in stream.feed([payload])]
    error = stream.failure
    if error is None and not (stream.finished or stream.is_cut):
        return "unseen"  # it ended too early
    if error is not None:
        if not sent:
            return "unseen"
        whole = stream.failure_events(error)
        sent += whole.replace(b'}{"type":"response.failed"', b'}\n{"type":"response.failed"').splitlines()
    return str(read([json.loads(piece) for piece in sent]).response["status"])


def _damage(events: list[Event], chance: random.Random) -> None:
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
