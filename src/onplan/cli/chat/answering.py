"""Shows the answer of one turn of a chat while it arrives."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from onplan.cli.control_characters import harmless
from onplan.cli.talk import colour
from onplan.cli.terminal import is_watched

if TYPE_CHECKING:
    from onplan.streams import CompletionStream
    from onplan.types import CompletionResponse, StreamChunk


# Bracketed paste: otherwise the next prompt would send each line of a text that is pasted meanwhile.
_MARK_PASTES = "\x1b[?2004h"


class View(Protocol):
    """Where an answer is shown."""

    def write(self, text: str, kind: str = "text") -> None:
        """Show more of the text or of the thinking."""
        ...

    def note(self, text: str) -> None:
        """Show a line that is not part of the answer."""
        ...


class PlainView:
    """Shows an answer as it is, on a terminal that cannot be drawn on."""

    def __init__(self) -> None:
        self._kind = ""
        self._unfinished = False

    def write(self, text: str, kind: str = "text") -> None:
        """Print more of the text or of the thinking."""
        if kind != self._kind:
            self.end_line()
            self._kind = kind
        sys.stdout.write(harmless(text))
        sys.stdout.flush()
        self._unfinished = not text.endswith("\n")

    def note(self, text: str) -> None:
        """Print a line."""
        self.end_line()
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def end_line(self) -> None:
        """End what was written so far, so that something else may follow it."""
        if self._unfinished:
            sys.stdout.write("\n")
            self._unfinished = False


@contextmanager
def answer_view(*, plain: bool, waiting: str = "") -> Iterator[View]:
    """A view of one answer on stdout."""
    if plain or not is_watched():
        view = PlainView()
        try:
            yield view
        finally:
            view.end_line()
            sys.stdout.flush()
        return
    from onplan.cli.markdown.view import AnswerView

    sys.stdout.write(_MARK_PASTES)
    with AnswerView(sys.stdout, colour=colour() is None, waiting=waiting) as drawn:
        yield drawn


def show_answer(stream: CompletionStream, *, thinking: bool, plain: bool) -> CompletionResponse:
    """Read the answer to its end. Raises OnplanError, and KeyboardInterrupt at Ctrl-C."""
    click.echo()
    try:
        with answer_view(plain=plain, waiting="thinking") as view, stream:
            for chunk in stream:
                _show(chunk, view, thinking=thinking)
            return stream.response
    finally:
        click.echo()


def _show(chunk: StreamChunk, view: View, *, thinking: bool) -> None:
    match chunk.type:
        case "text":
            view.write(chunk.text)
        case "thinking" if thinking:
            view.write(chunk.text, "thinking")
        case "part_done" if chunk.part.type == "refusal":
            view.write(chunk.part.text)
        case _:
            pass
