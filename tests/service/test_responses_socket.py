"""A WebSocket of a client: each message is a request, and the connection remembers its latest responses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

import onplan
from onplan.dialects.served import ServedRequest
from onplan.emulator import Emulator
from onplan.service import Service
from onplan.service.responses_socket import ResponsesSocket

from ..conftest import eventually

MODEL = "gpt-5.5"
SPOKEN = b'{"type":"response.create","model":"gpt-5.5","input":"a b"}'


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def connected(use: Callable[[ResponsesSocket], Awaitable[None]], **client: Any) -> None:
    """Run ``use`` with one connection."""

    async def main() -> None:
        async with onplan.AsyncClient(**client) as asked:
            socket = Service(asked).open_socket(ServedRequest("GET", "/v1/responses", {"session-id": "s"}))
            assert socket is not None
            await use(socket)

    asyncio.run(main())


async def ask(socket: ResponsesSocket, **fields: Any) -> list[dict[str, Any]]:
    """All that answers one request."""
    message = msgspec.json.encode({"type": "response.create", "model": MODEL, **fields})
    return [msgspec.json.decode(frame) async for frame in socket.answer(message)]


def inputs(emulator: Emulator) -> list[Any]:
    """What the backend was sent over WebSockets: the new items of each message."""
    return [row["body"]["input"] for row in emulator.journal() if row.get("transport") == "websocket"]


def test_each_message_is_answered_by_events(signed_in: Emulator) -> None:
    """They are those of the stream, one in each frame, numbered from 0; a string is taken as input."""

    async def use(socket: ResponsesSocket) -> None:
        events = await ask(socket, input="one two")
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[0]["type"] == "response.created"
        assert events[-1]["type"] == "response.completed"
        assert events[-1]["response"]["output"][-1]["content"][0]["text"] == "You said: one two"

    connected(use)


def test_a_conversation_is_prepared_and_continued(signed_in: Emulator) -> None:
    """A request with generate false is answered at once; later ones bring only what is new, on both sides."""

    async def use(socket: ResponsesSocket) -> None:
        prepared = await ask(socket, input=[{**user("Be brief"), "role": "developer"}], generate=False)
        assert [event["type"] for event in prepared] == ["response.created", "response.completed"]
        assert prepared[-1]["response"]["output"] == []
        first = await ask(
            socket, input=[user("One")], previous_response_id=prepared[0]["response"]["id"], store=False
        )
        second = await ask(
            socket, input=[user("Two")], previous_response_id=first[-1]["response"]["id"], store=False
        )
        assert second[-1]["type"] == "response.completed"

    connected(use)
    assert [[item["content"][0]["text"] for item in items] for items in inputs(signed_in)] == [
        ["Be brief"],
        ["One"],
        ["Two"],
    ]


def test_what_was_not_stored_is_forgotten_with_the_connection(signed_in: Emulator) -> None:
    """Another connection cannot go on from it; the error has Codex CLI send everything again."""

    async def use(socket: ResponsesSocket) -> None:
        answered = await ask(socket, input="One", store=False)
        again = await ask(socket, input="Two", previous_response_id=answered[-1]["response"]["id"])
        other = ResponsesSocket(socket._responses, ServedRequest("GET", "/v1/responses"))
        [error] = await ask(other, input="Two", previous_response_id=answered[-1]["response"]["id"])
        assert again[-1]["type"] == "response.completed"
        assert (error["type"], error["status"]) == ("error", 400)
        assert error["error"]["code"] == "previous_response_not_found"

    connected(use)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b'{"type":"response.steer"}', "invalid_value"),
        (b'{"type":7}', "invalid_json"),
        (b'{"type":"response.create","model":"gpt-5.5"}', "missing_required_parameter"),
        (b'{"type":"response.create","model":"gpt-5.5","input":[7]}', "invalid_value"),
        (b'{"type":"response.create","model":"gpt-none","input":"x"}', "model_not_found"),
    ],
)
def test_a_bad_message_is_answered_by_one_error(signed_in: Emulator, message: bytes, code: str) -> None:
    """It has a status, without which Codex CLI ignores it; the connection stays usable."""

    async def use(socket: ResponsesSocket) -> None:
        [error] = [msgspec.json.decode(frame) async for frame in socket.answer(message)]
        assert error["type"] == "error"
        assert error["status"] in (400, 404)
        assert error["error"]["code"] == code
        assert (await ask(socket, input="x"))[-1]["type"] == "response.completed"

    connected(use)


def test_one_response_at_a_time(signed_in: Emulator) -> None:
    """A second request while one is answered gets an error; the first is not disturbed."""

    async def use(socket: ResponsesSocket) -> None:
        first = socket.answer(
            msgspec.json.encode({"type": "response.create", "model": MODEL, "input": "a b"})
        )
        begun = await anext(first)
        [error] = await ask(socket, input="c")
        rest = [frame async for frame in first]
        assert msgspec.json.decode(begun)["type"] == "response.created"
        assert error["error"]["code"] == "response_in_progress"
        assert msgspec.json.decode(rest[-1])["type"] == "response.completed"

    connected(use)


@pytest.mark.parametrize("transport", ["auto", "sse"])
def test_an_answer_that_breaks_is_an_error(signed_in: Emulator, transport: str) -> None:
    """After the first event the client gets an error with a status, and response.failed: no clean end."""
    signed_in.arm("cut_mid_event", 9)

    async def use(socket: ResponsesSocket) -> None:
        events = await ask(socket, input="one two three")
        types = [event["type"] for event in events]
        assert "response.completed" not in types
        assert types[-2:] == ["error", "response.failed"]
        assert events[-2]["status"] == 502

    connected(use, transport=transport, retry=1)


def test_leaving_ends_the_answer(signed_in: Emulator) -> None:
    """A client that leaves in the middle ends the request at the backend; the next one is answered."""

    async def use(socket: ResponsesSocket) -> None:
        frames = socket.answer(
            msgspec.json.encode({"type": "response.create", "model": MODEL, "input": "a b"})
        )
        await anext(frames)
        await frames.aclose()
        assert (await ask(socket, input="x"))[-1]["type"] == "response.completed"

    connected(use)


def test_a_question_that_is_left_before_its_answer_begins_counts(signed_in: Emulator) -> None:
    """By an estimate: no limit can be evaded by leaving early. One that fails takes nothing."""
    told: list[tuple[str | None, onplan.Usage]] = []

    async def use(socket: ResponsesSocket) -> None:
        socket.on_usage = lambda model, usage: told.append((model, usage))
        signed_in.arm("slow_first_byte", seconds=600)
        asking = asyncio.create_task(ask(socket, input="x" * 4_000))
        assert await asyncio.to_thread(eventually, lambda: _has_been_asked(signed_in))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert [(model, usage.prompt_tokens >= 1_000) for model, usage in told] == [(None, True)]
        signed_in.arm("empty_500")
        assert [event["type"] for event in await ask(socket, input="x")] == ["error"]
        assert len(told) == 1

    connected(use, transport="sse", retry=1)


def _has_been_asked(emulator: Emulator) -> bool:
    return any(row["path"].endswith("/responses") for row in emulator.journal())
