"""Uses the sign-in of another program: borrows its access token, or shares its store.

Two programs cannot refresh two copies of one sign-in, because a refresh token is valid for one use. So either
the access token alone is *borrowed*, and the other program goes on refreshing; or the store itself is
*shared*, and both refresh there. An import itself writes nothing to the other program's store.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from shlex import quote

import msgspec

from onplan.config.profile_changes import remember_profile
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
    """Copy the access token in the store ``source`` into the profile's own store.

    It can be used until it expires. ``source`` is as for ``source_spec``. ``force``: also if this replaces
    another sign-in.

    Raises:
        NotSignedInError: there is no sign-in in ``source``.
        SignInAgainError: its access token has expired.
        ConfigurationError: the profile uses that store itself, or the sign-in cannot be lent.
        CredentialError: the profile has a sign-in of its own.
        StoreError: one of the stores failed; what was stored before is unchanged.
    """
    source = source_spec(source)
    theirs, own = open_store(source), open_store(settings.store, settings.backend)
    if settings.store.startswith("codex:") or own.describe() == theirs.describe():
        raise ConfigurationError(
            f"The profile {settings.profile} already uses {own.describe()}: there is nothing to import.",
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
    """Make the profile use the store ``source`` itself. Returns its new settings, and the record there.

    A token that the profile had borrowed is deleted. Raises as ``borrow``; ConfigurationError also if that
    kind of store cannot be shared, or the sign-in has no refresh token.
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
            f"The sign-in in {theirs.describe()} has no refresh token, so it cannot be refreshed.",
            hint=f"Run `onplan import {quote(source)}` without --share.",
        )
    previous = None
    if own.describe() != theirs.describe():
        previous, _ = _replaceable(settings, own, credentials, force=force)
    shared = replace(settings, store=source)
    remember_profile(shared)
    if previous and previous.borrowed_from:
        with own.lock():
            now = own.load()  # not a sign-in that was finished there meanwhile
            if now and now.record.borrowed_from:
                own.delete()
    return shared, record


def _not_lent(theirs: CredentialStore, record: Record) -> ConfigurationError:
    """The error for a sign-in that cannot be lent: of chatgpt-plan, or of another backend than is wanted.

    A chatgpt-plan sign-in is bound to the registered program and host.
    """
    if not ISSUERS[record.issuer_kind].registers:
        return ConfigurationError(
            f"The sign-in in {theirs.describe()} is one for openai-codex, and not for chatgpt-plan.",
            hint="Run `onplan login --backend chatgpt-plan`; or import it without --backend.",
        )
    return ConfigurationError(
        f"The sign-in in {theirs.describe()} is one for chatgpt-plan, which cannot be lent: it is "
        "bound to the program and host that registered.",
        hint="Use its own profile (`onplan profiles list`), or move it: `onplan credentials export`.",
    )


def source_spec(given: str) -> str:
    """The absolute store spec for what a person gave: a store spec, or a path.

    The path may be the Codex CLI's folder, its auth.json, or a file that onplan wrote.
    """
    scheme, colon, _ = given.partition(":")
    is_path = not colon or len(scheme) == 1 or any(mark in scheme for mark in "/\\.~")  # C: is a drive
    if not is_path:
        return absolute_spec(given)
    is_file = expanded(given).is_file() and Path(given).name != "auth.json"
    return absolute_spec(f"{'file' if is_file else 'codex'}:{given}")


def absolute_spec(spec: str) -> str:
    """``spec`` with an absolute path, so that it means the same from any folder and environment."""
    scheme, _, location = spec.partition(":")
    if scheme == "codex":
        from onplan.stores.codex import codex_home

        return f"codex:{codex_home(location)}"
    return rooted_spec(spec)


def _signed_in(store: CredentialStore, spec: str) -> tuple[Record, OAuthCredentials]:
    """The record in the other program's store, and its credentials. Raises NotSignedInError, StoreError."""
    scheme, _, location = spec.partition(":")
    if scheme in ("codex", "file") and not Path(location).exists():
        raise NotSignedInError(
            f"There is nothing at {location}.",
            hint="Give the Codex CLI's folder or its auth.json: `onplan import PATH`. Or run `onplan login`.",
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


_WHAT_CAN_BE_NAMED = "Give an onplan store, the Codex CLI's folder or its auth.json."


def _how_to_refresh(source: str) -> str:
    shared = f", or run `onplan import --share {quote(source)}`" if capabilities_of(source).shareable else ""
    return f"Let the program that it belongs to refresh it{shared}."


def _keep(settings: Settings, own: CredentialStore, borrowed: Record, *, force: bool) -> None:
    with own.lock():
        while True:
            _, version = _replaceable(settings, own, borrowed.credentials, force=force)
            try:
                own.save(borrowed, version)
            except StoreConflictError:  # by a program that does not use this lock
                continue
            return


def _replaceable(
    settings: Settings, own: CredentialStore, wanted: OAuthCredentials | None, *, force: bool
) -> tuple[Record | None, str | None]:
    """The profile's record and version, if ``wanted`` may replace its credentials; else CredentialError."""
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
