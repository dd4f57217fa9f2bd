"""``onplan login``: a browser here, a browser elsewhere, or a code to enter in one."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onplan.cli.api_key import or_api_key
from onplan.cli.session import Session, json_option, pass_session, remember, target_options

if TYPE_CHECKING:
    from onplan.config.settings import Settings
    from onplan.oauth.authorization_code import AuthorizationRequest
    from onplan.oauth.device_code import DeviceAuthorization
    from onplan.stores import CredentialStore
    from onplan.types import OAuthCredentials

# The page is installed with the package, so that the link leads somewhere wherever it is read.
_PERMITTED = Path(__file__).parent.parent / "what-is-permitted.md"


@click.command()
@click.option("--device", is_flag=True, help="Sign in by entering a code in a browser anywhere.")
@click.option(
    "--paste", is_flag=True, help="Sign in with a browser elsewhere and paste the address it ends at."
)
@click.option("--consent", is_flag=True, help="Be asked again for the permission to use the plan.")
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
@target_options
@json_option
@pass_session
@or_api_key
def login(session: Session, device: bool, paste: bool, consent: bool, no_browser: bool) -> None:
    """Sign in with a ChatGPT plan.

    With --backend chatgpt-plan it is "Sign in with ChatGPT": onplan appears under its own name in ChatGPT's
    settings, where you limit what it uses.

    Opens the browser and waits for it to come back to this machine; with a browser elsewhere, use --device
    or --paste. The sign-in that was there before stays until the new one has succeeded.
    """
    from onplan.config.settings import load_settings
    from onplan.sign_in import login as shells

    if device and paste:
        raise click.UsageError("--device and --paste exclude each other.")
    session.require_lasting_store()
    settings, store = session.settings(), session.store()
    if consent and not settings.issuer.registers:
        raise click.UsageError(f"--consent is for chatgpt-plan; {settings.backend.name} asks for none.")
    loaded, in_use_before = store.load(), load_settings().profile
    before = loaded.record.credentials if loaded else None
    is_first = before is None or not settings.backend.is_permitted(before)
    if before is None:
        _tell_what_is_permitted()
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
    _tell_who(credentials, before, store)
    in_use = load_settings().profile
    if in_use != in_use_before:
        _say(f"The profile {in_use} is the one in use from now on; `onplan profiles use NAME` changes that.")
    _tell_of_the_plan(settings, credentials, is_first=is_first, in_use=in_use)


def _tell_what_is_permitted() -> None:
    _say(
        "Your own plan, for your own programs; no sharing, no pooling. "
        f"What is permitted: {_PERMITTED.as_uri()}"
    )


def _tell_who(credentials: OAuthCredentials, before: OAuthCredentials | None, store: CredentialStore) -> None:
    who = credentials.email or credentials.account_id or "you"
    plan = f" (ChatGPT {credentials.plan.capitalize()})" if credentials.plan else ""
    _say(f"Signed in as {who}{plan}. Kept in {store.describe()}.")
    if before is None:
        return
    known = ((before.account_id, credentials.account_id), (before.email, credentials.email))
    if any(old and old != new for old, new in known):
        _say(
            f"It replaced the sign-in of {before.email or before.account_id}, which was not revoked. Each "
            "can have a profile of its own: `onplan login --profile NAME`."
        )


def _tell_of_the_plan(
    settings: Settings, credentials: OAuthCredentials, *, is_first: bool, in_use: str
) -> None:
    """Whether it is used, and where the person sees and limits that."""
    from onplan.config.hints import login_command

    backend = settings.backend
    if not backend.is_permitted(credentials):
        _say(
            "Using your ChatGPT plan was declined, so it stays off. "
            f"To be asked again, run `{login_command(settings.profile, backend.name, '--consent')}`."
        )
        return
    if backend.usage_page:
        if is_first:
            _say("You're using your ChatGPT plan: what onplan asks counts against its limits.")
        _say(f"Using ChatGPT plan · manage usage: {backend.usage_page}")
    of_profile = "" if settings.profile == in_use else f"--profile {settings.profile} "
    _say(f'Try `onplan ask {of_profile}"Name three birds"`.')


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
        _say(f"{error} So paste the address that the browser ends at.\n")
        return _by_pasting(settings, store, consent=consent)


def _show_address_and_way_back(started: AuthorizationRequest) -> None:
    from onplan.cli.pasting import can_paste
    from onplan.cli.remote import forwarded_address, forwarding_command, is_remote

    _show_address(started)
    port = started.redirect_port
    if forwarded := forwarded_address(port):
        _say(
            f"If the browser ends at localhost, and finds nothing there, put `{forwarded}` in the place of "
            f"`{started.redirect_uri.removesuffix('/auth/callback')}` in its address bar.\n"
        )
    if is_remote():
        _say("For a browser on the machine that you came from, type this there first:\n")
        _say(f"  {forwarding_command(started.redirect_port)}\n")
    if can_paste():
        _say("If the browser does not find its way back, paste the address that it ends at here.")
    _say(f"Waiting on port {started.redirect_port} for the browser … (Ctrl-C gives up)")


def _paste(is_right: Callable[[str], bool]) -> AbstractContextManager[None]:
    from onplan.cli.pasting import pasted_lines
    from onplan.sign_in.login import NOT_THIS_SIGN_IN

    def take(line: str) -> None:
        if line.strip() and not is_right(line):
            _say(NOT_THIS_SIGN_IN)

    return pasted_lines(take)


def _by_pasting(settings: Settings, store: CredentialStore, *, consent: bool) -> OAuthCredentials:
    from onplan.cli.pasting import read_pasted
    from onplan.sign_in import login as shells

    def announce(started: AuthorizationRequest) -> None:
        _show_address(started)
        _say("The browser ends at an address that it may not be able to show. Paste that address here:")

    return shells.sign_in_by_pasting(settings, store, announce, read_pasted, explain=_say, consent=consent)


def _show_address(started: AuthorizationRequest) -> None:
    _say("Open this address in a browser:\n")
    _say(f"  {started.url}\n")


# --- a code -----------------------------------------------------------------------------------------


def _show_code(authorization: DeviceAuthorization) -> None:
    from onplan.cli.terminal import qr_code

    drawn = qr_code(authorization.verification_uri)
    _say("Open this address in any browser and sign in:\n")
    _say(f"  {authorization.verification_uri}\n")
    if drawn:
        _say(f"{drawn}\n")
    _say("Enter this code there; it expires in 15 minutes:\n")
    _say(f"  {authorization.user_code}\n")
    _say(
        "Enter it only if you started this sign-in yourself. Never enter a code that somebody sent you, and "
        "give this one to nobody:\nwho gets you to enter theirs has your account."
    )
    _say("Waiting … (Ctrl-C gives up)")


def _say(text: str) -> None:
    click.echo(text, err=True)
