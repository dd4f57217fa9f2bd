"""The errors of connections: a server, a proxy or a certificate that keeps a request from being answered."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlsplit

from onplan.errors import CertificateError, ConnectError, DisconnectError, IdleTimeoutError, ProxyError
from onplan.flow import is_loopback
from onplan.transports.route import Proxy, netloc

_LONGEST_WORDS = 200


def reason_of(error: BaseException) -> str:
    """What a library's error says, as the end of a sentence; its class where it says nothing."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


# --- servers ------------------------------------------------------------------------------------------------


def unreachable(origin: str, error: BaseException) -> ConnectError:
    """The error when no connection to ``origin``, a URL, can be made, and ``error`` says why."""
    here = is_loopback(urlsplit(origin).hostname or "")
    return certificate_failure(error, origin) or ConnectError(
        f"{origin} could not be reached: {reason_of(error)}.",
        hint="Start the server on this machine, or correct its address." if here else None,
    )


def broken(origin: str, error: BaseException) -> DisconnectError:
    """The error when the connection to ``origin`` breaks, and ``error`` says how."""
    return DisconnectError(f"The connection to {origin} broke: {reason_of(error)}.")


def stopped_answering(origin: str) -> IdleTimeoutError:
    """The error when nothing comes from ``origin`` for too long."""
    return IdleTimeoutError(f"{origin} stopped answering.")


def stopped_listening(origin: str) -> IdleTimeoutError:
    """The error when ``origin`` takes nothing of a request for too long."""
    return IdleTimeoutError(f"{origin} stopped listening.")


def took_too_long(origin: str) -> IdleTimeoutError:
    """The error when a whole response does not come in time, although parts of it may."""
    return IdleTimeoutError(f"{origin} took too long to answer.")


def certificate_failure(error: BaseException | None, origin: str) -> CertificateError | None:
    """The error if ``error`` comes from a certificate of ``origin`` that is not trusted, else None."""
    reason = getattr(error, "verify_message", None)  # aiohttp's own kind of certificate error has none
    while error is not None and reason is None:
        error = error.__cause__ or error.__context__
        reason = getattr(error, "verify_message", None)
    if reason is None:
        return None
    reason = reason.rstrip(".") or "it is not trusted"
    return CertificateError(f"The certificate of {origin} is refused: {reason}.")


# --- proxies ------------------------------------------------------------------------------------------------


def no_answer(proxy: Proxy, error: BaseException) -> ProxyError | CertificateError:
    """The error when ``proxy`` itself cannot be connected to, or stops answering."""
    untrusted = certificate_failure(error, proxy.address)
    if untrusted:
        return untrusted
    reason = " ".join(str(error).split()).rstrip(".") or "it took too long"
    return ProxyError(f"The proxy {proxy.address} does not answer: {reason}.")


def refusal(
    proxy: Proxy, host: str, reason: str, *, status: int | None = None, schemes: str = ""
) -> ProxyError:
    """The error when ``proxy`` does not connect to ``host``. It is not retried where a password is wanted.

    Args:
        proxy: the one that refuses.
        host: where it was to connect to.
        reason: why, as the end of a sentence.
        status: the HTTP status of the refusal; 407 also stands for SOCKS that wants a password.
        schemes: the values of its ``Proxy-Authenticate``.
    """
    error = ProxyError(f"The proxy {proxy.address} does not connect to {host}: {reason}.", status_code=status)
    if status == 407:
        error.retryable = False
        error.hint = _what_to_give(proxy)
        offered = _offered(schemes)
        if offered and "basic" not in map(str.lower, offered):
            only = " or ".join(offered)
            error.message = f"The proxy {proxy.address} takes {only} only, and onplan supports Basic only."
            error.args = (error.message,)
            error.hint = (
                "Run a local proxy that signs in for you, such as px or cntlm, and use that one "
                "(`export HTTPS_PROXY=http://127.0.0.1:3128`), or ask the network's administrator for Basic."
            )
    return error


def _what_to_give(proxy: Proxy) -> str:
    if proxy.username is None:
        return f"Give its URL as {proxy.scheme}://USER:PASSWORD@{netloc(proxy.host, proxy.port)}."
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
    """The error when ``proxy`` answers CONNECT with another status than 2xx.

    Args:
        proxy: the one that answers.
        host: where it was to connect to.
        status: the HTTP status.
        reason: the reason phrase beside the status.
        schemes: the values of ``Proxy-Authenticate``.
        page: the body, which may say more.
    """
    said = f"{status} {''.join(filter(str.isprintable, reason))[:100]}".strip().rstrip(".")
    words = _words(page)
    if words and words.lower() not in said.lower():
        said = f"{said} ({words})"
    return refusal(proxy, host, said, status=status, schemes=schemes)
