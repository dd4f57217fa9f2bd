"""OpenAI's SDK on the plan where no answer comes, or not all of it; and streams that are left."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import onplan
from onplan.emulator import Emulator
from onplan.integrations.background_loop import BACKGROUND
from onplan.integrations.openai import AsyncOpenAI, OpenAI

from ..conftest import eventually
from . import asking

openai = pytest.importorskip("openai")

GIVEN: dict[str, dict[str, Any]] = {
    "responses": {"model": "gpt-5.5", "input": "one two three"},
    "chat": {"model": "gpt-5.5", "messages": [{"role": "user", "content": "one two three"}]},
}


def _resource(client: Any, api: str) -> Any:
    return client.responses if api == "responses" else client.chat.completions


def _whole(client: Any, api: str) -> None:
    _resource(client, api).create(**GIVEN[api])


def _streamed(client: Any, api: str) -> None:
    list(_resource(client, api).create(**GIVEN[api], stream=True))


def _helped(client: Any, api: str) -> None:
    with _resource(client, api).stream(**GIVEN[api]) as stream:
        list(stream)


def _raw(client: Any, api: str) -> None:
    list(_resource(client, api).with_raw_response.create(**GIVEN[api], stream=True).parse())


def _lines(client: Any, api: str) -> None:
    with _resource(client, api).with_streaming_response.create(**GIVEN[api], stream=True) as response:
        list(response.iter_lines())


async def _all(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


async def _whole_async(client: Any, api: str) -> None:
    await _resource(client, api).create(**GIVEN[api])


async def _streamed_async(client: Any, api: str) -> None:
    await _all(await _resource(client, api).create(**GIVEN[api], stream=True))


async def _helped_async(client: Any, api: str) -> None:
    async with _resource(client, api).stream(**GIVEN[api]) as stream:
        await _all(stream)


async def _lines_async(client: Any, api: str) -> None:
    async with _resource(client, api).with_streaming_response.create(**GIVEN[api], stream=True) as response:
        await _all(response.iter_lines())


WAYS: list[Callable[[Any, str], Any]] = [
    *(_whole, _streamed, _helped, _raw, _lines),
    *(_whole_async, _streamed_async, _helped_async, _lines_async),
]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
few_ways = pytest.mark.parametrize(
    "way", [_whole, _streamed, _whole_async, _streamed_async], ids=lambda way: way.__name__.strip("_")
)
both_apis = pytest.mark.parametrize("api", GIVEN)


def _ask(way: Callable[[Any, str], Any], api: str, **options: Any) -> None:
    if not asyncio.iscoroutinefunction(way):
        with OpenAI(**options) as client:
            way(client, api)
        return

    async def ask() -> None:
        async with AsyncOpenAI(**options) as client:
            await way(client, api)

    asyncio.run(ask())


# --- no connection --------------------------------------------------------------------------------------


# Where the backend is said to be, of the port of a server without TLS; and the error that is the cause.
UNREACHED: dict[str, tuple[Callable[[int], str], str, str]] = {
    "nothing listens there": (lambda _: "http://127.0.0.1:1/codex", "connect", "127.0.0.1:1"),
    "no such name": (lambda _: "https://nowhere.invalid/codex", "connect", "nowhere.invalid"),
    "no TLS": (lambda port: f"https://127.0.0.1:{port}/codex", "connect", "https://127.0.0.1"),
}


@pytest.mark.parametrize("case", UNREACHED)
@both_apis
@every_way
def test_a_backend_that_is_not_reached(
    signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, case: str, api: str, way: Any
) -> None:
    """It is the SDK's APIConnectionError, with what onplan says of it and what to do; nobody tries again."""
    place, code, told = UNREACHED[case]
    port = int(signed_in.codex_base_url.split(":")[2].split("/")[0])
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", place(port))
    with pytest.raises(openai.APIConnectionError, match=told) as failed:
        _ask(way, api, retry=1, max_retries=2)
    error = failed.value
    assert type(error) is openai.APIConnectionError
    assert error.message == str(error)
    assert isinstance(error.__cause__, onplan.OnplanError)
    assert error.__cause__.code == code
    assert error.__cause__.hint in str(error)
    assert error.request.url.host == "onplan.invalid"


@pytest.mark.parametrize("fault", ["connection_reset", "eof_without_terminal", "cut_mid_event"])
@both_apis
@every_way
def test_a_connection_that_breaks(signed_in: Emulator, fault: str, api: str, way: Any) -> None:
    """Before the answer and within, it is the same error, as the SDK 3.x has it; asked for once."""
    signed_in.arm(fault, 9)
    with pytest.raises(openai.APIConnectionError) as failed:
        _ask(way, api, retry=1, max_retries=2)
    assert type(failed.value) is openai.APIConnectionError
    assert isinstance(failed.value.__cause__, onplan.OnplanError)
    assert len(asking.asked(signed_in)) == 1


@pytest.mark.parametrize("limit", ["idle", "total"])
@both_apis
@few_ways
def test_a_timeout_of_onplan(signed_in: Emulator, limit: str, api: str, way: Any) -> None:
    """It is the SDK's APITimeoutError, and says what allows more."""
    signed_in.arm("stall", 9)
    with pytest.raises(openai.APITimeoutError, match=rf"OpenAI\(timeout=onplan.Timeouts\({limit}=") as failed:
        _ask(way, api, retry=1, timeout=onplan.Timeouts(**{limit: 0.3}))
    assert failed.value.message == str(failed.value)


@both_apis
@few_ways
def test_a_timeout_of_the_sdk(signed_in: Emulator, api: str, way: Any) -> None:
    """The one that comes with a request, too."""
    signed_in.arm("stall", 9)
    with pytest.raises(openai.APITimeoutError, match=r"0\.3 seconds.*with_options"):
        _ask(way, api, timeout=openai.Timeout(0.3))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("token_connection_reset", "APIConnectionError"), ("token_500", "InternalServerError")],
)
@few_ways
def test_a_sign_in_service_that_is_not_reached(signed_in: Emulator, fault: str, kind: str, way: Any) -> None:
    """A token that cannot be refreshed for want of a connection is a connection error as well."""
    signed_in.expire_access_tokens()
    signed_in.arm(fault, 9)
    with pytest.raises(openai.APIError, match="sign-in") as failed:
        _ask(way, "responses", retry=1)
    assert type(failed.value) is getattr(openai, kind)


@pytest.mark.parametrize("fault", ["overloaded_503", "cloudflare_403", "response_failed_after_text"])
@both_apis
@few_ways
def test_what_the_backend_says_is_no_connection_error(
    signed_in: Emulator, fault: str, api: str, way: Any
) -> None:
    """A status, a firewall's page and a failure within a stream are answers."""
    signed_in.arm(fault, 9)
    with pytest.raises(openai.APIError) as failed:
        _ask(way, api, retry=1)
    assert not isinstance(failed.value, openai.APIConnectionError)


@both_apis
def test_a_failed_request_is_freed_at_once(
    signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    """Its error holds nothing that only the garbage collector could free."""
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", "http://127.0.0.1:1/codex")
    kind = openai.APIConnectionError
    with OpenAI(retry=1) as client:
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(kind):
                _whole(client, api)
        finally:
            gc.enable()
        assert not [each for each in gc.get_objects() if isinstance(each, kind)]


# --- streams that are left ------------------------------------------------------------------------------


@pytest.fixture
def client(signed_in: Emulator) -> Iterator[Any]:
    """The synchronous client."""
    with OpenAI() as made:
        yield made


@both_apis
def test_a_stream_that_another_thread_closes(client: Any, signed_in: Emulator, api: str) -> None:
    """Its reader is told that it is closed, at once, though the backend goes on saying nothing."""
    signed_in.arm("stall", 1)
    stream = _resource(client, api).create(**GIVEN[api], stream=True)
    events, told = iter(stream), []
    next(events)

    def read() -> None:
        try:
            told.append(list(events))
        except openai.APIError as error:
            told.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    stream.close()
    reader.join(30)
    assert not reader.is_alive()
    assert type(told[0]) is openai.APIConnectionError
    assert "was closed before its end" in str(told[0])
    assert client.responses.create(model="gpt-5.5", input="x").output_text == "You said: x"


@both_apis
def test_a_stream_that_another_task_closes(signed_in: Emulator, api: str) -> None:
    """Its reader is told the same, and is not cancelled itself."""
    signed_in.arm("stall", 1)

    async def ask() -> None:
        async with AsyncOpenAI() as client:
            stream = await _resource(client, api).create(**GIVEN[api], stream=True)
            await anext(aiter(stream))
            reader = asyncio.ensure_future(_all(stream))
            await asyncio.sleep(0)
            await stream.close()
            with pytest.raises(openai.APIConnectionError, match="was closed before its end"):
                await asyncio.wait_for(reader, 30)

    asyncio.run(ask())


@both_apis
def test_a_stream_that_is_closed_is_not_taken_for_whole(client: Any, signed_in: Emulator, api: str) -> None:
    """Reading on is an error, as it is over a network."""
    signed_in.arm("stall", 1)
    stream = _resource(client, api).create(**GIVEN[api], stream=True)
    events = iter(stream)
    next(events)
    stream.close()
    stream.close()
    with pytest.raises(openai.APIConnectionError, match="was closed before its end"):
        list(events)


@both_apis
def test_a_stream_that_is_freed_by_a_thread_with_a_lock(client: Any, api: str) -> None:
    """The garbage collector closes it without waiting: the loop that answers may wait for that very lock."""
    lock, is_waiting, is_over = threading.Lock(), threading.Event(), threading.Event()
    stream = _resource(client, api).create(**GIVEN[api], stream=True)
    events = iter(stream)
    next(events)
    circle: list[Any] = [stream, events]
    circle.append(circle)
    del stream, events, circle

    async def wait_for_the_lock() -> None:
        is_waiting.set()
        with lock:
            pass

    def collect() -> None:
        with lock:
            BACKGROUND.begin(wait_for_the_lock)
            assert is_waiting.wait(30)
            gc.collect()
        is_over.set()

    threading.Thread(target=collect, daemon=True).start()
    assert is_over.wait(30)
    assert client.responses.create(model="gpt-5.5", input="x").output_text == "You said: x"


def test_a_stream_whose_client_is_closed(signed_in: Emulator) -> None:
    """Reading on is an error there as well, and no end of the answer."""
    signed_in.arm("stall", 1)
    client = OpenAI()
    stream = client.responses.create(**GIVEN["responses"], stream=True)
    events = iter(stream)
    next(events)
    client.close()
    with pytest.raises(openai.APIConnectionError):
        list(events)


def test_closing_a_stream_gives_its_connection_up(client: Any, signed_in: Emulator) -> None:
    """Although nobody waits for that."""
    client.responses.create(model="gpt-5.5", input="x")
    before = asking.open_files()
    signed_in.arm("stall", 10)
    streams = [client.responses.create(**GIVEN["responses"], stream=True) for _ in range(10)]
    for stream in streams:
        stream.close()
    assert eventually(lambda: asking.open_files() <= before + 2)
