"""A client's request made into the request that the backend gets."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import msgspec

from onplan.backends import Backend
from onplan.dialects.conversation_names import named_by_client, session_name
from onplan.dialects.openai_responses.input_items import paired, with_the_word
from onplan.dialects.openai_responses.relay import RelayStream
from onplan.dialects.openai_responses.relay_options import RelayOptions
from onplan.dialects.openai_responses.request import ResponsesRequest
from onplan.dialects.openai_responses.stored import Before, StoredResponse
from onplan.flow import NOTHING
from onplan.parameters import Reports, offered_effort
from onplan.request.token_counts import tokens_in
from onplan.responses.items import Item
from onplan.responses.request import ResponsesCall
from onplan.types import ModelInfo


@dataclass(slots=True)
class Relayed:
    """What is known of a relayed answer while it arrives.

    Attributes:
        stream: of the latest attempt; None before the backend answers.
        items: the whole input without instructions, as it is kept for later requests.
        model: that was asked.
        session_id: the conversation's name at the backend.
    """

    stream: RelayStream | None = None
    items: list[Item] = field(default_factory=list, repr=False)
    model: str = ""
    session_id: str = ""


class RelayCall(ResponsesCall, frozen=True):
    """A request that is handed on.

    Attributes:
        items: the whole input without instructions, as it is kept for later requests.
        options: what the client wants of the stream.
        relayed: gets the stream of each attempt.
    """

    not_printed: ClassVar[tuple[str, ...]] = (*ResponsesCall.not_printed, "items")

    items: list[Item] = msgspec.field(default_factory=list)
    options: RelayOptions = msgspec.field(default_factory=RelayOptions)
    relayed: Relayed = msgspec.field(default_factory=Relayed)

    def stream(self, request_id: str | None) -> RelayStream:
        """What hands the answer on."""
        stream = RelayStream(self.model, self.reports, request_id, self.options, self.history_repairs)
        self.relayed.stream = stream
        return stream


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes.

    Attributes:
        backend: the row.
        base_url: the address of its API.
        model: the model that is asked.
        session_id: the conversation's name there.
        known: what is known of the model, if anything is.
    """

    backend: Backend
    base_url: str
    model: str
    session_id: str
    known: ModelInfo | None = None


def relay_call(
    asked: ResponsesRequest,
    before: Before,
    to: Destination,
    relayed: Relayed,
    *,
    framed: bool = True,
    headers: Mapping[str, str] | None = None,
) -> RelayCall:
    """The call for ``asked``.

    Args:
        asked: what the client asks for.
        before: what it goes on from.
        to: where it goes.
        relayed: gets what is kept of the request, and the stream of each attempt.
        framed: whether the client reads server-sent events.
        headers: of a Codex client, which are handed on; None for others.
    """
    backend, model = to.backend, to.model
    items, left_out = before.whole(asked.items, model, backend.system_role)
    sent, repairs = paired([*asked.instructions, *items])
    if (asked.fields.get("text", {}).get("format") or {}).get("type") == "json_object":
        sent, more = with_the_word(sent, backend.system_role)
        repairs += more
    fields, emulated = _offered(asked, to.known)
    if headers is not None and asked.client_metadata:
        fields = {**fields, "client_metadata": asked.client_metadata}
    body: dict[str, Any] = {"model": model, **backend.required, "input": sent}
    if backend.is_reasoning_model(model):
        body |= backend.reasoning_required
    if backend.sends("session_id"):
        body["prompt_cache_key"] = to.session_id
    options = RelayOptions(
        echo=asked.echo,
        cut_at=asked.cut_at,
        is_codex=headers is not None,
        framed=framed,
        response_id=f"resp_{secrets.token_hex(16)}",
        input_tokens=partial(_tokens_of, sent),
    )
    relayed.items, relayed.model, relayed.session_id = items, model, to.session_id
    return RelayCall(
        backend,
        to.base_url,
        model,
        to.session_id,
        msgspec.json.encode(body | fields),
        Reports(asked.ignored, emulated),
        frozenset(asked.fields),
        (*left_out, *repairs),
        headers=headers or NOTHING,
        items=items,
        options=options,
        relayed=relayed,
    )


def _offered(asked: ResponsesRequest, known: ModelInfo | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields with an effort that the model offers, and the names of parameters that are emulated."""
    reasoning = asked.fields.get("reasoning", {})
    effort = reasoning.get("effort")
    offered = effort and known and offered_effort(effort, known, raising=False)
    if not offered or offered == effort:
        return asked.fields, asked.emulated
    fields = {**asked.fields, "reasoning": {**reasoning, "effort": offered}}
    return fields, (*asked.emulated, "reasoning.effort")


def _tokens_of(items: Iterable[Item]) -> int:
    """About how many tokens the texts of the input have."""
    return sum(tokens_in(text) for item in items for text in _texts(item))


def _texts(value: Any) -> Iterator[str]:
    """The texts in an item, without encoded images and files."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str) and name in _TEXT_FIELDS:
                yield inner
            elif not isinstance(inner, str):
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


_TEXT_FIELDS = frozenset(("text", "arguments", "input", "output", "content"))


# What the Codex backend wants to know of a turn of its own client.
_TURN_HEADERS = (
    "thread-id",
    "x-codex-beta-features",
    "x-codex-turn-metadata",
    "x-codex-turn-state",
    "x-codex-window-id",
    "x-openai-internal-codex-responses-lite",
)
_MOST_CHARACTERS = 16_384


def turn_headers(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Those of a Codex client's headers that are handed on; None if it is another client."""
    originator = headers.get("originator")
    if originator is not None and not originator.lower().startswith("codex"):
        return None
    given = {name: headers[name] for name in _TURN_HEADERS if name in headers}
    if originator is None and not any(name.startswith("x-codex-") for name in given):
        return None
    return {
        name: value
        for name, value in given.items()
        if value.isascii() and value.isprintable() and len(value) <= _MOST_CHARACTERS
    }


def conversation_of(asked: ResponsesRequest, headers: Mapping[str, str]) -> str | None:
    """The client's own name of the conversation, if it gives one."""
    return named_by_client(asked.conversation, headers)


def session_id_for(caller: str, conversation: str | None, asked: ResponsesRequest, before: Before) -> str:
    """The name by which the backend finds the prompt in its cache (``conversation_names``)."""
    if conversation is None and before.previous is not None:
        return before.previous.session_id
    return session_name(caller, conversation, _beginning(asked))


def _beginning(asked: ResponsesRequest) -> list[Item]:
    """What every later request of the same conversation begins with, too."""
    beginning = list(asked.instructions)
    for item in asked.items:
        beginning.append(item)
        if item.get("role") == "user":
            break
    return beginning


def stored_response(relayed: Relayed) -> StoredResponse | None:
    """What is kept of an answer that is complete."""
    stream = relayed.stream
    if stream is None or stream.final is None:
        return None
    return StoredResponse(stream.final, relayed.items, relayed.model, relayed.session_id)
