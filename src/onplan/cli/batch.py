"""``onplan batch``: answers a file of requests in OpenAI's batch format; goes on where it was killed."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.batches.batch_lines import BatchRequest, Earlier
    from onplan.batches.schedule import MapResult
    from onplan.errors import OnplanError
    from onplan.types import CompletionRequest

_PATH = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("requests", metavar="IN.jsonl", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("output", metavar="OUT.jsonl", type=_PATH)
@click.option("-m", "--model", metavar="ID", help="Ask this model, whatever the requests name.")
@click.option(
    "-c",
    "--concurrency",
    metavar="N",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="How many requests are asked at once.",
)
@click.option("-w", "--wait", is_flag=True, help="At the usage limit, wait until it resets and go on.")
@target_options
@json_option
@pass_session
def batch(
    session: Session, requests: Path, output: Path, model: str | None, concurrency: int, wait: bool
) -> None:
    """Answer a file of requests, in OpenAI's batch format.

    Each line of the one file is a request, to /v1/chat/completions or /v1/responses, and each of the other
    its answer. Run the same command again after it was interrupted: what OUT.jsonl has an answer to is not
    asked again.
    """
    _refuse_stdout(output)
    with _locked(output):
        work = _Work(requests, output, model)
        _ask_all(session, work, concurrency, wait=wait)
    _report(session, work)


def _refuse_stdout(output: Path) -> None:
    from onplan.errors import ConfigurationError

    if str(output) == "-":
        raise ConfigurationError(
            "The answers cannot go to stdout: the file that has them tells the next run what is left to ask.",
            hint="Name a file for them, such as `answers.jsonl`.",
        )


def _locked(output: Path) -> Any:
    from filelock import FileLock, Timeout

    from onplan.errors import ConfigurationError

    lock = FileLock(output.with_name(f".{output.name}.lock"), timeout=0)
    try:
        return lock.acquire()
    except Timeout:
        raise ConfigurationError(
            f"Another `onplan batch` is writing {output}.",
            hint="Wait until it has ended, or name another file.",
        ) from None


class _Work:
    """What is to be done, and what became of it.

    Attributes:
        total: how many requests the input has.
        before: how many of them an earlier run has answered.
        answered: how many were answered now.
        failed: the errors of others that were asked, by their code.
        ended: why requests have no line: a usage limit, or a problem with the sign-in.
        ignored: parameters that were left out, and of how many requests.
    """

    def __init__(self, requests: Path, output: Path, model: str | None) -> None:
        self.requests, self.output, self.model = requests, output, model
        self.earlier = self._read_earlier()
        names = [request.custom_id for request in self._read()]
        self.total, self.before = len(names), sum(name in self.earlier.answered for name in names)
        self.answered, self.failed = 0, Counter[str]()
        self.first: OnplanError | None = None
        self.ended: OnplanError | None = None
        self.ignored, self.tokens = Counter[str](), 0
        self._asked: dict[int, BatchRequest] = {}

    def _read_earlier(self) -> Earlier:
        from onplan.batches.batch_lines import Earlier, read_output

        if not self.output.exists():
            return Earlier()
        if self.output.samefile(self.requests):
            raise click.UsageError("IN.jsonl and OUT.jsonl are the same file.")
        with self.output.open("rb") as lines:
            return read_output(lines)

    def _read(self) -> Iterator[BatchRequest]:
        from onplan.batches.batch_lines import read_requests

        with self.requests.open("rb") as lines:
            yield from read_requests(lines)

    def open_output(self) -> IO[bytes]:
        """The output file, to be added to. What is not kept of it goes first, in one step."""
        if not self.earlier.is_clean:
            renewed = self.output.with_name(f".{self.output.name}.new")
            with renewed.open("wb") as file:
                file.writelines(self.earlier.kept)
                file.flush()
                os.fsync(file.fileno())
            renewed.replace(self.output)
        self.earlier.kept.clear()
        return self.output.open("ab")

    def to_ask(self, write: IO[bytes]) -> Iterator[CompletionRequest]:
        """The requests that have no answer; those that cannot be sent get their line at once."""
        import msgspec

        from onplan.errors import InvalidRequestError

        index = 0
        for request in self._read():
            if request.custom_id in self.earlier.answered:
                continue
            try:
                parsed, ignored = request.completion_request()
            except InvalidRequestError as error:
                self._fail(request, error, write)
                continue
            self.ignored.update(ignored)
            self._asked[index] = request
            index += 1
            yield msgspec.structs.replace(parsed, model=self.model) if self.model else parsed

    def note(self, result: MapResult[CompletionRequest], write: IO[bytes]) -> None:
        """Write the line of a result, whole."""
        from onplan.batches.batch_lines import answered_line
        from onplan.errors import ConfigurationError, CredentialError, UsageLimitError

        request = self._asked.pop(result.index)
        if result.response:
            self.answered += 1
            self.tokens += result.response.usage.total_tokens
            self.ignored.update(result.response.ignored_parameters)
            line = answered_line(request, result.response, line_id=_line_id(), created=int(time.time()))
            _write(write, line)
        elif isinstance(result.error, ConfigurationError | CredentialError | UsageLimitError):
            self.ended = self.ended or result.error  # which is not about this request
        elif result.error:
            self._fail(request, result.error, write)

    def _fail(self, request: BatchRequest, error: OnplanError, write: IO[bytes]) -> None:
        from onplan.batches.batch_lines import failed_line

        self.failed[error.code] += 1
        self.first = self.first or error
        _write(write, failed_line(request, error, line_id=_line_id()))

    @property
    def done(self) -> int:
        """How many requests have a line."""
        return self.before + self.answered + self.failed.total()

    def summary(self) -> dict[str, Any]:
        """The numbers, for ``--json``."""
        failed = self.failed.total()
        return {
            "requests": self.total,
            "answered": self.before + self.answered,
            "answered_now": self.answered,
            "failed": failed,
            "not_asked": self.total - self.done,
            "errors": dict(self.failed),
            "ignored_parameters": dict(self.ignored),
            "total_tokens": self.tokens,
            "output": str(self.output),
        }


def _line_id() -> str:
    return f"batch_req_{os.urandom(12).hex()}"


def _write(file: IO[bytes], line: bytes) -> None:
    file.write(line)
    file.flush()


def _ask_all(session: Session, work: _Work, concurrency: int, *, wait: bool) -> None:
    from onplan.cli.terminal import Progress

    with (
        work.open_output() as file,
        Progress(work.total, work.before, wanted=not session.verbose) as progress,
        session.client(on_retry=_Waits(progress).tell) as client,
        closing(
            client.map(
                work.to_ask(file),
                concurrency=concurrency,
                ordered=False,
                on_limit="wait" if wait else "stop",
            )
        ) as results,
    ):
        for result in results:
            work.note(result, file)
            progress.show(work.done)


class _Waits:
    """Tells a person why it takes so long, once for each limit."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._told: float | None = None

    def tell(self, error: OnplanError, seconds: float) -> None:
        from onplan.errors import LimitError

        if isinstance(error, LimitError) and error.resets_at and error.resets_at != self._told:
            self._told = error.resets_at
            self._progress.say(f"{error} Waiting.")


def _report(session: Session, work: _Work) -> None:
    """The numbers; then, if requests are left without an answer, why, as the error of the command."""
    summary = work.summary()
    if session.as_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        words = [f"{summary['answered']} of {work.total} requests are answered"]
        words += [f"{work.before} of them before"] if work.before else []
        words += [f"{summary['failed']} failed"] if work.failed else []
        words += [f"{summary['not_asked']} were not asked"] if summary["not_asked"] else []
        say(f"{', '.join(words)}: {work.output}")
        if work.ignored:
            names = ", ".join(f"{name} ({count})" for name, count in work.ignored.items())
            say(f"Left out, since the backend does not take it: {names}.")
    if error := work.ended or work.first:
        from onplan.errors import UsageLimitError

        if isinstance(work.ended, UsageLimitError):
            error.hint = f"{error.hint} The same command goes on then; with `--wait` it waits."
        raise error
