"""A flow driven by hand: send an outcome, see the next step."""

from __future__ import annotations

import json

from onplan.backends import OPENAI_CODEX
from onplan.errors import OnplanError
from onplan.responses.continuation import Continuation
from onplan.turn.context import Context
from onplan.turn.retry import RetryPolicy
from onplan.turn.steps import Emit, Head, Joined, ReadEvents, Send, Sleep
from onplan.types import OAuthCredentials

FIRST = OAuthCredentials(access_token="secret-1", account_id="acct-1")
SECOND = OAuthCredentials(access_token="secret-2", account_id="acct-1")
STREAM = Head(200, {"content-type": "text/event-stream", "x-request-id": "req-1"})
END = None


def payloads(*events):
    return [json.dumps(event).encode() for event in events]


def delta(text):
    return {"type": "response.output_text.delta", "delta": text, "item_id": "msg_1", "output_index": 0}


def item(text):
    content = [{"type": "output_text", "text": text}]
    return {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": {"type": "message", "id": "msg_1", "content": content},
    }


COMPLETED = {"type": "response.completed", "response": {"id": "resp_1", "output": [], "usage": None}}


def failed(code):
    return {"type": "response.failed", "response": {"error": {"code": code, "message": "It failed."}}}


class Clock:
    """Time that passes only when a turn sleeps, or when told."""

    now = 1_800_000_000.0

    def __call__(self):
        return self.now


class Turn:
    """A flow and what it wants next."""

    def __init__(self, flow, clock):
        self._flow, self._clock = flow, clock
        self.step, self.result, self.ended, self.emitted = next(flow), None, False, []

    def tell(self, *outcomes):
        """Carry out the steps with these outcomes; an ``Emit`` needs none. A ``ReadEvents`` takes several."""
        for outcome in outcomes:
            if isinstance(self.step, ReadEvents) and not isinstance(outcome, Exception):
                self._read(outcome)
            else:
                self._advance(outcome)
            while isinstance(self.step, Emit):
                self.emitted += self.step.chunks
                self._advance(None)
        return self.step

    def _read(self, payloads):
        incoming = self.step.incoming
        try:
            self.emitted += incoming.take(payloads)
        except OnplanError as error:
            self._advance(error)
        else:
            if incoming.finished:
                self._advance(None)

    def _advance(self, outcome):
        assert not self.ended, "the turn had ended"
        if isinstance(self.step, Sleep):
            self._clock.now += self.step.seconds
        try:
            if isinstance(outcome, Exception):
                self.step = self._flow.throw(outcome)
            else:
                self.step = self._flow.send(outcome)
        except StopIteration as stop:
            self.step, self.result, self.ended = None, stop.value, True

    @property
    def text(self):
        return "".join(chunk.text for chunk in self.emitted if chunk.type == "text")


def context(clock, *, policy=None, **fields):
    """What the turns of these tests have in common."""
    policy = policy or RetryPolicy(attempts=3)
    return Context(backend=OPENAI_CODEX, base_url="https://example.org", now=clock, policy=policy, **fields)


def refused(status, body=b"", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Head(status, names), json.dumps(body).encode() if not isinstance(body, bytes) else body


def token(step):
    assert isinstance(step, Send)
    return step.request.headers["authorization"]


UPGRADED = Head(101, {"x-request-id": "req-1"})


def joined(*, warm=False):
    return Joined(UPGRADED, Continuation(), warm)
