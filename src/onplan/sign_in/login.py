"""Signing in by browser, by pasting an address, or by device code. Blocks; progress goes to callbacks.

A new sign-in replaces the stored one only when it has succeeded, and revokes nothing: at OpenAI a revocation
ends more than one sign-in of the account (openai/codex issues 22577 and 23781), on other machines, too. The
official client once revoked the old tokens after a new sign-in (its pull request 21747) and undid that
(27674). The tokens that are replaced are forgotten; to have them revoked, sign out first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from onplan.config.hints import complete_commands
from onplan.config.settings import Settings
from onplan.errors import OnplanError, SignInError
from onplan.flow import drive
from onplan.oauth import device_code
from onplan.oauth.authorization_code import AuthorizationRequest, Callback, require_code
from onplan.oauth.device_code import DeviceAuthorization
from onplan.oauth.pasted import PastedLines, is_answer
from onplan.oauth.pkce import generate_state
from onplan.secret import SecretText
from onplan.sign_in.browser import open_browser
from onplan.sign_in.flow import sign_in_flow
from onplan.sign_in.loopback import RedirectListener
from onplan.sign_in.saving import save_sign_in
from onplan.sign_in.sending import send
from onplan.stores import CredentialStore, Record
from onplan.types import OAuthCredentials

WAIT_SECONDS = 600.0

Announce = Callable[[AuthorizationRequest], object]
Pasting = Callable[[Callable[[str], bool]], AbstractContextManager[object]]
"""Makes a context in which each pasted text is passed to the function, which returns if it was right."""


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
    """Sign in with a browser that is redirected to this machine, and keep the credential in ``store``.

    ``announce`` is given the request, to show its URL; ``browse`` opens a URL and returns at once. With
    ``pasting``, a person may paste the address that the browser ended at instead; the first one counts.
    ``timeout``, in seconds, is for the whole sign-in. ``consent``: ask again for what was declined before.

    Raises:
        SignInError: declined, timed out, or the code was refused.
        PortsTakenError: the browser cannot return to this machine; nothing was announced yet.
        StoreError: the credential cannot be kept; the previous one is untouched.
        TransportError: the authorization server could not be reached.
    """
    issuer, state = settings.issuer, generate_state()
    signing_in = sign_in_flow(settings, store, send, consent=consent)
    with RedirectListener(issuer.ports, state, issuer.redirect_host) as listener:
        started = signing_in.start(listener.port, state)
        announce(started)
        browse(started.hinted_url or started.url)
        try:
            with pasting(listener.paste) if pasting else contextlib.nullcontext():
                callback = listener.wait(timeout)
            credentials = signing_in.finish(callback)
        except OnplanError as error:
            complete_commands(error, settings)
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
    ends the input. ``explain`` is called with a sentence when the address is not complete yet; then the
    next line is read.
    Raises as ``sign_in_with_browser``.
    """
    signing_in = sign_in_flow(settings, store, send, consent=consent)
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
        require_code(wrong)  # raises an error that says what is wrong
    raise SignInError("Nothing was pasted.")


NOT_THIS_SIGN_IN = (
    "That is not the whole address at which this sign-in ended. Sign in in the browser, then paste the whole "
    "address from its address bar."
)


def sign_in_with_device_code(
    settings: Settings, store: CredentialStore, announce: Callable[[DeviceAuthorization], object]
) -> OAuthCredentials:
    """Sign in with a browser on any machine, where the person enters a code within 15 minutes.

    ``announce`` is given what to show. Raises as ``sign_in_with_browser``.
    """
    sign_in_flow(settings, store, send)
    authorization = drive(device_code.request_code(settings.issuer, time.time), send, time.sleep)
    announce(authorization)
    credentials = drive(device_code.poll(settings.issuer, authorization, time.time), send, time.sleep)
    record = Record(issuer_kind=settings.issuer.kind, credentials=credentials, obtained_at=time.time())
    save_sign_in(store, record)
    return credentials
