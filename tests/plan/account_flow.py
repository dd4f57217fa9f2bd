"""Carries out a flow about the account by hand: a clock that the waits move, and answers of the backend."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from onplan.backends import OPENAI_CODEX
from onplan.flow import Request
from onplan.turn.context import Context
from onplan.turn.retry import RetryPolicy
from onplan.turn.steps import Authorize, Flow, Head, ReadBody, Refresh, Send, Sleep
from onplan.types import OAuthCredentials

from .states import NOW

T = TypeVar("T")

FIRST = OAuthCredentials(access_token="secret-1", account_id="acct-1")
JSON = {"content-type": "application/json"}
BASE_URL = "https://chatgpt.com/backend-api/codex"


@dataclass
class Backend:
    """Answers in turn, the last one again and again: a body, a status with a body, or an error to raise.

    Attributes:
        sent: every request.
        waits: every wait in seconds, with what it was for.
        on_send: called with each request; it may change what is known meanwhile.
    """

    answers: Sequence[Any]
    credentials: list[OAuthCredentials] = field(default_factory=lambda: [FIRST])
    now: float = NOW
    sent: list[Request] = field(default_factory=list)
    waits: list[tuple[float, Exception]] = field(default_factory=list)
    on_send: Callable[[], object] = lambda: None

    def context(self, **options: Any) -> Context:
        policy = RetryPolicy(attempts=1)
        return Context(
            **{
                "backend": OPENAI_CODEX,
                "base_url": BASE_URL,
                "now": lambda: self.now,
                "policy": policy,
                **options,
            }
        )

    def run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        failure: Exception | None = None
        body = b""
        while True:
            try:
                step = flow.throw(failure) if failure else flow.send(outcome)
            except StopIteration as stop:
                result: T = stop.value
                return result
            outcome = failure = None
            match step:
                case Authorize() | Refresh():
                    outcome = self.credentials.pop(0) if len(self.credentials) > 1 else self.credentials[0]
                case Send(request):
                    answer = self.answers[min(len(self.sent), len(self.answers) - 1)]
                    self.sent.append(request)
                    self.on_send()
                    if isinstance(answer, Exception):
                        failure = answer
                        continue
                    status, value = answer if isinstance(answer, tuple) else (200, answer)
                    outcome, body = (
                        Head(status, {"content-type": "application/json"}),
                        value if isinstance(value, bytes) else json.dumps(value).encode(),
                    )
                case ReadBody():
                    outcome = body
                case Sleep(seconds, error):
                    self.waits.append((seconds, error))
                    self.now += seconds
                case _:
                    raise AssertionError(step)
