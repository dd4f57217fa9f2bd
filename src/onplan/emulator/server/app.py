"""The routes, and the ASGI application that carries requests to handlers and replies back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any, Protocol

from onplan.emulator import control
from onplan.emulator.api import (
    chat,
    codex_account,
    codex_responses,
    images,
    plan,
    platform,
    platform_responses,
    search,
)
from onplan.emulator.api.conversation import Conversation
from onplan.emulator.sign_in import device, issuer, siwc
from onplan.emulator.wire.compression import compress
from onplan.emulator.wire.replies import LARGEST_BODY, Encode, Refusal, Reply, Request, detail
from onplan.emulator.wire.stream import Stream
from onplan.emulator.world import World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[World, Request], Reply]


class HangUp(Protocol):
    """Ends a request's connection; what was written still goes out, unless abruptly."""

    def __call__(self, scope: Scope, *, abruptly: bool) -> None:
        """End the connection."""


CODEX, WHAM = "/backend-api/codex", "/backend-api/wham"
RESETS = f"{WHAM}/rate-limit-reset-credits"
PLAN = "/plan/v1"

# (method, path) -> the endpoint's name in the tables of faults, and its handler
ROUTES: dict[tuple[str, str], tuple[str, Handler]] = {
    ("GET", "/.well-known/openid-configuration"): ("discovery", issuer.discovery),
    ("GET", "/.well-known/jwks.json"): ("jwks", issuer.jwks),
    ("GET", "/oauth/authorize"): ("authorize", issuer.authorize),
    ("POST", "/oauth/authorize"): ("authorize_decision", issuer.decide),
    ("POST", "/oauth/token"): ("token", issuer.token),
    ("POST", "/oauth/revoke"): ("revoke", issuer.revoke),
    ("POST", "/api/accounts/deviceauth/usercode"): ("device_usercode", device.user_code),
    ("POST", "/api/accounts/deviceauth/token"): ("device_token", device.poll),
    ("GET", "/codex/device"): ("device_page", device.show_page),
    ("POST", "/codex/device"): ("device_page", device.approve),
    ("POST", f"{CODEX}/responses"): ("responses", codex_responses.respond),
    ("GET", f"{CODEX}/responses"): ("responses_upgrade", codex_responses.upgrade),
    ("POST", f"{CODEX}/alpha/search"): ("search", search.search),
    ("GET", f"{CODEX}/models"): ("models", codex_account.models),
    ("POST", f"{CODEX}/images/generations"): ("images", images.of_the_plan),
    ("POST", f"{CODEX}/images/edits"): ("images", images.of_the_plan),
    ("GET", f"{WHAM}/accounts/check"): ("accounts_check", codex_account.accounts_check),
    ("GET", f"{WHAM}/usage"): ("usage", codex_account.usage),
    ("GET", RESETS): ("reset_credits", codex_account.reset_credits),
    ("POST", f"{RESETS}/consume"): (
        "reset_consume",
        codex_account.consume_reset_credit,
    ),
    ("GET", "/api/accounts/authorize"): ("siwc_authorize", siwc.authorize),
    ("POST", "/api/accounts/authorize"): ("siwc_decision", siwc.decide),
    ("POST", "/api/accounts/oauth/token"): ("siwc_token", siwc.token),
    ("POST", "/api/accounts/oauth/revoke"): ("siwc_revoke", siwc.revoke),
    ("GET", f"{PLAN}/models"): ("plan_models", plan.models),
    ("POST", f"{PLAN}/responses"): ("plan_responses", plan.respond),
    ("GET", "/v1/models"): ("platform_models", platform.served(platform.models)),
    ("POST", "/v1/responses"): ("responses", platform.served(platform_responses.respond)),
    ("POST", "/v1/images/generations"): ("images", platform.served(images.of_the_platform)),
    ("POST", "/v1/images/edits"): ("images", platform.served(images.of_the_platform)),
    ("POST", "/v1/chat/completions"): ("chat_completions", platform.served(chat.complete)),
}
CONTROLS: dict[tuple[str, str], Handler] = {
    ("GET", "/_emulator/journal"): control.show_journal,
    ("DELETE", "/_emulator/journal"): control.clear_journal,
    ("GET", "/_emulator/faults"): control.show_faults,
    ("POST", "/_emulator/faults"): control.arm_fault,
    ("DELETE", "/_emulator/faults"): control.disarm_faults,
    ("GET", "/_emulator/turns"): control.show_turns,
    ("POST", "/_emulator/turns"): control.add_turns,
    ("DELETE", "/_emulator/turns"): control.clear_turns,
    ("GET", "/_emulator/limits"): control.show_limits,
    ("POST", "/_emulator/limits"): control.set_limits,
    ("DELETE", "/_emulator/limits"): control.lift_limits,
    ("POST", "/_emulator/tokens"): control.change_tokens,
    ("POST", "/_emulator/consent"): control.change_consent,
    ("DELETE", "/_emulator/consent"): control.reset_consent,
}
# Which API says "not found" below a prefix; the first that fits.
UNKNOWN_PATHS: tuple[tuple[str, Handler], ...] = (
    (PLAN, plan.not_supported),
    ("/v1", codex_account.no_platform),
    ("", codex_account.not_found),
)


class App:
    """The ASGI application. `hang_up` ends a request's connection; only the server can do that."""

    def __init__(self, world: World, hang_up: HangUp) -> None:
        self.world = world
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = await _received(scope, receive)
        if request is None:
            return
        row, reply = self.answer(request)
        if reply.compressed or self.world.scenario.compress:
            reply = compress(reply, request.headers.get("accept-encoding", ""))
        sending = asyncio.ensure_future(self._send(reply, send, row))
        leaving = asyncio.ensure_future(_departure(receive))
        try:
            # When the client leaves, its reply is no longer worked on, even while nothing is being sent.
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            row["ended"] = sending.result() if sending.done() else "client_left"
            if row["ended"] in ("cut", "reset"):
                self._hang_up(scope, abruptly=row["ended"] == "reset")
                await leaving
        finally:
            sending.cancel()
            leaving.cancel()

    def answer(self, request: Request) -> tuple[dict[str, Any], Reply]:
        """The reply, and its row in the journal, which is updated while the reply is sent."""
        row: dict[str, Any] = {}
        with self.world.lock:
            if not request.path.startswith(control.PREFIX):
                row = self.world.journal.record(request)
            return row, self._answer(request)

    def answer_message(self, conversation: Conversation, text: bytes) -> tuple[dict[str, Any], Reply]:
        """The reply to a message over a WebSocket, and its row in the journal."""
        request = conversation.request(text)
        with self.world.lock:
            row = self.world.journal.record(request)
            row["transport"] = "websocket"
            reply = self._answer_or_fault("responses_message", conversation.create, request)
            conversation.remember(reply)
            return row, reply

    def _answer(self, request: Request) -> Reply:
        handler = CONTROLS.get((request.method, request.path))
        if handler is not None:
            return control.complaint_of(self.world, request) or handler(self.world, request)
        route = ROUTES.get((request.method, request.path))
        name, handler = route or ("", _unknown_path(request.path))
        endpoint = f"{name}:{issuer.grant_of(request)}" if name in ("token", "siwc_token") else name
        return self._answer_or_fault(endpoint, handler, request)

    def _answer_or_fault(self, endpoint: str, handler: Handler, request: Request) -> Reply:
        """The handler's answer, or what an armed fault makes of it."""
        fault = self.world.faults.take(endpoint, request)
        if fault is None:
            return self._handled(endpoint, handler, request)
        reply = fault.instead() if fault.instead else self._handled(endpoint, handler, request)
        return replace(fault.after(reply) if fault.after else reply, delay=fault.delay)

    def _handled(self, endpoint: str, handler: Handler, request: Request) -> Reply:
        try:
            reply = handler(self.world, request)
        except Refusal as refusal:
            reply = refusal.reply
        return self.world.script.after(reply, endpoint)

    async def _send(self, reply: Reply, send: Send, row: dict[str, Any]) -> str:
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.ending == "reset":
            return "reset"
        row["status"] = reply.status
        headers = [(name.encode(), value.encode()) for name, value in reply.headers]
        body = reply.body
        if reply.stream is None:
            body = reply.encode(body) + reply.encode(None) if reply.encode else body
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if reply.stream is not None:
            return await self._send_stream(reply.stream, reply.encode, send)
        cut = reply.ending == "cut"
        part = body[: len(body) // 2] if cut else body
        await send({"type": "http.response.body", "body": part, "more_body": cut})
        return reply.ending

    async def _send_stream(self, stream: Stream, encode: Encode | None, send: Send) -> str:
        for number, write in enumerate(stream.writes()):
            if stream.interval and number:
                await asyncio.sleep(stream.interval)
            encoded = encode(write) if encode else write
            await send({"type": "http.response.body", "body": encoded, "more_body": True})
        if stream.breaks == "stall":
            await self.stall()
        if stream.breaks is not None:
            return "cut"
        last = encode(None) if encode else b""
        await send({"type": "http.response.body", "body": last, "more_body": False})
        return "complete"

    async def stall(self) -> None:
        """Wait until the streams that stall are ended."""
        loop, released = asyncio.get_running_loop(), asyncio.Event()

        def release() -> None:
            loop.call_soon_threadsafe(released.set)

        self.world.stalls.add(release)
        try:
            await released.wait()
        finally:
            self.world.stalls.discard(release)


async def _received(scope: Scope, receive: Receive) -> Request | None:
    """The whole request; None when the client left before it was complete."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        size += len(message.get("body", b""))
        if size <= LARGEST_BODY:
            chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    raw = b"".join(chunks) if size <= LARGEST_BODY else b""
    return Request(scope["method"], scope["path"], query, headers, raw)


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _unknown_path(path: str) -> Handler:
    known = {route for _, route in ROUTES}
    if path in known and not path.startswith(PLAN):
        return lambda world, request: detail("Method Not Allowed", 405)
    return next(handler for prefix, handler in UNKNOWN_PATHS if path.startswith(prefix))
