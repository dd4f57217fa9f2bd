"""Decides when a conversation is compacted, and what is sent of it from then on.

The program's history stays whole: a compaction is kept beside it, and says how many messages it covers. What
is sent in their place is what the official client keeps (docs/protocol.md): instructions, what the user said
lately, and the compaction. It can be read only by the account and the family of models that it was made with;
everything is sent where another one is asked.

Where the program wants a summary instead, a model writes one, and all models can read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import msgspec

from onplan.errors import UnexpectedReplyError
from onplan.turn.fallback import LARGEST_MESSAGE
from onplan.types import (
    APIKey,
    Compaction,
    CompletionResponse,
    ContentPart,
    Credential,
    FinishReason,
    Message,
    ModelInfo,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)

_BYTES_PER_TOKEN = 4
# What the user said is kept beside a compaction, the latest first, up to 64,000 tokens.
USER_BYTES = 64_000 * _BYTES_PER_TOKEN
# After a compaction the conversation has to grow by this share of the window before the next one. Without
# it, one that stays large would be compacted in every turn.
_GROWTH = 0.1


@dataclass(frozen=True, slots=True)
class Target:
    """The account and the model that are asked.

    Attributes:
        account: a digest of the account.
        family: the models that can read a compaction made with this one.
        window: the size of the model's context window in tokens, if it is known.
    """

    account: str
    family: str
    window: int | None


def target_of(credential: Credential, model: str, known: ModelInfo | None) -> Target:
    """The target for ``model`` with this credential; ``known``: what the catalogue says of it."""
    if isinstance(credential, APIKey):
        name = credential.access_token
    else:
        name = credential.account_id or credential.email or credential.client_id or ""
    account = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    family = (known and known.compaction_family) or model
    return Target(account, family, known.context_window if known else None)


# What a model is asked for a summary. It stands before the summary from then on, so that the roles alternate.
SUMMARISE = (
    "Write down what is needed to go on with this conversation without having read it: what is wanted, what "
    "was decided and found out, what was done and how it ended, what is open, and the names, numbers and "
    "words that still matter. Answer with that text alone."
)
_GO_ON = "Go on."


class Compactor:
    """The compactions of one conversation, and when there is to be another.

    Args:
        at: the share of the context window at which the conversation is compacted; None: only when asked for.
        summarises: whether a model writes a summary, instead of the backend compacting the conversation.

    Attributes:
        compactions: those of the history and those made since, oldest first.
        length: how many messages of a request are the program's history; those after them, with which an
            answer is repaired, will be no part of it. None: all.
    """

    def __init__(self, at: float | None = None, *, summarises: bool = False) -> None:
        self.at, self.summarises = at, summarises
        self.compactions: tuple[Compaction, ...] = ()
        self.length: int | None = None
        self._refused: set[Compaction] = set()
        self._counted: tuple[Compaction | None, int, int] = (None, 0, 0)
        self._least = 0  # tokens of the conversation right after its latest compaction

    @property
    def is_idle(self) -> bool:
        """Whether a turn needs no compactor: nothing was compacted, and nothing will be by itself."""
        return self.at is None and not self.compactions

    def latest(self, target: Target) -> Compaction | None:
        """The latest compaction that the target can read."""
        ours = (target.account, target.family)
        readable = (
            made
            for made in reversed(self.compactions)
            if made.summary is not None or ((made.account, made.family) == ours and made not in self._refused)
        )
        return next(readable, None)

    def encrypted(self, target: Target) -> Compaction | None:
        """The latest compaction, if it is one that only the backend can read, and may therefore refuse."""
        made = self.latest(target)
        return made if made and made.summary is None else None

    def refuse(self, compaction: Compaction) -> None:
        """Never send this compaction again: the backend cannot read it."""
        self._refused.add(compaction)

    def shown(self, messages: Sequence[Message], target: Target) -> list[Message]:
        """What is sent of a conversation."""
        made = self.latest(target)
        if made is None or made.covers > len(messages):
            return list(messages)
        covered, rest = messages[: made.covers], messages[made.covers :]
        if made.summary is not None:
            instructions = [message for message in covered if message.role in _INSTRUCTIONS]
            goes_on = [Message.user(_GO_ON)] if rest and rest[0].role is Role.ASSISTANT else []
            summary = [Message.user(SUMMARISE), Message.assistant(made.summary)]
            return [*instructions, *summary, *goes_on, *rest]
        stands = Message(Role.ASSISTANT, [cast("ContentPart", made)])
        return [*_kept(covered), stands, *rest]

    def covers(self, messages: Sequence[Message], target: Target) -> int:
        """How many messages a compaction made now would cover: those that the model has answered.

        What it has yet to answer stays, tool calls with their results. 0 if there is nothing to compact.
        """
        end = len(messages)
        while end and messages[end - 1].role is not Role.ASSISTANT:
            end -= 1
        if end and messages[end - 1].tool_calls:
            end -= 1
        end = end if self.length is None else min(end, self.length)
        made = self.latest(target)
        new = messages[made.covers if made else 0 : end]
        return end if any(message.role is Role.ASSISTANT for message in new) else 0

    def is_due(self, messages: Sequence[Message], target: Target) -> bool:
        """Whether so much of the context window is used that the conversation is to be compacted now."""
        if self.at is None or target.window is None or not self.covers(messages, target):
            return False
        least = max(self.at * target.window, self._least + _GROWTH * target.window)
        return self._size(messages, target) >= least

    def add(self, compaction: Compaction) -> None:
        """Use this one from now on."""
        self.compactions = (*self.compactions, compaction)
        self._least = 0

    def answered(self, messages: Sequence[Message], target: Target, usage: Usage) -> None:
        """``messages`` were answered, and counted by the backend together with the answer."""
        if usage.total_tokens:
            made = self.latest(target)
            self._counted = (made, len(messages) + 1, usage.total_tokens)
            self._least = self._least or (usage.total_tokens if made else 0)

    def _size(self, messages: Sequence[Message], target: Target) -> int:
        """The tokens of a conversation: as the backend counted them, and estimated where it has not yet."""
        made, count, tokens = self._counted
        if 0 < count <= len(messages) and made == self.latest(target):
            return tokens + _estimate(messages[count:])
        return _estimate(self.shown(messages, target))


def compaction_of(
    items: Sequence[Mapping[str, Any]], finish_reason: FinishReason, covers: int, target: Target
) -> Compaction:
    """The compaction in the backend's answer.

    Raises UnexpectedReplyError unless the answer is whole and there is exactly one in it.
    """
    sealed = [item.get("encrypted_content") for item in items]
    if len(sealed) != 1 or finish_reason in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER):
        problem = f"sent {len(sealed)} compactions" if len(sealed) != 1 else "broke off its compaction"
        raise _unexpected(f"The backend {problem} of the conversation instead of one whole.")
    if not isinstance(sealed[0], str) or not sealed[0]:
        raise _unexpected("The backend sent a compaction of the conversation with nothing in it.")
    if len(sealed[0]) > LARGEST_MESSAGE:  # no request with it fits a WebSocket
        raise _unexpected(f"The backend sent a compaction of {len(sealed[0]) >> 20} MiB.")
    name = items[0].get("id")
    # The official client sends no id back that has another form.
    known = name if isinstance(name, str) and name.startswith("cmp_") else None
    return Compaction(covers, sealed[0], target.account, target.family, known)


def summary_of(response: CompletionResponse, covers: int) -> Compaction:
    """The compaction that a model has written. Raises UnexpectedReplyError unless it is a whole text."""
    if response.finish_reason is not FinishReason.STOP or not response.text.strip():
        raise _unexpected("The model did not write a whole summary of the conversation.")
    return Compaction(covers, summary=response.text)


def _unexpected(sentence: str) -> UnexpectedReplyError:
    hint = (
        "The conversation is as it was. Try again: `talk.compact()`; or go on in one that is not compacted: "
        "`client.conversation(messages=talk.messages)`."
    )
    return UnexpectedReplyError(sentence, hint=hint)


_INSTRUCTIONS = (Role.SYSTEM, Role.DEVELOPER)


# --- what stays -------------------------------------------------------------------------------------


def _kept(messages: Sequence[Message]) -> list[Message]:
    """The instructions, and what the user said as far as there is room, in their order.

    The oldest that finds any room is shortened. Images and files stay with the text.
    """
    left, kept = USER_BYTES, list[Message]()
    for message in reversed(messages):
        if message.role in _INSTRUCTIONS:
            kept.append(message)
        elif message.role is Role.USER and left > 0:
            parts = list(_shortened(message, left))
            left -= sum(len(part.text.encode("utf-8", "replace")) for part in parts if isinstance(part, Text))
            if parts:
                kept.append(Message(Role.USER, parts))
    return kept[::-1]


def _shortened(message: Message, size: int) -> Iterator[ContentPart]:
    """What a message of the user holds besides tool results, with ``size`` bytes of text at most."""
    for part in message.content:
        if isinstance(part, Text):
            data = part.text.encode("utf-8", "replace")
            text = part.text if len(data) <= size else data[:size].decode("utf-8", "ignore")
            size -= min(size, len(data))
            if text:
                yield msgspec.structs.replace(part, text=text)
        elif not isinstance(part, ToolResult):
            yield part


# --- how large it is --------------------------------------------------------------------------------


def _estimate(messages: Sequence[Message]) -> int:
    """Tokens of the text in ``messages``, roughly. Images and files count once the backend counted them."""
    return sum(_length(part) for message in messages for part in message.content) // _BYTES_PER_TOKEN


def _length(part: ContentPart | Compaction) -> int:
    match part:
        case Text(text=text):
            return len(text.encode("utf-8", "replace"))
        case ToolCall(arguments=text) | ToolResult(content=str(text)):
            return len(text.encode("utf-8", "replace"))
        case ToolResult(content=list() as pieces):
            return sum(map(_length, pieces))
        case Thinking(encrypted=str(text)) | Compaction(encrypted=text):
            return len(text)
        case _:
            return 0
