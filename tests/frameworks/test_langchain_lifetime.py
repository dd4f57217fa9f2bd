"""LangChain's chat model in threads, event loops and processes: one refresh, and no connection left open."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from onplan.emulator import Emulator

from ..conftest import eventually
from . import pages
from .asking import open_files, refreshes

pytest.importorskip("langchain_core")


from onplan.integrations.langchain import ChatOnplan

from .langchain_model import MODEL, model  # noqa: F401


def test_threads_share_one_refresh(model: ChatOnplan, signed_in: Emulator) -> None:
    """``batch`` of twenty with a token that the backend refuses: all are answered, after one refresh."""
    model.invoke("x")
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    answers = model.batch([f"q{n}" for n in range(20)], config={"max_concurrency": 20})
    assert [answer.content for answer in answers] == [f"You said: q{n}" for n in range(20)]
    assert refreshes(signed_in) == 1


async def test_tasks_share_one_refresh(model: ChatOnplan, signed_in: Emulator) -> None:
    """``abatch`` of twenty likewise, on another model of the same sign-in as well."""
    await model.ainvoke("x")
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    answers = await model.abatch([f"q{n}" for n in range(20)])
    assert [answer.content for answer in answers] == [f"You said: q{n}" for n in range(20)]
    assert refreshes(signed_in) == 1


def test_leaving_a_stream_ends_it_at_the_backend(model: ChatOnplan, signed_in: Emulator) -> None:
    """A stream that is dropped gives its connection up, and the next request is answered."""
    signed_in.arm("stall", 10)
    before = open_files()
    for _ in range(10):
        stream = model.stream("one two")
        next(stream)
    del stream
    assert eventually(lambda: open_files() <= before + 2)
    signed_in.disarm()
    assert model.invoke("x").content == "You said: x"


@pytest.mark.parametrize("transport", ["sse", "auto"])
async def test_leaving_an_asynchronous_stream(signed_in: Emulator, transport: str) -> None:
    """By ``break``, by closing it and by cancelling the task."""
    model = ChatOnplan(model=MODEL, client_options={"transport": transport})
    await model.ainvoke("x")
    before = open_files()
    signed_in.arm("stall", 9)
    for _ in range(3):
        async for _chunk in model.astream("one two"):
            break
        stream = model.astream("one two")
        await anext(stream)
        await stream.aclose()
        begun = asyncio.Event()
        task = asyncio.create_task(_read_on(model, begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    signed_in.disarm()
    assert (await model.ainvoke("y")).content == "You said: y"
    assert await asyncio.to_thread(eventually, lambda: open_files() <= before + 2)


async def _read_on(model: ChatOnplan, begun: asyncio.Event) -> None:
    async for _ in model.astream("one two"):
        begun.set()


@pytest.mark.parametrize("transport", ["sse", "auto"])
def test_twenty_event_loops(signed_in: Emulator, transport: str) -> None:
    """One model serves one loop after another; each closes its connections, so that nothing is left."""
    model = ChatOnplan(model=MODEL, client_options={"transport": transport})

    async def ask(number: int) -> str:
        answers = await model.abatch([f"q{number}"] * 3)
        async for _ in model.astream("left early"):
            break
        return str(answers[0].content)

    assert asyncio.run(ask(0)) == "You said: q0"
    before = open_files()
    assert [asyncio.run(ask(number)) for number in range(20)] == [f"You said: q{n}" for n in range(20)]
    assert eventually(lambda: open_files() <= before)


def test_threads_with_loops(model: ChatOnplan) -> None:
    """A loop in each of several threads, at once."""

    def ask(number: int) -> str:
        return str(asyncio.run(model.ainvoke(f"q{number}")).content)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(16))) == [f"You said: q{n}" for n in range(16)]


def test_models_that_are_dropped(signed_in: Emulator) -> None:
    """They leave no connection open."""
    ChatOnplan(model=MODEL).invoke("x")
    before = open_files()
    for _ in range(10):
        ChatOnplan(model=MODEL).invoke("x")
    assert eventually(lambda: open_files() <= before + 2)


async def test_closing(model: ChatOnplan) -> None:
    """A model that was closed can be asked again."""
    await model.ainvoke("x")
    model.invoke("x")
    await model.aclose()
    model.close()
    assert (await model.ainvoke("x")).content == model.invoke("x").content == "You said: x"


def _in_a_child(queue: Any, model: ChatOnplan) -> None:
    queue.put([model.invoke("child").content, asyncio.run(model.ainvoke("child")).content])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_a_forked_child(model: ChatOnplan) -> None:
    """It asks with its parent's model, with and without an event loop."""
    assert model.invoke("parent").content == "You said: parent"
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue, model))
    child.start()
    assert queue.get(timeout=60) == ["You said: child"] * 2
    child.join(60)
    assert child.exitcode == 0
    assert model.invoke("parent").content == "You said: parent"


def test_a_pickled_model(model: ChatOnplan) -> None:
    """Another process asks with it, for the same sign-in."""
    model.invoke("x")
    copy = pickle.dumps(model.bind_tools([{"type": "web_search"}]))
    assert pickle.loads(copy).bound.account == "default"
    code = f"import pickle; print(pickle.loads({copy!r}).invoke('copy').content)"
    assert pages.run(code) == "You said: copy\n"
