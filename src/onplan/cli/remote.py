"""Finds out from the environment whether the person's browser is on this machine, and how it reaches it."""

from __future__ import annotations

import getpass
import ipaddress
import socket
import sys

from onplan.config.environment import environment_variable


def is_remote() -> bool:
    """Whether the person is connected over SSH."""
    return bool(environment_variable("SSH_CONNECTION") or environment_variable("SSH_TTY"))


def has_browser() -> bool:
    """Whether a browser opened here would be visible to the person. ``BROWSER`` counts as yes."""
    if environment_variable("BROWSER"):
        return True
    graphical = environment_variable("DISPLAY") or environment_variable("WAYLAND_DISPLAY")
    return not is_remote() and (not sys.platform.startswith("linux") or bool(graphical))


def forwarding_command(port: int) -> str:
    """The ``ssh`` command to type on the person's machine, so that its browser reaches ``port`` here."""
    address, ssh_port = _our_end()
    login = f"{_user()}@{address or socket.gethostname()}"
    option = "" if ssh_port in ("", "22") else f"-p {ssh_port} "
    return f"ssh -N -L {port}:127.0.0.1:{port} {option}{login}"


def forwarded_address(port: int) -> str | None:
    """The URL by which the person's browser reaches ``port`` here, if this is a cloud workspace."""
    for variable, address in _FORWARDED.items():
        value = environment_variable(variable)
        if value:
            host = value.partition("://")[2] or value
            domain = environment_variable("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN") or "app.github.dev"
            return address.format(port=port, value=host.rstrip("/"), domain=domain)
    uri = environment_variable("VSCODE_PROXY_URI") or ""  # code-server, Coder
    return uri.replace("{{port}}", str(port)).rstrip("/") if "{{port}}" in uri else None


# By the variable that the workspace sets: GitHub Codespaces, Gitpod, Google Cloud Shell.
_FORWARDED = {
    "CODESPACE_NAME": "https://{value}-{port}.{domain}",
    "GITPOD_WORKSPACE_URL": "https://{port}-{value}",
    "WEB_HOST": "https://{port}-{value}",
}


def _our_end() -> tuple[str, str]:
    """Address and port by which SSH reached this machine; empty if unknown or valid on this machine only."""
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
