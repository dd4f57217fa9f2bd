"""Arguments, environment, configuration file: one frozen value. The only module that reads the environment.

Order: what the program or the command line says, then ``ONPLAN_*``, then ``config.toml`` in the user's
configuration folder, then what the last sign-in left in ``profiles.json`` beside it, then the default. An
empty variable counts as unset. ``config.toml``::

    profile = "default"

    [profiles.default]
    backend = "openai-codex"
    model = "gpt-5.5"
    store = "file:/path/to/credentials.json"

    [profiles.local]
    backend = "openai"
    base_url = "http://127.0.0.1:11434/v1"
    wire = "chat"
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from onplan.backends import DEFAULT_BACKEND, Backend, backend_at, backend_named, with_tool_shape
from onplan.errors import ConfigurationError, NotSignedInError, OnplanError
from onplan.files import as_utf8, make_private_folder, read_file, reason_of, write_private_file
from onplan.oauth.issuer import ISSUERS, Issuer
from onplan.secret import SecretText
from onplan.wire import require_safe_url

DEFAULT_PROFILE = "default"

# The keys of config.toml: at the top, and in the table of a profile.
_KEYS = ("profile", "profiles")
_KEYS_OF_A_PROFILE = ("backend", "base_url", "model", "store", "wire")


@dataclass(frozen=True)
class Settings:
    """Everything that was decided before the first byte.

    Attributes:
        folder: configuration folder, or None for an account without a home folder.
        profile: the name of the credential in use.
        store: the store spec.
        backend: the row that fits the base URL and the wire.
        base_url: where the backend's API is, without a trailing slash.
        issuer: the authorization server.
        model: the model when a request names none, or None for the first one listed.
        profile_named: whether it was named by argument; a command without one may use another.
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
    def home(self) -> Path:
        """Configuration folder, and home of the default store. Raises ConfigurationError if there is none."""
        if self.folder is None:
            raise _no_home()
        return self.folder


def load_settings(
    *,
    profile: str | None = None,
    backend: str | None = None,
    store: str | None = None,
    base_url: str | None = None,
    wire: str | None = None,
    tool_shape: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Decide the settings.

    Raises:
        ConfigurationError: a value cannot be used; its sentence names the value and where it came from.
    """
    env = _Environment(os.environ if environment is None else environment)
    home = _find_home(env.values)
    config = _read_config(home / "config.toml") if home else {}
    remembered = _read_profiles(home) if home else _Profiles()
    name = _profile_name(
        profile or env.get("ONPLAN_PROFILE") or config.get("profile") or remembered.profile or DEFAULT_PROFILE
    )
    own = {**remembered.profiles.get(name, {}), **_table(_table(config, "profiles"), name)}
    row = backend_named(backend or env.get("ONPLAN_BACKEND") or own.get("backend") or DEFAULT_BACKEND)
    # A profile's address is its own backend's: another one's credential does not go there.
    api = own if row.name == own.get("backend", DEFAULT_BACKEND) else {}
    url = require_safe_url(
        base_url or env.get(row.base_url_variable) or api.get("base_url") or row.base_url,
        "The base URL" if base_url else row.base_url_variable,
    )
    chosen = backend_at(row, url, wire or env.get("ONPLAN_WIRE") or api.get("wire"))
    issuer = ISSUERS[row.issuer]
    issuer_url = env.get("ONPLAN_ISSUER")
    return Settings(
        folder=home,
        profile=name,
        backend=with_tool_shape(chosen, tool_shape),
        store=store or env.get("ONPLAN_STORE") or own.get("store") or _default_store(home, name),
        base_url=url,
        issuer=issuer.at(issuer_url, "ONPLAN_ISSUER"),
        model=env.get("ONPLAN_MODEL") or own.get("model"),
        profile_named=bool(profile),
    )


def rooted_spec(spec: str) -> str:
    """The same store from any folder: relative to one that is left, it would name something else tomorrow."""
    scheme, _, location = spec.partition(":")
    if scheme == "file":
        return f"file:{expanded(location).absolute()}"
    if scheme == "command" and os.name != "nt":
        return f"command:{shlex.join(command_words(location))}"
    return spec


def expanded(path: str) -> Path:
    """``path`` with its tilde replaced. Raises ConfigurationError if that stands for no home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{path} is in a home folder that does not exist.",
            hint="Write the whole path, such as `/path/to/file`.",
        ) from None


def command_words(location: str) -> list[str]:
    """The program of a ``command:`` store and its arguments.

    Words and quotes are as in a shell, and nothing else of it; on Windows a backslash is part of a path. A
    program that is named with its folder is not looked for in ``PATH``. Raises ConfigurationError.
    """
    words = shlex.shlex(location, posix=True)
    words.whitespace_split, words.commenters = True, ""
    if os.name == "nt":
        words.escape = ""
    try:
        helper, *arguments = words
        expanded = Path(helper).expanduser()
    except (ValueError, RuntimeError):
        raise ConfigurationError(
            "The command: store needs a program and its arguments.",
            hint="Write `command:HELPER ARGUMENTS…`, with the quotes closed.",
        ) from None
    if os.path.basename(helper) != helper:  # noqa: PTH119 - Path would drop the "./"
        helper = str(expanded.absolute())
    return [helper, *arguments]


def default_store(home: Path, profile: str) -> str:
    """The store spec of a profile that names none."""
    return f"file:{credentials_folder(home) / profile}.json"


def _default_store(home: Path | None, profile: str) -> str:
    if home is None:
        raise _no_home()
    return default_store(home, profile)


def credentials_folder(home: Path) -> Path:
    """Where the default stores are."""
    return home / "credentials"


class _Profiles(msgspec.Struct):
    """What sign-ins leave behind: the profile last signed in, and the backend and store of each."""

    profile: str | None = None
    profiles: dict[str, dict[str, str]] = {}


def _read_profiles(home: Path) -> _Profiles:
    path = home / "profiles.json"
    try:
        return msgspec.json.decode(as_utf8(read_file(path)), type=_Profiles)
    except FileNotFoundError:
        return _Profiles()
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
    if settings.backend.elsewhere:  # a key belongs to the server that it was given for
        own |= {"base_url": settings.base_url, "wire": settings.backend.wire}
    if settings.store != default_store(settings.home, settings.profile):
        own["store"] = rooted_spec(settings.store)
    _change_profiles(
        settings.home, lambda known: _Profiles(settings.profile, {**known.profiles, settings.profile: own})
    )


def known_profiles(home: Path) -> dict[str, Mapping[str, str]]:
    """Every profile that has signed in or is configured, by name, with what is known of each.

    Keys of each value: ``backend``, ``store``, ``model``, ``base_url``, ``wire``, where they differ from the
    defaults.

    Raises:
        ConfigurationError: one of the two files cannot be read.
    """
    remembered = _read_profiles(home).profiles
    configured = _table(_read_config(home / "config.toml"), "profiles")
    names = sorted({*remembered, *configured})
    return {name: {**remembered.get(name, {}), **_table(configured, name)} for name in names}


def use_profile(home: Path, name: str) -> None:
    """From now on ``name`` is the profile in use. Nobody is signed out.

    Raises:
        ConfigurationError: there is no such profile, or the configuration folder cannot be written.
    """
    if name not in known_profiles(home):
        raise _no_profile(name)
    configured = _read_config(home / "config.toml").get("profile")
    if configured not in (None, name):
        raise ConfigurationError(
            f"{home / 'config.toml'} says that the profile in use is {configured}.",
            hint="Change it there, with an editor.",
        )
    _change_profiles(home, lambda known: _Profiles(name, known.profiles))


def forget_profile(home: Path, name: str) -> None:
    """Forget a profile that signed in here. Its credential is not touched.

    Raises:
        ConfigurationError: there is none, config.toml has it, or the configuration folder cannot be written.
    """
    if name in _table(_read_config(home / "config.toml"), "profiles"):
        raise ConfigurationError(
            f"The profile {name} stands in {home / 'config.toml'}.", hint="Remove it there, with an editor."
        )
    if name not in _read_profiles(home).profiles:
        raise _no_profile(name)

    def without(known: _Profiles) -> _Profiles:
        left = {other: own for other, own in known.profiles.items() if other != name}
        return _Profiles(None if known.profile == name else known.profile, left)

    _change_profiles(home, without)


def _no_profile(name: str) -> ConfigurationError:
    return ConfigurationError(f"There is no profile called {name}.", hint="Run `onplan profiles list`.")


def _change_profiles(home: Path, change: Callable[[_Profiles], _Profiles]) -> None:
    from filelock import FileLock, Timeout

    path = home / "profiles.json"
    known = _read_profiles(home)
    if change(known) == known:  # where the folder cannot be written, there may be nothing to write
        return
    try:
        make_private_folder(home)
        with FileLock(f"{path}.lock", timeout=10, mode=0o600):
            known = _read_profiles(home)
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


def not_signed_in(
    profile: str | None, backend: str | None = None, instead: str | None = None
) -> NotSignedInError:
    """What is to be said when there is no credential: whose, and how to get one.

    ``instead`` is a sentence about what the store holds instead (``stores.why_empty``).
    """
    if profile is None:
        return NotSignedInError(instead or "Nobody is signed in here.")
    return NotSignedInError(
        instead or f"Nobody is signed in with the profile {profile}.",
        hint=f"Run `{login_command(profile, backend)}`.",
    )


def login_command(profile: str, backend: str | None, *options: str) -> str:
    """What to type to sign in with ``profile`` at ``backend``."""
    return shlex.join(["onplan", "login", *_of_backend(backend), *_of_profile(profile), *options])


def address(error: OnplanError, settings: Settings) -> None:
    """Name profile and backend in the commands of its hint, so that they touch nobody else's sign-in.

    It is noted below the traceback as well, for programs that do not catch it.
    """
    profile = _of_profile(settings.profile)
    if settings.profile_named:
        profile = ["--profile", settings.profile]
    both = [*_of_backend(settings.backend.name), *profile]
    known = {"login": both, "models": both, "logout": profile, "import": profile}

    def completed(typed: re.Match[str]) -> str:
        name, options = typed[1], typed[2]
        if re.search(" --(profile|backend|all)\\b", options):  # it means a particular one
            return typed[0]
        return f"`{shlex.join(['onplan', name, *known[name]])}{options}`"

    scheme, _, location = settings.store.partition(":")
    if scheme == "env" and isinstance(error, NotSignedInError):  # where nobody can sign in
        error.hint = f"Set {location} to an access token, or choose another store."
    if scheme == "memory" and isinstance(error, NotSignedInError):  # where no command can sign in
        error.hint = "The program itself puts a sign-in into this store; or choose another one."
    error.hint = re.sub("`onplan (login|models|logout|import)((?: [^`]*)?)`", completed, error.hint)
    if error.hint not in getattr(error, "__notes__", ()):
        error.add_note(error.hint)


def _of_backend(backend: str | None) -> list[str]:
    return ["--backend", backend] if backend not in (None, DEFAULT_BACKEND) else []


def _of_profile(profile: str) -> list[str]:
    return ["--profile", profile] if profile != DEFAULT_PROFILE else []


def environment_variable(name: str) -> str | None:
    """The variable, or None if it is unset or empty: for variables that are not onplan's own."""
    return _Environment(os.environ).get(name)


def system_proxies() -> Mapping[str, str]:
    """The proxies of the environment, else of the system's own settings; their URLs may hold passwords.

    Keys: ``http``, ``https`` and ``all``; and ``no``, the exceptions, separated by commas.
    """
    from urllib.request import getproxies

    return {kind: SecretText(value.strip()) for kind, value in getproxies().items()}


def home_folder(environment: Mapping[str, str]) -> Path:
    """``ONPLAN_HOME``, or the system's folder for a user's configuration."""
    home = _find_home(environment)
    if home is None:
        raise _no_home()
    return home


def _find_home(environment: Mapping[str, str]) -> Path | None:
    """The same, or None for an account that has no home folder, as some containers' have none."""
    given = _Environment(environment).get("ONPLAN_HOME")
    if given:
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError:
            raise ConfigurationError(f"ONPLAN_HOME is {given}, and there is no such user.") from None
    import platformdirs

    return _absolute(lambda: platformdirs.user_config_path("onplan", appauthor=False))


def state_folder() -> Path:
    """The user's folder for locks, wherever ONPLAN_HOME is; without a home folder, ONPLAN_HOME itself.

    Raises ConfigurationError if there is neither.
    """
    import platformdirs

    found = _absolute(lambda: platformdirs.user_state_path("onplan", appauthor=False))
    return found or home_folder(os.environ)


def _absolute(folder: Callable[[], Path]) -> Path | None:
    """Without a home folder the library fails, or leaves a tilde in the path."""
    try:
        found = folder()
    except (RuntimeError, KeyError):
        return None
    return found if found.is_absolute() else None


def _no_home() -> ConfigurationError:
    user = f"the user id {os.getuid()}" if hasattr(os, "getuid") else "this user"
    return ConfigurationError(
        f"There is no folder for onplan's files: HOME is not set, and {user} has no home folder.",
        hint="Set ONPLAN_HOME to a folder that you can write: `export ONPLAN_HOME=/path/to/folder`.",
    )


@dataclass(frozen=True)
class _Environment:
    values: Mapping[str, str]

    def get(self, name: str) -> str | None:
        """The variable, or None if it is unset or empty."""
        return self.values.get(name, "").strip() or None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        text = as_utf8(read_file(path)).decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error).lower()
        raise ConfigurationError(f"{path} cannot be read: {reason}.") from None
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from None
    _check_keys(path, config, "", _KEYS)
    if not isinstance(config.get("profile", ""), str):
        raise ConfigurationError(
            f"{path}: profile must be a string, the name of the profile in use.",
            hint=f"A profile's table is called `[profiles.NAME]`, such as `[profiles.{DEFAULT_PROFILE}]`.",
        )
    profiles = _table(config, "profiles")
    for name in profiles:
        own = _table(profiles, name)
        _check_keys(path, own, f" in [profiles.{name}]", _KEYS_OF_A_PROFILE)
        for key, value in own.items():
            if not isinstance(value, str):
                raise ConfigurationError(f"{path}: {key} in [profiles.{name}] must be a string.")
    return config


def _check_keys(path: Path, table: Mapping[str, Any], where: str, known: tuple[str, ...]) -> None:
    """Raise ConfigurationError for a key that would be ignored."""
    from difflib import get_close_matches

    for key in table:
        if key in known:
            continue
        near = get_close_matches(key, known, n=1)
        hint = f"The keys there are: {', '.join(known)}."
        if not where and key in _KEYS_OF_A_PROFILE:
            hint = f"Write it below `[profiles.NAME]`, such as `[profiles.{DEFAULT_PROFILE}]`."
        elif near:
            hint = f"Did you mean `{near[0]}`? {hint}"
        raise ConfigurationError(f"{path} has a key that is not known{where}: `{key}`.", hint=hint)


def _table(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} in config.toml must be a table.")
    return value


def _profile_name(name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ConfigurationError(
            f"{name!r} cannot be a profile's name.",
            hint="Use letters, digits, dots, hyphens and underscores.",
        )
    return name
