"""Conversations of ``Client``. conversations_async.py is the same, awaited."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from typing import Any, Protocol, Self, TypeVar, Unpack, cast, overload

from onplan.conversation.base import Compact, ConversationState, Options, Turn, begin, loaded, opened
from onplan.conversation.saved_file import Attachments
from onplan.streams import CompletionStream
from onplan.tools.options import RunFields, RunOptions
from onplan.tools.record import RunChunk, RunDone, RunResponse
from onplan.turn.compactor import Compactor
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    Done,
    FieldsWithoutFormat,
    JSONReader,
    Prompt,
    RequestFields,
    StreamChunk,
    Usage,
)

T = TypeVar("T")


class Asks(Protocol):
    """What a conversation needs of a client."""

    def complete(self, request: CompletionRequest, *, repairs: int) -> CompletionResponse[Any]:
        """The whole answer."""
        ...

    def complete_stream(self, request: CompletionRequest) -> Generator[StreamChunk]:
        """The answer as it arrives."""
        ...

    def run_stream(self, request: CompletionRequest, **options: Unpack[RunOptions]) -> Generator[RunChunk]:
        """The chunks of a run of tools."""
        ...

    def _compact(self, request: CompletionRequest) -> Usage:
        """Have the conversation compacted."""
        ...

    def _compacted_by(self, compactor: Compactor) -> Self:
        """The client for one conversation."""
        ...


class Conversation(ConversationState):
    """A conversation with a model, which keeps its history. ``client.conversation(…)`` makes one.

    ::

        talk = client.conversation(system="Be brief", model="gpt-5.5")
        print(talk.say("Name three birds").text)
        print(talk.say("Which of them sings?").text)

    One turn at a time: while an answer is read, another turn is refused. After an error, and when a stream
    is left early, the history is as it was before, or has what came with ``keep_partial=True``.
    """

    _client: Asks

    @overload
    def say(
        self,
        said: Prompt,
        *,
        repairs: int = 0,
        response_format: type[T] | JSONReader[T],
        **fields: Unpack[FieldsWithoutFormat],
    ) -> CompletionResponse[T]: ...

    @overload
    def say(
        self, said: Prompt, *, repairs: int = 0, **fields: Unpack[RequestFields]
    ) -> CompletionResponse: ...

    def say(self, said: Prompt, *, repairs: int = 0, **fields: Any) -> CompletionResponse[Any]:
        """Say something, and return the answer; both are in the history then.

        Args:
            said: as for ``client.complete``: a string, parts, messages; also the results of tool calls.
            repairs: as for ``client.complete``.
            fields: of ``CompletionRequest``, for this turn only.

        Raises an OnplanError; the history is then as it was.
        """
        return self._answered(said, repairs, fields)

    @overload
    def resume(
        self,
        *,
        repairs: int = 0,
        response_format: type[T] | JSONReader[T],
        **fields: Unpack[FieldsWithoutFormat],
    ) -> CompletionResponse[T]: ...

    @overload
    def resume(self, *, repairs: int = 0, **fields: Unpack[RequestFields]) -> CompletionResponse: ...

    def resume(self, *, repairs: int = 0, **fields: Any) -> CompletionResponse[Any]:
        """Have the model answer what was left unanswered, as by a crash in the middle of a turn.

        Calls whose results are missing get one that says so.

        Raises InvalidRequestError if nothing awaits an answer; else as ``say``.
        """
        return self._answered(None, repairs, fields)

    def _answered(self, said: Prompt | None, repairs: int, fields: Any) -> CompletionResponse[Any]:
        turn = self._turn(said, fields)
        try:
            turn.begin()
            response = self._client.complete(turn.request, repairs=repairs)
            turn.finish(response.message)
        except BaseException as error:
            turn.fail(error)
            raise
        finally:
            turn.end()
        return response

    @overload
    def stream(
        self,
        said: Prompt | None = None,
        *,
        response_format: type[T] | JSONReader[T],
        **fields: Unpack[FieldsWithoutFormat],
    ) -> CompletionStream[T]: ...

    @overload
    def stream(self, said: Prompt | None = None, **fields: Unpack[RequestFields]) -> CompletionStream: ...

    def stream(self, said: Prompt | None = None, **fields: Any) -> CompletionStream[Any]:
        """Say something, and read the answer as it arrives; without ``said``, resume.

        ::

            with talk.stream("Name three birds") as stream:
                for text in stream.text:
                    print(text, end="")

        The answer is in the history once its last chunk is read. A stream that is left before that leaves
        the history as it was, or with what came of the answer if ``keep_partial`` says so.
        """
        return CompletionStream(self._chunks(self._turn(said, fields)))

    def _chunks(self, turn: Turn) -> Generator[StreamChunk]:
        try:
            turn.begin()
            with closing(self._client.complete_stream(turn.request)) as chunks:
                for chunk in chunks:
                    if isinstance(chunk, Done):
                        turn.finish(chunk.response.message)
                    else:
                        turn.note(chunk)
                    yield chunk
        finally:
            turn.end()

    @overload
    def run(
        self,
        said: Prompt | None = None,
        *,
        response_format: type[T] | JSONReader[T],
        **options: Unpack[RunFields],
    ) -> RunResponse[T]: ...

    @overload
    def run(self, said: Prompt | None = None, **options: Unpack[RunOptions]) -> RunResponse: ...

    def run(self, said: Prompt | None = None, **options: Any) -> RunResponse[Any]:
        """Say something, and return the answer after the functions that the model wants have been called.

        As ``client.run``, whose keywords it takes, such as ``tools``. The calls and their results are in the
        history, too, and are written as they come. Without ``said`` it goes on with what was left over: calls
        without results are carried out.

        Raises an OnplanError; the history is then as it was, or has all that came with ``keep_partial``.
        """
        for chunk in self.run_stream(said, **options):
            last = chunk
        return cast("RunDone", last).response

    def run_stream(self, said: Prompt | None = None, **options: Unpack[RunOptions]) -> Generator[RunChunk]:
        """As ``run``: the chunks of every turn and of every call, as ``client.run_stream`` has them."""
        return self._run_chunks(self._turn(said, {}), options)

    def _run_chunks(self, turn: Turn, options: RunOptions) -> Generator[RunChunk]:
        try:
            turn.begin()
            with closing(self._client.run_stream(turn.request, **options)) as chunks:
                for chunk in chunks:
                    turn.follow(chunk)
                    yield chunk
        except BaseException as error:
            turn.fail(error)
            raise
        finally:
            turn.end()

    def compact(self) -> Usage:
        """Have the backend compact the conversation, and return what that used of the plan.

        From then on the compaction and what the user said lately are sent in place of the messages so far;
        or a summary of them, if that was chosen with ``compact="summary"``. The messages stay in ``messages``
        and in the file, so that ``undo`` and ``branch`` go back beyond it.

        Raises:
            InvalidRequestError: the backend compacts no conversations, nothing new has been answered, or a
                turn has not ended.
            UnexpectedReplyError: the answer is not one compaction, or no summary.
            OnplanError: it could not be asked. The conversation is then as it was.
        """
        turn = Turn(self)
        turn.lock()
        try:
            usage = self._client._compact(turn.request)
            turn.compacted()
        finally:
            turn.end()
        return usage

    def undo(self) -> None:
        """Take back the last exchange: what was said, the answer, and the tool calls between them.

        Raises:
            InvalidRequestError: nothing was said yet, or a turn has not ended.
            ConversationFileError: the file that the conversation is kept in cannot be written.
        """
        self._undo()

    def save(
        self, path: str | os.PathLike[str], *, attachments: Attachments = "path", overwrite: bool = False
    ) -> None:
        """Write the conversation to a file that only its owner may read.

        The file may exist if it is empty, or holds this conversation as it was earlier.

        Args:
            path: of the file: JSON lines, the first of which has the format's version.
            attachments: how local images and files are saved: by their ``path`` and a digest of their
                content, or ``inside``, with the content.
            overwrite: whether any other file may be replaced.

        Raises:
            ConversationFileError: there is another file, or it cannot be written; what was there before is
                unchanged.
            InvalidRequestError: an image or file cannot be read.
        """
        self._write(path, attachments, overwrite=overwrite)


class Conversations:
    """Begins conversations, and goes on with saved ones: ``client.conversation``."""

    def __init__(self, client: Asks) -> None:
        self._client = client

    def __call__(
        self,
        system: str | None = None,
        *,
        keep_partial: bool = False,
        compact: Compact | None = None,
        compact_at: float = 0.8,
        **fields: Unpack[RequestFields],
    ) -> Conversation:
        """Begin a conversation. Nothing is sent.

        Args:
            system: instructions for the model.
            keep_partial: whether what came of an answer that broke off or was stopped stays in the history,
                with what was said; without it neither does.
            compact: ``auto`` has the backend compact the conversation when it fills the context window, and
                when the backend says that it does not fit. InvalidRequestError if the backend does not do
                that: only openai-codex does. ``summary`` has the model write a summary instead, anywhere.
            compact_at: the share of the context window at which that is.
            fields: of ``CompletionRequest``: each request has them. ``messages`` is a history to begin with.

        Raises InvalidRequestError.
        """
        options = Options(keep_partial=keep_partial, compact=compact, compact_at=compact_at)
        return begin(Conversation, self._client, system, fields, options)

    def load(
        self,
        path: str | os.PathLike[str],
        *,
        keep_partial: bool = False,
        compact: Compact | None = None,
        compact_at: float = 0.8,
        **fields: Unpack[RequestFields],
    ) -> Conversation:
        """A conversation that was saved; the file is not changed, and what follows is not written to it.

        Args:
            path: of the file.
            keep_partial: as for a new conversation, like ``compact`` and ``compact_at``; none is saved.
            compact: whether there are to be more compactions; those that were saved are used.
            compact_at: as for a new conversation.
            fields: of ``CompletionRequest``, in place of those that were saved.

        Warns ``ConversationFileWarning`` of what is missing: a last line that a crash cut off, local files
        that have changed, settings that cannot be saved.

        Raises:
            ConversationFileError: it cannot be read, is damaged, or of a later version.
            InvalidRequestError: a field is wrong.
        """
        options = Options(keep_partial=keep_partial, compact=compact, compact_at=compact_at)
        return loaded(Conversation, self._client, path, fields, options)

    def open(
        self,
        path: str | os.PathLike[str],
        system: str | None = None,
        *,
        attachments: Attachments = "path",
        keep_partial: bool = False,
        compact: Compact | None = None,
        compact_at: float = 0.8,
        **fields: Unpack[RequestFields],
    ) -> Conversation:
        """Go on with the conversation in a file, or begin one there; the file is kept up to date.

        What is said is written and synced before it is sent, and the answer when it is whole. So a program
        that is killed goes on where it was: ``talk.awaits_answer`` says whether an answer is missing.

        Args:
            path: of the file. One program may write it at a time; another one is noticed.
            system: instructions for the model, for a new conversation; so is ``messages``.
            attachments: as for ``save``.
            keep_partial: as for a new conversation, like ``compact`` and ``compact_at``.
            compact: as for ``load``.
            compact_at: as for a new conversation.
            fields: of ``CompletionRequest``, in place of those that were saved.

        Warns and raises as ``load``.
        """
        options = Options(keep_partial=keep_partial, compact=compact, compact_at=compact_at)
        return opened(
            Conversation, self._client, path, fields, options, system=system, attachments=attachments
        )
