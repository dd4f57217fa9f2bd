from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.answers.waiting import duration, rate_limit_reset, retry_after, try_again_in
from onplan.errors import (
    ConfigurationError,
    ConnectError,
    InvalidRequestError,
    OnplanError,
    RateLimitError,
    ServerError,
    UsageLimitError,
)
from onplan.turn.retry import RetryPolicy, next_delay, policy_of

POLICY = RetryPolicy(attempts=5, wait_initial=0.2, wait_max=30.0, timeout=120.0)
SERVER, NOW = ServerError("x"), 1_800_000_000.0


@dataclass
class Case:
    id: str
    delay: float | None
    attempt: int = 1
    error: OnplanError = SERVER
    elapsed: float = 0.0
    jitter: float = 1.0


CASES = [
    Case("first", 0.2),
    Case("second", 0.4, attempt=2),
    Case("fourth", 1.6, attempt=4),
    Case("no more tries", None, attempt=5),
    Case("half the jitter", 0.4, attempt=3, jitter=0.5),
    Case("a rate limit", 2.0, error=RateLimitError("x")),
    Case("a rate limit, third", 8.0, attempt=3, error=RateLimitError("x")),
    Case("a rate limit, no jitter", 1.0, error=RateLimitError("x"), jitter=0.0),
    Case("a rate limit, beyond the budget", None, attempt=4, error=RateLimitError("x"), elapsed=110.0),
    Case("no jitter", 0.0, attempt=3, jitter=0.0),
    Case("not worth it", None, error=InvalidRequestError("x")),
    Case("usage limit", None, error=UsageLimitError("x", retry_after=1.0)),
    Case("asked to wait", 7.0, error=RateLimitError("x", retry_after=7.0), jitter=0.0),
    Case("asked not to wait", 0.0, error=RateLimitError("x", retry_after=0.0)),
    Case("asked to wait as long as is worth it", 30.0, error=RateLimitError("x", retry_after=30.0)),
    Case("asked to wait too long", None, error=RateLimitError("x", retry_after=30.1)),
    Case("asked to wait for ever", None, error=RateLimitError("x", retry_after=float("inf"))),
    Case("within the budget", 0.2, error=ConnectError("x"), elapsed=119.8),
    Case("beyond the budget", None, error=ConnectError("x"), elapsed=119.9),
    Case("waiting beyond the budget", None, error=RateLimitError("x", retry_after=10.0), elapsed=115.0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_wait_before_the_next_try(case):
    """The wait grows with the tries, obeys the server exactly, and ends where there is no sense in it."""
    delay = next_delay(POLICY, case.attempt, case.error, case.elapsed, jitter=lambda: case.jitter)

    assert delay == (None if case.delay is None else pytest.approx(case.delay))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (11, "11 seconds"),
        (11.2, "12 seconds"),
        (119.0, "119 seconds"),
        (120.0, "2 minutes"),
        (121.0, "3 minutes"),
        (3600.0, "60 minutes"),
        (7200.0, "2 hours"),
        (200_000.0, "3 days"),
    ],
)
def test_a_wait_in_words(seconds, words):
    """Whoever waits for as long as the words say has waited long enough."""
    assert words == duration(seconds)


def test_the_longest_wait_is_never_exceeded():
    """However many tries there were, one wait is no longer than the policy's longest."""
    patient = RetryPolicy(attempts=100, timeout=1e9)

    assert 30.0 == next_delay(patient, 50, SERVER, 0.0, jitter=lambda: 1.0)


def test_a_crowd_does_not_come_back_at_once():
    """Without an injected jitter, waits differ."""
    assert 1 < len({next_delay(POLICY, 4, SERVER, 0.0) for _ in range(20)})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 09:00:30 +0100", 30.0),
        ("Fri, 15 Jan 2027 08:00:30 -0000", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("True", None),
        ("1m30s", 90.0),
        ("9" * 400, 1e10),
        ("9" * 400 + "h", 1e10),
        ("500ms", 0.5),
        ("2 minutes", 120.0),
        ("1800000030", 30.0),
        ("1800000030000", 30.0),
        ("2027-01-15T08:00:30Z", 30.0),
        ("2027-01-15T09:00:30+01:00", 30.0),
        ("Fri, 15 Jan 99999 08:00:30 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999", None),
    ],
)
def test_retry_after_as_seconds_or_as_a_date(value, seconds):
    """Both forms of ``Retry-After`` give seconds; what is neither gives nothing."""
    assert seconds == retry_after({"retry-after": value}, NOW)


def test_no_header_no_wait():
    """A response that does not ask for a wait gives none."""
    assert retry_after({}, NOW) is None


@given(st.text())
def test_no_header_value_is_a_failure(value):
    """Whatever stands in ``Retry-After``, reading it gives seconds or nothing."""
    found = retry_after({"retry-after": value}, NOW)

    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached. Please try again in 1.5s.", 1.5),
        ("Please try again in 250ms.", 0.25),
        ("try again in 250 ms", 0.25),
        ("Try Again In 3 seconds", 3.0),
        ("try again in 1 second", 1.0),
        ("try again in 20 milliseconds", 0.02),
        ("try again in 6m0s", 360.0),
        ("try again in 1m12.5s", 72.5),
        ("try again in 1h2m3s", 3723.0),
        ("try again in 2 minutes", 120.0),
        ("Please retry in 58.9s.", 58.9),
        ("Please retry after 1 seconds.", 1.0),
        ("Retry after 30", 30.0),
        ("retry_after: 2.5", 2.5),
        ("retry-after=7", 7.0),
        ("Please wait 20 seconds before the next request", 20.0),
        ("wait for about 2 minutes", 120.0),
        ("Your quota will reset after 2h15m3s.", 8103.0),
        ("available again in 5 mins", 300.0),
        ("try again in 1 minute and 5 seconds", 65.0),
        ("try again in a minute", 60.0),
        ("Retrying in one hour", 3600.0),
        ("resets in 1 day", 86_400.0),
        ("Limit 3 requests per 20s", None),
        ("Expected wait time: 30s", 30.0),
        ("retry 3 times", None),
        ("wait and see", None),
        ("try again later", None),
        ("try again in a moment", None),
        ("", None),
    ],
)
def test_try_again_in(message, seconds):
    """A wait told in words is understood in every unit that the service writes."""
    assert seconds == try_again_in(message)


@pytest.mark.parametrize("name", ["retry-after-ms", "x-ms-retry-after-ms"])
def test_milliseconds_are_more_exact(name):
    """The platform's own headers count in milliseconds, and come before the standard one."""
    assert 0.25 == retry_after({name: "250", "retry-after": "1"}, NOW)
    assert 1.0 == retry_after({name: "soon", "retry-after": "1"}, NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-ratelimit-reset-requests": "200ms"}, 0.2),
        ({"x-ratelimit-reset-requests": "200ms", "x-ratelimit-remaining-requests": "0"}, 0.2),
        ({"x-ratelimit-reset-requests": "200ms", "x-ratelimit-remaining-requests": "5"}, None),
        (
            {
                "x-ratelimit-reset-requests": "24h",
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "0",
            },
            360.0,
        ),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "3s"}, 3.0),
        ({"x-ratelimit-reset": "1800000004"}, 4.0),
        ({"x-ratelimit-reset": "1800000004000"}, 4.0),
        ({"ratelimit-reset": "30", "ratelimit-remaining": "0"}, 30.0),
        ({"anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:30Z"}, 30.0),
        ({"x-ratelimit-reset-requests": "soon", "x-ratelimit-remaining-requests": "none"}, None),
        ({"x-codex-primary-reset-at": "1800000004"}, None),
    ],
    ids=str,
)
def test_when_a_rate_limit_resets(headers, seconds):
    """Of the limits of which nothing is left, the one that resets last."""
    assert seconds == pytest.approx(rate_limit_reset(headers, NOW))


def test_any_number_of_tries_has_a_longest_wait():
    """A power of two has no end, a wait has."""
    patient = RetryPolicy(attempts=10_000, timeout=1e9)

    assert 30.0 == next_delay(patient, 9_000, SERVER, 0.0, jitter=lambda: 1.0)


@given(st.text() | st.text(st.sampled_from("try again in wait 0123456789.hmsd ")))
def test_no_message_is_a_failure(message):
    """Whatever an error says, reading it for a wait gives seconds or nothing."""
    found = try_again_in(message)

    assert found is None or found >= 0


def test_the_header_by_its_other_name():
    """Some gateways write it with an x."""
    assert 7.0 == retry_after({"x-retry-after": "7"}, NOW)


@pytest.mark.parametrize(
    ("retry", "policy"),
    [
        (None, RetryPolicy()),
        (1, RetryPolicy(attempts=1)),
        (3, RetryPolicy(attempts=3)),
        (POLICY, POLICY),
    ],
)
def test_a_number_is_a_policy_of_so_many_tries(retry, policy):
    """``retry=3`` asks three times in all; without one the default counts."""
    assert policy == policy_of(retry)


@pytest.mark.parametrize("retry", [0, -1, True, 2.5, "3"])
def test_what_is_no_number_of_tries_is_refused(retry):
    """The hint says how it is written."""
    with pytest.raises(ConfigurationError) as caught:
        policy_of(retry)
    assert "retry=3" in caught.value.hint


@pytest.mark.parametrize(
    "values",
    [
        *({"attempts": value} for value in (0, -1, True, False, "3", 3.5, None)),
        *({"wait_initial": value} for value in (-0.1, True, float("nan"), "1", None)),
        *({"wait_max": -1}, {"wait_max": True}, {"timeout": float("nan")}, {"timeout": None}),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(values):
    """When it is made, and not by a TypeError in the middle of a turn."""
    with pytest.raises(ConfigurationError, match="RetryPolicy") as caught:
        RetryPolicy(**values)
    assert repr(next(iter(values.values()))) in str(caught.value)


@pytest.mark.parametrize("values", [{"attempts": 1}, {"wait_initial": 0}, {"wait_max": 0}, {"timeout": 0.0}])
def test_the_smallest_values_are_allowed(values):
    """No wait at all is a policy, and a single try."""
    assert RetryPolicy(**values) == RetryPolicy(**values)


def test_the_policy_of_a_client_that_names_none() -> None:
    """Five tries within two minutes, the first wait of 0.2 s at most, and none of more than half a minute."""
    assert policy_of(None) == RetryPolicy() == RetryPolicy(5, 0.2, 30.0, 120.0)
    assert policy_of(3) == RetryPolicy(attempts=3)
