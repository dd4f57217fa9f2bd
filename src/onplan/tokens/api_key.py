"""The API key of a backend that has no sign-in: the program's own, the environment's, or a stored one.

``KeyHolder`` has the methods of ``TokenManager``, for an API key: nothing is refreshed, and a sign-in in the
store is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from onplan.backends import Backend, is_same_server
from onplan.config.environment import environment_variable
from onplan.config.settings import Settings
from onplan.errors import ConfigurationError, NotSignedInError, SignInAgainError, StoreError
from onplan.flow import is_loopback
from onplan.secret import SecretText
from onplan.stores import CredentialStore, Record, require_permitted
from onplan.tokens.manager import TokenManager
from onplan.tokens.refresher import Send
from onplan.turn.context import Recorder
from onplan.types import APIKey, Credential, OAuthCredentials


def token_manager_for(
    settings: Settings,
    store: CredentialStore,
    send: Send,
    api_key: str | None,
    *,
    prepare: Callable[[], object] = lambda: None,
    recorder: Recorder | None = None,
) -> TokenManager | KeyHolder:
    """What returns credentials for the backend: a token manager, or a holder of its API key.

    Raises:
        ConfigurationError: an ``api_key`` is given for a backend that takes none, or the backend's
            credentials may not be kept in ``store``.
    """
    require_permitted(store, settings.backend)
    if settings.backend.credential is APIKey:
        return KeyHolder(settings, store, api_key)
    if api_key is not None:
        raise _no_key_wanted(settings.backend)
    return TokenManager(
        store,
        settings.issuer,
        send,
        profile=settings.profile,
        backend=settings.backend.name,
        prepare=prepare,
        recorder=recorder,
    )


def _no_key_wanted(backend: Backend) -> ConfigurationError:
    return ConfigurationError(
        f"{backend.name} takes no API key: the plan pays there.",
        hint='Name the backend that the key is for: `backend="openai"`, `--backend openai`.',
    )


def require_sign_in(credential: Credential, backend: Backend) -> OAuthCredentials:
    """``credential``, if it is a sign-in. Raises ConfigurationError for an API key."""
    if isinstance(credential, OAuthCredentials):
        return credential
    raise ConfigurationError(
        f"{backend.name} has no sign-in: it takes an API key.",
        hint="Choose another backend: `--backend`.",
    )


def keep_key(settings: Settings, store: CredentialStore, key: str) -> None:
    """Store ``key`` in ``store``, for the backend of ``settings``.

    Raises:
        ConfigurationError: the backend takes no key, or the profile is signed in with a plan: a profile has
            one or the other, so that it is certain what requests are billed to.
        StoreError: it cannot be stored there.
    """
    key = SecretText(key)
    if settings.backend.credential is not APIKey:
        raise _no_key_wanted(settings.backend)
    with store.lock():
        loaded = store.load()
        record, version = loaded or (Record(), None)
        if record.credentials:
            raise ConfigurationError(
                f"The profile {settings.profile} is signed in with a ChatGPT plan.",
                hint=f"Give the key a profile of its own: `--profile {settings.backend.name}`.",
            )
        changed = msgspec.structs.replace(record, api_key=str(key), api_key_for=settings.base_url)
        store.save(changed, version)
        kept = store.load()
    if kept is None or kept.record.api_key != key:
        raise StoreError(
            f"{store.describe()} holds sign-ins only, and no API key.",
            hint="Choose another store: `--store`.",
        )


class KeyHolder:
    """Returns the API key; the store is read on first use, and only if the key is not given otherwise.

    Args:
        settings: the backend and its address.
        store: where a key may be stored.
        given: the key that the program passed.
    """

    def __init__(self, settings: Settings, store: CredentialStore, given: str | None = None) -> None:
        self._settings, self._store = settings, store
        self._given = None if given is None else SecretText(given.strip())
        self._key: APIKey | None = None

    def credentials(self) -> APIKey:
        """Return the key; if there is none, an empty one for a server on this machine.

        Raises:
            NotSignedInError: there is none, and the server is not on this machine.
            StoreError: the store could not be read.
        """
        if self._key is None:
            self._key = self._require()
        return self._key

    def replace(self, access_token: str, *, again: bool = False) -> APIKey:
        """Raise SignInAgainError: an API key cannot be refreshed."""
        raise SignInAgainError("The API key is not accepted.")

    def drain(self) -> None:
        """Do nothing: there is no refresh to wait for."""

    async def credentials_async(self) -> APIKey:
        """As ``credentials``; the store is read in a thread."""
        import asyncio

        if self._key is not None:
            return self._key
        return await asyncio.to_thread(self.credentials)

    async def replace_async(self, access_token: str, *, again: bool = False) -> APIKey:
        """As ``replace``."""
        return self.replace(access_token, again=again)

    async def drain_async(self) -> None:
        """As ``drain``."""

    def source(self) -> str | None:
        """Where the key comes from, for people; None if there is none. Raises StoreError."""
        found = self._find()
        return found and found[1]

    def _require(self) -> APIKey:
        backend, found = self._settings.backend, self._find()
        if found is not None and found[0]:
            return APIKey(found[0])
        if is_loopback(urlsplit(self._settings.base_url).hostname or ""):
            return APIKey()
        raise NotSignedInError(
            f"There is no API key for {backend.name} at {self._settings.base_url}.{self._kept_for()}",
            hint=(
                f"Set {backend.api_key_variable}, pass `api_key=…`, or run "
                f"`onplan login --backend {backend.name} --api-key`."
            ),
        )

    def _find(self) -> tuple[SecretText, str] | None:
        """The key, and where it comes from."""
        if self._given is not None:
            return self._given, "the program"
        # The variable is for OpenAI's API; a stored key of a compatible server was given for that server.
        compatible = self._settings.backend.is_compatible
        places = (self._stored, self._variable) if compatible else (self._variable, self._stored)
        return next((found for place in places if (found := place())), None)

    def _variable(self) -> tuple[SecretText, str] | None:
        name = self._settings.backend.api_key_variable
        value = environment_variable(name) if name else None
        return (SecretText(value), f"the environment variable {name}") if value else None

    def _stored(self) -> tuple[SecretText, str] | None:
        loaded = self._store.load()
        if loaded is None or not loaded.record.api_key or not self._is_for_here(loaded.record):
            return None
        return SecretText(loaded.record.api_key), self._store.describe()

    def _is_for_here(self, record: Record) -> bool:
        """Whether the stored key was given for the server that it would be sent to."""
        kept_for = record.api_key_for
        return kept_for is None or is_same_server(self._settings.backend, kept_for, self._settings.base_url)

    def _kept_for(self) -> str:
        """A sentence about a stored key that was given for another server."""
        loaded = self._store.load()
        if loaded is None or not loaded.record.api_key or self._is_for_here(loaded.record):
            return ""
        return f" The one in {self._store.describe()} was given for {loaded.record.api_key_for}."
