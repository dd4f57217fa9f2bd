"""``onplan login --api-key``: a key for a backend where nobody signs in, read where nobody sees it."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from onplan.cli.session import Session


def or_api_key(sign_in: Callable[..., None]) -> Callable[..., None]:
    """Add ``--api-key`` to the command that signs in; for backends that take a key, there is nothing else."""

    @click.option(
        "--api-key",
        is_flag=True,
        help="Keep an API key, read from stdin or typed unseen, for a backend that takes one.",
    )
    @functools.wraps(sign_in)
    def command(session: Session, api_key: bool, **options: Any) -> None:
        from onplan.types import APIKey

        if api_key:
            if any(options.values()):
                raise click.UsageError("--api-key is for backends where nobody signs in with a browser.")
            _keep(session)
        elif session.settings().backend.credential is APIKey:
            name = session.settings().backend.name
            raise click.UsageError(
                f"{name} needs no sign-in: set {session.settings().backend.api_key_variable}, or keep a key "
                f"with `onplan login --backend {name} --api-key`."
            )
        else:
            sign_in(session, **options)

    return command


def _keep(session: Session) -> None:
    from onplan.cli.session import remember
    from onplan.tokens.api_key import keep_key

    session.require_lasting_store()
    settings, store = session.settings(), session.store()
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
    click.echo(
        f"The key is kept in {store.describe()}. From now on the profile {settings.profile} asks "
        f"{settings.base_url}, paid by {settings.backend.billed_to}.",
        err=True,
    )


def _read() -> str:
    """One line of stdin; at a terminal it is not shown. Raises ConfigurationError for what is no key."""
    from onplan.errors import ConfigurationError
    from onplan.secret import SecretText

    at_terminal = sys.stdin.isatty()
    key = SecretText(
        (click.prompt("API key", hide_input=True, err=True) if at_terminal else sys.stdin.readline())
        .removeprefix("\ufeff")
        .strip()
    )
    if not key:
        raise ConfigurationError(
            "There is no API key on stdin.", hint="Pipe it in, or type it at a terminal."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError("What came on stdin is no API key.", hint="Give the key alone, on one line.")
    return key
