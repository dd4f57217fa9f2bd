"""Streams with damage of every kind: an error, or an answer that clients can read."""

from __future__ import annotations

import copy
import json
import random

from onplan.parameters import CutAt

from ..damage import damage
from .reading import read
from .streams import encoded, relay, whole_stream

SEEDS = range(600)


def test_damage_is_an_error_or_nothing_that_clients_see() -> None:
    """Events lost, doubled or moved, fields lost or of another type: never an unknown exception."""
    endings = {_ending(random.Random(seed)) for seed in SEEDS}
    assert endings == {"completed", "incomplete", "failed", "unseen"}


def _ending(chance: random.Random) -> str:
    """How a damaged stream ends for a client; AssertionError if it cannot read it."""
    events = copy.deepcopy(whole_stream())
    for _ in range(chance.choice([1, 1, 2, 3, 5])):
        damage(events, chance)
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
