"""The line where a person types: keys, completion and history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.styles import Style

from onplan.cli.chat.typed import COMMANDS

_STYLE = Style([("bottom-toolbar", "noreverse dim"), ("prompt", "bold")])


class Hints(Protocol):
    """What the prompt asks the chat."""

    def models(self) -> Sequence[str]:
        """The names of the models."""
        ...

    def efforts(self) -> Sequence[str]:
        """The efforts of the model in use."""
        ...

    def summary(self) -> str:
        """What stands below the prompt."""
        ...

    def attach_pasted(self, text: str) -> str | None:
        """Attach the files that pasted ``text`` names. Gives what to insert instead; None without files."""
        ...


class Prompt:
    """Reads what is typed.

    Args:
        hints: the chat.
        history: what was typed before.
    """

    def __init__(self, hints: Hints, history: History) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=history,
            completer=_Completer(hints),
            complete_while_typing=False,
            complete_in_thread=True,
            key_bindings=_keys(hints.attach_pasted),
            multiline=True,
            prompt_continuation="  ",
            bottom_toolbar=lambda: _toolbar(hints.summary()),
            style=_STYLE,
            enable_open_in_editor=True,
            enable_suspend=True,
        )

    def read(self, text: str = "") -> str:
        """What is typed next; it begins with ``text``. Raises EOFError when Ctrl-D was typed."""
        return self._session.prompt("> ", default=text)


def _toolbar(summary: str) -> StyleAndTextTuples:
    return [("", summary)]


def _keys(attach_pasted: Callable[[str], str | None]) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # Enter takes what is chosen in the list
        elif buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-c")
    def clear(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    @keys.add(Keys.BracketedPaste)
    def paste(event: KeyPressEvent) -> None:
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        event.current_buffer.insert_text(attach_pasted(text) or text)

    return keys


class _Completer(Completer):
    """Commands, and their arguments: models, efforts and paths."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What the text before the cursor may go on with."""
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            for command in COMMANDS:
                if command.startswith(name):
                    yield Completion(f"/{command}", -len(text), display_meta=COMMANDS[command][1])
        elif name in ("image", "file", "save", "load"):
            yield from self._paths.get_completions(Document(argument), complete_event)
        elif name in ("model", "effort"):
            for word in self._hints.models() if name == "model" else self._hints.efforts():
                if word.startswith(argument):
                    yield Completion(word, -len(argument))
