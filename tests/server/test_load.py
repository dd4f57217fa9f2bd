"""Load: turns, limits of keys, what is counted, and the end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

import onplan
from onplan.dialects.served import ServedReply
from onplan.server.ledger import Ledger, Used
from onplan.server.limits import KeyLimits, admit, count
from onplan.server.options import ServerOptions
from onplan.server.queue import FairQueue, FullError

from ..conftest import eventually
from .conftest import KEY, Answer, Running, Stub
from .test_messages import opened

Serve = Callable[..., Running]


# --- turns -----------------------------------------------------------------------------------------------


async def test_callers_that_wait_are_served_in_turn() -> None:
    """One with a single request waits for one of the caller with many, and not for all of them."""
    queue, served = FairQueue(1, 10), list[str]()

    async def ask(caller: str) -> None:
        await queue.enter(caller)
        served.append(caller)
        queue.leave()

    await queue.enter("first")
    async with asyncio.TaskGroup() as tasks:
        for caller in ("many", "many", "many", "few", "many", "other"):
            tasks.create_task(ask(caller))
        await asyncio.sleep(0)
        assert (queue.waiting, queue.running) == (6, 1)
        queue.leave()
    assert served == ["many", "few", "other", "many", "many", "many"]
    assert (queue.waiting, queue.running) == (0, 0)


async def test_a_turn_is_never_lost() -> None:
    """Who stops waiting, before a turn came or at the moment it came, gives it to the next."""
    queue = FairQueue(1, 10)
    await queue.enter("a")
    leaves, gets, last = (asyncio.create_task(queue.enter(name)) for name in ("b", "c", "d"))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    queue.leave()  # to c, which is cancelled before it runs
    gets.cancel()
    await asyncio.wait_for(last, 20)
    assert (queue.waiting, queue.running) == (0, 1)
    queue.leave()
    assert queue.running == 0


async def test_a_turn_is_not_given_to_one_that_is_cancelled() -> None:
    """Some leave at the moment a turn comes: it goes to the next that stays, or is free."""
    queue = FairQueue(1, 10)
    await queue.enter("a")
    leaving = [asyncio.create_task(queue.enter(name)) for name in ("b", "b", "c")]
    stays = asyncio.create_task(queue.enter("c"))
    await asyncio.sleep(0)
    for each in leaving:
        each.cancel()
    queue.leave()
    await asyncio.wait_for(stays, 20)
    assert all(
        isinstance(one, asyncio.CancelledError)
        for one in await asyncio.gather(*leaving, return_exceptions=True)
    )
    leaves = asyncio.create_task(queue.enter("b"))
    await asyncio.sleep(0)
    leaves.cancel()
    queue.leave()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert (queue.waiting, queue.running) == (0, 0)


async def test_a_full_queue_takes_no_more() -> None:
    """One more than may wait is refused at once."""
    queue = FairQueue(1, 1)
    await queue.enter("a")
    waiting = asyncio.create_task(queue.enter("b"))
    await asyncio.sleep(0)
    with pytest.raises(FullError):
        await queue.enter("c")
    queue.leave()
    await waiting


def test_a_server_that_is_full_says_when_to_come_again(serve: Serve, stub: Stub) -> None:
    """What is one too many gets 503 and Retry-After; what waits is answered in the end."""
    running = serve(options=ServerOptions(max_requests=1, max_waiting=1))
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(running.ask("POST", "/v1/think"))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    asking[0].start()
    assert stub.begun.acquire(timeout=20)
    asking[1].start()
    assert eventually(lambda: "onplan_requests_waiting 1.0" in running.ask(path="/metrics").body.decode())

    refused = running.ask("POST", "/v1/think")
    assert (refused.status, refused.code) == (503, "server_overloaded")
    assert refused.headers["retry-after"] == "1"
    stub.let_go()
    for each in asking:
        each.join(20)
    assert [answer.status for answer in answers] == [200, 200]


def test_a_client_that_leaves_while_it_waits_takes_no_turn(serve: Serve, stub: Stub) -> None:
    """The request behind it is answered; its own never reaches the service, and takes no tokens."""
    running = serve(options=ServerOptions(max_requests=1, max_waiting=1))
    first, second = running.connect(), running.connect()
    first.sendall(running.head("/v1/think"))
    assert stub.begun.acquire(timeout=20)
    body = b'"%s"' % (b"x" * 3_998)
    length = str(len(body))
    second.sendall(running.head("/v1/never", "POST", content_type="application/json", content_length=length))
    second.sendall(body)
    assert eventually(lambda: "onplan_requests_waiting 1.0" in running.ask(path="/metrics").body.decode())
    second.close()
    assert eventually(lambda: "onplan_requests_waiting 0.0" in running.ask(path="/metrics").body.decode())
    first.close()
    assert running.ask("POST", "/v1/last").status == 200
    assert [request.path for request in stub.asked] == ["/v1/think", "/v1/last"]
    assert running.ask(path="/v1/usage").json()["keys"][0]["prompt_tokens"] == 0


def test_large_bodies_are_bounded_together_while_they_are_answered(serve: Serve, stub: Stub) -> None:
    """One more than there is room for gets 503; a small one is answered, and so is it when there is room."""
    running = serve(options=ServerOptions(max_body=1 << 20))
    large = bytes(1 << 20)
    asking = [threading.Thread(target=running.ask, args=("POST", "/v1/think", large)) for _ in range(8)]
    for each in asking:
        each.start()
    for _ in asking:
        assert stub.begun.acquire(timeout=20)

    refused = running.ask("POST", body=large)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "server_overloaded", "1")
    assert running.ask("POST", body=b"{}").status == 200
    stub.let_go()
    for each in asking:
        each.join(20)
    assert running.ask("POST", body=large).status == 200


# --- limits ----------------------------------------------------------------------------------------------

NOON = 86_400 * 20_000 + 43_200.0


def error_of(refused: ServedReply) -> dict[str, Any]:
    assert isinstance(refused.body, bytes)
    error: dict[str, Any] = json.loads(refused.body)["error"]
    return error


def resets_at(refused: ServedReply) -> object:
    return error_of(refused)["resets_at"]


def test_requests_a_minute_flow_back_evenly() -> None:
    """As many at once as fit into a minute; then one each time that its part of a minute is over."""
    limits, used = KeyLimits(requests_per_minute=3), Used()

    assert [admit(limits, used, NOON) for _ in range(3)] == [None] * 3
    refused = admit(limits, used, NOON + 19.9)
    assert refused is not None
    assert (refused.status, refused.headers["retry-after"], resets_at(refused)) == (429, "1", NOON + 21)
    assert admit(limits, used, NOON + 20) is None
    refused = admit(limits, used, NOON + 20)
    assert refused is not None
    assert (refused.headers["retry-after"], resets_at(refused)) == ("20", NOON + 40)
    assert [admit(limits, used, NOON + 3_600) for _ in range(3)] == [None] * 3
    assert admit(limits, used, NOON + 3_600) is not None
    assert used.requests == 7


def test_a_clock_that_is_set_back_does_not_shut_a_key_out() -> None:
    """An hour earlier, the bucket is taken to be full."""
    limits, used = KeyLimits(requests_per_minute=1), Used()

    assert admit(limits, used, NOON) is None
    assert admit(limits, used, NOON - 0.001) is not None
    assert admit(limits, used, NOON - 3_600) is None


def test_tokens_a_day_begin_anew_at_midnight() -> None:
    """What goes beyond is answered; the next request is refused until the day is over."""
    limits, used = KeyLimits(tokens_per_day=100), Used()

    assert admit(limits, used, NOON) is None
    count(used, onplan.Usage(prompt_tokens=90, completion_tokens=20), NOON)
    refused = admit(limits, used, NOON)
    assert refused is not None
    assert refused.headers == {"content-type": "application/json", "x-should-retry": "false"}
    assert error_of(refused)["code"] == "usage_limit_reached"
    assert resets_at(refused) == NOON + 43_200
    assert admit(limits, used, NOON + 43_200) is None


def test_the_ledger_is_one_for_all_who_open_it(tmp_path: Any) -> None:
    """Several processes count into one file, which is private; damage costs the counts and no more."""
    first, second = Ledger(tmp_path / "used"), Ledger(tmp_path / "used")
    with first.change("a") as used:
        used.requests += 1
    with second.change("a") as used:
        used.requests += 1
    assert first.read("a").requests == 2
    assert (tmp_path / "used").stat().st_mode & 0o777 == 0o600
    for number in range(1_100):
        with first.change(f"key {number}") as used:
            used.requests += 1
    assert second.read("key 5").requests == 1
    second.forget("key 5")
    assert first.read("key 5").requests == 0
    first.close()
    second.close()
    (tmp_path / "used").write_bytes(b"damaged")
    damaged = Ledger(tmp_path / "used")
    assert damaged.read("a").requests == 0
    damaged.close()
    without = Ledger(tmp_path / "used" / "no folder")
    with without.change("a") as used:
        used.requests += 1
    assert without.read("a").requests == 1
    without.close()


def test_a_key_has_its_own_limits(serve: Serve, stub: Stub) -> None:
    """A named key is refused when its requests are used up; the server's own is not."""
    running = serve(limits=KeyLimits(requests_per_minute=2))
    named = {"authorization": "Bearer named-key"}

    assert [running.ask("POST", **named).status for _ in range(3)] == [200, 200, 429]
    assert running.ask("GET", **named).status == 200
    assert running.ask("POST").status == 200
    assert [request.caller.partition(":")[0] for request in stub.asked] == ["named", "named", "named", ""]


# --- what is counted -------------------------------------------------------------------------------------


def test_usage_says_what_the_plan_has_left_and_what_keys_have_used(serve: Serve, stub: Stub) -> None:
    """The owner sees all keys, a client its own; tokens are those that replies told."""
    running = serve(limits=KeyLimits(tokens_per_day=1_000))
    stub.usage = onplan.Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
    named = {"authorization": "Bearer named-key"}
    running.ask("POST", **named)

    mine = eventually(lambda: _used(running.ask(path="/v1/usage", **named)))
    assert mine["plan"]["windows"][0]["used_percent"] == 25.0
    assert mine["keys"] == [
        {
            "name": "named",
            "requests": 1,
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "tokens_today": 10,
            "limits": {"tokens_per_day": 1_000},
        }
    ]
    everything = running.ask(path="/v1/usage").json()
    assert [key["name"] for key in everything["keys"]] == ["server", "named"]


@pytest.mark.parametrize(("path", "completion_tokens"), [("/v1/think", 0), ("/v1/flood", 327)])
def test_an_answer_that_is_left_counts(serve: Serve, stub: Stub, path: str, completion_tokens: int) -> None:
    """By an estimate, before its first byte as well as later: no limit can be evaded by leaving early."""
    running = serve(limits=KeyLimits(tokens_per_day=1_000))
    body = b'"%s"' % (b"x" * 3_998)
    length = str(len(body))
    with running.connect() as connection:
        head = running.head(path, "POST", content_type="application/json", content_length=length)
        connection.sendall(head.replace(KEY.encode(), b"named-key") + body)
        assert stub.begun.acquire(timeout=20)
        if completion_tokens:
            connection.recv(65_536)

    mine = eventually(lambda: _used(running.ask(path="/v1/usage", authorization="Bearer named-key")))
    assert mine["keys"][0]["prompt_tokens"] == 1_000
    assert mine["keys"][0]["completion_tokens"] >= completion_tokens
    assert running.ask("POST", authorization="Bearer named-key").status == 429


def _used(answer: Answer) -> Any:
    found = answer.json()
    return found if found["keys"][0]["prompt_tokens"] else None


def test_what_was_used_last_is_written_down_at_the_end(stub: Stub) -> None:
    """Keys without limits are counted once a second, and when the server ends."""
    stub.usage = onplan.Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
    running = Running(stub, limits=KeyLimits(tokens_per_day=100))
    with running:
        for _ in range(2):
            running.ask("POST", "/v1/responses")
        running.ask("POST", "/v1/responses", authorization="Bearer named-key")

    counts = {name: (used.requests, used.day_tokens) for name, used in running.used.items()}
    assert counts == {"server": (2, 20), "named": (1, 10)}


def test_what_cannot_be_counted_does_not_end_the_counting(
    serve: Serve, stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    """The server writes down every second what was used, also after a second in which that failed."""

    def failed() -> int:
        return sum("could not be counted" in each.message for each in caplog.records)

    running = serve()
    for times in (1, 2):
        stub.usage = onplan.Usage(prompt_tokens=-1)
        running.ask("POST", "/v1/chat/completions")
        eventually(lambda times=times: failed() == times)
    stub.usage = onplan.Usage(prompt_tokens=3)
    running.ask("POST", "/v1/chat/completions")
    assert (
        'onplan_tokens_total{kind="prompt",model="gpt-5.5"} 3.0' in running.ask(path="/metrics").body.decode()
    )


def test_usage_is_told_where_the_plan_cannot_be_asked(serve: Serve, stub: Stub) -> None:
    """What the keys used is known all the same."""
    stub.plan_error = onplan.NotSignedInError("Not signed in.")
    found = serve().ask(path="/v1/usage").json()

    assert found["plan"] == {"error": "Not signed in."}
    assert found["keys"][0]["name"] == "server"


def test_readiness_is_that_of_the_sign_in(serve: Serve, stub: Stub) -> None:
    """Alive and ready are two things: without a sign-in it is only alive."""
    running = serve()
    assert running.ask(path="/readyz").json() == {"status": "ready"}
    stub.plan_error = onplan.NotSignedInError("Not signed in.")
    answer = running.ask(path="/readyz")
    assert (answer.status, answer.code) == (503, "not_signed_in")
    assert running.ask(path="/healthz").status == 200


def test_metrics_count_requests_tokens_and_limits(serve: Serve, stub: Stub) -> None:
    """By route and status, by kind and model; a path of the client's making makes no series."""
    running = serve()
    stub.usage = onplan.Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cache_read_tokens=5)
    running.ask("POST", "/v1/responses")
    for path in ("/v1/made-up", "/v1/models/x", "/v1models", "/v1/responses/resp_1/input_items"):
        running.ask(path=path)
    running.ask(path="/v1/usage")
    running.ask(authorization=None)
    page = running.ask(path="/metrics").body.decode()

    for line in (
        'onplan_requests_total{route="/responses",status="200"} 1.0',
        'onplan_requests_total{route="other",status="200"} 2.0',
        'onplan_requests_total{route="/models/{id}",status="200"} 1.0',
        'onplan_requests_total{route="/models",status="401"} 1.0',
        'onplan_tokens_total{kind="prompt",model="gpt-5.5"} ',
        'onplan_window_used_ratio{window="5-hour"} 0.25',
        'onplan_first_byte_seconds_count{route="/responses"} 1.0',
    ):
        assert line in page
    assert "made-up" not in page


def test_metrics_of_the_plan_need_no_other_request(serve: Serve, stub: Stub) -> None:
    """Reading them has the plan asked for the next time; where it cannot be asked, they are without it."""
    running = serve()
    wanted = 'onplan_window_used_ratio{window="5-hour"} 0.25'
    assert eventually(lambda: wanted in running.ask(path="/metrics").body.decode())
    stub.plan_error = onplan.NotSignedInError("Not signed in.")
    without = serve()
    assert [without.ask(path="/metrics").status for _ in range(3)] == [200] * 3


def test_the_access_log_has_no_secret(serve: Serve, stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    """Caller, method, path and status; neither the key nor the query nor the body."""
    caplog.set_level("INFO", "onplan.server.access")
    running = serve(options=ServerOptions(access_log=True))
    running.ask("POST", "/v1/responses?secret=query", b'{"secret": "body"}')
    running.ask(path="/v1/%0afake%20line", authorization="Bearer wrong")

    with pytest.raises(InvalidStatus):
        opened(running, "/v1/responses", "wrong")
    with opened(running):
        pass

    assert "server POST /v1/responses 200" in caplog.text
    assert "- GET /v1/responses 401" in caplog.text
    assert "server GET /v1/responses 101" in caplog.text
    assert "- GET /v1/\\nfake line 404" in caplog.text
    for secret in (KEY, "query", "body", "wrong"):
        assert secret not in caplog.text


# --- the end ---------------------------------------------------------------------------------------------


def test_a_server_that_ends_lets_what_runs_come_to_its_end(serve: Serve, stub: Stub) -> None:
    """The stream is whole; what comes in the meantime is told to come again; idle connections are closed."""
    running = serve()
    with running.connect() as connection, running.connect() as idle:
        connection.sendall(running.head("/v1/stream"))
        assert stub.begun.acquire(timeout=20)
        running.stop()
        refused = eventually(lambda: _refused(running))
        assert (refused.code, refused.headers["retry-after"]) == ("server_overloaded", "1")
        assert running.ask(path="/readyz").status == 503
        stub.let_go()
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        assert received.endswith(b"data: end\n\n\r\n0\r\n\r\n")
        assert idle.recv(1) == b""
    running.thread.join(20)
    assert not running.thread.is_alive()


def _refused(running: Running) -> Answer | None:
    answer = running.ask()
    return answer if answer.status == 503 else None


@pytest.mark.parametrize("again", [False, True])
def test_what_does_not_end_is_ended(serve: Serve, stub: Stub, *, again: bool) -> None:
    """When the time is up, and at a second signal: a stream is cut so that clients notice, and a request that
    has no answer yet is told to come again.
    """
    running = serve(options=ServerOptions(drain_seconds=60.0 if again else 0.0))
    with running.connect() as streaming, running.connect() as thinking:
        streaming.sendall(running.head("/v1/stream"))
        thinking.sendall(running.head("/v1/think"))
        assert stub.begun.acquire(timeout=20)
        assert stub.begun.acquire(timeout=20)
        running.stop()
        if again:
            running.stop()
        cut = b"".join(iter(lambda: streaming.recv(65_536), b""))
        told = b"".join(iter(lambda: thinking.recv(65_536), b""))
    assert b"data: 2" in cut
    assert not cut.endswith(b"0\r\n\r\n")
    assert b" 503 " in told
    assert b"server_overloaded" in told
    assert sorted(stub.ended) == ["cancelled", "closed"]
    running.thread.join(20)
    assert not running.thread.is_alive()
