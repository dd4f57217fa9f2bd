"""One WebSocket's conversation: `response.create` in, a reply out.

Knows nothing of frames: its replies are the same as over HTTP, and `server/websocket.py` sends them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from onplan.emulator.api.codex_account import authenticate, counted_answer, require_allowance
from onplan.emulator.api.model import without_answer
from onplan.emulator.checks.codex_responses import check
from onplan.emulator.checks.refusals import of_type
from onplan.emulator.wire.events import Event
from onplan.emulator.wire.limits import limits_event
from onplan.emulator.wire.replies import Refusal, Reply, Request, api_error
from onplan.emulator.wire.stream import Stream
from onplan.emulator.world import World

TURN_STATE = "x-codex-turn-state"
PREVIOUS = "previous_response_id"
_OWN_FIELDS = frozenset({"generate", PREVIOUS, "type"})


class Conversation:
    """One connection: the request that opened it, and the one response that it remembers, the latest."""

    def __init__(self, upgrade: Request) -> None:
        self._upgrade = upgrade
        self._remembered: tuple[str, list[Any]] | None = None
        self._said: list[Any] = []

    def request(self, text: bytes) -> Request:
        """A message as a request: the connection's headers with the message as its body."""
        headers = {**self._upgrade.headers, "content-type": "application/json"}
        return Request("POST", self._upgrade.path, "", headers, text)

    def create(self, world: World, request: Request) -> Reply:
        """The turn that a `response.create` asks for. Raises the Refusal it deserves."""
        authenticate(world, request)
        message = request.fields
        if message.get("type") != "response.create":
            complaint = f"Invalid value: '{message.get('type')}'. Supported values are: 'response.create'."
            raise Refusal(api_error(complaint, param="type", code="invalid_value"))
        of_type(message.get("generate"), bool, "generate", "a boolean")
        whole = self._whole(message)
        check(world, whole)
        generates = message.get("generate") is not False
        if generates:
            require_allowance(world)
        announcements = _announcements(world, message)
        turn = counted_answer(world, whole) if generates else without_answer(world, whole)
        turn = replace(turn, echo={**turn.echo, PREVIOUS: message.get(PREVIOUS)})
        self._said = whole.body["input"]
        if not generates:
            return Reply(stream=Stream(turn=turn))
        interval = world.scenario.answer.interval
        return Reply(stream=Stream(turn=turn, interval=interval, announcements=announcements))

    def _whole(self, message: Mapping[str, Any]) -> Request:
        """The request with the whole conversation as its input."""
        # `stream` may be left out over a WebSocket, where every turn is streamed (OpenAI's documentation).
        body = {"stream": True, **message}
        body = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
        previous = message.get(PREVIOUS)
        if previous is not None and isinstance(body.get("input"), list):
            if self._remembered is None or self._remembered[0] != previous:
                complaint = f"Previous response with id '{previous}' not found."
                raise Refusal(api_error(complaint, param=PREVIOUS, code="previous_response_not_found"))
            body["input"] = [*self._remembered[1], *body["input"]]
        return self.request(msgspec.json.encode(body))

    def remember(self, reply: Reply) -> None:
        """Remember the reply's turn, which may be continued; or nothing after a failure."""
        self._remembered = None
        if reply.stream is not None:
            turn = reply.stream.turn
            # Reasoning without encrypted content is not kept after the turn.
            kept = [item.finished() for item in turn.items]
            kept = [item for item in kept if item["type"] != "reasoning" or item["encrypted_content"]]
            self._remembered = (turn.id, [*self._said, *kept])


def _announcements(world: World, message: Mapping[str, Any]) -> tuple[Event, ...]:
    """The events that take the place of HTTP's headers."""
    state = (message.get("client_metadata") or {}).get(TURN_STATE) or f"ts_{secrets.token_hex(8)}"
    metadata = {"type": "response.metadata", "headers": {TURN_STATE: state}}
    return (metadata, limits_event(world.scenario.plan, world.allowance.windows()))


def error_message(reply: Reply) -> dict[str, Any]:
    """A refusal as the error message that a WebSocket carries."""
    body = reply.json if reply.body else {}
    reason = body.get("error", body or None)
    headers = {name: value for name, value in reply.headers if name != "content-type"}
    error = {} if reason is None else {"error": reason}
    return {"type": "error", "status": reply.status, **error, "headers": headers}
