"""``onplan login``: with a browser here, a browser on another machine, a device code, or an API key."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from onplan.cli.session import Session, json_option, pass_session, remember, target_options
from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.config.profiles import ConfigFiles
    from onplan.config.settings import Settings
    from onplan.oauth.authorization_code import AuthorizationRequest
    from onplan.oauth.device_code import DeviceAuthorization
    from onplan.stores import CredentialStore
    from onplan.types import OAuthCredentials


@click.command()
@click.option("--device", is_flag=True, help="Sign in by entering a code in a browser on any machine.")
@click.option(
    "--paste", is_flag=True, help="Sign in with a browser on any machine and paste the address it ends at."
)
@click.option("--consent", is_flag=True, help="Ask again for the permission to use the plan.")
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening a browser.")
@click.option(
    "--api-key",
    is_flag=True,
    help="Store an API key, from stdin or a hidden prompt, for a backend that takes one.",
)
@target_options
@json_option
@pass_session
def login(
    session: Session, device: bool, paste: bool, consent: bool, no_browser: bool, api_key: bool
) -> None:
    """Sign in with a ChatGPT plan.

    With --backend chatgpt-plan it is "Sign in with ChatGPT": onplan appears under its own name in ChatGPT's
    settings, where you limit what it uses.

    Opens the browser and waits for it to return to this machine. If the browser is on another machine, use
    --device or --paste. An earlier sign-in stays until the new one has succeeded.
    """
    from onplan.types import APIKey

    if api_key:
        from onplan.cli.api_key import store_api_key

        if device or paste or consent or no_browser:
            raise click.UsageError("--api-key does not go with options of a sign-in with a browser.")
        store_api_key(session)
        return
    if device and paste:
        raise click.UsageError("--device and --paste exclude each other.")
    backend = session.settings.backend
    if backend.credential is APIKey:
        raise click.UsageError(
            f"{backend.name} takes an API key instead of a sign-in: set {backend.api_key_variable}, or "
            f"store a key with `onplan login --backend {backend.name} --api-key`."
        )
    if consent and not session.settings.issuer.registers:
        raise click.UsageError(f"--consent is for chatgpt-plan; {backend.name} asks for no permission.")
    _sign_in(session, device=device, paste=paste, consent=consent, no_browser=no_browser)


def _sign_in(session: Session, *, device: bool, paste: bool, consent: bool, no_browser: bool) -> None:
    from onplan.cli import sign_in_notes as notes
    from onplan.sign_in import login as shells

    session.require_lasting_store()
    settings, store = session.settings, session.store
    loaded, in_use_before = store.load(), _profile_in_use(session, session.files)
    before = loaded.record.credentials if loaded else None
    is_first = before is None or not settings.backend.is_permitted(before)
    if before is None:
        notes.say_what_is_permitted(settings.backend.name)
    if device:
        credentials = shells.sign_in_with_device_code(settings, store, _show_code)
    elif paste:
        credentials = _by_pasting(settings, store, consent=consent)
    else:
        credentials = _with_browser(settings, store, no_browser=no_browser, consent=consent)
    remember(settings)
    if session.as_json:
        click.echo(json.dumps(_facts(settings, credentials), ensure_ascii=False))
        return
    notes.say_who(credentials, before, store)
    in_use = _profile_in_use(session, None)
    if in_use != in_use_before:
        say(f"The profile in use is {in_use} from now on; `onplan profiles use NAME` changes that.")
    notes.say_whether_the_plan_is_used(settings, credentials, is_first=is_first, in_use=in_use)


def _profile_in_use(session: Session, files: ConfigFiles | None) -> str:
    """The profile of commands that name none, by ``files``, or by what the files say now."""
    from onplan.config.settings import load_settings

    return load_settings(files=files).profile if session.profile else session.settings.profile


def _facts(settings: Settings, credentials: OAuthCredentials) -> dict[str, str | float | None]:
    return {
        "profile": settings.profile,
        "backend": settings.backend.name,
        "email": credentials.email,
        "plan": credentials.plan,
        "account_id": credentials.account_id,
        "store": settings.store,
        "client_id": credentials.client_id,
        "plan_permitted": settings.backend.is_permitted(credentials),
        "expires_at": credentials.expires_at,
    }


# --- a browser here ---------------------------------------------------------------------------------


def _with_browser(
    settings: Settings, store: CredentialStore, *, no_browser: bool, consent: bool
) -> OAuthCredentials:
    from onplan.cli.pasting import can_paste
    from onplan.cli.remote import has_browser
    from onplan.sign_in import login as shells
    from onplan.sign_in.browser import open_browser
    from onplan.sign_in.loopback import PortsTakenError

    attended = can_paste()
    try:
        return shells.sign_in_with_browser(
            settings,
            store,
            _show_address_and_way_back,
            browse=open_browser if has_browser() and not no_browser else lambda url: None,
            pasting=_paste if attended else None,
            consent=consent,
        )
    except PortsTakenError as error:
        if not attended:
            raise
        say(f"{error} Instead, paste the address that the browser ends at.\n")
        return _by_pasting(settings, store, consent=consent)


def _show_address_and_way_back(started: AuthorizationRequest) -> None:
    from onplan.cli.pasting import can_paste
    from onplan.cli.remote import forwarded_address, forwarding_command, is_remote

    _show_address(started)
    port = started.redirect_port
    if forwarded := forwarded_address(port):
        say(
            f"If the browser ends at localhost and shows an error, replace "
            f"`{started.redirect_uri.removesuffix('/auth/callback')}` in its address bar by `{forwarded}`.\n"
        )
    if is_remote():
        say("To use a browser on the machine from which you connected, first type this there:\n")
        say(f"  {forwarding_command(port)}\n")
    if can_paste():
        say("If the browser does not return by itself, paste the address that it ends at here.")
    say(f"Waiting on port {port} for the browser … (Ctrl-C gives up)")


def _paste(is_right: Callable[[str], bool]) -> AbstractContextManager[None]:
    from onplan.cli.pasting import pasted_lines
    from onplan.sign_in.login import NOT_THIS_SIGN_IN

    def take(line: str) -> None:
        if line.strip() and not is_right(line):
            say(NOT_THIS_SIGN_IN)

    return pasted_lines(take)


# --- a browser on another machine -------------------------------------------------------------------


def _by_pasting(settings: Settings, store: CredentialStore, *, consent: bool) -> OAuthCredentials:
    from onplan.cli.pasting import read_pasted
    from onplan.sign_in import login as shells

    def announce(started: AuthorizationRequest) -> None:
        _show_address(started)
        say("The browser ends at an address that it may not be able to show. Paste that address here:")

    return shells.sign_in_by_pasting(settings, store, announce, read_pasted, explain=say, consent=consent)


def _show_address(started: AuthorizationRequest) -> None:
    say("Open this address in a browser:\n")
    say(f"  {started.url}\n")


# --- a device code ----------------------------------------------------------------------------------


def _show_code(authorization: DeviceAuthorization) -> None:
    from onplan.cli.terminal import qr_code

    drawn = qr_code(authorization.verification_uri)
    say("Open this address in any browser and sign in:\n")
    say(f"  {authorization.verification_uri}\n")
    if drawn:
        click.echo(f"{drawn}\n", err=True)
    say("Enter this code there; it expires in 15 minutes:\n")
    say(f"  {authorization.user_code}\n")
    say(
        "Enter it only if you started this sign-in yourself. Never enter a code that someone sent you, and "
        "give this one to no one: entering a code lets the person who started that sign-in into your account."
    )
    say("Waiting … (Ctrl-C gives up)")
