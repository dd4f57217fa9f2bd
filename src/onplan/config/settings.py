"""Decides the settings from arguments, environment and configuration files, before anything is sent.

The first that is set counts: an argument of the program or the command line; ``ONPLAN_*``; ``config.toml`` in
the user's configuration folder; ``profiles.json`` beside it, which sign-ins write; the default. An empty
variable counts as unset.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from onplan.backends import DEFAULT_BACKEND, Backend, backend_at, backend_named
from onplan.config.config_file import DEFAULT_PROFILE
from onplan.config.environment import Environment, find_home, no_home
from onplan.config.profiles import ConfigFiles, read_config_files
from onplan.config.store_spec import default_store
from onplan.errors import ConfigurationError
from onplan.flow import require_safe_url
from onplan.oauth.issuer import ISSUERS, Issuer


@dataclass(frozen=True)
class Settings:
    """The settings of one client or command.

    Attributes:
        folder: the configuration folder; None for an account without a home folder.
        profile: the name of the credential in use.
        store: the store spec.
        backend: the row of the table of backends that fits the base URL and the API.
        base_url: where the backend's API is, without a trailing slash.
        issuer: the authorization server.
        model: the model when a request names none, or None for the first one listed.
        profile_named: whether the profile is given as an argument; else a command may use another one.
    """

    folder: Path | None
    profile: str
    backend: Backend
    store: str
    base_url: str
    issuer: Issuer
    model: str | None = None
    profile_named: bool = False

    @property
    def key(self) -> str:
        """Names profile, backend, address and store in a file that keeps something for each of them."""
        # Of the store too: a command may name another one, with another account's sign-in.
        # As a digest: the arguments of a `command:` store may hold a secret.
        store = sha256(self.store.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"{self.profile} {self.backend.name} {self.base_url} {store}"

    @property
    def home(self) -> Path:
        """The configuration folder, which holds the default store. Raises ConfigurationError without one."""
        if self.folder is None:
            raise no_home()
        return self.folder


def load_settings(
    *,
    profile: str | None = None,
    backend: str | None = None,
    store: str | None = None,
    base_url: str | None = None,
    api: str | None = None,
    environment: Mapping[str, str] | None = None,
    files: ConfigFiles | None = None,
) -> Settings:
    """Decide the settings.

    Args:
        profile: a profile's name.
        backend: a backend's name.
        store: a store spec.
        base_url: where the backend's API is.
        api: ``responses`` or ``chat``.
        environment: instead of the process's own.
        files: the configuration files as they were read before; without it they are read now.

    Raises:
        ConfigurationError: a value cannot be used; the message names it and where it came from.
    """
    env = Environment(os.environ if environment is None else environment)
    home = find_home(env)
    if files is None:
        files = read_config_files(home)
    name = _profile_name(profile or env.get("ONPLAN_PROFILE") or files.profile or DEFAULT_PROFILE)
    own = files.settings_of(name)
    row = backend_named(backend or env.get("ONPLAN_BACKEND") or own.get("backend") or DEFAULT_BACKEND)
    # A profile's base URL belongs to its own backend: another backend's credential is not sent there.
    address = own if row.name == own.get("backend", DEFAULT_BACKEND) else {}
    url = require_safe_url(
        base_url or env.get(row.base_url_variable) or address.get("base_url") or row.base_url,
        "The base URL" if base_url else row.base_url_variable,
    )
    chosen = backend_at(row, url, api or env.get("ONPLAN_API") or address.get("api"))
    issuer = ISSUERS[row.issuer]
    issuer_url = env.get("ONPLAN_ISSUER")
    return Settings(
        folder=home,
        profile=name,
        backend=chosen,
        store=store or env.get("ONPLAN_STORE") or own.get("store") or _default_store(home, name),
        base_url=url,
        issuer=issuer.at(issuer_url, "ONPLAN_ISSUER"),
        model=env.get("ONPLAN_MODEL") or own.get("model"),
        profile_named=bool(profile),
    )


def _default_store(home: Path | None, profile: str) -> str:
    if home is None:
        raise no_home()
    return default_store(home, profile)


def _profile_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ConfigurationError(
            f"{name!r} cannot be a profile's name.",
            hint="Use letters, digits, dots, hyphens and underscores.",
        )
    return name
