"""Using the sign-in of another program. What that program keeps is read here and never written.

A sign-in is good for one refresher, because its refresh token is good for one use. So either the access token
alone is *borrowed*, and the other program goes on refreshing; or the store itself is *shared*, and each goes
on with what the other has refreshed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from shlex import quote

import msgspec

from onplan.config.profiles import remember_profile
from onplan.config.settings import Settings
from onplan.config.store_schemes import scheme_of
from onplan.config.store_spec import expanded, rooted_spec
from onplan.errors import (
    ConfigurationError,
    CredentialError,
    NotSignedInError,
    SignInAgainError,
    StoreConflictError,
    StoreDamagedError,
)
from onplan.oauth.credentials import is_fresh
from onplan.oauth.issuer import ISSUERS
from onplan.stores import CredentialStore, Record, capabilities_of, open_store, why_empty
from onplan.types import OAuthCredentials


def borrow(settings: Settings, source: str, *, force: bool = False) -> Record:
    """Copy the access token in the store ``source`` into the profile's own.

    The token serves until it expires. ``source`` is as for ``source_spec``. ``force``: also if another
    sign-in is replaced.

    Raises:
        NotSignedInError: the source has none.
        SignInAgainError: it has expired.
        ConfigurationError: the profile's store is the other program's.
        CredentialError: the profile has a sign-in of its own.
        StoreError: one of the stores failed; what was stored before is unchanged.
    """
    source = source_spec(source)
    theirs, own = open_store(source), open_store(settings.store, settings.backend)
    if settings.store.startswith("codex:") or own.describe() == theirs.describe():
        raise ConfigurationError(
            f"The profile {settings.profile} uses {own.describe()} itself; an import writes nothing there.",
            hint="Use another profile: `onplan import --profile NAME`.",
        )
    record, credentials = _signed_in(theirs, source)
    if ISSUERS[record.issuer_kind].registers or settings.issuer.registers:
        raise _not_lent(theirs, record)
    if not is_fresh(credentials, time.time(), 0.0):
        raise SignInAgainError(
            f"The access token in {theirs.describe()} has expired.", hint=_how_to_refresh(source)
        )
    lent = msgspec.structs.replace(credentials, refresh_token=None, id_token=None)
    borrowed = Record(
        issuer_kind=record.issuer_kind,
        credentials=lent,
        obtained_at=record.obtained_at,
        borrowed_from=source,
    )
    _keep(settings, own, borrowed, force=force)
    return borrowed


def share(settings: Settings, source: str, *, force: bool = False) -> tuple[Settings, Record]:
    """From now on the profile uses the store ``source`` itself. Gives its settings, and what is there.

    A borrowed token that the profile had is forgotten. Raises as ``borrow``; ConfigurationError also for a
    store that is not for sharing, or has nothing to refresh.
    """
    source = source_spec(source)
    if not capabilities_of(source).shareable:
        raise ConfigurationError(
            f"A sign-in in a {scheme_of(source)}: store cannot be shared: a refresh here is not seen there.",
            hint=f"Run `onplan import {quote(source)}` without --share.",
        )
    theirs, own = open_store(source, settings.backend), open_store(settings.store, settings.backend)
    record, credentials = _signed_in(theirs, source)
    if record.issuer_kind != settings.issuer.kind:
        raise _not_lent(theirs, record)
    if not credentials.refresh_token:
        raise ConfigurationError(
            f"The sign-in in {theirs.describe()} has no refresh token, so nobody can refresh it.",
            hint=f"Run `onplan import {quote(source)}` without --share.",
        )
    previous = None
    if own.describe() != theirs.describe():
        previous, _ = _replaceable(settings, own, credentials, force=force)
    shared = replace(settings, store=source)
    remember_profile(shared)
    if previous and previous.borrowed_from:
        with own.lock():
            now = own.load()  # a sign-in that was finished there meanwhile stays
            if now and now.record.borrowed_from:
                own.delete()
    return shared, record


def _not_lent(theirs: CredentialStore, record: Record) -> ConfigurationError:
    """Sign in with ChatGPT belongs to the program and the host that registered, and its plan is another's."""
    if not ISSUERS[record.issuer_kind].registers:
        return ConfigurationError(
            f"The sign-in in {theirs.describe()} is a Codex sign-in, and not one of Sign in with ChatGPT.",
            hint="Run `onplan login --backend chatgpt-plan`; or import it without --backend.",
        )
    return ConfigurationError(
        f"The sign-in in {theirs.describe()} is one of Sign in with ChatGPT, which is not lent.",
        hint="Use its own profile (`onplan profiles list`), or move it: `onplan credentials export`.",
    )


def source_spec(given: str) -> str:
    """The absolute store spec of what a person names: a spec, or a path.

    The path may be that of the Codex CLI's folder, of its auth.json, or of a file of onplan's.
    """
    scheme, colon, _ = given.partition(":")
    is_path = not colon or len(scheme) == 1 or any(mark in scheme for mark in "/\\.~")  # C: is a drive
    if not is_path:
        return absolute_spec(given)
    is_file = expanded(given).is_file() and Path(given).name != "auth.json"
    return absolute_spec(f"{'file' if is_file else 'codex'}:{given}")


def absolute_spec(spec: str) -> str:
    """A store spec that names the same place tomorrow, from another folder and with other variables set."""
    scheme, _, location = spec.partition(":")
    if scheme == "codex":
        from onplan.stores.codex import codex_home

        return f"codex:{codex_home(location)}"
    return rooted_spec(spec)


def _signed_in(store: CredentialStore, spec: str) -> tuple[Record, OAuthCredentials]:
    """What the other program keeps."""
    scheme, _, location = spec.partition(":")
    if scheme in ("codex", "file") and not Path(location).exists():
        raise NotSignedInError(
            f"There is nothing at {location}.",
            hint="Name the Codex CLI's folder or its auth.json: `onplan import PATH`. Or run `onplan login`.",
        )
    try:
        loaded = store.load()
    except StoreDamagedError as damaged:
        if scheme == "codex":
            raise
        raise StoreDamagedError(str(damaged), version=damaged.version, hint=_WHAT_CAN_BE_NAMED) from None
    if loaded and loaded.record.credentials:
        return loaded.record, loaded.record.credentials
    raise NotSignedInError(
        why_empty(store) or f"There is no sign-in in {store.describe()}.",
        hint="Run `onplan login`, or sign the Codex CLI in with a plan: `codex login`."
        if scheme == "codex"
        else None,
    )


_WHAT_CAN_BE_NAMED = "Name a store of onplan's, or the Codex CLI's folder or its auth.json."


def _how_to_refresh(source: str) -> str:
    shared = f", or run `onplan import --share {quote(source)}`" if capabilities_of(source).shareable else ""
    return f"Let the program that keeps it refresh it{shared}."


def _keep(settings: Settings, own: CredentialStore, borrowed: Record, *, force: bool) -> None:
    with own.lock():
        while True:
            _, version = _replaceable(settings, own, borrowed.credentials, force=force)
            try:
                own.save(borrowed, version)
            except StoreConflictError:  # a writer that does not know our lock
                continue
            return


def _replaceable(
    settings: Settings, own: CredentialStore, wanted: OAuthCredentials | None, *, force: bool
) -> tuple[Record | None, str | None]:
    """What the profile has now, if a sign-in with ``wanted`` may take its place."""
    try:
        loaded = own.load()
    except StoreDamagedError as damaged:
        if force:
            return None, damaged.version
        raise
    if loaded is None:
        return None, None
    found = loaded.record.credentials
    same = found and wanted and found.account_id == wanted.account_id
    if found and not force and not (loaded.record.borrowed_from and same):
        raise CredentialError(
            f"The profile {settings.profile} is already signed in as {found.email or found.account_id}, "
            f"in {own.describe()}.",
            hint="Add `--profile NAME` to have both, or `--force` to give that one up.",
        )
    return loaded
