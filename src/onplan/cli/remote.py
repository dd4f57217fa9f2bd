"""Where the person's browser is, as far as the environment tells."""

from __future__ import annotations

import getpass
import ipaddress
import socket
import sys

from onplan.settings import environment_variable


def is_remote() -> bool:
    """Whether the person sits at another machine, and came here by SSH."""
    return bool(environment_variable("SSH_CONNECTION") or environment_variable("SSH_TTY"))


def has_browser() -> bool:
    """Whether somebody would see a browser that is opened here. Where ``BROWSER`` is set, one would."""
    if environment_variable("BROWSER"):
        return True
    graphical = environment_variable("DISPLAY") or environment_variable("WAYLAND_DISPLAY")
    return not is_remote() and (not sys.platform.startswith("linux") or bool(graphical))


def forwarding_command(port: int) -> str:
    """What to type on the person's machine, so that its browser reaches ``port`` here."""
    address, ssh_port = _our_end()
    login = f"{_user()}@{address or socket.gethostname()}"
    option = "" if ssh_port in ("", "22") else f"-p {ssh_port} "
    return f"ssh -N -L {port}:127.0.0.1:{port} {option}{login}"


def _our_end() -> tuple[str, str]:
    """Address and port by which the person reached this machine; empty if unknown or of no use elsewhere."""
    fields = (environment_variable("SSH_CONNECTION") or "").split()
    if len(fields) != 4 or not fields[3].isdecimal():
        return "", ""
    try:
        address = ipaddress.ip_address(fields[2])
    except ValueError:
        return "", ""
    # The name of a link-local address's interface differs from machine to machine.
    return "" if address.is_link_local else str(address), fields[3]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such account, as in some containers
        return "USER"
