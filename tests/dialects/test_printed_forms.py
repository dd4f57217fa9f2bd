"""Printed forms of what clients say: they may end up in logs and tracebacks, so they show no texts."""

from __future__ import annotations

import msgspec

from onplan.backends import OPENAI_CODEX
from onplan.dialects.openai_chat import request as chat
from onplan.dialects.openai_chat.parameters import fitted
from onplan.dialects.openai_responses.call import Destination, Relayed, relay_call
from onplan.dialects.openai_responses.request import read_request
from onplan.dialects.openai_responses.stored import Before, StoredResponse


def test_requests_of_the_responses_api() -> None:
    """As they were read, and as they are sent on, with what a Codex client says in headers."""
    asked = read_request(b'{"input": "secret", "instructions": "secret", "tools": []}', OPENAI_CODEX)
    to = Destination(OPENAI_CODEX, "http://127.0.0.1", "gpt-5.5", "name")
    call = relay_call(asked, Before(), to, Relayed(), headers={"x-codex-turn-state": "secret"})
    assert b"secret" in call.body
    assert "secret" not in repr((asked, call))


def test_requests_of_chat_completions() -> None:
    """As they were read, and as they fit a backend."""
    asked = chat.read_request(b'{"messages": [{"role": "user", "content": "secret"}], "other": "secret"}')
    fit = fitted(asked, OPENAI_CODEX)
    assert fit.request.messages[0].text == "secret"
    assert "secret" not in repr((asked, fit))


def test_stored_responses() -> None:
    """Neither what was asked nor what was answered."""
    response = msgspec.Raw(b'{"id":"resp_1","output":[{"content":"secret"}]}')
    stored = StoredResponse(response, [{"content": "secret"}], "gpt-5.5", "name")
    assert repr(Before(stored)) == "Before(previous=StoredResponse('resp_1'), referenced={})"
