"""Sends requests to a Vault server: signs in, retries within a deadline, and explains failures.

hvac builds the paths and bodies. Its requests are sent over onplan's own transport, which follows no
redirects and prints no tokens.
"""

from __future__ import annotations

import os
import random
import ssl
import time
from collections.abc import Mapping
from json import dumps as encode_json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from msgspec import structs

from onplan.errors import ConfigurationError, StoreError, TransportError
from onplan.flow import Request, Response, require_safe_url
from onplan.secret import SecretBytes, SecretText
from onplan.stores.vault.errors import Failure, expired, failure_of, failure_to_reach, refusal
from onplan.stores.vault.lasting import Lasting, look_up, renew
from onplan.stores.vault.login import Login, Server, Work

if TYPE_CHECKING:
    from onplan.transports.httpx2_sync import HTTPTransport

# Seconds for one request, and for all attempts together.
ATTEMPT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
DELAYS = (0.1, 0.3, 0.9)
_REDIRECTS = (301, 302, 307, 308)


class VaultClient:
    """Sends requests to ``server``, signed in by ``login``. Can be used by threads, and after a fork."""

    def __init__(self, server: Server, login: Login) -> None:
        self._server, self._login = server, login
        self._token: SecretText | None = None
        self._transports: dict[tuple[int, bool], HTTPTransport] = {}

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._server.address

    def ask(self, work: Work, path: str, *capabilities: str) -> Response:
        """As ``tell``, for a request that can be repeated without harm."""
        return self.tell(work, path, *capabilities)[0]

    def tell(self, work: Work, path: str, *capabilities: str) -> tuple[Response, bool]:
        """The answer (a success, a 400 or a 404), and whether an earlier attempt may have been carried out.

        Args:
            work: the call of hvac.
            path: the path that it uses, for messages.
            *capabilities: those that it needs there; named if a policy does not permit it.

        Raises:
            StoreError: there is another answer, or none.
        """
        deadline = time.monotonic() + TOTAL_SECONDS
        token = self._token or self._sign_in(deadline)
        answer, doubtful = self._persist(work, token, deadline)
        renewed = False
        if answer.status == 403:
            newer = self._sign_in(deadline)
            renewed = newer != token
            if renewed:
                answer, doubtful = self._persist(work, newer, deadline)
        if answer.ok or answer.status in (400, 404):
            return answer, doubtful
        if answer.status == 403 and not renewed and not self._is_accepted(deadline):
            raise expired(self.address, self._server.namespace, self._login.hint)
        raise refusal(answer, self.address, path, capabilities)

    def require_lasting_token(self) -> None:
        """Make sure, before a refresh, that the Vault token lasts until the new tokens are saved.

        If it does not, get a newer one, or have it renewed. If the server does not say how long it lasts, it
        is used. Raises StoreError if no token lasts.
        """
        deadline = time.monotonic() + TOTAL_SECONDS
        token = self._token or self._sign_in(deadline)
        lasting = self._look_up(token, deadline)
        if lasting is None or lasting.suffices:
            return
        newer = self._sign_in(deadline)
        if newer != token:
            if self._login.repeatable:  # and is repeated as often as the server refuses a token
                return
            lasting = self._look_up(newer, deadline) or lasting
        if not lasting.suffices and lasting.renewable:
            lasting = renew(lambda work: self._persist(work, newer, deadline)[0], lasting)
        if not lasting.suffices:
            raise lasting.error(self.address, self._login.hint)

    def _look_up(self, token: SecretText | None, deadline: float) -> Lasting | None:
        return look_up(lambda work: self._persist(work, token, deadline)[0])

    def _sign_in(self, deadline: float) -> SecretText:
        self._token = self._login.token(lambda work: self._persist(work, None, deadline)[0])
        return self._token

    def _is_accepted(self, deadline: float) -> bool:
        """Whether the server accepts the token, so that a policy has refused the request."""
        return self._look_up(self._token, deadline) is not None

    def _persist(self, work: Work, token: SecretText | None, deadline: float) -> tuple[Response, bool]:
        """Repeat the attempt until there is an answer, or raise the error of the last failure."""
        doubtful, delays = False, iter(DELAYS)
        while True:
            outcome = self._attempt(work, token, deadline)
            if isinstance(outcome, Response):
                return outcome, doubtful
            doubtful = doubtful or outcome.doubtful
            delay = next(delays, None)
            wait = outcome.retry_after or (delay or 0.0) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
            if not outcome.passing or delay is None or time.monotonic() + wait >= deadline:
                raise outcome.error
            time.sleep(wait)

    def _attempt(self, work: Work, token: SecretText | None, deadline: float) -> Response | Failure:
        answer = self._send(work, token, self.address, deadline)
        if isinstance(answer, Response) and answer.status in _REDIRECTS:
            active = self._active_server(answer)
            if isinstance(active, Failure):
                return active
            answer = self._send(work, token, active, deadline)
        if isinstance(answer, Failure):
            return answer
        if token and not answer.ok:  # its message is shown, and may repeat the token
            answer = structs.replace(answer, body=answer.body.replace(token.encode(), b"..."))
        return failure_of(answer, self.address) or answer

    def _send(self, work: Work, token: SecretText | None, base: str, deadline: float) -> Response | Failure:
        from hvac.adapters import RawAdapter  # type: ignore[import-untyped]

        seconds = max(0.1, min(ATTEMPT_SECONDS, deadline - time.monotonic()))
        adapter = RawAdapter(
            base_uri=base,
            token=token,
            namespace=self._server.namespace,
            session=_Session(self._transport(base), seconds),
            ignore_exceptions=True,
        )
        try:
            return work(adapter)
        except TransportError as error:
            return failure_to_reach(error, self.address)

    def _active_server(self, answer: Response) -> str | Failure:
        """The address that a standby redirects to, if a token may be sent there."""
        location = answer.headers.get("location", "").partition("/v1/")[0]
        sentence = f"The Vault server at {self.address} is a standby"
        try:
            active = require_safe_url(location, "The address of its active server")
        except ConfigurationError as error:
            sentence = f"{sentence}. {error}"
        else:
            if active.startswith("https:") or self.address.startswith("http:"):
                return active
            sentence = f"{sentence}, and its active server has no https address."
        return Failure(StoreError(sentence, hint="Set VAULT_ADDR to the address of the active server."))

    def _transport(self, base: str) -> HTTPTransport:
        """The connections of this process: a forked child must not use those of its parent."""
        encrypted = base.startswith("https:")
        key = os.getpid(), encrypted
        if key not in self._transports:
            # Loading the system's authorities takes longer than ten requests to a server on this machine.
            empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._transports[key] = _make_transport(self._server.certificates if encrypted else empty)
        return self._transports[key]


def _make_transport(certificates: ssl.SSLContext | None) -> HTTPTransport:
    from onplan.transports.httpx2_sync import HTTPTransport
    from onplan.transports.route import Route

    return HTTPTransport(route=Route(certificates=certificates))


class _Session:
    """Stands for a session of ``requests``, which hvac uses."""

    verify = cert = proxies = None

    def __init__(self, transport: HTTPTransport, seconds: float) -> None:
        self._transport, self._seconds = transport, seconds

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Response:
        """Send a request. Raises TransportError."""
        whole = f"{url}?{urlencode(params)}" if params else url
        body = None if json is None else SecretBytes(encode_json(json).encode())
        sent = {"content-type": "application/json", **headers}
        return self._transport.fetch(Request(method.upper(), whole, sent, body, timeout=self._seconds))
