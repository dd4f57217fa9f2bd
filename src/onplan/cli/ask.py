"""``onplan ask``: sends a prompt and prints the answer as it arrives."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO, cast

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import colour

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.tools.record import RunChunk
    from onplan.types import CompletionRequest, CompletionResponse, Done, StreamChunk


@click.command()
@click.argument("prompt", required=False)
@click.option("-m", "--model", metavar="ID", help="The model; see `onplan models`.")
@click.option("-s", "--system", metavar="TEXT", help="Instructions for the model (a system message).")
@click.option("-e", "--effort", metavar="LEVEL", help="Reasoning effort: low, medium, high, …")
@click.option(
    "-i", "--image", "images", metavar="PATH|URL", multiple=True, help="Attach an image; repeatable."
)
@click.option("-f", "--file", "files", metavar="PATH|URL", multiple=True, help="Attach a file; repeatable.")
@click.option(
    "--schema",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="A JSON schema: print the JSON that it describes.",
)
@click.option("--search", is_flag=True, help="Have the model search the web, and list what it cites.")
@click.option("--thinking", is_flag=True, help="Show the reasoning summary on stderr.")
@target_options
@json_option
@pass_session
def ask(
    session: Session,
    prompt: str | None,
    model: str | None,
    system: str | None,
    effort: str | None,
    images: tuple[str, ...],
    files: tuple[str, ...],
    schema: str | None,
    search: bool,
    thinking: bool,
) -> None:
    """Ask a model; the answer streams to stdout.

    PROMPT is the question. Without it, or with "-", the question is read from stdin.
    With --json, each line is one chunk of the stream. With --schema, the JSON is printed at the end.
    """
    from onplan.types import CompletionRequest, File, Image, Message

    content: list[Image | File] = [
        *(Image(url=name) if _is_url(name) else Image(path=name) for name in images),
        *(File(url=name) if _is_url(name) else File(path=name) for name in files),
    ]
    messages = [Message.system(_utf8(system))] if system else []
    messages.append(Message.user(_read_prompt(prompt), *content))
    request = CompletionRequest(
        messages=messages, model=model, reasoning_effort=effort, response_format=_read_schema(schema)
    )
    if session.as_json:
        response = _answer(session, request, _write_json, lambda chunk: True, search=search)
    else:
        with _Writer(text=schema is None, thinking=thinking) as writer:
            response = _answer(session, request, writer.write, writer.shows, search=search)
        _report(response)
        if search:
            from onplan.cli.search import print_citations

            print_citations(response.citations)
    _check(response)
    if schema is not None:
        value = response.parsed  # raises OutputError
        if not session.as_json:
            _print_json(value)


def _is_url(name: str) -> bool:
    return name.startswith(("https://", "http://", "data:"))


def _read_schema(name: str | None) -> dict[str, Any] | None:
    """The JSON schema in the file ``name``."""
    import msgspec

    if name is None:
        return None
    try:
        return msgspec.json.decode(Path(name).read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise click.BadParameter(f"{name} cannot be read: {error.strerror}.", param_hint="--schema") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.BadParameter(f"{name} is not a JSON schema: {error}.", param_hint="--schema") from None


def _print_json(value: Any) -> None:
    """Print ``value`` on one line, or on several to a person."""
    import msgspec

    text = msgspec.json.encode(value)
    if sys.stdout.isatty():
        text = msgspec.json.format(text, indent=2)
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.buffer.flush()


def _read_prompt(prompt: str | None) -> str:
    if prompt is None or prompt == "-":
        if sys.stdin.isatty() and prompt is None:
            raise click.UsageError('Give a prompt: onplan ask "…", or pipe one in.')
        prompt = _text(sys.stdin.buffer.read()).rstrip("\r\n")
    if not prompt.strip():
        raise click.UsageError("The prompt is empty.")
    return _utf8(prompt)


def _text(data: bytes) -> str:
    """The text of ``data`` from a pipe. PowerShell begins it with a byte order mark, or writes UTF-16."""
    from onplan.config.file_reading import as_utf8

    with suppress(UnicodeError):
        data = as_utf8(data)
    return data.decode("utf-8", "replace")


def _utf8(argument: str) -> str:
    """The argument decoded as UTF-8, as stdin is, whatever the locale's encoding."""
    return os.fsencode(argument).decode("utf-8", "replace")


def _answer(
    session: Session,
    request: CompletionRequest,
    write: Callable[[Any], None],
    shows: Callable[[Any], bool],
    *,
    search: bool,
) -> CompletionResponse:
    """Pass each chunk of the answer to ``write`` and return the response.

    A spinner turns until ``write`` is about to show something, which it would erase.
    """
    from onplan.cli.terminal import Spinner
    from onplan.errors import InvalidRequestError

    with (
        session.client() as client,
        Spinner("thinking", wanted=not session.verbose) as spinner,
        closing(_chunks(client, request, search=search)) as chunks,
    ):
        try:
            for chunk in chunks:
                if shows(chunk):
                    spinner.stop()
                write(chunk)
        except InvalidRequestError as error:
            error.hint = _other_efforts(session, client, request) or error.hint
            raise
        response = cast("Done", chunk).response  # the last chunk is always Done
        session.note_limits(client, response.limits)
    return response


def _chunks(client: Client, request: CompletionRequest, *, search: bool) -> Generator[StreamChunk | RunChunk]:
    if not search:
        return client.complete_stream(request)
    from onplan.cli.search import searching

    return searching(client, request)


def _other_efforts(session: Session, client: Client, request: CompletionRequest) -> str | None:
    """A hint that lists the model's efforts, if the catalogue has them and lacks the one asked for."""
    from onplan.errors import OnplanError

    if not request.reasoning_effort:
        return None
    try:
        listed = client.list_models()
    except OnplanError:
        return None
    wanted = request.model or session.settings.model or listed[0].id
    known = next((model.reasoning_efforts for model in listed if model.id == wanted), [])
    if not known or request.reasoning_effort in known:
        return None
    return f"Use one of: {', '.join(f'`--effort {effort}`' for effort in known)}."


def _write_json(chunk: StreamChunk) -> None:
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(chunk) + b"\n")
    sys.stdout.buffer.flush()


class _Writer:
    """Writes text to stdout, thinking (dimmed) and refusals to stderr, and ends every line that it began."""

    def __init__(self, *, text: bool, thinking: bool) -> None:
        streams = {"text": (sys.stdout, text), "thinking": (sys.stderr, thinking)}
        self._streams = {kind: stream for kind, (stream, wanted) in streams.items() if wanted}
        self._dims = sys.stderr.isatty() and colour() is None
        self._unfinished: TextIO | None = None

    def shows(self, chunk: StreamChunk) -> bool:
        """Whether ``write`` prints anything for ``chunk``."""
        return chunk.type in self._streams or (chunk.type == "part_done" and chunk.part.type == "refusal")

    def write(self, chunk: StreamChunk) -> None:
        """Print the visible part of ``chunk`` and flush it."""
        stream = self._streams.get(chunk.type)
        if stream is not None and chunk.type in ("text", "thinking"):
            if stream is not self._unfinished:
                self._end_line()
            stream.write(self._dimmed(chunk.text) if stream is sys.stderr else chunk.text)
            stream.flush()
            self._unfinished = None if chunk.text.endswith("\n") else stream
        elif chunk.type == "part_done" and chunk.part.type == "refusal":
            click.echo(chunk.part.text, err=True)

    def _dimmed(self, text: str) -> str:
        return click.style(text, dim=True) if self._dims and text else text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(BrokenPipeError):
            self._end_line()

    def _end_line(self) -> None:
        if self._unfinished:
            self._unfinished.write("\n")
            self._unfinished.flush()
            self._unfinished = None


def _report(response: CompletionResponse) -> None:
    """Say in a line which parameters the backend did not take. With --json they are in the last chunk."""
    reports = (("left out", response.ignored_parameters), ("adapted", response.emulated_parameters))
    said = [f"{word}: {', '.join(names)}" for word, names in reports if names]
    if said:
        click.echo(
            f"note: the backend does not take everything as it was given ({'; '.join(said)})", err=True
        )


def _check(response: CompletionResponse) -> None:
    """Raise an error for an answer that was cut off or refused, after what arrived of it was printed."""
    from onplan.errors import ContentPolicyError, ContextLengthError

    if response.finish_reason == "content_filter":
        raise ContentPolicyError("The model declined to answer, or its answer was filtered.")
    if response.finish_reason == "length":
        raise ContextLengthError(
            "The answer was cut off at the model's output limit.",
            hint="Ask for a shorter answer, or for one part at a time.",
        )
