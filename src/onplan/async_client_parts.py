"""What the service and the integrations use of an ``AsyncClient`` besides its public methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onplan.async_client import AsyncClient
from onplan.config.settings import Settings
from onplan.errors import SignInAgainError
from onplan.stores import Record
from onplan.tokens.manager import TokenManager
from onplan.turn.catalogue_cache import CatalogueCache, account_of
from onplan.turn.context import Context


def context_of(client: AsyncClient) -> Context:
    """What all turns of ``client`` have in common."""
    return client._context


def settings_of(client: AsyncClient) -> Settings:
    """The settings with which ``client`` was made."""
    return client._assembly.settings


async def account_in_use(client: AsyncClient) -> str:
    """Tells the account apart that ``client`` asks for now (``account_of``). Raises CredentialError."""
    return account_of(await client._assembly.tokens.credentials_async())


def why_ended(client: AsyncClient, record: Record) -> SignInAgainError | None:
    """Why the sign-in in ``record`` can be used no more, as far as ``client`` has found out."""
    tokens = client._assembly.tokens
    return tokens.why_ended(record) if isinstance(tokens, TokenManager) else None


async def close_connections(client: AsyncClient) -> None:
    """Close the connections that belong to the running event loop; those of other loops stay open."""
    await client._transport.close()
    if client._assembly.sockets:
        await client._assembly.sockets.close()


def keep_catalogue(client: AsyncClient, cache_for: Callable[[Settings], CatalogueCache]) -> None:
    """Keep the models of ``client`` in ``cache_for(settings)``; to be called before its first request.

    Compatible servers list first the model that is loaded now, so theirs are not kept.
    """
    settings = client._assembly.settings
    if not settings.backend.is_compatible:
        client._context = replace(client._context, catalogue=cache_for(settings))
