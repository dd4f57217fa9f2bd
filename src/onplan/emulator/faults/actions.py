"""What faults do to an answer: the functions that the tables share, and the endpoints that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from onplan.emulator.wire.replies import Ending, Headers, Reply, api_error
from onplan.emulator.wire.stream import Alteration, Frame

RESPONSES = ("responses", "responses_message", "plan_responses")
SSE = ("responses", "plan_responses")
# For pages and headers: over a WebSocket they come with the upgrade.
HEADS = ("responses", "responses_upgrade", "plan_responses")
TEXT_DELTA = "response.output_text.delta"
# What the model writes for functions, and for custom tools.
_CALLS = ("response.function_call_arguments", "response.custom_tool_call_input")
CALL_DELTAS = tuple(f"{name}.delta" for name in _CALLS)
CALL_DONES = tuple(f"{name}.done" for name in _CALLS)
OVERLOADED = "Our servers are currently overloaded. Please try again later."
# Headers of Cloudflare's own answers.
RAY = (("server", "cloudflare"), ("cf-ray", "9a1b2c3d4e5f6a7b-AMS"))


# --- other replies ------------------------------------------------------------------------------------


def error(status: int, message: str, *, headers: Headers = (), **fields: Any) -> Callable[[], Reply]:
    """A reply in the platform's error shape."""
    return lambda: api_error(message, status=status, headers=headers, **fields)


def server_error() -> Reply:
    """500 in the platform's error shape."""
    return api_error("Internal server error", kind="server_error", status=500)


def ended(ending: Ending) -> Callable[[Reply], Reply]:
    """The reply with another ending of the connection."""
    return lambda reply: replace(reply, ending=ending)


def changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Reply], Reply]:
    """The JSON body changed, if the status is 200."""

    def after(reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        return replace(reply, body=msgspec.json.encode(change(reply.json)))

    return after


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The fields except one."""
    return lambda tokens: {key: value for key, value in tokens.items() if key != name}


def redirected(change: Callable[[dict[str, str]], dict[str, str]]) -> Callable[[Reply], Reply]:
    """The query of a redirect changed, if the reply is one."""

    def after(reply: Reply) -> Reply:
        location = reply.header("location")
        if location is None:
            return reply
        parts = urlsplit(location)
        query = urlencode(change(dict(parse_qsl(parts.query))))
        others = tuple(pair for pair in reply.headers if pair[0] != "location")
        return replace(reply, headers=(("location", urlunsplit(parts._replace(query=query))), *others))

    return after


# --- other streams ------------------------------------------------------------------------------------


def kind_of(frame: Frame) -> str:
    """The type of an event; empty for raw bytes."""
    return "" if isinstance(frame, bytes) else str(frame["type"])


def streaming(**changes: Any) -> Callable[[Reply], Reply]:
    """The stream with other settings, such as its framing or where it breaks."""
    return lambda reply: (
        reply if reply.stream is None else replace(reply, stream=replace(reply.stream, **changes))
    )


def altered(alteration: Alteration) -> Callable[[Reply], Reply]:
    """The stream with changed events."""
    return streaming(alteration=alteration)


def fails(code: str, message: str, *, after: str = "response.in_progress", bare: str = "no") -> Alteration:
    """End with response.failed after the first event of type `after`.

    `bare`: "before" sends a bare `error` event first, "instead" sends only that.
    """

    def alter(frames: Iterable[Frame]) -> Iterator[Frame]:
        response: dict[str, Any] = {}
        for frame in frames:
            yield frame
            response = frame.get("response", response) if isinstance(frame, dict) else response
            if kind_of(frame) == after:
                break
        if bare != "no":
            yield {"type": "error", "code": code, "message": message, "param": None}
        if bare != "instead":
            failed = {**response, "status": "failed", "error": {"code": code, "message": message}}
            yield {"type": "response.failed", "response": failed}

    return alter
