"""The two clients differ by what an event loop needs, and by nothing else."""

from __future__ import annotations

import asyncio
import difflib
import inspect
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

import onplan
from onplan import async_client, client
from onplan.assembly import AsyncClientOptions, ClientOptions
from onplan.emulator import Emulator

from ..conftest import source_locals


def without_waiting(module: Any) -> list[str]:
    """The lines of a module, without the words by which an asynchronous program is told from another."""
    text = Path(inspect.getfile(module)).read_text()
    for pattern, replacement in (
        (r"\b(?:async|await) ", ""),
        (r"\bAsync(?=[A-Z])", ""),
        (r"__a(enter|exit)__", r"__\1__"),
        (r"(\w)_async\b", r"\1"),
    ):
        text = re.sub(pattern, replacement, text)
    return text.splitlines()


def test_the_two_clients_are_the_same_but_for_waiting() -> None:
    """A decision that is made in one of them is made in both, or belongs to the turn."""
    lines = difflib.unified_diff(without_waiting(client), without_waiting(async_client), n=0, lineterm="")
    different = [line for line in lines if line[0] in "+-" and not line.startswith(("+++", "---"))]

    assert len(different) <= 70, "\n".join(different)


def test_the_two_clients_have_the_same_methods_in_the_same_order() -> None:
    """``aclose`` is another name of ``close``."""
    one, other = (
        [name for name in vars(kind) if name[0] != "_"] for kind in (onplan.Client, onplan.AsyncClient)
    )

    assert one == [name for name in other if name != "aclose"]
    assert onplan.AsyncClient.aclose is onplan.AsyncClient.close


@pytest.mark.parametrize(
    ("make", "known"), [(onplan.Client, ClientOptions), (onplan.AsyncClient, AsyncClientOptions)]
)
def test_an_option_that_there_is_not_is_an_error(make: Any, known: Any) -> None:
    """A misspelt option is not ignored: the error names the one that was meant, or all that there are."""
    for name, advice in (("modle", ("Did you mean 'model'",)), ("zzz", known.__optional_keys__)):
        with pytest.raises(onplan.ConfigurationError, match=f"has no option '{name}'") as caught:
            make(**{name: "x"})
        assert all(word in caught.value.hint for word in advice)


def catalogues(emulator: Emulator) -> int:
    """How often the catalogue was asked for."""
    return sum(row["path"].endswith("/models") for row in emulator.journal())


def test_threads_ask_for_one_catalogue(signed_in: Emulator) -> None:
    """Eight first requests without a model need one catalogue, and the next eight none."""
    begin = Barrier(8)

    def ask(client: onplan.Client) -> str:
        begin.wait(20)
        return client.complete("hi").text

    with onplan.Client() as shared, ThreadPoolExecutor(8) as threads:
        for _ in range(2):
            assert set(threads.map(ask, [shared] * 8)) == {"You said: hi"}

    assert catalogues(signed_in) == 1


async def test_tasks_ask_for_one_catalogue(signed_in: Emulator) -> None:
    """The same for tasks; and a task that is cancelled while it asks leaves the asking to another."""
    async with onplan.AsyncClient() as shared:
        first = asyncio.ensure_future(shared.complete("hi"))
        others = [asyncio.ensure_future(shared.complete("hi")) for _ in range(8)]
        await asyncio.sleep(0)
        first.cancel()
        answers = await asyncio.gather(*others)
        with pytest.raises(asyncio.CancelledError):
            await first

    assert {answer.text for answer in answers} == {"You said: hi"}
    assert catalogues(signed_in) == 1


@pytest.mark.parametrize("timeout", [None, onplan.Timeouts(total=60)], ids=["no total", "a total"])
def test_a_synchronous_answer_starts_no_thread(
    signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, timeout: onplan.Timeouts | None
) -> None:
    """Its limits are those of the socket, with and without one for the turn as a whole."""
    started: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        if threading.current_thread() is threading.main_thread():
            started.append(thread.name)
        start(thread)

    with onplan.Client(timeout=timeout) as client:
        client.complete("hi")  # the credential is read on a thread of its own, once
        monkeypatch.setattr(threading.Thread, "start", noted)
        assert client.complete("hi").text == "You said: hi"

    assert started == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("profile", 1), ("backend", []), ("base_url", True), ("api", {}), ("api_key", b"sk-secret")),
        *(("store", 1), ("store", object()), ("store", "file:\0"), ("on_retry", "x"), ("resume", "no")),
        *(("ca_file", 1), ("model", 5), ("temperature", "high"), ("stop", 5), ("reasoning_effort", ["high"])),
    ],
)
@pytest.mark.parametrize("make", [onplan.Client, onplan.AsyncClient])
def test_an_option_of_another_kind_is_refused_at_once(make: Any, option: str, value: Any) -> None:
    """Not later, by an AttributeError; and ``resume="no"`` does not mean yes."""
    with pytest.raises(onplan.ConfigurationError) as caught:
        make(**{option: value})
    assert "sk-secret" not in str([str(caught.value), source_locals(caught.value)])


@pytest.mark.parametrize(
    "url",
    ["https://me:sk-secret@example.org", "https://example.org/?key=sk-secret"],
    ids=["password", "query"],  # pytest puts the name of a test into the environment
)
def test_a_password_in_a_base_url_is_not_shown(url: str) -> None:
    """It is refused, and a traceback with local variables has none of it."""
    with pytest.raises(onplan.ConfigurationError) as caught:
        onplan.Client(base_url=url)
    assert "sk-secret" not in str([str(caught.value), source_locals(caught.value)])


@pytest.mark.parametrize("home", ["", "~nobody-of-this-name/onplan"])
def test_a_wrong_setting_does_not_show_the_environment(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In which there may be keys and tokens: a traceback with local variables has none of them."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    if home:
        monkeypatch.setenv("ONPLAN_HOME", home)
    with pytest.raises(onplan.ConfigurationError) as caught:
        onplan.Client(backend="x")
    assert "sk-secret" not in str([str(caught.value), source_locals(caught.value)])
