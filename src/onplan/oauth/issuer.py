"""The authorization servers, as a table: their endpoints, client ids and scopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onplan.backends import IssuerKind
from onplan.errors import ConfigurationError
from onplan.flow import require_safe_url


@dataclass(frozen=True)
class Issuer:
    """An authorization server (RFC 8414), and what onplan sends to it.

    Attributes:
        kind: its key in ``ISSUERS``; it stays the same when the address is another.
        name: shown to people.
        url: scheme and host, without a trailing slash.
        client_id: the public client (RFC 8252 §8.4) that a sign-in uses.
        scopes: the scopes that a sign-in asks for.
        authorize_parameters: extra query parameters that its authorize page expects.
        ports: ports that the redirect listener tries, in order; 0 is any free one.
        registers: whether the authorization endpoint registers a client for each person and workspace. Then
            ``client_id`` is only the one that asks for it; the registered one is used from then on.
        redirect_host: the host of the redirect URI, exactly as registered.
        resource: the API that tokens are for (RFC 8707), if it must be named.
        forms: whether refreshes and revocations are sent as forms, as the RFCs say, or else as JSON.
        revoke_path: None if the endpoint must be discovered.
        device_authorization_path: None if there is no sign-in by device code.
    """

    kind: IssuerKind
    name: str
    url: str
    client_id: str
    scopes: tuple[str, ...]
    authorize_parameters: Mapping[str, str]
    ports: tuple[int, ...]
    registers: bool = False
    redirect_host: str = "localhost"
    resource: str | None = None
    forms: bool = False
    authorize_path: str = "/oauth/authorize"
    token_path: str = "/oauth/token"  # noqa: S105 - a path
    revoke_path: str | None = "/oauth/revoke"
    discovery_path: str = "/.well-known/openid-configuration"
    jwks_path: str = "/.well-known/jwks.json"
    device_authorization_path: str | None = "/api/accounts/deviceauth/usercode"
    device_token_path: str = "/api/accounts/deviceauth/token"  # noqa: S105 - a path
    device_page_path: str = "/codex/device"
    device_redirect_path: str = "/deviceauth/callback"

    @property
    def authorization_endpoint(self) -> str:
        """The page that the browser opens (RFC 6749 §3.1)."""
        return self.url + self.authorize_path

    @property
    def token_endpoint(self) -> str:
        """The endpoint that takes codes and refresh tokens (RFC 6749 §3.2)."""
        return self.url + self.token_path

    @property
    def revocation_endpoint(self) -> str | None:
        """The endpoint that revokes tokens (RFC 7009); None if it must be discovered."""
        return None if self.revoke_path is None else self.url + self.revoke_path

    @property
    def configuration_url(self) -> str:
        """The server's description of itself (OpenID Connect Discovery 1.0 §4)."""
        return self.url + self.discovery_path

    @property
    def jwks_uri(self) -> str:
        """The public keys that verify its ID tokens (RFC 7517 §5)."""
        return self.url + self.jwks_path

    @property
    def device_authorization_endpoint(self) -> str:
        """The endpoint that issues user codes (RFC 8628 §3.1).

        Raises ConfigurationError if there is no sign-in by device code.
        """
        if self.device_authorization_path is None:
            raise ConfigurationError(
                f"{self.name} has no sign-in by device code.",
                hint="Run `onplan login --paste`, with a browser on any machine.",
            )
        return self.url + self.device_authorization_path

    @property
    def device_token_endpoint(self) -> str:
        """The endpoint that is polled until the person has approved."""
        return self.url + self.device_token_path

    @property
    def verification_uri(self) -> str:
        """The page where the person enters the user code (RFC 8628 §3.3)."""
        return self.url + self.device_page_path

    @property
    def device_redirect_uri(self) -> str:
        """The redirect URI that belongs to a device's authorization code; nothing is redirected to it."""
        return self.url + self.device_redirect_path

    def at(self, url: str | None, source: str = "The issuer") -> Issuer:
        """This issuer at another URL, of the emulator or of the server that issued the tokens; None: itself.

        Raises ConfigurationError, naming ``source``, if a token may not be sent to ``url``.
        """
        return replace(self, url=require_safe_url(url, source)) if url else self


CODEX = Issuer(
    kind="codex",
    name="the Codex sign-in",
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

# "Sign in with ChatGPT", as open-source programs that run locally may offer it.
SIWC = Issuer(
    kind="siwc",
    name="Sign in with ChatGPT",
    url="https://auth.openai.com",
    client_id="dynamic_agent_client",
    scopes=("openid", "profile", "email", "offline_access", "resource.invoke", "chatgpt.tokens.use.direct"),
    authorize_parameters={},
    ports=(0,),
    registers=True,
    redirect_host="127.0.0.1",
    resource="https://api.openai.com/v1",
    forms=True,
    authorize_path="/api/accounts/authorize",
    token_path="/api/accounts/oauth/token",  # noqa: S106 - a path
    revoke_path=None,
    device_authorization_path=None,
)

ISSUERS: Mapping[IssuerKind, Issuer] = {issuer.kind: issuer for issuer in (CODEX, SIWC)}
