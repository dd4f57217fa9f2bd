"""The plug-in of ``llm``: its Python API and its own command line, on the emulator."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import gc
import json
import multiprocessing
import os
import re
import shlex
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.backends import OPENAI_CODEX
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Turn
from onplan.stores import open_store

from ..conftest import eventually, issued

llm = pytest.importorskip("llm")

from click.testing import CliRunner  # noqa: E402
from llm.cli import cli  # noqa: E402
from llm.parts import ReasoningPart, TextPart, ToolCallPart, ToolResultPart  # noqa: E402
from llm.plugins import load_plugins, pm  # noqa: E402

from onplan.integrations import llm as plugin  # noqa: E402

MODEL = "onplan/gpt-5.5"
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/integrations/llm.md"
PIXEL = ROOT / "tests/pixel.png"
FUNCTION = 'def weather(city: str) -> str:\n    "The weather."\n    return f"rain in {city}"\n'
ARGUMENTS = '{"city" : "Oslo"}'  # not as Python would write it
LOOKED = Turn(thinking="I need to look.", tool_calls=[Call("weather", ARGUMENTS)])


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The plug-in, as its entry point registers it; ``llm`` loads no others in tests."""
    sys._called_from_test = True  # type: ignore[attr-defined] # the name that llm looks for
    load_plugins()
    pm.register(plugin, "onplan")
    plugin.register_commands(cli)  # which llm has done for all others when it was imported
    yield
    pm.unregister(plugin)
    del sys._called_from_test  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def user_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """``llm``'s own folder: its log, its templates, and the file of names."""
    folder = tmp_path / "llm"
    folder.mkdir()
    monkeypatch.setenv("LLM_USER_PATH", str(folder))
    return folder


@pytest.fixture
def type_(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Type a command: ``type_("-m", MODEL, "hi")`` is ``llm -m … hi``, without a process of its own."""

    def run(*arguments: object, typed: str = "", fails: bool = False) -> Any:
        monkeypatch.setattr(sys, "_called_from_test", fails is False, raising=False)
        done = CliRunner().invoke(cli, [str(each) for each in arguments], input=typed)
        if not fails and done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert bool(done.exit_code) is fails, done.output
        return done

    return run


def asked(emulator: Emulator) -> list[dict[str, Any]]:
    """The bodies of the requests for answers."""
    return [row["body"] for row in emulator.journal() if row["path"].endswith("/responses")]


# --- the command line -------------------------------------------------------------------------------


def test_a_prompt(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """Answered as it streams and whole, with a system prompt, by the alias, and logged with its usage."""
    assert type_("-m", MODEL, "one two", "-s", "Be brief").stdout == "You said: one two\n"
    assert type_("-m", "onplan", "--no-stream", "three").stdout == "You said: three\n"
    assert type_("-m", MODEL, "-R", "four", "-u").stderr.startswith("Token usage: ")

    first, default, _ = asked(signed_in)
    assert first["model"] == "gpt-5.5"
    assert default["model"] == OPENAI_CODEX.fallback_models[0].id
    [system] = [item for item in first["input"] if item["role"] != "user"]
    assert system["content"][0]["text"] == "Be brief"
    row = json.loads(type_("logs", "-m", MODEL, "-n", "0", "--json").stdout)[0]
    assert row["resolved_model"] == "gpt-5.5"
    assert row["input_tokens"] > 0 < row["output_tokens"]
    assert json.loads(row["token_details"])["output_tokens_details"]["reasoning_tokens"] > 0
    assert row["response_json"]["finish_reason"] == "stop"
    assert row["response_json"]["limits"]["windows"][0]["used_percent"] > 0


@pytest.mark.parametrize("options", [[], ["--async"]])
def test_the_default_model(
    type_: Callable[..., Any], signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """It is the best one that is listed, which is kept for a day, or the one that onplan's settings name."""
    type_("-m", "onplan", "one", *options)
    assert (load_settings().home / "models.json").exists()
    monkeypatch.setenv("ONPLAN_MODEL", "gpt-5.5")
    type_("-m", "onplan", "one", *options)
    assert [body["model"] for body in asked(signed_in)] == [OPENAI_CODEX.fallback_models[0].id, "gpt-5.5"]


def test_a_conversation_goes_on(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """``-c`` gives the sealed reasoning back, and finds the beginning in the prompt cache."""
    type_("-m", MODEL, "one two", "-s", "Be brief", "-a", PIXEL)
    type_("-c", "and three")
    type_("-c", "and four")

    bodies = asked(signed_in)
    assert len({body["prompt_cache_key"] for body in bodies}) == 1
    for before, after in pairwise(bodies):
        assert after["input"][: len(before["input"])] == before["input"]
    sealed = [item["encrypted_content"] for item in bodies[2]["input"] if item["type"] == "reasoning"]
    assert len(sealed) == len(set(sealed)) == 2
    rows = json.loads(type_("logs", "-n", "0", "--json").stdout)
    cached = [json.loads(row["token_details"]).get("input_tokens_details") for row in rows]
    assert cached[0] is None
    assert 0 < cached[1]["cached_tokens"] < cached[2]["cached_tokens"]


def test_tools(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """A function of the person's is called; its result and the thinking before it go back."""
    signed_in.play(LOOKED, Turn(text="Take a coat."))
    done = type_("-m", MODEL, "A coat?", "--functions", FUNCTION, "--td")
    type_("-c", "Sure?")

    assert done.stdout.rstrip().endswith("Take a coat.")
    assert "rain in Oslo" in done.stderr
    first, second, third = asked(signed_in)
    assert first["tools"][0]["name"] == "weather"
    assert [item["type"] for item in second["input"]] == [
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert second["input"][2]["arguments"] == ARGUMENTS
    assert second["input"][3]["output"] == "rain in Oslo"
    assert third["input"][:4] == second["input"]
    assert json.loads(type_("logs", "-n", "0", "--json").stdout)[0]["tool_calls"][0]["name"] == "weather"


def test_schemas(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """``--schema`` is a strict JSON schema, and the answer fits it."""
    answer = type_("-m", MODEL, "--schema", "name, wingspan int", "A bird").stdout

    assert {name: type(value) for name, value in json.loads(answer).items()} == {"name": str, "wingspan": int}
    assert asked(signed_in)[0]["text"]["format"]["strict"] is True


def test_a_schema_of_no_object(signed_in: Emulator) -> None:
    """The backend takes objects only, so one is made around it; the answer is what was asked for."""
    signed_in.play(Turn(text='{"value": ["wren", "é"]}'))
    response = llm.get_model(MODEL).prompt("Birds", schema={"type": "array", "items": {"type": "string"}})

    assert response.text() == '["wren", "é"]'


def test_attachments(type_: Callable[..., Any], signed_in: Emulator, tmp_path: Path) -> None:
    """Images and PDFs, by path, from stdin and by URL; other kinds are refused before anything is sent."""
    pdf = tmp_path / "a.pdf"
    pdf.write_bytes(b"%PDF-1.4\n%%EOF\n")
    type_("-m", MODEL, "What?", "-a", PIXEL, "-a", pdf, "-o", "image_detail", "low")
    type_("-m", MODEL, "What?", "--at", "https://example.com/a.png", "image/png")
    sent = [
        [part for part in body["input"][0]["content"] if part["type"] != "input_text"]
        for body in asked(signed_in)
    ]
    image, file = sent[0]

    assert image["image_url"] == "data:image/png;base64," + base64.b64encode(PIXEL.read_bytes()).decode()
    assert image["detail"] == "low"
    assert file["file_data"].startswith("data:application/pdf;base64,")
    assert sent[1] == [{"type": "input_image", "image_url": "https://example.com/a.png"}]
    (tmp_path / "a.mp3").write_bytes(b"ID3")
    refused = type_("-m", MODEL, "What?", "-a", tmp_path / "a.mp3", fails=True)
    assert "does not support attachments of type 'audio/mpeg'" in refused.stderr
    assert len(asked(signed_in)) == 2


def test_templates_fragments_and_kept_options(
    type_: Callable[..., Any], signed_in: Emulator, tmp_path: Path
) -> None:
    """What ``llm`` does around a model: templates, fragments, defaults for options."""
    (tmp_path / "long.txt").write_text("a long text")
    type_("-m", MODEL, "-s", "Translate", "-o", "verbosity", "low", "--save", "french")
    type_("models", "options", "set", MODEL, "reasoning_effort", "low")
    type_("-t", "french", "hello", "-f", tmp_path / "long.txt")

    [body] = asked(signed_in)
    assert body["text"]["verbosity"] == "low"
    assert body["reasoning"]["effort"] == "low"
    assert [item["content"][0]["text"] for item in body["input"]] == ["Translate", "a long text\nhello"]


def test_chat(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """``llm chat`` keeps the conversation."""
    done = type_("chat", "-m", MODEL, typed="one\ntwo\nquit\n")

    assert "You said: one" in done.stdout
    assert "You said: two" in done.stdout
    first, second = asked(signed_in)
    assert second["input"][0] == first["input"][0]
    assert first["prompt_cache_key"] == second["prompt_cache_key"]


def test_options(type_: Callable[..., Any], signed_in: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Options go where they belong; what a plan does not take is said and logged."""
    options = {
        "reasoning_effort": "high",
        "reasoning_summary": "detailed",
        "verbosity": "low",
        "service_tier": "fast",
        "temperature": 0.2,
        "prompt_cache_key": "big",
        "tool_choice": "auto",
        "parallel_tool_calls": 0,
        "extra_body": '{"text": {"verbosity": "high"}}',
        "web_search": 1,
        "web_search_live": 0,
        "web_search_context_size": "low",
    }
    type_("-m", MODEL, "x", *(part for name, value in options.items() for part in ("-o", name, value)))

    [body] = asked(signed_in)
    assert body["reasoning"] == {"effort": "high", "summary": "detailed"}
    assert body["text"] == {"verbosity": "high"}
    assert (body["service_tier"], body["prompt_cache_key"]) == ("priority", "big")
    assert body["parallel_tool_calls"] is False
    assert body["tools"] == [
        {"type": "web_search", "external_web_access": False, "search_context_size": "low"}
    ]
    assert "temperature" not in body
    assert caplog.messages == ["openai-codex does not take temperature: left out."]
    row = json.loads(type_("logs", "--json").stdout)[0]
    assert row["response_json"]["ignored_parameters"] == ["temperature"]
    refused = type_("-m", MODEL, "x", "-o", "extra_body", "[]", fails=True)
    assert "not a JSON object" in refused.stderr


def test_an_answer_that_is_cut_off(
    type_: Callable[..., Any], signed_in: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """It is what was asked for, and the person is told."""
    signed_in.play(Turn(text="one two three four five six seven eight nine ten " * 9))
    said = type_("-m", MODEL, "x", "-o", "max_output_tokens", 5).stdout
    stopped = type_("-m", MODEL, "one two three", "-o", "stop", " two").stdout

    assert 0 < len(said) < 60
    assert "max_output_tokens" in caplog.text
    assert stopped == "You said: one\n"


def test_web_search(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """``-T WebSearch`` is the tool of the backend: its calls are logged, and given back as they came."""
    signed_in.play(Turn(searches=["wrens"], text="Insects."), Turn(text="Yes."))
    type_("-m", MODEL, "-T", "WebSearch(include_sources=true)", "What do wrens eat?")
    type_("-c", "Sure?")

    first, second = asked(signed_in)
    assert first["tools"] == [{"type": "web_search"}] == second["tools"]
    assert first["include"] == ["reasoning.encrypted_content", "web_search_call.action.sources"]
    [search] = [item for item in second["input"] if item["type"] == "web_search_call"]
    assert search["action"]["query"] == "wrens"
    logged = json.loads(type_("logs", "-n", "0", "--json").stdout)[0]["response_json"]
    assert logged["searches"][0]["queries"] == ["wrens"]


def test_searching_with_any_model(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """Models that do not take that tool say what to type instead: functions, which share a session."""
    refused = type_("-m", "onplan/gpt-6-sol", "-T", "WebSearch", "x", fails=True).stderr
    assert "Use `-T OnplanSearch` instead" in refused
    signed_in.play(
        Turn(tool_calls=[Call("OnplanSearch_search", {"query": "wrens"})]),
        Turn(tool_calls=[Call("OnplanSearch_open", {"page": "turn0search0"})]),
        Turn(tool_calls=[Call("OnplanSearch_find", {"page": "turn0search0", "text": "insects"})]),
        Turn(text="Insects."),
    )
    type_("-m", "onplan/gpt-6-sol", "-T", "OnplanSearch", "What do wrens eat?")

    found, opened, passage = [item["output"] for item in asked(signed_in)[-1]["input"] if "output" in item]
    assert "turn0search0" in found
    assert "insects" in opened
    assert "insects" in passage
    sessions = {row["body"]["id"] for row in signed_in.journal() if row["path"].endswith("/alpha/search")}
    assert len(sessions) == 1


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
    for ask in (_ask, _ask_async):
        signed_in.clear_journal()
        with pytest.raises(llm.ModelError, match=words) as raised:
            ask("one two three", stream=stream)
        assert "\n" not in str(raised.value)
        assert isinstance(raised.value.__cause__, onplan.OnplanError)
        assert len(asked(signed_in)) == 1


def test_what_may_pass_is_tried_again(signed_in: Emulator) -> None:
    """By onplan, before anything was streamed."""
    for ask in (_ask, _ask_async):
        signed_in.arm("overloaded_503", 1)
        signed_in.clear_journal()
        assert ask("one") == "You said: one"
        assert len(asked(signed_in)) == 2


def _ask(prompt: str, **options: Any) -> str:
    return str(llm.get_model(MODEL).prompt(prompt, **options).text())


def _ask_async(prompt: str, **options: Any) -> str:
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
        _ask("x", schema={"type": "object", "properties": {"a": {"type": "string"}}})
    assert _ask("x")


def test_an_expired_token_is_refreshed_once(signed_in: Emulator) -> None:
    """Twenty at once with a token that the backend refuses are answered after one refresh."""
    _ask("x")
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(_ask, map(str, range(20))))

    async def gather() -> list[str]:
        model = llm.get_async_model(MODEL)
        return await asyncio.gather(*(_text(model.prompt(str(n))) for n in range(20)))

    assert answers == [f"You said: {n}" for n in range(20)]
    assert _refreshes(signed_in) == 1
    signed_in.expire_access_tokens()
    assert asyncio.run(gather()) == answers
    assert _refreshes(signed_in) == 2


async def _text(response: Any) -> str:
    return str(await response.text())


def _refreshes(emulator: Emulator) -> int:
    return len([row for row in emulator.journal() if row["path"] == "/oauth/token"])


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
        llm.assistant(TextPart("")),
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
        _ask("\udcff")
    assert asked(signed_in) == []


# --- processes, threads, event loops ----------------------------------------------------------------


def test_leaving_a_stream_ends_it_at_the_backend(signed_in: Emulator) -> None:
    """Dropped or cancelled, the answer is given up; the model answers the next prompt."""
    before = _open_files()
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
    assert _ask("x") == "You said: x"
    assert eventually(lambda: _open_files() <= before + 2)


def _open_files() -> int:
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))


def test_twenty_event_loops(signed_in: Emulator) -> None:
    """Each closes its connections when it ends, so that none is left and Python has nothing to remark on."""

    async def ask(number: int) -> list[str]:
        model = llm.get_async_model(MODEL)
        return await asyncio.gather(*(_text(model.prompt(f"q{number}")) for _ in range(3)))

    asyncio.run(ask(0))
    before = _open_files()
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        for number in range(20):
            assert asyncio.run(ask(number)) == [f"You said: q{number}"] * 3
        assert eventually(lambda: _open_files() <= before)
    assert [str(each.message) for each in remarks] == []


def _in_a_child(queue: Any) -> None:
    queue.put(_ask("child"))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(signed_in: Emulator) -> None:
    """A child that is forked after the parent has asked gets its answer, too."""
    assert _ask("parent") == "You said: parent"
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
        _ask("x")
    loaded = open_store(load_settings().store).load()
    assert loaded
    credentials = loaded.record.credentials
    assert credentials
    written = b"".join(path.read_bytes() for path in user_folder.iterdir())
    printed = f"{llm.get_model(MODEL)!r} {raised.value!r} {raised.value.__cause__!r}".encode()
    for secret in (credentials.access_token, credentials.refresh_token):
        assert secret
        assert secret.encode() not in written + printed


# --- names, and the commands of the plug-in ---------------------------------------------------------


@pytest.fixture
def two_profiles(signed_in: Emulator) -> Emulator:
    """``default`` is signed in with Codex, and ``plan`` with ChatGPT; the first is in use."""
    plan = load_settings(profile="plan", backend="chatgpt-plan")
    open_store(plan.store).save(issued(signed_in.issue_plan_tokens(), plan.issuer), None)
    for settings in (plan, load_settings(profile="default")):
        remember_profile(settings)
    return signed_in


def test_what_is_known_without_asking(signed_in: Emulator, user_folder: Path) -> None:
    """The built-in models, whatever the file of names holds, and no request."""
    built_in = [f"onplan/{model.id}" for model in OPENAI_CODEX.fallback_models]
    for content in (
        None,
        "",
        "{",
        "[]",
        '{"models": []}',
        '{"models": {"plan": ["x"]}}',
        '{"models": {"": 5}}',
    ):
        if content is not None:
            (user_folder / "onplan.json").write_text(content)
        assert _registered() == ["onplan/default", *built_in]
    assert signed_in.journal() == []


def _registered() -> list[str]:
    models = [each.model.model_id for each in llm.get_models_with_aliases()]
    return [model for model in models if model.startswith("onplan/")]


def test_both_sign_ins(two_profiles: Emulator, type_: Callable[..., Any]) -> None:
    """Each profile has its models, once they were listed; the name says which plan is asked."""
    refreshed = type_("onplan", "refresh")
    type_("-m", "onplan/plan/gpt-5.5", "x")
    type_("-c", "y")
    type_("-m", "onplan/default/gpt-5.5", "z")

    assert re.search(r"^default: \d+ models of openai-codex\.$", refreshed.stderr, re.MULTILINE)
    assert re.search(r"^plan: \d+ models of chatgpt-plan\.$", refreshed.stderr, re.MULTILINE)
    assert refreshed.stdout.splitlines() == _registered()
    asked_at = [row["path"] for row in two_profiles.journal() if row["path"].endswith("/responses")]
    assert asked_at == ["/plan/v1/responses"] * 2 + ["/backend-api/codex/responses"]


def test_a_profile_that_cannot_be_asked(two_profiles: Emulator, type_: Callable[..., Any]) -> None:
    """The others are listed all the same; it keeps its models, and the exit code says that it failed."""
    type_("onplan", "refresh")
    before = _registered()
    open_store(load_settings(profile="plan").store).delete()
    failed = type_("onplan", "refresh", fails=True)

    assert "default: " in failed.stderr
    assert "`llm onplan login --backend chatgpt-plan --profile plan`" in failed.stderr
    assert _registered() == before


def test_signing_in(emulator: Emulator, type_: Callable[..., Any], user_folder: Path) -> None:
    """``llm onplan login`` is ``onplan login``; the models that the plan offers are known from then on."""
    said = type_("onplan", "login", "--device").stderr

    assert "Signed in as person@example.com" in said
    assert 'Try `llm onplan ask "Name three birds"`' in said
    assert [row["path"] for row in emulator.journal()][-1].startswith("/backend-api/codex/models")
    assert type_("-m", "onplan", "hi").stdout == "You said: hi\n"
    assert (user_folder / "onplan.json").exists()
    assert "person@example.com" in type_("onplan", "status").stdout
    assert "gpt-5.5" in type_("onplan", "models").stdout
    assert "5-hour" in type_("onplan", "usage").stdout
    type_("onplan", "logout")
    refused = type_("onplan", "status", fails=True)
    assert refused.exit_code == 3
    assert "Run `llm onplan login`" in refused.stderr


def test_the_command_line_of_onplan(emulator: Emulator, type_: Callable[..., Any]) -> None:
    """All of it is there, under the name by which it is called; mistakes say what to type."""
    shown = type_("onplan", "--help").stdout

    assert shown.startswith("Usage: llm onplan [OPTIONS]")
    assert re.search(r"^  refresh +List the models of every profile", shown, re.MULTILINE)
    assert type_("onplan", "login", "--help").stdout.startswith("Usage: llm onplan login")
    wrong = type_("onplan", "refres", fails=True)
    assert wrong.exit_code == 2
    assert "Did you mean `llm onplan refresh`?" in wrong.stderr
    assert "Run `llm onplan --help`" in wrong.stderr
    assert "Sign in with a ChatGPT plan, see what it has left" in type_("--help").stdout


def test_a_folder_that_cannot_be_written(signed_in: Emulator, user_folder: Path) -> None:
    """The answer is given all the same."""
    (user_folder / "onplan.json").mkdir()
    assert _ask("x") == "You said: x"
    assert [path.name for path in user_folder.iterdir()] == ["onplan.json"]


# --- as it is installed -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel of packages/llm-onplan installs."""
    built, folder = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    build = [Path(sys.prefix).parents[1] / "bin/python", "-m", "pip", "wheel", "--quiet", "--no-index"]
    options = ["--no-build-isolation", "--no-deps", "--wheel-dir", built, ROOT / "packages/llm-onplan"]
    subprocess.run([*build, *options], check=True, capture_output=True, timeout=60)
    [wheel] = built.glob("llm_onplan-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def in_a_process(installed: Path) -> Callable[..., Any]:
    """Run Python with the plug-in installed, and no other."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(ROOT / "src"), str(installed)))
        variables = {**os.environ, "PYTHONPATH": path, "LLM_LOAD_PLUGINS": "llm-onplan"}
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_the_program_itself(signed_in: Emulator, in_a_process: Callable[..., Any]) -> None:
    """``llm``, with the plug-in that its entry point names: it answers, and ends without a word on stderr."""
    done = in_a_process("-X", "dev", "-W", "error", "-m", "llm", "-m", "onplan", "-R", "one two")
    assert (done.stdout, done.stderr, done.returncode) == ("You said: one two\n", "", 0)
    [mine] = json.loads(in_a_process("-m", "llm", "plugins").stdout)
    assert mine["name"] == "llm-onplan"
    assert mine["version"] == onplan.__version__
    assert mine["hooks"] == ["register_commands", "register_models", "register_tools"]


_STARTED = """
import sys
from llm.plugins import load_plugins
import llm, socket
socket.socket = None
load_plugins()
from llm.cli import cli
llm.get_models_with_aliases()
print(*sorted(name for name in sys.modules if name.startswith("onplan")))
"""


def test_a_start_is_cheap(signed_in: Emulator, in_a_process: Callable[..., Any]) -> None:
    """To list the models, nothing of onplan is imported beyond six small modules, and no socket is opened."""
    assert in_a_process("-c", _STARTED).stdout.split() == [
        "onplan",
        "onplan._version",
        "onplan.integrations",
        "onplan.integrations.llm",
        "onplan.integrations.llm.models",
        "onplan.integrations.llm.names",
    ]


# --- the page ---------------------------------------------------------------------------------------


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", _blocks("python"))
def test_the_python_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of the page, without an error."""
    exec(compile(code, str(PAGE), "exec"), {})


def test_the_commands_of_the_page_run(
    two_profiles: Emulator, type_: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the page, one after the other."""
    monkeypatch.chdir(ROOT)
    lines = [line for block in _blocks("console") for line in block.splitlines()]
    assert len(lines) > 8
    for line in lines:
        start, *arguments = shlex.split(line.removeprefix("$ "))
        assert start == "llm"
        type_(*arguments)


def test_options_of_the_page() -> None:
    """Each option is on it."""
    told = set(re.findall(r"`([a-z_]+)`", PAGE.read_text()))
    assert plugin.models.OnplanOptions.model_fields.keys() <= told
