"""What a client wants of the stream that is handed on to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from onplan.parameters import CutAt


class RelayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants of the stream.

    Attributes:
        echo: fields of its request that the response repeats.
        cut_at: where the answer is to end.
        is_codex: whether it reads the Codex backend's own events.
        framed: whether events are framed as server-sent events; else each is one bare payload.
        response_id: of a response to which the backend gives no id.
        input_tokens: estimates the tokens of the request, for an answer whose end does not come.
    """

    echo: Mapping[str, Any] = msgspec.field(default_factory=dict)
    cut_at: CutAt | None = None
    is_codex: bool = False
    framed: bool = True
    response_id: str = "resp_0"
    input_tokens: Callable[[], int] = int

    def __repr__(self) -> str:
        """Without what the client asked."""
        return f"RelayOptions(is_codex={self.is_codex}, framed={self.framed})"
