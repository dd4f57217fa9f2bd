"""How often a failure is asked again, by what the server says of it: over sockets, on both wires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import onplan
from onplan import CompletionRequest, RetryPolicy
from onplan.emulator import Emulator

from ..conftest import over_http
from .conftest import Network
from .exact import Answer, Exact, refused, said, spoken

REQUEST = CompletionRequest(messages="hi", model="m")
QUICK = RetryPolicy(attempts=3, wait_initial=0.001, wait_max=0.5, timeout=30.0)

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])

Ask = Callable[..., tuple[Any, int]]


@pytest.fixture
def ask(driver: Any, network: Network) -> Ask:
    """The answer or the error, and how often a server was asked that answers so once, or ``always``."""

    def ask(answer: Answer, api: str, *, always: bool) -> tuple[Any, int]:
        def next_answer(body: dict[str, Any]) -> Answer:
            return answer if always or len(server.bodies) == 1 else spoken(body)

        server = Exact(next_answer)
        server.port = network.serve(server.handle)
        client = driver(backend="openai", base_url=server.url, api_key="k", api=api, retry=QUICK)
        try:
            found: Any = client.complete(REQUEST)
        except onplan.OnplanError as error:
            found = error
        return found, len(server.bodies)

    return ask


def failing(message: str, status: int = 429, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    answer = refused({"error": {"message": message, **fields}}, status)
    return Answer(answer.pieces, status, answer.content_type, headers or {})


def text(data: bytes, status: int = 200, content_type: str = "text/plain", **headers: str) -> Answer:
    return Answer([data], status, content_type, headers)


TOO_LARGE = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000."
LLAMA = b'error: {"code":400,"message":"the request exceeds the available context size","type":"x"}\n\n'
FINAL = {
    "too large for a minute, with a wait": (
        failing(TOO_LARGE, code="rate_limit_exceeded", headers={"retry-after": "0"}),
        onplan.InvalidRequestError,
    ),
    "a used-up balance": (failing("Insufficient balance. Please recharge."), onplan.UsageLimitError),
    "a firewall": (text(b"error code: 1020", 403, server="cloudflare"), onplan.BlockedError),
    "a page in words": (text(b"Ollama is running"), onplan.UnexpectedReplyError),
    "an empty document": (text(b"{}", content_type="application/json"), onplan.UnexpectedReplyError),
    "a document that complains": (
        text(b'{"code":1113,"msg":"Insufficient balance"}', content_type="application/json"),
        onplan.UsageLimitError,
    ),
    "llama.cpp's field": (text(LLAMA + b"data: [DONE]\n\n"), onplan.ContextLengthError),
    "a status as text": (said({"error": {"message": "bad key", "code": "401"}}), onplan.SignInAgainError),
    "a kind of failure": (
        said({"error": {"message": "No.", "type": "invalid_request_error"}}),
        onplan.InvalidRequestError,
    ),
}


@over_http
@both_apis
@pytest.mark.parametrize(("answer", "error"), FINAL.values(), ids=FINAL)
def test_what_will_not_change_is_asked_once(
    ask: Ask, api: str, answer: Answer, error: type[onplan.OnplanError]
) -> None:
    """A failure that the same request will meet again is raised at once."""
    found, asked = ask(answer, api, always=True)

    assert type(found) is error
    assert (asked, found.retryable) == (1, False)


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.01s"}
PASSING = {
    "a bare 429": failing("Too many."),
    "an empty 429": text(b"", 429),
    "a 429 with a wait": failing("Too many.", headers={"retry-after": "0"}),
    "RetryInfo": failing("You exceeded your current quota.", status=429, details=[RETRY_INFO]),
    "a wait in words": failing("You exceeded your current quota. Please retry in 0.01s."),
    "what is left": failing("Slow.", headers={"x-ratelimit-reset-requests": "10ms"}),
    "overloaded": failing("The engine is overloaded", type="engine_overloaded_error"),
    "over capacity": failing("m is over capacity", 498),
    "an ingress": text(b"upstream connect error", 503),
    "a firewall's limit": text(b"error code: 1015", 429),
    "an error event": text(b'event: error\ndata: {"message":"Slow.","code":"rate_limit_exceeded"}\n\n'),
    "an error in a list": text(b'[{"error":{"code":429,"message":"Exhausted"}}]'),
}


@over_http
@both_apis
@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_what_passes_is_asked_again(ask: Ask, api: str, answer: Answer) -> None:
    """A rate limit passes, whether or not the server says when; so does overload."""
    found, asked = ask(answer, api, always=False)

    assert (getattr(found, "text", found), asked) == ("ok", 2)


@over_http
@both_apis
def test_a_rate_limit_that_does_not_pass_ends(ask: Ask, api: str) -> None:
    """It is asked again as often as the policy allows, and then raised."""
    found, asked = ask(failing("Too many."), api, always=True)

    assert type(found) is onplan.RateLimitError
    assert (asked, found.retryable) == (QUICK.attempts, True)


@pytest.mark.codex
def test_an_answer_that_is_interrupted_again_and_again_ends(signed_in: Emulator, driver: Any) -> None:
    """``incomplete`` because ``interrupted``: asked again before the first chunk, never without end."""
    signed_in.arm("incomplete_interrupted", times=99)

    with pytest.raises(onplan.StreamFailedError, match="interrupted"):
        driver(retry=QUICK).complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    asked = [row for row in signed_in.journal() if row["path"].endswith("/responses")]
    assert len(asked) <= QUICK.attempts
