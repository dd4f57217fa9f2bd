"""The asynchronous client: carries out what the turn decides. Beside client.py, line by line."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, cast

from onplan.attachments import has_attachments, read_attachments
from onplan.config.hints import complete_commands
from onplan.config.settings import Settings, load_settings
from onplan.errors import (
    InvalidRequestError,
    NotSignedInError,
    OnplanError,
    SignInAgainError,
    TransportError,
)
from onplan.parameters import raises
from onplan.secret import SecretText
from onplan.stores import CredentialStore, open_store
from onplan.tokens.api_key import require_sign_in, token_manager_for
from onplan.transports import (
    AsyncAnswer,
    AsyncExchange,
    AsyncWebSockets,
    Timeouts,
    choose,
    choose_websocket,
    timeouts_of,
)
from onplan.transports.httpx2_sync import HTTPTransport
from onplan.transports.route import Route
from onplan.transports.total_timeout import TotalTimeout
from onplan.turn import flows as turn
from onplan.turn import steps
from onplan.turn.amendments import Call, Remembered
from onplan.turn.fallback import Fallback
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

if TYPE_CHECKING:
    import aiohttp
    import httpx2

T = TypeVar("T")

logger = logging.getLogger("onplan.client")


class AsyncClient:
    """Asks models on the signed-in plan. An ``onplan.Provider``; use it with ``async with``.

    Credentials and network are touched on first use only. One client serves many tasks at once.

    Args:
        profile: the credential to use; without it the profile in use, which `onplan profiles` marks.
        backend: the backend's name.
        store: a store spec or a ``CredentialStore``.
        base_url: where the backend's API is: https, or http on this machine.
        api: which API is spoken where a backend has several: ``chat`` or ``responses``.
        api_key: the key, for backends that take one.
        transport: ``auto`` speaks WebSocket where the backend does, the extra ``ws`` is installed and there
            is no ``http_client``, and falls back to SSE where it is not let through; ``websocket`` does not
            fall back; ``sse`` is HTTP alone. The chunks are the same.
        http_client: your own ``httpx2.AsyncClient`` or ``aiohttp.ClientSession``, for requests to the
            backend; it is not closed. ``proxy`` and ``ca_file`` are then for the refresh of tokens alone.
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
        transport: Literal["auto", "websocket", "sse"] = "auto",
        http_client: httpx2.AsyncClient | aiohttp.ClientSession | None = None,
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
        self._transport = choose(timeouts, route, http_client)
        self._sockets = choose_websocket(transport, timeouts, route, self._settings.backend, http_client)
        self._fallback = Fallback(allowed=transport == "auto") if self._sockets else None
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

    async def credentials(self) -> OAuthCredentials:
        """The sign-in in use, with a fresh access token.

        Raises CredentialError; ConfigurationError where an API key is used.
        """
        try:
            return require_sign_in(await self._tokens.credentials_async(), self._settings.backend)
        except OnplanError as error:
            complete_commands(error, self._settings)
            raise

    async def list_models(self) -> list[ModelInfo]:
        """The models that there are now, best first.

        Where the catalogue cannot be read, the built-in list, if the backend has one; never instead of a
        sign-in problem.
        """
        return (await self._catalogue())[0]

    async def _catalogue(self) -> tuple[list[ModelInfo], OnplanError | None]:
        """The models, and why they are the built-in ones, if they are. Raises an OnplanError."""
        flow = turn.catalogue(self._settings.backend, self._settings.base_url, self._retry, time.time)
        try:
            async with _Exchange(self, flow) as exchange:
                await exchange.advance()
                self._models = exchange.result
                return self._models, None
        except (NotSignedInError, SignInAgainError):
            raise
        except OnplanError as error:
            if not self._settings.backend.fallback_models:
                raise
            return list(self._settings.backend.fallback_models), error

    async def complete(self, request: CompletionRequest | str) -> CompletionResponse:
        """A whole answer. Raises an OnplanError; a broken answer is never returned.

        The model, and whatever else is wanted, is part of the request::

            await client.complete(CompletionRequest(messages="Name three birds", model="gpt-5.5"))
        """
        async for chunk in self.complete_stream(request):
            last = chunk
        return cast("Done", last).response

    async def complete_stream(self, request: CompletionRequest | str) -> AsyncGenerator[StreamChunk]:
        """The answer as it arrives: one ``Done``, last; otherwise an OnplanError is raised."""
        call = await self._prepare(as_request(request))
        flow = turn.completion(
            call, self._retry, time.time, self._fallback, resume=self._resume, remembered=self._remembered
        )
        async with _Exchange(self, flow) as exchange:
            while (chunks := await exchange.advance()) is not None:
                for chunk in chunks:
                    yield chunk

    async def prewarm(self, request: CompletionRequest) -> None:
        """Open the WebSocket of a conversation, and let the backend read its beginning, before it is needed.

        ``request`` says how the conversation will begin: the same ``session_id``, tools and other parameters
        as its first request, and the messages that come before the user's, one at least. It is not answered.
        Where WebSocket is not spoken, nothing happens.

        Raises:
            InvalidRequestError: the request has no session_id, by which it would be recognised.
            OnplanError: the backend refuses it, or cannot be reached.
        """
        if request.session_id is None:
            raise InvalidRequestError(
                "A request to prepare for needs a session_id.", hint="Give both requests the same session_id."
            )
        if self._fallback is None:
            return
        call = await self._prepare(request)
        flow = turn.preparation(call, self._retry, time.time, self._fallback, self._remembered)
        async with _Exchange(self, flow) as exchange:
            await exchange.advance()

    async def _prepare(self, request: CompletionRequest) -> Call:
        model = request.model or self._settings.model or await self._first_model()
        if has_attachments(request):  # reading and encoding megabytes would hold up the loop
            return await asyncio.to_thread(self._build, request, model)
        return self._build(request, model)

    def _build(self, request: CompletionRequest, model: str) -> Call:
        read, settings = read_attachments(request), self._settings
        raising = self._raise_unsupported
        return turn.prepare(read, settings.backend, settings.base_url, model, raise_unsupported=raising)

    async def _first_model(self) -> str:
        models = self._models or await self.list_models()
        return models[0].id

    async def close(self) -> None:
        """Close the connections. The client starts anew when it is used again."""
        await self._transport.close()
        if self._sockets:
            await self._sockets.close()
        await self._tokens.drain_async()
        self._token_transport.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Exchange(Generic[T]):
    """Carries out the steps of one flow and owns the answer that it has open."""

    result: T

    def __init__(self, client: AsyncClient, flow: steps.Flow[T]) -> None:
        self._client, self._flow = client, flow
        self._total = TotalTimeout(client._timeouts.total)
        self._timed = client._timeouts.total is not None
        self._answer: AsyncAnswer | None = None
        self._reading: steps.ReadEvents | None = None
        self._over = False  # whether the answer's end was not waited for any longer

    async def advance(self) -> Sequence[StreamChunk] | None:
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
                            payloads = await read()
                        else:
                            until = until or self._until(incoming.grace)
                            payloads = await self._read_rest(until)
                        if chunks := incoming.take(payloads):
                            self._reading = step
                            return chunks
                else:
                    outcome = await (self._in_time if self._timed else self._carry_out)(step)
            except OnplanError as error:
                step = self._resume(error=error)
            else:
                step = self._resume(outcome)
        if self._answer and not self._over:
            await self._answer.release()
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
        return asyncio.get_running_loop().time() + (grace if left is None else min(grace, left))

    async def _read_rest(self, until: float) -> list[bytes] | None:
        """Read what may follow a whole answer; None, as at its end, when the time for that is over."""
        try:
            async with asyncio.timeout_at(until):
                return await self._open_answer.read_events()
        except TimeoutError:
            self._over = True
            return None

    async def _in_time(self, step: steps.Step) -> Any:
        limit = asyncio.timeout(self._total.left())
        try:
            async with limit:
                return await self._carry_out(step)
        except (TimeoutError, TransportError):
            if limit.expired():
                raise self._total.error() from None
            raise

    async def _carry_out(self, step: steps.Step) -> Any:
        match step:
            case steps.ReadEvents():
                return await self._open_answer.read_events()
            case steps.Send() | steps.Join() | steps.SendMessage():
                return await self._send(step)
            case steps.Authorize():
                return await self._client._tokens.credentials_async()
            case steps.Refresh(access_token, again):
                return await self._client._tokens.replace_async(access_token, again=again)
            case steps.ReadBody(timeout):
                return await self._open_answer.read_body(timeout)
            case steps.Sleep(seconds, error):
                await self._close_answer()
                logger.info("trying again in %.1f s: %s", seconds, error)
                if self._client._on_retry:
                    self._client._on_retry(error, seconds)
                return await asyncio.sleep(seconds)

    async def _send(self, step: steps.Send | steps.Join | steps.SendMessage) -> Any:
        if isinstance(step, steps.SendMessage):
            return await cast("AsyncExchange", self._open_answer).send(step.data)
        await self._close_answer()
        if isinstance(step, steps.Send):
            self._answer = await self._client._transport.open(step.request, step.timeout)
            return self._answer.head
        self._answer = exchange = await cast("AsyncWebSockets", self._client._sockets).join(step)
        return exchange and exchange.joined

    @property
    def _open_answer(self) -> AsyncAnswer:
        if self._answer is None:
            raise RuntimeError("a turn sends before it reads")
        return self._answer

    async def _close_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer:
            await answer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flow.close()
        await self._close_answer()
