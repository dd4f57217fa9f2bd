"""The conversation of a chat: begins it, continues it, saves it to its file, and changes its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onplan.cli.kept_conversations import KeptConversations, warnings_told
from onplan.client_parts import settings_of
from onplan.conversation.saved_file import require_replaceable
from onplan.errors import InvalidRequestError
from onplan.types import ContentPart, Message, Role, Text, ToolResult, Usage

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.conversation.conversations import Conversation
    from onplan.streams import CompletionStream


class CurrentConversation:
    """The conversation of a chat. Its file is made with the first message.

    Args:
        client: asks the model.
        kept: where conversations are kept; None if they are not.
        system: instructions for the model, in new conversations.
        fields: of requests: ``model`` and ``reasoning_effort``, if they were chosen.
        tell: shows a warning to the person.
    """

    def __init__(
        self,
        client: Client,
        kept: KeptConversations | None,
        system: str | None,
        fields: dict[str, Any],
        tell: Callable[[str], object],
    ) -> None:
        self._client, self._kept, self._system, self._tell = client, kept, system, tell
        self.fields = fields
        self._talk: Conversation | None = None
        self._path: Path | None = None

    @property
    def model(self) -> str | None:
        """The model that was chosen, now or when the conversation began."""
        return self.fields.get("model") or (settings_of(self._talk).model if self._talk else None)

    @property
    def effort(self) -> str | None:
        """The effort that was chosen, now or when the conversation began."""
        own = settings_of(self._talk).reasoning_effort if self._talk else None
        return self.fields.get("reasoning_effort") or own

    @property
    def messages(self) -> Sequence[Message]:
        """What was said so far."""
        return self._talk.messages if self._talk else []

    @property
    def awaits_answer(self) -> bool:
        """Whether the last message was not answered, as after the program was killed."""
        return bool(self._talk and self._talk.awaits_answer)

    def stream(self, said: list[str | ContentPart] | None) -> CompletionStream:
        """Say something, or, if ``said`` is None, have the last message answered. Raises OnplanError."""
        if self._talk is None:
            self._begin()
        assert self._talk is not None  # noqa: S101 - begun above
        return self._talk.stream(said, **self.fields)

    def _begin(self) -> None:
        conversation = self._client.conversation
        if self._kept is None:
            self._talk = conversation(self._system, keep_partial=True, **self.fields)
            return
        self._path = self._kept.new(asked=False)
        self._talk = conversation.open(
            self._path, self._system, keep_partial=True, attachments="inside", **self.fields
        )

    def begin_another(self) -> None:
        """Leave this conversation; the next message begins another one."""
        self._talk = self._path = None

    def go_on_in(self, path: Path) -> None:
        """Go on with the conversation in a file, which is kept up to date. Raises ConversationFileError."""
        with warnings_told(self._tell):
            self._talk = self._client.conversation.open(
                path, keep_partial=True, attachments="inside", **self.fields
            )
        self._path = path

    def load(self, path: str | Path) -> None:
        """Go on with a copy of the conversation in a file. Raises ConversationFileError."""
        with warnings_told(self._tell):
            loaded = self._client.conversation.load(path, keep_partial=True, **self.fields)
        if self._kept is None:
            self._talk, self._path = loaded, None
            return
        copy = self._kept.new(asked=False)
        loaded.save(copy, attachments="inside")
        self.go_on_in(copy)

    def save(self, path: Path) -> None:
        """Save a copy, in place of an earlier one at most.

        Raises ConversationFileError; InvalidRequestError if nothing was said.
        """
        talk = self._begun("save")
        require_replaceable(path, talk.session_id)  # the hint of `save` is for programs
        talk.save(path, attachments="inside")

    def compact(self) -> Usage:
        """Have the backend compact the conversation. Returns the tokens used. Raises OnplanError."""
        return self._begun("compact").compact()

    def use(self, **fields: Any) -> None:
        """Use these fields from now on, and when the conversation is continued later."""
        self.fields = {**self.fields, **fields}
        if self._talk and self._path:
            self.go_on_in(self._path)
            self._talk.save(self._path, attachments="inside")

    def undo(self) -> list[ContentPart]:
        """Take back the last exchange, and return what the person said in it. Raises InvalidRequestError."""
        talk = self._begun("undo")
        before = talk.messages
        talk.undo()
        return [
            part
            for message in before[len(talk.messages) :]
            if message.role is Role.USER
            for part in message.content
            if not isinstance(part, ToolResult)
        ]

    def _begun(self, what: str) -> Conversation:
        """The conversation. Raises InvalidRequestError if there is none, with the verb ``what``."""
        if self._talk is None:
            raise InvalidRequestError(
                f"There is nothing to {what}: nothing was said yet.", hint="Say something."
            )
        return self._talk


def text_of(parts: Sequence[ContentPart]) -> str:
    """The texts among ``parts``."""
    return "\n".join(part.text for part in parts if isinstance(part, Text))
