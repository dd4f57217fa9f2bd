"""How much work a piece of the library does: counted, not timed, so that a busy machine changes nothing."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import onplan

_OWN = str(Path(onplan.__file__).parent)


def lines_run(function: Callable[[], object]) -> int:
    """How many lines of the library ``function`` runs. What one line does inside C is not seen."""
    lines = 0

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(_OWN):
            return None
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function()
    finally:
        sys.settrace(before)
    return lines


def bytes_allocated(function: Callable[[], object]) -> int:
    """How many bytes the lines of the library allocate in all while ``function`` runs, kept or not.

    After each line the memory that it took at most is added up. So what C does inside one line is seen, if it
    makes anything: joined and concatenated text, copies of lists and buffers, decoded JSON. What it only
    reads, such as a search in a long text, is not seen.
    """
    total = 0
    held = 0

    def note(frame: FrameType, _event: str, _: object) -> Any:
        nonlocal total, held
        if not frame.f_code.co_filename.startswith(_OWN):
            return None
        _, most = tracemalloc.get_traced_memory()
        total += max(0, most - held)
        tracemalloc.reset_peak()
        held, _ = tracemalloc.get_traced_memory()
        return note

    before = sys.gettrace()
    tracemalloc.start()
    sys.settrace(note)
    try:
        function()
    finally:
        sys.settrace(before)
        tracemalloc.stop()
    return total


def left_to_collector(function: Callable[[], object]) -> int:
    """How many objects each call of ``function`` leaves to the garbage collector.

    What the first call imports and compiles does not count, and neither does what other threads leave
    meanwhile: it does not grow with the number of calls.
    """
    calls = 100
    function()
    gc.collect()
    gc.disable()
    try:
        for _ in range(calls):
            function()
        return gc.collect() // calls
    finally:
        gc.enable()
