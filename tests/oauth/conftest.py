"""Recordings of the official client, tokens worth nothing, and a server that answers once."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.fixture(scope="session")
def recording():
    """The requests of a recording."""
    return lambda name: json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def jwt():
    """An unsigned token with these claims."""

    def encode(part):
        return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()

    return lambda **claims: f"{encode({'alg': 'none'})}.{encode(claims)}.sig"


class Conversation:
    """A flow whose one request was taken, and which waits for its answer."""

    def __init__(self, flow):
        self._flow = flow
        self.request = next(flow)

    def answer(self, response):
        """Send the response, or throw the error; give back what the flow returns."""
        try:
            if isinstance(response, Exception):
                asked = self._flow.throw(response)
            else:
                asked = self._flow.send(response)
        except StopIteration as stop:
            return stop.value
        raise AssertionError(f"one more request: {asked}")


@pytest.fixture(scope="session")
def begin():
    """Run a flow up to its request."""
    return Conversation
