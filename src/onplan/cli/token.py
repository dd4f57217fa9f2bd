"""``onplan token``: the one place that prints a secret, because it is asked to."""

from __future__ import annotations

import click

from onplan.cli.session import Session, pass_session, target_options


@click.command()
@target_options
@pass_session
def token(session: Session) -> None:
    """Print a fresh access token, for other tools.

    It is a secret: whoever has it can use your plan until it expires.
    """
    with session.client() as client:
        click.echo(client.credentials().access_token)
