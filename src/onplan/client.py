"""The synchronous client: carries out what the turn decides. Beside async_client.py, line by line."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast

import httpx2

from onplan.attachments import read_attachments
from onplan.config.hints import complete_commands
from onplan.config.settings import Settings, load_settings
from onplan.errors import NotSignedInError, OnplanError, SignInAgainError, TransportError
from onplan.parameters import raises
from onplan.secret import SecretText
from onplan.stores import CredentialStore, open_store
from onplan.tokens.api_key import require_sign_in, token_manager_for
from onplan.transports import Timeouts, require_http, timeouts_of
from onplan.transports.httpx2_sync import Answer, HTTPTransport
from onplan.transports.route import Route
from onplan.transports.total_timeout import TotalTimeout
from onplan.turn import flows as turn
from onplan.turn import steps
from onplan.turn.amendments import Call, Remembered
from onplan.turn.retry import RetryPolicy, policy_of
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    Done,
    ModelInfo,
    OAuthCredentials,
    StreamChunk,
    as_request,
)

T = TypeVar("T")

logger = logging.getLogger("onplan.client")


class Client:
    """Asks models on the signed-in plan, without an event loop; use it with ``with``.

    Credentials and network are touched on first use only. One client serves many threads at once.

    Args:
        profile: the credential to use; without it the profile in use, which `onplan profiles` marks.
        backend: the backend's name.
        store: a store spec or a ``CredentialStore``.
        base_url: where the backend's API is: https, or http on this machine.
        api: which API is spoken where a backend has several: ``chat`` or ``responses``.
        api_key: the key, for backends that take one.
        transport: ``auto`` and ``sse`` are the same here: HTTP. WebSocket is for ``AsyncClient``.
        http_client: your own ``httpx2.Client``, for requests to the backend; it is not closed. ``proxy`` and
            ``ca_file`` are then for the refresh of tokens alone.
        unsupported: what becomes of parameters that the backend does not take: ``drop`` leaves them out
            and lists them in ``ignored_parameters``, ``raise`` raises InvalidRequestError.
        retry: how many times to ask in all, as a number or an ``onplan.RetryPolicy``; 1 never asks again.
        on_retry: called before each wait with the error and the seconds.
        resume: when an answer breaks off, go on from its finished parts. The chunk ``resumed`` says which
            they are; nothing else of what had been streamed counts any more. Without it the error is raised.
        proxy: ``http://USER:PASSWORD@HOST:PORT``, ``https://…`` or ``socks5://…``, instead of what
            ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say.
        ca_file: certificates (PEM) of authorities to trust as well, such as a company's own.
        timeout: seconds for each of connecting, sending and waiting, or ``onplan.Timeouts`` for each its own.
            Until the head of an answer has come, the total is looked at between two steps only.

    Raises:
        ConfigurationError: a setting cannot be used.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        backend: str | None = None,
        store: str | CredentialStore | None = None,
        base_url: str | None = None,
        api: Literal["chat", "responses"] | None = None,
        api_key: str | None = None,
        transport: Literal["auto", "sse"] = "auto",
        http_client: httpx2.Client | None = None,
        unsupported: Literal["drop", "raise"] = "drop",
        retry: RetryPolicy | int | None = None,
        on_retry: Callable[[OnplanError, float], object] | None = None,
        resume: bool = False,
        proxy: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        timeout: float | Timeouts | None = None,
    ) -> None:
        # Without a printed form in this frame.
        api_key = None if api_key is None else SecretText(api_key)
        proxy = None if proxy is None else SecretText(proxy)
        spec = store if isinstance(store, str) else None
        self._timeouts = timeouts = timeouts_of(timeout)
        route = Route(proxy, ca_file)
        self._settings: Settings = load_settings(
            profile=profile,
            backend=backend,
            store=spec,
            base_url=base_url,
            api=api,
        )
        self._store: CredentialStore = (
            open_store(self._settings.store, self._settings.backend)
            if store is None or isinstance(store, str)
            else store
        )
        self._token_transport = HTTPTransport(timeouts, route=route)
        self._tokens = token_manager_for(
            self._settings, self._store, self._token_transport.fetch, api_key, self._token_transport.prepare
        )
        require_http(transport)
        self._transport = HTTPTransport(timeouts, http_client, route)
        self._raise_unsupported = raises(unsupported)
        self._retry = policy_of(retry)
        self._on_retry = on_retry
        self._resume = resume
        self._remembered = Remembered()
        self._models: list[ModelInfo] | None = None

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._settings.backend.name

    def credentials(self) -> OAuthCredentials:
        """The sign-in in use, with a fresh access token.

        Raises CredentialError; ConfigurationError where an API key is used.
        """
        try:
            return require_sign_in(self._tokens.credentials(), self._settings.backend)
        except OnplanError as error:
            complete_commands(error, self._settings)
            raise

    def list_models(self) -> list[ModelInfo]:
        """The models that there are now, best first.

        Where the catalogue cannot be read, the built-in list, if the backend has one; never instead of a
        sign-in problem.
        """
        return self._catalogue()[0]

    def _catalogue(self) -> tuple[list[ModelInfo], OnplanError | None]:
        """The models, and why they are the built-in ones, if they are. Raises an OnplanError."""
        flow = turn.catalogue(self._settings.backend, self._settings.base_url, self._retry, time.time)
        try:
            with _Exchange(self, flow) as exchange:
                exchange.advance()
                self._models = exchange.result
                return self._models, None
        except (NotSignedInError, SignInAgainError):
            raise
        except OnplanError as error:
            if not self._settings.backend.fallback_models:
                raise
            return list(self._settings.backend.fallback_models), error

    def complete(self, request: CompletionRequest | str) -> CompletionResponse:
        """A whole answer. Raises an OnplanError; a broken answer is never returned.

        The model, and whatever else is wanted, is part of the request::

            client.complete(CompletionRequest(messages="Name three birds", model="gpt-5.5"))
        """
        for chunk in self.complete_stream(request):
            last = chunk
        return cast("Done", last).response

    def complete_stream(self, request: CompletionRequest | str) -> Generator[StreamChunk]:
        """The answer as it arrives: one ``Done``, last; otherwise an OnplanError is raised."""
        call = self._prepare(as_request(request))
        flow = turn.completion(call, self._retry, time.time, resume=self._resume, remembered=self._remembered)
        with _Exchange(self, flow) as exchange:
            while (chunks := exchange.advance()) is not None:
                yield from chunks

    def _prepare(self, request: CompletionRequest) -> Call:
        model = request.model or self._settings.model or self._first_model()
        return self._build(request, model)

    def _build(self, request: CompletionRequest, model: str) -> Call:
        read, settings = read_attachments(request), self._settings
        raising = self._raise_unsupported
        return turn.prepare(read, settings.backend, settings.base_url, model, raise_unsupported=raising)

    def _first_model(self) -> str:
        models = self._models or self.list_models()
        return models[0].id

    def close(self) -> None:
        """Close the connections. The client starts anew when it is used again."""
        self._transport.close()
        self._tokens.drain()
        self._token_transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Exchange(Generic[T]):
    """Carries out the steps of one flow and owns the answer that it has open."""

    result: T

    def __init__(self, client: Client, flow: steps.Flow[T]) -> None:
        self._client, self._flow = client, flow
        self._total = TotalTimeout(client._timeouts.total)
        self._timed = client._timeouts.total is not None
        self._answer: Answer | None = None
        self._reading: steps.ReadEvents | None = None
        self._over = False  # whether the answer's end was not waited for any longer

    def advance(self) -> Sequence[StreamChunk] | None:
        """Go on until there are chunks to hand out; None when the flow has ended, with ``result``."""
        step: steps.Step | None = self._reading or self._resume()
        while step is not None:
            if type(step) is steps.Emit:
                return step.chunks
            try:
                if type(step) is steps.ReadEvents:
                    outcome = None
                    incoming, read = step.incoming, self._open_answer.read_events
                    if self._timed:
                        read = partial(self._in_time, step)
                    until: float | None = None
                    while not incoming.finished:
                        if incoming.grace is None:
                            payloads = read()
                        else:
                            until = until or self._until(incoming.grace)
                            payloads = self._read_rest(until)
                        if chunks := incoming.take(payloads):
                            self._reading = step
                            return chunks
                else:
                    outcome = (self._in_time if self._timed else self._carry_out)(step)
            except OnplanError as error:
                step = self._resume(error=error)
            else:
                step = self._resume(outcome)
        if self._answer and not self._over:
            self._answer.release()
        return None

    def _resume(self, outcome: object = None, error: OnplanError | None = None) -> steps.Step | None:
        self._reading = None
        try:
            return self._flow.throw(error) if error else self._flow.send(outcome)
        except StopIteration as stop:
            self.result = stop.value
            return None
        except OnplanError as final:
            complete_commands(final, self._client._settings)
            raise

    def _until(self, grace: float) -> float:
        """When the end of a whole answer is no longer waited for."""
        left = self._total.left()
        return time.monotonic() + (grace if left is None else min(grace, left))

    def _read_rest(self, until: float) -> list[bytes] | None:
        """Read what may follow a whole answer; None, as at its end, when the time for that is over."""
        left = until - time.monotonic()
        if left > 0:
            return self._open_answer.read_events(left)
        self._over = True
        return None

    def _in_time(self, step: steps.Step) -> Any:
        self._total.left()
        try:
            return self._carry_out(step)
        except TransportError:
            self._total.left()  # that it broke may be our own doing
            raise

    def _carry_out(self, step: steps.Step) -> Any:
        match step:
            case steps.ReadEvents():
                return self._open_answer.read_events()
            case steps.Send(request, timeout):
                self._close_answer()
                left = self._total.left()
                self._answer = self._client._transport.open(request, timeout, left=left)
                return self._answer.head
            case steps.Authorize():
                return self._client._tokens.credentials()
            case steps.Refresh(access_token, again):
                return self._client._tokens.replace(access_token, again=again)
            case steps.ReadBody(timeout):
                return self._open_answer.read_body(timeout)
            case steps.Sleep(seconds, error):
                self._close_answer()
                logger.info("trying again in %.1f s: %s", seconds, error)
                if self._client._on_retry:
                    self._client._on_retry(error, seconds)
                left = self._total.left()
                return time.sleep(seconds if left is None else min(seconds, left))

    @property
    def _open_answer(self) -> Answer:
        if self._answer is None:
            raise RuntimeError("a turn sends before it reads")
        return self._answer

    def _close_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer:
            answer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flow.close()
        self._close_answer()
