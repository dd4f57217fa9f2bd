"""What the service uses of an ``AsyncClient`` besides its public methods, in one place."""

from __future__ import annotations

from onplan.async_client import AsyncClient
from onplan.config.settings import Settings
from onplan.turn.context import Context


def context_of(client: AsyncClient) -> Context:
    """What all turns of ``client`` have in common."""
    return client._context


def settings_of(client: AsyncClient) -> Settings:
    """The settings with which ``client`` was made."""
    return client._assembly.settings
