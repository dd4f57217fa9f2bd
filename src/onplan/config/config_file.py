"""``config.toml``: the profiles that a person has written down, read and checked.

::

    profile = "default"

    [profiles.default]
    backend = "openai-codex"
    model = "gpt-5.5"
    store = "file:/path/to/credentials.json"

    [profiles.local]
    backend = "openai"
    base_url = "http://127.0.0.1:11434/v1"
    api = "chat"

    [server]
    port = 8399
    allow_hosts = ["host.docker.internal"]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from onplan.config.file_errors import reason_of
from onplan.config.file_reading import as_utf8, read_file
from onplan.errors import ConfigurationError
from onplan.field_types import prepare

DEFAULT_PROFILE = "default"

_Shape = TypeVar("_Shape", bound=msgspec.Struct)


class ProfileTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table ``[profiles.NAME]``. Keys that it lacks are None."""

    api: str | None = None
    backend: str | None = None
    base_url: str | None = None
    conversations: str | None = None
    model: str | None = None
    store: str | None = None


class ServerTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[server]``, for ``onplan serve``. Keys that it lacks are None.

    Their meaning is that of ``server.options.ServerOptions``.
    """

    host: str | None = None
    port: int | None = None
    allow_remote: bool | None = None
    allow_hosts: tuple[str, ...] | None = None
    allow_origins: tuple[str, ...] | None = None
    workers: int | None = None
    strict: bool | None = None
    aliases: dict[str, str] | None = None
    max_body: int | None = None
    max_requests: int | None = None
    max_waiting: int | None = None
    max_connections: int | None = None
    drain_seconds: float | None = None
    access_log: bool | None = None


class ConfigFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file.

    Attributes:
        profile: the name of the profile in use, None where the file does not say.
        profiles: the tables of the profiles by their names.
        server: the table of the server.
    """

    profile: str | None = None
    profiles: dict[str, ProfileTable] = {}
    server: ServerTable = ServerTable()


class _Unchecked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file before its tables are checked one by one, so that an error can name the table."""

    profile: str | None = None
    profiles: dict[str, Any] = {}
    server: Any = {}


def read_config_file(path: Path) -> ConfigFile:
    """What is in the file; an empty one if there is none. Raises ConfigurationError."""
    try:
        text = as_utf8(read_file(path)).decode()
    except FileNotFoundError:
        return ConfigFile()
    except (OSError, UnicodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error).lower()
        raise ConfigurationError(f"{path} cannot be read: {reason}.") from None
    import tomllib  # takes milliseconds, and most people have no such file

    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from None
    whole = _checked(path, tables, _Unchecked)
    own = {
        name: _checked(path, table, ProfileTable, f"profiles.{name}")
        for name, table in whole.profiles.items()
    }
    return ConfigFile(whole.profile, own, _checked(path, whole.server, ServerTable, "server"))


# What msgspec expects, in plain words.
_KINDS = {
    "object": "a table",
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list of strings",
}


def _checked(path: Path, table: Any, shape: type[_Shape], name: str | None = None) -> _Shape:
    """``table``, at the top of the file or with the ``name``, as ``shape``. Raises ConfigurationError."""
    try:
        return msgspec.convert(table, shape)
    except msgspec.ValidationError as error:
        where = f" in [{name}]" if name is not None else ""
        if unknown := re.search("unknown field `(.*)`", str(error), re.DOTALL):
            raise _unknown_key(path, unknown[1], where, shape.__struct_fields__) from None
        # Such as: Expected `str | null`, got `int` - at `$.model`
        kind = re.search(r"Expected `(\w+)", str(error))
        expected = _KINDS.get(kind[1] if kind else "", "a string")
        key = re.search(r"at `\$\.(\w+)(\[)?", str(error))
        if key and key[2]:  # in one of its elements
            expected = "a table of strings" if key[1] == "aliases" else _KINDS["array"]
        named = f"{key[1]}{where}" if key else str(name)
        hint = None
        if named == "profile":
            expected += ", the name of the profile in use"
            hint = f"A profile's table is called `[profiles.NAME]`, such as `[profiles.{DEFAULT_PROFILE}]`."
        raise ConfigurationError(f"{path}: {named} must be {expected}.", hint=hint) from None


def _unknown_key(path: Path, key: str, where: str, known: tuple[str, ...]) -> ConfigurationError:
    """The error for a key that would be ignored: often a misspelt one, or one outside a profile's table."""
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1)
    hint = f"The keys there are: {', '.join(known)}."
    if not where and key in ProfileTable.__struct_fields__:
        hint = f"Write it below `[profiles.NAME]`, such as `[profiles.{DEFAULT_PROFILE}]`."
    elif near:
        hint = f"Did you mean `{near[0]}`? {hint}"
    return ConfigurationError(f"{path} has a key that is not known{where}: `{key}`.", hint=hint)


def given(table: ProfileTable | None) -> Mapping[str, str]:
    """The keys that ``table`` has, with their values; nothing without a table."""
    pairs = msgspec.structs.asdict(table).items() if table else ()
    return {key: value for key, value in pairs if value is not None}


prepare(_Unchecked, ProfileTable, ServerTable)
