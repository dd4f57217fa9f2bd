"""Authorization servers and their constants, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onplan.wire import require_safe_url


@dataclass(frozen=True)
class Issuer:
    """An authorization server (RFC 8414) and what this kind of client says to it.

    Attributes:
        url: scheme and host, without a trailing slash.
        client_id: the public client (RFC 8252 §8.4) that a sign-in uses.
        scopes: what is asked for.
        authorize_parameters: extra query parameters that its authorize page expects.
        ports: where the redirect listener tries to listen, in order.
    """

    url: str
    client_id: str
    scopes: tuple[str, ...]
    authorize_parameters: Mapping[str, str]
    ports: tuple[int, ...]
    authorize_path: str = "/oauth/authorize"
    token_path: str = "/oauth/token"  # noqa: S105 - a path
    revoke_path: str = "/oauth/revoke"
    device_authorization_path: str = "/api/accounts/deviceauth/usercode"
    device_token_path: str = "/api/accounts/deviceauth/token"  # noqa: S105 - a path
    device_page_path: str = "/codex/device"
    device_redirect_path: str = "/deviceauth/callback"

    @property
    def authorization_endpoint(self) -> str:
        """Where the browser goes."""
        return self.url + self.authorize_path

    @property
    def token_endpoint(self) -> str:
        """Where codes and refresh tokens are exchanged."""
        return self.url + self.token_path

    @property
    def revocation_endpoint(self) -> str:
        """Where tokens are revoked (RFC 7009)."""
        return self.url + self.revoke_path

    @property
    def device_authorization_endpoint(self) -> str:
        """Where a device asks for a user code (RFC 8628 §3.1)."""
        return self.url + self.device_authorization_path

    @property
    def device_token_endpoint(self) -> str:
        """Where a device asks whether the person has approved."""
        return self.url + self.device_token_path

    @property
    def verification_uri(self) -> str:
        """Where the person enters the user code (RFC 8628 §3.3)."""
        return self.url + self.device_page_path

    @property
    def device_redirect_uri(self) -> str:
        """The redirect URI of a code that was issued to a device; nothing is redirected there."""
        return self.url + self.device_redirect_path

    def at(self, url: str | None, source: str = "The issuer") -> Issuer:
        """The same server at another address: the emulator, or the one that a credential came from.

        ``None`` is this one. Raises ConfigurationError, naming ``source``, where a token may not travel.
        """
        return replace(self, url=require_safe_url(url, source)) if url else self


CODEX = Issuer(
    url="https://auth.openai.com",
    client_id="app_EMoamEEZ73f0CkXaXp7hrann",
    scopes=(
        "openid",
        "profile",
        "email",
        "offline_access",
        "api.connectors.read",
        "api.connectors.invoke",
    ),
    authorize_parameters={
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
        # The sign-in belongs to the Codex client, so it is named here as its flow expects.
        "originator": "codex_cli_rs",
    },
    ports=(1455, 1457),
)

ISSUERS: Mapping[str, Issuer] = {"codex": CODEX}
