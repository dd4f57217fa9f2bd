"""``onplan import``: uses the sign-in of the Codex CLI, or one in another store."""

from __future__ import annotations

import json
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session, remember, target_options
from onplan.cli.talk import say
from onplan.config.descriptions import local_time

if TYPE_CHECKING:
    from onplan.config.settings import Settings
    from onplan.stores import Record


@click.command("import")
@click.argument("source", default="codex:")
@click.option(
    "--share", is_flag=True, help="Copy nothing: both programs use the same store, and both refresh."
)
@click.option("--force", is_flag=True, help="Replace the sign-in that the profile has now.")
@target_options
@json_option
@pass_session
def import_(session: Session, source: str, share: bool, force: bool) -> None:
    """Use the sign-in of the Codex CLI or of another store.

    Borrows the access token: it works until it expires, and the other program goes on refreshing its own.
    With --share both use the same store, and each uses the tokens that the other has refreshed.

    SOURCE is the path of the Codex CLI's folder or of its auth.json (default: where the CLI keeps it), or a
    store spec, such as file:PATH or vault:MOUNT/PATH. An import never changes it.
    """
    from onplan.config.settings import load_settings
    from onplan.sign_in import borrowing
    from onplan.stores import capabilities_of

    settings = session.settings
    if share and session.store_spec:
        raise click.UsageError("--share stores nothing of its own; leave out --store.")
    source = borrowing.source_spec(source)
    before = settings.store
    if share:
        settings, record = borrowing.share(settings, source, force=force)
    else:
        session.require_lasting_store()
        record = borrowing.borrow(settings, source, force=force)
        remember(settings)
    facts = _facts(settings, record, source, shared=share)
    if session.as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        say(_sentence(facts, can_be_shared=capabilities_of(source).shareable))
    if share and borrowing.absolute_spec(before) != settings.store and _is_live(before):
        say(f"The earlier sign-in is still stored. To end it, run `onplan logout --store {quote(before)}`.")
    effective = load_settings(profile=settings.profile).store
    if borrowing.absolute_spec(effective) != borrowing.absolute_spec(settings.store):
        place = settings.home / "config.toml"
        say(f"ONPLAN_STORE or {place} still names the store {effective}, which overrides it; remove that.")


def _is_live(spec: str) -> bool:
    """Whether the store has a sign-in or a key. True if it cannot be read: the import goes on."""
    from onplan.errors import StoreError
    from onplan.stores import open_store

    try:
        loaded = open_store(spec).load()
    except StoreError:
        return True
    return loaded is not None and bool(loaded.record.credentials or loaded.record.api_key)


def _facts(settings: Settings, record: Record, source: str, *, shared: bool) -> dict[str, Any]:
    credentials = record.credentials
    return {
        "profile": settings.profile,
        "source": source,
        "shared": shared,
        "store": settings.store,
        "email": credentials and credentials.email,
        "plan": credentials and credentials.plan,
        "account_id": credentials and credentials.account_id,
        "expires_at": credentials and credentials.expires_at,
    }


def _sentence(facts: dict[str, Any], *, can_be_shared: bool) -> str:
    who = facts["email"] or facts["account_id"] or "an unnamed account"
    if facts["shared"]:
        return f"The profile {facts['profile']} shares the sign-in of {who} in {facts['source']}."
    until, more = "the server refuses it", ""
    if facts["expires_at"] is not None:
        until = local_time(facts["expires_at"])
    if can_be_shared:
        more = f"\nTo have it refreshed, run `onplan import --share {quote(facts['source'])}`."
    return f"Borrowed the access token of {who} from {facts['source']}. It works until {until}.{more}"
