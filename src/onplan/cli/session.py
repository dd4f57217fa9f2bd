"""What the commands share: the options that choose a credential, and how the output is wanted."""

from __future__ import annotations

from collections.abc import Callable
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.config.settings import Settings
    from onplan.stores import CredentialStore

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Session:
    """One run of the command line."""

    def __init__(self) -> None:
        self.as_json = False
        self.profile: str | None = None
        self.backend: str | None = None
        self.store_spec: str | None = None

    def settings(self) -> Settings:
        """The settings that the options, the environment and the configuration file amount to."""
        from onplan.config.settings import load_settings

        return load_settings(profile=self.profile, backend=self.backend, store=self.store_spec)

    def store(self) -> CredentialStore:
        """The credential store in use."""
        from onplan.stores import open_store

        settings = self.settings()
        return open_store(settings.store, settings.backend)

    def require_lasting_store(self) -> None:
        """Raise ConfigurationError if what is kept in the store would be gone when the command ends."""
        from onplan.config.store_schemes import declared

        if not declared(self.settings().store).lasting:
            from onplan.errors import ConfigurationError

            raise ConfigurationError(
                "The store memory: forgets everything when this command ends.",
                hint="Keep it in another store, such as `--store keyring:` or `--store file:PATH`.",
            )

    def client(self) -> Client:
        """A client on it."""
        from dataclasses import replace

        from onplan.client import Client
        from onplan.config.catalogue_file import CatalogueFile

        client = Client(profile=self.profile, backend=self.backend, store=self.store_spec)
        settings = client._assembly.settings
        if not settings.backend.is_compatible:  # such a server lists first what it has loaded at the moment
            client._context = replace(client._context, catalogue=CatalogueFile(settings))
        return client


def remember(settings: Settings) -> None:
    """From now on this profile is the one in use; where that cannot be kept, say so and how to name it.

    What was signed in is kept by then, so that is no failure: configuration may be on a read-only disk.
    """
    from onplan.config.catalogue_file import CatalogueFile
    from onplan.config.profiles import remember_profile
    from onplan.config.settings import load_settings
    from onplan.errors import ConfigurationError

    CatalogueFile(settings).forget()  # another account may be offered other models
    try:
        remember_profile(settings)
    except ConfigurationError as error:
        found = load_settings()
        named = {
            "--profile": settings.profile if settings.profile != found.profile else "",
            "--backend": settings.backend.name if settings.backend.name != found.backend.name else "",
            "--store": settings.store if settings.store != found.store else "",
        }
        options = " ".join(f"{option} {quote(value)}" for option, value in named.items() if value)
        advice = f"Add `{options}` to each command, or: " if options else ""
        click.echo(f"It is kept, but not as the one in use: {error} {advice}{error.hint}", err=True)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        setattr(context.ensure_object(Session), name, value)

    return callback


_TARGET = (
    click.option(
        "--profile",
        metavar="NAME",
        expose_value=False,
        callback=_remember("profile"),
        help="Use this profile instead of the one in use.",
    ),
    click.option(
        "--backend",
        metavar="NAME",
        expose_value=False,
        callback=_remember("backend"),
        help="Use this backend (default: openai-codex).",
    ),
    click.option(
        "--store",
        metavar="SPEC",
        expose_value=False,
        callback=_remember("store_spec"),
        help="Keep the credential there, such as file:PATH.",
    ),
)


def target_options(command: _Command) -> _Command:
    """Add ``--profile``, ``--backend`` and ``--store``, which every command takes."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,  # so that a mistake in another option is already told in JSON
    callback=_remember("as_json"),
    help="Print JSON.",
)

pass_session = click.make_pass_decorator(Session, ensure=True)
