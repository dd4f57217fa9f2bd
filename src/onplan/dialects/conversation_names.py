"""Names conversations at the backend, so that their prompts are found in its cache and are never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from onplan.parameters import uuid_text
from onplan.types import Message, Role

# In which clients name a conversation: Codex and opencode; opencode with providers that are not OpenAI's.
_HEADERS = ("session-id", "x-session-id", "x-session-affinity")
_LONGEST_NAME = 64


def named_by_client(in_body: str | None, headers: Mapping[str, str]) -> str | None:
    """The client's own name of the conversation, if it gives one that a header can hold."""
    names = (in_body, *(headers.get(name) for name in _HEADERS))
    return next((name for name in names if name and name.isascii() and name.isprintable()), None)


def session_name(caller: str, name: str | None, beginning: object) -> str:
    """The name by which the backend finds the prompt in its cache.

    Two callers never share one, whatever they call their conversations. The caller without a name keeps the
    names that its clients give, as far as a backend takes them.

    Args:
        caller: who asks; empty for the person who runs the service.
        name: what the client calls the conversation, if it does.
        beginning: what every request of it begins with, as a JSON value; it counts where there is no name.
    """
    if name is not None and not caller and len(name) <= _LONGEST_NAME:
        return name
    said = [caller, name] if name is not None else [caller, beginning]
    return uuid_text(sha256(msgspec.json.encode(said)).digest()[:16], version=5)


def beginning_of(messages: Sequence[Message]) -> list[Message]:
    """The messages up to the user's first, with which all requests of a conversation begin."""
    users = (place for place, message in enumerate(messages) if message.role is Role.USER)
    return list(messages[: next(users, len(messages)) + 1])
