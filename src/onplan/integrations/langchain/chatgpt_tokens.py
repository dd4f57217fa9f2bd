"""Tokens of the plan for langchain-openai's own class for ChatGPT plans, from onplan's sign-in.

That class is private and experimental as yet; nothing of it is imported here. It takes any object with these
four methods as its ``token_provider``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Unpack

from onplan.assembly import ClientOptions
from onplan.client import Client
from onplan.errors import utc_time
from onplan.integrations.langchain.errors import langchain_errors
from onplan.types import OAuthCredentials

NEVER_HANDED_OUT = "kept-by-onplan"
"""Stands for the refresh token, which only onplan spends: a second one would end the sign-in."""


@dataclass(frozen=True)
class ChatGPTToken:
    """An access token, with what it says of itself."""

    access_token: str = field(repr=False)
    expires_at: datetime
    account_id: str | None = None
    plan_type: str | None = None
    user_id: str | None = None
    id_token: str | None = field(default=None, repr=False)
    refresh_token: str = field(default=NEVER_HANDED_OUT, repr=False)


class ChatGPTTokenProvider:
    """Hands out fresh access tokens of the sign-in that onplan keeps, on the backend ``openai-codex``.

    Any number of threads, tasks and processes share one refresh. Its options are those of ``onplan.Client``.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        options.setdefault("backend", "openai-codex")
        self._client = Client(**options)

    def get_token(self) -> ChatGPTToken:
        """A token that is fresh now. Raises ModelAuthenticationError, which is a CredentialError, too."""
        with langchain_errors():
            return _token(self._client.credentials())

    async def aget_token(self) -> ChatGPTToken:
        """As ``get_token``; what may block is done on another thread."""
        return await asyncio.to_thread(self.get_token)

    def get_access_token(self) -> str:
        """The access token alone."""
        return self.get_token().access_token

    async def aget_access_token(self) -> str:
        """The access token alone."""
        return (await self.aget_token()).access_token


def _token(credentials: OAuthCredentials) -> ChatGPTToken:
    return ChatGPTToken(
        access_token=credentials.access_token,
        expires_at=utc_time(credentials.expires_at) or datetime.max.replace(tzinfo=UTC),
        account_id=credentials.account_id,
        plan_type=credentials.plan,
    )
