"""The sockets on which the server listens: its own, or those that systemd has opened for it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import MutableMapping

from onplan.errors import ConfigurationError
from onplan.server.options import ServerOptions, is_loopback

_BACKLOG = 2_048
_FIRST = 3  # the first descriptor that systemd hands over (sd_listen_fds)


def open_listeners(options: ServerOptions, environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets, listening. Raises ConfigurationError."""
    handed = _handed_over(environment)
    for listener in handed:
        _require_permitted(listener, options)
    return handed or [_opened(options)]


def address_of(listener: socket.socket) -> str:
    """The URL at which programs on this machine reach the server."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - recognised, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _handed_over(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets of systemd; the variables are removed, so that programs that we start do not take them."""
    count, process = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_PID", "")
    environment.pop("LISTEN_FDNAMES", None)
    if not count.isdecimal() or process != str(os.getpid()):
        return []
    listeners = []
    for descriptor in range(_FIRST, _FIRST + int(count)):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - as the function is called
        listeners.append(socket.socket(fileno=descriptor))
    return listeners


def _require_permitted(listener: socket.socket, options: ServerOptions) -> None:
    if listener.family == socket.AF_UNIX or options.allow_remote:
        return
    host = listener.getsockname()[0]
    if not is_loopback(host):
        raise ConfigurationError(
            f"The socket that systemd has opened, {host}, lets other machines in.",
            hint="Change ListenStream in the socket unit, or add `--allow-remote` to the service unit.",
        )


def _opened(options: ServerOptions) -> socket.socket:
    host = "127.0.0.1" if options.host == "localhost" else options.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, options.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        hint = "Choose another `--port`, or 0 for any free one."
        if error.errno == errno.EADDRNOTAVAIL:
            hint = "Give an address of this machine, such as `--host 127.0.0.1`."
        reason = os.strerror(error.errno or 0).lower()
        raise ConfigurationError(
            f"The server cannot listen at {options.host}:{options.port}: {reason}.", hint=hint
        ) from None
