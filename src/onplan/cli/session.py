"""What the commands share: the options that choose a credential, the settings, the store and the client."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.config.profiles import ConfigFiles
    from onplan.config.settings import Settings
    from onplan.errors import OnplanError
    from onplan.stores import CredentialStore
    from onplan.types import Limits

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Session:
    """One run of the command line.

    Attributes:
        as_json: ``--json`` was given.
        verbose: ``-v`` was given.
        profile, backend, store_spec: the options of these names, or None.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.verbose = False
        self.profile: str | None = None
        self.backend: str | None = None
        self.store_spec: str | None = None

    @cached_property
    def files(self) -> ConfigFiles:
        """``config.toml`` and ``profiles.json``, read once per command. Raises ConfigurationError."""
        from onplan.config.environment import Environment, find_home
        from onplan.config.profiles import read_config_files

        return read_config_files(find_home(Environment(os.environ)))

    @cached_property
    def settings(self) -> Settings:
        """The settings from options, environment and configuration files. Raises ConfigurationError."""
        from onplan.config.settings import load_settings

        return load_settings(
            profile=self.profile, backend=self.backend, store=self.store_spec, files=self.files
        )

    @cached_property
    def store(self) -> CredentialStore:
        """The credential store of the profile. Raises ConfigurationError."""
        from onplan.stores import open_store

        return open_store(self.settings.store, self.settings.backend)

    @property
    def keeps_conversations(self) -> bool:
        """Whether conversations are kept, as ``config.toml`` says. Raises ConfigurationError."""
        wish = self.files.settings_of(self.settings.profile).get("conversations", "keep")
        if wish not in ("keep", "forget"):
            from onplan.errors import ConfigurationError

            where = f"conversations in [profiles.{self.settings.profile}]"
            raise ConfigurationError(
                f'config.toml: {where} is {wish!r}, which is neither "keep" nor "forget".'
            )
        return wish == "keep"

    def require_lasting_store(self) -> None:
        """Raise ConfigurationError if the store forgets its contents when the command ends."""
        from onplan.config.store_schemes import declared

        if not declared(self.settings.store).lasting:
            from onplan.errors import ConfigurationError

            raise ConfigurationError(
                "The store memory: forgets everything when this command ends.",
                hint="Choose another store, such as `--store keyring:` or `--store file:PATH`.",
            )

    def client(self, on_retry: Callable[[OnplanError, float], object] | None = None) -> Client:
        """A client with the same profile, backend and store."""
        from onplan.client import Client
        from onplan.client_parts import keep_catalogue
        from onplan.config.catalogue_file import CatalogueFile

        client = Client(profile=self.profile, backend=self.backend, store=self.store_spec, on_retry=on_retry)
        keep_catalogue(client, CatalogueFile)
        return client

    def note_limits(self, client: Client, limits: Limits | None) -> list[Limits]:
        """Keep what the plan has left, for `onplan status` and forecasts; what is known of the last day."""
        if limits is None:
            return []
        from onplan.config.usage_file import UsageFile
        from onplan.errors import OnplanError

        try:
            account_id = client.credentials().account_id
        except OnplanError:  # an API key, at a server that passes on what a plan has left
            return []
        return UsageFile(self.settings).add(account_id, limits)


def remember(settings: Settings) -> None:
    """Make this profile the one in use. If that cannot be saved, print which options commands need instead.

    The credentials are stored by then, so this is not an error: the configuration folder may be read-only.
    """
    from onplan.config.catalogue_file import CatalogueFile
    from onplan.config.profile_changes import remember_profile
    from onplan.config.settings import load_settings
    from onplan.config.usage_file import UsageFile
    from onplan.errors import ConfigurationError

    CatalogueFile(settings).forget()  # another account may be offered other models
    UsageFile(settings).forget()
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
        say(f"The sign-in is stored, but its profile could not be put in use: {error} {advice}{error.hint}")


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
        help="Where the credentials are, such as file:PATH.",
    ),
)


def target_options(command: _Command) -> _Command:
    """Add ``--profile``, ``--backend`` and ``--store``."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,  # so that a mistake in another option is already reported as JSON
    callback=_remember("as_json"),
    help="Print JSON.",
)

pass_session = click.make_pass_decorator(Session, ensure=True)
