"""Decides what happens next while many requests are asked at once; the clients carry it out.

A client asks ``Schedule.next()`` for an action, begins it, and reports how it ended. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from onplan.errors import BudgetError, ConfigurationError, InvalidRequestError, OnplanError, UsageLimitError
from onplan.plan.waiting import availability
from onplan.turn import flows
from onplan.turn.context import Context
from onplan.turn.repair import require_repairs
from onplan.turn.steps import Flow, Sleep
from onplan.types import CompletionRequest, CompletionResponse, RequestFields, as_request
from onplan.types.answer import T_co

P = TypeVar("P")

OnLimit: TypeAlias = Literal["stop", "wait"]
_ON_LIMIT = ("stop", "wait")
# How far ahead of the result that is due next others are asked, in multiples of the concurrency.
_AHEAD = 4
# In seconds: how long to wait at most before a plan that says it is available is tried again, and how often
# without an answer in between. A model may have a limit of its own that the usage endpoint does not tell.
_LONGEST_PAUSE = 300.0
_FRUITLESS = 8


@dataclass(frozen=True)
class MapResult(Generic[P, T_co]):
    """What became of one request of ``client.map``: an answer or an error.

    A type checker knows the types of ``request`` and of ``response.parsed``: ``MapResult[str, Bird]``, or
    ``MapResult[str]`` without a ``response_format`` that is a type.

    Attributes:
        index: its place among the requests, from 0.
        request: as it was given.
        response: the answer; None if there is an error.
        error: why there is no answer. After a usage limit, which ends all, it may be the limit of another
            request: this one was then not asked.
    """

    index: int
    request: P
    response: CompletionResponse[T_co] | None = None
    error: OnplanError | None = None

    if not TYPE_CHECKING:  # Python knows defaults of type variables since 3.13

        def __class_getitem__(cls, kinds: Any) -> Any:
            return super().__class_getitem__(kinds if isinstance(kinds, tuple) else (kinds, Any))

    def response_or_raise(self) -> CompletionResponse[T_co]:
        """The answer. Raises ``error`` if there is none."""
        if self.response is None:
            raise self.error or OnplanError("There is no answer.")
        return self.response


@dataclass(frozen=True, slots=True)
class HandOut(Generic[P]):
    """Give the program this result."""

    result: MapResult[P]


@dataclass(frozen=True, slots=True)
class Take:
    """Take the next request; report it by ``took`` or ``exhausted``."""


@dataclass(frozen=True, slots=True)
class Start:
    """Carry out ``flow``; report its end by ``answered`` or ``failed``."""

    index: int
    flow: Flow[CompletionResponse]


@dataclass(frozen=True, slots=True)
class Reset:
    """Carry out ``flow``, which ends when a limit has reset; report by ``reset`` or ``not_reset``."""

    flow: Flow[None]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until something that was begun has ended."""


@dataclass(frozen=True, slots=True)
class End:
    """There is no more to do."""


Action: TypeAlias = HandOut[P] | Take | Start | Reset | Wait | End


class Schedule(Generic[P]):
    """Which of many requests are asked when, and in which order their results are handed out.

    At most ``concurrency`` are asked at once, and requests are taken only when there is room for them. When
    the plan's usage limit or the client's budget is reached, either no other request is asked and all get
    that error, or those that met it are asked again when it has reset.

    Args:
        context: what all turns of the client have in common.
        fields: for requests that do not say them.
        repairs: how often a model is told that its answer does not fit the ``response_format``.
        concurrency: how many are asked at once.
        ordered: whether results come in the order of the requests, or as they come.
        on_limit: what happens at a limit.

    Raises:
        ConfigurationError: an argument cannot be used.
        InvalidRequestError: a field cannot.
    """

    def __init__(
        self,
        context: Context,
        fields: RequestFields,
        repairs: int = 0,
        *,
        concurrency: int = 8,
        ordered: bool = True,
        on_limit: OnLimit = "stop",
    ) -> None:
        _check(context, fields, concurrency, on_limit)
        self._context, self._repairs, self._concurrency = context, repairs, concurrency
        self._ordered, self._waits = ordered, on_limit == "wait"
        self._defaults: Mapping[str, Any] = {**context.defaults, **fields}
        self._requests: dict[int, P] = {}  # taken and not handed out
        self._taken, self._taking, self._exhausted = 0, False, False
        self._to_ask: list[int] = []  # a heap
        self._running: set[int] = set()
        self._results: dict[int, MapResult[P]] = {}
        self._due = 0  # the index of the next result, if ordered
        self._limit: OnplanError | None = None  # which has to reset before another request is asked
        self._resetting = False
        self._fruitless = 0  # resets since the latest answer
        self._stopped: OnplanError | None = None  # why no other request is asked

    def next(self) -> Action[P]:
        """What is to be done now."""
        while True:
            index = self._due if self._ordered else next(iter(self._results), -1)
            if index in self._results:
                self._due += 1
                del self._requests[index]
                return HandOut(self._results.pop(index))
            if self._limit and not self._resetting:
                self._resetting = True
                return Reset(_until_reset(self._context, self._limit, self._fruitless))
            has_room = self._limit is None and len(self._running) < self._concurrency
            if has_room and self._to_ask:
                start = self._begin(heappop(self._to_ask))
                if start:
                    return start
                continue
            ahead = len(self._requests) < _AHEAD * self._concurrency
            if has_room and ahead and not (self._taking or self._exhausted):
                self._taking = True
                return Take()
            return Wait() if self._running or self._taking or self._resetting else End()

    def _begin(self, index: int) -> Start | None:
        """Start a request; None if it cannot be sent, which is its result."""
        given: Any = self._requests[index]
        try:
            request = as_request(given, None, self._defaults)
            require_repairs(self._repairs, request)
        except InvalidRequestError as error:
            self._end(index, error=error)
            return None
        self._running.add(index)
        flow = flows.completion(request, context_alone(request, self._context), self._repairs)
        return Start(index, flow)

    def took(self, request: P) -> None:
        """A request was taken."""
        index, self._taken, self._taking = self._taken, self._taken + 1, False
        self._requests[index] = request
        if self._stopped:
            self._end(index, error=self._stopped)
        else:
            heappush(self._to_ask, index)

    def exhausted(self) -> None:
        """There are no more requests."""
        self._taking, self._exhausted = False, True

    def answered(self, index: int, response: CompletionResponse) -> None:
        """A request was answered."""
        self._fruitless = 0
        self._end(index, response=response)

    def failed(self, index: int, error: OnplanError) -> None:
        """A request failed."""
        if not isinstance(error, UsageLimitError | BudgetError):
            self._end(index, error=error)
        elif self._waits and not self._stopped:
            self._running.discard(index)
            heappush(self._to_ask, index)
            self._limit = self._limit or error
            if self._fruitless >= _FRUITLESS:
                self._stop(error)
        else:
            self._end(index, error=error)
            self._stop(error)

    def reset(self) -> None:
        """The limit has reset, by what the backend says."""
        self._limit, self._resetting = None, False
        self._fruitless += 1

    def not_reset(self, error: OnplanError) -> None:
        """Waiting for it failed: that is what becomes of all that were not asked."""
        self._resetting = False
        self._stop(error)

    def _stop(self, error: OnplanError) -> None:
        self._limit, self._stopped = None, self._stopped or error
        while self._to_ask:
            self._end(heappop(self._to_ask), error=self._stopped)

    def _end(
        self, index: int, *, response: CompletionResponse | None = None, error: OnplanError | None = None
    ) -> None:
        self._running.discard(index)
        self._results[index] = MapResult(index, self._requests[index], response, error)


def context_alone(request: CompletionRequest, context: Context) -> Context:
    """The context of a request that no other one continues: pooled HTTP serves it with fewer connections.

    A WebSocket is one conversation's, so each request would open one of its own.
    """
    fallback = context.fallback
    if fallback is None or not fallback.allowed or request.session_id is not None:
        return context
    return replace(context, fallback=None)


def _until_reset(context: Context, limit: OnplanError, fruitless: int) -> Flow[None]:
    """Wait until the plan says that it answers again; longer, if that was not true ``fruitless`` times."""
    if fruitless:
        left = (limit.resets_at or 0.0) - context.now()
        yield Sleep(min(max(left + 1, 2.0**fruitless), _LONGEST_PAUSE), limit)
    yield from availability(context, None)


def require_many(requests: object, *kinds: type) -> None:
    """Raise InvalidRequestError for a single request: the letters of a prompt would be asked one by one.

    ``kinds``: what holds requests beside an ``Iterable``.
    """
    if isinstance(requests, str | bytes | Mapping) or not isinstance(requests, (Iterable, *kinds)):
        raise InvalidRequestError(
            f"map asks several requests, and was given a single {type(requests).__name__}.",
            hint="Put it into a list, such as `client.map([request])`, or call `complete`.",
        )


def _check(context: Context, fields: RequestFields, concurrency: object, on_limit: object) -> None:
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise ConfigurationError(
            f"concurrency is {concurrency!r}, and not a whole number from 1 on.",
            hint="Write `client.map(requests, concurrency=20)`, for example.",
        )
    if on_limit not in _ON_LIMIT:
        raise ConfigurationError(
            f"on_limit is {on_limit!r}, which is neither stop nor wait.",
            hint='Write `client.map(requests, on_limit="wait")` to go on when the limit has reset.',
        )
    if on_limit == "wait" and context.backend.account_path is None:
        raise ConfigurationError(
            f"{context.backend.name} does not say when a limit resets, so it cannot be waited for.",
            hint='Leave `on_limit="wait"` or `--wait` out, and ask those that have no answer again later.',
        )
    as_request("", fields)  # which checks them
