"""The provider for agents that keep their own credentials."""

from __future__ import annotations

import asyncio
import os
import time
from typing import NamedTuple, Self, Unpack

from onplan.assembly import ProviderOptions, hide_secrets
from onplan.async_client import AsyncClient
from onplan.backends import OPENAI_CODEX
from onplan.config.settings import load_settings
from onplan.flow import adrive
from onplan.oauth import authorization_code
from onplan.secret import SecretText
from onplan.stores import CredentialStore, Record, open_store
from onplan.stores.memory import MemoryStore
from onplan.transports.httpx2_async import AsyncHTTPTransport
from onplan.types import OAuthCredentials


class AuthorizationURL(NamedTuple):
    """Where the person signs in, and what the program must keep until they have."""

    url: str
    verifier: str
    state: str

    def __repr__(self) -> str:
        """Masked: the verifier and the state are secrets."""
        return "AuthorizationURL(…)"


class OpenAICodexProvider(AsyncClient):
    """The ``openai-codex`` backend for a program that keeps the credential itself.

    The credential is refreshed when it must be; ``await provider.credentials()`` gives the current one to
    keep. Without credentials it is the client of the signed-in profile.
    """

    def __init__(
        self, credentials: OAuthCredentials | None = None, **options: Unpack[ProviderOptions]
    ) -> None:
        """As ``AsyncClient``.

        ``credentials`` are kept in this object's memory; or in ``store`` if one is given, unless it holds
        some already, which then count: they may have been refreshed since.
        """
        hide_secrets(options)
        if credentials is not None:
            options["store"] = _holding(credentials, options.get("store"))
        super().__init__(backend=OPENAI_CODEX.name, **options)

    @classmethod
    def from_credentials(cls, credentials: OAuthCredentials, **options: Unpack[ProviderOptions]) -> Self:
        """A provider that uses ``credentials``; ``options`` as for ``AsyncClient``."""
        hide_secrets(options)
        return cls(credentials, **options)

    @staticmethod
    def get_authorization_url(redirect_uri: str | None = None) -> AuthorizationURL:
        """Where the person signs in: ``(url, verifier, state)``. Touches no network.

        The default redirect is ``http://localhost:1455/auth/callback``. Compare the ``state`` that comes
        back before you exchange the code.
        """
        issuer = load_settings(backend=OPENAI_CODEX.name).issuer
        redirect = redirect_uri or authorization_code.redirect_uri(issuer.ports[0])
        started = authorization_code.start(issuer, redirect)
        return AuthorizationURL(started.url, started.verifier, started.state)

    @staticmethod
    async def exchange_code(code: str, verifier: str, redirect_uri: str | None = None) -> OAuthCredentials:
        """Exchange the authorization code. Raises SignInError or TransportError."""
        issuer = load_settings(backend=OPENAI_CODEX.name).issuer
        redirect = redirect_uri or authorization_code.redirect_uri(issuer.ports[0])
        code, verifier = SecretText(code), SecretText(verifier)  # from here on without a printed form
        flow = authorization_code.exchange(issuer, code, verifier, redirect, time.time)
        transport = AsyncHTTPTransport()
        try:
            return await adrive(flow, transport.fetch, asyncio.sleep)
        finally:
            await transport.close()


def _holding(
    credentials: OAuthCredentials, store: str | os.PathLike[str] | CredentialStore | None
) -> CredentialStore:
    record = Record(credentials=credentials)
    if store is None:
        return MemoryStore(record=record)
    opened = open_store(store) if isinstance(store, str | os.PathLike) else store
    with opened.lock():
        if opened.load() is None:
            opened.save(record, None)
    return opened
