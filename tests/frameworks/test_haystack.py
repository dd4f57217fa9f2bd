"""Haystack on the plan: its own pipelines and agents ask ``OnplanChatGenerator``."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import json
import multiprocessing
import os
import pickle
import traceback
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn
from onplan.emulator.wire.png import png_of

from ..conftest import eventually, source_locals
from .asking import asked, open_files, refreshes
from .pages import python_blocks, run

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when Haystack is imported
os.environ["HAYSTACK_DESERIALIZATION_ALLOWLIST"] = "onplan,tests"  # which Haystack 3 asks for
pytest.importorskip("haystack")

import haystack.version
from haystack import Document, Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import FallbackChatGenerator
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.core.errors import PipelineRuntimeError
from haystack.dataclasses import (
    ChatMessage,
    FileContent,
    ImageContent,
    StreamingChunk,
    TextContent,
    ToolCall,
)
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools import Tool, Toolset, create_tool_from_function

try:
    from haystack import AsyncPipeline
except ImportError:  # Haystack 3 has one class for both
    AsyncPipeline = None

from onplan.integrations.haystack import OnplanChatGenerator

from .samples import Bird, divide, weather

MODEL = "gpt-5.5"


def hear(chunk: StreamingChunk) -> None:
    """A callback that can be written down by its name."""


async def hear_later(chunk: StreamingChunk) -> None:
    """The same, for ``run_async``."""


WEATHER = create_tool_from_function(weather)


@pytest.fixture
def generator(signed_in: Emulator) -> OnplanChatGenerator:
    """A model."""
    return OnplanChatGenerator(MODEL)


def reply(generator: OnplanChatGenerator, *messages: Any, **fields: Any) -> ChatMessage:
    """The one reply to a conversation, or to a text."""
    given = messages[0] if isinstance(messages[0], str) else list(messages)
    [answer] = generator.run(given, **fields)["replies"]
    return answer


def streamed(generator: OnplanChatGenerator, *messages: Any, **fields: Any) -> ChatMessage:
    """The same, with a callback."""
    return reply(generator, *messages, streaming_callback=hear, **fields)


def test_answers(generator: OnplanChatGenerator) -> None:
    """A reply, whole and streamed: text, usage, facts; the chunks add up to it."""
    chunks: list[StreamingChunk] = []
    whole = reply(generator, ChatMessage.from_system("Be brief."), ChatMessage.from_user("one two"))
    told = reply(generator, "one two", streaming_callback=chunks.append)

    assert whole.text == told.text == "".join(chunk.content for chunk in chunks) == "You said: one two"
    assert whole.meta["usage"]["completion_tokens"] == told.meta["usage"]["completion_tokens"] > 0
    assert whole.meta["model"] == MODEL
    assert whole.meta["finish_reason"] == chunks[-1].finish_reason == "stop"
    assert whole.meta["limits"]["windows"]
    assert told.meta["completion_start_time"]
    assert chunks[0].component_info.type.endswith("OnplanChatGenerator")
    texts = [chunk for chunk in chunks if chunk.content]
    assert [chunk.start for chunk in texts] == [True] + [False] * (len(texts) - 1)
    json.dumps(whole.to_dict())
    assert generator.run([]) == {"replies": []}


async def test_answers_of_run_async(generator: OnplanChatGenerator) -> None:
    """As those of ``run``; its callback may be asynchronous."""
    chunks: list[str] = []

    async def later(chunk: StreamingChunk) -> None:
        chunks.append(chunk.content)

    [whole] = (await generator.run_async([ChatMessage.from_user("one two")]))["replies"]
    [told] = (await generator.run_async("one two", later))["replies"]

    assert whole.text == told.text == "".join(chunks) == "You said: one two"
    assert await generator.run_async([]) == {"replies": []}
    with pytest.raises(ValueError, match="coroutine"):
        generator.run("x", later)


@pytest.mark.skipif(haystack.version.__version__.startswith("2."), reason="Haystack 2 refuses it itself")
async def test_a_synchronous_callback_of_run_async(generator: OnplanChatGenerator) -> None:
    """Haystack 3 takes one, and warns in its log."""
    chunks: list[StreamingChunk] = []
    await generator.run_async("one two", chunks.append)
    assert "".join(chunk.content for chunk in chunks) == "You said: one two"


def test_what_another_backend_takes(emulator: Emulator) -> None:
    """A server of Chat Completions is given what a plan does not take."""
    known = {"api_key": "sk-emulator", "base_url": emulator.urls["openai_base_url"], "api": "chat"}
    other = OnplanChatGenerator(MODEL, backend="openai", generation_kwargs={"seed": 7}, **known)
    answer = reply(other, "x")
    [row] = [row for row in emulator.journal() if row["path"].endswith("/chat/completions")]

    assert row["body"]["seed"] == 7
    assert "ignored_parameters" not in answer.meta


def test_parameters(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """By onplan's names and OpenAI's; those of a run replace the component's; what is ignored is reported."""
    own = {"reasoning": {"effort": "high", "summary": "auto"}, "verbosity": "low", "seed": 1}
    other = OnplanChatGenerator(MODEL, generation_kwargs=own)
    answer = reply(other, "x", generation_kwargs={"temperature": 0.5, "reasoning": {"effort": "low"}, "n": 1})
    [row] = asked(signed_in)

    assert answer.meta["ignored_parameters"] == ["temperature", "seed"]
    assert row["body"]["reasoning"]["effort"] == "low"
    assert row["body"]["text"]["verbosity"] == "low"
    assert (
        reply(generator, "x", generation_kwargs={"max_completion_tokens": 1}).meta["finish_reason"]
        == "length"
    )
    with pytest.raises(onplan.InvalidRequestError, match="one answer"):
        generator.run("x", generation_kwargs={"n": 2})
    with pytest.raises(onplan.InvalidRequestError, match="no field 'colour'"):
        generator.run("x", generation_kwargs={"colour": "red"})
    with pytest.raises(onplan.InvalidRequestError, match="seed"):
        OnplanChatGenerator(MODEL, unsupported="raise").run("x", generation_kwargs={"seed": 1})
    with pytest.raises(onplan.ConfigurationError, match="no option 'profil'"):
        OnplanChatGenerator(profil="x")
    with pytest.raises(onplan.InvalidRequestError, match=r"messages\[0\]"):
        generator.run([{"role": "user"}])


def test_typed_output(generator: OnplanChatGenerator) -> None:
    """``response_format`` is a class of pydantic or a schema."""
    schema = {"type": "json_schema", "json_schema": {"name": "bird", "schema": Bird.model_json_schema()}}
    for format_ in (Bird, schema):
        answer = reply(generator, "A bird", generation_kwargs={"response_format": format_})
        assert Bird.model_validate_json(answer.text)


def test_images_and_files(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """They arrive, in their order."""
    encoded = base64.b64encode(png_of("x", 2, 2)).decode()
    paper = base64.b64encode(b"%PDF-1.4 paper").decode()
    parts = ["See", ImageContent(encoded, "image/png", "low"), "and", FileContent(paper, "application/pdf")]
    reply(generator, ChatMessage.from_user(content_parts=parts))
    [message] = [item for item in asked(signed_in)[0]["body"]["input"] if item.get("role") == "user"]
    see, image, and_, document = message["content"]

    assert (see["text"], and_["text"]) == ("See", "and")
    assert image["image_url"] == f"data:image/png;base64,{encoded}"
    assert image["detail"] == "low"
    assert document["filename"] == "document.pdf"


@pytest.mark.parametrize("ask", [reply, streamed])
def test_thinking_and_tools_go_back_as_they_came(
    generator: OnplanChatGenerator, signed_in: Emulator, ask: Any
) -> None:
    """Also through JSON: the sealed reasoning, and arguments to the letter."""
    calls = [Call("weather", '{"city":  "Oslo"}')]
    signed_in.play(Turn(thinking="Hm.", tool_calls=calls), Turn(text="Rain."))
    question = ChatMessage.from_user("Oslo?")
    fields = {"tools": [WEATHER], "generation_kwargs": {"reasoning_summary": "auto"}}
    first = ask(generator, question, **fields)
    stored = ChatMessage.from_dict(json.loads(json.dumps(first.to_dict())))
    [call] = stored.tool_calls
    second = ask(generator, question, stored, ChatMessage.from_tool("rain", call), **fields)
    sent = asked(signed_in)[-1]["body"]["input"]

    assert (call.tool_name, call.arguments) == ("weather", {"city": "Oslo"})
    assert first.reasoning.reasoning_text == "Hm."
    assert first.meta["finish_reason"] == "tool_calls"
    assert second.text == "Rain."
    [reasoning] = [item for item in sent if item.get("type") == "reasoning"]
    assert reasoning["encrypted_content"] == first.reasoning.extra["encrypted"]
    assert [item["arguments"] for item in sent if item.get("type") == "function_call"] == [
        '{"city":  "Oslo"}'
    ]
    assert [item["output"] for item in sent if item.get("type") == "function_call_output"] == ["rain"]


def test_messages_of_others(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """A call without an id is known by its name; an error of a tool is told as one."""
    call = ToolCall("weather", {"city": "Oslo"})
    messages = [
        ChatMessage.from_user("x"),
        ChatMessage.from_assistant(tool_calls=[call]),
        ChatMessage.from_tool("no such city", call, error=True),
    ]
    reply(generator, *messages)
    items = asked(signed_in)[0]["body"]["input"]
    [asked_for] = [item for item in items if item.get("type") == "function_call"]
    [result] = [item for item in items if item.get("type") == "function_call_output"]

    assert asked_for["call_id"] == result["call_id"]
    assert "no such city" in str(result["output"])
    assert result["output"] != "no such city"


@pytest.mark.parametrize(("result", "told"), [([TextContent("rain")], "rain"), ([], "")])
def test_a_tool_that_says_a_text_or_nothing(
    generator: OnplanChatGenerator, signed_in: Emulator, result: list[Any], told: str
) -> None:
    """Its result is a string, also where Haystack has a list."""
    call = ToolCall("weather", {"city": "Oslo"}, "c1")
    said = [ChatMessage.from_user("x"), ChatMessage.from_assistant(tool_calls=[call])]
    reply(generator, *said, ChatMessage.from_tool(result, call))
    [sent] = [item for item in asked(signed_in)[0]["body"]["input"] if "output" in item]
    assert sent["output"] == told


@pytest.mark.parametrize(
    "messages",
    [
        [ChatMessage.from_assistant(tool_calls=[ToolCall("f", {"a": object()}, "1")])],
        [ChatMessage.from_user(content_parts=[ImageContent("%%%", "image/png", validation=False)])],
        [{"role": "user"}],
        [None],
        5,
    ],
)
def test_messages_that_are_none(generator: OnplanChatGenerator, signed_in: Emulator, messages: Any) -> None:
    """They are refused in words, before anything is sent."""
    with pytest.raises(onplan.InvalidRequestError):
        generator.run(messages)
    assert not asked(signed_in)


def test_chunks_of_calls(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """Each call has an index of its own, under which its arguments follow."""
    calls = [Call("weather", {"city": "Oslo"}), Call("weather", "[1]")]
    signed_in.play(Turn(text="Both.", tool_calls=calls))
    chunks: list[StreamingChunk] = []
    answer = reply(generator, "x", streaming_callback=chunks.append, tools=[WEATHER])
    arguments: dict[int, str] = {}
    for chunk in chunks:
        for delta in chunk.tool_calls or ():
            arguments[delta.index] = arguments.get(delta.index, "") + (delta.arguments or "")

    assert [json.loads(each) for each in arguments.values()] == [{"city": "Oslo"}, [1]]
    assert [call.arguments for call in answer.tool_calls] == [{"city": "Oslo"}, {"invalid_arguments": "[1]"}]


def test_which_tools_are_offered(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """Those of a run instead of the component's; strictly if told so; no two of one name."""
    other = Tool("other", "Another.", {"type": "object", "properties": {}}, weather)
    own = OnplanChatGenerator(MODEL, tools=Toolset([WEATHER]), tools_strict=True)
    own.warm_up()
    reply(own, "x", generation_kwargs={"tool_choice": "required"})
    reply(own, "x", tools=[other], tools_strict=False)
    first, second = (row["body"] for row in asked(signed_in))

    assert [(tool["name"], tool["strict"]) for tool in first["tools"]] == [("weather", True)]
    assert first["tools"][0]["parameters"]["additionalProperties"] is False
    assert first["tool_choice"] == "required"
    assert [(tool["name"], tool["strict"]) for tool in second["tools"]] == [("other", False)]
    with pytest.raises(onplan.InvalidRequestError, match="Two tools"):
        OnplanChatGenerator(tools=[WEATHER, WEATHER])
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    optional = Tool("optional", "x", parameters, weather)
    with pytest.raises(onplan.InvalidRequestError, match="optional cannot be strict"):
        generator.run("x", tools=[optional], tools_strict=True)


def test_an_agent(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """Haystack's own agent calls a tool that works and one that fails, and answers; streamed, too."""
    tools = [WEATHER, create_tool_from_function(divide)]
    turns = [
        Turn(tool_calls=[Call("weather", {"city": "Oslo"}), Call("divide", {"number": 1})]),
        Turn(text="Take a coat."),
    ]
    signed_in.play(*turns, *turns)
    agent = Agent(chat_generator=generator, tools=tools, raise_on_tool_invocation_failure=False)
    whole = agent.run(messages=[ChatMessage.from_user("A coat?")])
    told = asyncio.run(agent.run_async(messages=[ChatMessage.from_user("A coat?")]))
    sent = asked(signed_in)[1]["body"]["input"]
    outputs = [str(item["output"]) for item in sent if item.get("type") == "function_call_output"]

    assert whole["last_message"].text == told["last_message"].text == "Take a coat."
    assert "rain in Oslo" in outputs[0]
    assert "zero" in outputs[1]
    assert len(asked(signed_in)) == 4


def rag(generator: OnplanChatGenerator) -> Pipeline:
    """A pipeline that finds documents and asks about them."""
    store = InMemoryDocumentStore()
    store.write_documents([Document(content="Terns dive."), Document(content="Owls hoot.")])
    template = "{% for each in documents %}{{ each.content }}{% endfor %} {{ question }}"
    pipeline = Pipeline()
    pipeline.add_component("find", InMemoryBM25Retriever(store, top_k=1))
    prompt = ChatPromptBuilder([ChatMessage.from_user(template)], required_variables="*")
    pipeline.add_component("prompt", prompt)
    pipeline.add_component("ask", generator)
    pipeline.connect("find.documents", "prompt.documents")
    pipeline.connect("prompt.prompt", "ask.messages")
    return pipeline


def test_a_pipeline(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """Documents are found, and the model is asked about them; also after it was written down."""
    signed_in.play(Turn(text="They dive."), Turn(text="They dive."))
    given = {"find": {"query": "Terns"}, "prompt": {"question": "How?"}}
    whole = rag(generator).run(given)

    assert whole["ask"]["replies"][0].text == "They dive."
    assert "Terns dive." in json.dumps(asked(signed_in)[0]["body"]["input"])
    simple = Pipeline()
    simple.add_component("ask", OnplanChatGenerator(MODEL, profile="default"))
    assert "type: onplan.integrations.haystack.OnplanChatGenerator" in simple.dumps()
    again = Pipeline.loads(simple.dumps())
    assert again.run({"ask": {"messages": [ChatMessage.from_user("x")]}})["ask"]["replies"][0].text


async def test_where_pipelines_and_fallbacks_await_it(
    generator: OnplanChatGenerator, signed_in: Emulator
) -> None:
    """An asynchronous pipeline, and another model in place of one that is used up."""
    signed_in.play(Turn(fault="usage_limit_429"), Turn(text="They dive."))
    pipeline = (AsyncPipeline or Pipeline)()
    other = OnplanChatGenerator("gpt-5.6-luna")
    pipeline.add_component("ask", FallbackChatGenerator([generator, other]))
    done = await pipeline.run_async({"ask": {"messages": [ChatMessage.from_user("Terns?")]}})

    assert done["ask"]["replies"][0].text == "They dive."
    assert [row["body"]["model"] for row in asked(signed_in)] == [MODEL, "gpt-5.6-luna"]


FAULTS: list[tuple[str, type[Exception]]] = [
    ("usage_limit_429", onplan.UsageLimitError),
    ("usage_limit_in_stream", onplan.UsageLimitError),
    ("overloaded_503", onplan.OverloadedError),
    ("context_length_exceeded", onplan.ContextLengthError),
    ("cloudflare_403", onplan.BlockedError),
    ("eof_without_terminal", onplan.StreamTruncatedError),
    ("cut_mid_event", onplan.StreamTruncatedError),
]


def _ask(generator: OnplanChatGenerator, way: str) -> Any:
    if way.startswith("async"):
        later = hear_later if "stream" in way else None
        return asyncio.run(generator.run_async("one two three", later))["replies"][0].text
    return generator.run("one two three", hear if "stream" in way else None)["replies"][0].text


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize("way", ["whole", "stream", "async", "async stream"])
def test_failures(signed_in: Emulator, fault: str, error: type[Exception], way: str) -> None:
    """Each is onplan's error, asked for once; none is taken for a whole answer."""
    signed_in.arm(fault, 9)
    with pytest.raises(error):
        _ask(OnplanChatGenerator(MODEL, retry=1), way)
    assert len(asked(signed_in)) == 1


def test_failures_in_a_pipeline(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """It is Haystack's error, with onplan's behind it, asked for once; its text says what to do."""
    signed_in.arm("usage_limit_429", 9)
    with pytest.raises(PipelineRuntimeError, match="limit") as caught:
        rag(generator).run({"find": {"query": "Terns"}, "prompt": {"question": "How?"}})
    limit = caught.value.__cause__
    assert isinstance(limit, onplan.UsageLimitError)
    assert str(caught.value).count(limit.hint) == 1
    assert "".join(traceback.format_exception(limit)).count(limit.hint) == 1
    assert len(asked(signed_in)) == 1
    assert type(pickle.loads(pickle.dumps(limit))) is type(limit)


@pytest.mark.parametrize("way", ["whole", "stream", "async", "async stream"])
def test_what_is_tried_again(signed_in: Emulator, way: str) -> None:
    """A rate limit is, before the first piece."""
    signed_in.play(Turn(fault="rate_limited_429_milliseconds"), Turn(text="Yes."))
    assert _ask(OnplanChatGenerator(MODEL), way) == "Yes."


def test_a_refused_sign_in_says_what_to_type(signed_in: Emulator) -> None:
    """Without a token in its traceback."""
    token = onplan.Client().credentials().access_token
    signed_in.revoke_refresh_tokens()
    signed_in.expire_access_tokens()
    with pytest.raises(onplan.CredentialError) as caught:
        OnplanChatGenerator(MODEL).run("x")
    assert "onplan login" in caught.value.hint
    assert token not in str(source_locals(caught.value))


def test_an_expired_token_is_refreshed_once(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """Twenty threads, then twenty tasks, ask with a token that the backend refuses; one refresh each."""
    generator.run("x")
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        texts = list(pool.map(lambda n: reply(generator, f"q{n}").text, range(20)))
    assert texts == [f"You said: q{n}" for n in range(20)]
    assert refreshes(signed_in) == 1

    async def ask() -> list[Any]:
        return await asyncio.gather(*(generator.run_async(f"q{n}") for n in range(20)))

    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    assert [each["replies"][0].text for each in asyncio.run(ask())] == texts
    assert refreshes(signed_in) == 1


def test_twenty_event_loops(generator: OnplanChatGenerator, signed_in: Emulator) -> None:
    """One object serves one loop after another; the connections of each are closed with it."""

    async def ask(number: int) -> Any:
        answers = await asyncio.gather(*(generator.run_async(f"q{number}", hear_later) for _ in range(3)))
        return answers[0]["replies"][0].text

    asyncio.run(ask(0))
    before = open_files()
    assert [asyncio.run(ask(number)) for number in range(20)] == [f"You said: q{n}" for n in range(20)]
    assert eventually(lambda: open_files() <= before)


async def test_a_run_that_is_cancelled_ends_at_the_backend(
    generator: OnplanChatGenerator, signed_in: Emulator
) -> None:
    """And so does one whose callback fails; the next question is answered."""
    await generator.run_async("x")
    await generator.close_async()
    before = open_files()
    signed_in.arm("stall", 2)
    begun = asyncio.Event()

    async def note(chunk: StreamingChunk) -> None:
        begun.set()

    task = asyncio.create_task(generator.run_async("one two three", note))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def fail(chunk: StreamingChunk) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await generator.run_async("one two three", fail)
    for _ in range(1_000):
        if open_files() <= before:
            break
        await asyncio.sleep(0.005)
    assert open_files() <= before
    assert (await generator.run_async("x"))["replies"][0].text == "You said: x"
    await generator.close_async()


def _in_a_child(queue: Any, generator: OnplanChatGenerator) -> None:
    queue.put(reply(generator, "child").text)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(generator: OnplanChatGenerator) -> None:
    """A child that is forked after the parent has asked gets its answer from the same object."""
    assert reply(generator, "parent").text == "You said: parent"
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue, generator))
    child.start()
    assert queue.get(timeout=60) == "You said: child"
    child.join(60)
    generator.close()
    assert reply(generator, "parent").text == "You said: parent"


def test_what_is_written_down(signed_in: Emulator) -> None:
    """Dicts and pickles have the settings and work; no secret is in them."""
    generator = OnplanChatGenerator(
        MODEL,
        hear,
        {"response_format": Bird, "verbosity": "low"},
        [WEATHER],
        profile="default",
        timeout=60,
    )
    token = onplan.Client().credentials().access_token
    written = json.loads(json.dumps(generator.to_dict()))
    other = OnplanChatGenerator.from_dict(json.loads(json.dumps(written)))
    third = pickle.loads(pickle.dumps(OnplanChatGenerator(MODEL, profile="default")))

    assert written["init_parameters"]["profile"] == "default"
    assert written["init_parameters"]["timeout"] == 60
    assert other.to_dict() == generator.to_dict()
    assert other.streaming_callback is hear
    assert Bird.model_validate_json(reply(other, "A bird", tools=[]).text)
    assert reply(third, "x").text == "You said: x"
    assert token not in f"{written}{generator!r}{vars(generator)}"
    secret = OnplanChatGenerator(backend="openai", api_key="sk-secret-secret-secret")
    assert "secret" not in f"{secret.to_dict()}{secret!r}{vars(secret)}"
    with pytest.raises(onplan.ConfigurationError, match="api_key"):
        pickle.dumps(secret)


@pytest.mark.parametrize("code", python_blocks("haystack.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of the page, without an error."""
    run(code)
