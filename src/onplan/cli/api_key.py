"""``onplan login --api-key``: reads an API key, without showing it, and stores it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.cli.session import Session


def store_api_key(session: Session) -> None:
    """Read a key and store it for the backend of the session.

    Raises ConfigurationError and StoreError.
    """
    from onplan.cli.session import remember
    from onplan.tokens.api_key import keep_key

    session.require_lasting_store()
    settings, store = session.settings, session.store
    keep_key(settings, store, _read())
    remember(settings)
    facts = {
        "profile": settings.profile,
        "backend": settings.backend.name,
        "base_url": settings.base_url,
        "store": settings.store,
    }
    if session.as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    say(
        f"The key is stored in {store.describe()}. The profile {settings.profile} now sends requests to "
        f"{settings.base_url}, billed to {settings.backend.billed_to}."
    )


def _read() -> str:
    """The key, from one line of stdin or a hidden prompt. Raises ConfigurationError if it cannot be a key."""
    from onplan.errors import ConfigurationError
    from onplan.secret import SecretText

    at_terminal = sys.stdin.isatty()
    key = SecretText(
        (click.prompt("API key", hide_input=True, err=True) if at_terminal else sys.stdin.readline())
        .removeprefix("\ufeff")
        .strip()
    )
    if not key:
        raise ConfigurationError("No API key came on stdin.", hint="Pipe one in, or type it at a terminal.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            "What came on stdin is not an API key.", hint="Give the key alone, on one line."
        )
    return key
