"""What stands behind the server: clients that ask the models, and the sign-in that they use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import cached_property

from onplan.assembly import AsyncClientOptions
from onplan.async_client import AsyncClient
from onplan.config.hints import not_signed_in
from onplan.config.settings import Settings
from onplan.errors import ConfigurationError, OnplanError
from onplan.server.limits import KeyLimits
from onplan.service.options import ServiceOptions
from onplan.service.response_stores import MemoryStore, ResponseStore
from onplan.service.service import Service
from onplan.stores import CredentialStore, why_empty
from onplan.tokens.api_key import KeyHolder
from onplan.types import APIKey, Limits

logger = logging.getLogger("onplan.server")


def require_servable(settings: Settings) -> None:
    """Raise ConfigurationError for a backend that may be used by the connected application alone."""
    if settings.backend.name == "chatgpt-plan":
        raise ConfigurationError(
            "The backend chatgpt-plan is for the application that is connected to the plan, and for no other "
            "programs, so it is not served.",
            hint="Sign in for openai-codex instead: `onplan login --backend openai-codex`.",
        )


class Upstream:
    """The services of the server, and what it asks about the plan.

    Callers share one client, whose connections stay warm; one with a share of the usage windows has a client
    of its own, which keeps the budget. Use it with ``async with``.

    Args:
        settings, store: of the profile.
        service_options: what the person decided.
        options: of the clients.
        responses: where responses are kept; in memory without it, for a server of one process.
    """

    def __init__(
        self,
        settings: Settings,
        store: CredentialStore,
        service_options: ServiceOptions,
        options: AsyncClientOptions,
        responses: ResponseStore | None = None,
    ) -> None:
        self._settings, self._store, self._options = settings, store, options
        self._service_options, self._responses = service_options, responses or MemoryStore()
        self._own: dict[str, tuple[float, Service]] = {}
        self._clients: list[AsyncClient] = []

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.close()

    def service_of(self, caller: str, limits: Mapping[str, KeyLimits]) -> Service:
        """The service that answers a caller."""
        share = limits[caller].window_share if caller in limits else None
        if share is None:
            return self._shared
        known = self._own.get(caller)
        if known is None or known[0] != share:
            options = self._options.copy()
            options["max_window_share"] = share
            known = self._own[caller] = (share, self._service(self._client_with(options)))
        return known[1]

    @cached_property
    def _client(self) -> AsyncClient:
        return self._client_with(self._options)

    @cached_property
    def _shared(self) -> Service:
        return self._service(self._client)

    def _client_with(self, options: AsyncClientOptions) -> AsyncClient:
        self._clients.append(AsyncClient(**options))
        return self._clients[-1]

    def _service(self, client: AsyncClient) -> Service:
        return Service(client, self._service_options, self._responses)

    def warm(self) -> None:
        """Make the client that callers share, so that the first request need not wait for it."""
        try:
            self._shared  # noqa: B018 - it is made when it is looked at
        except OnplanError as error:
            logger.error("no request can be answered: %s", error)  # noqa: TRY400 - the sentence says it all

    async def limits(self) -> Limits:
        """What the plan has left. Raises OnplanError."""
        return await self._client.limits()

    async def why_not_ready(self) -> OnplanError | None:
        """Why no request can be answered, by the store alone; None if there is no such reason."""
        try:
            return await asyncio.to_thread(self._look)
        except OnplanError as error:
            return error

    def _look(self) -> OnplanError | None:
        backend, profile = self._settings.backend, self._settings.profile
        if backend.credential is APIKey:
            found = KeyHolder(self._settings, self._store).source() is not None
        else:
            stored = self._store.load()
            found = stored is not None and stored.record.credentials is not None
        return None if found else not_signed_in(profile, backend.name, why_empty(self._store))
