"""Signing in and out: the shells around the OAuth dialogues. Synchronous; talk goes to a callback.

A new sign-in replaces the stored one only when it has succeeded, and revokes nothing: at OpenAI a revocation
ends more than one sign-in of the account (openai/codex issues 22577 and 23781), on other machines, too. The
official client once revoked the old tokens after a new sign-in (its pull request 21747) and took that back
(27674). What is replaced is forgotten; to have it revoked, sign out first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from onplan.attempt import attempt, keep_signed_in, update
from onplan.browser import open_browser
from onplan.errors import OnplanError, SignInError, StoreDamagedError, StoreError
from onplan.loopback import RedirectListener
from onplan.oauth import device_code
from onplan.oauth.authorization_code import AuthorizationRequest, Callback, require_code
from onplan.oauth.device_code import DeviceAuthorization
from onplan.oauth.issuer import issuer_that
from onplan.oauth.pasted import PastedLines, is_answer
from onplan.oauth.pkce import generate_state
from onplan.oauth.revoke import revoke
from onplan.secret import SecretText
from onplan.settings import (
    DEFAULT_PROFILE,
    Settings,
    address,
    credentials_folder,
    default_store,
    known_profiles,
)
from onplan.stores import CredentialStore, Record, open_store
from onplan.transports.http import HTTPTransport
from onplan.types import OAuthCredentials, Registration
from onplan.wire import Request, Response, drive

WAIT_SECONDS = 600.0

Announce = Callable[[AuthorizationRequest], object]
Pasting = Callable[[Callable[[str], bool]], AbstractContextManager[object]]
"""Within ``with``, hands what a person pastes to the function, which says whether it was the right thing."""


# --- in ---------------------------------------------------------------------------------------------


def sign_in_with_browser(
    settings: Settings,
    store: CredentialStore,
    announce: Announce,
    *,
    browse: Callable[[str], object] = open_browser,
    pasting: Pasting | None = None,
    timeout: float = WAIT_SECONDS,
    consent: bool = False,
) -> OAuthCredentials:
    """Sign in through a browser that comes back to this machine, and keep the credential in ``store``.

    ``announce`` is given the request, to show its URL; ``browse`` opens a URL and returns at once. With
    ``pasting``, a person may hand over the address that the browser ended at; whichever comes first counts.
    ``timeout`` is how many seconds there are. ``consent``: ask again for what was declined before.

    Raises:
        SignInError: declined, timed out, or the code was refused.
        PortsTakenError: the browser cannot come back; nothing was announced yet.
        StoreError: the credential cannot be kept; the previous one is untouched.
        TransportError: the authorization server could not be reached.
    """
    issuer, state = settings.issuer, generate_state()
    signing_in = attempt(settings, store, _send, consent=consent)
    with RedirectListener(issuer.ports, state, issuer.redirect_host) as listener:
        started = signing_in.start(listener.port, state)
        announce(started)
        browse(started.hinted_url or started.url)
        try:
            with pasting(listener.paste) if pasting else contextlib.nullcontext():
                callback = listener.wait(timeout)
            credentials = signing_in.finish(callback)
        except OnplanError as error:
            address(error, settings)
            listener.show("Not signed in", f"{error} {error.hint}", 400)
            raise
        listener.show("Signed in", "You can close this tab and return to the terminal.")
        return credentials


def sign_in_by_pasting(
    settings: Settings,
    store: CredentialStore,
    announce: Announce,
    read_line: Callable[[], str],
    *,
    explain: Callable[[str], object] | None = None,
    consent: bool = False,
) -> OAuthCredentials:
    """Sign in with a browser on any machine; the person pastes back the address it ends at.

    ``read_line`` returns that address as it was pasted (``oauth.pasted``), or a line of it; an empty string
    is the end. With ``explain``, a line that does not make it whole is told there, and the next one read.
    Raises as ``sign_in_with_browser``.
    """
    signing_in = attempt(settings, store, _send, consent=consent)
    started = signing_in.start(None)
    announce(started)
    wrong: Callback | None = None
    pasted = PastedLines(started.state)
    while answer := SecretText(read_line()):
        if not answer.strip():
            continue
        callback = pasted.take(answer)
        if is_answer(callback):
            return signing_in.finish(callback)
        wrong = callback
        if explain is None:
            break
        explain(NOT_THIS_SIGN_IN)
    if wrong:
        require_code(wrong)  # says what is wrong with it
    raise SignInError("Nothing was pasted.")


NOT_THIS_SIGN_IN = (
    "That is not the whole address that this sign-in ended at. Paste the whole one from the browser's "
    "address bar, after you have signed in there."
)


def sign_in_with_device_code(
    settings: Settings, store: CredentialStore, announce: Callable[[DeviceAuthorization], object]
) -> OAuthCredentials:
    """Sign in with a browser on any machine, where the person enters a code within 15 minutes.

    ``announce`` is given what to show. Raises as ``sign_in_with_browser``.
    """
    attempt(settings, store, _send)
    authorization = drive(device_code.request_code(settings.issuer, time.time), _send, time.sleep)
    announce(authorization)
    credentials = drive(device_code.poll(settings.issuer, authorization, time.time), _send, time.sleep)
    keep_signed_in(store, Record(credentials=credentials, renewed_at=time.time()))
    return credentials


# --- out --------------------------------------------------------------------------------------------


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
                left = Record(registration=outcome.registration)
                update(store, lambda _: left)
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
    record = loaded[0] if loaded else Record()
    if record.credentials is None:
        has_key = record.api_key is not None
        return SignOut(has_key, confirmed=False, api_key=has_key, registration=record.registration)
    if record.borrowed_from:
        return SignOut(was_signed_in=True, confirmed=False, borrowed_from=record.borrowed_from)
    issuer = issuer_that(registers=record.registration is not None)
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
