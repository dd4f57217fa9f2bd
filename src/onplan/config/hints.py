"""Hints with the command to type next, for the profile and backend in use."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from onplan.backends import DEFAULT_BACKEND
from onplan.config.config_file import DEFAULT_PROFILE
from onplan.config.store_schemes import declared
from onplan.errors import NotSignedInError, OnplanError

if TYPE_CHECKING:
    from onplan.config.settings import Settings


def not_signed_in(
    profile: str | None, backend: str | None = None, instead: str | None = None
) -> NotSignedInError:
    """The error when there is no sign-in: for which profile, and the command that signs in.

    Args:
        profile: its name, None where no profile is involved.
        backend: its name.
        instead: a sentence about what the store holds instead of credentials (``stores.why_empty``).
    """
    if profile is None:
        return NotSignedInError(instead or "Not signed in.")
    return NotSignedInError(
        instead or f"Not signed in with the profile {profile}.",
        hint=f"Run `{login_command(profile, backend)}`.",
    )


def login_command(profile: str, backend: str | None, *options: str) -> str:
    """The command that signs in with ``profile`` at ``backend``."""
    return shlex.join(["onplan", "login", *_of_backend(backend), *_of_profile(profile), *options])


def complete_commands(error: OnplanError, settings: Settings) -> None:
    """Add ``--profile`` and ``--backend`` to the commands in ``error.hint``.

    So they act on the sign-in that the error is about, whatever the profile in use is.
    """
    profile = _of_profile(settings.profile)
    if settings.profile_named:
        profile = ["--profile", settings.profile]
    both = [*_of_backend(settings.backend.name), *profile]
    known = {"login": both, "models": both, "usage": both, "logout": profile, "import": profile}

    def completed(typed: re.Match[str]) -> str:
        name, options = typed[1], typed[2]
        if re.search(" --(profile|backend|all)\\b", options):  # it names one already
            return typed[0]
        return f"`{shlex.join(['onplan', name, *known[name]])}{options}`"

    store = declared(settings.store)
    if isinstance(error, NotSignedInError) and not store.writable:
        variable = settings.store.partition(":")[2]
        error.hint = f"Set {variable} to an access token, or choose another store."
    if isinstance(error, NotSignedInError) and not store.lasting:  # another process cannot sign in there
        error.hint = "The program itself puts a sign-in into this store; or choose another one."
    error.hint = re.sub("`onplan (login|models|usage|logout|import)((?: [^`]*)?)`", completed, error.hint)


def _of_backend(backend: str | None) -> list[str]:
    return ["--backend", backend] if backend not in (None, DEFAULT_BACKEND) else []


def _of_profile(profile: str) -> list[str]:
    return ["--profile", profile] if profile != DEFAULT_PROFILE else []
