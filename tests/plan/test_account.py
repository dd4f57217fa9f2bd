"""The requests about the account: where they go, with what, and what is made of the answers."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from onplan.backends import CHATGPT_PLAN, COMPATIBLE, OPENAI
from onplan.errors import (
    ConfigurationError,
    DisconnectError,
    NotIncludedError,
    OnplanError,
    ServerError,
    SignInAgainError,
    UnexpectedReplyError,
)
from onplan.plan.account import Redemption, limits, reset_credits, spend_reset_credit
from onplan.turn.retry import RetryPolicy

from .account_flow import FIRST, Backend
from .states import HALF

UNAUTHORIZED = (401, {"detail": "Unauthorized"})
RENEWED = replace(FIRST, access_token="secret-2")
OTHERS = replace(FIRST, access_token="secret-3", account_id="acct-2")
REQUEST_ID = str(UUID(int=7))


def test_the_usage_is_asked_for_as_the_official_client_does() -> None:
    """Beside the API, not below it, with token and account, and without an originator."""
    backend = Backend([HALF.usage])

    found = backend.run(limits(backend.context()))

    [request] = backend.sent
    assert (request.method, request.url) == ("GET", "https://chatgpt.com/backend-api/wham/usage")
    assert request.headers["authorization"] == "Bearer secret-1"
    assert request.headers["chatgpt-account-id"] == "acct-1"
    assert request.headers["user-agent"].startswith("onplan/")
    assert "originator" not in request.headers
    assert request.headers["accept"] == "*/*"
    assert found == replace(HALF.limits, read_at=backend.now)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://127.0.0.1:8000/backend-api/codex", "http://127.0.0.1:8000/backend-api/wham/usage"),
        ("https://proxy.example/codex", "https://proxy.example/wham/usage"),
        ("https://proxy.example", "https://proxy.example/wham/usage"),
    ],
)
def test_it_follows_the_base_url(base_url: str, url: str) -> None:
    """A proxy or the emulator in the place of the service is asked, too."""
    backend = Backend([HALF.usage])

    backend.run(limits(backend.context(base_url=base_url)))

    assert backend.sent[0].url == url


@pytest.mark.parametrize(
    ("row", "hint"),
    [(CHATGPT_PLAN, "chatgpt.com/settings/usage"), (OPENAI, "openai-codex"), (COMPATIBLE, "openai-codex")],
)
def test_a_backend_that_does_not_say(row: Any, hint: str) -> None:
    """Nothing is sent, and the error says where to look instead."""
    backend = Backend([HALF.usage])

    for flow in (limits, reset_credits, lambda context: spend_reset_credit(context, "id", None, None)):
        with pytest.raises(ConfigurationError, match="does not say what is left") as caught:
            backend.run(flow(backend.context(backend=row)))
        assert hint in caught.value.hint
    assert backend.sent == []


def test_a_refused_token_is_refreshed_once() -> None:
    """The request is repeated with the new token."""
    backend = Backend([UNAUTHORIZED, HALF.usage], credentials=[FIRST, RENEWED])

    backend.run(limits(backend.context()))

    assert [request.headers["authorization"] for request in backend.sent] == [
        "Bearer secret-1",
        "Bearer secret-2",
    ]


@pytest.mark.parametrize("failure", [UNAUTHORIZED, (500, {})])
def test_another_accounts_token_is_not_used(failure: Any) -> None:
    """If somebody signs in to another account meanwhile, its limits are not taken for this one's."""
    backend = Backend([failure, HALF.usage], credentials=[FIRST, OTHERS])

    with pytest.raises(SignInAgainError, match="Another account"):
        backend.run(limits(backend.context(policy=RetryPolicy())))

    assert len(backend.sent) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((404, {"detail": "Not Found"}), UnexpectedReplyError),
        ((200, "OK"), UnexpectedReplyError),
        ((200, b"<html>"), UnexpectedReplyError),
        ((500, {}), ServerError),
    ],
)
def test_an_answer_that_is_none(answer: Any, kind: type[OnplanError]) -> None:
    """It is an error, and never a plan of which nothing is used."""
    backend = Backend([answer])

    with pytest.raises(kind):
        backend.run(limits(backend.context()))


def test_reset_credits_are_asked_for() -> None:
    """At their own address."""
    backend = Backend([{"credits": [{"id": "rc_1", "status": "available"}]}])

    [credit] = backend.run(reset_credits(backend.context()))

    assert credit.id == "rc_1"
    assert backend.sent[0].url == "https://chatgpt.com/backend-api/wham/rate-limit-reset-credits"


def test_one_id_in_all_tries() -> None:
    """Whatever fails, the same request goes out again, so that the backend spends one credit at most."""
    answers = [
        DisconnectError("gone"),
        (500, {}),
        UNAUTHORIZED,
        {"code": "already_redeemed", "windows_reset": 2},
    ]
    backend = Backend(answers, credentials=[FIRST, FIRST, FIRST, RENEWED])

    spent = backend.run(
        spend_reset_credit(backend.context(policy=RetryPolicy()), REQUEST_ID, "rc_1", "acct-1")
    )

    assert spent == Redemption("already_redeemed", 2)
    assert {(request.method, request.url, request.body) for request in backend.sent} == {
        (
            "POST",
            "https://chatgpt.com/backend-api/wham/rate-limit-reset-credits/consume",
            json.dumps(
                {"redeem_request_id": REQUEST_ID, "credit_id": "rc_1"}, separators=(",", ":")
            ).encode(),
        )
    }
    assert len(backend.sent) == 4


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"code": "reset", "windows_reset": 1}, Redemption("reset", 1)),
        ({"code": "reset"}, Redemption("reset")),
        ({"code": "nothing_to_reset", "windows_reset": "x"}, Redemption("nothing_to_reset")),
    ],
)
def test_what_spending_one_did(answer: Any, result: Redemption) -> None:
    """As the backend says; without a credit's id it chooses one."""
    backend = Backend([answer])

    assert backend.run(spend_reset_credit(backend.context(), REQUEST_ID, None, "acct-1")) == result
    assert json.loads(backend.sent[0].body or b"") == {"redeem_request_id": REQUEST_ID}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"code": "no_credit"}, NotIncludedError),
        ({"code": "sparkle"}, UnexpectedReplyError),
        ({}, UnexpectedReplyError),
        ([], UnexpectedReplyError),
    ],
)
def test_an_unknown_outcome_is_an_error(answer: Any, kind: type[OnplanError]) -> None:
    """It is not told as a reset."""
    backend = Backend([answer])

    with pytest.raises(kind):
        backend.run(spend_reset_credit(backend.context(), REQUEST_ID, "rc_1", "acct-1"))


def test_another_accounts_credit_is_not_spent() -> None:
    """The question was about one account, and nothing is sent with another's token."""
    backend = Backend([{"code": "reset"}], credentials=[OTHERS])

    with pytest.raises(SignInAgainError, match="Another account"):
        backend.run(spend_reset_credit(backend.context(), REQUEST_ID, "rc_1", "acct-1"))

    assert backend.sent == []
