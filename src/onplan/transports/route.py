"""Decides how connections to a server are made: through which proxy, trusting which certificates.

Every transport asks here, so that all of them connect alike. The environment is read when a connection is
about to be made, not when a client is constructed.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from onplan.config.environment import environment_variable, system_proxies
from onplan.errors import ConfigurationError
from onplan.flow import is_loopback
from onplan.secret import SecretText

if TYPE_CHECKING:
    import ssl

# The schemes of proxies with their default ports. Desktops' settings say ``socks`` for SOCKS 5.
_PORTS: Mapping[str, int] = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080, "socks": 1080}
_LONGEST_WORD = 255  # bytes of a user, a password or a host (RFC 1928, 1929)
_SAFE = "!$&'()*+,;=:@ "
# The variables that name the proxy for https; the first that is set counts.
_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True)
class Proxy:
    """A proxy. User and password have no printed form.

    Attributes:
        scheme: ``http``, ``https`` or ``socks5``; the proxy looks up the names of hosts.
        host: of the proxy.
        port: of the proxy.
        username: None for a proxy that wants none.
        password: empty for none.
    """

    scheme: str
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """The URL without user and password, for messages."""
        return f"{self.scheme}://{netloc(self.host, self.port)}"

    @property
    def url(self) -> SecretText:
        """The URL with user and password."""
        if self.username is None:
            return SecretText(self.address)
        pair = f"{quote(self.username, safe=_SAFE)}:{quote(self.password, safe=_SAFE)}"
        return SecretText(f"{self.scheme}://{pair}@{netloc(self.host, self.port)}")

    @property
    def authorization(self) -> SecretText | None:
        """The value of ``Proxy-Authorization``, None without a user."""
        if self.username is None:
            return None
        pair = f"{self.username}:{self.password}".encode()
        return SecretText(f"Basic {base64.b64encode(pair).decode()}")


def netloc(host: str, port: int) -> str:
    """``host:port`` as in a URL, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Route:
    """The proxy and the trusted certificates of one client.

    Args:
        proxy: the URL of a proxy for all https requests, instead of the environment's.
        ca_file: certificates of authorities, in PEM, to trust as well as the usual ones.
        certificates: an SSL context to use instead of the usual certificates.

    Raises:
        ConfigurationError: ``proxy`` is not the URL of a proxy, or ``ca_file`` holds no certificate.
    """

    def __init__(
        self,
        proxy: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        proxy = None if proxy is None else SecretText(proxy)  # without a printed form in this frame
        self._proxy = None if proxy is None else require_proxy(proxy, "proxy=")
        self._ca_file = ca_file
        self._certificates = certificates
        if ca_file is not None:  # so that a wrong file is an error at once, not with the first request
            from onplan.transports.certificates import trusting

            trusting(ca_file)

    def proxy_for(self, url: str) -> Proxy | None:
        """The proxy for requests to ``url``, or None.

        Plain http is used to this machine only, so it goes through no proxy, or through a ``proxy=`` on this
        machine. The environment's proxy is never used for requests to this machine.

        Raises:
            ConfigurationError: the environment names a proxy by something that is not its URL.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if self._proxy is not None:
            readable = parts.scheme != "https" and not is_loopback(self._proxy.host)
            return None if readable else self._proxy
        if parts.scheme != "https" or is_loopback(host):
            return None
        proxies = system_proxies()
        named = proxies.get("https") or proxies.get("all")
        if not named or _is_exempt(host, parts.port or 443, proxies.get("no", "")):
            return None
        return require_proxy(SecretText(named if "://" in named else f"http://{named}"), proxy_source())

    def certificates(self) -> ssl.SSLContext:
        """The SSL context with the trusted certificates. It is made once, in tens of milliseconds.

        Raises:
            ConfigurationError: the environment, or ``ca_file``, names authorities that cannot be loaded.
        """
        if self._certificates is None:
            from onplan.transports.certificates import trusting, usual_certificates

            context = usual_certificates()
            self._certificates = context if self._ca_file is None else trusting(self._ca_file, context)
        return self._certificates


# --- proxies ------------------------------------------------------------------------------------------------


def proxy_source() -> str:
    """Where the environment's proxy is set: the name of a variable, or "the system's settings"."""
    return next(filter(environment_variable, _VARIABLES), "the system's settings")


def require_proxy(url: SecretText, source: str) -> Proxy:
    """The proxy at ``url``. Raises ConfigurationError without the URL, which may hold a password."""
    proxy = _parse(url)
    if proxy is None:
        raise ConfigurationError(
            f"The proxy from {source} is not a usable proxy URL.",
            hint="Write it as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT.",
        )
    return proxy


def _parse(url: SecretText) -> Proxy | None:
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        if scheme not in _PORTS or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
            return None
        username = None if parts.username is None else SecretText(unquote(parts.username))
        password = SecretText(unquote(parts.password or ""))
        if any(len((text or "").encode()) > _LONGEST_WORD for text in (username, password, host)):
            return None
        kind = "socks5" if scheme.startswith("socks") else scheme
        return Proxy(kind, host, port or _PORTS[scheme], username, password)
    except ValueError:
        return None


def _is_exempt(host: str, port: int, exceptions: str) -> bool:
    """Whether ``NO_PROXY`` exempts ``host``: as a host, a domain, an address, a network, or by ``*``."""
    from urllib.request import proxy_bypass

    for entry in filter(None, (part.strip().lower() for part in exceptions.split(","))):
        if entry == "*" or _names(entry, host, port):
            return True
    return bool(proxy_bypass(host))  # the system's own settings (macOS, Windows)


def _names(entry: str, host: str, port: int) -> bool:
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, last = entry.rpartition(":")
    if colon and last.isdigit() and (":" not in name or name.endswith("]")):
        if int(last) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").removeprefix(".")
    return host == entry or host.endswith(f".{entry}")
