"""``onplan token``: the one place that prints a secret, because it is asked to."""

from __future__ import annotations

import click

from onplan.cli.session import Session, pass_session, target_options


@click.command()
@target_options
@pass_session
def token(session: Session) -> None:
    """Print a fresh access token, for other tools.

    It is a secret: whoever has it can use your plan until it expires. A chatgpt-plan sign-in is for onplan
    alone and is not printed.
    """
    backend = session.settings().backend
    if backend.required_scope:  # granted to this program, by its name
        from onplan.errors import ConfigurationError

        raise ConfigurationError(
            f"The terms of a {backend.name} sign-in limit it to onplan: it is not printed.",
            hint="Ask through onplan: `onplan ask`, or `onplan.Client()` in your program.",
        )
    with session.client() as client:
        click.echo(client.credentials().access_token)
