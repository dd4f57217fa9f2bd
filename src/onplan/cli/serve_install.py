"""``onplan serve --install``: units for systemd that start the server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from onplan.cli.serve import KEY_VARIABLE
from onplan.cli.session import Session
from onplan.cli.talk import say
from onplan.errors import ConfigurationError
from onplan.server.options import ServerOptions, is_loopback
from onplan.server.unit_file import SERVICE, SOCKET, folder_of_units, units

# What changes where onplan finds its files and its services; secrets are not written into a unit.
_VARIABLES = (
    "ONPLAN_HOME",
    "ONPLAN_PROFILE",
    "ONPLAN_BACKEND",
    "ONPLAN_STORE",
    *("CODEX_HOME", "VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_CAPATH"),
    *("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    "ONPLAN_ISSUER",
    "ONPLAN_CODEX_BASE_URL",
    "ONPLAN_OPENAI_BASE_URL",
)


def install_units(session: Session, options: ServerOptions, given: Mapping[str, Any]) -> None:
    """Write the units, have systemd check them, and say what to type. Raises ConfigurationError.

    ``given``: the options that were given to the command; the others are read from config.toml at each start.
    """
    if not is_loopback(options.host):
        raise ConfigurationError(
            "--install writes units for a server that this machine alone reaches.",
            hint="Leave out `--host`; change the units yourself if other machines are to reach it.",
        )
    if options.port == 0:
        raise ConfigurationError("A unit needs a port that stays the same.", hint="Leave out `--port 0`.")
    if session.settings.store.partition(":")[0] in ("env", "memory"):
        raise ConfigurationError(
            f"A unit cannot sign in: the store {session.settings.store} is not there when systemd starts it.",
            hint="Use a store that is kept: `onplan login --store file:PATH`.",
        )
    found = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    environment = {name: value for name, value in found.items() if "@" not in value}
    for name in found.keys() - environment.keys():
        say(f"{name} is left out of the unit, because it may hold a password: add it to the unit yourself.")
    if os.environ.get(KEY_VARIABLE):
        say(
            f"{KEY_VARIABLE} is left out of the unit, because it is a key: the service takes the one that "
            f"`env -u {KEY_VARIABLE} onplan serve --show-key` prints, unless you add yours to the unit."
        )
    folder = folder_of_units(os.environ.get("XDG_CONFIG_HOME") or None, Path.home())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in units(_command(session, given), environment, options).items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"The units cannot be written to {folder}: {error.strerror}.") from None
    _check(folder)
    paths = {"service": str(folder / SERVICE), "socket": str(folder / SOCKET)}
    click.echo(json.dumps(paths) if session.as_json else "\n".join(paths.values()))
    say("Start it now and with each log-in:\n")
    say(f"    systemctl --user daemon-reload && systemctl --user enable --now {SOCKET}")


def _command(session: Session, given: Mapping[str, Any]) -> list[str]:
    command = [sys.executable, "-m", "onplan", "serve"]
    for name, value in (
        ("--profile", session.profile),
        ("--backend", session.backend),
        ("--store", session.store_spec),
    ):
        command += [name, value] if value else []
    for name in ("allow_hosts", "allow_origins"):
        option = f"--{name.replace('_', '-').removesuffix('s')}"
        command += [word for value in given[name] for word in (option, value)]
    command += ["--workers", str(given["workers"])] if given["workers"] is not None else []
    command += ["--strict"] if given["strict"] else []
    return [*command, "--access-log"] if given["access_log"] or session.verbose else command


def _check(folder: Path) -> None:
    """Have systemd read the units, and print what it says against them: it may be too old for a line."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    found = subprocess.run(  # noqa: S603 - the program was found in PATH, its arguments are ours
        [analyze, "--user", "verify", str(folder / SERVICE), str(folder / SOCKET)],
        capture_output=True,
        text=True,
        check=False,
        env={"XDG_RUNTIME_DIR": str(folder), **os.environ},  # which it asks for, and does not use
    )
    ours = [line for line in found.stderr.splitlines() if SERVICE in line or SOCKET in line]
    if ours:
        say("\n".join(["systemd-analyze says:", *ours]))
