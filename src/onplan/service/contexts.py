"""What the turns of a service have in common."""

from __future__ import annotations

from dataclasses import replace

from onplan.async_client import AsyncClient
from onplan.async_client_parts import context_of
from onplan.turn.context import Context


class TurnContexts:
    """The contexts of turns whose answers are told to clients: nothing can be taken back, so none is resumed.

    Args:
        client: asks the models.
    """

    def __init__(self, client: AsyncClient) -> None:
        context = context_of(client)
        self._for_conversations = replace(context, resume=False)
        self._for_questions = replace(self._for_conversations, fallback=None)

    def of(self, *, is_conversation: bool) -> Context:
        """That of one turn.

        A single question goes over a pooled connection; a WebSocket is worth opening for a conversation.
        """
        return self._for_conversations if is_conversation else self._for_questions
