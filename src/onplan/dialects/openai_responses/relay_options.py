"""What a client wants of the stream that is handed on to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onplan.parameters import CutAt


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """What a client wants of the stream.

    Attributes:
        echo: fields of its request that the response repeats.
        cut_at: where the answer is to end.
        is_codex: whether it reads the Codex backend's own events.
        framed: whether events are framed as server-sent events; else each is one bare payload.
        response_id: of a response to which the backend gives no id.
        input_tokens: estimates the tokens of the request, for an answer whose end does not come.
    """

    echo: Mapping[str, Any] = field(default_factory=dict, repr=False)
    cut_at: CutAt | None = None
    is_codex: bool = False
    framed: bool = True
    response_id: str = "resp_0"
    input_tokens: Callable[[], int] = field(default=int, repr=False)
