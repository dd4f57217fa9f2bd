"""Checks what is on this machine: configuration, store, and the sign-in in it. No token is shown."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from onplan.config.descriptions import account_of, local_time, validity_of
from onplan.config.environment import environment_variable
from onplan.config.file_errors import explained
from onplan.config.hints import not_signed_in
from onplan.config.private_files import PERMISSIONS, leftovers
from onplan.config.settings import load_settings
from onplan.doctor.check import Examination
from onplan.errors import (
    RefreshOutcomeUnknownError,
    SignInAgainError,
    StoreError,
)
from onplan.oauth.credentials import is_fresh
from onplan.stores import CredentialStore, Lease, Record, open_store, why_empty
from onplan.stores.lock import waiting_at_most
from onplan.tokens.api_key import KeyHolder
from onplan.tokens.refresher import cannot_be_refreshed, require_origin
from onplan.types import APIKey

_LOCK_SECONDS = 3.0  # a refresh holds the lock longer than that only when the issuer is slow
_ROOM = 64 * 1024  # bytes; a record is a few thousand
_STICKY = 0o1000  # in a folder with this bit, users cannot replace the files of others
_VARIABLES = (
    "ONPLAN_HOME",
    "ONPLAN_PROFILE",
    "ONPLAN_BACKEND",
    "ONPLAN_STORE",
    "ONPLAN_MODEL",
    "ONPLAN_ISSUER",
)


def configuration(examination: Examination) -> str:
    """Whether the settings can be read, and what they are."""
    settings = load_settings(
        profile=examination.profile, backend=examination.backend, store=examination.store_spec
    )
    examination.settings = settings
    variables = (*_VARIABLES, settings.backend.base_url_variable)
    in_effect = ", ".join(filter(environment_variable, variables))
    overridden = f" Set in the environment: {in_effect}." if in_effect else ""
    return f"Profile {settings.profile}, backend {settings.backend.name}, store {settings.store}.{overridden}"


def store(examination: Examination) -> str:
    """Whether the store can be opened and read, and is safe from other users."""
    opened = open_store(examination.settings.store)
    loaded = opened.load()
    examination.store, examination.record = opened, loaded.record if loaded else None
    place = opened.describe()
    path = _file_of(opened)
    if path:
        with explained(place, "read"):
            _examine_file(path)
    return f"{place} can be read." if loaded else f"Nothing is kept in {place} yet."


def _file_of(opened: CredentialStore) -> Path | None:
    """The file of a store whose description is a path in a folder that exists, else None."""
    path = Path(os.path.realpath(opened.describe()))
    return path if Path(opened.describe()).is_absolute() and path.parent.is_dir() else None


def _examine_file(path: Path) -> None:
    """Raise StoreError if other users can read or replace the file, or if it cannot be written."""
    folder = path.parent
    if PERMISSIONS and path.exists():
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise StoreError(
                f"{path} can be read by other users of this machine (mode {mode:o}).",
                hint=f"Run `chmod 600 {path}`, and sign in again if another user may have read it.",
            )
    mode = folder.stat().st_mode
    if PERMISSIONS and mode & 0o022 and not mode & _STICKY:
        raise StoreError(
            f"{folder} can be changed by other users of this machine (mode {mode & 0o777:o}).",
            hint=f"Run `chmod 700 {folder}`.",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{folder} cannot be written, so refreshed tokens could not be saved.")
    if shutil.disk_usage(folder).free < _ROOM:
        raise StoreError(
            f"The disk of {folder} is full, so refreshed tokens could not be saved.",
            hint="Free some space on it.",
        )


def lock(examination: Examination) -> str:
    """Whether the store can be locked now. The record is read again while no program can refresh it."""
    opened, left = examination.store, 0
    with waiting_at_most(_LOCK_SECONDS), opened.lock() as held:
        loaded = opened.load()
        path = _file_of(opened)
        if path:
            with explained(opened.describe(), "read"):
                left = len(leftovers(path))
    examination.record = loaded.record if loaded else None
    state = "Free, on every machine that shares the store." if isinstance(held, Lease) else "Free."
    return state + (f" Killed writers left {left} behind; the next one removes it." if left else "")


def refresh(examination: Examination) -> str:
    """Whether a refresh was interrupted. The lock was free, so none is in progress."""
    pending = examination.record.pending_refresh if examination.record else None
    if pending is None:
        return "No refresh was interrupted."
    raise RefreshOutcomeUnknownError(
        f"A refresh that began at {local_time(pending.started_at)} was interrupted, so its refresh "
        "token may be spent. The next refresh tries it once more.",
        hint="Run `onplan login` to sign in again, or wait for the next refresh.",
    )


def token(examination: Examination) -> str:
    """Who is signed in, until when, and whether that fits the settings; or where the API key is from."""
    settings, record = examination.settings, examination.record
    if settings.backend.credential is APIKey:
        return _key(examination)
    credentials = record.credentials if record else None
    if record is None or credentials is None:
        instead = why_empty(examination.store)
        raise not_signed_in(settings.profile, settings.backend.name, instead)
    require_origin(record, settings.issuer)
    if settings.backend.account_header and not credentials.account_id:
        raise SignInAgainError("The sign-in does not say for which account it is.")
    lasting = is_fresh(credentials, time.time(), 0.0)
    if not lasting and not credentials.refresh_token:
        raise cannot_be_refreshed(record, time.time(), refused=False)
    validity = validity_of(credentials.expires_at, time.time(), refreshable=bool(credentials.refresh_token))
    return f"{account_of(credentials)}; access token {validity}; {_origin(record)}."


def _key(examination: Examination) -> str:
    holder = KeyHolder(examination.settings, examination.store)
    holder.credentials()
    source = holder.source()
    return f"The API key is from {source}." if source else "There is no API key, and none is needed."


def _origin(record: Record) -> str:
    if (record.borrowed_from or "").startswith("env:"):
        return "refreshed only by the program that sets the variable"
    if record.borrowed_from:
        return f"borrowed from {record.borrowed_from}, which alone refreshes it"
    scopes = record.credentials.scopes if record.credentials else ()
    return f"scopes {' '.join(scopes)}" if scopes else "its scopes are unknown"
