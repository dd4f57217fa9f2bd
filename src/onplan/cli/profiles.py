"""``onplan profiles``: several sign-ins beside each other. Choosing one never signs another out."""

from __future__ import annotations

import json
from typing import Any

import click

from onplan.cli.session import Session, json_option, pass_session
from onplan.errors import ConfigurationError, OnplanError

_LOCAL = ("file", "codex")  # read for the list: at once, and without a passphrase


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
    from onplan.settings import environment_variable, use_profile

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
    from onplan.settings import default_store, forget_profile, load_settings
    from onplan.stores import open_store

    home = session.settings().home
    settings = load_settings(profile=name)
    loaded = open_store(settings.store).load() if settings.store == default_store(home, name) else None
    if loaded and (loaded[0].credentials or loaded[0].api_key):
        raise ConfigurationError(
            f"The profile {name} is still signed in.", hint=f"Run `onplan logout --profile {name}` first."
        )
    forget_profile(home, name)
    click.echo(f"Forgot the profile {name}.", err=True)


def _show(session: Session) -> None:
    from onplan.settings import known_profiles

    current = session.settings()
    names = sorted({*known_profiles(current.home), current.profile})
    rows = [_facts(name, in_use=name == current.profile) for name in names]
    if session.as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    width = max(map(len, names))
    for row in rows:
        mark = "*" if row["in_use"] else " "
        who = row["email"] or row["account_id"] or row["problem"] or ""
        click.echo(f"{mark} {row['profile']:<{width}}  {row['backend']}  {row['store']}  {who}".rstrip())


def _facts(name: str, *, in_use: bool) -> dict[str, Any]:
    from onplan.settings import load_settings
    from onplan.stores import open_store

    settings = load_settings(profile=name)
    facts: dict[str, Any] = {
        "profile": name,
        "in_use": in_use,
        "backend": settings.backend.name,
        "store": settings.store,
        "signed_in": None,
        "email": None,
        "account_id": None,
        "problem": None,
    }
    if settings.store.partition(":")[0] in _LOCAL:
        try:
            loaded = open_store(settings.store).load()
        except OnplanError as error:
            return {**facts, "problem": str(error)}
        credentials = loaded[0].credentials if loaded else None
        facts["signed_in"] = credentials is not None or bool(loaded and loaded[0].api_key)
        if credentials:
            facts |= {"email": credentials.email, "account_id": credentials.account_id}
    return facts
