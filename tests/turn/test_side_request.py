"""A request beside the turns: what is sent, how often, and what its failures are called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from onplan.backends import OPENAI
from onplan.errors import (
    ConnectError,
    DisconnectError,
    IdleTimeoutError,
    InvalidRequestError,
    NotIncludedError,
    OnplanError,
    RateLimitError,
    ServerError,
    SignInAgainError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.turn.retry import RetryPolicy
from onplan.turn.side_request import SideReply, SideRequest, post, require_seconds
from onplan.turn.steps import Authorize, Head, ReadBody, Send
from onplan.types import APIKey, Credential

from ..plan.account_flow import FIRST, Backend

WHAT = SideRequest.json("Image generation", "images/generations", {"prompt": "a fox"})
RENEWED = replace(FIRST, access_token="secret-2")
UNAUTHORIZED = (401, {"detail": "Unauthorized"})


def test_what_is_sent() -> None:
    """A plain POST of JSON below the API, with token, account and our own name, and no session."""
    backend = Backend([{"answer": 1}])

    reply = backend.run(post(WHAT, backend.context()))

    [request] = backend.sent
    assert reply.value == {"answer": 1}
    assert (request.method, request.encoding) == ("POST", None)
    assert request.url == "https://chatgpt.com/backend-api/codex/images/generations"
    assert json.loads(request.body or b"") == {"prompt": "a fox"}
    assert {**request.headers, "user-agent": ""} == {
        "authorization": "Bearer secret-1",
        "chatgpt-account-id": "acct-1",
        "originator": "onplan",
        "user-agent": "",
        "content-type": "application/json",
        "accept": "*/*",
    }


def test_how_long_and_how_much() -> None:
    """The request has limits of its own, which the steps carry to the transport."""
    flow = post(WHAT, Backend([]).context())

    assert flow.send(None) == Authorize()
    sent = flow.send(FIRST)
    assert isinstance(sent, Send)
    assert sent.timeout == 300.0
    assert flow.send(Head(200, {})) == ReadBody(300.0, 128 * 1024 * 1024)


def test_a_refused_token_is_refreshed_once() -> None:
    """The request goes out once more, with the new token."""
    backend = Backend([UNAUTHORIZED, {}], credentials=[FIRST, RENEWED])

    backend.run(post(WHAT, backend.context()))

    assert [sent.headers["authorization"] for sent in backend.sent] == ["Bearer secret-1", "Bearer secret-2"]


def test_a_new_token_that_is_refused_too() -> None:
    """It may be this use that is refused, so the error does not just say to sign in."""
    refused = SignInAgainError("it is new", hint="Run `onplan login`.")
    backend = Backend([UNAUTHORIZED], credentials=[FIRST, RENEWED])
    flow = post(WHAT, backend.context())
    flow.send(None)
    with pytest.raises(SignInAgainError) as caught:
        drive(flow, [(401, b"{}"), RENEWED, (401, b"{}"), refused])
    assert "`onplan ask hi`" in caught.value.hint
    assert "does not cover image generation" in caught.value.hint


def drive(flow: Any, outcomes: list[Any]) -> None:
    """Answer the steps by hand: a status with a body, a credential, or an error."""
    step = flow.send(FIRST)
    for outcome in outcomes:
        if isinstance(outcome, OnplanError):
            step = flow.throw(outcome)
        elif isinstance(outcome, tuple):
            assert isinstance(step, Send)
            assert isinstance(flow.send(Head(outcome[0], {})), ReadBody)
            step = flow.send(outcome[1])
        else:
            step = flow.send(outcome)


@pytest.mark.parametrize(
    ("answer", "posts", "kind"),
    [
        ((500, {}), 5, ServerError),
        ((503, {"detail": "try later"}), 5, ServerError),
        (ConnectError("no route"), 5, ConnectError),
        (DisconnectError("gone"), 5, DisconnectError),
        (IdleTimeoutError("silence"), 1, IdleTimeoutError),
        ((400, {"detail": "bad size"}), 1, InvalidRequestError),
        ((403, {"detail": "no"}), 1, NotIncludedError),
        ((404, {"detail": "Not Found"}), 1, UnexpectedReplyError),
        ((429, {"error": {"message": "image generation request was rate limited"}}), 1, RateLimitError),
        ((429, {"error": {"code": "usage_limit_reached", "resets_in_seconds": 60}}), 1, UsageLimitError),
        ((200, b"<html>"), 1, UnexpectedReplyError),
        ((200, b"{"), 1, UnexpectedReplyError),
    ],
)
def test_what_is_repeated(answer: Any, posts: int, kind: type[OnplanError]) -> None:
    """Failures of the server and the network are; refusals, limits and long silence are not."""
    backend = Backend([answer])

    with pytest.raises(kind):
        backend.run(post(WHAT, backend.context(policy=RetryPolicy())))

    assert len(backend.sent) == posts


def test_its_limit_is_its_own() -> None:
    """It is not taken for the plan's: those are for `onplan usage`."""
    backend = Backend([(429, {"error": {"message": "image generation request was rate limited"}})])

    with pytest.raises(RateLimitError, match="Image generation has a limit of its own") as caught:
        backend.run(post(WHAT, backend.context()))

    assert "was rate limited" in str(caught.value)
    assert str(caught.value) == caught.value.message
    assert "`onplan usage` does not show this limit" in caught.value.hint
    assert not caught.value.retryable


def test_a_credential_that_is_not_enough() -> None:
    """Nothing is sent."""

    def permit(credential: Credential) -> None:
        assert credential == FIRST
        raise NotIncludedError("not on this plan")

    backend = Backend([{}])
    request = SideRequest.json("Image generation", "images/generations", {}, permit=permit)

    with pytest.raises(NotIncludedError):
        backend.run(post(request, backend.context()))

    assert backend.sent == []


def test_with_an_api_key() -> None:
    """The backend's own headers and advice hold."""
    backend = Backend([UNAUTHORIZED])
    backend.credentials = [APIKey("sk-1")]  # type: ignore[list-item]

    with pytest.raises(SignInAgainError) as caught:
        backend.run(post(WHAT, backend.context(backend=OPENAI)))

    assert "OPENAI_API_KEY" in caught.value.hint
    assert "chatgpt-account-id" not in backend.sent[0].headers


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (IdleTimeoutError("silence"), "allow more with `timeout=`"),
        ((404, {"detail": "Not Found"}), "The server may have no image generation."),
        ((200, b"<html>"), "captive portal"),
    ],
)
def test_what_helps(answer: Any, hint: str) -> None:
    """An endpoint that is missing is not the same as a page that answers in its place."""
    backend = Backend([answer])

    with pytest.raises(OnplanError) as caught:
        backend.run(post(WHAT, backend.context()))
    assert hint in caught.value.hint


def test_nothing_of_it_is_printed() -> None:
    """Neither what is sent nor what comes: both may be private, and megabytes."""
    request = SideRequest.json("Search", "x", {"q": "private"}, headers={"x-key": "private"})
    reply = SideReply({"a": "private"}, {"x-request-id": "req_1", "x": "private"})

    assert "private" not in repr([request, reply])
    assert reply.request_id == "req_1"


def test_half_a_character() -> None:
    """It is refused where the request is made."""
    with pytest.raises(InvalidRequestError, match="half of a character"):
        SideRequest.json("Image generation", "images/generations", {"prompt": "\ud83d"})


class Counted:
    """A budget that notes what it is asked."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def admit(self, context: Any, /) -> Any:
        self.told.append("admitted")
        return 7
        yield

    def settle(self, ticket: object, told: Any, /) -> None:
        self.told.append((ticket, told and told.windows[0].used_percent))

    def check(self, told: Any, /) -> None:
        raise AssertionError


@pytest.mark.parametrize(("uses_plan", "noted"), [(True, ["admitted", (7, None)]), (False, [])])
def test_a_budget_counts_what_uses_the_plan(uses_plan: bool, noted: Any) -> None:
    """Like a turn; and nothing else."""
    budget, backend = Counted(), Backend([{}])
    options = {"uses_plan": True} if uses_plan else {}
    request = SideRequest.json("Image generation", "images", {}, **options)

    backend.run(post(request, backend.context(budget=budget)))

    assert budget.told == noted


def test_a_budget_is_settled_after_a_failure() -> None:
    """It may have used something nevertheless."""
    budget, backend = Counted(), Backend([(500, {})])
    request = SideRequest.json("Image generation", "images", {}, uses_plan=True)

    with pytest.raises(ServerError):
        backend.run(post(request, backend.context(budget=budget)))

    assert budget.told == ["admitted", (7, None)]


def test_what_the_plan_has_left_is_told_to_the_budget() -> None:
    """By the headers of the answer, in the order in which the steps are carried out."""
    budget = Counted()
    request = SideRequest.json("Image generation", "images", {}, uses_plan=True)
    flow = post(request, Backend([]).context(budget=budget))
    flow.send(None)
    flow.send(FIRST)
    flow.send(Head(200, {"x-codex-primary-used-percent": "5", "x-codex-primary-window-minutes": "300"}))
    with pytest.raises(StopIteration):
        flow.send(b"{}")

    assert budget.told == ["admitted", (7, 5.0)]


def test_a_body_and_headers_of_its_own() -> None:
    """A form may be sent as well, and headers beside the usual ones."""
    backend = Backend([{}])
    request = SideRequest(
        purpose="Image editing",
        path="images/edits",
        content=b"--x--",
        content_type="multipart/form-data; boundary=x",
        headers={"x-of": "its own"},
        timeout=5.0,
        maximum_size=10,
    )

    backend.run(post(request, backend.context()))

    [sent] = backend.sent
    assert (sent.body, sent.headers["content-type"]) == (b"--x--", "multipart/form-data; boundary=x")
    assert sent.headers["x-of"] == "its own"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (60, 60.0),
        (0.5, 0.5),
        (1, 1.0),
        (1e300, 1e300),
        (0, None),
        (-1, None),
        (True, None),
        ("60", None),
        (None, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_what_is_a_timeout(given: Any, seconds: float | None) -> None:
    """A number of seconds above 0; everything else is refused with an example."""
    if seconds is not None:
        assert require_seconds(given) == seconds
        assert type(require_seconds(given)) is float
        return
    with pytest.raises(InvalidRequestError, match="not a number of seconds above 0") as caught:
        require_seconds(given)
    assert "`timeout=60`" in caught.value.hint


class Noted:
    """A recorder that notes what it is given to record."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def observed_flow(self, name: str, flow: Any, operation: str | None = None, /) -> Any:
        self.names.append(name)
        return flow


def test_it_is_recorded_by_its_path() -> None:
    """Where the program wants records of what is done."""
    recorder, backend = Noted(), Backend([{"answer": 1}])

    assert backend.run(post(WHAT, backend.context(recorder=recorder))).value == {"answer": 1}
    assert recorder.names == ["images/generations"]
