"""The ID token of a refresh, and programs that may have been faster: without a server."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from onplan.errors import (
    ConnectError,
    CredentialError,
    NotSignedInError,
    OnplanError,
    RefreshError,
    SignInAgainError,
    StoreConflictError,
    StoreError,
)
from onplan.flow import Request, Response
from onplan.oauth.issuer import CODEX, SIWC
from onplan.stores import Record
from onplan.stores.memory import MemoryStore
from onplan.tokens import rotation
from onplan.tokens.refresher import Refresher
from onplan.types import OAuthCredentials, Registration

from .test_decisions import NOW, refused, signed_in, tokens

REGISTRATION = Registration(client_id="client-1", issuer=SIWC.url, subject="person-1")


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    """What the issuer signs with."""
    return generate_private_key(65537, 2048)


def identity(key: RSAPrivateKey, **changed: Any) -> str:
    right = {"iss": SIWC.url, "aud": "client-1", "iat": NOW - 1, "exp": NOW + 60, "sub": "person-1"}
    return jwt.encode({**right, **changed}, key, algorithm="RS256", headers={"kid": "key-1"})


def keys(key: RSAPrivateKey) -> Response:
    entry = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "key-1"}
    return Response(200, {}, json.dumps({"keys": [entry]}).encode())


class Service:
    """Answers with these in turn; notes what it was asked."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers, self.asked = list(answers), list[str]()

    def __call__(self, request: Request, **options: Any) -> Response:
        self.asked.append(request.url)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def unverified(id_token: str | None, **more: Any) -> Record:
    fields: dict[str, Any] = {
        "issuer_kind": "siwc",
        "credentials": OAuthCredentials(
            access_token="access-1", refresh_token="refresh-1", id_token=id_token, expires_at=NOW
        ),
        "registration": REGISTRATION,
        "unverified": True,
        "obtained_at": NOW,
    }
    return Record(**{**fields, **more})


def refresher_of(
    store: MemoryStore, service: Service, now: float = NOW, slept: list[float] | None = None
) -> Refresher:
    return Refresher(store, SIWC, service, lambda: now, (slept if slept is not None else []).append)


def record_in(store: MemoryStore) -> Record:
    stored = store.load()
    assert stored
    return stored.record


# --- the ID token of a refresh ---


@pytest.mark.parametrize("now", [NOW, NOW + 50.0, NOW + 7200.0, NOW - 7200.0])
def test_a_late_verification(key: RSAPrivateKey, now: float) -> None:
    """A token that was valid when it came is genuine, whenever that is found out; it is verified once."""
    store, service = MemoryStore(record=unverified(identity(key))), Service(keys(key))
    refresher = refresher_of(store, service, now)

    for _ in range(2):
        record, version = refresher.load()
        assert not record.unverified
        assert store.load() == (record, version)
    assert service.asked == [SIWC.jwks_uri]


@pytest.mark.parametrize(("obtained_at", "now"), [(None, NOW), (NOW + 7200.0, NOW)])
def test_the_earlier_clock_counts(key: RSAPrivateKey, obtained_at: float | None, now: float) -> None:
    """Without the moment when it came, or with one that is still to come, the present one counts."""
    store = MemoryStore(record=unverified(identity(key), obtained_at=obtained_at))

    assert not refresher_of(store, Service(keys(key)), now).load().record.unverified


@pytest.mark.parametrize("obtained_at", [None, NOW + 7200.0])
def test_a_token_that_had_expired_when_it_came(key: RSAPrivateKey, obtained_at: float | None) -> None:
    """It is refused, with what happened: the sign-in was refreshed, and has to be repeated all the same."""
    store = MemoryStore(record=unverified(identity(key, exp=NOW - 3600.0), obtained_at=obtained_at))

    with pytest.raises(SignInAgainError, match="was refreshed, but the new ID token is not valid") as caught:
        refresher_of(store, Service(keys(key))).load()
    assert "onplan doctor" in caught.value.hint
    assert record_in(store).unverified


@pytest.mark.parametrize("answer", [refused(503), ConnectError("No way.")], ids=["503", "no connection"])
def test_keys_that_cannot_be_had_now(
    key: RSAPrivateKey, answer: Response | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The token is used for now, the log says why it is not verified, and the next load tries again."""
    store, service = MemoryStore(record=unverified(identity(key))), Service(answer, keys(key))
    refresher = refresher_of(store, service)

    assert refresher.load().record.unverified
    (logged,) = caplog.records
    assert "could not be verified for now" in logged.getMessage()
    assert not refresher.load().record.unverified
    assert not record_in(store).unverified


def test_known_keys_are_not_asked_for_again(key: RSAPrivateKey) -> None:
    """The keys that verified one token verify the next one."""
    store, service = MemoryStore(record=unverified(identity(key))), Service(keys(key))
    refresher = refresher_of(store, service)
    refresher.load()
    store.save(unverified(identity(key, iat=NOW)), "2")

    assert not refresher.load().record.unverified
    assert len(service.asked) == 1


def test_what_is_not_to_be_verified() -> None:
    """A record that is verified, or has no registered client, asks for no keys."""
    for record in (unverified("a.b.c", unverified=False), unverified("a.b.c", registration=None)):
        store = MemoryStore(record=record)
        assert refresher_of(store, Service()).load() == store.load()


class FullStore(MemoryStore):
    """Takes nothing."""

    def save(self, record: Record, expected_version: str | None) -> str:
        raise StoreError("The disk is full.")


def test_a_verification_that_cannot_be_noted(key: RSAPrivateKey) -> None:
    """It counts for now; the version is that of what is stored."""
    found = refresher_of(FullStore(record=unverified(identity(key))), Service(keys(key))).load()

    assert (found.record.unverified, found.version) == (False, "1")


def good(record: Record) -> bool:
    return record.credentials is not None and record.credentials.access_token == "access-2"


@pytest.mark.parametrize(
    ("answered", "before", "verified"),
    [("new", False, True), ("the same", False, False), ("the same", True, True), (None, False, False)],
)
def test_a_refresh_verifies_a_new_id_token(
    key: RSAPrivateKey, answered: str | None, before: bool, verified: bool
) -> None:
    """One that it brought, or an earlier one that was not verified yet; not one that was."""
    old = identity(key)
    new = identity(key, iat=NOW) if answered == "new" else old
    more = {"id_token": new} if answered else {}
    record = unverified(old, unverified=False)
    service = Service(*([ConnectError("No way.")] if before else []), tokens(2, **more), keys(key))
    if before:
        record = msgspec.structs.replace(record, unverified=True)
    store = MemoryStore(record=record)

    found = refresher_of(store, service).refresh("proactive_expiry", good)
    assert good(found)
    assert not found.unverified
    assert record_in(store) == found
    assert (service.asked[-1] == SIWC.jwks_uri) is verified
    assert found.registration == REGISTRATION
    assert (found.issuer_kind, found.obtained_at) == ("siwc", NOW)


def test_a_refresh_of_a_public_client_verifies_nothing() -> None:
    """Without a registered client an ID token names the person and decides nothing."""
    store = MemoryStore(record=signed_in(0.0))
    refresher = Refresher(store, CODEX, Service(tokens(2, id_token="a.b.c")), lambda: NOW, print)

    assert not refresher.refresh("proactive_expiry", good).unverified


def test_a_refresh_with_a_false_id_token(key: RSAPrivateKey) -> None:
    """The new tokens are stored, since the old one is spent; but they are not used."""
    store = MemoryStore(record=unverified(identity(key), unverified=False))
    service = Service(tokens(2, id_token=identity(key, sub="person-2")), keys(key))

    with pytest.raises(SignInAgainError, match="not valid"):
        refresher_of(store, service).refresh("proactive_expiry", good)
    assert good(record_in(store))
    assert record_in(store).unverified


# --- what is loaded ---


@pytest.mark.parametrize("record", [None, Record(), Record(api_key="sk")], ids=["nothing", "empty", "a key"])
def test_nothing_to_load(record: Record | None) -> None:
    """A store without credentials is not signed in."""
    with pytest.raises(NotSignedInError):
        refresher_of(MemoryStore(record=record), Service()).load()


def test_a_sign_in_of_another_issuer_is_not_loaded() -> None:
    """It is neither used nor refreshed."""
    with pytest.raises(CredentialError, match="not one of"):
        refresher_of(MemoryStore(record=signed_in()), Service()).load()


class Explaining(MemoryStore):
    """A store that knows what it holds instead."""

    def why_empty(self) -> str | None:
        return "It holds an API key."


def test_who_is_not_signed_in_is_told_where() -> None:
    """The error says why the store is empty; its command names profile and backend."""
    refresher = Refresher(
        Explaining(), CODEX, Service(), lambda: NOW, print, profile="work", backend="openai-codex"
    )

    with pytest.raises(NotSignedInError, match=r"It holds an API key\.") as caught:
        refresher.load()
    assert "--profile work" in caught.value.hint


def test_unsaved_tokens_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh first saves what an earlier one could not; newer tokens in the store end that."""
    monkeypatch.setattr(rotation, "_at_exit", rotation._AtExit())
    monkeypatch.setattr(atexit, "register", lambda handler: None)
    store, service = Unnoted(record=signed_in(0.0)), Service(tokens(2))
    refresher = Refresher(store, CODEX, service, lambda: NOW, lambda seconds: None)
    refresher.refresh("proactive_expiry", good)
    assert refresher.unsaved
    credentials = OAuthCredentials(access_token="access-2", refresh_token="refresh-9")
    MemoryStore.save(store, Record(credentials=credentials), store.load().version)  # type: ignore[union-attr]

    found = refresher.refresh("proactive_expiry", good)
    assert found.credentials == credentials
    assert not refresher.unsaved


# --- who was faster ---


class Busy(MemoryStore):
    """A store that other programs write between each load and the next save, so many times."""

    def __init__(self, record: Record, times: int) -> None:
        super().__init__(record=record)
        self.times = times

    def save(self, record: Record, expected_version: str | None) -> str:
        if self.times:
            self.times -= 1
            raise StoreConflictError("It was changed.")
        return super().save(record, expected_version)


def test_a_writer_that_is_always_faster() -> None:
    """A refresh begins anew ten times; nothing was sent before its note was stored."""
    for times, sent in ((9, 1), (10, 0)):
        service = Service(tokens(2))
        refresher = Refresher(Busy(signed_in(0.0), times), CODEX, service, lambda: NOW, print)
        if sent:
            assert good(refresher.refresh("proactive_expiry", good))
        else:
            with pytest.raises(StoreConflictError, match="each of 10 attempts"):
                refresher.refresh("proactive_expiry", good)
        assert len(service.asked) == sent


def test_what_another_program_refreshed_is_used() -> None:
    """Found under the lock, its tokens are taken, and nothing is sent."""
    credentials = OAuthCredentials(access_token="access-2", refresh_token="refresh-2")
    store = MemoryStore(record=Record(credentials=credentials))

    assert good(Refresher(store, CODEX, Service(), lambda: NOW, print).refresh("proactive_expiry", good))


@pytest.mark.parametrize(
    ("reason", "left", "says"),
    [
        ("proactive_expiry", 0.0, "has expired"),
        ("unauthorized_recovery", 60.0, "is not accepted"),
        ("unauthorized_recovery", 0.0, "has expired"),
    ],
)
def test_a_borrowed_token_is_not_refreshed(reason: str, left: float, says: str) -> None:
    """Without a refresh token the error says whether the token expired or was refused."""
    store = MemoryStore(record=signed_in(left, refresh_token=None, borrowed_from="env:TOKEN"))

    with pytest.raises(SignInAgainError, match=says):
        Refresher(store, CODEX, Service(), lambda: NOW, print).refresh(reason, good)


class Unnoted(MemoryStore):
    """Takes the note that a refresh has begun, and afterwards nothing."""

    def save(self, record: Record, expected_version: str | None) -> str:
        if record.pending_refresh is None:
            raise StoreError("The disk is full.")
        return super().save(record, expected_version)


@pytest.mark.parametrize(
    ("answer", "error"),
    [(refused(401, "refresh_token_expired"), SignInAgainError), (refused(429), RefreshError)],
    ids=["final", "passing"],
)
def test_a_note_that_cannot_be_taken_back(answer: Response, error: type[OnplanError]) -> None:
    """What the server said is raised, and not that the store takes nothing."""
    refresher = Refresher(Unnoted(record=signed_in(0.0)), CODEX, Service(answer), lambda: NOW, lambda s: None)

    with pytest.raises(error):
        refresher.refresh("proactive_expiry", good)


def test_the_same_access_token_with_another_expiry_is_news() -> None:
    """A server may lengthen a token's life instead of issuing another one."""
    store, access = MemoryStore(record=signed_in(0.0)), "access-1"
    service = Service(Response(200, {}, json.dumps({"access_token": access, "expires_in": 60}).encode()))
    refresher = Refresher(store, CODEX, service, lambda: NOW, print)

    found = refresher.refresh("proactive_expiry", lambda record: False)
    assert found.credentials
    assert (found.credentials.access_token, found.credentials.expires_at) == ("access-1", NOW + 60)
    assert found.obtained_at == NOW
    assert refresher.last_issued == "access-1"


def test_idle() -> None:
    """A refresher is idle while it refreshes nothing and everything is saved."""
    store, seen = MemoryStore(record=signed_in(0.0)), list[bool]()
    ask: Callable[[], bool]

    def send(request: Request, **options: Any) -> Response:
        seen.append(ask())
        return tokens(2)

    refresher = Refresher(store, CODEX, send, lambda: NOW, print)
    ask = refresher.is_idle
    assert ask()
    refresher.refresh("proactive_expiry", good)

    assert seen == [False]
    assert ask()
