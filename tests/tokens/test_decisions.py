"""When a token is refreshed and what a failure means, with a clock, a store and an issuer that are values."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from onplan.errors import (
    ConnectError,
    CredentialError,
    NotSignedInError,
    OnplanError,
    RefreshError,
    RefreshOutcomeUnknownError,
    SignInAgainError,
    StoreConflictError,
)
from onplan.flow import Request, Response
from onplan.oauth.issuer import CODEX, SIWC
from onplan.stores import PendingRefresh, Record
from onplan.stores.memory import MemoryStore
from onplan.tokens.manager import TokenManager
from onplan.tokens.refresher import Refresher, cannot_be_refreshed, require_origin
from onplan.types import OAuthCredentials

NOW = 1_800_000_000.0


class Issuer:
    """Answers refreshes: with the answers it is given, else with the next tokens, which last an hour."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.timeouts: list[float] = []

    def __call__(self, request: Request, **options: Callable[[], None]) -> Response:
        options.get("before_sending", lambda: None)()
        assert request.body
        self.asked.append(json.loads(request.body))
        self.timeouts.append(request.timeout)
        answer = self.answers.pop(0) if self.answers else tokens(len(self.asked) + 1)
        if isinstance(answer, Exception):
            raise answer
        return answer


def tokens(number: int, **more: object) -> Response:
    body = {
        "access_token": f"access-{number}",
        "refresh_token": f"refresh-{number}",
        "expires_in": 3600,
        **more,
    }
    return Response(200, {}, json.dumps(body).encode())


def refused(status: int, code: str = "") -> Response:
    return Response(status, {}, json.dumps({"error": {"code": code}}).encode())


def signed_in(left: float | None = 3600.0, **more: Any) -> Record:
    """A record whose access token lasts ``left`` seconds from `NOW` on."""
    credentials = OAuthCredentials(
        access_token="access-1",
        refresh_token=more.pop("refresh_token", "refresh-1"),
        account_id=more.pop("account_id", "acct-1"),
        expires_at=None if left is None else NOW + left,
    )
    return Record(**{"credentials": credentials, **more})


class Machine:
    """A store, an issuer and a clock, and the token manager between them."""

    def __init__(self, record: Record | None, *answers: Response | Exception) -> None:
        self.store = MemoryStore(record=record)
        self.issuer = Issuer(*answers)
        self.now = NOW
        self.slept: list[float] = []
        self.manager = TokenManager(
            self.store, CODEX, self.issuer, now=lambda: self.now, sleep=self.slept.append, profile="home"
        )

    @property
    def record(self) -> Record:
        stored = self.store.load()
        assert stored
        return stored.record

    def write(self, record: Record) -> None:
        """As another program does."""
        stored = self.store.load()
        self.store.save(record, stored.version if stored else None)


# --- whether to refresh ---


@pytest.mark.parametrize(
    ("left", "obtained", "refreshed"),
    [
        (301.0, None, False),
        (300.0, None, True),
        (-1.0, None, True),
        (None, None, False),
        (0.0, 0.0, False),
        (-3600.0, 59.0, False),
        (-3600.0, 60.0, True),
        (100.0, 59.0, False),
        (100.0, -1.0, True),
        (-3600.0, -3600.0, True),
    ],
    ids=str,
)
def test_when_a_token_is_refreshed(left: float | None, obtained: float | None, refreshed: bool) -> None:
    """Within its last 300 s, unless it came in the last 60 s; a moment in the future proves nothing."""
    machine = Machine(signed_in(left, obtained_at=None if obtained is None else NOW - obtained))

    found = machine.manager.credentials()

    assert (found.access_token == "access-2") is refreshed
    assert len(machine.issuer.asked) == refreshed


def test_a_fresh_token_is_handed_out_without_the_store() -> None:
    """Once read, a fresh token is used from memory, until it is about to expire."""
    machine = Machine(signed_in())
    machine.manager.credentials()
    machine.store.delete()

    assert machine.manager.credentials().access_token == "access-1"
    machine.now += 3300.0
    with pytest.raises(NotSignedInError):
        machine.manager.credentials()


def test_what_a_refresh_stores() -> None:
    """The new tokens, when they came, and no refresh in progress; the reason is in the official words."""
    machine = Machine(signed_in(0.0))
    found = machine.manager.credentials()

    assert (found.access_token, found.refresh_token, found.expires_at) == (
        "access-2",
        "refresh-2",
        NOW + 3600,
    )
    assert machine.record.credentials == found
    assert (machine.record.obtained_at, machine.record.pending_refresh) == (NOW, None)
    assert machine.issuer.asked[0]["refresh_reason"] == "proactive_expiry"
    assert machine.issuer.asked[0]["refresh_token"] == "refresh-1"
    assert machine.issuer.timeouts == [30.0]


def test_while_it_is_sent_the_store_says_so() -> None:
    """Which token is being spent, and since when, is in the store before the request is sent."""
    machine = Machine(signed_in(0.0))
    seen: list[Record] = []

    def send(request: Request, **options: Any) -> Response:
        seen.append(machine.record)
        return tokens(2)

    TokenManager(machine.store, CODEX, send, now=lambda: NOW).credentials()

    (during,) = seen
    assert during.credentials
    assert during.credentials.access_token == "access-1"
    assert during.pending_refresh
    assert during.pending_refresh.started_at == NOW
    assert len(during.pending_refresh.fingerprint) == 16


# --- what a failure means ---

PASSING = {"503": refused(503), "429": refused(429), "no connection": ConnectError("refused")}


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_a_failure_while_the_token_is_valid(answer: Response | Exception) -> None:
    """The token stays in use, and the next refresh is tried after 30 s."""
    machine = Machine(signed_in(100.0), answer)

    assert machine.manager.credentials().access_token == "access-1"
    machine.now += 29.0
    assert machine.manager.credentials().access_token == "access-1"
    assert len(machine.issuer.asked) == 1
    machine.now += 1.0
    assert machine.manager.credentials().access_token == "access-3"
    assert len(machine.issuer.asked) == 2


def test_a_pause_ends_with_the_token() -> None:
    """A token that expires within the pause is refreshed at once."""
    machine = Machine(signed_in(10.0), refused(503))
    machine.manager.credentials()
    machine.now += 10.0

    assert machine.manager.credentials().access_token == "access-3"


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_a_failure_after_it_has_expired(answer: Response | Exception) -> None:
    """The error is raised; the refresh token is kept for the next try, which may succeed."""
    machine = Machine(signed_in(0.0), answer)

    with pytest.raises(RefreshError):
        machine.manager.credentials()
    assert machine.record.credentials
    assert machine.record.credentials.refresh_token == "refresh-1"
    assert machine.manager.credentials().access_token == "access-3"


@pytest.mark.parametrize(
    ("answer", "pending"),
    [(refused(429), False), (ConnectError("refused"), False), (refused(503), True)],
    ids=["429", "no connection", "503"],
)
def test_only_an_unknown_outcome_stays_in_the_store(answer: Response | Exception, pending: bool) -> None:
    """A refusal spends nothing, so nothing is in progress; after a 5xx the token may be spent."""
    machine = Machine(signed_in(0.0), answer)

    with pytest.raises(RefreshError) as caught:
        machine.manager.credentials()
    assert (machine.record.pending_refresh is not None) is pending
    assert isinstance(caught.value, RefreshOutcomeUnknownError) is pending


def test_a_final_refusal_is_remembered() -> None:
    """A token that was refused for good is not sent again; another one is."""
    machine = Machine(signed_in(0.0), refused(401, "refresh_token_expired"))

    for _ in range(2):
        with pytest.raises(SignInAgainError, match="expired"):
            machine.manager.credentials()
    assert len(machine.issuer.asked) == 1
    assert machine.slept == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert machine.record.pending_refresh is None
    machine.write(signed_in(0.0, refresh_token="refresh-9"))
    assert machine.manager.credentials().access_token == "access-3"


def test_a_refusal_after_an_interruption_is_explained() -> None:
    """If an earlier refresh with the same token was cut off, the error says that this may be why."""
    machine = Machine(signed_in(0.0), refused(503), refused(400, "refresh_token_reused"))
    with pytest.raises(RefreshOutcomeUnknownError):
        machine.manager.credentials()

    with pytest.raises(SignInAgainError, match="An earlier refresh was interrupted") as caught:
        machine.manager.credentials()
    assert caught.value.status_code == 400


def test_an_interruption_with_another_token_explains_nothing() -> None:
    """A refresh of another token that was cut off has nothing to do with it."""
    pending = PendingRefresh(fingerprint="0" * 16, started_at=NOW - 60)
    machine = Machine(signed_in(0.0, pending_refresh=pending), refused(400, "refresh_token_reused"))

    with pytest.raises(SignInAgainError) as caught:
        machine.manager.credentials()
    assert "interrupted" not in str(caught.value)


def test_a_program_that_was_faster_is_believed() -> None:
    """If the token was spent by a program without our lock, its result is used once it has saved it."""
    machine = Machine(signed_in(0.0), refused(400, "refresh_token_reused"))

    def sleep(seconds: float) -> None:
        machine.slept.append(seconds)
        if seconds == 0.2:
            machine.write(signed_in(refresh_token="refresh-9"))

    manager = TokenManager(machine.store, CODEX, machine.issuer, now=lambda: NOW, sleep=sleep)

    assert manager.credentials().refresh_token == "refresh-9"
    assert machine.slept == [0.0, 0.1, 0.2]


def test_an_answer_with_the_old_access_token_is_a_failure() -> None:
    """A rotated refresh token is kept, but the same access token again is no refresh."""
    answer = Response(200, {}, json.dumps({"refresh_token": "refresh-2"}).encode())
    machine = Machine(signed_in(0.0), answer)

    with pytest.raises(RefreshError, match="without a new access token"):
        machine.manager.credentials()
    assert machine.record.credentials
    assert machine.record.credentials.refresh_token == "refresh-2"
    assert machine.record.obtained_at is None


async def test_who_waited_for_a_failure_does_not_repeat_it() -> None:
    """Two callers wait for one refresh, and it fails: the second gets that failure, and sends nothing."""
    machine = Machine(signed_in(0.0))
    entered, fails = threading.Event(), threading.Event()
    sent: list[Request] = []

    def send(request: Request, **options: Any) -> Response:
        sent.append(request)
        entered.set()
        assert fails.wait(60)
        return refused(429)

    manager = TokenManager(machine.store, CODEX, send, now=lambda: NOW)
    first = asyncio.create_task(manager.credentials_async())
    assert await asyncio.to_thread(entered.wait, 60)
    second = asyncio.create_task(manager.replace_async("access-0"))
    await asyncio.sleep(0)  # until it waits for the same refresh
    fails.set()

    failures = await asyncio.gather(first, second, return_exceptions=True)
    assert len(sent) == 1
    assert isinstance(failures[0], RefreshError)
    assert failures[1] is failures[0]


# --- a token that the backend refused ---


def test_a_refused_token_is_replaced() -> None:
    """However fresh it is, a token that was refused is refreshed, for that reason."""
    machine = Machine(signed_in())

    assert machine.manager.replace("access-1").access_token == "access-2"
    assert machine.issuer.asked[0]["refresh_reason"] == "unauthorized_recovery"


def test_a_refused_token_that_was_replaced_meanwhile() -> None:
    """If the store has another fresh one by now, that is taken, without a request."""
    machine = Machine(signed_in())

    assert machine.manager.replace("access-0").access_token == "access-1"
    assert machine.manager.replace("access-0").access_token == "access-1"
    assert machine.issuer.asked == []


def test_a_replacement_that_is_refused_as_well() -> None:
    """A token that has just come from the server, and is refused again, is not refreshed once more."""
    machine = Machine(signed_in())
    replaced = machine.manager.replace("access-1").access_token

    with pytest.raises(SignInAgainError, match="even after a refresh") as caught:
        machine.manager.replace(replaced, again=True)
    assert caught.value.status_code == 401
    assert machine.manager.replace("access-1", again=True).access_token == replaced
    assert len(machine.issuer.asked) == 1
    assert machine.manager.replace(replaced).access_token == "access-3"


def test_a_turn_does_not_change_accounts() -> None:
    """If another account has signed in since, the request fails, and the next one uses that account."""
    machine = Machine(signed_in())
    machine.manager.credentials()
    other = signed_in(account_id="acct-2")
    assert other.credentials
    other = msgspec.structs.replace(
        other, credentials=msgspec.structs.replace(other.credentials, access_token="theirs")
    )
    machine.write(other)

    with pytest.raises(SignInAgainError, match="Another account"):
        machine.manager.replace("access-1")
    assert machine.manager.credentials().access_token == "theirs"
    assert machine.issuer.asked == []


@pytest.mark.parametrize("record", [None, Record(), Record(api_key="key")], ids=["nothing", "empty", "a key"])
def test_an_empty_store_is_not_signed_in(record: Record | None) -> None:
    """Without credentials the error names the profile."""
    machine = Machine(record)

    for ask in (machine.manager.credentials, lambda: machine.manager.replace("access-1")):
        with pytest.raises(NotSignedInError, match="sign"):
            ask()


@pytest.mark.parametrize("record", [Record(), Record(api_key="key")], ids=["empty", "a key"])
def test_a_turn_after_a_sign_out(record: Record) -> None:
    """That the store holds no credentials any more is no other account's doing."""
    machine = Machine(signed_in())
    machine.manager.credentials()
    machine.write(record)

    with pytest.raises(NotSignedInError, match="sign"):
        machine.manager.replace("access-1")
    assert machine.issuer.asked == []


def test_a_token_without_a_refresh_token_is_used_to_its_end() -> None:
    """It is used as long as it lasts, and then the error asks for a new sign-in."""
    machine = Machine(signed_in(100.0, refresh_token=None))

    assert machine.manager.credentials().access_token == "access-1"
    machine.now += 100.0
    with pytest.raises(SignInAgainError, match="no refresh token"):
        machine.manager.credentials()
    assert machine.issuer.asked == []


# --- a lock that expires by itself ---


class LeasedStore(MemoryStore):
    """A store whose lock is a lease with so many seconds left, as each question finds them."""

    def __init__(self, record: Record, *left: float) -> None:
        super().__init__(record=record)
        self._left = list(left)

    def remaining(self) -> float:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]

    @contextmanager
    def lock(self) -> Iterator[LeasedStore]:
        with super().lock():
            yield self


def leased(*left: float) -> tuple[LeasedStore, Issuer, Refresher]:
    store, issuer = LeasedStore(signed_in(0.0), *left), Issuer()
    return store, issuer, Refresher(store, CODEX, issuer, lambda: NOW, lambda seconds: None)


def is_second(record: Record) -> bool:
    return record.credentials is not None and record.credentials.access_token == "access-2"


@pytest.mark.parametrize(
    ("left", "timeout"), [(100.0, 30.0), (60.0, 30.0), (40.0, 20.0), (4.0, 2.0)], ids=str
)
def test_a_refresh_takes_half_of_the_lease_at_most(left: float, timeout: float) -> None:
    """So that the other half is left for saving; with a long lease it is 30 s."""
    _, issuer, refresher = leased(left)

    assert is_second(refresher.refresh("proactive_expiry", is_second))
    assert issuer.timeouts == [timeout]


@pytest.mark.parametrize(
    ("left", "asked"),
    [
        ([0.0], 0),
        ([-1.0], 0),
        ([40.0, 19.9, 0.0], 0),  # connecting took so long that the answer could come too late
        ([40.0, 19.9, 40.0], 1),
        ([40.0, 20.0, 0.0], 1),
    ],
    ids=str,
)
def test_nothing_is_sent_when_the_lease_may_run_out(left: list[float], asked: int) -> None:
    """Before the first byte, the rest of the lease must still be as long as the request may take."""
    store, issuer, refresher = leased(*left)

    if asked:
        refresher.refresh("proactive_expiry", is_second)
    else:
        with pytest.raises(StoreConflictError):
            refresher.refresh("proactive_expiry", is_second)
        stored = store.load()
        assert stored
        assert stored.record.credentials == signed_in(0.0).credentials
    assert len(issuer.asked) == asked


@pytest.mark.parametrize(
    ("answer", "left", "error"),
    [
        (refused(429), 0.0, None),
        (refused(503), -1.0, None),
        (refused(429), 0.5, RefreshError),
        (refused(401, "refresh_token_expired"), 0.0, SignInAgainError),
    ],
    ids=["passing, too late", "unknown, too late", "passing, in time", "final, too late"],
)
def test_a_failure_after_the_lease_has_run_out(
    answer: Response, left: float, error: type[OnplanError] | None
) -> None:
    """Another machine may have refreshed it meanwhile, so it begins anew; a final refusal is final."""
    store = LeasedStore(signed_in(0.0), 40.0, 40.0, left, 40.0)
    issuer = Issuer(answer, tokens(2))
    refresher = Refresher(store, CODEX, issuer, lambda: NOW, lambda seconds: None)

    if error is None:
        assert is_second(refresher.refresh("proactive_expiry", is_second))
    else:
        with pytest.raises(error):
            refresher.refresh("proactive_expiry", is_second)
    assert len(issuer.asked) == (1 if error else 2)


# --- whose tokens go where ---


@pytest.mark.parametrize(
    ("record", "issuer", "fits"),
    [
        (signed_in(), CODEX, True),
        (Record(), CODEX.at("https://x.example"), True),
        (signed_in(issuer_kind="siwc"), CODEX, False),
        (signed_in(issuer_kind="siwc"), SIWC, True),
        (signed_in(), CODEX.at("https://x.example"), False),
        (signed_in(refresh_token=None), CODEX.at("https://x.example"), True),
    ],
    ids=["the same", "nothing", "another kind", "its kind", "another address", "a bare token"],
)
def test_a_token_goes_only_to_its_issuer(record: Record, issuer: Any, fits: bool) -> None:
    """A refresh token is sent only to the issuer that it came from."""
    if fits:
        require_origin(record, issuer)
    else:
        with pytest.raises(CredentialError):
            require_origin(record, issuer)


def test_a_token_of_a_named_issuer_goes_only_there() -> None:
    """A token without a refresh token, but with an issuer, goes to that issuer alone."""
    held = OAuthCredentials(access_token="a", issuer="https://x.example")

    require_origin(Record(credentials=held), CODEX.at("https://x.example"))
    with pytest.raises(CredentialError, match=r"https://x\.example"):
        require_origin(Record(credentials=held), CODEX)


@pytest.mark.parametrize(
    ("record", "was_refused", "says"),
    [
        (signed_in(0.0, borrowed_from="env:TOKEN"), False, ["TOKEN has expired", 'export TOKEN="']),
        (signed_in(0.0, borrowed_from="env:TOKEN"), True, ["TOKEN has expired"]),
        (signed_in(1.0, borrowed_from="env:TOKEN"), True, ["TOKEN is not accepted"]),
        (signed_in(None, borrowed_from="env:TOKEN"), True, ["TOKEN is not accepted"]),
        (signed_in(None, borrowed_from="env:TOKEN"), False, ["TOKEN has expired"]),
        (
            signed_in(0.0, borrowed_from="codex:/a b"),
            False,
            ["codex:/a b has expired", "import 'codex:/a b'"],
        ),
        (signed_in(0.0), False, ["no refresh token"]),
        (Record(), False, ["no refresh token"]),
    ],
    ids=lambda each: None,
)
def test_a_token_that_cannot_be_refreshed(record: Record, was_refused: bool, says: list[str]) -> None:
    """The error says why the token cannot be used, and where to get another."""
    error: OnplanError = cannot_be_refreshed(record, NOW, refused=was_refused)

    for words in says:
        assert words in f"{error} {error.hint}"
