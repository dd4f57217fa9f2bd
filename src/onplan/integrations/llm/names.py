"""The names under which models are registered: those in a small file, which is read at each start of ``llm``.

The file, ``onplan.json`` in the folder of ``llm``, repeats what onplan's own files say of profiles and their
models. The first answer of a process and each ``llm onplan`` command write it anew where that has changed.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onplan.config.settings import Settings

DEFAULT_MODEL = "default"
"""Stands for the model that requests get which name none."""

# Known without having asked: those of the Codex backend, which a test compares. Importing its row here would
# cost each start of llm 20 ms.
BUILT_IN = (
    "gpt-6.2-sol",
    "gpt-6.2-astra",
    "gpt-6.1-terra",
    "gpt-6.1-sol",
    "gpt-6-astra",
    "gpt-6-sol",
    "gpt-6-luna",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-5.6-luna",
    "gpt-5.5",
)

Names = dict[str | None, list[str]]
"""Models by profile; None stands for the profile in use."""


def model_id(name: str, profile: str | None) -> str:
    """How ``llm`` knows the model: ``onplan/gpt-5.5``, or ``onplan/plan/gpt-5.5`` on the profile ``plan``."""
    return f"onplan/{name}" if profile is None else f"onplan/{profile}/{name}"


def registered(folder: Path) -> Names:
    """The names to register, the default model first. A file that cannot be read counts as missing."""
    known = _read(folder / _FILE) or {None: list(BUILT_IN)}
    return {profile: list(dict.fromkeys((DEFAULT_MODEL, *names))) for profile, names in known.items()}


_FILE = "onplan.json"
_IN_USE = ""  # no profile is called that


def _read(path: Path) -> Names | None:
    try:
        found: Any = json.loads(path.read_bytes())["models"]
        names = {profile or None: [str(name) for name in names] for profile, names in found.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return names if None in names else None


def note_names(folder: Path) -> None:
    """Write the file anew if onplan's files say something else; nothing is asked for.

    Raises:
        ConfigurationError: onplan's files, or the environment, cannot be used.
    """
    known = _known_now()
    path = folder / _FILE
    if known != _read(path):
        written = {"models": {profile or _IN_USE: names for profile, names in known.items()}}
        temporary = path.with_name(f"{_FILE}.{os.getpid()}.{threading.get_ident()}")
        with suppress(OSError):  # where it cannot be written, the next start registers what this one did
            try:
                temporary.write_text(json.dumps(written, indent=2) + "\n")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def note_names_once(folder: Path) -> None:
    """The same, once in a process: a program that runs for long need not look after each of its answers."""
    note_names(folder)


def _known_now() -> Names:
    """What onplan's files say: of the profile in use, and of each by its name where there are several."""
    from onplan.config.config_file import DEFAULT_PROFILE
    from onplan.config.environment import Environment, find_home
    from onplan.config.profiles import read_config_files
    from onplan.config.settings import load_settings

    files = read_config_files(find_home(Environment(os.environ)))
    profiles = [] if files.names() == [DEFAULT_PROFILE] else files.names()
    known: Names = {
        profile: _models(load_settings(profile=profile, files=files)) for profile in (None, *profiles)
    }
    return {**known, None: known[None] or list(BUILT_IN)}


def _models(settings: Settings) -> list[str]:
    """What the profile's backend listed last, and after that what it is known to have."""
    from onplan.config.catalogue_file import last_listed

    models = (*last_listed(settings), *settings.backend.fallback_models)
    return list(dict.fromkeys(model.id for model in models))
