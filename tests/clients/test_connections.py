"""Connections: early leaving, proxies, loops, limits, and tokens that no header can hold."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import aiohttp
import httpx2
import pytest

import onplan
from onplan.emulator import Emulator
from onplan.stores import Record
from onplan.stores.memory import MemoryStore
from onplan.transports import Timeouts, choose
from onplan.transports.route import Route

from ..conftest import eventually, use_http

REQUEST = onplan.CompletionRequest(messages="one two three", model="gpt-5.5")


def test_leaving_early_closes_the_stream(signed_in: Emulator) -> None:
    """A broken ``for`` closes the upstream at once: nobody pays for an answer that nobody reads."""
    signed_in.arm("stall", times=1)
    with onplan.Client() as client:
        for _ in client.complete_stream(REQUEST):
            break

        eventually(lambda: signed_in.journal()[-1]["ended"] == "client_left")


async def test_leaving_early_closes_the_stream_async(signed_in: Emulator) -> None:
    """The same under an event loop; cancelling does it too."""
    signed_in.arm("stall", times=2)
    async with onplan.AsyncClient() as client:
        async with aclosing(client.complete_stream(REQUEST)) as stream:
            async for _ in stream:
                break
        asking = asyncio.ensure_future(client.complete(REQUEST))
        await asyncio.to_thread(eventually, lambda: len(_ends(signed_in)) == 2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        eventually(lambda: _ends(signed_in) == ["client_left"] * 2)


def _ends(emulator: Emulator) -> list[str | None]:
    """How the requests for an answer have ended; None for those that have not."""
    return [row.get("ended") for row in emulator.journal() if row["method"] == "POST"]


def test_a_proxy_is_not_for_this_machine(
    signed_in: Emulator, driver: Any, monkeypatch: pytest.MonkeyPatch, unused_url: str
) -> None:
    """Requests to loopback addresses, and their tokens, do not go through a proxy of the environment."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, unused_url)

    assert driver().complete("hi").text == "You said: hi"


def test_one_client_in_two_loops(signed_in: Emulator) -> None:
    """An asynchronous client that outlives its event loop starts anew in the next one."""
    client = onplan.AsyncClient()

    async def ask() -> str:
        async with client:
            return (await client.complete("hi")).text

    assert [asyncio.run(ask()) for _ in range(2)] == ["You said: hi"] * 2


def test_the_fast_transport_is_chosen_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest that is installed, whatever the proxy; the user's own library where they bring a client."""

    def chosen(client: Any = None, proxy: str | None = None) -> str:
        return type(choose(Timeouts(), Route(proxy), client)).__name__

    assert chosen() == "HttptoolsTransport"
    assert chosen(httpx2.AsyncClient()) == "AsyncHTTPTransport"
    assert chosen(proxy="http://127.0.0.1:9") == "HttptoolsTransport"
    assert chosen(proxy="socks5://127.0.0.1:9") == "HttptoolsTransport"
    use_http("aiohttp", monkeypatch)
    assert chosen() == "AiohttpTransport"
    use_http("httpx2", monkeypatch)
    assert chosen() == "AsyncHTTPTransport"


async def test_a_session_of_the_users_own(signed_in: Emulator) -> None:
    """An aiohttp session given as ``http_client=`` is used and left open."""
    async with aiohttp.ClientSession() as own:
        async with onplan.AsyncClient(http_client=own) as client:
            assert (await client.complete("hi")).text == "You said: hi"
        assert not own.closed


async def test_many_at_once(signed_in: Emulator) -> None:
    """Fifty completions at once on one client, each with its own answer."""
    async with onplan.AsyncClient() as client:
        answers = await asyncio.gather(*(client.complete(f"number {n}") for n in range(50)))

    assert [answer.text for answer in answers] == [f"You said: number {n}" for n in range(50)]


def test_our_limits_hold_with_a_client_of_the_users_own(signed_in: Emulator) -> None:
    """With ``http_client=`` the idle limit is the one that was asked for, and the client is not closed."""
    signed_in.arm("slow_first_byte", times=1)
    with httpx2.Client(timeout=0.1) as own:
        with onplan.Client(http_client=own, timeout=onplan.Timeouts(idle=20)) as client:
            assert client.complete(REQUEST).text == "You said: one two three"
        assert not own.is_closed


@pytest.mark.parametrize("token", ["SECRET\n", "SECR\u00c9T", "SECRET\r\nx: y"])
def test_a_damaged_token_is_not_printed(emulator: Emulator, driver: Any, token: str) -> None:
    """A token that no header can hold is an error that does not show it."""
    store = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token=token)))

    with pytest.raises(onplan.SignInAgainError) as caught:
        driver(store=store).complete(REQUEST)

    assert "SECR" not in str(caught.value)


def test_what_a_server_repeats_is_hidden(emulator: Emulator) -> None:
    """A backend that puts the token into its message does not put it into ours."""
    store = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="nonsense")))

    def repeat(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(400, json={"detail": f"bad header: {request.headers['authorization']}"})

    with (
        httpx2.Client(transport=httpx2.MockTransport(repeat)) as own,
        onplan.Client(http_client=own, store=store) as client,
        pytest.raises(onplan.InvalidRequestError, match="bad header: Bearer …"),
    ):
        client.complete(REQUEST)


async def test_a_session_that_raises_by_itself_changes_nothing(signed_in: Emulator) -> None:
    """A session of the user's own with ``raise_for_status`` still lets us read what a refusal means."""
    signed_in.arm("usage_limit_429", times=9)
    async with (
        aiohttp.ClientSession(raise_for_status=True) as own,
        onplan.AsyncClient(http_client=own) as client,
    ):
        with pytest.raises(onplan.UsageLimitError):
            await client.complete(REQUEST)

    assert len([row for row in signed_in.journal() if row["method"] == "POST"]) == 1
