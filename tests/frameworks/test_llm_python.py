"""The plug-in of ``llm`` in Python: events, chains, failures, threads, processes and event loops."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import asyncio
import concurrent.futures
import json
import multiprocessing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llm
import pytest
from llm.parts import ReasoningPart, TextPart, ToolCallPart, ToolResultPart

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Turn
from onplan.integrations.llm.kept import metadata_of, restored
from onplan.stores import open_store

from ..conftest import eventually, issued
from .asking import open_files, refreshes
from .llm_plugin import LOOKED, MODEL, ask, asked, registered, type_, user_folder  # noqa: F401
from .samples import weather

# --- failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("usage_limit_429", "usage limit"),
        ("usage_limit_in_stream", "usage limit"),
        ("cloudflare_403", "firewall"),
        ("eof_without_terminal", "ended"),
        ("cut_mid_event", "broke"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_failures(signed_in: Emulator, fault: str, words: str, stream: bool) -> None:
    """Each is a ModelError in one line, in threads and coroutines, asked for once; none is a whole answer."""
    signed_in.arm(fault, 2)
    for asking in (ask, ask_async):
        signed_in.clear_journal()
        with pytest.raises(llm.ModelError, match=words) as raised:
            asking("one two three", stream=stream)
        assert "\n" not in str(raised.value)
        assert isinstance(raised.value.__cause__, onplan.OnplanError)
        assert len(asked(signed_in)) == 1


def test_what_may_pass_is_tried_again(signed_in: Emulator) -> None:
    """By onplan, before anything was streamed."""
    for asking in (ask, ask_async):
        signed_in.arm("overloaded_503", 1)
        signed_in.clear_journal()
        assert asking("one") == "You said: one"
        assert len(asked(signed_in)) == 2


def ask_async(prompt: str, **options: Any) -> str:
    async def ask() -> str:
        return str(await llm.get_async_model(MODEL).prompt(prompt, **options).text())

    return asyncio.run(ask())


def test_not_signed_in(type_: Callable[..., Any], emulator: Emulator) -> None:
    """The error names the command of ``llm`` that signs in; so does one after the sign-in has ended."""
    assert "Run `llm onplan login`" in type_("-m", MODEL, "x", fails=True).stderr
    settings = load_settings()
    open_store(settings.store).save(issued(emulator.issue_tokens(), settings.issuer), None)
    emulator.expire_access_tokens()
    emulator.revoke_refresh_tokens()
    assert "`llm onplan login`" in type_("-m", MODEL, "x", fails=True).stderr


def test_a_refusal_is_no_value(signed_in: Emulator) -> None:
    """Where a schema was asked for, it is an error; else it is what the model said."""
    signed_in.arm("refusal", 2)
    with pytest.raises(llm.ModelError, match="declined to answer"):
        ask("x", schema={"type": "object", "properties": {"a": {"type": "string"}}})
    assert ask("x")


def test_an_expired_token_is_refreshed_once(signed_in: Emulator) -> None:
    """Twenty at once with a token that the backend refuses are answered after one refresh."""
    ask("x")
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, map(str, range(20))))

    async def gather() -> list[str]:
        model = llm.get_async_model(MODEL)
        return await asyncio.gather(*(_text(model.prompt(str(n))) for n in range(20)))

    assert answers == [f"You said: {n}" for n in range(20)]
    assert refreshes(signed_in) == 1
    signed_in.expire_access_tokens()
    assert asyncio.run(gather()) == answers
    assert refreshes(signed_in) == 2


async def _text(response: Any) -> str:
    return str(await response.text())


# --- the Python API ---------------------------------------------------------------------------------


def test_events(signed_in: Emulator) -> None:
    """Thinking, text and calls as they arrive; each part of the answer is a part of the message."""
    signed_in.play(
        Turn(
            thinking="Hm.",
            text="I look.",
            tool_calls=[Call("weather", {"city": c}) for c in ("Oslo", "Rome")],
        )
    )
    response = llm.get_model(MODEL).prompt("Where?", tools=[weather])
    events = [(event.type, event.chunk) for event in response.stream_events() if event.chunk]

    assert events[0][0] == "reasoning"
    assert {kind for kind, _ in events} == {"reasoning", "text", "tool_call_name", "tool_call_args"}
    [message] = response.messages()
    thought, said, *calls = message.parts
    assert (thought.text, said.text) == ("Hm.", "I look.")
    assert thought.provider_metadata["onplan"]["encrypted"]
    assert [call.arguments for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert [call.arguments for call in response.tool_calls()] == [{"city": "Oslo"}, {"city": "Rome"}]


def test_a_chain_of_coroutines(signed_in: Emulator) -> None:
    """The asynchronous model calls functions, too; a failing one is told to the model."""
    signed_in.play(LOOKED, LOOKED, Turn(text="Take a coat."))
    seen: list[str] = []

    async def weather(city: str) -> str:
        """The weather."""
        seen.append(city)
        if len(seen) == 1:
            raise RuntimeError("no connection")
        return "rain"

    async def ask() -> str:
        return await llm.get_async_model(MODEL).chain("A coat?", tools=[weather]).text()

    assert asyncio.run(ask()).endswith("Take a coat.")
    outputs = [item["output"] for item in asked(signed_in)[-1]["input"] if "output" in item]
    assert outputs == ["Error: no connection", "rain"]


def test_a_saved_response_goes_on(signed_in: Emulator) -> None:
    """``to_dict`` and ``from_dict`` keep the sealed reasoning, and ``reply`` finds the prompt cache."""
    first = llm.get_model(MODEL).prompt("one two", system="Be brief")
    saved = json.loads(json.dumps(first.to_dict()))
    reply = llm.Response.from_dict(saved).reply("three")

    assert reply.text() == "You said: three"
    assert reply.usage().details["input_tokens_details"]["cached_tokens"] > 0
    assert [item["type"] for item in asked(signed_in)[1]["input"]] == [
        "message",
        "message",
        "reasoning",
        "message",
        "message",
    ]


def test_histories_of_other_models(signed_in: Emulator) -> None:
    """Calls without ids, thinking that is sealed or not, a system prompt beside the history."""
    sealed = asked_reasoning(signed_in)
    history = [
        llm.user("Weather?"),
        llm.assistant(
            ReasoningPart("of another model"),
            ReasoningPart("sealed", provider_metadata={"openai": {"encrypted_content": sealed}}),
            ReasoningPart("odd", provider_metadata={"openai": 5, "onplan": {"type": "file"}}),
            ToolCallPart("weather", {"city": "Oslo"}),
            ToolCallPart("weather", {"_raw": "{cut"}),
            ToolCallPart("web_search", {}, "ws", server_executed=True),
            ToolResultPart("web_search", "completed", "ws", server_executed=True),
        ),
        llm.tool_message(
            ToolResultPart("weather", "rain"), ToolResultPart("weather", "no", exception="E: no")
        ),
        llm.assistant(TextPart(""), llm.Attachment(type="image/png", content=b"made by a model")),
    ]
    signed_in.clear_journal()
    response = llm.get_model(MODEL).prompt("Sure?", messages=history, system="Be brief")

    assert response.text() == "You said: Sure?"
    [body] = asked(signed_in)
    assert [item["type"] for item in body["input"]] == [
        "message",
        "message",
        "reasoning",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "message",
    ]
    assert [item["output"] for item in body["input"] if "output" in item] == ["rain", "Error: no"]
    assert body["input"][2]["encrypted_content"] == sealed
    assert response.json()["history_repairs"]


def asked_reasoning(emulator: Emulator) -> str:
    """What the backend has sealed of a thought."""
    [message] = llm.get_model(MODEL).prompt("x").messages()
    return str(message.parts[0].provider_metadata["onplan"]["encrypted"])


def test_what_cannot_be_read(signed_in: Emulator, tmp_path: Path) -> None:
    """An attachment that is gone, or a byte that is no character, is a ModelError; nothing is sent."""
    message = llm.user("x", llm.Attachment(type="image/png", path=str(tmp_path / "gone.png")))
    with pytest.raises(llm.ModelError, match=r"gone\.png cannot be read"):
        llm.get_model(MODEL).prompt(messages=[message]).text()
    nowhere = llm.user("x", llm.Attachment(url="http://127.0.0.1:1/a.png"))
    with pytest.raises(llm.ModelError, match=r"type of the attachment http.*Say it"):
        llm.get_model(MODEL).prompt(messages=[nowhere]).text()
    with pytest.raises(llm.ModelError, match="half of a character"):
        ask("\udcff")
    assert asked(signed_in) == []


# --- processes, threads, event loops ----------------------------------------------------------------


def test_leaving_a_stream_ends_it_at_the_backend(signed_in: Emulator) -> None:
    """Dropped or cancelled, the answer is given up; the model answers the next prompt."""
    before = open_files()
    signed_in.arm("stall", 2)
    events = llm.get_model(MODEL).prompt("one two").stream_events()
    next(events)
    events.close()

    async def cancelled() -> None:
        async def read() -> None:
            async for _ in llm.get_async_model(MODEL).prompt("one two").astream_events():
                begun.set()

        begun = asyncio.Event()
        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await _text(llm.get_async_model(MODEL).prompt("x")) == "You said: x"

    asyncio.run(cancelled())
    assert ask("x") == "You said: x"
    assert eventually(lambda: open_files() <= before + 2)


def test_twenty_event_loops(signed_in: Emulator) -> None:
    """Each closes its connections when it ends, so that none is left and Python has nothing to remark on."""

    async def ask(number: int) -> list[str]:
        model = llm.get_async_model(MODEL)
        return await asyncio.gather(*(_text(model.prompt(f"q{number}")) for _ in range(3)))

    asyncio.run(ask(0))
    before = open_files()
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always", ResourceWarning)
        for number in range(20):
            assert asyncio.run(ask(number)) == [f"You said: q{number}"] * 3
        assert eventually(lambda: open_files() <= before)
    assert [str(each.message) for each in remarks if each.category is ResourceWarning] == []


def _in_a_child(queue: Any) -> None:
    queue.put(ask("child"))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(signed_in: Emulator) -> None:
    """A child that is forked after the parent has asked gets its answer, too."""
    assert ask("parent") == "You said: parent"
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == "You said: child"
    child.join(60)
    assert child.exitcode == 0


def test_no_token_is_written(type_: Callable[..., Any], signed_in: Emulator, user_folder: Path) -> None:
    """Neither into the log nor into the file of names, nor into what a model or an error prints."""
    type_("-m", MODEL, "one")
    signed_in.arm("usage_limit_429", 1)
    with pytest.raises(llm.ModelError) as raised:
        ask("x")
    loaded = open_store(load_settings().store).load()
    assert loaded
    credentials = loaded.record.credentials
    assert credentials
    written = b"".join(path.read_bytes() for path in user_folder.iterdir())
    printed = f"{llm.get_model(MODEL)!r} {raised.value!r} {raised.value.__cause__!r}".encode()
    for secret in (credentials.access_token, credentials.refresh_token):
        assert secret
        assert secret.encode() not in written + printed


def test_a_kept_call_without_arguments() -> None:
    """What is kept of it need not repeat arguments that are written as ``llm`` writes them."""
    call = onplan.ToolCall("call_1", "weather", "{}", namespace="tools")
    part = ToolCallPart("weather", {}, "call_1", provider_metadata=metadata_of(call))
    assert restored(part, id="call_1", name="weather", arguments="{}") == call
