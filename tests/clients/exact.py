"""A server that answers with exact bytes, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass
class Answer:
    """What one request is answered with.

    Attributes:
        pieces: the body, each piece written apart, with ``pause`` seconds after it.
        end: ``whole`` ends it as HTTP does, ``broken`` without the last chunk, ``open`` never.
    """

    pieces: list[bytes]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)
    end: str = "whole"
    pause: float = 0.0


@dataclass
class Exact:
    """Asks ``answer`` what to say to each request.

    Attributes:
        bodies: what was asked, decoded.
    """

    answer: Callable[[Body], Answer]
    bodies: list[Body] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = next((line for line in head.split("\r\n") if line.startswith("content-length:")), ":0")
        body = json.loads(await reader.readexactly(int(length.partition(":")[2])))
        self.bodies.append(body)
        answer = self.answer(body)
        lines = {"content-type": answer.content_type, "transfer-encoding": "chunked", "connection": "close"}
        fields = "".join(f"{name}: {value}\r\n" for name, value in (lines | answer.headers).items())
        writer.write(f"HTTP/1.1 {answer.status} Said\r\n{fields}\r\n".encode())
        for piece in answer.pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            if answer.pause:
                await asyncio.sleep(answer.pause)
        if answer.end == "open":
            await reader.read()  # until the client leaves
        if answer.end == "whole":
            writer.write(b"0\r\n\r\n")
        await writer.drain()


def events(*values: Any) -> bytes:
    """Values as server-sent events."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def said(*values: Any, **options: Any) -> Answer:
    """A stream of these events."""
    return Answer([events(*values)], **options)


def refused(value: Any, status: int = 400) -> Answer:
    """A refusal in JSON."""
    return Answer([json.dumps(value).encode()], status, "application/json")


def chunk(delta: Body | None = None, finish_reason: str | None = None, **more: Any) -> Body:
    """One chunk of Chat Completions."""
    return {
        "id": "c",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish_reason}],
        **more,
    }


USAGE = {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


def completed(text: str = "ok") -> Body:
    """The last event of a Responses stream that said ``text``."""
    message = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": text}]}
    return {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [message]}}


def spoken(body: Body, text: str = "ok") -> Answer:
    """``text`` as the answer to ``body``, on the wire that it came over, streamed if it asks for that."""
    if "input" in body:
        return said(completed(text))
    if body.get("stream"):
        return said(chunk({"content": text}), chunk({}, "stop"), "[DONE]")
    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    document = {"id": "c", "object": "chat.completion", "model": "m", "choices": [message]}
    return Answer([json.dumps(document).encode()], content_type="application/json")
