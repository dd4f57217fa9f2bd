"""What a plan had left lately, and a reset credit that is being spent, on disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from onplan.config.pending_reset import PendingReset, PendingResetFile
from onplan.config.settings import Settings, load_settings
from onplan.config.usage_file import UsageFile
from onplan.errors import ConfigurationError
from onplan.types import Limits, Window

NOW = 1_800_000_000.0


@pytest.fixture
def settings(clean_environment: Path) -> Settings:
    """Those of the default profile."""
    return load_settings()


def reading(at: float, used: float = 10.0) -> Limits:
    return Limits("plus", [Window(300, used, NOW + 3600)], read_at=at)


def test_readings_are_kept_for_a_day(settings: Settings) -> None:
    """The oldest first; those of the day before are forgotten."""
    file = UsageFile(settings)
    for at in (NOW - 90_000, NOW - 7_200, NOW - 3_600, NOW):
        file.add("acct-1", reading(at))

    assert [each.read_at for each in UsageFile(settings).readings("acct-1")] == [
        NOW - 7_200,
        NOW - 3_600,
        NOW,
    ]


def test_one_reading_a_minute_is_enough(settings: Settings) -> None:
    """Watching does not fill the file: of two within a minute the later one stays."""
    file = UsageFile(settings)
    for second in range(0, 200, 10):
        kept = file.add("acct-1", reading(NOW + second))

    assert len(kept) <= 5
    assert kept[-1].read_at == NOW + 190
    assert kept[0].read_at == NOW


def test_readings_of_another_account_are_not_shown(settings: Settings) -> None:
    """Whoever signed in last; and each profile, store and address has its own."""
    UsageFile(settings).add("acct-1", reading(NOW))

    assert UsageFile(settings).readings("acct-2") == []
    assert UsageFile(replace(settings, store="file:/elsewhere")).readings("acct-1") == []
    UsageFile(settings).add("acct-2", reading(NOW))
    assert UsageFile(settings).readings("acct-1") == []
    UsageFile(settings).forget()
    assert UsageFile(settings).readings("acct-2") == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"x": 5}', b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_empty(settings: Settings, content: bytes) -> None:
    """It is a cache: the next reading replaces it."""
    path = settings.home / "usage.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    assert UsageFile(settings).readings("acct-1") == []
    UsageFile(settings).add("acct-1", reading(NOW))
    assert len(UsageFile(settings).readings("acct-1")) == 1


def test_a_file_that_cannot_be_written_is_left_alone(settings: Settings) -> None:
    """Neither without a folder nor where the file is none."""
    assert UsageFile(replace(settings, folder=None)).add("acct-1", reading(NOW)) == [reading(NOW)]
    (settings.home / "usage.json").mkdir(parents=True)
    assert UsageFile(settings).add("acct-1", reading(NOW)) == [reading(NOW)]


# --- a reset credit that is being spent -----------------------------------------------------------------


def test_one_id_until_the_outcome_is_known(settings: Settings) -> None:
    """Whoever asks, and however many at once, gets the id that was kept first; until the end."""
    numbers = iter(range(100))

    def begin(_: int) -> PendingReset:
        return PendingResetFile(settings).begin(
            "acct-1", lambda: PendingReset("acct-1", f"id-{next(numbers)}", "rc")
        )

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(begin, range(8)))

    assert found == {PendingReset("acct-1", "id-0", "rc")}
    assert PendingResetFile(settings).load("acct-1") == PendingReset("acct-1", "id-0", "rc")
    PendingResetFile(settings).end()
    assert PendingResetFile(settings).load("acct-1") is None
    assert begin(0).request_id == "id-1"


def test_an_id_is_of_one_account(settings: Settings) -> None:
    """Another account has not begun, and another profile neither."""
    PendingResetFile(settings).begin("acct-1", lambda: PendingReset("acct-1", "id-1"))

    assert PendingResetFile(settings).load("acct-2") is None
    assert PendingResetFile(replace(settings, profile="work")).load("acct-1") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"x": 5}', b"\xff\xfe"])
def test_a_damaged_file_is_not_overlooked(settings: Settings, content: bytes) -> None:
    """It may say that a credit is being spent, so it is an error and not replaced."""
    path = settings.home / "reset-credit.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="cannot be read"):
        PendingResetFile(settings).load("acct-1")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PendingResetFile(settings).begin("acct-1", lambda: PendingReset("acct-1", "id-1"))
    assert path.read_bytes() == content


def test_an_id_that_cannot_be_kept_is_an_error(settings: Settings) -> None:
    """The folder is a file: it says so before anything is sent."""
    settings.home.parent.mkdir(parents=True, exist_ok=True)
    settings.home.write_text("")

    with pytest.raises(ConfigurationError, match=r"reset-credit\.json cannot be"):
        PendingResetFile(settings).begin("acct-1", lambda: PendingReset("acct-1", "id-1"))
