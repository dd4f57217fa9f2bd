"""Writes units for systemd: a socket that is there from the log-in on, and the service that it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from onplan.server.options import ServerOptions

SERVICE, SOCKET = "onplan.service", "onplan.socket"

_SERVICE = """\
# Written by `onplan serve --install`.
[Unit]
Description=onplan: programs that speak OpenAI's API, on your ChatGPT plan
Requires={socket}
After={socket}

[Service]
ExecStart={command}
{environment}ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
TimeoutStopSec={patience:.0f}
Restart=on-failure
RestartSec=1
NoNewPrivileges=yes
LimitCORE=0
UMask=0077

[Install]
Also={socket}
"""
_SOCKET = """\
# Written by `onplan serve --install`.
[Unit]
Description=onplan: the socket of its server

[Socket]
ListenStream={address}
Backlog=2048

[Install]
WantedBy=sockets.target
"""


def units(
    command: Sequence[str], environment: Mapping[str, str], options: ServerOptions
) -> Mapping[str, str]:
    """The text of both units, by their names.

    Args:
        command: what starts the server, with its options.
        environment: the variables that it needs.
        options: of the server.
    """
    host = "127.0.0.1" if options.host == "localhost" else options.host
    variables = "".join(
        f"Environment={quoted(f'{name}={value}', variables=False)}\n" for name, value in environment.items()
    )
    service = _SERVICE.format(
        socket=SOCKET,
        command=" ".join(map(quoted, command)),
        environment=variables,
        patience=options.drain_seconds + 15,
    )
    address = f"[{host}]:{options.port}" if ":" in host else f"{host}:{options.port}"
    return {SERVICE: service, SOCKET: _SOCKET.format(address=address)}


def quoted(word: str, *, variables: bool = True) -> str:
    """``word`` as systemd reads it back (systemd.syntax, "Quoting").

    ``variables``: whether ``$`` begins a variable there, as in ExecStart.
    """
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("%", "%%")):
        word = word.replace(plain, escaped)
    return f'"{word.replace("$", "$$") if variables else word}"'


def folder_of_units(config_home: str | None, home: Path) -> Path:
    """Where systemd looks for a person's own units."""
    return Path(config_home or home / ".config") / "systemd" / "user"
