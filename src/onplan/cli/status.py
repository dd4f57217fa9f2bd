"""``onplan status``: the account and its token, read from the store alone, so that it works offline."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import as_typed
from onplan.config.descriptions import account_of, validity_of
from onplan.types import APIKey, OAuthCredentials

if TYPE_CHECKING:
    from onplan.config.settings import Settings
    from onplan.stores import CredentialStore


@click.command()
@target_options
@json_option
@pass_session
def status(session: Session) -> None:
    """Show the account, and how long its token lasts.

    Exits with 3 if the profile is not signed in.
    """
    from onplan.config.hints import not_signed_in
    from onplan.stores import why_empty

    settings, store = session.settings, session.store
    if settings.backend.credential is APIKey:
        _show_key(session, settings, store)
        return
    loaded = store.load()
    credentials = loaded.record.credentials if loaded else None
    facts: dict[str, Any] = {
        "signed_in": credentials is not None,
        "profile": settings.profile,
        "backend": settings.backend.name,
        "billed_to": settings.backend.billed_to,
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
        if settings.backend.account_path:
            facts["usage"] = _latest_usage(settings, credentials)
    if session.as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    elif credentials:
        for label, value in [
            *_lines(facts, credentials, store.describe(), settings.issuer.url),
            *_use(settings, credentials),
            *_left(facts),
        ]:
            click.echo(as_typed(f"{label:<10} {value}"))
    if credentials is None:
        raise not_signed_in(settings.profile, settings.backend.name, why_empty(store))


def _show_key(session: Session, settings: Settings, store: CredentialStore) -> None:
    """The same for a backend that takes an API key. Raises NotSignedInError if there is no key."""
    from onplan.tokens.api_key import KeyHolder

    holder = KeyHolder(settings, store)
    facts = {
        "signed_in": holder.source() is not None,
        "profile": settings.profile,
        "backend": settings.backend.name,
        "billed_to": settings.backend.billed_to,
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
                f"{settings.backend.name} at {settings.base_url}, billed to {settings.backend.billed_to}",
            ),
        ):
            click.echo(f"{label:<10} {value}")


def _lines(
    facts: dict[str, Any], credentials: OAuthCredentials, place: str, issuer: str
) -> list[tuple[str, str]]:
    lender = facts["borrowed_from"]  # of a token in a variable, the variable itself
    borrowed = [("borrowed", f"from {lender}")] if lender not in (None, facts["store"]) else []
    foreign = (
        [("issuer", f"{facts['issuer']}; the settings name another one, {issuer}")]
        if facts["issuer"] not in (None, issuer)
        else []
    )
    return [
        ("account", account_of(credentials)),
        ("profile", facts["profile"]),
        ("backend", f"{facts['backend']}, billed to {facts['billed_to']}"),
        ("token", validity_of(facts["expires_at"], time.time(), refreshable=facts["refreshable"])),
        ("stored in", place),
        *borrowed,
        *foreign,
    ]


def _latest_usage(settings: Settings, credentials: OAuthCredentials) -> dict[str, Any] | None:
    """What the plan had left when a command asked last, within a day."""
    import msgspec

    from onplan.config.usage_file import UsageFile

    readings = UsageFile(settings).readings(credentials.account_id)
    found: dict[str, Any] | None = msgspec.to_builtins(readings[-1]) if readings else None
    return found


def _left(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """A line about what the plan has left, where the backend says so."""
    if "usage" not in facts:
        return []
    if facts["usage"] is None:
        return [("usage", "not asked for lately: `onplan usage`")]
    import msgspec

    from onplan.cli.usage_view import short, span
    from onplan.types import Limits

    limits, now = msgspec.convert(facts["usage"], Limits), time.time()
    return [
        ("usage", f"{short(limits, now)}, {span(now - (limits.read_at or now))} ago (now: `onplan usage`)")
    ]


def _use(settings: Settings, credentials: OAuthCredentials) -> list[tuple[str, str]]:
    """Two lines for backends where the person permits and limits what onplan uses."""
    from onplan.config.hints import login_command

    backend = settings.backend
    if backend.usage_page is None:
        return []
    use = f"Using ChatGPT plan · manage usage: {backend.usage_page}"
    if not backend.is_permitted(credentials):
        ask_again = login_command(settings.profile, backend.name, "--consent")
        use = f"not used, because you declined it; `{ask_again}` asks again"
    return [("client", credentials.client_id or "unknown"), ("plan", use)]
