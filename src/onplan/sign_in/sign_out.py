"""Signing out: of one profile, or of everything that this machine keeps."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from onplan.config.config_file import DEFAULT_PROFILE
from onplan.config.profiles import known_profiles
from onplan.config.settings import Settings
from onplan.config.store_spec import credentials_folder, default_store
from onplan.errors import OnplanError, StoreDamagedError, StoreError
from onplan.flow import Request, Response, drive
from onplan.oauth.issuer import ISSUERS
from onplan.oauth.revoke import revoke
from onplan.sign_in.flow import update
from onplan.stores import CredentialStore, Record, open_store, signed_out
from onplan.transports.httpx2_sync import HTTPTransport
from onplan.types import Registration


@dataclass(frozen=True)
class SignOut:
    """How a sign-out went.

    Attributes:
        was_signed_in: whether there was anything to sign out from.
        confirmed: whether the server confirmed that the tokens no longer work.
        borrowed_from: the store of another program, to whom the token belongs. It was forgotten here and not
            revoked.
        lender_signed_out: that store was signed out in the same run.
        api_key: it was an API key, which only its platform can revoke.
        registration: the client that the sign-in belonged to; it stays, here as well.
    """

    was_signed_in: bool
    confirmed: bool
    borrowed_from: str | None = None
    api_key: bool = False
    registration: Registration | None = None
    lender_signed_out: bool = False


@dataclass(frozen=True)
class StoreSignOut:
    """How a sign-out of one of several stores went.

    Attributes:
        profiles: the names of those who use it.
        store: its store spec.
        outcome: an error if it could not be removed.
    """

    profiles: tuple[str, ...]
    store: str
    outcome: SignOut | OnplanError


def sign_out(settings: Settings, store: CredentialStore, *, force: bool = False) -> SignOut:
    """Revoke the tokens, then forget them: also when the server cannot be reached.

    ``force``: also what is damaged or cannot be read, and so cannot be revoked; and the registration of this
    program, after which the next sign-in registers it anew.

    Raises:
        StoreDamagedError: it is damaged; nothing was removed.
        StoreError: the credential could not be removed.
    """
    with store.lock():
        outcome = _revoke(settings, store, force=force)
        try:
            if outcome.registration and not force:  # the program stays registered, for the next sign-in
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
            f"{error} So its tokens cannot be revoked, and nothing was removed.",
            version=error.version,
            hint="Run `onplan logout --force` to remove it nevertheless.",
        ) from None
    except StoreError:
        if force:  # if it cannot be removed either, that says why
            return SignOut(was_signed_in=True, confirmed=False)
        raise
    record = loaded.record if loaded else Record()
    if record.credentials is None:
        has_key = record.api_key is not None
        return SignOut(has_key, confirmed=False, api_key=has_key, registration=record.registration)
    if record.borrowed_from:
        return SignOut(was_signed_in=True, confirmed=False, borrowed_from=record.borrowed_from)
    issuer = ISSUERS[record.issuer_kind]
    confirmed = drive(revoke(issuer, record.credentials), _send, time.sleep)
    return SignOut(was_signed_in=True, confirmed=confirmed, registration=record.registration)


def sign_out_everywhere(settings: Settings, *, force: bool = False) -> list[StoreSignOut]:
    """Sign out every profile that is known here, each store once. One that fails does not stop the others.

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
    """Every place where a profile keeps its sign-in: its store spec, and the profiles that use it."""
    known = known_profiles(settings.home)
    own = {
        name: known.get(name, {}).get("store") or default_store(settings.home, name)
        for name in sorted({*known, settings.profile, DEFAULT_PROFILE})
    }
    # What a profile kept before it was given another store, or was forgotten.
    left = [(path.stem, f"file:{path}") for path in sorted(credentials_folder(settings.home).glob("*.json"))]
    places: dict[str, tuple[str, list[str]]] = {}
    # The one in use comes first: for this process, the environment may name another store than its own.
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


def _send(request: Request) -> Response:
    transport = HTTPTransport()
    try:
        return transport.fetch(request)
    finally:
        transport.close()
