"""Signing in to Vault and its permissions: tokens, roles and policies of a real server."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import onplan
from onplan.stores import open_store
from onplan.stores import vault as layout
from onplan.stores.contract import FIRST, PENDING, SECOND

SPEC = "vault:secret/onplan/me?lease=1"
DATA = "secret/data/onplan/me"

# --- who we are ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["VAULT_TOKEN", "BAO_TOKEN", "VAULT_TOKEN_FILE", "~/.vault-token"])
def test_a_token_is_found_where_the_command_keeps_it(
    vault: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    """The variables of both commands, a file that an agent writes, and the file of `vault login`."""
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("BAO_ADDR", vault.address)
    monkeypatch.delenv("VAULT_ADDR")
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".vault-token"
    if source == "~/.vault-token":
        file.write_text("root\n")
    elif source == "VAULT_TOKEN_FILE":
        file.write_text("old")
        (tmp_path / "sink").write_text("root\n")
        monkeypatch.setenv(source, str(tmp_path / "sink"))
    else:
        file.write_text("old")
        monkeypatch.setenv(source, "root")

    assert open_store(SPEC).load() is None


def test_a_token_that_was_replaced_is_read_again(
    vault: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When the token in the file is revoked and an agent writes the next, the same store goes on."""
    monkeypatch.delenv("VAULT_TOKEN")
    sink = tmp_path / "sink"
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(sink))
    first = vault.api("POST", "auth/token/create", {"policies": ["root"]})["auth"]["client_token"]
    sink.write_text(first)
    store = open_store(SPEC)
    version = store.save(FIRST, None)
    vault.api("POST", "auth/token/revoke", {"token": first})
    sink.write_text("root")

    assert store.load() == (FIRST, version)


@pytest.mark.parametrize(
    ("content", "sentence", "hint"),
    [
        (None, "no token", "bao login"),
        ("s.unknown", "expired or was revoked", "bao login"),
        ("not a token", "does not hold a Vault token", "bao login"),
    ],
)
def test_without_a_good_token_nobody_is_called_signed_out(
    vault: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str | None,
    sentence: str,
    hint: str,
) -> None:
    """No token, one that has expired, or something else: the hint is to sign in at Vault, not at OpenAI."""
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    if content:
        (tmp_path / ".vault-token").write_text(content)

    with pytest.raises(onplan.StoreError, match=sentence) as caught:
        open_store(SPEC).load()
    assert hint in caught.value.hint
    assert not isinstance(caught.value, onplan.NotSignedInError)


MINE = 'path "secret/*" { capabilities = ["create", "read", "update"] }'


@pytest.fixture
def approle(vault: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A role whose tokens are good for three requests, with its IDs in the environment."""
    vault.api("PUT", "sys/policies/acl/onplan", {"policy": MINE})
    vault.api("POST", "sys/auth/apps", {"type": "approle"})
    vault.api("POST", "auth/apps/role/onplan", {"token_policies": ["onplan"], "token_num_uses": 3})
    monkeypatch.delenv("VAULT_TOKEN")
    ids = {
        "VAULT_ROLE_ID": vault.api("GET", "auth/apps/role/onplan/role-id")["data"]["role_id"],
        "VAULT_SECRET_ID": vault.api("POST", "auth/apps/role/onplan/secret-id", {})["data"]["secret_id"],
    }
    for name, value in ids.items():
        monkeypatch.setenv(name, value)
    yield ids
    vault.api("DELETE", "sys/auth/apps")


@pytest.mark.parametrize("given", ["variables", "file", "spec"])
def test_approle_signs_in_again_when_its_token_is_used_up(
    approle: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str
) -> None:
    """With a role ID and a secret ID the store works on, though each token lasts for three requests."""
    spec = f"{SPEC}&mount=apps"
    if given == "file":
        (tmp_path / "id").write_text(approle["VAULT_SECRET_ID"])
        monkeypatch.delenv("VAULT_SECRET_ID")
        monkeypatch.setenv("VAULT_SECRET_ID_FILE", str(tmp_path / "id"))
    if given == "spec":
        monkeypatch.delenv("VAULT_ROLE_ID")
        spec += f"&auth=approle&role={approle['VAULT_ROLE_ID']}"
    store = open_store(spec)

    with store.lock():
        version = store.save(FIRST, None)
        version = store.save(SECOND, version)

    assert store.load() == (SECOND, version)


def test_a_wrong_secret_id_is_told(approle: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret ID that is not accepted is named as what is wrong, without being shown."""
    monkeypatch.setenv("VAULT_SECRET_ID", "wrong-secret")

    with pytest.raises(onplan.StoreError, match="role ID and secret ID") as caught:
        open_store(f"{SPEC}&mount=apps").load()
    assert "VAULT_SECRET_ID" in caught.value.hint
    assert "wrong-secret" not in str(caught.value)


def test_a_role_without_permission_is_not_called_expired(approle: dict[str, str], vault: Any) -> None:
    """Whoever has just signed in, and still may not, is told what the policy must permit."""
    vault.api(
        "PUT", "sys/policies/acl/onplan", {"policy": 'path "secret/data/x" { capabilities = ["read"] }'}
    )
    vault.api("POST", "auth/apps/role/onplan", {"token_no_default_policy": True})

    with pytest.raises(onplan.StoreError, match="does not permit this token to use secret/data/onplan/me"):
        open_store(f"{SPEC}&mount=apps").load()


class Cluster(BaseHTTPRequestHandler):
    """The one call of the Kubernetes API that Vault makes: is this token a service account's?"""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["spec"]
        user = {"username": "system:serviceaccount:apps:agent", "uid": "u1"}
        status = {"authenticated": True, "user": user, "audiences": asked.get("audiences")}
        body = json.dumps({"kind": "TokenReview", "status": status}).encode()
        self.send_response(201)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def kubernetes(
    vault: Any, start_vault: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Path]:
    """Vault signs in service accounts of a cluster; gives the file with the token of ours."""
    vault.api("PUT", "sys/policies/acl/onplan", {"policy": MINE})
    cluster = ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    thread = threading.Thread(target=cluster.serve_forever, args=(0.01,))
    thread.start()
    vault.api("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
    vault.api(
        "POST",
        "auth/kubernetes/config",
        {
            "kubernetes_host": f"http://127.0.0.1:{cluster.server_port}",
            "kubernetes_ca_cert": start_vault(tls=True).certificate.read_text(),  # any will do
            "token_reviewer_jwt": "reviewer",
            "disable_local_ca_jwt": True,
        },
    )
    account = {"bound_service_account_names": "agent", "bound_service_account_namespaces": "apps"}
    vault.api("POST", "auth/kubernetes/role/onplan", {**account, "token_policies": "onplan"})
    claims = {
        "iss": "https://cluster",
        "sub": "system:serviceaccount:apps:agent",
        "kubernetes.io": {"namespace": "apps", "serviceaccount": {"name": "agent", "uid": "u1"}},
        "nbf": int(time.time()) - 60,
        "exp": int(time.time()) + 600,
    }
    file = tmp_path / "token"
    file.write_text(jwt.encode(claims, rsa.generate_private_key(65537, 2048), algorithm="RS256"))
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("VAULT_KUBERNETES_TOKEN_FILE", str(file))
    yield file
    vault.api("DELETE", "sys/auth/kubernetes")
    cluster.shutdown()
    cluster.server_close()
    thread.join()


def test_kubernetes_signs_in_with_its_service_account(kubernetes: Path) -> None:
    """The pod's own token is all that is needed; a role that does not exist is told."""
    store = open_store(f"{SPEC}&auth=kubernetes&role=onplan")
    version = store.save(FIRST, None)
    assert store.load() == (FIRST, version)

    with pytest.raises(onplan.StoreError, match="service account for the role nobody"):
        open_store(f"{SPEC}&auth=kubernetes&role=nobody").load()
    kubernetes.unlink()
    with pytest.raises(onplan.StoreError, match="no such file"):
        open_store(f"{SPEC}&auth=kubernetes&role=onplan").load()


# --- what we may do ------------------------------------------------------------------------------------


@pytest.fixture
def permit(vault: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go on with a token that a policy permits this, and no more."""

    def change(policy: str) -> None:
        vault.api("PUT", "sys/policies/acl/narrow", {"policy": policy})
        made = vault.api("POST", "auth/token/create", {"policies": ["narrow"]})
        monkeypatch.setenv("VAULT_TOKEN", made["auth"]["client_token"])

    return change


def test_the_documented_policy_is_enough(vault: Any, permit: Callable[[str], None]) -> None:
    """With the policy in the documentation, and nothing more, everything works."""
    permit("\n".join(line for line in (layout.__doc__ or "").splitlines() if "capabilities" in line))
    store = open_store(SPEC)

    with store.lock():
        version = store.save(FIRST, None)
        version = store.save(SECOND, version)
        assert store.load() == (SECOND, version)
    with store.lock():
        store.delete()
    assert store.load() is None


READ = 'path "secret/data/*" { capabilities = ["read"] }\n'
WRITE = 'path "secret/data/*" { capabilities = ["create", "read", "update"] }\n'


@pytest.mark.parametrize(
    ("policy", "work", "path"),
    [
        ('path "secret/data/else" { capabilities = ["read"] }', "load", DATA),
        (READ, "save", DATA),
        (WRITE, "delete", "secret/delete/onplan/me"),
        (READ, "lock", "secret/metadata/onplan/me.lease"),
        (WRITE, "lock", "secret/metadata/onplan/me.lease"),
    ],
)
def test_a_missing_permission_is_named(
    vault: Any, permit: Callable[[str], None], policy: str, work: str, path: str
) -> None:
    """What the policy does not permit is named, with the line to add; it is no reason to sign in again."""
    open_store(SPEC).save(PENDING, None)
    permit(policy)
    store = open_store(SPEC)
    works: dict[str, Callable[[], Any]] = {
        "load": store.load,
        "save": lambda: store.save(FIRST, "1"),
        "delete": store.delete,
        "lock": lambda: store.lock().__enter__(),
    }

    with pytest.raises(onplan.StoreError, match=f"does not permit this token to use {path}\\.") as caught:
        works[work]()
    assert f'path "{path}" {{ capabilities = [' in caught.value.hint
    assert (caught.value.status_code, caught.value.code) == (403, "store")


def test_nothing_is_left_of_what_is_not_permitted(vault: Any, permit: Callable[[str], None]) -> None:
    """A lock that could not be had leaves no secret that would never expire."""
    permit(WRITE)
    with pytest.raises(onplan.StoreError):
        open_store(SPEC).lock().__enter__()

    with pytest.raises(urllib.error.HTTPError):
        vault.api("GET", f"{DATA}.lease")


# --- how it is spelled -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behind", ["", "/", "//", "/v1", "/v1/", "/v1//", "/v1/secret/data/onplan/me", "/ui", "/ui/vault/secrets"]
)
@pytest.mark.parametrize("place", ["variable", "option"])
def test_an_address_as_people_paste_it(
    vault: Any, monkeypatch: pytest.MonkeyPatch, behind: str, place: str
) -> None:
    """The API's root, slashes and pages of the web interface behind the address do not count."""
    spec = SPEC
    if place == "variable":
        monkeypatch.setenv("VAULT_ADDR", vault.address + behind)
    else:
        monkeypatch.delenv("VAULT_ADDR")
        spec += f"&address={vault.address}{behind}"
    store = open_store(spec)
    version = store.save(FIRST, None)

    assert store.load() == (FIRST, version)
    assert vault.address in store.describe()


@pytest.mark.parametrize(
    ("spelled", "path"),
    [
        ("secret/data/onplan/me", "secret/onplan/me"),
        ("/v1/secret/data/onplan/me", "secret/onplan/me"),
        ("v1/secret/onplan/me", "secret/onplan/me"),
        ("secret/data", "secret/data"),  # a secret that is called so
        ("secret/onplan/data/me", "secret/onplan/data/me"),
        ("team/kv/data/me", "team/kv/me"),
        ("team/kv/me", "team/kv/me"),
    ],
)
def test_a_path_as_the_api_spells_it(vault: Any, spelled: str, path: str) -> None:
    """``MOUNT/data/PATH`` is the secret ``MOUNT/PATH``, as everything else that is written there."""
    if path.startswith("team/"):
        vault.mount("team/kv")
    try:
        version = open_store(f"vault:{spelled}?lease=1").save(FIRST, None)

        assert open_store(f"vault:{path}?lease=1").load() == (FIRST, version)
    finally:
        if path.startswith("team/"):
            vault.api("DELETE", "sys/mounts/team/kv")


@pytest.mark.parametrize("place", ["VAULT_TOKEN", "VAULT_TOKEN_FILE", "VAULT_SECRET_ID"])
def test_a_wrapping_token_is_told_as_one(
    request: pytest.FixtureRequest,
    vault: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
) -> None:
    """Where a token or secret ID is still wrapped: one sentence with the command, and it is not used up."""
    if place == "VAULT_SECRET_ID":
        request.getfixturevalue("approle")
    else:
        monkeypatch.delenv("VAULT_TOKEN")
    made = vault.api("POST", "auth/token/create", {}, headers={"X-Vault-Wrap-TTL": "60s"})
    wrapper = made["wrap_info"]["token"]
    if place == "VAULT_TOKEN_FILE":
        (tmp_path / "sink").write_text(wrapper)
        monkeypatch.setenv(place, str(tmp_path / "sink"))
    else:
        monkeypatch.setenv(place, wrapper)

    for _ in range(2):
        with pytest.raises(onplan.StoreError, match="wrapping token") as caught:
            open_store(f"{SPEC}&mount=apps" if place == "VAULT_SECRET_ID" else SPEC).load()
    assert "bao unwrap -field=" in caught.value.hint
    assert wrapper not in f"{caught.value} {caught.value.hint}"
    assert vault.api("POST", "sys/wrapping/lookup", {"token": wrapper})["data"]["creation_path"]
