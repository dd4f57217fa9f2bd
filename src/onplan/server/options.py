"""What the person who runs the server decides, checked before anything listens."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from onplan.errors import ConfigurationError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8399
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+|null")
_NAME = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The options of ``onplan serve``.

    Attributes:
        host: the address to listen on: an IP address, or ``localhost``.
        port: the port; 0 for any free one.
        allow_remote: whether ``host`` may be an address that other machines reach.
        allow_hosts: names in the header ``Host`` that are accepted besides those of loopback, without ports.
        allow_origins: origins whose pages may ask, as browsers write them: ``https://app.example``.
        workers: how many processes serve.
        strict: whether parameters that the backend does not take are refused.
        aliases: names of models that clients may use, and the models that they mean.
        max_body: bytes of a request's body, decoded.
        max_requests: how many requests are answered at once, by each process.
        max_waiting: how many more wait for their turn.
        max_connections: how many connections each process keeps open.
        drain_seconds: how long running requests may go on once the server is asked to stop.
        access_log: whether each request is logged on stderr.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    allow_remote: bool = False
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    workers: int = 1
    strict: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    max_body: int = 32 * 1024 * 1024
    max_requests: int = 2_048
    max_waiting: int = 1_024
    max_connections: int = 8_192
    drain_seconds: float = 30.0
    access_log: bool = False

    def __post_init__(self) -> None:
        """Check the values. Raises ConfigurationError."""
        if not is_loopback(self.host) and not self.allow_remote:
            raise ConfigurationError(
                f"The address {self.host} lets other machines in: anyone who has the key and reaches it uses "
                "your plan, and without TLS the key and all that is asked can be read on the way.",
                hint="Listen on 127.0.0.1, or add `--allow-remote` if that is what you want.",
            )
        for name in self.allow_hosts:
            if not _NAME.fullmatch(name.lower()):
                raise ConfigurationError(
                    f"{name!r} is not the name of a host.",
                    hint="Write it without a port or path: `--allow-host host.docker.internal`.",
                )
        for origin in self.allow_origins:
            if not _ORIGIN.fullmatch(origin.lower()):
                raise ConfigurationError(
                    f"{origin!r} is not an origin.",
                    hint="Write it as a browser does: `--allow-origin https://app.example`.",
                )
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name} must be {least} or more, and is {getattr(self, name)}.")
        if not 0 <= self.port <= 65_535:
            raise ConfigurationError(f"{self.port} is not a port: they go from 0 to 65535.")


_LEAST = {
    "workers": 1,
    "max_body": 1,
    "max_requests": 1,
    "max_waiting": 0,
    "max_connections": 1,
    "drain_seconds": 0,
}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``. Raises ConfigurationError for a name of a machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ConfigurationError(
            f"{host!r} is not an IP address to listen on.", hint="Give one, such as `--host 127.0.0.1`."
        ) from None
