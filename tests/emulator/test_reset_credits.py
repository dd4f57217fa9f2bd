"""Reset credits: listed, spent once for each request id, and gone then."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

import pytest

from onplan.emulator import Emulator, Limit, Options, Scenario
from onplan.emulator.reset_credits import ResetCredits

WHAM = "/backend-api/wham"
RESETS = f"{WHAM}/rate-limit-reset-credits"


@pytest.fixture
def start_client(connect):
    """Starts an emulator with a scenario, and gives its client."""
    with ExitStack() as running:

        def start(**scenario):
            return connect(running.enter_context(Emulator(Options(scenario=Scenario(**scenario)))))

        yield start


def test_they_are_listed_as_the_service_lists_them(client):
    """An account has none unless the scenario says so."""
    listed = client.get(RESETS, headers=client.headers()).json()

    assert listed == {"available_count": 0, "total_earned_count": 0, "credits": []}


def test_one_is_spent_once_and_resets_the_windows(start_client):
    """The usage shows how many are left; afterwards nothing of the windows is used."""
    client = start_client(reset_credits=2, limits=[Limit(300, 10, used=10)])
    before = client.get(f"{WHAM}/usage", headers=client.headers()).json()
    [first, second] = client.get(RESETS, headers=client.headers()).json()["credits"]
    spend = {"redeem_request_id": str(uuid4()), "credit_id": first["id"]}

    answers = [client.post(f"{RESETS}/consume", spend, headers=client.headers()).json() for _ in range(2)]
    after = client.get(f"{WHAM}/usage", headers=client.headers()).json()

    assert (before["rate_limit_reset_credits"]["available_count"], before["rate_limit"]["allowed"]) == (
        2,
        False,
    )
    assert before["rate_limit_reset_credits"]["applicable_available_count"] == 2
    assert answers == [{"code": "reset", "windows_reset": 1}, {"code": "already_redeemed"}]
    assert after["rate_limit_reset_credits"] == {"available_count": 1, "applicable_available_count": 0}
    assert after["rate_limit"]["primary_window"]["used_percent"] == 0
    assert (first["status"], second["status"]) == ("available", "available")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"redeem_request_id": "again"},
        {"redeem_request_id": 5},
        {"redeem_request_id": "0b8e6a52-5f0c-4e53-a2a8-6f9a3f1f1a11", "credit_id": 5},
    ],
)
def test_a_request_that_says_too_little_is_refused(client, body):
    """Without a UUID the service could not know a repetition from a second wish."""
    assert client.post(f"{RESETS}/consume", body, headers=client.headers()).status_code == 422


def test_what_cannot_be_spent() -> None:
    """No credit, one that is spent, and nothing to reset: each is told, and spends nothing."""
    moved = [1, 0, 1]
    resets = ResetCredits(2, lambda: moved.pop(0))

    assert resets.redeem("a", "rc_1") == {"code": "reset", "windows_reset": 1}
    assert resets.redeem("b", "rc_1") == {"code": "already_redeemed"}
    assert resets.redeem("c", None) == {"code": "nothing_to_reset"}
    assert resets.redeem("d", "rc_9") == {"code": "no_credit"}
    assert (resets.redeem("c", None)["code"], resets.available) == ("reset", 0)
    assert resets.redeem("e", None) == {"code": "no_credit"}


def test_the_usual_windows_are_reset_as_well(start_client) -> None:
    """Where the scenario sets no limits, those that are always shown begin anew."""
    client = start_client(reset_credits=1)
    spend = {"redeem_request_id": str(uuid4())}

    answer = client.post(f"{RESETS}/consume", spend, headers=client.headers()).json()

    assert answer == {"code": "reset", "windows_reset": 2}
    shown = client.get(f"{WHAM}/usage", headers=client.headers()).json()["rate_limit"]
    assert [shown[name]["used_percent"] for name in ("primary_window", "secondary_window")] == [0, 0]


def test_a_scenario_cannot_owe_credits() -> None:
    """A number below 0 is refused with a sentence."""
    with pytest.raises(ValueError, match="reset_credits must not be negative"):
        Emulator(Options(scenario=Scenario(reset_credits=-1)))
