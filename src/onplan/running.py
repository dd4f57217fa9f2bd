"""Carries out the steps of a run but for its questions to the model: calls functions, asks for approval.

Functions that the model calls together run on threads of their own, or as tasks. When the run is interrupted
or cancelled, asynchronous functions are cancelled and waited for. Python cannot end a function that is not
asynchronous: it is no longer waited for, and the end of the program does not wait for it either.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from onplan.attachments import attachments_in, require_readable
from onplan.errors import OnplanError
from onplan.tools.function import is_async
from onplan.tools.loop import Answered, Approve, Ask, CarryOut, Finished, Loop, LoopStep, Planned, Tell
from onplan.tools.options import AsyncRunOptions, RunOptions, started
from onplan.tools.record import RunDone, RunResponse, ToolDone, TurnDone
from onplan.turn import flows
from onplan.turn.context import Context, RunRecorder
from onplan.turn.steps import Flow
from onplan.types import CompletionRequest, CompletionResponse, Prompt, ToolCall

Asked: TypeAlias = Prompt | CompletionRequest | None
_Result = TypeVar("_Result")

# Seconds that asynchronous functions have to end after Ctrl-C.
_LEAVE_SECONDS = 5.0


class _Driven:
    """A run as both clients drive it: ``advance``, then do what it says, until it says that nothing is left.

    It is used with ``with``, also in an event loop.

    Attributes:
        chunk: what the program is to be told now; None if the model is to be asked.
    """

    chunk: ToolDone | TurnDone | None = None

    def __init__(self, loop: Loop, options: RunOptions | AsyncRunOptions, context: Context) -> None:
        self._loop, self._repairs, self._context = loop, options.get("repairs", 0), context
        self._request: CompletionRequest | None = None
        self._answered: Answered | None = None
        self._answer: RunResponse | None = None
        self._recorder: RunRecorder | None = None

    def __enter__(self) -> Self:
        if self._context.recorder:
            self._recorder = self._context.recorder.run(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recorder:
            self._recorder.end(error)

    def asking(self) -> Flow[CompletionResponse] | None:
        """The flow that asks the model, whose answer ``answered`` takes; None if it is not to be asked."""
        if self._request is None:
            return None
        if self._recorder is None:
            return flows.completion(self._request, self._context, self._repairs)
        with self._recorder.asking(self._request):
            return flows.completion(self._request, self._context, self._repairs)

    @property
    def done(self) -> RunDone:
        """The last chunk, when nothing is left."""
        if self._answer is None:
            raise RuntimeError("the run has not come to its end")
        return RunDone(self._answer.usage, self._answer.finish_reason, self._answer)

    def answered(self, response: CompletionResponse, seconds: float) -> None:
        """Take the model's whole answer."""
        self._answered = Answered(response, seconds)

    def failed(self, error: OnplanError) -> None:
        """Raise the error with which the model could not be asked; it gets what the run did so far."""
        self._loop.throw(error)

    def _next(self) -> LoopStep | None:
        answered, self._answered = self._answered, None
        return self._resume(answered)

    def _resume(self, outcome: object) -> LoopStep | None:
        try:
            return self._loop.send(outcome)
        except StopIteration as stop:
            self._answer = stop.value
            if self._recorder:
                self._recorder.answered(stop.value)
            return None

    def _observed(self, step: CarryOut) -> CarryOut:
        return self._recorder.observed(step) if self._recorder else step

    def _take(self, step: Ask | Tell | None) -> bool:
        self._request = step.request if isinstance(step, Ask) else None
        self.chunk = step.chunk if isinstance(step, Tell) else None
        if self._recorder and isinstance(self.chunk, ToolDone):
            self._recorder.called(self.chunk.run)
        return step is not None


class Running(_Driven):
    """A run of the synchronous client. The program's ``approve`` is asked on this thread."""

    def __init__(self, request: Asked, options: RunOptions, context: Context) -> None:
        super().__init__(started(request, options, context.defaults), options, context)
        self._approve: Callable[[ToolCall], object] = options.get("approve") or _always

    def advance(self) -> bool:
        """Go on until the model is to be asked, or the program told something; False at the end."""
        step = self._next()
        while isinstance(step, Approve | CarryOut):
            if isinstance(step, Approve):
                step = self._resume(self._approve(step.call))
            else:
                step = self._resume(_call_all(self._observed(step)))
        return self._take(step)


class AsyncRunning(_Driven):
    """A run of the asynchronous client. The program's ``approve`` is asked on a thread, or awaited."""

    def __init__(self, request: Asked, options: AsyncRunOptions, context: Context) -> None:
        super().__init__(started(request, options, context.defaults), options, context)
        self._approve: Callable[[ToolCall], object] = options.get("approve") or _always

    async def advance(self) -> bool:
        """Go on until the model is to be asked, or the program told something; False at the end."""
        step = self._next()
        while isinstance(step, Approve | CarryOut):
            if isinstance(step, Approve):
                step = self._resume(await _awaited(self._approve, step.call))
            else:
                step = self._resume(await _call_all_async(self._observed(step)))
        return self._take(step)


def _always(call: ToolCall) -> bool:
    return True


# --- on threads --------------------------------------------------------------------------------------


def _call_all(step: CarryOut) -> list[Finished]:
    if not step.parallel or len(step.calls) == 1:
        return [_call(plan, _on_own_loop) for plan in step.calls]
    calls = [_ThreadCall(plan) for plan in step.calls]
    try:
        for call in calls:
            call.start()
        return [call.outcome.result() for call in calls]
    finally:
        for call in calls:
            call.cancel()
        give_up = time.monotonic() + _LEAVE_SECONDS
        for call in calls:
            call.wait_if_cancelled(give_up - time.monotonic())


def _call(plan: Planned, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Finished:
    """Call a function on this thread; ``run`` ends what an asynchronous one returns."""
    started = time.monotonic()
    try:
        value = plan.function(*plan.arguments.positional, **plan.arguments.named)
        if inspect.isawaitable(value):
            value = run(_coroutine(value))
        require_readable(attachments_in(value))
    except Exception as error:  # noqa: BLE001 - the model is told of it
        return Finished(error=error, seconds=time.monotonic() - started)
    return Finished(value, seconds=time.monotonic() - started)


async def _coroutine(value: Awaitable[_Result]) -> _Result:
    return await value


def _on_own_loop(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run an asynchronous function to its end; on a thread of its own, as there may be a loop on this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return _in_thread(lambda: asyncio.run(coroutine)).result()


def _in_thread(work: Callable[[], _Result], outcome: Future[_Result] | None = None) -> Future[_Result]:
    """The result of ``work``, done on a thread that the end of the program does not wait for."""
    outcome = outcome or Future()
    context = copy_context()

    def run() -> None:
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001 - raised where the result is wanted
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    outcome.set_running_or_notify_cancel()
    threading.Thread(target=run, name="onplan-tool", daemon=True).start()
    return outcome


class _ThreadCall:
    """A function on a thread of its own; if it is asynchronous, with an event loop of its own."""

    def __init__(self, plan: Planned) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self.outcome: Future[Finished] = Future()

    def start(self) -> None:
        """Call the function."""
        _in_thread(lambda: _call(self._plan, self._run), self.outcome)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(self._cancellable(coroutine))

    async def _cancellable(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        with self._lock:
            self._task = asyncio.current_task()
            cancelled = self._cancelled
        if cancelled:
            coroutine.close()
            raise asyncio.CancelledError
        return await coroutine

    def cancel(self) -> None:
        """Cancel it if it is asynchronous and still running."""
        if self.outcome.done():
            return
        with self._lock:
            self._cancelled = True
            task = self._task
        if task is not None:
            with suppress(RuntimeError):  # it has just ended, and its loop with it
                task.get_loop().call_soon_threadsafe(task.cancel)

    def wait_if_cancelled(self, seconds: float) -> None:
        """Wait for the end of one that was cancelled; for a function that cannot be, not at all."""
        if self._task is not None:
            with suppress(BaseException):
                self.outcome.result(max(0.0, seconds))


# --- as tasks ----------------------------------------------------------------------------------------


async def _call_all_async(step: CarryOut) -> list[Finished]:
    if not step.parallel:
        return [await _call_async(plan) for plan in step.calls]
    tasks = [asyncio.create_task(_call_async(plan)) for plan in step.calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _call_async(plan: Planned) -> Finished:
    started = time.monotonic()
    try:
        value = await _awaited(plan.function, *plan.arguments.positional, **plan.arguments.named)
        if parts := attachments_in(value):
            await _awaited(require_readable, parts)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # This call was not cancelled: something that it waited for was cancelled.
        return Finished(error=RuntimeError(str(error) or "cancelled"), seconds=time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - the model is told of it
        return Finished(error=error, seconds=time.monotonic() - started)
    return Finished(value, seconds=time.monotonic() - started)


async def _awaited(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a function returns: an asynchronous one on this loop, another one on a thread."""
    if is_async(function):
        return await function(*arguments, **named)
    value = await asyncio.wrap_future(_in_thread(lambda: function(*arguments, **named)))
    return await value if inspect.isawaitable(value) else value
