"""``onplan chat``: the command and its options."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.chat.line_prompt import LinePrompt
from onplan.cli.kept_conversations import KeptConversations
from onplan.cli.session import Session, pass_session, target_options
from onplan.cli.talk import say
from onplan.cli.terminal import is_watched

if TYPE_CHECKING:
    from onplan.cli.chat.loop import Chat


@click.command()
@click.option("-m", "--model", metavar="ID", help="The model; see `onplan models`.")
@click.option("-s", "--system", metavar="TEXT", help="Instructions for the model (a system message).")
@click.option("-e", "--effort", metavar="LEVEL", help="Reasoning effort: low, medium, high, …")
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the last conversation.")
@click.option("--thinking/--no-thinking", default=True, help="Show the reasoning summary, dimmed.")
@click.option("--plain", is_flag=True, help="Show answers as they are, not as Markdown.")
@click.option("--no-save", is_flag=True, help="Keep neither the conversation nor what is typed.")
@target_options
@pass_session
def chat(
    session: Session,
    model: str | None,
    system: str | None,
    effort: str | None,
    go_on: bool,
    thinking: bool,
    plain: bool,
    no_save: bool,
) -> None:
    """Talk with a model at the terminal.

    Type /help for the commands. Conversations are kept in the configuration folder, readable by you alone.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            "chat needs a terminal. Use `onplan ask`, which reads pipes and writes to them."
        )
    if go_on and system is not None:
        raise click.UsageError("-s begins a conversation, and -c goes on with one: leave out one of them.")
    if drawable := is_watched():
        require_prompt_toolkit()
    from onplan.cli.chat.current import CurrentConversation
    from onplan.cli.chat.loop import Chat

    chosen: dict[str, Any] = {"model": model, "reasoning_effort": effort}
    fields = {name: value for name, value in chosen.items() if value is not None}
    kept = KeptConversations(session.settings)
    keeps = session.keeps_conversations and not no_save
    with session.client() as client:
        current = CurrentConversation(client, kept if keeps else None, system, fields, say)
        talk = Chat(session, client, current, thinking=thinking, plain=plain or session.verbose)
        if go_on:
            current.go_on_in(kept.require_last()) if keeps else current.load(str(kept.require_last()))
            talk.show_last()
        if drawable:
            _run_drawn(talk, session, remember=keeps)
        else:
            talk.run(LinePrompt())


def require_prompt_toolkit() -> None:
    """Raise MissingExtraError if it is not installed."""
    try:
        import prompt_toolkit  # noqa: F401
    except ImportError:
        from onplan.config.installation import missing_extra

        raise missing_extra("chat", "`onplan chat`") from None


def _run_drawn(talk: Chat, session: Session, *, remember: bool) -> None:
    from prompt_toolkit.history import InMemoryHistory

    from onplan.cli.chat.keyboard import quiet_keyboard
    from onplan.cli.chat.prompt import Prompt
    from onplan.cli.chat.typed_lines import TypedLines

    typed = TypedLines(session.settings.home / "chat-history.jsonl") if remember else InMemoryHistory()
    with quiet_keyboard():
        talk.run(Prompt(talk, typed))
