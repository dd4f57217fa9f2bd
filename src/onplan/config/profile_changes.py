"""Changes ``profiles.json``: which profile is in use, and backend and store of each that has signed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from onplan.config.file_errors import reason_of
from onplan.config.private_files import locked_for_change, write_private_file
from onplan.config.profiles import SavedProfiles, read_config_files, read_saved
from onplan.config.settings import Settings
from onplan.config.store_schemes import declared
from onplan.config.store_spec import default_store, rooted_spec
from onplan.errors import ConfigurationError


def remember_profile(settings: Settings) -> None:
    """Make the profile the one in use, with its backend and store, until another signs in.

    Raises:
        ConfigurationError: the configuration folder cannot be written.
    """
    if not declared(settings.store).lasting:
        return
    own = {"backend": settings.backend.name}
    if settings.backend.is_compatible:  # a key belongs to the server that it was given for
        own |= {"base_url": settings.base_url, "api": settings.backend.api}
    if settings.store != default_store(settings.home, settings.profile):
        own["store"] = rooted_spec(settings.store)
    _change_saved(
        settings.home,
        lambda known: SavedProfiles(settings.profile, {**known.profiles, settings.profile: own}),
    )


def use_profile(home: Path, name: str) -> None:
    """Make ``name`` the profile in use. No profile is signed out.

    Raises:
        ConfigurationError: there is no such profile, or the configuration folder cannot be written.
    """
    files = read_config_files(home)
    if name not in files.names():
        raise _no_profile(name)
    if files.written.profile not in (None, name):
        raise ConfigurationError(
            f"{home / 'config.toml'} says that the profile in use is {files.written.profile}.",
            hint="Change it there, with an editor.",
        )
    _change_saved(home, lambda known: SavedProfiles(name, known.profiles))


def forget_profile(home: Path, name: str) -> None:
    """Forget a profile that signed in here. Its credential is not touched.

    Raises:
        ConfigurationError: there is none, config.toml has it, or the configuration folder cannot be written.
    """
    files = read_config_files(home)
    if name in files.written.profiles:
        raise ConfigurationError(
            f"The profile {name} is in {home / 'config.toml'}.", hint="Remove it there, with an editor."
        )
    if name not in files.saved.profiles:
        raise _no_profile(name)

    def without(known: SavedProfiles) -> SavedProfiles:
        left = {other: own for other, own in known.profiles.items() if other != name}
        return SavedProfiles(None if known.profile == name else known.profile, left)

    _change_saved(home, without)


def _no_profile(name: str) -> ConfigurationError:
    return ConfigurationError(f"There is no profile called {name}.", hint="Run `onplan profiles list`.")


def _change_saved(home: Path, change: Callable[[SavedProfiles], SavedProfiles]) -> None:
    """Change ``profiles.json`` under its lock: another command may have changed it since it was read."""
    path = home / "profiles.json"
    known = read_saved(home)
    if change(known) == known:  # where the folder cannot be written, there may be nothing to write
        return
    try:
        with locked_for_change(path):
            known = read_saved(home)
            wanted = change(known)
            if wanted != known:
                write_private_file(path, msgspec.json.format(msgspec.json.encode(wanted), indent=2) + b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {reason_of(error)}.",
            hint=f"Make {home} writable, or set ONPLAN_HOME to a folder that is.",
        ) from None
