"""Signing in and out: the shells around the OAuth dialogues. Synchronous; talk goes to a callback.

A new sign-in replaces the stored one only when it has succeeded.
"""

from __future__ import annotations

import contextlib
import threading
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

from onplan.errors import OnplanError, SignInError, StoreConflictError
from onplan.loopback import RedirectListener
from onplan.oauth import authorization_code
from onplan.oauth.authorization_code import AuthorizationRequest, require_code
from onplan.oauth.pkce import generate_state
from onplan.oauth.revoke import revoke
from onplan.settings import Settings
from onplan.stores import CredentialStore, Record
from onplan.transports.http import HTTPTransport
from onplan.types import OAuthCredentials
from onplan.wire import Request, Response, drive

WAIT_SECONDS = 600.0
_REVOKE_ATTEMPTS = 3

Announce = Callable[[AuthorizationRequest], object]


@dataclass(frozen=True)
class SignOut:
    """How a sign-out went.

    Attributes:
        was_signed_in: whether there was anything to sign out from.
        confirmed: whether the server confirmed that the tokens no longer work.
    """

    was_signed_in: bool
    confirmed: bool


def open_browser(url: str) -> None:
    """Open ``url`` in the person's browser; ``BROWSER`` is honoured.

    In a thread, because ``webbrowser`` may wait for the browser to be closed.
    """
    threading.Thread(target=_open, args=(url,), daemon=True).start()


def _open(url: str) -> None:
    with contextlib.suppress(webbrowser.Error, OSError):  # the URL is printed as well
        webbrowser.open(url)


def sign_in_with_browser(
    settings: Settings,
    store: CredentialStore,
    announce: Announce,
    *,
    browse: Callable[[str], object] = open_browser,
    timeout: float = WAIT_SECONDS,
) -> OAuthCredentials:
    """Sign in through a browser on this machine and keep the credential in ``store``.

    ``announce`` is given the request, to show its URL; ``browse`` opens a URL and returns at once;
    ``timeout`` is how many seconds the person has.

    Raises:
        SignInError: declined, timed out, no port free, or the code was refused.
        StoreError: the credential could not be kept; the previous one is untouched.
        TransportError: the authorization server could not be reached.
    """
    _check_writable(store)
    issuer = settings.issuer
    state = generate_state()
    with RedirectListener(issuer.ports, state) as listener:
        redirect = authorization_code.redirect_uri(listener.port)
        started = authorization_code.start(issuer, redirect, state=state)
        announce(started)
        browse(started.url)
        try:
            credentials = _finish(settings, store, started, require_code(listener.wait(timeout)))
        except OnplanError as error:
            listener.show("Not signed in", f"{error} {error.hint}", 400)
            raise
        listener.show("Signed in", "You can close this tab and return to the terminal.")
        return credentials


def sign_in_by_pasting(
    settings: Settings, store: CredentialStore, announce: Announce, read_line: Callable[[], str]
) -> OAuthCredentials:
    """Sign in with a browser on any machine; the person pastes back the address it ends at.

    ``read_line`` returns that address, a query string, or ``code#state``. Raises as
    ``sign_in_with_browser``.
    """
    _check_writable(store)
    started = authorization_code.start(
        settings.issuer, authorization_code.redirect_uri(settings.issuer.ports[0])
    )
    announce(started)
    answer = read_line()
    if not answer.strip():
        raise SignInError("Nothing was pasted.")
    callback = authorization_code.read_callback(answer, started.state)
    return _finish(settings, store, started, require_code(callback))


def sign_out(settings: Settings, store: CredentialStore) -> SignOut:
    """Revoke the tokens, then forget them: also when the server cannot be reached.

    Raises:
        StoreError: the credential could not be removed.
    """
    with store.lock():
        loaded = store.load()
        credentials = loaded[0].credentials if loaded else None
        if credentials is None:
            store.delete()
            return SignOut(was_signed_in=False, confirmed=True)
        confirmed = False
        for attempt in range(_REVOKE_ATTEMPTS):
            confirmed = drive(revoke(settings.issuer, credentials), _send, time.sleep)
            if confirmed:
                break
            time.sleep(0.2 * attempt)
        store.delete()
    return SignOut(was_signed_in=True, confirmed=confirmed)


def _check_writable(store: CredentialStore) -> None:
    """Fail before the person has done anything, rather than after."""
    with store.lock():
        loaded = store.load()
        if loaded:
            store.save(*loaded)


def _finish(
    settings: Settings, store: CredentialStore, started: AuthorizationRequest, code: str
) -> OAuthCredentials:
    """Exchange the code and keep what comes of it; if it cannot be kept, give it back."""
    exchange = authorization_code.exchange(
        settings.issuer, code, started.verifier, started.redirect_uri, time.time
    )
    credentials = drive(exchange, _send, time.sleep)
    try:
        _store(store, credentials)
    except OnplanError:
        drive(revoke(settings.issuer, credentials), _send, time.sleep)
        raise
    return credentials


def _store(store: CredentialStore, credentials: OAuthCredentials) -> None:
    record = Record(credentials=credentials, renewed_at=time.time())
    with store.lock():
        while True:
            loaded = store.load()
            try:
                store.save(record, loaded[1] if loaded else None)
            except StoreConflictError:  # a writer that does not know our lock
                continue
            return


def _send(request: Request) -> Response:
    transport = HTTPTransport()
    try:
        return transport.fetch(request)
    finally:
        transport.close()
