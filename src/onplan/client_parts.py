"""What onplan's own commands and checks use of a client besides its public methods, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onplan.client import Client
from onplan.config.settings import Settings
from onplan.tokens.api_key import KeyHolder
from onplan.tokens.manager import TokenManager
from onplan.turn.catalogue_cache import CatalogueCache, Listing


def listing_of(client: Client) -> Listing:
    """Ask the backend for its models now; unlike ``list_models``, the result says why they are built-in ones.

    Raises as ``list_models``.
    """
    return client._list_models()


def keep_catalogue(client: Client, cache_for: Callable[[Settings], CatalogueCache]) -> None:
    """Keep the models of ``client`` in ``cache_for(settings)``; to be called before its first request.

    Compatible servers list first the model that is loaded now, so theirs are not kept.
    """
    settings = client._assembly.settings
    if not settings.backend.is_compatible:
        client._context = replace(client._context, catalogue=cache_for(settings))


def tokens_of(client: Client) -> TokenManager | KeyHolder:
    """What hands out the credentials of ``client``."""
    return client._assembly.tokens
