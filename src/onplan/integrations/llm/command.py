"""``llm onplan``: onplan's own command line, which need not be installed as a program of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

import click
import llm

from onplan.cli import main
from onplan.cli.commands import cli
from onplan.cli.failures import tell
from onplan.cli.session import Session, pass_session
from onplan.cli.talk import say
from onplan.errors import ConfigurationError, OnplanError
from onplan.integrations.llm.names import model_id, note_names, registered

PROGRAM = "llm onplan"


def run(arguments: Sequence[str]) -> None:
    """Run a command and exit with its code. ``llm`` then knows the profiles and models that it left."""
    if "refresh" not in cli.commands:
        cli.add_command(refresh)
    try:
        main(arguments, PROGRAM)
    except SystemExit as ended:
        command = next((each for each in arguments if not each.startswith("-")), None)
        if command == "login" and not ended.code:
            with suppress(OnplanError):  # the sign-in is what was asked for
                _list(None)
        raise
    finally:
        with suppress(ConfigurationError):
            note_names(llm.user_dir())


def _list(profile: str | None) -> str:
    """Ask a profile's backend for its models and keep them; says how many there are. Raises OnplanError."""
    from onplan.client_parts import listing_of

    session = Session()
    session.profile = profile
    with session.client() as client:
        listing = listing_of(client)
    if listing.problem:
        raise listing.problem
    return f"{session.settings.profile}: {len(listing.models)} models of {client.name}."


@click.command()
@pass_session
def refresh(session: Session) -> None:
    """List the models of every profile anew, for `llm models`.

    This asks the backend of each profile, which uses nothing of a plan. A profile that cannot be asked keeps
    the models that it had.
    """
    exit_code = 0
    profiles: list[str | None] = [*session.files.names()]
    for profile in profiles or [None]:
        try:
            say(_list(profile))
        except OnplanError as error:
            asked = Session()
            asked.profile, exit_code = profile, error.exit_code
            tell(error, asked)
    note_names(llm.user_dir())
    for known, names in registered(llm.user_dir()).items():
        for name in names:
            click.echo(model_id(name, known))
    sys.exit(exit_code)
