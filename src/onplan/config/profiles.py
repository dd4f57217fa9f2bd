"""Reads profiles: what ``config.toml`` says, and what sign-ins left in ``profiles.json`` beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from onplan.config.config_file import ConfigFile, given, read_config_file
from onplan.config.file_errors import reason_of
from onplan.config.file_reading import as_utf8, read_file
from onplan.errors import ConfigurationError
from onplan.field_types import prepare


class SavedProfiles(msgspec.Struct):
    """``profiles.json``: the profile that signed in last, and the backend and store of each."""

    profile: str | None = None
    profiles: dict[str, dict[str, str]] = {}


prepare(SavedProfiles)


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

        Keys: ``backend``, ``store``, ``model``, ``base_url``, ``api``, ``conversations``, where they are
        not the defaults.
        """
        return {**self.saved.profiles.get(name, {}), **given(self.written.profiles.get(name))}


def read_config_files(folder: Path | None) -> ConfigFiles:
    """Both files in ``folder``; files that are missing count as empty. Raises ConfigurationError."""
    if folder is None:
        return ConfigFiles(None)
    return ConfigFiles(folder, read_config_file(folder / "config.toml"), read_saved(folder))


def read_saved(folder: Path) -> SavedProfiles:
    """``profiles.json`` in ``folder``; a missing one counts as empty. Raises ConfigurationError."""
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
