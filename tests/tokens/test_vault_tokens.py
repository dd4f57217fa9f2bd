"""Vault tokens about to expire: a refresh token is spent only if the new tokens can be saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.stores import open_store
from onplan.stores.vault import lasting

pytestmark = pytest.mark.parametrize("spec", ["vault"], indirect=True)

POLICY = 'path "secret/*" { capabilities = ["create", "read", "update"] }'


@pytest.fixture
def use(vault: Any, sign_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Sign in as the administrator; then have VAULT_TOKEN hold a new token of this kind, which is given."""
    sign_in()
    vault.api("PUT", "sys/policies/acl/mine", {"policy": POLICY})

    def create(**kind: Any) -> str:
        made = vault.api("POST", "auth/token/create", {"policies": ["mine"], **kind})
        token: str = made["auth"]["client_token"]
        monkeypatch.setenv("VAULT_TOKEN", token)
        return token

    return create


def refresh_token(monkeypatch: pytest.MonkeyPatch, spec: str) -> str | None:
    """What is stored, as the administrator sees it."""
    monkeypatch.setenv("VAULT_TOKEN", "root")
    record, _ = open_store(spec).load()  # type: ignore[misc]
    assert record.credentials
    return record.credentials.refresh_token


def outcome() -> str:
    with onplan.Client() as client:
        try:
            client.credentials()
        except onplan.StoreError as error:
            return f"{error} {error.hint}"
    return "refreshed"


def test_however_few_requests_are_left(
    spec: str,
    use: Callable[..., str],
    sign_in: Callable[..., Any],
    refreshes: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With 1 to 20 uses left: either the rotated set is saved, or no refresh token was sent."""
    outcomes = {}
    for uses in range(1, 21):
        monkeypatch.setenv("VAULT_TOKEN", "root")
        before = sign_in().refresh_token
        use(num_uses=uses)
        outcomes[uses] = outcome()
        changed = refresh_token(monkeypatch, spec) != before

        assert (changed, refreshes()) in ((True, [200]), (False, [])), (uses, outcomes[uses])
        assert changed is (outcomes[uses] == "refreshed"), (uses, outcomes[uses])
    assert outcomes[1] != "refreshed" == outcomes[20]
    said = [words for words in outcomes.values() if "so nothing was spent" in words]
    assert said
    assert all("requests" in words and "VAULT_TOKEN" in words for words in said)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({"ttl": "20s", "renewable": False}, "seconds only"),
        ({"ttl": "20s", "explicit_max_ttl": "25s"}, "seconds only"),
        ({"ttl": "20s", "renewable": False, "num_uses": 3}, "VAULT_TOKEN to a new token"),
        ({"ttl": "20s", "num_uses": 50, "period": "20s"}, "nothing was spent"),
        ({"ttl": "2h"}, "refreshed"),
        ({"ttl": "2h", "renewable": False}, "refreshed"),
        ({"ttl": "2h", "num_uses": 50}, "refreshed"),
        ({"ttl": "2h", "no_default_policy": True}, "refreshed"),  # may not look itself up
    ],
    ids=str,
)
def test_however_little_time_is_left(
    spec: str,
    use: Callable[..., str],
    refreshes: Callable[[], list[int]],
    kind: dict[str, Any],
    expected: str,
) -> None:
    """A token that may end during a refresh is noticed before anything is spent; others are used."""
    use(**kind)

    assert expected in outcome()
    assert refreshes() == ([200] if expected == "refreshed" else [])


def test_a_token_that_can_be_renewed_is_renewed(
    vault: Any, spec: str, use: Callable[..., str], refreshes: Callable[[], list[int]]
) -> None:
    """A token with 20 seconds left of an hour is renewed first, as its server permits."""
    token = use(ttl="1h", renewable=True)
    vault.api("POST", "auth/token/renew", {"token": token, "increment": "20s"})
    left = vault.api("POST", "auth/token/lookup", {"token": token})["data"]["ttl"]
    if left >= lasting.SECONDS:
        pytest.skip("this server does not shorten a token's time")

    assert outcome() == "refreshed"
    assert refreshes() == [200]
    assert vault.api("POST", "auth/token/lookup", {"token": token})["data"]["ttl"] >= lasting.SECONDS


def test_a_newer_token_in_the_file_is_used(
    spec: str,
    use: Callable[..., str],
    tmp_path: Path,
    refreshes: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the token that was read has little left and an agent has written the next, that is taken."""
    sink = tmp_path / "sink"
    old, new = use(num_uses=6), use()
    sink.write_text(old)
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(sink))
    store = open_store(spec)
    with onplan.Client(store=store) as client:
        store.load()
        sink.write_text(new)
        client.credentials()

    assert refreshes() == [200]


def test_a_role_signs_in_anew(
    vault: Any,
    spec: str,
    use: Callable[..., str],
    refreshes: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An AppRole whose tokens have few uses and little time gets as many as it needs."""
    use()
    vault.api("POST", "sys/auth/apps", {"type": "approle"})
    try:
        role = {"token_policies": ["mine"], "token_num_uses": 3, "token_ttl": "20s"}
        vault.api("POST", "auth/apps/role/onplan", role)
        monkeypatch.delenv("VAULT_TOKEN")
        made = vault.api("POST", "auth/apps/role/onplan/secret-id", {})["data"]["secret_id"]
        monkeypatch.setenv("VAULT_SECRET_ID", made)
        monkeypatch.setenv(
            "VAULT_ROLE_ID", vault.api("GET", "auth/apps/role/onplan/role-id")["data"]["role_id"]
        )
        monkeypatch.setenv("ONPLAN_STORE", f"{spec}&mount=apps")

        assert outcome() == "refreshed"
        assert refreshes() == [200]
    finally:
        vault.api("DELETE", "sys/auth/apps")
