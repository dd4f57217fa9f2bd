"""What `onplan ask` prints: the answer on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

import click

from onplan.cli.control_characters import harmless
from onplan.cli.talk import colour
from onplan.cli.terminal import is_drawable

if TYPE_CHECKING:
    from onplan.cli.markdown.view import AnswerView
    from onplan.tools.record import RunChunk
    from onplan.types import CompletionResponse, StreamChunk


class Output(Protocol):
    """Where the chunks of an answer go."""

    def shows(self, chunk: StreamChunk | RunChunk) -> bool:
        """Whether ``write`` prints anything for ``chunk``."""
        ...

    def write(self, chunk: StreamChunk | RunChunk) -> None:
        """Print the visible part of ``chunk`` and flush it."""
        ...


class JSONLines:
    """Prints each chunk as a line of JSON."""

    def shows(self, _: StreamChunk | RunChunk) -> bool:
        """It prints all of them."""
        return True

    def write(self, chunk: StreamChunk | RunChunk) -> None:
        """Print ``chunk``."""
        import msgspec

        sys.stdout.buffer.write(msgspec.json.encode(chunk) + b"\n")
        sys.stdout.buffer.flush()


class Writer:
    """Writes text to stdout, thinking (dimmed), calls and refusals to stderr; ends every line that it began.

    On a terminal the text is drawn as Markdown, and no character of the model's is a command there.

    Args:
        text: whether the text is printed.
        thinking: whether the thinking is.
        plain: whether text is printed as it is on a terminal, too.

    Attributes:
        hidden: names of tools whose calls are not shown.
    """

    def __init__(self, *, text: bool, thinking: bool, plain: bool) -> None:
        streams = {"text": (sys.stdout, text), "thinking": (sys.stderr, thinking)}
        self._streams = {kind: stream for kind, (stream, wanted) in streams.items() if wanted}
        self._dims = sys.stderr.isatty() and colour() is None
        self._unfinished: TextIO | None = None
        self._draws = text and not plain and is_drawable(sys.stdout)
        self._view: AnswerView | None = None
        self.hidden: Set[str] = frozenset()

    def shows(self, chunk: StreamChunk | RunChunk) -> bool:
        """Whether ``write`` prints anything for ``chunk``."""
        if chunk.type == "part_done":
            return chunk.part.type == "refusal"
        if chunk.type == "tool_done":
            return chunk.run.call.name not in self.hidden
        return chunk.type in self._streams

    def write(self, chunk: StreamChunk | RunChunk) -> None:
        """Print the visible part of ``chunk`` and flush it."""
        match chunk.type:
            case "text" if "text" in self._streams and self._draws:
                self._draw(chunk.text)
            case "text" | "thinking" if chunk.type in self._streams:
                self._write(self._streams[chunk.type], chunk.text)
            case "part_done" if chunk.part.type == "refusal":
                self.note(chunk.part.text)
            case "tool_done" if self.shows(chunk):
                self.note(result_line(chunk.run))
            case _:
                pass

    def note(self, text: str) -> None:
        """Print lines on stderr, after what was written so far."""
        self.end_line()
        click.echo(harmless(text) if sys.stderr.isatty() else text, err=True)

    def end_line(self) -> None:
        """End what was written so far, so that something else may follow it."""
        if self._view:
            self._view.flush()
        if self._unfinished:
            self._unfinished.write("\n")
            self._unfinished.flush()
            self._unfinished = None

    def _draw(self, text: str) -> None:
        if self._view is None:
            from onplan.cli.markdown.view import AnswerView

            self.end_line()
            self._view = AnswerView(sys.stdout, colour=colour() is None).__enter__()
        elif self._unfinished:
            self.end_line()
        self._view.write(text)

    def _write(self, stream: TextIO, text: str) -> None:
        if stream is not self._unfinished:
            self.end_line()
        shown = harmless(text) if stream.isatty() else text
        stream.write(click.style(shown, dim=True) if stream is sys.stderr and self._dims and text else shown)
        stream.flush()
        self._unfinished = None if text.endswith("\n") else stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._view:
            self._view.__exit__(*error)
            self._view = None
        with suppress(BrokenPipeError):
            self.end_line()


def result_line(run: Any) -> str:
    """A call and what became of it, on a line."""
    content = run.result.content
    if not isinstance(content, str):
        content = " ".join(part.text if part.type == "text" else f"[{part.type}]" for part in content)
    result = " ".join(content.split())
    if len(result) > _LONGEST:
        result = f"{result[:_LONGEST]}…"
    became = "" if run.outcome == "returned" else f" ({run.outcome.replace('_', ' ')})"
    return f"{call_line(run.call)}{became}: {result}"


def call_line(call: Any) -> str:
    """What the model wants called, on a line."""
    return f"{call.name}({' '.join(call.arguments.split())})"


_LONGEST = 200  # characters of a result; the model gets all of it


def print_json(value: Any) -> None:
    """Print ``value`` on one line, or on several to a person."""
    import msgspec

    text = msgspec.json.encode(value)
    if sys.stdout.isatty():
        text = msgspec.json.format(text, indent=2)
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.buffer.flush()


def report(response: CompletionResponse) -> None:
    """Say in a line which parameters the backend did not take. With --json they are in the last chunk."""
    reports = (("left out", response.ignored_parameters), ("adapted", response.emulated_parameters))
    said = [f"{word}: {', '.join(names)}" for word, names in reports if names]
    if said:
        click.echo(
            f"note: the backend does not take everything as it was given ({'; '.join(said)})", err=True
        )


def check(response: CompletionResponse) -> None:
    """Raise an error for an answer that was cut off or refused, after what arrived of it was printed."""
    from onplan.errors import ContentPolicyError, ContextLengthError

    if response.finish_reason == "content_filter":
        raise ContentPolicyError("The model declined to answer, or its answer was filtered.")
    if response.finish_reason == "length":
        raise ContextLengthError(
            "The answer was cut off at the model's output limit.",
            hint="Ask for a shorter answer, or for one part at a time.",
        )
