"""What the conversations of both clients have in common: their history, their file, their turns."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, TypeVar, cast

import msgspec

from onplan.conversation import file_format, saved_file
from onplan.conversation.file_format import Header
from onplan.conversation.history import History
from onplan.conversation.partial_answer import PartialAnswer
from onplan.conversation.saved_file import Attachments, KeptFile, Saved
from onplan.errors import ConversationFileError, InvalidRequestError, OnplanError
from onplan.parameters import uuid_text
from onplan.tools.record import Run, RunChunk, RunDone, ToolDone, TurnDone
from onplan.turn.compactor import Compactor
from onplan.types import CompletionRequest, ContentPart, Message, Prompt, RequestFields, Role, as_request

_OVERWRITE_HINT = "Choose another name, or say that it may be replaced: `talk.save(PATH, overwrite=True)`."

C = TypeVar("C", bound="ConversationState")
Compact: TypeAlias = Literal["auto", "summary"]

logger = logging.getLogger("onplan.conversation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a conversation, which its file does not hold.

    Attributes:
        keep_partial: whether what came of an answer that broke off or was stopped stays in the history.
        compact: ``auto`` has the backend compact the conversation when it fills the context window, and
            ``summary`` has a model write a summary of it; None does neither.
        compact_at: the share of the window at which that is.

    Raises InvalidRequestError for a value that cannot be used.
    """

    keep_partial: bool = False
    compact: Compact | None = None
    compact_at: float = 0.8

    def __post_init__(self) -> None:
        """Check the values."""
        if self.compact not in (None, "auto", "summary"):
            raise InvalidRequestError(
                f"compact is {self.compact!r}, which is neither 'auto', 'summary' nor None.",
                hint='Give `compact="auto"`.',
            )
        at: object = self.compact_at
        if not isinstance(at, int | float) or isinstance(at, bool) or not 0 < at <= 1:
            raise InvalidRequestError(
                f"compact_at is {at!r}, and not a share of the context window, above 0 and up to 1.",
                hint="Give `compact_at=0.8` for four fifths.",
            )


class ConversationState:
    """The history of a conversation and what its requests have besides messages.

    Args:
        client: asks the model.
        history: what was said so far.
        settings: the fields of each request; its messages are left out.
        options: those that its file does not hold.
        session_id: for settings that have none, of a conversation that has one already.

    Raises InvalidRequestError if it is to be compacted and the backend does not do that.
    """

    def __init__(
        self,
        client: Any,
        history: History,
        settings: CompletionRequest,
        options: Options,
        session_id: str | None = None,
    ) -> None:
        chosen = settings.session_id
        self._session_id = chosen or session_id or uuid_text(secrets.token_bytes(16), version=4)
        # One that no program chose is not offered to a backend that would have to report it as ignored.
        sent = self._session_id if client._context.backend.sends("session_id") else chosen
        at = options.compact_at if options.compact else None
        self._compactor = Compactor(at, summarises=options.compact == "summary")
        self._client = client._compacted_by(self._compactor)
        self._history = history
        self._settings = msgspec.structs.replace(settings, messages=[], session_id=sent)
        self._options = options
        self._file: KeptFile | None = None
        self._in_turn = threading.Lock()

    @property
    def messages(self) -> list[Message]:
        """What was said so far, oldest first. Changing the list changes nothing here."""
        return list(self._history.messages)

    @property
    def session_id(self) -> str:
        """The conversation's name at the backend, by which its prompt is found in the cache."""
        return self._session_id

    @property
    def compacted(self) -> int:
        """How many of ``messages``, from the first, the latest compaction stands for; 0 without one."""
        compactions = self._history.compactions
        return compactions[-1].covers if compactions else 0

    @property
    def awaits_answer(self) -> bool:
        """Whether the model has to speak next, as after a crash or tool calls: ``resume()`` asks it."""
        return self._history.awaits_answer

    def branch(self, at: int | None = None) -> Self:
        """A copy that goes its own way: with a ``session_id`` of its own, and kept in no file.

        Args:
            at: how many exchanges of the history it has; below zero, without the last ones. None: all.

        Raises InvalidRequestError if there are not so many.
        """
        history = self._history if at is None else self._history.until(at)
        settings = msgspec.structs.replace(self._settings, session_id=None)
        return type(self)(self._client, history, settings, self._options)

    def _write(self, path: str | os.PathLike[str], attachments: Attachments, *, overwrite: bool) -> None:
        _require_attachments(attachments)
        if self._file and self._file.is_at(path):
            self._keep_in(path, attachments)
            return
        if not overwrite:
            saved_file.require_replaceable(path, self.session_id, _OVERWRITE_HINT)
        saved_file.save(path, self._header(), self._history, attachments)

    def _keep_in(self, path: str | os.PathLike[str], attachments: Attachments) -> None:
        """Write a file that goes on being written while the conversation grows."""
        _require_attachments(attachments)
        file = KeptFile(path, attachments)
        file.begin(self._header(), self._history)
        self._file = file

    def _go_on_in(self, path: str | os.PathLike[str], attachments: Attachments, saved: Saved) -> None:
        """Go on writing the file that the conversation was read from."""
        _require_attachments(attachments)
        file = KeptFile(path, attachments)
        file.go_on(saved)
        self._file = file

    def _header(self) -> Header:
        return file_format.header_of(self._settings, self.session_id)

    def _undo(self) -> None:
        """Take back the last exchange. Raises InvalidRequestError, ConversationFileError."""
        turn = Turn(self)
        turn.lock()
        try:
            self._settle(self._history.undone())
        finally:
            turn.end()

    def _settle(self, history: History) -> None:
        """Make ``history`` the conversation's, in the file, too."""
        if self._file:
            self._file.update(history)
        self._history = history

    def _turn(self, said: Prompt | None, fields: Any) -> Turn:
        """The turn in which ``said`` is answered; without it, what was left unanswered.

        Raises InvalidRequestError.
        """
        if said is not None:
            new = CompletionRequest(messages=said).messages
        elif self.awaits_answer:
            new = []
        else:
            raise InvalidRequestError(
                "There is nothing to resume: the model has answered everything.", hint="Say something."
            )
        return Turn(self, new, cast("RequestFields", fields))


class Turn:
    """One turn of a conversation. The clients carry it out: ``begin``, then ``finish``, and always ``end``.

    Args:
        talk: the conversation.
        new: what is said.
        fields: of the request, for this turn only.

    Raises InvalidRequestError if a field is wrong.
    """

    def __init__(
        self, talk: ConversationState, new: Sequence[Message] = (), fields: RequestFields | None = None
    ) -> None:
        self._talk, self._new = talk, tuple(new)
        self._settings = as_request(talk._settings, fields)
        if self._settings.messages:
            raise InvalidRequestError("There are messages twice.", hint="Leave out `messages=`.")
        self._asked = self._came = talk._history
        self._partial = PartialAnswer()
        self._began = self._finished = self._locked = False

    @property
    def request(self) -> CompletionRequest:
        """What the model is asked, once the turn has begun."""
        return msgspec.structs.replace(self._settings, messages=list(self._asked.messages))

    def lock(self) -> None:
        """Begin without saying anything. Raises InvalidRequestError if another turn has not ended."""
        if not self._talk._in_turn.acquire(blocking=False):
            raise InvalidRequestError(
                "Another turn of this conversation has not ended yet.",
                hint="Read its answer to the end, or go on in a copy: `talk.branch()`.",
            )
        self._locked = True
        self._talk._compactor.compactions = self._talk._history.compactions
        self._asked = self._came = self._talk._history.plus(self._new)

    def begin(self) -> None:
        """Write what is said to the conversation's file, before it is sent.

        Raises InvalidRequestError, ConversationFileError.
        """
        self.lock()
        if self._talk._file:
            self._talk._file.update(self._asked)
        self._began = True

    def note(self, chunk: Any) -> None:
        """Note a chunk of the answer, in case there are no more."""
        self._partial.note(chunk)

    def follow(self, chunk: RunChunk) -> None:
        """Note a chunk of a run: its answers and results are written as they come.

        Raises ConversationFileError if the file has no room.
        """
        match chunk:
            case RunDone(response=response):
                self._finish(self._came.grown(response.messages[:-1]), response.messages[-1:])
            case TurnDone(response=response):
                self._add(response.message)
            case ToolDone(run=run):
                self._add(Message(Role.TOOL, [run.result]))
            case _:
                self._partial.note(chunk)

    def _add(self, message: Message) -> None:
        self._came, self._partial = self._with_compactions(self._came).plus([message]), PartialAnswer()
        if self._talk._file:
            self._talk._file.update(self._came)

    def fail(self, error: BaseException) -> None:
        """Note what was done and finished before ``error``."""
        if isinstance(error, OnplanError) and isinstance(error.run, Run):
            done = self._came.grown(error.run.messages)
            if len(done.messages) > len(self._came.messages):  # the last answer is among them
                self._partial = PartialAnswer()
            self._came = done
        parts: Sequence[ContentPart] = error.parts if isinstance(error, OnplanError) else ()
        if parts:
            self._partial.replace(parts)

    def finish(self, answer: Message) -> None:
        """Add the answer to the history. Raises ConversationFileError if the file has no room for it."""
        self._finish(self._came, [answer])

    def compacted(self) -> None:
        """Keep a compaction that was asked for. Raises ConversationFileError; it is then in memory alone."""
        self._finish(self._came, [])

    def _with_compactions(self, history: History) -> History:
        """``history`` with the compactions that were made in this turn."""
        compacted = history.compacted(self._talk._compactor.compactions)
        if compacted is not history:
            logger.info(
                "compacted %d of %d messages",
                self._talk._compactor.compactions[-1].covers,
                len(history.messages),
            )
        return compacted

    def _finish(self, came: History, answer: Sequence[Message]) -> None:
        self._finished = True
        self._talk._history = history = self._with_compactions(came).plus(answer)
        if self._talk._file:
            try:
                self._talk._file.update(history)
            except ConversationFileError as error:
                error.hint = "The answer is in `talk.messages`, and is written with the next turn."
                raise

    def end(self) -> None:
        """End the turn. Without an answer the history is as before, or has the part of it that came."""
        if not self._locked:
            return
        self._locked = False
        try:
            if self._began and not self._finished:
                self._put_back()
        finally:
            self._talk._in_turn.release()

    def _put_back(self) -> None:
        answer = self._partial.message()
        came = self._came.plus([answer]) if answer else self._came
        stays = came if self._talk._options.keep_partial and came != self._asked else self._talk._history
        self._talk._history = self._with_compactions(stays)
        try:
            if self._talk._file:
                self._talk._file.update(self._talk._history)
        except OnplanError as error:  # why the turn failed matters more; the next turn writes the file
            logger.warning("%s", error)


def begin(kind: type[C], client: Any, system: str | None, fields: Any, options: Options) -> C:
    """A new conversation of this kind. Raises InvalidRequestError."""
    if system is not None and not isinstance(system, str):
        raise InvalidRequestError(
            f"system is a string, and not {type(system).__name__}.", hint="Give messages as `messages=`."
        )
    given = fields.get("messages")
    messages: Iterable[Message] = [] if given is None else CompletionRequest(messages=given).messages
    history = History((*([Message.system(system)] if system is not None else []), *messages))
    rest = {name: value for name, value in fields.items() if name != "messages"}
    return kind(client, history, as_request([], rest), options)  # type: ignore[arg-type]


def loaded(kind: type[C], client: Any, path: str | os.PathLike[str], fields: Any, options: Options) -> C:
    """The conversation of this kind that a file holds. Raises ConversationFileError, InvalidRequestError."""
    return _of_file(kind, client, path, saved_file.load(path), fields, options=options)


def opened(
    kind: type[C],
    client: Any,
    path: str | os.PathLike[str],
    fields: Any,
    options: Options,
    *,
    system: str | None,
    attachments: Attachments,
) -> C:
    """The same, new if there is no file or an empty one, and kept in the file.

    Raises ConversationFileError, InvalidRequestError.
    """
    new = begin(kind, client, system, fields, options)
    if saved_file.is_missing(path):
        new._keep_in(path, attachments)
        return new
    rest = {name: value for name, value in fields.items() if name != "messages"}
    saved = saved_file.load(path)
    talk = _of_file(kind, client, path, saved, rest, options=options)
    talk._go_on_in(path, attachments, saved)
    return talk


def _of_file(
    kind: type[C],
    client: Any,
    path: str | os.PathLike[str],
    saved: Saved,
    fields: Any,
    *,
    options: Options,
) -> C:
    header = saved.decoded.header
    settings, missing = file_format.settings_of(header, str(path))
    saved_file.warn_of_missing([name for name in missing if name not in fields], path)
    request = as_request(settings, fields)
    if request.messages:
        raise InvalidRequestError("A saved conversation has its messages.", hint="Leave out `messages=`.")
    return kind(client, saved.history, request, options, header.session_id)


def _require_attachments(given: object) -> None:
    if given not in ("path", "inside"):
        raise InvalidRequestError(
            f"attachments is {given!r}, which is neither path nor inside.",
            hint='`attachments="inside"` saves images and files with their content.',
        )
