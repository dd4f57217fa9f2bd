"""How long a server asks to wait: headers, dates, durations and sentences."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from onplan.answers.waiting import duration, rate_limit_reset, retry_after, seconds_until, try_again_in

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 7.5\n", 7.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("999999999", 999_999_999.0),  # 31 years, and no moment of 2001
        ("1000000000", 0.0),
        ("1800000060", 60.0),
        ("1800000060.5", 60.5),
        ("1800000060500", 60.5),
        ("999999999999", 1e10),
        ("1000000000000", 0.0),
        ("1" * 400, 1e10),
        ("200ms", 0.2),
        ("2 milliseconds", 0.002),
        ("6m0s", 360.0),
        ("1m30.5s", 90.5),
        ("1h", 3600.0),
        ("2 hrs, 5 mins and 3 secs", 7503.0),
        ("1d2h", 93_600.0),
        ("3 Days", 259_200.0),
        ("an hour", 3600.0),
        ("a minute", 60.0),
        ("one day", 86_400.0),
        ("99999999999999d", 1e10),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("2027-01-15T08:01:00Z", 60.0),
        ("2027-01-15T08:01:00", 60.0),
        ("2027-01-15T10:01:00+02:00", 60.0),
        ("2027-01-15", 0.0),
        ("Fri, 15 Jan 2027 08:00:05 -0000", 5.0),
        ("soon", None),
        ("", None),
        ("7 x", None),
        ("5 ms 3 apples", None),
        ("1e3", None),
        ("0001-01-01T00:00:00+14:00", 0.0),
    ],
)
def test_the_time_that_a_text_names(text: str, seconds: float | None) -> None:
    """Seconds, Unix times, durations and dates, from now on and never less than 0; else nothing."""
    found = seconds_until(text, NOW)

    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("1m", 60.0), ("999999999", 999_999_999.0), ("1800000060", None), ("2027-01-16", None)],
)
def test_without_a_clock_only_lengths_are_read(text: str, seconds: float | None) -> None:
    """A date or a Unix time says nothing if the present moment is not known."""
    assert seconds_until(text, None) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"x-retry-after": "8"}, 8.0),
        ({"retry-after": "7", "x-retry-after": "8"}, 7.0),
        ({"retry-after": "", "x-retry-after": "8"}, 8.0),
        ({"retry-after": formatdate(NOW + 9, usegmt=True)}, 9.0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"x-ms-retry-after-ms": " 250.5 "}, 0.2505),
        ({"retry-after-ms": "1", "x-ms-retry-after-ms": "2"}, 0.001),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-5", "x-ms-retry-after-ms": "2000"}, 2.0),
        ({"retry-after-ms": "9" * 400}, 1e10),
        ({"retry-after": "soon"}, None),
    ],
    ids=str,
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """The header in milliseconds is the more exact one; of the others the standard's own counts first."""
    assert retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "0"}, 1.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "1"}, None),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "0.5"}, None),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "none"}, 1.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "2s"}, 2.0),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-reset-tokens": "2s",
                "x-ratelimit-remaining-tokens": "5",
            },
            1.0,
        ),
        ({"x-ratelimit-reset": str(NOW + 5)}, 5.0),
        ({"x-ratelimit-reset-requests": "soon"}, None),
        ({"x-reset-requests": "1s", "x-ratelimit-requests": "2s"}, None),
    ],
    ids=str,
)
def test_when_a_rate_limit_resets(headers: dict[str, str], seconds: float | None) -> None:
    """Of the limits that are used up, the one that resets last."""
    assert rate_limit_reset(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 1.5s.", 1.5),
        ("Try again in 6m0s", 360.0),
        ("trying it again in 20 ms", 0.02),
        ("retrying in an hour", 3600.0),
        ("Please retry again after 2 minutes and 5 seconds", 125.0),
        ("Wait at least 30 seconds", 30.0),
        ("available again in about 2 days", 172_800.0),
        ("Your limit resets in: 3h", 10_800.0),
        ("retry after 250 ms", 0.25),
        ("Retry-After: 12", 12.0),
        ('"retry_after": 2.5', 2.5),
        ("retry after=99999999999999", 1e10),
        ("retry after 12.30.1", None),
        ("retry after 3x", None),
        ("try again later", None),
        ("Please wait.", None),
        ("it takes 5 seconds", None),
        ("", None),
    ],
)
def test_a_wait_in_words(message: str, seconds: float | None) -> None:
    """What a sentence asks to wait, if it asks for it."""
    assert try_again_in(message) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 seconds"),
        (119.5, "120 seconds"),
        (120.0, "2 minutes"),
        (121.0, "3 minutes"),
        (7199.0, "120 minutes"),
        (7200.0, "2 hours"),
        (172_799.0, "48 hours"),
        (172_800.0, "2 days"),
        (172_801.0, "3 days"),
    ],
)
def test_a_wait_for_people(seconds: float, words: str) -> None:
    """Rounded up, in the largest unit of which there are at least two."""
    assert duration(seconds) == words
