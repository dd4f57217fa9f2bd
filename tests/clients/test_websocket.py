"""The asynchronous client over WebSocket: what goes over it, how long it lives, when it is given up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest

import onplan
from onplan import CompletionRequest, Message, RetryPolicy, Timeouts, ToolDefinition, ToolResult
from onplan.emulator import Emulator, Options, Scenario
from onplan.emulator.options import Answer
from onplan.transports import websocket
from onplan.turn import fallback

FAST = RetryPolicy(wait_initial=0.01)
TOOL = ToolDefinition(
    name="look", parameters={"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
)


class Conversation:
    """A program that keeps its history and appends each answer to it."""

    def __init__(self, client: onplan.AsyncClient, **options: Any) -> None:
        self.client, self.options = client, {"model": "gpt-5.5", **options}
        self.messages: list[Message] = []

    @property
    def request(self) -> CompletionRequest:
        return CompletionRequest(messages=self.messages, **self.options)

    async def say(self, text: str, **options: Any) -> onplan.CompletionResponse:
        self.options.update(options)
        return await self.go_on(Message.user(text))

    async def go_on(self, message: Message) -> onplan.CompletionResponse:
        self.messages = [*self.messages, message]
        response = await self.client.complete(self.request)
        self.messages = [*self.messages, response.message]
        return response


def turns(emulator: Emulator) -> list[dict[str, Any]]:
    return [row for row in emulator.journal() if row["method"] == "POST" and "/responses" in row["path"]]


def upgrades(emulator: Emulator) -> list[int]:
    rows = emulator.journal()
    return [row["status"] for row in rows if row["method"] == "GET" and row["path"].endswith("/responses")]


def said(row: dict[str, Any]) -> list[str]:
    """The kinds of the items of a request."""
    return [item["type"] for item in row["body"]["input"]]


def wires(emulator: Emulator) -> list[str]:
    return [row.get("transport", "http") for row in turns(emulator)]


async def until(true: Callable[[], bool]) -> None:
    """The emulator notices on its own thread."""
    for _ in range(2_000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")


class TestWhatIsSaid:
    async def test_one_connection_serves_a_conversation(self, signed_in: Emulator) -> None:
        """The first turn opens it; the later ones say only what is new, and find the rest in the cache."""
        async with onplan.AsyncClient() as client:
            talk = Conversation(client)
            answers = [await talk.say(text) for text in ("one " * 100, "two", "three")]

        assert [answer.text for answer in answers] == [
            f"You said: {t}" for t in ("one " * 100, "two", "three")
        ]
        assert upgrades(signed_in) == [101]
        assert wires(signed_in) == ["websocket"] * 3
        assert [said(row) for row in turns(signed_in)] == [["message"]] * 3
        previous = [row["body"].get("previous_response_id") for row in turns(signed_in)]
        assert previous == [None, answers[0].response_id, answers[1].response_id]
        assert answers[2].usage.cache_read_tokens > 0

    async def test_the_result_of_a_call_is_enough(self, signed_in: Emulator) -> None:
        """A tool's result goes alone, with the turn's state; the next question begins a turn without one."""
        async with onplan.AsyncClient() as client:
            talk = Conversation(client, tools=[TOOL])
            (call,) = (await talk.say("look")).tool_calls
            answer = await talk.go_on(Message("tool", [ToolResult(call.id, "a bird")]))
            await talk.say("thanks", tool_choice="auto")

        assert answer.text == "look returned: a bird"
        first, second, third = turns(signed_in)
        assert [said(row) for row in (second, third)] == [["function_call_output"], ["message"]]
        assert "client_metadata" not in first["body"]
        assert second["body"]["client_metadata"]["x-codex-turn-state"].startswith("ts_")
        assert "client_metadata" not in third["body"]

    async def test_a_program_may_stop_at_done(self, signed_in: Emulator) -> None:
        """Leaving at the last chunk leaves a connection that the next turn goes on with."""
        async with onplan.AsyncClient() as client:
            talk = Conversation(client)
            for text in ("one", "two"):
                talk.messages.append(Message.user(text))
                async with aclosing(client.complete_stream(talk.request)) as stream:
                    async for chunk in stream:
                        if chunk.type == "done":
                            break
                talk.messages.append(chunk.response.message)

        assert upgrades(signed_in) == [101]
        assert turns(signed_in)[1]["body"]["previous_response_id"]

    @pytest.mark.parametrize(
        "change",
        [
            lambda talk: talk.messages.__setitem__(1, Message.assistant("I said nothing of the kind.")),
            lambda talk: talk.messages.__setitem__(0, Message.user("another question")),
            lambda talk: talk.messages.pop(),
            lambda talk: talk.options.update(reasoning_effort="high"),
            lambda talk: talk.options.update(tools=[TOOL], tool_choice="none"),
        ],
        ids=["answer", "question", "forgotten", "effort", "tools"],
    )
    async def test_what_has_changed_is_said_in_whole(
        self, signed_in: Emulator, change: Callable[[Conversation], Any]
    ) -> None:
        """Another history, or other parameters, and all is said again, on the same connection."""
        async with onplan.AsyncClient() as client:
            talk = Conversation(client, session_id="s-1")
            await talk.say("one")
            change(talk)
            await talk.say("two")
            await talk.say("three")

        assert upgrades(signed_in) == [101]
        first, second, third = [row["body"] for row in turns(signed_in)]
        assert "previous_response_id" not in second
        assert len(second["input"]) == len(talk.messages) - 3 + (
            talk.messages[1].content[0].type == "thinking"
        )
        assert third["previous_response_id"]
        assert first["prompt_cache_key"] == second["prompt_cache_key"] == "s-1"

    async def test_an_answer_that_was_cut_is_not_gone_on_from(self, signed_in: Emulator) -> None:
        """After a limit the next turn says everything again."""
        signed_in.arm("incomplete_max_output_tokens")
        async with onplan.AsyncClient() as client:
            talk = Conversation(client)
            assert (await talk.say("one")).finish_reason == "length"
            await talk.say("two")

        assert upgrades(signed_in) == [101]
        assert "previous_response_id" not in turns(signed_in)[1]["body"]

    async def test_two_turns_at_once_have_their_own(self, signed_in: Emulator) -> None:
        """Conversations that begin alike share a session, not a connection; each goes on from its own."""
        async with onplan.AsyncClient() as client:
            talks = [Conversation(client, session_id="s-1") for _ in range(2)]
            await asyncio.gather(*(talk.say("hello") for talk in talks))
            answers = await asyncio.gather(*(talk.say(f"number {n}") for n, talk in enumerate(talks)))
            answers += [await talk.say(f"again {n}") for n, talk in enumerate(talks)]

        assert [answer.text[10:] for answer in answers] == ["number 0", "number 1", "again 0", "again 1"]
        assert upgrades(signed_in) == [101, 101]
        assert all("previous_response_id" in row["body"] for row in turns(signed_in)[2:])

    async def test_what_is_sent_after_ten_turns(self, signed_in: Emulator) -> None:
        """An eleventh turn sends under a tenth of the bytes that it takes over SSE."""
        sent: dict[str, int] = {}
        for transport in ("sse", "websocket"):
            async with (
                counting_proxy(signed_in) as (base_url, counted),
                onplan.AsyncClient(transport=transport, base_url=base_url) as client,
            ):
                talk = Conversation(client)
                for n in range(10):
                    await talk.say(f"{n} " + "and so on " * 30)
                before = counted[0]
                await talk.say("and at last?")
                sent[transport] = counted[0] - before

        assert sent["websocket"] < sent["sse"] / 10

    async def test_a_prewarmed_conversation_has_less_to_say(self, signed_in: Emulator) -> None:
        """The connection is open, and what comes before the first question has been heard."""
        async with onplan.AsyncClient() as client:
            talk = Conversation(client, session_id="s-1", tools=[TOOL], tool_choice="none")
            talk.messages.append(Message.system("Be brief. " * 50))
            await client.prewarm(talk.request)
            answer = await talk.say("one")

        assert answer.text == "You said: one"
        assert upgrades(signed_in) == [101]
        prewarm, first = [row["body"] for row in turns(signed_in)]
        assert prewarm["generate"] is False
        assert (len(first["input"]), "previous_response_id" in first) == (1, True)

    async def test_prewarming_needs_a_name(self, signed_in: Emulator) -> None:
        """Without a session_id nobody would recognise it; without WebSocket there is nothing to prepare."""
        async with onplan.AsyncClient() as client:
            with pytest.raises(onplan.InvalidRequestError, match="session_id"):
                await client.prewarm(CompletionRequest(messages="hi"))
        async with onplan.AsyncClient(transport="sse") as client:
            await client.prewarm(CompletionRequest(messages="hi", session_id="s-1"))

        assert signed_in.journal() == []


class TestHowLongItLives:
    async def test_leaving_a_turn_closes_it(self, signed_in: Emulator) -> None:
        """A broken ``for`` and a cancelled task close it at once; the next turn has another one."""
        signed_in.arm("stall", times=2)
        async with onplan.AsyncClient() as client:
            talk = Conversation(client)
            talk.messages.append(Message.user("one two three"))
            async with aclosing(client.complete_stream(talk.request)) as stream:
                async for _ in stream:
                    break
            await until(lambda: [row["ended"] for row in turns(signed_in)] == ["client_left"])
            task = asyncio.create_task(client.complete(talk.request))
            await until(lambda: len(turns(signed_in)) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: [row["ended"] for row in turns(signed_in)] == ["client_left"] * 2)
            assert (await talk.say("go on")).text == "You said: go on"

        assert upgrades(signed_in) == [101] * 3

    async def test_a_cancelled_upgrade_leaves_nothing(self, signed_in: Emulator) -> None:
        """Also while the connection is being made it is closed at once."""
        signed_in.arm("websocket_upgrade_slow", seconds=60)
        async with onplan.AsyncClient() as client:
            task = asyncio.create_task(Conversation(client).say("hi"))
            await until(lambda: len(signed_in.journal()) == 1)
            assert connections(signed_in)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not connections(signed_in))

    async def test_closing_the_client_closes_them(self, signed_in: Emulator) -> None:
        """No connection and no task is left behind."""
        tasks = asyncio.all_tasks()
        async with onplan.AsyncClient() as client:
            await asyncio.gather(*(client.complete(f"number {n}") for n in range(20)))
            assert connections(signed_in)
        assert asyncio.all_tasks() == tasks
        await until(lambda: not connections(signed_in))

    @pytest.mark.parametrize("fault", ["websocket_connection_limit", "websocket_previous_response_not_found"])
    async def test_one_that_the_backend_has_done_with_is_replaced(
        self, signed_in: Emulator, fault: str
    ) -> None:
        """At once, with the whole history, and no retry is counted."""
        async with onplan.AsyncClient(retry=RetryPolicy(attempts=1)) as client:
            talk = Conversation(client)
            await talk.say("one")
            signed_in.arm(fault)
            assert (await talk.say("two")).text == "You said: two"

        assert upgrades(signed_in) == [101, 101]
        assert [len(said(row)) for row in turns(signed_in)] == [1, 1, 4]
        assert "previous_response_id" not in turns(signed_in)[-1]["body"]

    @pytest.mark.parametrize(
        "fault", ["websocket_close_after_answer", "websocket_close_1011", "connection_reset"]
    )
    async def test_one_that_went_away_is_replaced(self, signed_in: Emulator, fault: str) -> None:
        """Closed between turns, or as soon as the next one begins: no retry is counted."""
        async with onplan.AsyncClient(retry=RetryPolicy(attempts=1)) as client:
            talk = Conversation(client)
            if fault == "websocket_close_after_answer":
                signed_in.arm(fault)
            await talk.say("one")
            if fault != "websocket_close_after_answer":
                signed_in.arm(fault)
            assert (await talk.say("two")).text == "You said: two"

        assert upgrades(signed_in) == [101, 101]
        assert wires(signed_in)[-1] == "websocket"
        assert "previous_response_id" not in turns(signed_in)[-1]["body"]

    async def test_a_refreshed_token_has_a_connection_of_its_own(self, signed_in: Emulator) -> None:
        """A token that dies on an open connection is refreshed once, and the turn goes over a new one."""
        async with onplan.AsyncClient() as client:
            talk = Conversation(client)
            await talk.say("one")
            signed_in.expire_access_tokens()
            await talk.say("two")
            await talk.say("three")

        rows = signed_in.journal()
        assert [row["path"] for row in rows].count("/oauth/token") == 1
        assert upgrades(signed_in) == [101, 101]
        tokens = [row["headers"]["authorization"] for row in turns(signed_in)]
        assert tokens[0] == tokens[1] != tokens[2] == tokens[3]
        assert turns(signed_in)[3]["body"]["previous_response_id"]

    async def test_one_that_was_opened_with_another_token_is_not_used(self, signed_in: Emulator) -> None:
        """Of two idle ones, both opened with a token that died, one turn finds out; the other is dropped."""
        async with onplan.AsyncClient() as client:
            talks = [Conversation(client, session_id="s-1") for _ in range(2)]
            await asyncio.gather(*(talk.say("one") for talk in talks))
            signed_in.expire_access_tokens()
            await talks[0].say("two")
            await talks[1].say("two")

        assert upgrades(signed_in) == [101, 101, 101]
        assert [row["status"] for row in turns(signed_in)] == [200, 200, 401, 200, 200]

    @pytest.mark.parametrize("name", ["LONGEST_IDLE", "MOST_IDLE"])
    async def test_none_waits_for_too_long(
        self, signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """Idle ones are closed after a while, and when there are too many of them."""
        monkeypatch.setattr(websocket, name, 0)
        async with onplan.AsyncClient() as client:
            talk = Conversation(client)
            await talk.say("one")
            await until(lambda: not connections(signed_in))
            await talk.say("two")

        assert upgrades(signed_in) == [101, 101]

    async def test_an_old_one_is_replaced(self, signed_in: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before the backend ends it."""
        monkeypatch.setattr(websocket, "LONGEST_AGE", 0)
        async with onplan.AsyncClient() as client:
            talk = Conversation(client)
            await talk.say("one")
            await talk.say("two")

        assert upgrades(signed_in) == [101, 101]

    def test_one_client_in_two_loops(self, signed_in: Emulator) -> None:
        """A client that outlives its event loop opens a connection in the next one."""
        client = onplan.AsyncClient()
        talk = Conversation(client)

        async def ask(text: str) -> str:
            async with client:
                return (await talk.say(text)).text

        assert [asyncio.run(ask(text)) for text in ("one", "two")] == ["You said: one", "You said: two"]
        assert upgrades(signed_in) == [101, 101]

    def test_one_client_in_two_loops_at_once(self, signed_in: Emulator) -> None:
        """Each loop keeps connections of its own, and goes on over them, whatever the other does."""
        client, together, sessions = onplan.AsyncClient(), threading.Barrier(2, timeout=60), range(3)

        async def ask(thread: int) -> list[str]:
            talks = [Conversation(client, session_id=f"{thread}-{number}") for number in sessions]
            answers: list[str] = []
            for text in ("one", "two", "three"):
                await asyncio.to_thread(together.wait)
                said = await asyncio.gather(*(talk.say(text) for talk in talks))
                answers += [answer.text for answer in said]
            await asyncio.to_thread(together.wait)
            await client.close()
            return answers

        with ThreadPoolExecutor(2) as threads:
            both = list(threads.map(lambda thread: asyncio.run(ask(thread)), range(2)))

        assert both == [[f"You said: {text}" for text in ("one", "two", "three") for _ in sessions]] * 2
        assert upgrades(signed_in) == [101] * 6

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    def test_a_fork_has_connections_of_its_own(
        self, point_at: Callable[[Emulator], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A child opens new ones and leaves its parent's alone, also the one in the middle of a turn."""
        slow = Scenario(answer=Answer(interval=0.05))
        with Emulator(Options(scenario=slow)) as emulator:
            point_at(emulator)
            monkeypatch.setenv("ONPLAN_TEST_TOKEN", emulator.issue_tokens()["access_token"])
            command = [sys.executable, "-c", _FORK]
            parent = subprocess.run(command, timeout=100, capture_output=True, check=False)

            assert (parent.returncode, parent.stderr.decode()) == (0, "")
            assert upgrades(emulator) == [101, 101, 101]


_FORK = """
import asyncio, os, warnings
import onplan
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: that is what is tried here
client = onplan.AsyncClient(store="env:ONPLAN_TEST_TOKEN", timeout=onplan.Timeouts(idle=20))

def request(text, session_id):
    return onplan.CompletionRequest(messages=text, model="gpt-5.5", session_id=session_id)

async def of_the_child(stream):
    assert (await client.complete(request("two", "idle"))).text == "You said: two"
    await stream.aclose()
    await client.close()

async def main():
    await client.complete(request("one", "idle"))
    stream = client.complete_stream(request("one two three", "in the middle"))
    await anext(stream)
    child = os.fork()
    if child == 0:
        asyncio.run(of_the_child(stream))
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    rest = [chunk async for chunk in stream]
    assert rest[-1].response.text == "You said: one two three"
    for session_id in ("idle", "in the middle"):
        await client.complete(request("three", session_id))
    await client.close()
    return ended

raise SystemExit(asyncio.run(main()))
"""


def connections(emulator: Emulator) -> set[Any]:
    """Those that the emulator has open."""
    return {c for c in emulator._server.server_state.connections if type(c).__name__ == "WebSocketProtocol"}


class TestFallingBack:
    async def test_where_the_service_says_so(self, signed_in: Emulator) -> None:
        """426 means SSE for all of the client's sessions, without a word."""
        signed_in.arm("websocket_426", times=9)
        heard: list[Any] = []
        async with onplan.AsyncClient(on_retry=lambda *what: heard.append(what)) as client:
            assert (await client.complete("one")).text == "You said: one"
            assert (await client.complete("two")).text == "You said: two"

        assert (upgrades(signed_in), wires(signed_in), heard) == ([426], ["http"] * 2, [])

    @pytest.mark.parametrize(
        "fault",
        [
            "websocket_403",
            "websocket_404",
            "websocket_500",
            "websocket_503",
            "websocket_reset",
            "cloudflare_403",
            "html_instead_of_json",
            "redirect_302",
        ],
    )
    async def test_where_no_connection_can_be_opened(self, signed_in: Emulator, fault: str) -> None:
        """A refusal means SSE for the session, at once; another session tries again, but not for ever."""
        signed_in.arm(fault, times=3 if "websocket" in fault else 1)
        heard: list[Any] = []
        async with onplan.AsyncClient(on_retry=lambda *what: heard.append(what)) as client:
            for text in ("one", "one", "two", "three", "four"):
                request = CompletionRequest(messages=text, model="gpt-5.5", session_id=text)
                assert (await client.complete(request)).text == f"You said: {text}"

        assert heard == []
        assert len(upgrades(signed_in)) == (3 if "websocket" in fault else 4)
        assert wires(signed_in)[:2] == ["http", "http"]

    async def test_where_the_upgrade_is_not_answered(self, signed_in: Emulator) -> None:
        """Silence is given up after the time for connecting."""
        signed_in.arm("websocket_upgrade_slow", seconds=60)
        async with onplan.AsyncClient(timeout=Timeouts(connect=0.3)) as client:
            assert (await client.complete("one")).text == "You said: one"

        assert wires(signed_in) == ["http"]

    async def test_after_repeated_closes(self, signed_in: Emulator) -> None:
        """Two turns in a row that break mean SSE for the session; the program sees the same chunks."""
        signed_in.arm("websocket_close_1011", times=9)
        heard: list[str] = []
        async with onplan.AsyncClient(
            retry=FAST, on_retry=lambda error, seconds: heard.append(error.code)
        ) as client:
            talk = Conversation(client, session_id="s-1")
            assert (await talk.say("one")).text == "You said: one"
            assert (await talk.say("two")).text == "You said: two"

        assert wires(signed_in) == ["websocket", "websocket", "http", "http"]
        assert heard == ["disconnect", "disconnect"]

    @pytest.mark.parametrize("fault", ["websocket_binary", "websocket_garbage_frame", "websocket_close_1000"])
    async def test_once_is_not_always(self, signed_in: Emulator, fault: str) -> None:
        """What breaks one turn is tried again over WebSocket."""
        signed_in.arm(fault)
        async with onplan.AsyncClient(retry=FAST) as client:
            assert (await client.complete("one")).text == "You said: one"

        assert wires(signed_in) == ["websocket"] * 2

    async def test_a_message_that_is_too_large_for_the_service(self, signed_in: Emulator) -> None:
        """A close with 1009 means SSE at once, without a retry, and at once for what is as large later on."""
        signed_in.arm("websocket_close_1009", times=9)
        async with onplan.AsyncClient(retry=RetryPolicy(attempts=1)) as client:
            for text in ("one " * 1_000, "two " * 1_000, "three"):
                request = CompletionRequest(messages=text, model="gpt-5.5", session_id=text[:3])
                assert (await client.complete(request)).text == f"You said: {text}"

        assert wires(signed_in) == ["websocket", "http", "http", "websocket", "http"]

    async def test_after_1009_a_session_goes_on_over_websocket(self, signed_in: Emulator) -> None:
        """It does not count as a break: smaller messages of the session still go over a WebSocket."""
        signed_in.arm("websocket_close_1009", times=2)
        async with onplan.AsyncClient() as client:
            for size in (3_000, 2_000, 100):
                request = CompletionRequest(messages="x" * size, model="gpt-5.5", session_id="s-1")
                await client.complete(request)

        assert wires(signed_in) == ["websocket", "http", "websocket", "http", "websocket"]

    async def test_a_message_that_is_known_to_be_too_large(self, signed_in: Emulator) -> None:
        """From 16 MiB on a request goes over SSE at once, and no WebSocket is opened for it."""
        roomy = msgspec.structs.replace(signed_in.world.scenario, context_window=10**8)
        signed_in.world.scenario = roomy
        async with onplan.AsyncClient() as client:
            request = CompletionRequest(messages="x" * 16 * 1024 * 1024, model="gpt-5.5")
            assert len((await client.complete(request)).text) > 16 * 1024 * 1024

        assert (upgrades(signed_in), wires(signed_in)) == ([], ["http"])

    async def test_what_is_new_of_a_large_conversation_goes_over_websocket(
        self, signed_in: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a WebSocket has heard does not count, as long as that one can be used."""
        monkeypatch.setattr(fallback, "LARGEST_MESSAGE", 4_000)
        async with onplan.AsyncClient() as client:
            talk = Conversation(client)
            for number in range(4):
                await talk.say(f"{number} " + "and so on " * 100)
            signed_in.arm("websocket_previous_response_not_found")
            await talk.say("and at last?")
            await talk.say("y" * 5_000)
            await client.prewarm(CompletionRequest(messages="z" * 5_000, model="gpt-5.5", session_id="s-2"))

        assert wires(signed_in) == ["websocket"] * 5 + ["http"] * 2
        assert upgrades(signed_in) == [101]

    @pytest.mark.parametrize("size", [100, 16 * 1024 * 1024])
    async def test_websocket_alone_takes_no_message_that_is_too_large(
        self, signed_in: Emulator, size: int
    ) -> None:
        """The error says so, and what helps; nothing is tried again."""
        signed_in.arm("websocket_close_1009", times=9)
        async with onplan.AsyncClient(transport="websocket") as client:
            with pytest.raises(onplan.InvalidRequestError, match="too large for a WebSocket") as caught:
                await client.complete(CompletionRequest(messages="x" * size, model="gpt-5.5"))

        assert (caught.value.retryable, 'transport="auto"' in caught.value.hint) == (False, True)
        assert wires(signed_in) == (["websocket"] if size == 100 else [])

    @pytest.mark.parametrize("fault", ["websocket_connection_limit", "websocket_previous_response_not_found"])
    async def test_where_no_connection_can_be_used(self, signed_in: Emulator, fault: str) -> None:
        """A backend that has done with every connection at once is asked over SSE."""
        signed_in.arm(fault, times=9)
        async with onplan.AsyncClient(retry=RetryPolicy(attempts=1)) as client:
            assert (await client.complete("one")).text == "You said: one"

        assert wires(signed_in) == ["websocket", "websocket", "http"]

    @pytest.mark.parametrize(
        "fault", ["websocket_close_1000_after_text", "websocket_close_1008_after_text", "websocket_silence"]
    )
    async def test_never_after_the_first_chunk(self, signed_in: Emulator, fault: str) -> None:
        """What the program has seen is not asked again; what had arrived whole is in the error."""
        signed_in.arm(fault, times=9)
        seen: list[onplan.StreamChunk] = []

        async def ask(client: onplan.AsyncClient) -> None:
            async for chunk in client.complete_stream("one two three"):
                seen.append(chunk)  # noqa: PERF401 - what came before the error counts

        async with onplan.AsyncClient(timeout=Timeouts(idle=3)) as client:
            with pytest.raises(onplan.StreamTruncatedError) as caught:
                await ask(client)

        assert [chunk.part for chunk in seen if chunk.type == "part_done"] == list(caught.value.parts) != []
        assert len(turns(signed_in)) == 1

    async def test_a_refused_token_is_no_refused_upgrade(self, signed_in: Emulator) -> None:
        """401 refreshes the token, and the turn goes over WebSocket."""
        signed_in.arm("websocket_401")
        async with onplan.AsyncClient() as client:
            assert (await client.complete(CompletionRequest(messages="one", model="gpt-5.5"))).text

        assert (upgrades(signed_in), wires(signed_in)) == ([401, 101], ["websocket"])
        assert [row["path"] for row in signed_in.journal()].count("/oauth/token") == 1

    async def test_a_usage_limit_is_no_refused_upgrade(self, signed_in: Emulator) -> None:
        """429 is told at once, for SSE would only repeat it."""
        signed_in.arm("websocket_429", times=9)
        async with onplan.AsyncClient() as client:
            with pytest.raises(onplan.UsageLimitError, match="plus plan"):
                await client.complete(CompletionRequest(messages="one", model="gpt-5.5"))

        assert (upgrades(signed_in), turns(signed_in)) == ([429], [])


CLOSED = (1000, 1008, 1009, 1011)

# What each fault is where nothing is tried again and nothing falls back; None: no matter.
FAULTS: dict[str, type[onplan.OnplanError] | None] = {
    "websocket_401": None,
    "websocket_403": onplan.BlockedError,
    "websocket_404": onplan.UnexpectedReplyError,
    "websocket_426": onplan.UnexpectedReplyError,
    "websocket_429": onplan.UsageLimitError,
    "websocket_500": onplan.ServerError,
    "websocket_503": onplan.ServerError,
    "websocket_reset": onplan.DisconnectError,
    "websocket_upgrade_slow": None,
    **{f"websocket_close_{code}": onplan.DisconnectError for code in CLOSED if code != 1009},
    "websocket_close_1009": onplan.InvalidRequestError,
    **{f"websocket_close_{code}_after_text": onplan.StreamTruncatedError for code in CLOSED},
    "websocket_close_after_answer": None,
    "websocket_error_with_status": onplan.ServerError,
    "websocket_error_without_status": onplan.ServerError,
    "websocket_connection_limit": None,
    "websocket_previous_response_not_found": None,
    "websocket_usage_limit": onplan.UsageLimitError,
    "websocket_previous_response_not_found_flat": None,
    "websocket_silence": onplan.StreamTruncatedError,
    "websocket_binary": onplan.DisconnectError,
    "websocket_garbage_frame": onplan.DisconnectError,
    "websocket_pings": None,
    "websocket_fragments": None,
}


@pytest.mark.parametrize(("fault", "error"), FAULTS.items(), ids=FAULTS)
async def test_a_fault_is_an_error_or_no_matter(
    signed_in: Emulator, fault: str, error: type[onplan.OnplanError] | None
) -> None:
    """A fault of WebSocket's own ends in its own error, or the answer is whole."""
    signed_in.arm(fault)
    once = RetryPolicy(attempts=1)
    async with onplan.AsyncClient(transport="websocket", retry=once, timeout=Timeouts(idle=3)) as client:
        request = CompletionRequest(messages="one two", model="gpt-5.5")
        if error is None:
            assert (await client.complete(request)).text == "You said: one two"
        else:
            with pytest.raises(onplan.OnplanError) as caught:
                await client.complete(request)
            assert type(caught.value) is error

    assert signed_in.world.faults.armed() == {}


async def test_no_fault_of_websocket_is_without_a_case(emulator: Emulator) -> None:
    """The table above knows every fault that the emulator has for WebSocket alone."""
    async with httpx2.AsyncClient() as client:
        faults = (await client.get(f"{emulator.issuer}/_emulator/faults")).json()["faults"]
    own = {"responses_message", "responses_upgrade"}

    assert {fault["name"] for fault in faults if set(fault["where"]) <= own} == set(FAULTS)


class TestChoosing:
    @pytest.mark.parametrize("status", [426, 403, 500])
    async def test_websocket_alone_does_not_fall_back(self, signed_in: Emulator, status: int) -> None:
        """A program that wants WebSocket hears why there is none."""
        signed_in.arm(f"websocket_{status}", times=9)
        async with onplan.AsyncClient(transport="websocket", retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises(onplan.OnplanError) as caught:
                await client.complete(CompletionRequest(messages="one", model="gpt-5.5"))

        assert caught.value.status_code == status
        assert turns(signed_in) == []

    async def test_sse_alone_opens_none(self, signed_in: Emulator) -> None:
        """``transport="sse"`` is HTTP, and so is a client of the user's own."""
        async with httpx2.AsyncClient() as own:
            for options in ({"transport": "sse"}, {"http_client": own}):
                async with onplan.AsyncClient(**options) as client:
                    assert (await client.complete("one")).text == "You said: one"

        assert (upgrades(signed_in), wires(signed_in)) == ([], ["http"] * 2)

    async def test_without_the_library(self, signed_in: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        """``auto`` is SSE then; who wants WebSocket hears what to install."""
        monkeypatch.setitem(sys.modules, "onplan.transports.websocket", None)
        async with onplan.AsyncClient() as client:
            assert (await client.complete("one")).text == "You said: one"
        with pytest.raises(onplan.MissingExtraError) as caught:
            onplan.AsyncClient(transport="websocket")

        assert "onplan[ws]" in caught.value.hint
        assert wires(signed_in) == ["http"]

    def test_a_wrong_word(self) -> None:
        """An unknown transport, and one that the synchronous client cannot speak, are refused at once."""
        for make in (onplan.Client, onplan.AsyncClient):
            with pytest.raises(onplan.ConfigurationError, match="no transport 'carrier pigeon'"):
                make(transport="carrier pigeon")
        with pytest.raises(onplan.ConfigurationError) as caught:
            onplan.Client(transport="websocket")
        assert "AsyncClient" in caught.value.hint


@asynccontextmanager
async def counting_proxy(emulator: Emulator) -> AsyncIterator[tuple[str, list[int]]]:
    """The emulator's address behind one that counts what clients send."""
    place, counted = urlsplit(emulator.codex_base_url), [0]

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                counted[0] += len(data) if counts else 0
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection(place.hostname, place.port)
        await asyncio.gather(pump(reader, upstream[1], True), pump(upstream[0], writer, False))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as running:
        port = running.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}{place.path}", counted
