"""``onplan login`` and ``onplan logout``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from onplan.cli.session import Session, json_option, pass_session, target_options

# The page is installed with the package, so that the link leads somewhere wherever it is read.
_PERMITTED = Path(__file__).parent.parent / "what-is-permitted.md"


@click.command()
@click.option(
    "--paste", is_flag=True, help="Sign in with a browser elsewhere and paste the address it ends at."
)
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
@target_options
@pass_session
def login(session: Session, paste: bool, no_browser: bool) -> None:
    """Sign in with a ChatGPT plan.

    Opens the browser and waits for it to come back to this machine. The sign-in that was there before
    stays until the new one has succeeded.
    """
    from onplan import login as shells
    from onplan.oauth.authorization_code import AuthorizationRequest
    from onplan.settings import remember_profile

    settings, store = session.settings(), session.store()
    if store.load() is None:
        click.echo(
            "Your own plan, for your own programs; no sharing, no pooling. "
            f"What is permitted: {_PERMITTED.as_uri()}",
            err=True,
        )

    def announce(started: AuthorizationRequest) -> None:
        click.echo("Open this address in a browser:\n", err=True)
        click.echo(f"  {started.url}\n", err=True)
        if paste:
            click.echo(
                "When the browser ends at an address it cannot show, paste that address here:", err=True
            )
        else:
            click.echo(
                f"Waiting on port {started.redirect_port} for the browser … (Ctrl-C gives up)", err=True
            )

    if paste:
        credentials = shells.sign_in_by_pasting(settings, store, announce, sys.stdin.readline)
    else:
        browse = (lambda url: None) if no_browser else shells.open_browser
        credentials = shells.sign_in_with_browser(settings, store, announce, browse=browse)
    remember_profile(settings)
    who = credentials.email or credentials.account_id or "you"
    plan = f" (ChatGPT {credentials.plan.capitalize()})" if credentials.plan else ""
    click.echo(f"Signed in as {who}{plan}. Kept in {store.describe()}.", err=True)
    click.echo('Try `onplan ask "Name three birds"`.', err=True)


@click.command()
@target_options
@json_option
@pass_session
def logout(session: Session) -> None:
    """Sign out: revoke the tokens and forget them.

    The tokens are forgotten here even when the server cannot be reached; then you are told so.
    """
    from onplan.login import sign_out

    store = session.store()
    outcome = sign_out(session.settings(), store)
    if session.as_json:
        import json

        click.echo(json.dumps({"was_signed_in": outcome.was_signed_in, "revoked": outcome.confirmed}))
    elif not outcome.was_signed_in:
        click.echo("Nobody was signed in.", err=True)
    elif outcome.confirmed:
        click.echo("Signed out; the tokens no longer work.", err=True)
    else:
        click.echo(
            "Signed out here, but the server did not confirm that the tokens no longer work. "
            "To be sure, sign out of all devices at https://chatgpt.com/#settings/Security.",
            err=True,
        )
