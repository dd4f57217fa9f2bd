"""An answer on a terminal, drawn while it arrives.

Finished blocks are printed once; only the open one is drawn again, at most twenty times a second. So the work
grows with the length of an answer, and not with its square.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console

from onplan.cli.control_characters import harmless
from onplan.cli.markdown.blocks import Block, Blocks
from onplan.cli.markdown.look import Look
from onplan.cli.markdown.region import Region

_PAUSE = 0.05  # seconds between two drawings
_SHARE = 4  # a drawing that takes long is followed by a pause as many times as long
_TURNING = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class AnswerView:
    """Draws Markdown on a terminal. Use it with ``with``; a thread draws meanwhile.

    Args:
        stream: the terminal.
        colour: whether colours may be used.
        waiting: a word that is shown while nothing arrives, such as ``thinking``; empty for none.
    """

    def __init__(self, stream: TextIO, *, colour: bool, waiting: str = "") -> None:
        self._region = Region(stream)
        symbols = _has_symbols(stream)
        self._looks = {
            "text": Look(colour=colour, symbols=symbols),
            "thinking": Look(colour=colour, symbols=symbols, style="dim" if colour else ""),
        }
        self._console = Console(
            file=stream, force_terminal=True, no_color=not colour, highlight=False, markup=False, emoji=False
        )
        self._symbols, self._waiting = symbols, waiting
        self._blocks, self._kind = Blocks(), "text"
        self._finished: list[str] = []
        self._since = time.monotonic()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="onplan-answer", daemon=True)

    def write(self, text: str, kind: str = "text") -> None:
        """Add to the answer, or to its ``thinking``."""
        with self._lock:
            if kind != self._kind:
                self._end_text()
                self._kind = kind
            self._print(self._blocks.feed(harmless(text)))

    def note(self, text: str) -> None:
        """Print a line that is not part of the answer, after what came so far."""
        with self._lock:
            self._end_text()
            self._finished.append(self._drawn([text]))

    def draw(self) -> None:
        """Draw what has arrived, as the thread does by itself."""
        with self._lock:
            self._draw()

    def flush(self) -> None:
        """End the text so far and draw it; what comes next is drawn below."""
        with self._lock:
            self._end_text()
            self._draw(final=True)

    def _end_text(self) -> None:
        self._print(self._blocks.end())

    def _print(self, blocks: Sequence[Block]) -> None:
        if blocks:
            self._finished.append(self._drawn(list(self._looks[self._kind].of(blocks))))

    def _drawn(self, content: Sequence[object]) -> str:
        columns, _ = self._region.size()
        self._console.width = max(columns, 2)
        with self._console.capture() as captured:
            for each in content:
                self._console.print(each, crop=False)
        return captured.get()

    def _keep_drawing(self) -> None:
        pause = _PAUSE
        while not self._stop.wait(pause):
            begin = time.monotonic()
            try:
                self.draw()
            except OSError:  # the terminal is gone, as who writes the answer will find
                return
            pause = max(_PAUSE, _SHARE * (time.monotonic() - begin))

    def _draw(self, *, final: bool = False) -> None:
        finished, self._finished = "".join(self._finished), []
        lines: list[str] = []
        if not final:
            if blocks := self._blocks.open():
                lines = self._drawn(list(self._looks[self._kind].of(blocks))).removesuffix("\n").split("\n")
            elif self._waiting:
                lines = [self._drawn([self._turning()]).removesuffix("\n")]
        self._region.draw(finished, lines)

    def _turning(self) -> str:
        seconds = time.monotonic() - self._since
        mark = _TURNING[int(seconds * 10) % len(_TURNING)] if self._symbols else "-\\|/"[int(seconds * 4) % 4]
        return f"{mark} {self._waiting}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.flush()


def _has_symbols(stream: TextIO) -> bool:
    try:
        f"{_TURNING}•│".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
