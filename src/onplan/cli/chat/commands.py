"""The commands of a chat, such as ``/undo``, and what each of them does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from onplan.attachments import expanded
from onplan.cli.chat.typed import COMMANDS, Command, unquoted
from onplan.cli.control_characters import harmless
from onplan.cli.talk import broken, colour, say, width_of
from onplan.errors import InvalidRequestError

if TYPE_CHECKING:
    from onplan.cli.chat.loop import Chat


def carry_out(chat: Chat, command: Command) -> None:
    """Do what a command says. Raises OnplanError."""
    do = _BY_NAME.get(command.name)
    if do is None:
        near = get_close_matches(command.name, COMMANDS, 1)
        raise InvalidRequestError(
            f"There is no command /{command.name}.",
            hint=(f"Did you mean `/{near[0]}`? " if near else "")
            + "`/help` lists them. A message that begins with a slash is typed with two.",
        )
    argument = unquoted(command.argument)
    wanted = COMMANDS[command.name][0]
    if wanted in _NEEDED and not argument:
        raise InvalidRequestError(
            f"/{command.name} needs {_NEEDED[wanted]}.", hint=f"Type `/{command.name} {wanted}`."
        )
    do(chat, argument)


_NEEDED = {"PATH": "a path", "PATH|URL": "a path or an address"}


def _image(chat: Chat, argument: str) -> None:
    chat.attach(argument, image=True)


def _file(chat: Chat, argument: str) -> None:
    chat.attach(argument, image=False)


def _detach(chat: Chat, _: str) -> None:
    chat.attached.take()


def _model(chat: Chat, argument: str) -> None:
    if not argument:
        now = chat.model()
        for model in chat.listed():
            click.echo(f"{'*' if model is now else ' '} {harmless(model.id)}")
        return
    chat.current.use(model=argument)
    if argument not in chat.models():
        say(f"{argument} is not in the list of models; it is asked all the same.")


def _effort(chat: Chat, argument: str) -> None:
    efforts = chat.efforts()
    if not argument:
        for effort in efforts:
            click.echo(f"{'*' if effort == chat.current.effort else ' '} {effort}")
        if not efforts:
            say("The efforts of this model are not known.")
        return
    if efforts and argument not in efforts:
        raise InvalidRequestError(
            f"The model has no effort {argument}.", hint=f"It has: {', '.join(efforts)}."
        )
    chat.current.use(reasoning_effort=argument)


def _usage(chat: Chat, _: str) -> None:
    from onplan.cli.usage import read_view, screen_of_stdout
    from onplan.cli.usage_view import lines

    view = read_view(chat.session, chat.client)
    click.echo("\n".join(lines(view, screen_of_stdout())), color=colour())


def _undo(chat: Chat, _: str) -> None:
    chat.put_back(chat.current.undo())
    say("Taken back. What you said is at the prompt again.")


def _compact(chat: Chat, _: str) -> None:
    from onplan.cli.chat.answering import answer_view

    with answer_view(plain=chat.plain, waiting="compacting"):
        usage = chat.current.compact()
    say(f"The conversation is compacted, which took {usage.total_tokens:,} tokens.")


def _new(chat: Chat, _: str) -> None:
    chat.current.begin_another()
    say("The next message begins another conversation.")


def _save(chat: Chat, argument: str) -> None:
    path = expanded(argument)
    chat.current.save(path)
    say(f"Saved in {path}.")


def _load(chat: Chat, argument: str) -> None:
    chat.current.load(expanded(argument))
    chat.show_last()


def _help(chat: Chat, _: str) -> None:
    rows = [(f"/{name} {argument}".rstrip(), text) for name, (argument, text) in COMMANDS.items()]
    indent = max(len(usage) for usage, _ in rows) + 2
    screen = width_of(sys.stdout) or 80
    for usage, text in rows:
        lines = broken(text, max(screen - indent, _NARROWEST))
        click.echo(f"{usage:<{indent}}" + f"\n{' ' * indent}".join(lines))
    click.echo("\n".join(["", *broken(_KEYS, max(screen, _NARROWEST))]))


_NARROWEST = 20  # columns; words are not broken to fit in fewer
_KEYS = (
    "Enter sends, Alt-Enter or a backslash at the end begins another line. Ctrl-C stops an answer or clears "
    "the prompt, the arrow keys bring back what was typed, Tab completes. Files that are dragged or pasted "
    "here are attached."
)


_BY_NAME: Mapping[str, Callable[[Chat, str], None]] = MappingProxyType(
    {
        "image": _image,
        "file": _file,
        "detach": _detach,
        "model": _model,
        "effort": _effort,
        "usage": _usage,
        "undo": _undo,
        "compact": _compact,
        "new": _new,
        "save": _save,
        "load": _load,
        "help": _help,
    }
)
