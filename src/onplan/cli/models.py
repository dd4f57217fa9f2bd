"""``onplan models``."""

from __future__ import annotations

import click

from onplan.cli.session import Session, json_option, pass_session, target_options


@click.command()
@target_options
@json_option
@pass_session
def models(session: Session) -> None:
    """List the models that the plan has now.

    The best come first, each with its context window and how hard it can be told to think.
    """
    with session.client() as client:
        listing = client._list_models()
    listed, problem = listing.models, listing.problem
    if problem:
        click.echo(f"The list could not be read; this is the built-in one. {problem}", err=True)
    if session.as_json:
        import msgspec

        click.echo(msgspec.json.encode(listed))
        return
    width = max(len(model.id) for model in listed)
    for model in listed:
        window = f"{model.context_window:>9,}" if model.context_window else " " * 9
        click.echo(f"{model.id:<{width}}  {window}  {' '.join(model.reasoning_efforts)}".rstrip())
