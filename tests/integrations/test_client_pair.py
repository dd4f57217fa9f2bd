"""The pair of clients that objects of frameworks have."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import threading
import warnings
import weakref
from pathlib import Path

import pytest

import onplan
from onplan.client_parts import known_model
from onplan.emulator import Emulator
from onplan.integrations.client_pair import ClientPair

from ..conftest import eventually


def _open_files() -> int:
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))


async def _ask(pair: ClientPair) -> str:
    return (await pair.asynchronous.complete("x")).text


def test_connections_are_closed_with_their_loop(signed_in: Emulator) -> None:
    """Each loop's, at its end: Python has nothing to warn about, and no file stays open."""
    pair = ClientPair({"model": "gpt-5.5", "transport": "sse"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(_ask(pair))
        before = _open_files()
        for _ in range(10):
            assert asyncio.run(_ask(pair)) == "You said: x"
        assert eventually(lambda: _open_files() <= before)


def test_loops_that_have_ended_are_forgotten(signed_in: Emulator) -> None:
    """A program that runs one loop after another for days keeps none of them."""
    pair, loops = ClientPair({"model": "gpt-5.5"}), []

    async def ask() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await _ask(pair)

    for _ in range(5):
        asyncio.run(ask())
    gc.collect()
    assert [loop() for loop in loops[:-1]] == [None] * 4


def test_a_loop_that_ends_leaves_the_others_alone(signed_in: Emulator) -> None:
    """Another thread's loop is in the middle of an answer while this one's ends."""
    pair = ClientPair({"model": "gpt-5.5"})
    begun, go_on, texts = threading.Event(), threading.Event(), []

    async def slowly() -> None:
        async with pair.asynchronous.stream("one two three") as stream:
            async for chunk in stream:
                begun.set()
                await asyncio.to_thread(go_on.wait, 60)
                texts.append(getattr(chunk, "text", ""))

    thread = threading.Thread(target=asyncio.run, args=(slowly(),))
    thread.start()
    assert begun.wait(60)
    assert asyncio.run(_ask(pair)) == "You said: x"
    go_on.set()
    thread.join(60)
    assert "You said: one two three" in "".join(texts)


async def test_a_pair_that_is_dropped_closes_its_connections(signed_in: Emulator) -> None:
    """While the loop goes on."""
    pair = ClientPair({"model": "gpt-5.5"})
    before = _open_files()
    await _ask(pair)
    del pair
    for _ in range(1_000):
        if _open_files() <= before:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never happened")


async def test_closing(signed_in: Emulator) -> None:
    """Both can be closed, also unused, and used again."""
    pair = ClientPair({"model": "gpt-5.5"})
    pair.close()
    await pair.aclose()
    before = _open_files()
    await _ask(pair)
    await pair.aclose()
    await asyncio.to_thread(pair.sync.complete, "x")
    pair.close()
    assert _open_files() <= before + 2
    assert await _ask(pair) == "You said: x"
    await pair.aclose()


def test_what_is_written_down(tmp_path: Path) -> None:
    """Options that are no secrets and no objects; a pickle has them all, or is refused."""
    given = {
        "profile": "work",
        "store": tmp_path / "s.json",
        "timeout": 5,
        "on_retry": print,
        "retry": onplan.RetryPolicy(attempts=2),
        "proxy": "http://localhost:1",
        "base_url": "https://me:secret-word@example.com",
    }
    pair = ClientPair(given)
    written = pair.dumped()
    json.dumps(written)
    assert written == {
        "profile": "work",
        "store": str(tmp_path / "s.json"),
        "timeout": 5,
        "proxy": "http://localhost:1",
    }
    assert copy.deepcopy(pair) is copy.copy(pair) is pair
    assert pickle.loads(pickle.dumps(pair)).dumped() == written
    secret = ClientPair({"api_key": "sk-secret-secret", "proxy": "http://me:secret-word@localhost:1"})
    assert secret.dumped() == {}
    assert "secret" not in f"{secret!r}{vars(secret)}{vars(pair)}"
    with pytest.raises(onplan.ConfigurationError, match="api_key"):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profil": "x"}, "no option 'profil'"),
        ({"store": 5}, "store"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"http_client": object()}, "http_client"),
        ({"resume": True}, "resume"),
        ({"api_key": 5}, "api_key"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, object], message: str) -> None:
    """They are refused where the object is made, before anything is asked."""
    with pytest.raises(onplan.ConfigurationError, match=message):
        ClientPair(options)


def test_known_models(signed_in: Emulator) -> None:
    """The built-in list knows some; the catalogue is asked about the others, and for the default one."""
    with onplan.Client() as client:
        found, final = known_model(client, "gpt-5.5")
        assert found
        assert final
        assert not signed_in.journal()
        assert known_model(client, "gpt-none") == (None, True)
        unnamed, _ = known_model(client, None)
        assert unnamed == client.list_models()[0]


def test_a_model_that_cannot_be_asked_about(emulator: Emulator) -> None:
    """Without a sign-in nothing is known, and nothing is raised: the request will say it."""
    with onplan.Client() as client:
        assert known_model(client, None) == (None, False)
