"""The asynchronous client: carries out the steps of turns. client.py is the same, line by line."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, assert_never, cast, overload

from onplan.assembly import AsyncClientOptions, assemble, portable_options
from onplan.attachments import takes_long
from onplan.config.hints import complete_commands
from onplan.errors import OnplanError, TransportError
from onplan.locks import AsyncLock
from onplan.plan import account
from onplan.plan.waiting import availability
from onplan.streams import AsyncCompletionStream
from onplan.tokens.api_key import require_sign_in
from onplan.transports import AsyncAnswer, AsyncExchange, AsyncWebSockets, choose
from onplan.transports.total_timeout import TotalTimeout
from onplan.turn import flows, models, steps
from onplan.turn.catalogue_cache import Listing
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    FieldsWithoutFormat,
    JSONReader,
    Limits,
    ModelInfo,
    OAuthCredentials,
    Prompt,
    RequestFields,
    StreamChunk,
    Usage,
    as_request,
)

if TYPE_CHECKING:
    from onplan.batches.schedule import MapResult, OnLimit
    from onplan.conversation.conversations_async import AsyncConversations
    from onplan.images.images import AsyncImages
    from onplan.mapping_async import AsyncRequests
    from onplan.running import AsyncRunning
    from onplan.search.searches_async import AsyncSearch
    from onplan.tools.options import AsyncRunFields, AsyncRunOptions
    from onplan.tools.record import RunChunk, RunDone, RunResponse
    from onplan.turn.compactor import Compactor

T = TypeVar("T")
P = TypeVar("P", bound=Prompt | CompletionRequest)

logger = logging.getLogger("onplan.client")


class AsyncClient:
    """Asks models on the signed-in plan. An ``onplan.Provider``; use it with ``async with``.

    Credentials and network are touched on first use only. One client serves many tasks at once.
    Its options are those of ``onplan.AsyncClientOptions``.

    Raises:
        ConfigurationError: a setting cannot be used.
    """

    def __init__(self, **options: Unpack[AsyncClientOptions]) -> None:
        self._assembly = assembly = assemble(options, "AsyncClient")
        self._transport = choose(assembly.timeouts, assembly.route, options.get("http_client"))
        self._context = assembly.context
        self._listing = AsyncLock()

    def __getstate__(self) -> dict[str, Any]:
        """The options: a pickled client is a new one in the other process. Raises ConfigurationError."""
        return portable_options(self._assembly)

    def __setstate__(self, options: dict[str, Any]) -> None:
        AsyncClient.__init__(self, **options)

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._context.backend.name

    @property
    def conversation(self) -> AsyncConversations:
        """Conversations, which keep their history: ``client.conversation(…)`` begins one.

        ``client.conversation.load(PATH)`` and ``.open(PATH)`` go on with one in a file.
        """
        from onplan.conversation.conversations_async import AsyncConversations

        return AsyncConversations(self)

    @property
    def images(self) -> AsyncImages:
        """Image generation and editing: ``await client.images.generate("a red fox")``."""
        from onplan.images.images import AsyncImages

        return AsyncImages(self._context, self._run)

    @property
    def search(self) -> AsyncSearch:
        """Searches of the web without a model, on openai-codex: ``client.search("capital of France")``.

        ``client.search.open(…)`` reads a page; ``client.search.tool()`` is all that as a tool for ``run``.
        """
        from onplan.search.searches_async import AsyncSearch

        return AsyncSearch(self._context, self._run)

    async def credentials(self) -> OAuthCredentials:
        """The sign-in in use, with a fresh access token.

        Raises CredentialError; ConfigurationError where an API key is used.
        """
        try:
            return require_sign_in(await self._assembly.tokens.credentials_async(), self._context.backend)
        except OnplanError as error:
            complete_commands(error, self._assembly.settings)
            raise

    async def list_models(self) -> list[ModelInfo]:
        """The models that the backend offers now, best first.

        If the catalogue cannot be read, the built-in list of the backend if it has one; but a sign-in problem
        is always raised.
        """
        listing = await self._list_models()
        return list(listing.models)

    async def _list_models(self, attempts: int | None = None, total: TotalTimeout | None = None) -> Listing:
        """Ask for the catalogue, unless an attempt has ended since there were ``attempts`` of them (now)."""
        catalogue = self._context.catalogue
        attempts = catalogue.attempts if attempts is None else attempts
        async with self._listing:
            found = catalogue.outcome_since(attempts)
            if found:
                return found
            return await self._run(models.listing(self._context), total)

    @overload
    async def complete(
        self,
        request: Prompt | CompletionRequest | None = None,
        *,
        response_format: type[T] | JSONReader[T],
        repairs: int = 0,
        **fields: Unpack[FieldsWithoutFormat],
    ) -> CompletionResponse[T]: ...

    @overload
    async def complete(
        self, request: Prompt | CompletionRequest | None = None, **fields: Unpack[RequestFields]
    ) -> CompletionResponse: ...

    @overload
    async def complete(
        self,
        request: Prompt | CompletionRequest | None = None,
        *,
        repairs: int,
        **fields: Unpack[RequestFields],
    ) -> CompletionResponse: ...

    async def complete(
        self, request: Prompt | CompletionRequest | None = None, *, repairs: int = 0, **fields: Any
    ) -> CompletionResponse[Any]:
        """The whole answer. Raises an OnplanError; an incomplete answer is never returned.

        ``request`` is a string, a ``Message``, a dict in one of OpenAI's shapes, a list of these, or a
        ``CompletionRequest``, whose fields the keywords then replace::

            await client.complete("Name three birds", model="gpt-5.5", reasoning_effort="high")

        ``repairs``: how often the model is told that its answer does not fit the ``response_format``. Each
        repair is another turn.
        """
        asked = as_request(request, cast("RequestFields", fields), self._context.defaults)
        return await self._run(flows.completion(asked, self._context, repairs))

    def complete_stream(
        self, request: Prompt | CompletionRequest | None = None, **fields: Unpack[RequestFields]
    ) -> AsyncGenerator[StreamChunk]:
        """The answer to ``request`` (as for ``complete``) as it arrives, ending with one ``Done``.

        Raises an OnplanError.
        """
        asked = as_request(request, fields, self._context.defaults)
        return self._chunks(flows.completion(asked, self._context))

    @overload
    def stream(
        self,
        request: Prompt | CompletionRequest | None = None,
        *,
        response_format: type[T] | JSONReader[T],
        **fields: Unpack[FieldsWithoutFormat],
    ) -> AsyncCompletionStream[T]: ...

    @overload
    def stream(
        self, request: Prompt | CompletionRequest | None = None, **fields: Unpack[RequestFields]
    ) -> AsyncCompletionStream: ...

    def stream(
        self, request: Prompt | CompletionRequest | None = None, **fields: Any
    ) -> AsyncCompletionStream[Any]:
        """The answer to ``request`` (as for ``complete``) as it arrives, for a ``with`` statement.

        It closes the connection, also when it is left early::

            async with client.stream("Name three birds") as stream:
                async for text in stream.text:
                    print(text, end="")
            print(stream.response.usage)
        """
        return AsyncCompletionStream(self.complete_stream(request, **cast("RequestFields", fields)))

    @overload
    def map(
        self,
        requests: AsyncRequests[P],
        *,
        response_format: type[T] | JSONReader[T],
        concurrency: int = 8,
        ordered: bool = True,
        on_limit: OnLimit = "stop",
        repairs: int = 0,
        **fields: Unpack[FieldsWithoutFormat],
    ) -> AsyncGenerator[MapResult[P, T]]: ...

    @overload
    def map(
        self,
        requests: AsyncRequests[P],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        on_limit: OnLimit = "stop",
        repairs: int = 0,
        **fields: Unpack[RequestFields],
    ) -> AsyncGenerator[MapResult[P]]: ...

    def map(
        self,
        requests: AsyncRequests[P],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        on_limit: OnLimit = "stop",
        repairs: int = 0,
        **fields: Any,
    ) -> AsyncGenerator[MapResult[P, Any]]:
        """Ask many requests, several at once. One that fails has its error in its result.

        Requests are taken when there is room for them, so there may be any number. Those without a
        ``session_id`` share pooled connections. Leaving the iteration ends what is running::

            async for result in client.map(["Name a bird", "Name a fish"], concurrency=20):
                print(result.response.text if result.response else result.error)

        Args:
            requests: each as for ``complete``.
            concurrency: how many are asked at once.
            ordered: whether results come in the order of the requests, or as they come.
            on_limit: at the plan's usage limit, or that of ``max_window_share``: ``stop`` asks no other
                request, and gives each of them that error; ``wait`` goes on when it has reset.
            repairs: as for ``complete``.
            fields: fields of ``CompletionRequest``, for requests that do not say them.

        Raises:
            ConfigurationError, InvalidRequestError: an argument cannot be used.
        """
        from onplan.batches.schedule import Schedule, require_many
        from onplan.mapping_async import map_requests

        require_many(requests, AsyncIterable)
        schedule = Schedule[P](
            self._context,
            cast("RequestFields", fields),
            repairs,
            concurrency=concurrency,
            ordered=ordered,
            on_limit=on_limit,
        )
        return map_requests(requests, schedule, self._run, partial(self._run, total=TotalTimeout(None)))

    async def _chunks(self, flow: steps.Flow[object]) -> AsyncGenerator[StreamChunk]:
        async with Exchange(self, flow) as exchange:
            while (chunks := await exchange.advance()) is not None:
                for chunk in chunks:
                    yield chunk

    @overload
    async def run(
        self,
        request: Prompt | CompletionRequest | None = None,
        *,
        response_format: type[T] | JSONReader[T],
        **options: Unpack[AsyncRunFields],
    ) -> RunResponse[T]: ...

    @overload
    async def run(
        self, request: Prompt | CompletionRequest | None = None, **options: Unpack[AsyncRunOptions]
    ) -> RunResponse: ...

    async def run(
        self,
        request: Prompt | CompletionRequest | None = None,
        **options: Any,
    ) -> RunResponse[Any]:
        """The answer to ``request``, after the functions in ``tools`` that the model wants have been called.

        ``await client.run("Do I need a coat in Oslo?", tools=[weather])``. Calls of one turn are carried out
        together, unless ``parallel_tool_calls`` is false. A function that fails, wrong arguments and unknown
        names are told to the model. ``tool_choice`` holds for the first turn only, unless it is ``none``. The
        other keywords are those of ``complete`` and of ``onplan.AsyncRunOptions``.

        Raises:
            RunLimitError: ``max_turns`` or ``token_budget`` is reached, and the model still calls tools.
            OnplanError: of a turn. ``error.run`` is what was done until then.
        """
        async for chunk in self.run_stream(request, **cast("AsyncRunOptions", options)):
            last = chunk
        return cast("RunDone", last).response

    def run_stream(
        self, request: Prompt | CompletionRequest | None = None, **options: Unpack[AsyncRunOptions]
    ) -> AsyncGenerator[RunChunk]:
        """As ``run``: the chunks of every turn, a ``TurnDone`` after each, and a ``ToolDone`` for each call.

        The last chunk is one ``RunDone``, whose ``response`` is what ``run`` returns.
        """
        from onplan.running import AsyncRunning

        return self._run_chunks(AsyncRunning(request, options, self._context))

    async def _run_chunks(self, running: AsyncRunning) -> AsyncGenerator[RunChunk]:
        with running:
            while await running.advance():
                if running.chunk:
                    yield running.chunk
                flow = running.asking()
                if flow is None:
                    continue
                begun = time.monotonic()
                try:
                    async with Exchange(self, flow) as exchange:
                        while (chunks := await exchange.advance()) is not None:
                            for chunk in chunks:
                                if chunk.type != "done":
                                    yield chunk
                    running.answered(exchange.result, time.monotonic() - begun)
                except OnplanError as error:
                    running.failed(error)
        yield running.done

    async def prewarm(
        self, request: Prompt | CompletionRequest | None = None, **fields: Unpack[RequestFields]
    ) -> None:
        """Open the WebSocket of a conversation, and send the backend its beginning, before it is needed.

        ``request`` says how the conversation will begin: the same ``session_id``, tools and other parameters
        as its first request, and the messages that come before the user's, one at least. It is not answered.
        Where WebSocket is not spoken, nothing happens.

        Raises:
            InvalidRequestError: the request has no session_id, by which it would be recognised.
            OnplanError: the backend refuses it, or cannot be reached.
        """
        asked = as_request(request, fields, self._context.defaults)
        await self._run(flows.preparation(asked, self._context))

    async def limits(self) -> Limits:
        """What the plan has left now: its usage windows, credits and reset credits.

        It asks the backend, which costs nothing of the plan. ``response.limits`` is what came with an answer.

        Raises:
            ConfigurationError: the backend does not say; only openai-codex does.
            OnplanError: it could not be asked.
        """
        return await self._run(account.limits(self._context))

    async def wait_until_available(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - also a reason not to begin to wait
    ) -> Limits:
        """Wait until the plan answers requests again, and return what it has left then.

        It returns at once if no window is used up, or credits pay. With ``max_window_share`` it waits until
        that permits a request, too. Before each wait ``on_retry`` is called.

        Args:
            timeout: seconds to wait at most; None: as long as it takes.

        Raises:
            UsageLimitError, BudgetError: it resets too late for ``timeout``; raised at once if that is known.
            ConfigurationError, OnplanError: as ``limits``.
        """
        return await self._run(availability(self._context, timeout), TotalTimeout(None))

    async def _compact(self, request: CompletionRequest) -> Usage:
        """Have the conversation compacted that this client was made for. Raises an OnplanError."""
        asked = as_request(request, {}, self._context.defaults)
        return await self._run(flows.compaction(asked, self._context))

    def _compacted_by(self, compactor: Compactor) -> Self:
        """This client for the turns of one conversation, with the same connections.

        Raises InvalidRequestError if it is to be compacted and the backend does not do that.
        """
        client = object.__new__(type(self))
        vars(client).update(vars(self), _context=self._context.compacted_by(compactor))
        return client

    async def _run(self, flow: steps.Flow[T], total: TotalTimeout | None = None) -> T:
        """Carry out a flow to its end; what it hands out on the way is not wanted."""
        async with Exchange(self, flow, total) as exchange:
            while await exchange.advance() is not None:
                pass
        return exchange.result

    async def close(self) -> None:
        """Close the connections. The client can be used again; it then opens new ones."""
        await self._transport.close()
        if self._assembly.sockets:
            await self._assembly.sockets.close()
        await self._assembly.tokens.drain_async()
        self._assembly.token_transport.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Exchange(Generic[T]):
    """Carries out the steps of one flow and owns the answer that it has open."""

    result: T

    def __init__(self, client: AsyncClient, flow: steps.Flow[T], total: TotalTimeout | None = None) -> None:
        self._client, self._flow, self._assembly = client, flow, client._assembly
        self._total = total or TotalTimeout(self._assembly.timeouts.total)
        self._timed = self._total.is_limited
        self._answer: AsyncAnswer | None = None
        self._reading: steps.ReadEvents | None = None
        self._over = False  # whether the answer's end was not waited for any longer

    async def advance(self) -> Sequence[StreamChunk] | None:
        """Go on until there are chunks to hand out; None when the flow has ended, with ``result``."""
        step: steps.Step | None = self._reading or self._resume()
        while step is not None:
            if isinstance(step, steps.Emit):
                return step.chunks
            try:
                if isinstance(step, steps.ReadEvents):
                    outcome = None
                    incoming, read = step.incoming, self._open_answer.read_events
                    if self._timed:
                        read = partial(self._in_time, step)
                    until: float | None = None
                    while not incoming.finished:
                        if incoming.grace is None:
                            payloads = await read()
                        else:
                            until = until or self._total.until(incoming.grace)
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
            complete_commands(final, self._assembly.settings)
            raise

    async def _read_rest(self, until: float) -> list[bytes] | None:
        """Read what may follow a whole answer; None, as at its end, when the time for that is over."""
        try:
            async with asyncio.timeout(until - time.monotonic()):
                return await self._open_answer.read_events()
        except TimeoutError:
            self._over = True
            return None

    async def _in_time(self, step: steps.Action) -> Any:
        limit = asyncio.timeout(self._total.left())
        try:
            async with limit:
                return await self._carry_out(step)
        except (TimeoutError, TransportError):
            if limit.expired():
                raise self._total.error() from None
            raise

    async def _carry_out(self, step: steps.Action) -> Any:  # noqa: C901, PLR0911, PLR0912 - one for each step
        match step:
            case steps.ReadEvents():
                return await self._open_answer.read_events()
            case steps.Send(request, timeout):
                await self._close_answer()
                self._answer = await self._client._transport.open(request, timeout)
                return self._answer.head
            case steps.Authorize():
                return await self._assembly.tokens.credentials_async()
            case steps.Refresh(access_token, again):
                return await self._assembly.tokens.replace_async(access_token, again=again)
            case steps.Prepare(request, model):
                if takes_long(request):  # it would hold up the loop
                    return await asyncio.to_thread(self._assembly.prepare, request, model)
                return self._assembly.prepare(request, model)
            case steps.ListModels(attempts):
                return await self._client._list_models(attempts, self._total)
            case steps.ReadBody(timeout, maximum_size):
                return await self._open_answer.read_body(timeout, maximum_size)
            case steps.Sleep(seconds, error):
                await self._close_answer()
                logger.info("trying again in %.1f s: %s", seconds, error)
                if self._assembly.on_retry:
                    self._assembly.on_retry(error, seconds)
                return await asyncio.sleep(self._total.at_most(seconds))
            case steps.Join():
                await self._close_answer()
                self._answer = exchange = await cast("AsyncWebSockets", self._assembly.sockets).join(step)
                return exchange and exchange.joined
            case steps.SendMessage(data):
                return await cast("AsyncExchange", self._open_answer).send(data)
            case _:
                assert_never(step)

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
