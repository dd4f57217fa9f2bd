"""LlamaIndex on the plan: its own classes of agents and query engines ask ``Onplan``."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import gc
import json
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn
from onplan.emulator.wire.png import png_of

from ..amount_of_work import bytes_allocated, lines_run
from ..conftest import eventually, source_locals
from .asking import asked, open_files, refreshes
from .pages import python_blocks, run

pytest.importorskip("llama_index.core")

from llama_index.core import Document, MockEmbedding, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool

from onplan.integrations.llama_index import NoToolCallError, Onplan
from onplan.integrations.llama_index.streaming import Growing

from .samples import Bird, divide, weather

MODEL = "gpt-5.5"


WEATHER = FunctionTool.from_defaults(weather)


@pytest.fixture
def llm(signed_in: Emulator) -> Onplan:
    """A model."""
    return Onplan(model=MODEL)


def test_answers(llm: Onplan) -> None:
    """Chat and complete, whole and streamed: text, usage, facts; a stream has all so far, and what is new."""
    chat = llm.chat([ChatMessage("one two")])
    chats = list(llm.stream_chat([ChatMessage("one two")]))
    complete = llm.complete("one two")
    completes = list(llm.stream_complete("one two"))

    assert chat.message.content == complete.text == chats[-1].message.content == "You said: one two"
    assert "".join(each.delta or "" for each in chats) == completes[-1].text == "You said: one two"
    grown = [each.message.content or "" for each in chats]
    assert grown == sorted(grown, key=len)
    assert len(set(grown)) > 1
    assert chat.raw["usage"]["completion_tokens"] == chats[-1].raw["usage"]["completion_tokens"] > 0
    assert chat.additional_kwargs["completion_tokens"] == chat.raw["usage"]["completion_tokens"]
    assert chat.raw["finish_reason"] == "stop"
    assert chat.raw["limits"]["windows"]
    json.dumps(chat.raw)


async def test_answers_of_the_asynchronous_methods(llm: Onplan) -> None:
    """As those of the others."""
    chat = await llm.achat([ChatMessage("one two")])
    chats = [each async for each in await llm.astream_chat([ChatMessage("one two")])]
    complete = await llm.acomplete("one two")
    completes = [each async for each in await llm.astream_complete("one two")]

    assert chat.message.content == chats[-1].message.content == "You said: one two"
    assert complete.text == completes[-1].text == "".join(each.delta or "" for each in completes)


def test_metadata(signed_in: Emulator) -> None:
    """Its window is the catalogue's, asked for once and only for a model that is not built in."""
    assert Onplan(model=MODEL).metadata.context_window > 100_000
    assert Onplan(model=MODEL).metadata.is_function_calling_model
    assert Onplan(model=MODEL, context_window=5_000, max_tokens=7).metadata.context_window == 5_000
    assert not signed_in.journal()
    unnamed = Onplan()
    assert unnamed.metadata.context_window == unnamed.metadata.context_window > 100_000
    assert Onplan(model="gpt-none").metadata.context_window == 3_900
    assert len([row for row in signed_in.journal() if row["path"].endswith("/models")]) == 2


def test_parameters(signed_in: Emulator) -> None:
    """Settings, additional_kwargs and keywords reach the request; what a plan does not take is reported."""
    llm = Onplan(model=MODEL, temperature=0.5, reasoning_effort="low", additional_kwargs={"verbosity": "low"})
    answer = llm.chat([ChatMessage("hi")], reasoning_effort="high")
    [row] = asked(signed_in)

    assert answer.raw["ignored_parameters"] == ["temperature"]
    assert row["body"]["reasoning"]["effort"] == "high"
    assert row["body"]["text"]["verbosity"] == "low"
    with pytest.raises(onplan.InvalidRequestError, match="no field 'colour'"):
        llm.chat([ChatMessage("hi")], colour="red")
    with pytest.raises(onplan.ConfigurationError, match="no option 'profil'"):
        Onplan(profil="x")
    for name in ("http_client", "resume"):
        with pytest.raises(onplan.ConfigurationError, match=name):
            Onplan(**{name: True})


def test_blocks(llm: Onplan, signed_in: Emulator, tmp_path: Path) -> None:
    """Images and documents arrive by their bytes, paths and addresses; what no model takes is refused."""
    picture = png_of("x", 2, 2)
    path = tmp_path / "a.png"
    path.write_bytes(picture)
    paper = b"%PDF-1.4 paper"
    blocks = [
        TextBlock(text="See"),
        ImageBlock(image=picture, detail="low"),
        ImageBlock(path=path),
        ImageBlock(url="https://example.com/a.png"),
        DocumentBlock(data=paper, document_mimetype="application/pdf", title="paper"),
    ]
    llm.chat([ChatMessage(role="user", blocks=blocks)])
    [row] = asked(signed_in)
    [message] = [item for item in row["body"]["input"] if item.get("role") == "user"]
    text, by_bytes, by_path, by_url, document = message["content"]

    assert text["text"] == "See"
    encoded = base64.b64encode(picture).decode()
    assert by_bytes["image_url"] == by_path["image_url"] == f"data:image/png;base64,{encoded}"
    assert by_bytes["detail"] == "low"
    assert by_url["image_url"] == "https://example.com/a.png"
    assert document["filename"] == "paper.pdf"
    assert base64.b64decode(document["file_data"].partition(",")[2]) == paper
    with pytest.raises(onplan.InvalidRequestError, match="audio"):
        llm.chat([ChatMessage(role="user", blocks=[AudioBlock(audio=b"RIFF")])])


def test_thinking_goes_back_as_it_came(signed_in: Emulator) -> None:
    """Also through JSON: the reasoning that only the backend can read, and what blocks have no place for."""
    llm = Onplan(model=MODEL, reasoning_summary="auto")
    signed_in.play(Turn(thinking="Hm.", text="Yes."))
    first = llm.stream_chat([ChatMessage("one")])
    answers = list(first)
    stored = ChatMessage.model_validate_json(answers[-1].message.model_dump_json())
    llm.chat([ChatMessage("one"), stored, ChatMessage("two")])
    sent = asked(signed_in)[-1]["body"]["input"]

    assert "Hm." in "".join(each.additional_kwargs.get("thinking_delta", "") for each in answers)
    [thinking] = [block for block in stored.blocks if isinstance(block, ThinkingBlock)]
    assert thinking.content == "Hm."
    assert stored.content == "Yes."
    [reasoning] = [item for item in sent if item.get("type") == "reasoning"]
    assert reasoning["encrypted_content"] == thinking.additional_information["encrypted"]


def test_tools_and_a_second_turn(llm: Onplan, signed_in: Emulator) -> None:
    """The model calls; its arguments go back to the letter, with the result."""
    signed_in.play(Turn(tool_calls=[Call("weather", '{"city":  "Oslo"}')]), Turn(text="Rain."))
    question = ChatMessage("Oslo?")
    first = llm.chat_with_tools([WEATHER], chat_history=[question])
    [call] = llm.get_tool_calls_from_response(first)
    result = ChatMessage(role="tool", content="rain", additional_kwargs={"tool_call_id": call.tool_id})
    second = llm.chat_with_tools([WEATHER], chat_history=[question, first.message, result])
    sent = asked(signed_in)[-1]["body"]["input"]

    assert (call.tool_name, call.tool_kwargs) == ("weather", {"city": "Oslo"})
    assert second.message.content == "Rain."
    assert [item["arguments"] for item in sent if item.get("type") == "function_call"] == [
        '{"city":  "Oslo"}'
    ]
    assert [item["output"] for item in sent if item.get("type") == "function_call_output"] == ["rain"]


def test_calls_while_they_arrive(llm: Onplan, signed_in: Emulator) -> None:
    """Each answer of a stream has the calls so far, and the last one all of them."""
    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Rome"})]))
    answers = list(llm.stream_chat_with_tools([WEATHER], user_msg="Both?", allow_parallel_tool_calls=True))
    counts = [len(llm.get_tool_calls_from_response(each, error_on_no_tool_call=False)) for each in answers]
    selected = llm.get_tool_calls_from_response(answers[-1])

    assert sorted(set(counts)) in ([0, 1, 2], [1, 2])
    assert counts == sorted(counts)
    assert [call.tool_kwargs["city"] for call in selected] == ["Oslo", "Rome"]


def test_long_arguments_are_not_told_for_each_piece() -> None:
    """Short ones are; of long ones every twentieth of their length, for readers parse them anew each time."""
    growing = Growing()
    growing.feed(onplan.ToolCallStart("c1", "write"))
    growing.feed(onplan.ToolCallDelta("c1", '{"text": "'))
    told = [growing.feed(onplan.ToolCallDelta("c1", "word ")) for _ in range(20_000)]
    growing.feed(onplan.ToolCallDelta("c1", '"}'))
    whole = growing.feed(onplan.ToolCallEnd("c1"))
    lengths = [len(each.message.blocks[0].tool_kwargs) for each in told if each]

    assert all(told[:70])
    assert 100 < len(lengths) < 250
    assert lengths == sorted(set(lengths))
    assert json.loads(whole.message.blocks[0].tool_kwargs)["text"] == "word " * 20_000


def test_many_calls_are_not_told_for_each_change() -> None:
    """Up to twenty are; of more, every twentieth change, and each answer keeps what it had."""
    growing = Growing()
    told = [growing.feed(chunk) for chunk in _calls_in_turn(200)]
    answers = [answer for answer in told if answer]
    seen = [[(block.tool_call_id, block.tool_kwargs) for block in each.message.blocks] for each in answers]
    beside = [
        [(call["id"], call["function"]["arguments"]) for call in each.message.additional_kwargs["tool_calls"]]
        for each in answers
    ]

    assert all(told[: 20 * 3])
    assert len(answers) < 300
    assert [len(each) for each in seen] == sorted(len(each) for each in seen)
    assert all(arguments == "{}" for each in seen for _, arguments in each[:-20])
    assert seen == beside


def _calls_in_turn(count: int) -> list[Any]:
    return [chunk for number in range(count) for chunk in _call(f"c{number}")]


def _calls_at_once(count: int) -> list[Any]:
    calls = [_call(f"c{number}") for number in range(count)]
    return [chunk for step in zip(*calls, strict=True) for chunk in step]


def _call(call_id: str) -> tuple[Any, ...]:
    return (
        onplan.ToolCallStart(call_id, "weather"),
        onplan.ToolCallDelta(call_id, "{}"),
        onplan.ToolCallEnd(call_id),
    )


def _pieces(count: int) -> list[Any]:
    return [onplan.ToolCallStart("c", "write"), *[onplan.ToolCallDelta("c", "word " * 50)] * count]


def _text_after_calls(count: int) -> list[Any]:
    return [*_calls_in_turn(count), *[onplan.TextDelta("word ")] * count]


def _thoughts(count: int) -> list[Any]:
    return [onplan.ThinkingDelta("so ")] * count


# The bytes of a text are the square of its pieces: each answer has all of it, as LlamaIndex wants.
@pytest.mark.parametrize(
    ("measure", "make"),
    [
        *((lines_run, each) for each in (_calls_in_turn, _calls_at_once, _pieces)),
        *((lines_run, each) for each in (_text_after_calls, _thoughts)),
        *((bytes_allocated, each) for each in (_calls_in_turn, _calls_at_once, _pieces)),
    ],
)
def test_ten_times_as_much_is_ten_times_the_work(measure: Any, make: Any) -> None:
    """However much of one thing comes, each piece costs what the ones before it did."""

    def work(count: int) -> int:
        growing, chunks = Growing(), make(count)
        return int(measure(lambda: [growing.feed(chunk) is None for chunk in chunks]))

    assert work(1000) < 14 * work(100)


def test_which_tool_is_called(llm: Onplan, signed_in: Emulator) -> None:
    """``tool_required`` and ``tool_choice`` reach the backend; an answer without a call is an error."""
    llm.chat_with_tools([WEATHER], user_msg="x", tool_required=True)
    llm.chat_with_tools([WEATHER], user_msg="x", tool_choice="weather", allow_parallel_tool_calls=True)
    first, second = (row["body"] for row in asked(signed_in))

    assert first["tool_choice"] == "required"
    assert first["parallel_tool_calls"] is False
    assert second["tool_choice"] == {"type": "function", "name": "weather"}
    assert second["parallel_tool_calls"] is True
    signed_in.play(Turn(text="No."))
    answer = llm.chat([ChatMessage("x")])
    with pytest.raises(ValueError, match="without calling"):
        llm.get_tool_calls_from_response(answer)
    assert issubclass(NoToolCallError, onplan.OutputError)


@pytest.mark.parametrize("arguments", ['[1, "', '{"city": "Os', '{"city": ', "[" * 20_000])
def test_broken_arguments(llm: Onplan, signed_in: Emulator, arguments: str) -> None:
    """Arguments of a whole answer that are no JSON object are not completed, and go back as they came."""
    signed_in.play(Turn(tool_calls=[Call("weather", arguments)]))
    answer = llm.chat_with_tools([WEATHER], user_msg="x")
    [call] = llm.get_tool_calls_from_response(answer)
    result = ChatMessage(role="tool", content="What?", additional_kwargs={"tool_call_id": call.tool_id})

    assert call.tool_kwargs == {"invalid_arguments": arguments}
    assert llm.chat([ChatMessage("x"), answer.message, result]).message.content
    with pytest.raises(onplan.InvalidRequestError, match="tool_call_id"):
        llm.chat([ChatMessage("x"), answer.message, ChatMessage(role="tool", content="What?")])


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(role="tool", content="x"),
        ChatMessage(role="user", blocks=[ImageBlock()]),
        ChatMessage(role="user", blocks=[ImageBlock(url="file:///etc/passwd")]),
        ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="f", tool_kwargs={"a": object()})]),
    ],
)
def test_messages_that_are_none(llm: Onplan, signed_in: Emulator, message: Any) -> None:
    """They are refused in words, before anything is sent."""
    with pytest.raises(onplan.InvalidRequestError):
        llm.chat([message])
    assert not asked(signed_in)


def test_calls_of_older_messages(llm: Onplan, signed_in: Emulator) -> None:
    """Histories that other classes have stored have their calls beside the blocks, or as dicts in them."""
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    beside = ChatMessage(role="assistant", additional_kwargs={"tool_calls": calls})
    result = ChatMessage(role="tool", content="rain", additional_kwargs={"tool_call_id": "c1"})
    inside = ToolCallBlock(tool_call_id="c1", tool_name="weather", tool_kwargs={"city": "Oslo"})
    for message in (beside, ChatMessage(role="assistant", blocks=[inside])):
        llm.chat([ChatMessage("x"), message, result])
        [call] = [i for i in asked(signed_in)[-1]["body"]["input"] if i.get("type") == "function_call"]
        assert json.loads(call["arguments"]) == {"city": "Oslo"}


@pytest.mark.parametrize(("blocks", "told"), [([TextBlock(text="rain")], "rain"), ([], "")])
def test_a_tool_that_says_a_text_or_nothing(
    llm: Onplan, signed_in: Emulator, blocks: list[Any], told: str
) -> None:
    """Its result is a string, also where LlamaIndex has blocks."""
    call = ToolCallBlock(tool_call_id="c1", tool_name="weather", tool_kwargs={"city": "Oslo"})
    result = ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "c1"})
    llm.chat([ChatMessage("x"), ChatMessage(role="assistant", blocks=[call]), result])
    [sent] = [item for item in asked(signed_in)[0]["body"]["input"] if "output" in item]
    assert sent["output"] == told


async def test_typed_output(llm: Onplan, signed_in: Emulator) -> None:
    """By ``structured_predict``, ``as_structured_llm`` and a program; streamed; and by response_format."""
    prompt = PromptTemplate("A {kind}")
    assert isinstance(llm.structured_predict(Bird, prompt, kind="bird"), Bird)
    assert isinstance(await llm.astructured_predict(Bird, prompt, kind="bird"), Bird)
    assert isinstance(llm.as_structured_llm(Bird).complete("A bird").raw, Bird)
    program = FunctionCallingProgram.from_defaults(Bird, "A {kind}", llm=llm)
    assert isinstance(program(kind="bird"), Bird)
    signed_in.play(Turn(tool_calls=[Call("Bird", {"name": "tern", "wingspan": 80})]))
    parts = list(llm.stream_structured_predict(Bird, prompt, kind="bird"))
    signed_in.play(Turn(tool_calls=[Call("Bird", {"name": "tern", "wingspan": 80})]))
    told = [each async for each in await llm.astream_structured_predict(Bird, prompt, kind="bird")]
    assert told[-1].model_dump() == parts[-1].model_dump()
    assert parts[-1].model_dump() == {"name": "tern", "wingspan": 80}
    assert Bird.model_validate_json(llm.complete("A bird", response_format=Bird).text)


# LlamaIndex's workflows look at each attribute of an agent.
of_workflows = pytest.mark.filterwarnings(
    r"ignore:(The `|Accessing the .)(__fields|model_):DeprecationWarning"
)


@of_workflows
async def test_an_agent(llm: Onplan, signed_in: Emulator) -> None:
    """LlamaIndex's own agent calls a tool that works and one that fails, and streams its answer."""
    signed_in.play(
        Turn(tool_calls=[Call("weather", {"city": "Oslo"}), Call("divide", {"number": 1})]),
        Turn(text="Take a coat."),
    )
    agent = FunctionAgent(tools=[weather, divide], llm=llm, system_prompt="Be brief.")
    handler = agent.run("A coat?")
    told = [event.delta async for event in handler.stream_events() if isinstance(event, AgentStream)]
    answer = await handler
    sent = asked(signed_in)[-1]["body"]["input"]
    outputs = [str(item["output"]) for item in sent if item.get("type") == "function_call_output"]

    assert str(answer) == "".join(told) == "Take a coat."
    assert "rain in Oslo" in outputs[0]
    assert "zero" in outputs[1]
    assert len(asked(signed_in)) == 2
    json.dumps(answer.raw)


async def test_a_query_engine(llm: Onplan, signed_in: Emulator) -> None:
    """Documents are found by an index, and the model is asked about them, streamed and not."""
    documents = [Document(text="Terns dive."), Document(text="Owls hoot.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(8))
    signed_in.play(*[Turn(text="They dive.")] * 3)
    whole = index.as_query_engine(llm=llm).query("Terns?")
    streamed = index.as_query_engine(llm=llm, streaming=True).query("Terns?")
    awaited = await index.as_query_engine(llm=llm).aquery("Terns?")

    assert str(whole) == "".join(streamed.response_gen) == str(awaited) == "They dive."
    assert "Terns dive." in json.dumps(asked(signed_in)[0]["body"]["input"])


def test_callbacks_hear_of_a_request_once(signed_in: Emulator) -> None:
    """LlamaIndex's own counter has the backend's figures, of chat and of complete."""
    counter = TokenCountingHandler()
    llm = Onplan(model=MODEL, callback_manager=CallbackManager([counter]))
    counts = [llm.complete("one").raw["usage"], llm.chat([ChatMessage("one")]).raw["usage"]]
    list(llm.stream_complete("one"))

    assert len(counter.llm_token_counts) == 3
    assert counter.llm_token_counts[0].prompt_token_count == counts[0]["prompt_tokens"]
    assert counter.llm_token_counts[1].completion_token_count == counts[1]["completion_tokens"]


FAULTS: list[tuple[str, type[Exception]]] = [
    ("usage_limit_429", onplan.UsageLimitError),
    ("usage_limit_in_stream", onplan.UsageLimitError),
    ("overloaded_503", onplan.OverloadedError),
    ("context_length_exceeded", onplan.ContextLengthError),
    ("cloudflare_403", onplan.BlockedError),
    ("eof_without_terminal", onplan.StreamTruncatedError),
    ("cut_mid_event", onplan.StreamTruncatedError),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize("way", ["chat", "stream", "achat", "astream"])
def test_failures(signed_in: Emulator, fault: str, error: type[Exception], way: str) -> None:
    """Each is onplan's error, asked for once; none is taken for a whole answer."""
    signed_in.arm(fault, 9)
    llm = Onplan(model=MODEL, retry=1)
    with pytest.raises(error):
        asyncio.run(_ask(llm, way))
    assert len(asked(signed_in)) == 1


async def _ask(llm: Onplan, way: str) -> str:
    messages = [ChatMessage("one two three")]
    match way:
        case "chat":
            return str(llm.chat(messages).message.content)
        case "stream":
            return str(list(llm.stream_chat(messages))[-1].message.content)
        case "achat":
            return str((await llm.achat(messages)).message.content)
        case _:
            return str([each async for each in await llm.astream_chat(messages)][-1].message.content)


@pytest.mark.parametrize("way", ["chat", "stream", "achat", "astream"])
def test_what_is_tried_again(signed_in: Emulator, way: str) -> None:
    """A rate limit is, before the first piece; a usage limit and a stream that was begun never are."""
    retry = onplan.RetryPolicy(attempts=2, wait_initial=0.01)
    llm = Onplan(model=MODEL, retry=retry)
    signed_in.play(Turn(fault="rate_limited_429_milliseconds"), Turn(text="Yes."))
    assert asyncio.run(_ask(llm, way)) == "Yes."
    signed_in.clear_journal()
    signed_in.arm("usage_limit_429", 9)
    with pytest.raises(onplan.UsageLimitError):
        asyncio.run(_ask(llm, way))
    assert len(asked(signed_in)) == 1


def test_a_stream_that_breaks_off(signed_in: Emulator) -> None:
    """Its pieces were told; it ends with an error, and is not begun anew."""
    signed_in.arm("cut_mid_event", 9)
    told = []
    with pytest.raises(onplan.StreamTruncatedError):
        told.extend(Onplan(model=MODEL).stream_chat([ChatMessage("one two three")]))
    assert len(asked(signed_in)) == 1


def test_a_refused_sign_in_says_what_to_type(signed_in: Emulator) -> None:
    """Also where there is none; and no token is in its traceback."""
    token = onplan.Client().credentials().access_token
    signed_in.revoke_refresh_tokens()
    signed_in.expire_access_tokens()
    with pytest.raises(onplan.CredentialError) as caught:
        Onplan(model=MODEL).chat([ChatMessage("x")])
    assert "onplan login" in caught.value.hint
    assert token not in str(source_locals(caught.value))


def test_an_expired_token_is_refreshed_once(llm: Onplan, signed_in: Emulator) -> None:
    """Twenty threads, then twenty tasks, ask with a token that the backend refuses; one refresh each."""
    llm.chat([ChatMessage("x")])
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        texts = list(pool.map(lambda n: llm.complete(f"q{n}").text, range(20)))
    assert texts == [f"You said: q{n}" for n in range(20)]
    assert refreshes(signed_in) == 1

    async def ask() -> list[str]:
        answers = await asyncio.gather(*(llm.acomplete(f"q{n}") for n in range(20)))
        return [answer.text for answer in answers]

    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    assert asyncio.run(ask()) == texts
    assert refreshes(signed_in) == 1


def test_twenty_event_loops(llm: Onplan, signed_in: Emulator) -> None:
    """One object serves one loop after another; the connections of each are closed with it."""

    async def ask(number: int) -> str:
        answers = await asyncio.gather(*(llm.acomplete(f"q{number}") for _ in range(3)))
        async for _ in await llm.astream_complete("left early"):
            break
        return str(answers[0].text)

    asyncio.run(ask(0))
    before = open_files()
    assert [asyncio.run(ask(number)) for number in range(20)] == [f"You said: q{n}" for n in range(20)]
    gc.collect()
    assert eventually(lambda: open_files() <= before)


def test_leaving_a_stream_ends_it_at_the_backend(llm: Onplan, signed_in: Emulator) -> None:
    """By closing it, by dropping it, and by cancelling its task; and the next question is answered."""
    llm.complete("x")
    before = open_files()
    signed_in.arm("stall", 3)
    closed = llm.stream_complete("one two three")
    next(closed)
    closed.close()
    dropped = llm.stream_complete("one two three")
    next(dropped)
    del dropped

    async def cancelled() -> None:
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in await llm.astream_complete("one two three"):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await llm.acomplete("x")).text == "You said: x"

    asyncio.run(cancelled())
    assert eventually(lambda: open_files() <= before + 1)
    assert llm.complete("x").text == "You said: x"


def _in_a_child(queue: Any, llm: Onplan) -> None:
    queue.put(llm.complete("child").text)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(llm: Onplan) -> None:
    """A child that is forked after the parent has asked gets its answer from the same object."""
    assert llm.complete("parent").text == "You said: parent"
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue, llm))
    child.start()
    assert queue.get(timeout=60) == "You said: child"
    child.join(60)
    assert llm.complete("parent").text == "You said: parent"


def _told(llm: Onplan) -> str:
    """What LlamaIndex tells those who watch it."""
    return str(llm.to_payload() if hasattr(llm, "to_payload") else llm.to_dict())


def test_what_is_written_down(signed_in: Emulator) -> None:
    """Copies, pickles and dicts have the settings and work; no secret is in them."""
    llm = Onplan(model=MODEL, profile="default", reasoning_effort="low", timeout=60)
    llm.complete("x")
    token = onplan.Client().credentials().access_token
    others = [
        pickle.loads(pickle.dumps(llm)),
        Onplan.from_dict(llm.to_dict()),
        Onplan.from_json(llm.to_json()),
        llm.model_copy(deep=True),
    ]
    for other in others:
        assert (other.model, other.reasoning_effort) == (MODEL, "low")
        assert other.complete("x").text == "You said: x"
        assert other.to_dict() == llm.to_dict()
    assert llm.to_dict()["timeout"] == 60
    for written in (repr(llm), str(llm), llm.to_json(), str(pickle.dumps(llm)), _told(llm)):
        assert token not in written


def test_an_api_key_is_not_written_down(signed_in: Emulator) -> None:
    """Neither in a dict nor in repr; a pickle is refused."""
    key = "sk-secret-secret-secret"
    llm = Onplan(model=MODEL, backend="openai", api_key=key)
    assert key not in f"{llm!r}{llm}{llm.to_json()}{_told(llm)}{vars(llm)}{llm.__pydantic_private__}"
    with pytest.raises(onplan.ConfigurationError, match="api_key"):
        pickle.dumps(llm)


def test_settings_take_it(llm: Onplan, signed_in: Emulator) -> None:
    """``Settings.llm`` is where LlamaIndex looks when no model is named."""
    Settings.llm = llm
    try:
        assert Settings.llm.complete("x").text == "You said: x"
    finally:
        Settings.llm = None


def test_closing(llm: Onplan, signed_in: Emulator) -> None:
    """Closed, it has no connections; it can be used again."""
    before = open_files()
    llm.complete("x")
    llm.close()
    assert eventually(lambda: open_files() <= before)

    async def ask() -> None:
        await llm.acomplete("x")
        await llm.aclose()

    asyncio.run(ask())
    assert llm.complete("x").text == "You said: x"


@pytest.mark.parametrize("code", python_blocks("llama-index.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of the page, without an error."""
    # llama-index-core 0.14.5 draws this warning from today's pydantic.
    run(code, "-Wignore::UserWarning:pydantic._internal._generate_schema")
