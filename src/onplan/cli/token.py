"""``onplan token``: prints an access token. No other command prints a secret."""

from __future__ import annotations

import click

from onplan.cli.session import Session, pass_session, target_options


@click.command()
@target_options
@pass_session
def token(session: Session) -> None:
    """Print a fresh access token, for other tools.

    Keep it secret: with it, anyone can use your plan until it expires. The token of a chatgpt-plan sign-in is
    for onplan alone and is not printed.
    """
    backend = session.settings.backend
    if backend.required_scope:  # permission was given to onplan by name
        from onplan.errors import ConfigurationError

        raise ConfigurationError(
            f"The terms of {backend.name} limit its tokens to onplan, so they are not printed.",
            hint="Use onplan itself: `onplan ask`, or `onplan.Client()` in your program.",
        )
    with session.client() as client:
        click.echo(client.credentials().access_token)
