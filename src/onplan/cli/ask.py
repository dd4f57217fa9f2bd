"""``onplan ask``: sends a prompt and prints the answer as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.cli.ask_output import Output, Writer
    from onplan.cli.terminal import Spinner
    from onplan.client import Client
    from onplan.conversation.conversations import Conversation
    from onplan.types import CompletionResponse, Done, Message


@click.command()
@click.argument("prompt", required=False)
@click.argument("stdin", required=False, metavar="[-]", type=click.Choice(["-"]))
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
@click.option(
    "-o", "--output", metavar="FILE", help="Keep the answer in FILE, too: its images, or else its text."
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--search", is_flag=True, help="Have the model search the web, and list what it cites.")
@click.option(
    "--tool",
    "tools",
    metavar="FILE.py:NAME",
    multiple=True,
    help="Let the model call a function; repeatable.",
)
@click.option("-y", "--yes", is_flag=True, help="Call functions without asking.")
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the last conversation.")
@click.option("--no-save", is_flag=True, help="Do not keep the conversation.")
@click.option("--plain", is_flag=True, help="At a terminal, print the answer as it is, not as Markdown.")
@click.option("--thinking", is_flag=True, help="Show the reasoning summary on stderr.")
@target_options
@json_option
@pass_session
def ask(session: Session, /, **given: Any) -> None:
    """Ask a model; the answer streams to stdout.

    PROMPT is the question. What a pipe or file has on stdin stands below it, or is the question; with "-", a
    silent pipe is waited for. With --json, each line is one chunk of the stream. With --schema, the JSON is
    printed at the end. The conversation is kept, so that -c can go on with it. With an --output such as
    fox.png, the model may draw.
    """
    from onplan.cli.ask_output import check, print_json, report

    question = Question(**given)
    asking = _Asking(session, question)
    response = asking.answer()
    if not session.as_json:
        report(response)
    if question.search and not session.as_json:
        from onplan.cli.search import print_citations

        print_citations(response.citations)
    asking.file.keep(response)
    check(response)
    if question.schema is not None:
        value = response.parsed  # raises OutputError
        if not session.as_json:
            print_json(value)


@dataclass(frozen=True)
class Question:
    """The arguments of the command.

    Attributes:
        stdin: ``-`` after the prompt.
        output: the file to keep the answer in.
        force: whether it may be overwritten.
        tools: as ``FILE.py:NAME``.
        yes: whether they are called unasked.
        go_on: whether the last conversation goes on.
        no_save: whether the conversation is not kept.
    """

    prompt: str | None
    stdin: str | None
    model: str | None
    system: str | None
    effort: str | None
    images: tuple[str, ...]
    files: tuple[str, ...]
    schema: str | None
    output: str | None
    force: bool
    search: bool
    tools: tuple[str, ...]
    yes: bool
    go_on: bool
    no_save: bool
    plain: bool
    thinking: bool

    def __post_init__(self) -> None:
        if self.go_on and self.system is not None:
            raise click.UsageError(
                "-s begins a conversation, and -c goes on with one: leave out one of them."
            )

    @cached_property
    def chosen(self) -> dict[str, Any]:
        """The model and the effort, if they were given."""
        chosen = {"model": self.model, "reasoning_effort": self.effort}
        return {name: value for name, value in chosen.items() if value is not None}

    def message(self) -> Message:
        """What is said. Raises UsageError."""
        from onplan.cli.ask_input import attachments, read_prompt
        from onplan.types import Message

        prompt = read_prompt(self.prompt, wait=self.stdin is not None)
        return Message.user(prompt, *attachments(self.images, self.files))


class _Asking:
    """One question and its answer.

    Attributes:
        file: where the answer is kept besides.
    """

    def __init__(self, session: Session, question: Question) -> None:
        from onplan.cli.answer_file import AnswerFile
        from onplan.cli.ask_input import read_schema
        from onplan.cli.ask_tools import load_tools, require_terminal

        self._session, self._question = session, question
        self.file = AnswerFile(question.output, force=question.force)
        self._tools: list[Callable[..., Any]] = load_tools(question.tools)
        if self._tools and not question.yes:
            require_terminal()
        self._fields: dict[str, Any] = {"response_format": read_schema(question.schema)}
        self._keeps = session.keeps_conversations and not question.no_save
        self._message = question.message()

    def answer(self) -> CompletionResponse:
        """Print the answer while it arrives, keep the conversation, and return the response."""
        from onplan.cli.ask_output import Writer
        from onplan.cli.terminal import Spinner

        question = self._question
        with (
            self._session.client() as client,
            Writer(
                text=question.schema is None,
                thinking=question.thinking,
                plain=question.plain or self._session.verbose,  # log lines would break up the drawing
            ) as writer,
            Spinner("thinking", wanted=not self._session.verbose) as spinner,
        ):
            talk = self._conversation(client)
            try:
                response = self._read(client, talk, writer, spinner)
            finally:
                spinner.stop()
                self._keep(talk)
            self._session.note_limits(client, response.limits)
        return response

    def _read(
        self, client: Client, talk: Conversation, writer: Writer, spinner: Spinner
    ) -> CompletionResponse:
        """Read the answer; a spinner turns until something is printed, which it would erase."""
        from onplan.cli.ask_output import JSONLines
        from onplan.errors import InvalidRequestError, OnplanError

        output: Output = JSONLines() if self._session.as_json else writer
        with closing(self._chunks(client, talk, writer, spinner)) as chunks:
            try:
                for chunk in chunks:
                    if output.shows(chunk):
                        spinner.stop()
                    output.write(chunk)
            except OnplanError as error:
                self.file.rescue(error)
                if isinstance(error, InvalidRequestError):
                    error.hint = self._other_efforts(client) or error.hint
                raise
        return cast("Done", chunk).response  # the last chunk is always Done

    def _chunks(self, client: Client, talk: Conversation, writer: Writer, spinner: Spinner) -> Any:
        """The chunks of the answer, or of a run where the model may call functions."""
        from onplan.cli.ask_tools import Approval
        from onplan.cli.search import tool_for
        from onplan.client_parts import settings_of
        from onplan.types import HostedTool, ToolChoice

        tools: list[Any] = [*self._tools, *(drawing := self.file.tools(client))]
        if self._question.search:
            # A model that is made to use the hosted search answers then, and draws nothing.
            search = client.search.tool() if drawing else tool_for(client, settings_of(talk).model)
            tools.append(search)
            self._fields["tool_choice"] = ToolChoice(search.name)
            if not isinstance(search, HostedTool):
                writer.hidden = {search.name}
        if all(isinstance(tool, HostedTool) for tool in tools):
            return talk.stream([self._message], tools=tools or None, **self._fields)

        def ready() -> None:
            spinner.stop()
            writer.end_line()

        approve = Approval(ready, unasked=writer.hidden) if self._tools and not self._question.yes else None
        return talk.run_stream([self._message], tools=tools, approve=approve, **self._fields)

    def _other_efforts(self, client: Client) -> str | None:
        """A hint that lists the model's efforts, if the catalogue has them and lacks the one asked for."""
        from onplan.errors import OnplanError

        question = self._question
        if not question.effort:
            return None
        try:
            listed = client.list_models()
        except OnplanError:
            return None
        wanted = question.model or self._session.settings.model or listed[0].id
        known = next((model.reasoning_efforts for model in listed if model.id == wanted), [])
        if not known or question.effort in known:
            return None
        return f"Use one of: {', '.join(f'`--effort {effort}`' for effort in known)}."

    # --- the conversation ---------------------------------------------------------------------------

    def _conversation(self, client: Client) -> Conversation:
        """A new one, or the last one, whose file is written while it goes on."""
        from onplan.cli.ask_input import read_system
        from onplan.cli.kept_conversations import KeptConversations, warnings_told

        question = self._question
        if not question.go_on:
            system = read_system(question.system)
            return client.conversation(system, keep_partial=True, **question.chosen)
        path = KeptConversations(self._session.settings).require_last()
        conversation = client.conversation
        with warnings_told(say):
            return (conversation.open if self._keeps else conversation.load)(
                path, keep_partial=True, **question.chosen
            )

    def _keep(self, talk: Conversation) -> None:
        """Keep a new conversation, if there is something to go on with."""
        from onplan.cli.kept_conversations import KeptConversations
        from onplan.errors import OnplanError

        answered = any(message.role == "assistant" for message in talk.messages)
        if self._question.go_on or not self._keeps or not answered:
            return
        try:
            kept = KeptConversations(self._session.settings)
            talk.save(kept.new(asked=True))
            kept.forget_old()
        except OnplanError as error:
            if not self._session.as_json:
                say(f"The conversation is not kept: {error} (`--no-save` keeps none.)")
