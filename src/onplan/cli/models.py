"""``onplan models``: lists the models of the backend."""

from __future__ import annotations

import sys

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import say


@click.command()
@target_options
@json_option
@pass_session
def models(session: Session) -> None:
    """List the models that the plan offers now.

    The best come first, each with its context window in tokens and its reasoning efforts.
    """
    from onplan.client_parts import listing_of

    with session.client() as client:
        listing = listing_of(client)
    listed, problem = listing.models, listing.problem
    if problem:
        say(f"The model list could not be read, so this is the built-in one. {problem}")
    if session.as_json:
        import msgspec

        click.echo(msgspec.json.encode(listed))
        return
    rows = [
        (
            model.id,
            f"{model.context_window:,}" if model.context_window else "",
            " ".join(model.reasoning_efforts),
        )
        for model in listed
    ]
    if sys.stdout.isatty():  # programs that read the list get nothing but models
        rows.insert(0, ("MODEL", "CONTEXT", "EFFORTS"))
    width = max(len(name) for name, _, _ in rows)
    for name, window, efforts in rows:
        click.echo(f"{name:<{width}}  {window:>9}  {efforts}".rstrip())
