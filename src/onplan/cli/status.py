"""``onplan status``: reads the store and nothing else, so it works offline and at once."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.types import APIKey, OAuthCredentials

if TYPE_CHECKING:
    from onplan.config.settings import Settings
    from onplan.stores import CredentialStore


@click.command()
@target_options
@json_option
@pass_session
def status(session: Session) -> None:
    """Show who is signed in, and until when.

    Exits with 3 if nobody is.
    """
    from onplan.config.hints import not_signed_in
    from onplan.stores import why_empty

    settings, store = session.settings(), session.store()
    if settings.backend.credential is APIKey:
        _show_key(session, settings, store)
        return
    loaded = store.load()
    credentials = loaded.record.credentials if loaded else None
    facts: dict[str, Any] = {
        "signed_in": credentials is not None,
        "profile": settings.profile,
        "backend": settings.backend.name,
        "payer": settings.backend.billed_to,
        "store": settings.store,
    }
    if credentials:
        facts |= {
            "email": credentials.email,
            "plan": credentials.plan,
            "account_id": credentials.account_id,
            "issuer": credentials.issuer,
            "client_id": credentials.client_id,
            "plan_permitted": settings.backend.is_permitted(credentials),
            "expires_at": credentials.expires_at,
            "refreshable": bool(credentials.refresh_token),
            "borrowed_from": loaded.record.borrowed_from if loaded else None,
        }
    if session.as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    elif credentials:
        for label, value in [
            *_lines(facts, store.describe(), settings.issuer.url),
            *_use(settings, credentials),
        ]:
            click.echo(f"{label:<9} {value}")
    if credentials is None:
        raise not_signed_in(settings.profile, settings.backend.name, why_empty(store))


def _show_key(session: Session, settings: Settings, store: CredentialStore) -> None:
    """The same for a backend where nobody signs in. Raises NotSignedInError if there is no key."""
    from onplan.tokens.api_key import KeyHolder

    holder = KeyHolder(settings, store)
    facts = {
        "signed_in": holder.source() is not None,
        "profile": settings.profile,
        "backend": settings.backend.name,
        "payer": settings.backend.billed_to,
        "base_url": settings.base_url,
        "api_key": holder.source(),
    }
    if session.as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    holder.credentials()
    if not session.as_json:
        for label, value in (
            ("API key", f"from {facts['api_key']}" if facts["api_key"] else "none, and none is needed"),
            ("profile", settings.profile),
            (
                "backend",
                f"{settings.backend.name} at {settings.base_url}, paid by {settings.backend.billed_to}",
            ),
        ):
            click.echo(f"{label:<9} {value}")


def _lines(facts: dict[str, Any], place: str, issuer: str) -> list[tuple[str, str]]:
    plan = f" (ChatGPT {facts['plan'].capitalize()})" if facts["plan"] else ""
    elsewhere = facts["borrowed_from"] not in (None, facts["store"])  # a variable is its own lender
    borrowed = [("borrowed", f"from {facts['borrowed_from']}")] if elsewhere else []
    foreign = (
        [("issuer", f"{facts['issuer']}, and not the one in use, {issuer}")]
        if facts["issuer"] not in (None, issuer)
        else []
    )
    return [
        ("account", f"{facts['email'] or facts['account_id'] or 'unknown'}{plan}"),
        ("profile", facts["profile"]),
        ("backend", f"{facts['backend']}, paid by {facts['payer']}"),
        ("token", _validity(facts["expires_at"], refreshable=facts["refreshable"])),
        ("kept in", place),
        *borrowed,
        *foreign,
    ]


def _use(settings: Settings, credentials: OAuthCredentials) -> list[tuple[str, str]]:
    """For backends where the person permits and limits what this program uses."""
    from onplan.config.hints import login_command

    backend = settings.backend
    if backend.usage_page is None:
        return []
    use = f"Using ChatGPT plan · manage usage: {backend.usage_page}"
    if not backend.is_permitted(credentials):
        ask_again = login_command(settings.profile, backend.name, "--consent")
        use = f"off, for it was declined; `{ask_again}` asks again"
    return [("client", credentials.client_id or "unknown"), ("plan", use)]


def _validity(expires_at: float | None, *, refreshable: bool) -> str:
    then = "refreshed by itself" if refreshable else "cannot be refreshed"
    if expires_at is None:
        return f"of unknown validity, {then}"
    left = expires_at - time.time()
    moment = f"{datetime.fromtimestamp(expires_at).astimezone():%Y-%m-%d %H:%M %Z}"
    return f"valid until {moment}, {then}" if left > 0 else f"expired at {moment}, {then}"
