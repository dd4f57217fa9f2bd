"""``onplan profiles``: several sign-ins beside each other. Choosing one never signs another out."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session
from onplan.errors import ConfigurationError, OnplanError

if TYPE_CHECKING:
    from onplan.config.settings import Settings


@click.group(invoke_without_command=True)
@json_option
@pass_session
@click.pass_context
def profiles(context: click.Context, session: Session) -> None:
    """List, choose and forget profiles.

    A profile is a name for a credential, its backend and its store. `onplan login --profile NAME` makes one.
    """
    if context.invoked_subcommand is None:
        _show(session)


@profiles.command("list")
@json_option
@pass_session
def list_(session: Session) -> None:
    """List them; the one in use is marked."""
    _show(session)


@profiles.command()
@click.argument("name")
@pass_session
def use(session: Session, name: str) -> None:
    """Use NAME from now on. Nobody is signed out."""
    from onplan.config.environment import environment_variable
    from onplan.config.profiles import use_profile

    use_profile(session.settings().home, name)
    override = environment_variable("ONPLAN_PROFILE")
    if override and override != name:
        click.echo(f"ONPLAN_PROFILE still says {override}, here. Run `unset ONPLAN_PROFILE`.", err=True)
    click.echo(f"The profile in use is {name}.", err=True)


@profiles.command()
@click.argument("name")
@pass_session
def remove(session: Session, name: str) -> None:
    """Forget NAME. Where it is still signed in, sign out first; a store it shares is left alone."""
    from onplan.config.profiles import forget_profile, known_profiles
    from onplan.config.store_schemes import declared
    from onplan.config.store_spec import default_store
    from onplan.stores import open_store

    home = session.settings().home
    store = _own_settings(home, name).store
    others = [_own_settings(home, other).store for other in known_profiles(home) if other != name]
    loaded = open_store(store).load() if declared(store).exclusive and store not in others else None
    is_live = loaded is not None and bool(loaded.record.credentials or loaded.record.api_key)
    if is_live and store == default_store(home, name):
        raise ConfigurationError(
            f"The profile {name} is still signed in.", hint=f"Run `onplan logout --profile {name}` first."
        )
    forget_profile(home, name)
    left = f" What is signed in there is left alone; `onplan logout --store {quote(store)}` ends it."
    click.echo(f"Forgot the profile {name}.{left if is_live else ''}", err=True)


def _show(session: Session) -> None:
    from onplan.config.environment import environment_variable
    from onplan.config.profiles import known_profiles

    current = session.settings()
    names = sorted({*known_profiles(current.home), current.profile})
    rows = [_facts(_own_settings(current.home, name), in_use=name == current.profile) for name in names]
    for variable in ("ONPLAN_BACKEND", "ONPLAN_STORE"):
        if value := environment_variable(variable):
            click.echo(f"{variable} is set: here {value} goes before what the profiles say.", err=True)
    if session.as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    width = max(map(len, names))
    for row in rows:
        mark = "*" if row["in_use"] else " "
        who = row["email"] or row["account_id"] or row["problem"] or ""
        click.echo(f"{mark} {row['profile']:<{width}}  {row['backend']}  {row['store']}  {who}".rstrip())


def _own_settings(home: Path, name: str) -> Settings:
    """What a profile is by itself, whatever the environment says here."""
    from onplan.config.settings import load_settings

    return load_settings(profile=name, environment={"ONPLAN_HOME": str(home)})


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
