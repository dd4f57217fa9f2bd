"""``profiles.json``: the profiles that have signed in here, and which of them is in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onplan.config.config_file import read_config, table_of
from onplan.config.file_errors import reason_of
from onplan.config.file_reading import as_utf8, read_file
from onplan.config.private_files import make_private_folder, write_private_file
from onplan.config.store_spec import default_store, rooted_spec
from onplan.errors import ConfigurationError

if TYPE_CHECKING:
    from onplan.config.settings import Settings


class Profiles(msgspec.Struct):
    """What sign-ins leave behind: the profile last signed in, and the backend and store of each."""

    profile: str | None = None
    profiles: dict[str, dict[str, str]] = {}


def read_profiles(home: Path) -> Profiles:
    """What is in the file, or nothing if there is none. Raises ConfigurationError."""
    path = home / "profiles.json"
    try:
        return msgspec.json.decode(as_utf8(read_file(path)), type=Profiles)
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {reason_of(error)}.", hint="Make it a file that you can read."
        ) from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}.",
            hint=f"Remove {path}; the sign-ins themselves are kept in other files.",
        ) from None


def remember_profile(settings: Settings) -> None:
    """From now on this profile is the one in use, with its backend and store, until another signs in.

    Raises:
        ConfigurationError: the configuration folder cannot be written.
    """
    if settings.store.partition(":")[0] == "memory":  # forgotten when this process ends
        return
    own = {"backend": settings.backend.name}
    if settings.backend.is_compatible:  # a key belongs to the server that it was given for
        own |= {"base_url": settings.base_url, "api": settings.backend.api}
    if settings.store != default_store(settings.home, settings.profile):
        own["store"] = rooted_spec(settings.store)
    _change_profiles(
        settings.home, lambda known: Profiles(settings.profile, {**known.profiles, settings.profile: own})
    )


def known_profiles(home: Path) -> dict[str, Mapping[str, str]]:
    """Every profile that has signed in or is configured, by name, with what is known of each.

    Keys of each value: ``backend``, ``store``, ``model``, ``base_url``, ``api``, where they differ from the
    defaults.

    Raises:
        ConfigurationError: one of the two files cannot be read.
    """
    remembered = read_profiles(home).profiles
    configured = table_of(read_config(home / "config.toml"), "profiles")
    names = sorted({*remembered, *configured})
    return {name: {**remembered.get(name, {}), **table_of(configured, name)} for name in names}


def use_profile(home: Path, name: str) -> None:
    """From now on ``name`` is the profile in use. Nobody is signed out.

    Raises:
        ConfigurationError: there is no such profile, or the configuration folder cannot be written.
    """
    if name not in known_profiles(home):
        raise _no_profile(name)
    configured = read_config(home / "config.toml").get("profile")
    if configured not in (None, name):
        raise ConfigurationError(
            f"{home / 'config.toml'} says that the profile in use is {configured}.",
            hint="Change it there, with an editor.",
        )
    _change_profiles(home, lambda known: Profiles(name, known.profiles))


def forget_profile(home: Path, name: str) -> None:
    """Forget a profile that signed in here. Its credential is not touched.

    Raises:
        ConfigurationError: there is none, config.toml has it, or the configuration folder cannot be written.
    """
    if name in table_of(read_config(home / "config.toml"), "profiles"):
        raise ConfigurationError(
            f"The profile {name} stands in {home / 'config.toml'}.", hint="Remove it there, with an editor."
        )
    if name not in read_profiles(home).profiles:
        raise _no_profile(name)

    def without(known: Profiles) -> Profiles:
        left = {other: own for other, own in known.profiles.items() if other != name}
        return Profiles(None if known.profile == name else known.profile, left)

    _change_profiles(home, without)


def _no_profile(name: str) -> ConfigurationError:
    return ConfigurationError(f"There is no profile called {name}.", hint="Run `onplan profiles list`.")


def _change_profiles(home: Path, change: Callable[[Profiles], Profiles]) -> None:
    from filelock import FileLock, Timeout

    path = home / "profiles.json"
    known = read_profiles(home)
    if change(known) == known:  # where the folder cannot be written, there may be nothing to write
        return
    try:
        make_private_folder(home)
        with FileLock(f"{path}.lock", timeout=10, mode=0o600):
            known = read_profiles(home)
            wanted = change(known)
            if wanted != known:
                write_private_file(path, msgspec.json.format(msgspec.json.encode(wanted), indent=2) + b"\n")
    except Timeout:
        raise ConfigurationError(f"{path} has been locked by another program for 10 seconds.") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {reason_of(error)}.",
            hint=f"Make {home} writable, or set ONPLAN_HOME to a folder that is.",
        ) from None
