"""Tracebacks without the frames of HTTP libraries, whose local variables hold the token."""

from __future__ import annotations

import inspect
from types import FrameType


def forget_frames(error: BaseException) -> None:
    """Cut off the traceback of ``error``, and of its causes, below the function that calls this.

    The frames of HTTP libraries hold the headers of the request, and so the token, in their local variables:
    a traceback that shows local variables (``pytest -l``, rich, Sentry) would print it.
    """
    here = inspect.currentframe()
    frame = caller = here.f_back if here else None
    del here  # it would hold itself, and with that all of the callers
    callers: set[FrameType] = set()
    while frame is not None:
        callers.add(frame)
        frame = frame.f_back
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen or _cut(each, caller, callers):
            continue
        seen.add(id(each))
        waiting += [found for found in (each.__cause__, each.__context__) if found is not None]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _cut(error: BaseException, caller: FrameType | None, callers: set[FrameType]) -> bool:
    """Cut one traceback, unless it is of an error that the program was handling when it called onplan.

    Returns whether it is such an error.
    """
    trace = error.__traceback__
    is_programs = True
    while trace is not None:
        if trace.tb_frame is caller:
            trace.tb_next = None
            return False
        is_programs = is_programs and trace.tb_frame not in callers
        trace = trace.tb_next
    if is_programs:
        error.__traceback__ = None
    return not is_programs
