"""What is said to a proxy before it passes bytes on: CONNECT (RFC 9110 §9.3.6) and SOCKS 5 (RFC 1928, 1929).

Pure: a handshake yields bytes to send, maybe none, and is sent what came, nothing at the end. It returns when
everything that follows is the other side's. Nothing is read beyond that: the other side does not speak first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Generator, Mapping
from typing import TypeAlias, TypeVar

from onplan.backends import USER_AGENT
from onplan.errors import ProxyError
from onplan.secret import SecretBytes, SecretText
from onplan.transports.route import Proxy, netloc

T = TypeVar("T")

Handshake: TypeAlias = Generator[bytes, bytes, T]

_LONGEST_HEAD = 64 * 1024

_VERSION, _CONNECT = b"\x05", b"\x05\x01\x00"
_NO_METHOD, _ANONYMOUS, _PASSWORD = 0xFF, 0, 2
_SIZES = {1: 4, 4: 16}  # of an address, by its type
_NAME = 3
_REFUSALS: Mapping[int, str] = {
    1: "it failed",
    2: "its rules forbid it",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the connection was refused",
    6: "it took too long",
    7: "it does not open connections",
    8: "it does not know this kind of address",
}


def handshake(proxy: Proxy, host: str, port: int) -> Handshake[None]:
    """Have ``proxy`` connect to ``host``. Raises ProxyError."""
    speaking = _socks(proxy, host, port) if proxy.scheme == "socks5" else _http(proxy, host, port)
    send = next(speaking)
    while True:
        come = yield send
        if not come:
            raise refusal(proxy, host, "it closed the connection")
        try:
            send = speaking.send(come)
        except StopIteration:
            return


def refusal(proxy: Proxy, host: str, reason: str, *, status: int | None = None) -> ProxyError:
    """The error when ``proxy`` does not connect to ``host``: not retried where it wants a password."""
    error = ProxyError(f"The proxy {proxy.address} does not connect to {host}: {reason}.", status=status)
    if status == 407:
        error.retryable = False
        error.hint = (
            f"Name it as {proxy.scheme}://USER:PASSWORD@{netloc(proxy.host, proxy.port)}."
            if proxy.username is None
            else "Check the user and the password in its URL."
        )
    return error


# --- CONNECT ------------------------------------------------------------------------------------------------


def _http(proxy: Proxy, host: str, port: int) -> Handshake[None]:
    target = netloc(host, port)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"User-Agent: {USER_AGENT}"]
    authorization = proxy.authorization
    if authorization:
        lines.append(SecretText(f"Proxy-Authorization: {authorization}"))
    head = yield SecretBytes("\r\n".join([*lines, "", ""]).encode())
    while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD:
        head += yield b""
    version, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not status.isdecimal():
        raise refusal(proxy, host, "it does not speak HTTP")
    if not status.startswith("2"):
        reason = "".join(filter(str.isprintable, rest))[:100].strip().rstrip(".")
        raise refusal(proxy, host, reason, status=int(status))


# --- SOCKS --------------------------------------------------------------------------------------------------


def _socks(proxy: Proxy, host: str, port: int) -> Handshake[None]:
    come = _Come()
    methods = bytes([_ANONYMOUS] if proxy.username is None else [_ANONYMOUS, _PASSWORD])
    version, method = yield from come.after(_VERSION + _counted(methods), 2)
    if version != _VERSION[0]:
        raise refusal(proxy, host, "it does not speak SOCKS 5")
    if method not in methods:
        raise refusal(proxy, host, "it wants a user and a password, or more than that", status=407)
    if method == _PASSWORD:
        username, password = (_counted(text.encode()) for text in (proxy.username or "", proxy.password))
        _, failed = yield from come.after(SecretBytes(b"\x01" + username + password), 2)
        if failed:
            raise refusal(proxy, host, "it does not accept the user and the password", status=407)
    wanted = _CONNECT + _address(host) + port.to_bytes(2, "big")
    _, refused, _, kind = yield from come.after(wanted, 4)
    if refused:
        raise refusal(proxy, host, _REFUSALS.get(refused, f"SOCKS error {refused}"))
    size = _SIZES.get(kind) or (yield from come.after(b"", 1))[0]
    yield from come.after(b"", size + 2)


def _counted(data: bytes) -> SecretBytes:
    return SecretBytes(bytes([len(data)]) + data)


def _address(host: str) -> bytes:
    """The host as SOCKS says it. A name is looked up by the proxy."""
    try:
        address = ipaddress.ip_address(host).packed
    except ValueError:
        return bytes([_NAME]) + _counted(host.encode())
    return bytes([1 if len(address) == 4 else 4]) + address


class _Come:
    """What came and was not asked for yet."""

    def __init__(self) -> None:
        self._data = b""

    def after(self, sent: bytes, size: int) -> Handshake[bytes]:
        """Send, and have ``size`` bytes of what comes."""
        if sent:
            self._data += yield sent
        while len(self._data) < size:
            self._data += yield b""
        data, self._data = self._data[:size], self._data[size:]
        return data
