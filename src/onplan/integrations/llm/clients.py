"""The clients that answer, one pair for each profile and its settings, kept while their process runs."""

from __future__ import annotations

import atexit
from weakref import WeakSet

from onplan import AsyncClient, Client, async_client_parts, client_parts
from onplan.config.catalogue_file import CatalogueFile
from onplan.config.settings import load_settings
from onplan.integrations.client_pair import ClientPair
from onplan.locks import Lock


class Clients:
    """Makes clients on first use. Each serves threads, forked children and any number of event loops."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pairs: dict[object, ClientPair] = {}
        self._begun: WeakSet[Client | AsyncClient] = WeakSet()
        atexit.register(self._close)

    def client(self, profile: str | None) -> Client:
        """The client for ``profile``, or the profile in use. Raises ConfigurationError."""
        with self._lock:
            client = self._pair(profile).sync
            if client not in self._begun:
                client_parts.keep_catalogue(client, CatalogueFile)
                self._begun.add(client)
            return client

    def async_client(self, profile: str | None) -> AsyncClient:
        """The same for the running event loop, with which its connections end. Raises ConfigurationError."""
        with self._lock:
            client = self._pair(profile).asynchronous
            if client not in self._begun:
                async_client_parts.keep_catalogue(client, CatalogueFile)
                self._begun.add(client)
            return client

    def _pair(self, profile: str | None) -> ClientPair:
        """The clients for what environment and configuration say now; a program may change them."""
        settings = load_settings(profile=profile)
        key = (settings.key, settings.issuer.url, settings.backend.api, settings.model, profile)
        if key not in self._pairs:
            self._pairs[key] = ClientPair({"profile": profile})
        return self._pairs[key]

    def _close(self) -> None:
        for pair in self._pairs.values():
            pair.close()


CLIENTS = Clients()
