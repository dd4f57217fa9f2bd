"""The ASGI application: lets requests in, has them answered in turn, and counts them. Needs no framework."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from uvicorn.protocols.utils import ClientDisconnected

from onplan.dialects.openai_errors import failure_reply, refusal
from onplan.dialects.served import ServedReply, ServedRequest, estimated_usage
from onplan.errors import OnplanError
from onplan.server.asgi import CONNECTION, LeavingClient, Receive, Scope, Send
from onplan.server.bodies import ClientLeftError, Room, overloaded, read_body, too_many_large
from onplan.server.guard import Guard, Head, not_a_handshake, repeated
from onplan.server.keys import Keys
from onplan.server.ledger import Ledger
from onplan.server.limits import UNLIMITED, KeyLimits, admit, count
from onplan.server.messages import serve_messages
from onplan.server.metrics import Metrics
from onplan.server.options import ServerOptions
from onplan.server.pages import Pages, Plan
from onplan.server.queue import FairQueue, FullError
from onplan.server.sending import encoded, send_reply
from onplan.server.websocket import REFUSED
from onplan.service.responses_socket import ResponsesSocket
from onplan.service.service import stamped
from onplan.types import Usage

logger = logging.getLogger("onplan.server")
access = logging.getLogger("onplan.server.access")


class Answers(Protocol):
    """What answers requests: a ``Service``."""

    async def answer(self, request: ServedRequest) -> ServedReply:
        """The reply."""
        ...

    def open_socket(self, request: ServedRequest) -> ResponsesSocket | None:
        """What answers over a WebSocket that ``request`` opens; None if there is none at its path."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application works with.

    Attributes:
        service_of: the service that answers a caller, by its identity and what it may use.
        plan: says what the plan has left.
        ledger: keeps what each key has used.
        metrics: counts.
    """

    service_of: Callable[[str, KeyLimits], Answers]
    plan: Plan
    ledger: Ledger
    metrics: Metrics


class App:
    """The ASGI application.

    Args:
        options: what the person decided.
        keys: which keys are accepted.
        parts: what it works with.
    """

    def __init__(self, options: ServerOptions, keys: Keys, parts: Parts) -> None:
        self._parts, self._ledger, self._metrics = parts, parts.ledger, parts.metrics
        self._pages = Pages(parts.plan, parts.ledger, parts.metrics)
        self._queue = FairQueue(options.max_requests, options.max_waiting)
        self._room = Room(8 * options.max_body)
        self.is_draining, self._draining = False, asyncio.Event()
        self.reload(options, keys)
        self._streams = 0
        self._uncounted: dict[str, _Uncounted] = {}  # by callers without limits

    def reload(self, options: ServerOptions, keys: Keys) -> None:
        """Let in by other keys, hosts and origins from now on; what runs goes on."""
        self._options, self._keys = options, keys
        self._guard = Guard(options, keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.monotonic()
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        pairs = scope["headers"]
        head = Head(scope["method"], scope["path"], _decoded(pairs))
        decision = _repeated(pairs, head) or self._guard.decide(head)
        if isinstance(decision, str) and head.headers.get("upgrade", "").lower() == "websocket":
            decision = not_a_handshake()
        if isinstance(decision, ServedReply):
            await self._send(_Asked(head, "", began), send, decision)
            return
        asked = _Asked(head, decision, began, self._keys.identity_of(decision))
        try:  # noqa: SIM105 - ``suppress`` takes longer
            await self._answer(asked, scope, receive, send)
        except ClientLeftError:
            pass

    def drain(self) -> None:
        """Let no more requests in; what runs goes on."""
        self.is_draining = True
        self._draining.set()

    def tick(self) -> None:
        """Write down what was counted since the last time, and what is running now."""
        self._metrics.tick()
        uncounted, self._uncounted = self._uncounted, {}
        for caller, each in uncounted.items():
            with self._ledger.change(caller) as used:
                used.requests += each.requests
                count(used, Usage(each.prompt_tokens, each.completion_tokens), time.time())
        self._metrics.running.set(self._queue.running)
        self._metrics.waiting.set(self._queue.waiting)
        self._metrics.streams.set(self._streams)

    async def _answer(self, asked: _Asked, scope: Scope, receive: Receive, send: Send) -> None:
        head = asked.head
        reply = await self._page(asked) if head.path in PAGES else None
        reply = reply or self._admit(asked, head.method)
        if reply is None:
            body = await read_body(receive, head.headers, self._options.max_body, self._room)
            if isinstance(body, bytes):
                query = scope["query_string"].decode("latin-1")
                request = ServedRequest(head.method, head.path, head.headers, body, query, asked.identity)
                connection = scope["extensions"][CONNECTION]
                if not self._room.counts(body):
                    await self._serve(asked, request, connection, send)
                    return
                with self._room.held(body) as is_room:
                    if is_room:
                        await self._serve(asked, request, connection, send)
                        return
                body = too_many_large()
            reply = body
        await self._send(asked, send, reply)

    async def _page(self, asked: _Asked) -> ServedReply:
        """The reply of the server itself."""
        path = asked.head.path
        if asked.head.method not in ("GET", "HEAD"):
            message = f"{path} takes GET, not {asked.head.method}."
            return refusal(405, "method_not_allowed", message, headers={"allow": "GET, HEAD"})
        if path in ("/", "/healthz"):
            return ServedReply.json({"status": "ok"})
        if path == "/readyz":
            return await self._pages.ready(draining=self.is_draining)
        if path == "/openapi.json":
            return self._pages.document()
        self.tick()
        if path == "/metrics":
            return self._pages.metrics()
        return await self._pages.usage(asked.caller, self._keys)

    def _admit(self, asked: _Asked, method: str) -> ServedReply | None:
        """Count the request against the limits of its key; or the refusal."""
        if self.is_draining:
            return overloaded("The server is about to end.")
        if method != "POST":
            return None
        limits = self._keys.limits.get(asked.caller)
        if limits is None:
            self._uncounted_of(asked.caller).requests += 1
            return None
        with self._ledger.change(asked.caller) as used:
            return admit(limits, used, time.time())

    def _service_of(self, asked: _Asked) -> Answers:
        limits = self._keys.limits.get(asked.caller, UNLIMITED)
        return self._parts.service_of(asked.identity, limits)

    async def _serve(
        self, asked: _Asked, request: ServedRequest, connection: LeavingClient, send: Send
    ) -> None:
        """Have the service answer, in the caller's turn; end it when the client leaves."""
        answering = asyncio.current_task()
        assert answering is not None  # noqa: S101 - this is a coroutine of a task

        def leave() -> None:
            asked.has_left = True
            answering.cancel()

        connection.on_departure = leave
        try:
            if not self._queue.enter_at_once():
                await self._queue.enter(asked.caller)
            asked.size = len(request.body)  # of what is asked from now on, also if the client leaves
            try:
                reply = await self._service_of(asked).answer(request)
                await self._send(asked, send, reply)
            finally:
                self._queue.leave()
        except FullError:
            await self._send(asked, send, overloaded("Too many requests are waiting."))
        except asyncio.CancelledError:
            if not asked.is_answered and request.method == "POST":
                self._count(asked.caller, None, estimated_usage(asked.size, 0))
            if not asked.has_left:
                if asked.is_answered:
                    raise
                await self._send(asked, send, overloaded("The server ends."))
        except OnplanError as error:
            await self._fail(asked, send, failure_reply(error))
        except Exception:
            logger.exception("a request of %s failed", asked.caller)
            await self._fail(asked, send, _unexpected_failure())
        finally:
            connection.on_departure = None

    async def _send(self, asked: _Asked, send: Send, reply: ServedReply) -> None:
        head = asked.head
        self._note(asked, reply.status)
        asked.is_answered = True
        more = dict(self._guard.cross_origin(head)) if "origin" in head.headers else {}
        if self.is_draining:
            more["connection"] = "close"
        is_stream = not isinstance(reply.body, bytes)
        self._streams += is_stream
        try:
            await send_reply(send, stamped(reply), head.method, more)
        finally:
            self._streams -= is_stream
            usage = reply.usage or (estimated_usage(asked.size, reply.sent) if is_stream else None)
            if usage is not None:
                self._count(asked.caller, reply.model, usage)

    def _note(self, asked: _Asked, status: int) -> None:
        """Count a reply, and log it where that is wanted."""
        head, seconds = asked.head, time.monotonic() - asked.began
        self._metrics.answered(head.path, status, seconds)
        if self._options.access_log:
            path = ascii(head.path)[1:-1]
            access.info("%s %s %s %d %.1f ms", asked.caller or "-", head.method, path, status, seconds * 1000)

    def _count(self, caller: str, model: str | None, usage: Usage) -> None:
        self._metrics.used(model or _UNKNOWN, usage)
        if caller in self._keys.limits:
            with self._ledger.change(caller) as used:
                count(used, usage, time.time())
            return
        uncounted = self._uncounted_of(caller)
        uncounted.prompt_tokens += usage.prompt_tokens
        uncounted.completion_tokens += usage.completion_tokens

    def _uncounted_of(self, caller: str) -> _Uncounted:
        found = self._uncounted.get(caller)
        if found is None:
            found = self._uncounted[caller] = _Uncounted()
        return found

    async def _fail(self, asked: _Asked, send: Send, reply: ServedReply) -> None:
        """Tell of a failure. In the middle of another reply nothing is said, and uvicorn cuts it off."""
        if not asked.is_answered:
            await self._send(asked, send, reply)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        pairs = scope["headers"]
        head = Head("GET", scope["path"], _decoded(pairs))
        decision = _repeated(pairs, head) or self._guard.decide(head)
        caller = decision if isinstance(decision, str) else ""
        asked = _Asked(head, caller, time.monotonic(), self._keys.identity_of(caller))
        if isinstance(decision, str) and (why := scope["extensions"].get(REFUSED)):
            decision = not_a_handshake(why)
        socket = decision if isinstance(decision, ServedReply) else self._open_socket(asked)
        if isinstance(socket, ServedReply):
            await self._refuse_websocket(asked, receive, send, socket)
            return
        self._note(asked, _SWITCHING_PROTOCOLS)
        socket.on_usage = partial(self._count, asked.caller)
        await serve_messages(socket, receive, send, partial(self._in_turn, asked), self._draining)

    def _open_socket(self, asked: _Asked) -> ResponsesSocket | ServedReply:
        """What answers over a WebSocket; or the refusal."""
        if self.is_draining:
            return overloaded("The server is about to end.")
        request = ServedRequest("GET", asked.head.path, asked.head.headers, caller=asked.identity)
        try:
            socket = self._service_of(asked).open_socket(request)
        except OnplanError as error:
            return failure_reply(error)
        return socket or refusal(426, "upgrade_required", "There is no WebSocket at this path.")

    async def _refuse_websocket(
        self, asked: _Asked, receive: Receive, send: Send, reply: ServedReply
    ) -> None:
        self._note(asked, reply.status)
        await receive()
        headers = encoded(stamped(reply).headers)
        await send({"type": "websocket.http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": reply.body})

    async def _in_turn(self, asked: _Asked, answer: Callable[[], Awaitable[None]]) -> ServedReply | None:
        """Answer one message of a WebSocket in the caller's turn; or the refusal."""
        decision = self._guard.decide(asked.head)  # its key may have been removed since it was opened
        refused = decision if isinstance(decision, ServedReply) else self._admit(asked, "POST")
        if refused is not None:
            return refused
        try:
            await self._queue.enter(asked.caller)
        except FullError:
            return overloaded("Too many requests are waiting.")
        try:
            await answer()
        except ClientDisconnected:
            return None
        except Exception:
            logger.exception("a request of %s failed", asked.caller)
            return _unexpected_failure()
        finally:
            self._queue.leave()
        return None


@dataclass(slots=True)
class _Asked:
    """One request: its head, who asks, when it began; whether its reply has begun, and its client left."""

    head: Head
    caller: str
    began: float
    identity: str = ""
    size: int = 0  # of the body, in bytes; 0 until its turn has come
    is_answered: bool = False
    has_left: bool = False


@dataclass(slots=True)
class _Uncounted:
    """What a caller has used since the last tick."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


_UNKNOWN = "unknown"  # the model of an answer of which not so much was told
_SWITCHING_PROTOCOLS = 101  # the status with which a connection becomes a WebSocket
PAGES = frozenset({"/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/usage", "/usage"})


def _unexpected_failure() -> ServedReply:
    message = "The server failed; its log says more."
    return refusal(500, "internal_error", message, type="server_error")


def _decoded(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}


def _repeated(pairs: Sequence[tuple[bytes, bytes]], head: Head) -> ServedReply | None:
    return None if len(pairs) == len(head.headers) else repeated(pairs)
