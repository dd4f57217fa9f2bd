"""Many requests at once: ``map`` of both clients, at the wire."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest

import onplan
from onplan.emulator import Emulator, Limit
from onplan.stores.memory import MemoryStore

from ..conftest import eventually

Results = list[onplan.MapResult[Any]]


def ask_all(kind: str, requests: Iterable[Any], client: Any = None, **options: Any) -> Results:
    """Every result of ``map``; ``client``: options of the client."""
    if kind == "sync":
        with onplan.Client(**(client or {})) as threads:
            return list(threads.map(requests, **options))

    async def ask() -> Results:
        async with onplan.AsyncClient(**(client or {})) as tasks:
            return [result async for result in tasks.map(requests, **options)]

    return asyncio.run(ask())


def texts(results: Results) -> list[str]:
    return [result.response_or_raise().text for result in results]


def asked(emulator: Emulator, path: str = "/responses") -> int:
    """How many requests to this endpoint there were."""
    return sum(row["path"].endswith(path) for row in emulator.journal())


class Opened(set[Any]):
    """The connections of an emulator, counted as they are accepted."""

    count = 0

    def add(self, connection: Any) -> None:
        self.count += 1
        super().add(connection)


@pytest.fixture
def opened(signed_in: Emulator) -> Opened:
    state = signed_in._server.server_state
    state.connections = opened = Opened(state.connections)
    return opened


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@BOTH
def test_answers_come_in_the_order_of_the_requests(signed_in: Emulator, kind: str) -> None:
    """Whatever ``complete`` takes is a request, and is in its result as it was given."""
    more = [
        onplan.Message.user("a message"),
        {"role": "user", "content": "a dict"},
        ["a", "list"],
        onplan.CompletionRequest(messages="a request", model="gpt-5.5"),
    ]
    requests = [*(f"number {number}" for number in range(20)), *more]
    results = ask_all(kind, requests, concurrency=4)

    assert [result.index for result in results] == list(range(24))
    assert all(result.request is request for result, request in zip(results, requests, strict=True))
    assert texts(results)[:20] == [f"You said: number {number}" for number in range(20)]
    assert texts(results)[20:22] == ["You said: a message", "You said: a dict"]


@pytest.mark.parametrize("client", [onplan.Client, onplan.AsyncClient])
def test_a_single_request_is_refused_at_the_call(signed_in: Emulator, client: Any) -> None:
    """A string is not asked letter by letter, and the error does not wait for the first result."""
    with pytest.raises(onplan.InvalidRequestError, match="given a single str"):
        client().map("Name a bird")


@BOTH
def test_one_refresh_and_one_catalogue_serve_all(signed_in: Emulator, kind: str) -> None:
    """As for any use of one client by several threads or tasks."""
    signed_in.expire_access_tokens()
    results = ask_all(kind, ["hi"] * 40, concurrency=8)

    assert texts(results) == ["You said: hi"] * 40
    assert asked(signed_in, "/oauth/token") == 1
    assert sum(row["path"].endswith("/models") and row["status"] == 200 for row in signed_in.journal()) == 1


@BOTH
@pytest.mark.parametrize("ordered", [True, False])
def test_a_failure_is_told_where_it_belongs(signed_in: Emulator, kind: str, ordered: bool) -> None:
    """A request that cannot be sent and one that the backend fails to answer end no other."""
    signed_in.arm("server_error_500")
    client = {"retry": 1, "model": "gpt-5.5"}
    results = ask_all(kind, ["a", [5], *"bcdef"], client, ordered=ordered, concurrency=3)

    errors = {type(result.error) for result in results if result.error}
    assert errors == {onplan.InvalidRequestError, onplan.ServerError}
    assert sum(result.response is not None for result in results) == 5
    assert sorted(result.index for result in results) == list(range(7))


@BOTH
def test_at_the_usage_limit_no_other_is_asked(signed_in: Emulator, kind: str) -> None:
    """Those that run may still be refused; the rest get the error without a request."""
    signed_in.arm("usage_limit_429", times=50)
    results = ask_all(kind, ["hi"] * 50, {"model": "gpt-5.5"}, concurrency=4)

    assert {type(result.error) for result in results} == {onplan.UsageLimitError}
    assert len(results) == 50
    assert 1 <= asked(signed_in) <= 4


@BOTH
def test_the_usage_limit_is_waited_for(signed_in: Emulator, kind: str) -> None:
    """All are answered in the end, and the program's ``on_retry`` hears why it takes so long."""
    signed_in.set_limits(Limit(300, tokens=10, used=10, resets_in=3))
    told: list[onplan.OnplanError] = []
    client = {"model": "gpt-5.5", "on_retry": lambda error, seconds: told.append(error)}
    results = ask_all(kind, ["hi"], client, concurrency=4, on_limit="wait")

    assert texts(results) == ["You said: hi"]
    assert {type(error) for error in told} == {onplan.UsageLimitError}


@BOTH
def test_a_wait_that_fails_ends_what_was_not_asked(signed_in: Emulator, kind: str) -> None:
    """A sign-in that is refused during the wait is what becomes of all other requests."""
    signed_in.set_limits(Limit(300, tokens=10, used=10, resets_in=3))

    def sign_out(error: onplan.OnplanError, seconds: float) -> None:
        signed_in.arm("refresh_token_reused", times=50)
        signed_in.expire_access_tokens()

    client = {"model": "gpt-5.5", "on_retry": sign_out}
    results = ask_all(kind, ["hi"] * 6, client, concurrency=2, on_limit="wait")

    assert {type(result.error) for result in results} == {onplan.SignInAgainError}
    assert len(results) == 6


@BOTH
def test_many_prompts_share_few_connections(signed_in: Emulator, opened: Opened, kind: str) -> None:
    """Two hundred prompts open no WebSocket each, and no more connections than are asked at once."""
    results = ask_all(kind, ["hi"] * 200, {"model": "gpt-5.5"}, concurrency=8)

    assert len(texts(results)) == 200
    assert asked(signed_in) == 200
    assert not any(row.get("transport") == "websocket" for row in signed_in.journal())
    assert opened.count <= 8 + 1  # one for the journal


def test_no_more_threads_are_started_than_there_is_work_at_once(signed_in: Emulator) -> None:
    """One that has answered takes the next request."""
    with onplan.Client() as client, closing(client.map(["a", "b", "c"], concurrency=1)) as results:
        names = [[thread.name for thread in threading.enumerate()] for _ in results]

    assert [found.count("onplan map") for found in names] == [1, 1, 1]


async def test_tasks_that_have_ended_are_let_go(signed_in: Emulator) -> None:
    """Their number does not grow with that of the requests."""
    async with (
        onplan.AsyncClient(model="gpt-5.5") as client,
        aclosing(client.map(["hi"] * 40, concurrency=2)) as results,
    ):
        async for result in results:
            if result.index == 38:
                break
        gc.collect()
        left = [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and each.done()]

    assert len(left) < 20


_LEAVES = """
import onplan
results = onplan.Client(model="gpt-5.5").map(["hi"] * 3, concurrency=1)
next(results)
"""


def test_a_program_may_end_in_the_middle(signed_in: Emulator) -> None:
    """It does not wait for threads whose work nothing will take."""
    subprocess.run([sys.executable, "-c", _LEAVES], check=True, timeout=60)


@BOTH
def test_requests_are_taken_when_there_is_room(signed_in: Emulator, kind: str) -> None:
    """Of two thousand prompts few have been taken, and fewer asked, when the first answer is there."""
    taken = 0

    def prompts() -> Iterator[str]:
        nonlocal taken
        for number in range(2_000):
            taken += 1
            yield f"number {number}"

    async def first() -> None:
        async with (
            onplan.AsyncClient(model="gpt-5.5") as client,
            aclosing(client.map(prompts(), concurrency=2)) as results,
        ):
            await anext(results)

    if kind == "async":
        asyncio.run(first())
    else:
        with (
            onplan.Client(model="gpt-5.5") as client,
            closing(client.map(prompts(), concurrency=2)) as results,
        ):
            next(results)

    assert taken <= 8
    assert asked(signed_in) <= 8


@BOTH
def test_a_broken_source_of_requests_ends_all(signed_in: Emulator, kind: str) -> None:
    """That is a mistake of the program, and raised."""

    def prompts() -> Iterator[str]:
        yield "hi"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ask_all(kind, prompts(), {"model": "gpt-5.5"})


# --- leaving ----------------------------------------------------------------------------------------------


def running_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "onplan map"}


@pytest.mark.parametrize("fault", ["stall", "slow_first_byte"])
def test_leaving_threads_stops_them_at_once(signed_in: Emulator, opened: Opened, fault: str) -> None:
    """Threads that wait for an answer that does not come end, and their connections are closed."""
    signed_in.arm(fault, times=3, seconds=300)
    with onplan.Client(model="gpt-5.5") as client:
        for result in client.map(["hi"] * 4, concurrency=4, ordered=False):
            assert result.response_or_raise().text == "You said: hi"
            break
        assert running_threads() == set()
        assert client.complete("again").text == "You said: again"
    eventually(lambda: not opened)


def test_leaving_threads_ends_their_pauses(signed_in: Emulator) -> None:
    """A thread that waits a long time before it asks again is not waited for."""
    signed_in.arm("server_error_500")
    policy = onplan.RetryPolicy(wait_initial=3_600, wait_max=3_600, timeout=36_000)
    waiting = threading.Event()

    def note(error: onplan.OnplanError, seconds: float) -> None:
        waiting.set()

    with onplan.Client(model="gpt-5.5", retry=policy, on_retry=note) as client:
        for _ in client.map(["hi"] * 2, concurrency=2, ordered=False):
            assert waiting.wait(30)
            break
        assert running_threads() == set()


async def test_cancelling_leaves_nothing_behind(signed_in: Emulator, opened: Opened) -> None:
    """Neither tasks nor connections, and the client goes on being usable."""
    signed_in.arm("stall", times=8)
    begun = asyncio.Event()

    async def prompts() -> AsyncIterator[str]:
        for number in range(100):
            if number == 8:
                begun.set()
            yield f"number {number}"

    async def ask(client: onplan.AsyncClient) -> None:
        async for _ in client.map(prompts(), concurrency=9):
            pass

    async with onplan.AsyncClient(model="gpt-5.5") as client:
        await client.credentials()
        before = asyncio.all_tasks()
        asking = asyncio.create_task(ask(client))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert asyncio.all_tasks() == before
        signed_in.disarm()
        assert (await client.complete("again", model="gpt-5.5")).text == "You said: again"
    await asyncio.to_thread(eventually, lambda: not opened)


async def test_a_slow_source_holds_up_no_answer(signed_in: Emulator) -> None:
    """What is answered is handed out while the next request is still awaited."""
    first = asyncio.Event()

    async def prompts() -> AsyncIterator[str]:
        yield "one"
        await first.wait()
        yield "two"

    found = []
    async with onplan.AsyncClient(model="gpt-5.5") as client:
        async for result in client.map(prompts()):
            found.append(result.response_or_raise().text)
            first.set()

    assert found == ["You said: one", "You said: two"]


class _Broken(MemoryStore):
    def load(self) -> Any:
        raise RuntimeError("a store of the program's own is broken")


@BOTH
def test_what_is_no_failure_of_a_request_is_raised(emulator: Emulator, kind: str) -> None:
    """A mistake in the program's own code is raised where the results are wanted, and ends the rest."""
    with pytest.raises(RuntimeError, match="of the program's own"):
        ask_all(kind, ["one", "two"], {"store": _Broken()}, model="gpt-5.5")
    assert asked(emulator) == 0
