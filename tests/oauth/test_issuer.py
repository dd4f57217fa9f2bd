"""The issuers' addresses, as the official clients use them (docs/protocol.md)."""

from __future__ import annotations

import pytest

from onplan.errors import ConfigurationError
from onplan.oauth.issuer import CODEX, ISSUERS, SIWC, Issuer

HOST = "https://auth.openai.com"
ADDRESSES: dict[str, tuple[str, str | None]] = {
    "authorization_endpoint": ("/oauth/authorize", "/api/accounts/authorize"),
    "token_endpoint": ("/oauth/token", "/api/accounts/oauth/token"),
    "revocation_endpoint": ("/oauth/revoke", None),
    "configuration_url": ("/.well-known/openid-configuration", "/.well-known/openid-configuration"),
    "jwks_uri": ("/.well-known/jwks.json", "/.well-known/jwks.json"),
    "device_token_endpoint": ("/api/accounts/deviceauth/token", "/api/accounts/deviceauth/token"),
    "verification_uri": ("/codex/device", "/codex/device"),
    "device_redirect_uri": ("/deviceauth/callback", "/deviceauth/callback"),
}


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("url", [HOST, "http://127.0.0.1:9"])
def test_where_its_endpoints_are(name: str, url: str) -> None:
    """Each endpoint is below the issuer's URL, also where that is another; None if it has none."""
    for issuer, path in zip((CODEX, SIWC), ADDRESSES[name], strict=True):
        assert getattr(issuer.at(url), name) == (None if path is None else url + path)


def test_a_sign_in_by_device_code_is_the_codex_issuers() -> None:
    """The other has none: the error says what to run instead."""
    assert CODEX.device_authorization_endpoint == f"{HOST}/api/accounts/deviceauth/usercode"
    with pytest.raises(ConfigurationError) as caught:
        _ = SIWC.device_authorization_endpoint
    assert "onplan login --paste" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("issuer", "facts"),
    [
        (CODEX, ("app_EMoamEEZ73f0CkXaXp7hrann", (1455, 1457), False, "localhost", None, False)),
        (SIWC, ("dynamic_agent_client", (0,), True, "127.0.0.1", "https://api.openai.com/v1", True)),
    ],
    ids=["codex", "siwc"],
)
def test_what_is_registered_for_it(issuer: Issuer, facts: tuple[object, ...]) -> None:
    """Client, ports, host and resource are those that OpenAI has registered: others are refused there."""
    found = (
        issuer.client_id,
        issuer.ports,
        issuer.registers,
        issuer.redirect_host,
        issuer.resource,
        issuer.forms,
    )

    assert found == facts
    assert ISSUERS[issuer.kind] is issuer
    assert issuer.url == HOST


def test_another_address_must_be_safe() -> None:
    """A token goes to https, or to this machine; without another address the issuer stays as it is."""
    assert CODEX.at(None) is CODEX
    assert CODEX.at("https://issuer.example/").url == "https://issuer.example"
    with pytest.raises(ConfigurationError, match="ONPLAN_ISSUER"):
        CODEX.at("http://issuer.example", "ONPLAN_ISSUER")
