"""Failures of Vault: each has its sentence, and none loses or repeats a write."""

from __future__ import annotations

import io
import json
import logging
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.errors import StoreConflictError
from onplan.stores import CredentialStore, open_store
from onplan.stores.contract import FIRST, PENDING, SECOND
from onplan.stores.vault import client as vault_client

SPEC = "vault:secret/onplan/me?lease=2"
DATA = "secret/data/onplan/me"


class Between(ThreadingHTTPServer):
    """Stands between us and the server, and does to each request what ``script`` says next.

    ``pass``: hand over, both ways; ``lose``: the request arrives, its answer does not; ``drop``: neither;
    ``hang``: neither, and the connection stays; a triple of status, headers and body: an answer of our own; a
    function: called, then ``pass``.
    """

    daemon_threads = True

    def __init__(self, vault: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.vault, self.address = vault, f"http://127.0.0.1:{self.server_port}"
        self.script: list[Any] = []
        self.seen: list[tuple[str, str]] = []
        self.tokens: list[str | None] = []
        self.over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Between

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append((self.command, self.path.removeprefix("/v1/")))
        self.server.tokens.append(self.headers.get("x-vault-token"))
        step = self.server.script.pop(0) if self.server.script else "pass"
        if callable(step):
            step()
        if step == "hang":
            self.server.over.wait(60)
        if step in ("drop", "hang"):
            return
        if isinstance(step, tuple):
            status, headers, text = step
        else:
            status, text = self._forward(body)
            headers = {"content-type": "application/json"}
        if step != "lose":
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

    def _forward(self, body: bytes) -> tuple[int, bytes]:
        request = urllib.request.Request(
            self.server.vault.address + self.path,
            method=self.command,
            data=body or None,
            headers={"X-Vault-Token": self.headers.get("x-vault-token") or ""},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - their names there

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that follow each other quickly."""
    monkeypatch.setattr(vault_client, "DELAYS", (0.01, 0.02, 0.03))


@pytest.fixture
def between(vault: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """What the environment points at instead of the server."""
    server = Between(vault)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("VAULT_ADDR", server.address)
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def store(between: Between) -> CredentialStore:
    """A store that has already asked which engine it has, so that a script begins with what a test does."""
    store = open_store(SPEC)
    assert store.load() is None
    between.seen.clear()
    return store


def error(*reasons: str) -> bytes:
    return json.dumps({"errors": reasons}).encode()


# --- told apart ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "sentence", "hint", "attempts"),
    [
        ((503, {}, error("Vault is sealed")), "is sealed", "unsealed", 1),
        ((503, {}, b"<html>no backend"), "failed .HTTP 503.", "try again", 4),
        ((500, {}, error("local node not active")), "HTTP 500: local node not active", "try again", 4),
        ((502, {}, b""), "HTTP 502", "try again", 4),
        ((501, {}, error()), "not been initialised", "bao operator init", 1),
        ((472, {}, b""), "is a standby", "VAULT_ADDR", 1),
        ((473, {}, b""), "is a standby", "VAULT_ADDR", 1),
        ((412, {}, error("required index state not present")), "has not caught up", "try again", 4),
        ((429, {}, error("rate limit quota exceeded")), "than its quota allows", "Wait a moment", 4),
        ((429, {"retry-after": "99"}, error("quota")), "than its quota allows", "Wait a moment", 1),
        ((400, {}, error("Upgrading from non-versioned to versioned data.")), "Upgrading", "try again", 4),
        ((307, {}, b""), "is a standby", "active server", 1),
        ((307, {"location": "http://10.0.0.9:8200/v1/x"}, b""), "could be read on its way", "active", 1),
        ((200, {}, b"<html>sign in to this network"), "as Vault's KV version 2", "VAULT_ADDR", 1),
        ((200, {}, b'{"data": {"data": {"access_token": "x"}}}'), "as Vault's KV version 2", "VAULT_ADDR", 1),
        ((404, {}, error("no handler for route")), "no secrets engine at secret/", "secrets enable", 1),
        ((405, {}, error("unsupported operation")), "refused a request for secret/data", "VAULT_ADDR", 1),
        ("drop", "does not answer", "Check that it runs", 4),
    ],
)
def test_every_failure_has_its_sentence(
    between: Between, store: CredentialStore, answer: Any, sentence: str, hint: str, attempts: int
) -> None:
    """Each is told as what it is, none as "nobody is signed in"; what may pass is tried again, briefly."""
    between.script = [answer] * 9

    with pytest.raises(onplan.StoreError, match=sentence) as caught:
        store.load()
    assert hint in caught.value.hint
    assert caught.value.code == "store"
    assert len(between.seen) == attempts


@pytest.mark.parametrize(
    "answer", ["drop", "lose", (502, {}, b""), (412, {}, b""), (429, {"retry-after": "0"}, b"")]
)
def test_a_failure_that_passes_is_not_noticed(between: Between, store: CredentialStore, answer: Any) -> None:
    """A broken connection, a balancer without a server, too many requests for a moment: the store goes on."""
    for use in (store.load, lambda: store.save(FIRST, None), store.load, store.delete):
        between.script = [answer]
        use()

    assert store.load() is None


def test_something_else_than_vault_is_told(between: Between) -> None:
    """A page that a network shows before it lets anybody in is no empty store, not at first sight either."""
    between.script = [(200, {}, b"<html>sign in to this network")] * 2  # also about its token

    with pytest.raises(onplan.StoreError, match="as Vault's KV version 2"):
        open_store(SPEC).load()


def test_a_sealed_server_is_told_apart(
    start_vault: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is really sealed is called that, also by a store that worked before."""
    server = start_vault()
    monkeypatch.setenv("VAULT_ADDR", server.address)
    monkeypatch.setenv("VAULT_TOKEN", "root")
    store = open_store(SPEC)
    store.save(FIRST, None)
    server.api("POST", "sys/seal")

    for used in (store, open_store(SPEC)):
        with pytest.raises(onplan.StoreError, match="is sealed") as caught:
            used.load()
        assert "bao operator unseal" in caught.value.hint


def test_a_server_that_is_not_there(unused_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody listens is a store that cannot be reached."""
    monkeypatch.setenv("VAULT_ADDR", unused_url)
    monkeypatch.setenv("VAULT_TOKEN", "root")

    with pytest.raises(onplan.StoreError, match="could not be reached") as caught:
        open_store(SPEC).load()
    assert "VAULT_ADDR" in caught.value.hint


def test_a_server_that_never_answers(
    between: Between, store: CredentialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting ends, and says so."""
    monkeypatch.setattr(vault_client, "ATTEMPT_SECONDS", 0.2)
    monkeypatch.setattr(vault_client, "TOTAL_SECONDS", 0.5)
    between.script = ["hang"] * 9

    with pytest.raises(onplan.StoreError, match="does not answer"):
        store.load()
    assert len(between.seen) < 4


def test_certificates_are_checked(
    start_vault: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unknown authority is refused with a hint; one from a file or a folder is trusted, for its names."""
    server = start_vault(tls=True)
    monkeypatch.setenv("VAULT_ADDR", server.address)
    monkeypatch.setenv("VAULT_TOKEN", "root")
    with pytest.raises(onplan.StoreError, match="unknown authority") as caught:
        open_store(SPEC).load()
    assert "VAULT_CACERT" in caught.value.hint

    (tmp_path / "README").write_text("not a certificate")
    (tmp_path / "ca.pem").write_bytes(server.certificate.read_bytes())
    monkeypatch.setenv("VAULT_CAPATH", str(tmp_path))
    version = open_store(SPEC).save(FIRST, None)
    monkeypatch.delenv("VAULT_CAPATH")
    monkeypatch.setenv("VAULT_CACERT", str(server.certificate))
    assert open_store(SPEC).load() == (FIRST, version)

    monkeypatch.setenv("VAULT_CACERT", str(tmp_path / "README"))
    with pytest.raises(onplan.ConfigurationError, match="no certificate can be read"):
        open_store(SPEC)


# --- standbys ------------------------------------------------------------------------------------------


def test_a_standby_sends_us_on(between: Between, store: CredentialStore, vault: Any) -> None:
    """A redirect to a safe address is followed, once, for reads and for writes."""

    def redirect(path: str) -> Any:
        return (307, {"location": f"{vault.address}/v1/{path}"}, b"")

    between.script = [redirect(DATA), redirect(DATA)]
    version = store.save(FIRST, None)
    between.script = [redirect(DATA)]
    assert store.load() == (FIRST, version)

    between.script = [(307, {"location": f"{between.address}/v1/{DATA}"}, b"")] * 2
    with pytest.raises(onplan.StoreError, match="HTTP 307"):
        store.load()


# --- no write is lost, none is doubled -----------------------------------------------------------------


@pytest.mark.parametrize("failures", [["lose"], ["lose", "drop"], ["drop", "lose"], [(500, {}, b""), "lose"]])
def test_a_write_whose_answer_was_lost_is_found(
    between: Between, store: CredentialStore, vault: Any, failures: list[Any]
) -> None:
    """A write that arrived without us knowing is recognised; there is one version of it, and it is ours."""
    between.script = ["pass", *failures]
    version = store.save(FIRST, None)

    assert (version, between.script) == ("1", [])
    assert vault.api("GET", DATA)["data"]["metadata"]["version"] == 1
    assert store.load() == (FIRST, version)


def test_another_writer_is_not_mistaken_for_us(between: Between, store: CredentialStore, vault: Any) -> None:
    """When ours was lost on its way and another's arrived, it is a conflict."""
    version = store.save(FIRST, None)
    other = open_store(f"{SPEC}&address={vault.address}")
    between.script = ["pass", (502, {}, b""), lambda: other.save(SECOND, version)]
    with pytest.raises(StoreConflictError):
        store.save(PENDING, version)

    assert store.load() == (SECOND, "2")


@pytest.mark.parametrize("faster", ["save", "delete"])
def test_whoever_is_faster_wins(between: Between, store: CredentialStore, vault: Any, faster: str) -> None:
    """What happens between our look and our write, be it a write or a sign-out, makes ours a conflict."""
    version = store.save(FIRST, None)
    other = open_store(f"{SPEC}&address={vault.address}")
    work = {"save": lambda: other.save(SECOND, version), "delete": other.delete}
    between.script = ["pass", work[faster]]
    with pytest.raises(StoreConflictError):
        store.save(PENDING, version)

    assert store.load() == {"save": (SECOND, "2"), "delete": None}[faster]


def test_a_sign_out_meets_a_renewal(between: Between, store: CredentialStore, vault: Any) -> None:
    """A record that is written while we delete is deleted, too."""
    version = store.save(FIRST, None)
    other = open_store(f"{SPEC}&address={vault.address}")
    between.script = ["pass", lambda: other.save(SECOND, version)]
    store.delete()

    assert store.load() is None
    with pytest.raises(urllib.error.HTTPError):
        vault.api("GET", f"{DATA}?version=2")


def test_a_lock_whose_answer_was_lost_is_ours(between: Between, store: CredentialStore, vault: Any) -> None:
    """The lock that we got without knowing is used, and released."""
    with store.lock():
        pass
    between.seen.clear()
    between.script = ["pass", "lose"]
    with store.lock() as lease:
        assert lease.remaining() > 0  # type: ignore[attr-defined]

    assert [method for method, path in between.seen] == ["GET", "POST", "POST", "GET", "POST"]
    with pytest.raises(urllib.error.HTTPError):
        vault.api("GET", f"{DATA}.lease")


def test_a_lock_that_would_not_pass_on_is_given_up(
    between: Between, store: CredentialStore, vault: Any
) -> None:
    """When the server forgets that the lock is to expire, nobody holds one for ever."""
    between.script = ["pass", (204, {}, b""), "pass", (204, {}, b""), "pass"]

    with pytest.raises(onplan.StoreError, match="does not expire"):
        store.lock().__enter__()
    with pytest.raises(urllib.error.HTTPError):
        vault.api("GET", f"{DATA}.lease")


def test_a_lock_that_cannot_be_released_passes_on(
    between: Between, store: CredentialStore, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done under the lock is done, even if the server is gone at its end."""
    with store.lock():
        version = store.save(FIRST, None)
        between.script = ["drop"] * 4

    assert "expires by itself" in caplog.text
    with store.lock():
        assert store.load() == (FIRST, version)


# --- no secret is shown --------------------------------------------------------------------------------


def everything_about(error: BaseException) -> str:
    """Printed forms, traceback, local variables of every frame of ours, also of what led to it."""
    parts = [*traceback.format_exception(error, chain=True)]
    todo: list[BaseException | None] = [error]
    while todo:
        if found := todo.pop():
            parts += [repr(found), str(found), str(getattr(found, "hint", ""))]
            todo += [found.__cause__, found.__context__]
            for frame, _ in traceback.walk_tb(found.__traceback__):
                if frame.f_globals.get("__name__", "").startswith("onplan."):
                    parts += [f"{frame.f_code.co_name}: {item!r}" for item in frame.f_locals.items()]
    return "\n".join(parts)


MARK = "do-not-show-this"


@pytest.mark.parametrize(
    "answers",
    [
        [(503, {}, error("Vault is sealed"))],
        [(400, {}, error(f"strange: {MARK}-token"))],
        [(403, {}, error("permission denied"))],
        ["pass", (403, {}, error("permission denied"))],
        [(500, {}, error(f"internal: {MARK}-token"))] * 9,
        ["pass", (400, {}, error("check-and-set parameter did not match"))],
        ["pass", (200, {}, b"{}")],
        ["pass", *["drop"] * 9],
        ["pass", *["lose"] * 2, *[(502, {}, b"")] * 9],
        [(200, {}, json.dumps({"data": {"data": {"access_token": f"{MARK}-at"}}}).encode())],
    ],
)
def test_no_failure_shows_a_secret(
    between: Between, vault: Any, monkeypatch: pytest.MonkeyPatch, answers: list[Any]
) -> None:
    """Neither the token for Vault nor what is stored there stands in an error, a log or a local variable."""
    made = vault.api("POST", "auth/token/create", {"policies": ["root"], "id": f"{MARK}-token"})
    assert made["auth"]["client_token"] == f"{MARK}-token"
    monkeypatch.setenv("VAULT_TOKEN", f"{MARK}-token")
    credentials = onplan.OAuthCredentials(access_token=f"{MARK}-at", refresh_token=f"{MARK}-rt")
    record = msgspec.structs.replace(FIRST, credentials=credentials)
    log = io.StringIO()
    handler, root = logging.StreamHandler(log), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        store = open_store(SPEC)
        store.load()
        between.script = list(answers)
        with pytest.raises(onplan.StoreError) as caught:
            store.save(record, None)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    vault.api("POST", "auth/token/revoke", {"token": f"{MARK}-token"})

    told = log.getvalue() + everything_about(caught.value)
    assert "onplan/stores/vault" in told
    assert [line for line in told.splitlines() if MARK in line] == []


@pytest.mark.parametrize(("method", "sent"), [("approle", ["role", "secret"]), ("kubernetes", ["jwt"])])
def test_no_sign_in_shows_a_secret(
    between: Between, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str, sent: list[str]
) -> None:
    """A sign-in at Vault that fails shows neither the IDs nor the service account's token."""
    monkeypatch.delenv("VAULT_TOKEN")
    (tmp_path / "jwt").write_text(f"{MARK}-jwt")
    monkeypatch.setenv("VAULT_KUBERNETES_TOKEN_FILE", str(tmp_path / "jwt"))
    monkeypatch.setenv("VAULT_ROLE_ID", f"{MARK}-role")
    monkeypatch.setenv("VAULT_SECRET_ID", f"{MARK}-secret")
    echo = error(*(f"no {MARK}-{name}" for name in sent))
    for answers in ([(400, {}, echo)], ["drop"] * 9):
        between.script = list(answers)
        with pytest.raises(onplan.StoreError) as caught:
            open_store(f"{SPEC}&auth={method}&role={'agent' if method == 'kubernetes' else ''}").load()

        told = everything_about(caught.value)
        assert [line for line in told.splitlines() if MARK in line] == []
