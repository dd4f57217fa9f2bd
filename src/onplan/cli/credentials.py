"""``onplan credentials export|import``: moves a sign-in to another machine."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session, remember, target_options
from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.config.settings import Settings
    from onplan.stores import Record

_PATH = click.Path(dir_okay=False, path_type=Path)


@click.group()
def credentials() -> None:
    """Move a sign-in to another machine.

    Sign in on a machine with a browser, export the sign-in to a file, copy that over SSH, and import it.
    """


@credentials.command("export")
@click.argument("path", type=_PATH)
@target_options
@json_option
@pass_session
def export(session: Session, path: Path) -> None:
    """Move the sign-in from its store into the new file PATH.

    It is moved, not copied: if two machines refreshed the same sign-in, both would be signed out. Nothing is
    revoked.
    """
    from onplan.sign_in import transfer as moving

    if str(path) == "-":
        raise click.UsageError("A sign-in is exported to a file, not to stdout, where it could be lost.")
    settings = session.settings
    record = moving.export_credential(settings, session.store, path)
    _report(
        session,
        _facts(settings, record, path),
        f"Moved to {path}. Keep that file secret, like a password. Copy it to the other machine, run "
        f"`onplan credentials import {quote(path.name)}` there, and delete it here.",
    )


@credentials.command("import")
@click.argument("path", type=_PATH)
@click.option(
    "--force", is_flag=True, help="Replace the sign-in that the profile has now, without revoking it."
)
@target_options
@json_option
@pass_session
def import_(session: Session, path: Path, force: bool) -> None:
    """Move the sign-in in the file PATH into this machine's store, and use it from now on.

    The file is deleted. This machine keeps its own host id.
    """
    from onplan.config.settings import load_settings
    from onplan.errors import ConfigurationError
    from onplan.sign_in import exported_file
    from onplan.sign_in import transfer as moving
    from onplan.stores import open_store

    record = moving.peek(path)
    backend = moving.backend_of(record)
    if session.backend not in (None, backend):
        raise ConfigurationError(
            f"The sign-in in {path} is for {backend}, not for {session.backend}.",
            hint="Leave out `--backend`.",
        )
    session.require_lasting_store()
    settings = load_settings(profile=session.profile, backend=backend, store=session.store_spec)
    store = open_store(settings.store, settings.backend)
    moving.require_moved_out(path, settings, store)
    with moving.claim(path, settings.profile, store) as claimed:
        record = exported_file.read(claimed)  # again: the file may have been replaced meanwhile
        moving.import_credential(settings, store, record, force=force)
        removed = exported_file.discard(claimed)
    remember(settings)
    facts = {**_facts(settings, record, path), "removed": removed}
    who = facts["email"] or facts["account_id"] or "an unnamed account"
    left = f"{path} is deleted." if removed else f"Delete the file now: `rm {quote(str(path))}`."
    _report(
        session,
        facts,
        f"The profile {settings.profile} is now in use, signed in to {backend} as {who}, billed to "
        f"{settings.backend.billed_to}. Stored in {store.describe()}. {left} Try `onplan status`.",
    )


def _facts(settings: Settings, record: Record, path: Path) -> dict[str, Any]:
    found = record.credentials
    return {
        "profile": settings.profile,
        "backend": settings.backend.name,
        "store": settings.store,
        "path": str(path),
        "email": found and found.email,
        "account_id": found and found.account_id,
        "client_id": found and found.client_id,
    }


def _report(session: Session, facts: dict[str, Any], sentence: str) -> None:
    if session.as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        say(sentence)
