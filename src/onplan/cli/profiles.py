"""``onplan profiles``: lists, chooses and removes profiles. None of these signs anything out."""

from __future__ import annotations

import json
import sys
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session
from onplan.cli.talk import columns, padded, say
from onplan.errors import ConfigurationError, OnplanError

if TYPE_CHECKING:
    from onplan.config.settings import Settings


@click.group(invoke_without_command=True)
@json_option
@pass_session
@click.pass_context
def profiles(context: click.Context, session: Session) -> None:
    """List, choose and remove profiles.

    A profile is a name for one sign-in with its backend and store. `onplan login --profile NAME` creates one.
    """
    if context.invoked_subcommand is None:
        _show(session)


@profiles.command("list")
@json_option
@pass_session
def list_(session: Session) -> None:
    """List the profiles; a star marks the one in use."""
    _show(session)


@profiles.command()
@click.argument("name")
@pass_session
def use(session: Session, name: str) -> None:
    """Use the profile NAME from now on. No other profile is signed out."""
    from onplan.config.environment import environment_variable
    from onplan.config.profile_changes import use_profile

    use_profile(session.settings.home, name)
    override = environment_variable("ONPLAN_PROFILE")
    if override and override != name:
        say(f"ONPLAN_PROFILE is set to {override} here, which overrides it. Run `unset ONPLAN_PROFILE`.")
    say(f"The profile in use is now {name}.")


@profiles.command()
@click.argument("name")
@pass_session
def remove(session: Session, name: str) -> None:
    """Remove the profile NAME. If it is still signed in, sign out first; a store that it shares stays."""
    from onplan.config.profile_changes import forget_profile
    from onplan.config.store_schemes import declared
    from onplan.config.store_spec import default_store
    from onplan.stores import open_store

    home = session.settings.home
    store = _own_settings(session, name).store
    others = [_own_settings(session, other).store for other in session.files.names() if other != name]
    loaded = open_store(store).load() if declared(store).exclusive and store not in others else None
    is_live = loaded is not None and bool(loaded.record.credentials or loaded.record.api_key)
    if is_live and store == default_store(home, name):
        raise ConfigurationError(
            f"The profile {name} is still signed in.", hint=f"Run `onplan logout --profile {name}` first."
        )
    forget_profile(home, name)
    left = f" Its sign-in is still in the store; `onplan logout --store {quote(store)}` signs it out."
    say(f"Removed the profile {name}.{left if is_live else ''}")


def _show(session: Session) -> None:
    from onplan.config.environment import environment_variable

    current = session.settings
    names = sorted({*session.files.names(), current.profile})
    rows = [_facts(_own_settings(session, name), in_use=name == current.profile) for name in names]
    for variable in ("ONPLAN_BACKEND", "ONPLAN_STORE"):
        if value := environment_variable(variable):
            say(f"{variable} is set to {value}, which overrides the profiles here.")
    if session.as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    lines = [
        (
            f"{'*' if row['in_use'] else ' '} {row['profile']}",
            row["backend"],
            row["store"],
            row["email"] or row["account_id"] or row["problem"] or "",
        )
        for row in rows
    ]
    if sys.stdout.isatty():
        lines.insert(0, ("  PROFILE", "BACKEND", "STORE", "ACCOUNT"))
    widths = [max(columns(line[column]) for line in lines) for column in range(3)]
    for *cells, who in lines:
        click.echo("  ".join([*map(padded, cells, widths), who]).rstrip())


def _own_settings(session: Session, name: str) -> Settings:
    """The settings of a profile without the variables that are set here."""
    from onplan.config.settings import load_settings

    home = str(session.settings.home)
    return load_settings(profile=name, environment={"ONPLAN_HOME": home}, files=session.files)


def _facts(settings: Settings, *, in_use: bool) -> dict[str, Any]:
    from onplan.config.store_schemes import declared
    from onplan.stores import open_store

    facts: dict[str, Any] = {
        "profile": settings.profile,
        "in_use": in_use,
        "backend": settings.backend.name,
        "store": settings.store,
        "signed_in": None,
        "email": None,
        "account_id": None,
        "problem": None,
    }
    if declared(settings.store).instant:
        try:
            loaded = open_store(settings.store).load()
        except OnplanError as error:
            return {**facts, "problem": str(error)}
        credentials = loaded.record.credentials if loaded else None
        facts["signed_in"] = credentials is not None or bool(loaded and loaded.record.api_key)
        if credentials:
            facts |= {"email": credentials.email, "account_id": credentials.account_id}
    return facts
