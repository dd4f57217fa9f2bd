"""Signs out: one profile, or every profile on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from onplan.config.config_file import DEFAULT_PROFILE
from onplan.config.profiles import known_profiles
from onplan.config.settings import Settings
from onplan.config.store_spec import credentials_folder, default_store
from onplan.errors import OnplanError, StoreDamagedError, StoreError
from onplan.flow import drive
from onplan.oauth.issuer import ISSUERS
from onplan.oauth.revoke import revoke
from onplan.sign_in.saving import update
from onplan.sign_in.sending import send
from onplan.stores import CredentialStore, Record, open_store, signed_out
from onplan.types import Registration


@dataclass(frozen=True)
class SignOut:
    """The outcome of a sign-out.

    Attributes:
        was_signed_in: whether there were credentials.
        confirmed: whether the server confirmed that the tokens no longer work.
        borrowed_from: the store spec of the program that the token was borrowed from. It was deleted here and
            not revoked.
        lender_signed_out: whether that store was signed out in the same run.
        api_key: whether it was an API key, which can only be revoked on the platform's web page.
        registration: the registered client of the sign-in; it stays registered and stored.
    """

    was_signed_in: bool
    confirmed: bool
    borrowed_from: str | None = None
    api_key: bool = False
    registration: Registration | None = None
    lender_signed_out: bool = False


@dataclass(frozen=True)
class StoreSignOut:
    """The outcome of the sign-out of one of several stores.

    Attributes:
        profiles: the names of the profiles that use the store.
        store: its store spec.
        outcome: an error if the sign-in could not be removed.
    """

    profiles: tuple[str, ...]
    store: str
    outcome: SignOut | OnplanError


def sign_out(settings: Settings, store: CredentialStore, *, force: bool = False) -> SignOut:
    """Revoke the tokens, then delete them, even if the server cannot be reached.

    ``force``: also delete a record that is damaged or cannot be read, whose tokens cannot be revoked; and the
    registered client, so that the next sign-in registers a new one.

    Raises:
        StoreDamagedError: the record is damaged; nothing was removed.
        StoreError: the credentials could not be removed.
    """
    with store.lock():
        outcome = _revoke(settings, store, force=force)
        try:
            if outcome.registration and not force:  # the next sign-in uses the same client
                update(store, signed_out)
            else:
                store.delete()
        except StoreError as error:
            more = " Its tokens no longer work, though." if outcome.confirmed else ""
            raise StoreError(f"{error}{more}", hint=error.hint) from None
    return outcome


def _revoke(settings: Settings, store: CredentialStore, *, force: bool) -> SignOut:
    try:
        loaded = store.load()
    except StoreDamagedError as error:
        if force:
            return SignOut(was_signed_in=True, confirmed=False)
        raise StoreDamagedError(
            f"{error} Its tokens cannot be revoked, so nothing was removed.",
            version=error.version,
            hint="Run `onplan logout --force` to remove it without revoking.",
        ) from None
    except StoreError:
        if force:  # if deleting fails as well, its error says why
            return SignOut(was_signed_in=True, confirmed=False)
        raise
    record = loaded.record if loaded else Record()
    if record.credentials is None:
        has_key = record.api_key is not None
        return SignOut(has_key, confirmed=False, api_key=has_key, registration=record.registration)
    if record.borrowed_from:
        return SignOut(was_signed_in=True, confirmed=False, borrowed_from=record.borrowed_from)
    issuer = ISSUERS[record.issuer_kind]
    confirmed = drive(revoke(issuer, record.credentials), send, time.sleep)
    return SignOut(was_signed_in=True, confirmed=confirmed, registration=record.registration)


def sign_out_everywhere(settings: Settings, *, force: bool = False) -> list[StoreSignOut]:
    """Sign out every profile on this machine, each store once. One that fails does not stop the others.

    Raises:
        ConfigurationError: the profiles cannot be read.
    """
    outcomes = []
    for spec, profiles in _places(settings).values():
        try:
            outcome: SignOut | OnplanError = sign_out(settings, open_store(spec), force=force)
        except OnplanError as error:
            outcome = error
        outcomes.append(StoreSignOut(tuple(profiles), spec, outcome))
    ended = {_place(row.store) for row in outcomes if _ended(row.outcome)}
    return [
        replace(row, outcome=replace(row.outcome, lender_signed_out=True))
        if isinstance(row.outcome, SignOut) and _place(row.outcome.borrowed_from or "") in ended
        else row
        for row in outcomes
    ]


def _ended(outcome: SignOut | OnplanError) -> bool:
    return isinstance(outcome, SignOut) and outcome.was_signed_in and outcome.borrowed_from is None


def _places(settings: Settings) -> dict[str, tuple[str, list[str]]]:
    """Every store that a profile uses: its store spec, and those profiles, by its description."""
    known = known_profiles(settings.home)
    own = {
        name: known.get(name, {}).get("store") or default_store(settings.home, name)
        for name in sorted({*known, settings.profile, DEFAULT_PROFILE})
    }
    # Default stores of profiles that have another store now, or are no longer known.
    left = [(path.stem, f"file:{path}") for path in sorted(credentials_folder(settings.home).glob("*.json"))]
    places: dict[str, tuple[str, list[str]]] = {}
    # The profile in use comes first: the environment may name another store for it in this process.
    for name, spec in [(settings.profile, settings.store), *own.items(), *left]:
        _, profiles = places.setdefault(_place(spec), (spec, []))
        if name not in profiles:
            profiles.append(name)
    return places


def _place(spec: str) -> str:
    try:
        return open_store(spec).describe()
    except OnplanError:
        return spec
