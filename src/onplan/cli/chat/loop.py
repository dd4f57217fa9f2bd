"""The chat: reads what is typed, carries out commands, and asks the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from onplan.cli.chat.answering import answer_view, show_answer
from onplan.cli.chat.attached import Attached, is_file
from onplan.cli.chat.current import CurrentConversation, text_of
from onplan.cli.chat.typed import Command, Dropped, dropped, read
from onplan.cli.control_characters import harmless
from onplan.cli.failures import tell
from onplan.cli.session import Session
from onplan.cli.talk import say
from onplan.errors import ContextLengthError, ConversationFileError, OnplanError
from onplan.types import ContentPart, File, Image, ModelInfo, Role

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.types import CompletionResponse


_FILE_HINT = (
    "`/save PATH` saves a copy, `/new` begins another conversation, and `onplan chat --no-save` keeps none."
)


class Reads(Protocol):
    """Reads what a person types."""

    def read(self, text: str = "") -> str:
        """What is typed, beginning with ``text``; EOFError at the end."""
        ...


class Chat:
    """A chat at a terminal.

    Args:
        session: the options of the command.
        client: asks the model.
        current: the conversation.
        thinking: whether thinking is shown.
        plain: whether answers are shown as they are, without being drawn as Markdown.
    """

    def __init__(
        self, session: Session, client: Client, current: CurrentConversation, *, thinking: bool, plain: bool
    ) -> None:
        self.session, self.client, self.current = session, client, current
        self.plain, self._thinking = plain, thinking
        self.attached = Attached()
        self.draft = ""  # what stands at the next prompt
        self._models: Sequence[ModelInfo] | None = None
        self._noted: set[str] = set()
        self._answered_by: str | None = None

    def run(self, prompt: Reads) -> None:
        """Go on until Ctrl-D or /quit."""
        with suppress(EOFError):
            while True:
                draft, self.draft = self.draft, ""
                try:
                    if not self._handle(prompt.read(draft)):
                        break
                except KeyboardInterrupt:  # Ctrl-C while nothing can be stopped
                    continue

    def _handle(self, typed: str) -> bool:
        """Do what was typed. False ends the chat."""
        from onplan.cli.chat.commands import carry_out

        if not typed.strip() and not self.current.awaits_answer:
            return True
        understood = read(typed, is_file)
        try:
            match understood:
                case Command("quit"):
                    return False
                case Command():
                    carry_out(self, understood)
                case Dropped(paths=paths):
                    for path in paths:
                        self.attach(path)
                case _:
                    self._say(understood.text)
        except OnplanError as error:
            self._tell(error)
        except KeyboardInterrupt:
            say("Stopped.")
        return True

    # --- a turn -------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        parts = self.attached.take()
        said: list[str | ContentPart] | None = [*parts, *([text] if text.strip() else [])]
        before = len(self.current.messages)
        try:
            stream = self.current.stream(said or None)
            response = show_answer(stream, thinking=self._thinking, plain=self.plain)
        except KeyboardInterrupt:
            self._ended_early(text, parts, before, "Stopped")
        except ConversationFileError as error:
            whole = len(self.current.messages) > before
            error.hint = "The answer is written with the next message." if whole else _FILE_HINT
            self._tell(error)
            if not whole:
                self._put_back(text, parts)
        except OnplanError as error:
            if isinstance(error, ContextLengthError):
                error.hint = "`/compact` makes room, and `/new` begins another conversation."
            self._tell(error)
            self._ended_early(text, parts, before, "The answer broke off")
        else:
            self._answered_by = response.model
            self.session.note_limits(self.client, response.limits)
            self._note(response)

    def _tell(self, error: OnplanError) -> None:
        """Say what happened; a chat lists the models with a command of its own."""
        error.hint = error.hint.replace("`onplan models`", "`/model`")
        tell(error, self.session)

    def _ended_early(self, text: str, parts: list[Image | File], before: int, why: str) -> None:
        if len(self.current.messages) > before:
            say(f"{why}. What came of the answer is kept.")
        else:
            self._put_back(text, parts)

    def _put_back(self, text: str, parts: Sequence[Image | File]) -> None:
        """Put a message at the prompt again, with its attachments."""
        self.draft, self.attached.parts = text, [*parts, *self.attached.parts]

    def _note(self, response: CompletionResponse) -> None:
        """Print notes on an answer; parameters that the backend does not take are named once."""
        if response.finish_reason == "length":
            say("The answer was cut off at the model's output limit. Say “go on” for the rest.")
        if response.finish_reason == "content_filter":
            say("The model declined to answer, or its answer was filtered.")
        for names, what in (
            (response.ignored_parameters, "left out"),
            (response.emulated_parameters, "adapted"),
        ):
            new = [name for name in names if name not in self._noted]
            self._noted.update(new)
            if new:
                say(f"The backend does not take everything as it was given ({what}: {', '.join(new)}).")

    # --- what commands and the prompt use -----------------------------------------------------------

    def attach(self, name: str, *, image: bool | None = None) -> None:
        """Attach a file or address to the next message. Raises InvalidRequestError."""
        title = self.attached.add(name, image=image)
        say(f"Attached {title}. It goes with your next message.")

    def attach_pasted(self, text: str) -> str | None:
        """Attach the files whose paths were pasted; their names, to be inserted in their place."""
        found = dropped(text.strip(), is_file)
        if found is None:
            return None
        try:
            return " ".join(f"[{self.attached.add(path)}]" for path in found.paths)
        except OnplanError:
            return None

    def listed(self) -> Sequence[ModelInfo]:
        """The models of the backend, asked once. Raises OnplanError."""
        if self._models is None:
            self._models = self.client.list_models()
        return self._models

    def model(self) -> ModelInfo | None:
        """The model in use, if the backend lists it. Raises OnplanError."""
        wanted = self.current.model or self.session.settings.model
        return next((model for model in self.listed() if wanted in (None, model.id)), None)

    def models(self) -> Sequence[str]:
        """The names of the models, for completion."""
        return _or_none(lambda: [model.id for model in self.listed()])

    def efforts(self) -> Sequence[str]:
        """The efforts of the model in use, for completion."""
        return _or_none(lambda: model.reasoning_efforts if (model := self.model()) else [])

    def summary(self) -> str:
        """The line below the prompt: model, effort, attachments."""
        chosen = self.current.model or self.session.settings.model
        parts = [
            harmless(chosen or self._answered_by or "default model"),
            *filter(None, [self.current.effort]),
        ]
        if attached := str(self.attached):
            parts.append(f"{attached} attached")
        return " · ".join([*parts, "/help"])

    def show_last(self) -> None:
        """Show the end of a conversation that is gone on with: the last message and its answer."""
        messages = self.current.messages
        last = next((message for message in reversed(messages) if message.role is Role.USER), None)
        answer = messages[-1] if messages and messages[-1].role is Role.ASSISTANT else None
        if last:
            say(f"> {harmless(text_of(last.content))}")
        with answer_view(plain=self.plain) as view:
            view.write(answer.text if answer else "")
        if self.current.awaits_answer:
            say("This message has no answer yet. Press Enter to have it answered, or type another one.")

    def put_back(self, parts: Sequence[ContentPart]) -> None:
        """Put what was said at the prompt again."""
        self._put_back(text_of(parts), [part for part in parts if isinstance(part, Image | File)])


def _or_none(look: Callable[[], Any]) -> Sequence[str]:
    try:
        found: Sequence[str] = look()
    except OnplanError:  # not signed in, no network: there is nothing to complete then
        return []
    return found
