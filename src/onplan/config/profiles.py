"""Profiles: what ``config.toml`` says about them, and what sign-ins left in ``profiles.json`` beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onplan.config.config_file import ConfigFile, given, read_config_file
from onplan.config.file_errors import reason_of
from onplan.config.file_reading import as_utf8, read_file
from onplan.config.private_files import locked_for_change, write_private_file
from onplan.config.store_schemes import declared
from onplan.config.store_spec import default_store, rooted_spec
from onplan.errors import ConfigurationError

if TYPE_CHECKING:
    from onplan.config.settings import Settings


class SavedProfiles(msgspec.Struct):
    """``profiles.json``: the profile that signed in last, and the backend and store of each."""

    profile: str | None = None
    profiles: dict[str, dict[str, str]] = {}


@dataclass(frozen=True)
class ConfigFiles:
    """Both files as they were read, once for all that one command asks of them.

    Attributes:
        folder: where they are; None for an account without a home folder, which has neither.
        written: ``config.toml``, by a person.
        saved: ``profiles.json``, by sign-ins.
    """

    folder: Path | None
    written: ConfigFile = field(default_factory=ConfigFile)
    saved: SavedProfiles = field(default_factory=SavedProfiles)

    @property
    def profile(self) -> str | None:
        """The name of the profile in use, None where neither file says."""
        return self.written.profile or self.saved.profile

    def names(self) -> list[str]:
        """The profiles that have signed in or are configured."""
        return sorted({*self.saved.profiles, *self.written.profiles})

    def settings_of(self, name: str) -> Mapping[str, str]:
        """What is known of the profile ``name``; what a person has written counts before what was saved.

        Keys: ``backend``, ``store``, ``model``, ``base_url``, ``api``, where they differ from the defaults.
        """
        return {**self.saved.profiles.get(name, {}), **given(self.written.profiles.get(name))}


def read_config_files(folder: Path | None) -> ConfigFiles:
    """Both files in ``folder``; files that are missing count as empty. Raises ConfigurationError."""
    if folder is None:
        return ConfigFiles(None)
    return ConfigFiles(folder, read_config_file(folder / "config.toml"), _read_saved(folder))


def _read_saved(folder: Path) -> SavedProfiles:
    path = folder / "profiles.json"
    try:
        return msgspec.json.decode(as_utf8(read_file(path)), type=SavedProfiles)
    except FileNotFoundError:
        return SavedProfiles()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {reason_of(error)}.", hint="Make it a file that you can read."
        ) from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}.",
            hint=f"Remove {path}; the sign-ins themselves are kept in other files.",
        ) from None


def known_profiles(home: Path) -> dict[str, Mapping[str, str]]:
    """Every profile that has signed in or is configured, by name, with ``ConfigFiles.settings_of`` each.

    Raises:
        ConfigurationError: one of the two files cannot be read.
    """
    files = read_config_files(home)
    return {name: files.settings_of(name) for name in files.names()}


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
    known = _read_saved(home)
    if change(known) == known:  # where the folder cannot be written, there may be nothing to write
        return
    try:
        with locked_for_change(path):
            known = _read_saved(home)
            wanted = change(known)
            if wanted != known:
                write_private_file(path, msgspec.json.format(msgspec.json.encode(wanted), indent=2) + b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {reason_of(error)}.",
            hint=f"Make {home} writable, or set ONPLAN_HOME to a folder that is.",
        ) from None
