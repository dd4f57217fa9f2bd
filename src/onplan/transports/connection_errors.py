"""What is reported when there is no way: a proxy, a certificate or a server that is not there."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlsplit

from onplan.errors import CertificateError, ConnectError, ProxyError
from onplan.flow import is_loopback
from onplan.transports.route import Proxy, netloc

_LONGEST_WORDS = 200


def no_answer(proxy: Proxy, error: BaseException) -> ProxyError | CertificateError:
    """The error when ``proxy`` itself cannot be spoken to."""
    untrusted = certificate_failure(error, proxy.address)
    if untrusted:
        return untrusted
    reason = " ".join(str(error).split()).rstrip(".") or "it took too long"
    return ProxyError(f"The proxy {proxy.address} does not answer: {reason}.")


def unreachable(origin: str, error: BaseException) -> ConnectError:
    """The error when no connection to ``origin``, a URL, can be made, and ``error`` says why."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    here = is_loopback(urlsplit(origin).hostname or "")
    return certificate_failure(error, origin) or ConnectError(
        f"{origin} could not be reached: {reason}.",
        hint="Start the server on this machine, or correct its address." if here else None,
    )


def certificate_failure(error: BaseException | None, origin: str) -> CertificateError | None:
    """The error if ``error`` comes from a certificate that is not trusted."""
    reason = getattr(error, "verify_message", None)  # aiohttp's own kind of certificate error has none
    while error is not None and reason is None:
        error = error.__cause__ or error.__context__
        reason = getattr(error, "verify_message", None)
    if reason is None:
        return None
    reason = reason.rstrip(".") or "it is not trusted"
    return CertificateError(f"The certificate of {origin} is refused: {reason}.")


def refusal(
    proxy: Proxy, host: str, reason: str, *, status: int | None = None, schemes: str = ""
) -> ProxyError:
    """The error when ``proxy`` does not connect to ``host``: not retried where it wants a password.

    ``schemes``: what its ``Proxy-Authenticate`` says.
    """
    error = ProxyError(f"The proxy {proxy.address} does not connect to {host}: {reason}.", status_code=status)
    if status == 407:
        error.retryable = False
        error.hint = _what_to_give(proxy)
        offered = _offered(schemes)
        if offered and "basic" not in map(str.lower, offered):
            error.message = (
                f"The proxy {proxy.address} takes {' or '.join(offered)} only, which onplan does not speak: "
                "it speaks Basic."
            )
            error.args = (error.message,)
            error.hint = (
                "Run a local proxy that signs in for you, such as px or cntlm, and name that one "
                "(`export HTTPS_PROXY=http://127.0.0.1:3128`), or ask for Basic, or for a way past the proxy."
            )
    return error


def _what_to_give(proxy: Proxy) -> str:
    if proxy.username is None:
        return f"Name it as {proxy.scheme}://USER:PASSWORD@{netloc(proxy.host, proxy.port)}."
    return "Check the user and the password in its URL."


def _offered(schemes: str) -> list[str]:
    """The names of the schemes in the values of ``Proxy-Authenticate`` (RFC 9110 §11.6.1)."""
    without_strings = re.sub(r'"(?:[^"\\]|\\.)*"', '""', schemes)
    names = re.findall(r"(?:^|,)\s*([A-Za-z][\w.+-]*)(?=\s*(?:,|$)|\s+[^\s=,])", without_strings)
    return list(dict.fromkeys(names))


def _words(body: bytes) -> str:
    """The first words of a page, or of plain text: its title, else its text."""
    text = body.decode("utf-8", "replace")
    title = re.search(r"(?is)<title[^>]*>(.*?)</title", text)
    if title and title[1].strip():
        text = title[1]
    else:
        text = re.sub(r"(?is)<(script|style).*?</\1\s*>|<[^>]*>", " ", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in unescape(text)).split())
    return text[:_LONGEST_WORDS].rstrip(" .")


def refused_connect(
    proxy: Proxy, host: str, status: int, *, reason: str, schemes: str, page: bytes
) -> ProxyError:
    """The error when ``proxy`` answers CONNECT with ``status`` and ``reason``, and a page perhaps.

    ``schemes``: what its ``Proxy-Authenticate`` says.
    """
    said = f"{status} {''.join(filter(str.isprintable, reason))[:100]}".strip().rstrip(".")
    words = _words(page)
    if words and words.lower() not in said.lower():
        said = f"{said} ({words})"
    return refusal(proxy, host, said, status=status, schemes=schemes)
