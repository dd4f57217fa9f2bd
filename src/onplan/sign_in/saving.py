"""Writes a sign-in to its store, and decides what it may replace there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from onplan.config.settings import Settings
from onplan.errors import ConfigurationError, SignInError, StoreConflictError
from onplan.oauth.credentials import came_from
from onplan.oauth.verification import AnotherPersonError
from onplan.stores import CredentialStore, Record, conflict

_ATTEMPTS = 10


def save_sign_in(store: CredentialStore, record: Record) -> None:
    """Store a new sign-in. Raises SignInError if another one was stored meanwhile and must be kept."""

    def replace(stored: Record) -> Record:
        require_replaceable(stored, record)
        return record

    update(store, replace)


def update(store: CredentialStore, change: Callable[[Record], Record]) -> None:
    """Replace the stored record, or an empty one, by ``change(record)``. If it raises, nothing changes."""
    with store.lock():
        for _ in range(_ATTEMPTS):
            loaded = store.load()
            with contextlib.suppress(StoreConflictError):  # by a program that does not use this lock
                store.save(change(loaded.record if loaded else Record()), loaded.version if loaded else None)
                return
    raise conflict(store.describe(), _ATTEMPTS)


def require_replaceable(stored: Record, new: Record) -> None:
    """Raise SignInError if ``stored`` is of another kind, client or person than ``new``.

    A sign-in takes minutes, in which another one may have been finished.
    """
    old, own = stored.registration, new.registration
    same_kind = stored.credentials is None or stored.issuer_kind == new.issuer_kind
    same_client = old is None or (own is not None and old.client_id == own.client_id)
    if stored.api_key or not same_kind or not same_client:
        raise SignInError(
            "Another sign-in to this profile was finished meanwhile, and that one is kept.",
            hint="Give this one a profile of its own: `onplan login --profile NAME`.",
        )
    if old and own and old.subject and own.subject and old.subject != own.subject:
        raise AnotherPersonError(
            "Another person has signed in to this profile meanwhile, and that sign-in is kept."
        )


def check_writable(store: CredentialStore) -> Record:
    """The stored record, after writing to the store once: better to fail before the person signs in.

    To an empty store, a record without credentials is written and deleted again. Raises StoreError.
    """
    with store.lock():
        loaded = store.load()
        with contextlib.suppress(StoreConflictError):  # so another program could write
            store.save(*(loaded or (Record(), None)))
            if loaded is None:
                with contextlib.suppress(
                    Exception
                ):  # if it stays: it says that no one is signed in, which is true
                    store.delete()
    return loaded.record if loaded else Record()


def check_fits(record: Record, settings: Settings) -> None:
    """Raise ConfigurationError unless ``record`` is empty, or a sign-in of the same kind and issuer.

    A sign-in of another kind is not overwritten; and a registered client's ID token, which is sent along as a
    hint, must not go to another issuer.
    """
    registration, name = record.registration, settings.backend.name
    origin = came_from(record.credentials, settings.issuer) if record.credentials else settings.issuer.url
    if record.api_key:
        kept = "keeps an API key"
    elif registration and registration.issuer != settings.issuer.url and settings.issuer.registers:
        kept = f"is signed in at {registration.issuer}, and the issuer in use is {settings.issuer.url}"
    elif (registration or record.credentials) and record.issuer_kind != settings.issuer.kind:
        kept = f"is signed in to another backend than {name}"
    elif origin != settings.issuer.url:
        kept = f"is signed in at {origin}, and the issuer in use is {settings.issuer.url}"
    else:
        return
    own = name if name != settings.profile else "NAME"
    raise ConfigurationError(
        f"The profile {settings.profile} {kept}.",
        hint=f"Give this one a profile of its own: `onplan login --backend {name} --profile {own}`. Or sign "
        "that one out first: `onplan logout`.",
    )
