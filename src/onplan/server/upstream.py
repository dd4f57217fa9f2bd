"""What stands behind the server: clients that ask the models, and the sign-in that they use."""

from __future__ import annotations

import asyncio
import logging

from onplan.assembly import AsyncClientOptions
from onplan.async_client import AsyncClient
from onplan.async_client_parts import why_ended
from onplan.config.hints import complete_commands, not_signed_in
from onplan.config.settings import Settings
from onplan.dialects.openai_chat.kept_turns import KeptTurns
from onplan.errors import OnplanError
from onplan.server.limits import KeyLimits
from onplan.service.options import ServiceOptions
from onplan.service.response_stores import MemoryStore, ResponseStore
from onplan.service.service import Service
from onplan.stores import CredentialStore, why_empty
from onplan.tokens.api_key import KeyHolder
from onplan.types import APIKey, Limits

_SHARED = ("", None)  # what callers without a share have in common

logger = logging.getLogger("onplan.server")


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
        self._kept = KeptTurns()
        self._clients: dict[tuple[str, float | None], AsyncClient] = {}
        self._services: dict[tuple[str, float | None], Service] = {}

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.close()

    def service_of(self, caller: str, limits: KeyLimits) -> Service:
        """The service that answers a caller, by its identity and what it may use."""
        share = limits.window_share
        key = (caller, share) if share is not None else _SHARED
        service = self._services.get(key)
        if service is None:
            service = Service(self._client_of(*key), self._service_options, self._responses, self._kept)
            self._services[key] = service
        return service

    def _client_of(self, caller: str, share: float | None) -> AsyncClient:
        client = self._clients.get((caller, share))
        if client is None:
            options = self._options.copy()
            options["max_window_share"] = share
            client = self._clients[caller, share] = AsyncClient(**options)
        return client

    def reload(self, options: ServiceOptions) -> None:
        """Answer by other options from now on; clients, with their connections and budgets, stay.

        What was kept of turns and responses stays, too.
        """
        self._service_options = options
        self._services.clear()

    def warm(self) -> None:
        """Make the client that callers share, so that the first request need not wait for it."""
        try:
            self._client_of(*_SHARED)
        except OnplanError as error:
            logger.error("no request can be answered: %s", error)  # noqa: TRY400 - the sentence says it all

    async def warn(self) -> None:
        """Log why no request can be answered, if that is known without sending one."""
        if error := await self.why_not_ready():
            logger.warning("no request can be answered: %s %s", error.message, error.hint)

    async def limits(self) -> Limits:
        """What the plan has left. Raises OnplanError."""
        return await self._client_of(*_SHARED).limits()

    async def why_not_ready(self) -> OnplanError | None:
        """Why no request can be answered, by the store and by what earlier requests have found out.

        Nothing is refreshed or sent. None if there is no such reason.
        """
        try:
            error = await asyncio.to_thread(self._look)
        except OnplanError as failure:
            error = failure
        if error:
            complete_commands(error, self._settings)
        return error

    def _look(self) -> OnplanError | None:
        backend, profile = self._settings.backend, self._settings.profile
        if backend.credential is APIKey:
            record, found = None, KeyHolder(self._settings, self._store).source() is not None
        else:
            stored = self._store.load()
            record = stored.record if stored else None
            found = record is not None and record.credentials is not None
        if not found:
            return not_signed_in(profile, backend.name, why_empty(self._store))
        ended = (why_ended(client, record) for client in tuple(self._clients.values()) if record)
        return next(filter(None, ended), None)
