"""LangChain's chat model on the plan: messages, tools, typed output, failures, event loops, saving."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

from ..conftest import eventually, issued
from . import distributions, pages
from .asking import asked, open_files, refreshes

pytest.importorskip("langchain_core")

from langchain_core import exceptions
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.load import dumps, load, loads
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from onplan.config.settings import load_settings
from onplan.integrations.langchain import ChatOnplan, RetryableModelError
from onplan.integrations.langchain.answers import message_of
from onplan.stores import open_store

MODEL = "gpt-5.5"
HAS_MODEL_ERRORS = hasattr(exceptions, "ModelError")
HAS_PROFILES = "profile" in ChatOnplan.model_fields
HAS_EVENTS_V3 = find_spec("langchain_core.language_models.chat_model_stream") is not None
needs_v3 = pytest.mark.skipif(not HAS_EVENTS_V3, reason="this langchain-core has no stream_events v3")
v3_is_beta = pytest.mark.filterwarnings(
    "ignore:.*beta:langchain_core._api.beta_decorator.LangChainBetaWarning"
)


@tool
def weather(city: str) -> str:
    """The weather."""
    return f"rain in {city}"


class Bird(BaseModel):
    """A bird."""

    name: str
    wingspan: int = 30


BIRD = '{"name": "Wren", "wingspan": 15}'


@pytest.fixture
def model(signed_in: Emulator) -> ChatOnplan:
    """A model, signed in at the emulator."""
    return ChatOnplan(model=MODEL)


def _asked(emulator: Emulator) -> list[Any]:
    """The bodies of the requests to the model, over HTTP and WebSocket."""
    return [row["body"] for row in asked(emulator) if row["body"]]


def _added(chunks: Any) -> AIMessage:
    first, *others = chunks
    return first.__add__(others)


# --- answers --------------------------------------------------------------------------------------------


async def test_answers(model: ChatOnplan) -> None:
    """Whole and streamed, sync and async: text, thinking, usage, finish and model are the same."""
    streamed = [chunk async for chunk in model.astream("one two")]
    answers = [
        model.invoke("one two"),
        await model.ainvoke("one two"),
        _added(model.stream("one two")),
        _added(streamed),
    ]

    for answer in answers:
        assert answer.content == "You said: one two"
        assert "Reading the request" in answer.additional_kwargs["reasoning_content"]
        assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
        assert answer.usage_metadata["total_tokens"] == answers[0].usage_metadata["total_tokens"] > 0
        assert answer.usage_metadata["output_token_details"]["reasoning"] > 0
        assert answer.response_metadata["model_name"] == MODEL
        assert answer.response_metadata["model_provider"] == "onplan"
        assert answer.response_metadata["finish_reason"] == "stop"
        assert answer.response_metadata["limits"]["windows"]
    texts = [chunk.content for chunk in streamed if chunk.content]
    assert texts == ["You", " said:", " one", " two"]
    assert [chunk.chunk_position for chunk in streamed][-1] == "last"


class _Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)


async def test_events_and_callbacks(signed_in: Emulator) -> None:
    """``streaming=True`` reports tokens to callbacks once each, also from ``invoke``; v2 events have them."""
    model, seen = ChatOnplan(model=MODEL, streaming=True), _Tokens()
    model.invoke("one two", config={"callbacks": [seen]})
    async_seen = _Tokens()
    await model.ainvoke("one two", config={"callbacks": [async_seen]})
    events = [event async for event in model.astream_events("one two", version="v2")]

    assert "".join(seen.tokens) == "".join(async_seen.tokens) == "You said: one two"
    assert events[0]["event"] == "on_chat_model_start"
    assert events[-1]["event"] == "on_chat_model_end"
    assert events[-1]["data"]["output"].content == "You said: one two"


@needs_v3
@v3_is_beta
def test_events_v3(model: ChatOnplan) -> None:
    """The typed stream has text, reasoning and calls, and its message goes on as any other."""
    bound = model.bind_tools([weather])
    stream = bound.stream_events("Oslo?", version="v3")
    [call] = stream.tool_calls.get()
    result = weather.invoke(call)
    again = bound.stream_events([HumanMessage("Oslo?"), stream.output, result], version="v3")

    assert "Reading the request" in str(stream.reasoning)
    assert "rain in" in str(again.text)


def test_parameters(signed_in: Emulator) -> None:
    """What a plan does not take is left out and named; ``stop`` and ``max_tokens`` are carried out."""
    model = ChatOnplan(model=MODEL, temperature=0.3, stop=["two"], reasoning_effort="low")
    answer = model.invoke("one two three", max_tokens=500)

    assert answer.content == "You said: one "
    assert answer.response_metadata["ignored_parameters"] == ["temperature"]
    assert set(answer.response_metadata["emulated_parameters"]) == {"stop", "max_tokens"}
    [body] = _asked(signed_in)
    assert "temperature" not in body
    assert body["reasoning"]["effort"] == "low"
    with pytest.raises(onplan.InvalidRequestError, match="does not take temperature"):
        ChatOnplan(model=MODEL, unsupported="raise").invoke("x", temperature=0.3)
    with pytest.raises(onplan.InvalidRequestError, match="Did you mean `verbosity`"):
        model.invoke("x", verbosit="low")


def test_an_answer_without_usage() -> None:
    """Where onplan ended it before the backend had counted there is none, rather than zeros."""
    said = onplan.Message.assistant("x")
    response = onplan.CompletionResponse(said, onplan.Usage(), onplan.FinishReason.STOP, MODEL)
    assert message_of(response).usage_metadata is None


# --- messages -------------------------------------------------------------------------------------------

_PIXEL = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()
_IMAGES: list[dict[str, Any]] = [
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}", "detail": "low"}},
    {"type": "image_url", "image_url": f"data:image/png;base64,{_PIXEL}"},
    {"type": "image", "base64": _PIXEL, "mime_type": "image/png"},
    {"type": "image", "source_type": "base64", "data": _PIXEL, "mime_type": "image/png"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PIXEL}},
    {"type": "input_image", "image_url": f"data:image/png;base64,{_PIXEL}"},
]


@pytest.mark.parametrize("block", _IMAGES)
def test_images(model: ChatOnplan, signed_in: Emulator, block: dict[str, Any]) -> None:
    """In every shape that LangChain's users write, the backend gets the same image."""
    model.invoke([HumanMessage(["What is it?", block])])
    [body] = _asked(signed_in)
    assert _PIXEL[:40] in json.dumps(body["input"])


def test_files_and_roles(model: ChatOnplan, signed_in: Emulator) -> None:
    """Files keep their names; system, developer and user messages their roles."""
    pdf = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()
    file = {"type": "file", "base64": pdf, "mime_type": "application/pdf", "filename": "a.pdf"}
    model.invoke([SystemMessage("Be kind."), ("developer", "Be brief."), HumanMessage([file])])
    said = json.dumps(_asked(signed_in)[0])
    assert '"filename": "a.pdf"' in said
    assert "Be kind." in said
    assert "Be brief." in said


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
        [{"type": "image", "file_id": "file-1"}],
        [{"type": "image", "base64": "é", "mime_type": "image/png"}],
        [{"type": "image", "source": 5}],
        [{"type": "image", "url": "/etc/passwd"}],
        [{"type": "image_url"}],
        [{}],
        [{"type": "file", "file": {"file_data": 7}}],
    ],
)
def test_blocks_that_cannot_be_sent(model: ChatOnplan, signed_in: Emulator, content: Any) -> None:
    """They are LangChain's error for a bad request, which says where, before anything is sent."""
    with pytest.raises(onplan.InvalidRequestError, match=r"messages\[0\]|not a URL") as raised:
        model.invoke([HumanMessage(content)])
    assert isinstance(raised.value, exceptions.LangChainException)
    assert not _asked(signed_in)


def _as_it_is(message: AIMessage) -> AIMessage:
    return message


def _by_json(message: AIMessage) -> AIMessage:
    return type(message).model_validate_json(message.model_dump_json())


def _by_dicts(message: AIMessage) -> AIMessage:
    [read] = messages_from_dict(json.loads(json.dumps(messages_to_dict([message]))))
    return read


def _by_dumps(message: AIMessage) -> AIMessage:
    return loads(dumps(message), **_allowing("core"))


def _allowing(objects: Any) -> dict[str, Any]:
    """The argument of ``load`` that says which classes are allowed, where there is one."""
    return {"allowed_objects": objects} if "allowed_objects" in signature(load).parameters else {}


def _by_pickle(message: AIMessage) -> AIMessage:
    return pickle.loads(pickle.dumps(message))


_TRIPS = [_as_it_is, _by_json, _by_dicts, _by_dumps, _by_pickle]


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("trip", _TRIPS)
@pytest.mark.parametrize("options", [{}, {"output_version": "v1"}, {"streaming": True}])
def test_sealed_reasoning_goes_back(
    signed_in: Emulator, trip: Callable[[AIMessage], AIMessage], options: dict[str, Any]
) -> None:
    """After every round trip of the history the model gets its own reasoning back, before its call."""
    bound = ChatOnplan(model=MODEL, **options).bind_tools([weather])
    question = HumanMessage("Oslo?")
    called = trip(bound.invoke([question]))
    assert called.tool_calls[0]["name"] == "weather"
    answer = bound.invoke([question, called, weather.invoke(called.tool_calls[0])])

    assert "rain in" in answer.text
    _, second = _asked(signed_in)
    kinds = [item["type"] for item in second["input"]]
    assert kinds.index("reasoning") < kinds.index("function_call") < kinds.index("function_call_output")
    [reasoning] = [item for item in second["input"] if item["type"] == "reasoning"]
    assert reasoning["encrypted_content"]
    assert "history_repairs" not in answer.response_metadata


async def test_sealed_reasoning_of_streams(signed_in: Emulator) -> None:
    """Chunks that were added, and the message that is made of them, keep it as well."""
    # Over a WebSocket the backend has it still, and is sent what is new alone.
    bound = ChatOnplan(model=MODEL, client_options={"transport": "sse"}).bind_tools([weather])
    called = message_chunk_to_message(_added([chunk async for chunk in bound.astream("Oslo?")]))
    signed_in.clear_journal()
    await bound.ainvoke([HumanMessage("Oslo?"), called, weather.invoke(called.tool_calls[0])])
    [body] = _asked(signed_in)
    assert [item["encrypted_content"] for item in body["input"] if item["type"] == "reasoning"]


def test_edited_messages_are_sent_as_they_are_now(model: ChatOnplan, signed_in: Emulator) -> None:
    """A program that changes an answer or its calls is believed; the reasoning stays with what is left."""
    signed_in.play(Turn(text="I look.", thinking="hm", tool_calls=[Call("weather", {"city": "Oslo"})]))
    called = model.bind_tools([weather]).invoke("Oslo?")
    call = {**called.tool_calls[0], "args": {"city": "Rome"}}
    edited = called.model_copy(update={"content": "I am looking.", "tool_calls": [call]})
    signed_in.clear_journal()
    model.invoke([HumanMessage("?"), edited, ToolMessage("sun", tool_call_id=call["id"])])
    model.invoke([HumanMessage("?"), called.model_copy(update={"tool_calls": []}), HumanMessage("?")])

    changed, without = _asked(signed_in)
    kinds = [item["type"] for item in changed["input"]]
    assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output"]
    assert changed["input"][2]["content"][0]["text"] == "I am looking."
    assert json.loads(changed["input"][3]["arguments"]) == {"city": "Rome"}
    assert "function_call" not in [item["type"] for item in without["input"]]


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("", tool_calls=[{"name": "f", "args": {"at": datetime.now(UTC)}, "id": "1"}]),
        RemoveMessage(id="1"),
        ChatMessage(role="critic", content="x"),
        HumanMessage("\ud800"),
    ],
)
def test_messages_that_cannot_be_sent(model: ChatOnplan, signed_in: Emulator, message: Any) -> None:
    """They are refused before anything is sent, as errors of both libraries."""
    with pytest.raises(onplan.InvalidRequestError) as raised:
        model.invoke([HumanMessage("?"), message])
    assert isinstance(raised.value, exceptions.LangChainException)
    assert not _asked(signed_in)


def test_kept_parts_of_another_person(model: ChatOnplan, signed_in: Emulator, tmp_path: Path) -> None:
    """What is kept in a message cannot make this machine's files be sent, nor break a request."""
    secret = tmp_path / "secret.txt"
    secret.write_text("never sent")
    for kept in ([{"type": "file", "path": str(secret)}], "x", [{"type": "text"}], [None], {"a": 1}):
        message = AIMessage("Hello.", additional_kwargs={"onplan": kept})
        model.invoke([HumanMessage("Hi"), message, HumanMessage("And?")])
    bodies = _asked(signed_in)
    assert len(bodies) == 5
    assert "never sent" not in json.dumps(bodies)
    assert all("Hello." in json.dumps(body) for body in bodies)


# --- tools ----------------------------------------------------------------------------------------------


async def test_tools(model: ChatOnplan, signed_in: Emulator) -> None:
    """Several calls of one turn, streamed with a stable index each; their results, one failed."""
    calls = [Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Rome"})]
    signed_in.play(Turn(tool_calls=calls), Turn(text="Take a coat."))
    bound = model.bind_tools([weather])
    chunks = [chunk async for chunk in bound.astream("?")]
    called = _added(chunks)
    results = [
        weather.invoke(called.tool_calls[0]),
        ToolMessage("no such city", tool_call_id=called.tool_calls[1]["id"], status="error"),
    ]
    answer = await bound.ainvoke([HumanMessage("?"), called, *results])

    assert [call["args"] for call in called.tool_calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert called.response_metadata["finish_reason"] == "tool_calls"
    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    assert {piece["index"] for piece in pieces} == {0, 1}
    assert [piece["name"] for piece in pieces if piece["name"]] == ["weather", "weather"]
    assert answer.content == "Take a coat."
    sent = json.dumps(_asked(signed_in)[-1]["input"])
    assert "rain in Oslo" in sent
    assert "Error: no such city" in sent


@pytest.mark.parametrize(("content", "told"), [([{"type": "text", "text": "rain"}], "rain"), ([], "")])
def test_a_tool_that_says_a_text_or_nothing(
    model: ChatOnplan, signed_in: Emulator, content: list[Any], told: str
) -> None:
    """Its result is a string, also where LangChain has blocks."""
    called = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}])
    model.invoke([HumanMessage("?"), called, ToolMessage(content, tool_call_id="c1")])
    [sent] = [item for item in _asked(signed_in)[0]["input"] if "output" in item]
    assert sent["output"] == told


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        (True, "required"),
        ("weather", {"type": "function", "name": "weather"}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "function", "name": "weather"}),
        ({"type": "tool", "name": "weather"}, {"type": "function", "name": "weather"}),
    ],
)
def test_tool_choice(model: ChatOnplan, signed_in: Emulator, choice: Any, sent: Any) -> None:
    """Each of LangChain's words becomes the backend's; ``strict`` reaches it."""
    model.bind_tools([weather], tool_choice=choice, strict=True, parallel_tool_calls=False).invoke("Oslo?")
    [body] = _asked(signed_in)
    assert body["tool_choice"] == sent
    assert body["tools"][0]["strict"] is True
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize("given", [5, {}, object()])
def test_what_is_no_tool(model: ChatOnplan, given: Any) -> None:
    """It is refused where it is given, by its place."""
    with pytest.raises(onplan.InvalidRequestError, match=r"tools\[1\]"):
        model.bind_tools([weather, given])
    with pytest.raises(onplan.InvalidRequestError, match=r"tools\[0\]"):
        model.with_structured_output({"type": "object"}, method="function_calling")


def test_a_choice_that_is_not_offered(model: ChatOnplan) -> None:
    """It is refused where it is made, with the names that there are."""
    with pytest.raises(onplan.InvalidRequestError, match="none of the tools") as raised:
        model.bind_tools([weather], tool_choice="wether")
    assert raised.value.hint.endswith("weather.")


@pytest.mark.parametrize("given", [{"type": "web_search"}, onplan.web_search()])
def test_hosted_search(signed_in: Emulator, given: Any) -> None:
    """The backend's own search: its calls and the pages cited are content blocks, in a stream as well."""
    signed_in.arm("annotated_links", 9)
    page = "See [Oslo](https://example.org/oslo)."
    turn = Turn(searches=["Oslo"], text=page)
    signed_in.play(turn, turn, turn)
    bound = ChatOnplan(model=MODEL).bind_tools([given])
    whole, streamed = bound.invoke("Oslo?"), _added(bound.stream("Oslo?"))
    in_blocks = _added(ChatOnplan(model=MODEL, output_version="v1").bind_tools([given]).stream("Oslo?"))

    assert {block["type"] for block in in_blocks.content} >= {"server_tool_call", "server_tool_result"}
    [cited_text] = [block for block in in_blocks.content if block["type"] == "text"]
    assert cited_text["annotations"][0]["cited_text"] == page[4:-1]
    for answer in (whole, streamed):
        kinds = [block["type"] for block in answer.content_blocks]
        assert kinds.index("server_tool_call") < kinds.index("server_tool_result") < kinds.index("text")
        [text] = [block for block in answer.content_blocks if block["type"] == "text"]
        [cited] = text["annotations"]
        assert cited["type"] == "citation"
        assert cited["url"] == "https://example.org/oslo"
        assert page[cited["start_index"] : cited["end_index"]] == cited["cited_text"]
    again = bound.invoke([HumanMessage("Oslo?"), whole, HumanMessage("And Rome?")])
    assert again.content
    assert "web_search_call" in [item["type"] for item in _asked(signed_in)[-1]["input"]]


def test_hosted_images(model: ChatOnplan, signed_in: Emulator) -> None:
    """An image that the backend makes is a content block, and its call goes back."""
    signed_in.play(*[Turn(images=["a fox"], text="Here.")] * 2)
    bound = model.bind_tools([{"type": "image_generation"}])
    for answer in (bound.invoke("A fox"), _added(bound.stream("A fox"))):
        assert answer.content == "Here."
        [image] = [block for block in answer.content_blocks if block["type"] == "image"]
        assert image["mime_type"] == "image/png"
        assert base64.b64decode(image["base64"]).startswith(b"\x89PNG")
    bound.invoke([HumanMessage("A fox"), answer, HumanMessage("Now a hare")])
    assert "image_generation_call" in [item["type"] for item in _asked(signed_in)[-1]["input"]]


def test_reasoning_of_another_account(model: ChatOnplan, signed_in: Emulator) -> None:
    """Sealed reasoning that the backend cannot open is left out, and the question is answered."""
    before = model.invoke("x")
    signed_in.arm("encrypted_content_refused", 1)
    assert model.invoke([HumanMessage("x"), before, HumanMessage("y")]).content == "You said: y"
    assert "reasoning" not in [item["type"] for item in _asked(signed_in)[-1]["input"]]


def test_custom_tools(model: ChatOnplan, signed_in: Emulator) -> None:
    """A tool that takes free text: LangChain has one argument, and the backend gets the text back."""
    text = 'print("Grüße")\n'
    signed_in.play(*[Turn(tool_calls=[Call("run", text)])] * 2)
    bound = model.bind_tools([onplan.CustomTool("run", "Runs Python.")])
    whole, streamed = bound.invoke("?"), _added(bound.stream("?"))
    assert whole.tool_calls[0]["args"] == streamed.tool_calls[0]["args"] == {"__arg1": text}
    result = ToolMessage("ok", tool_call_id=streamed.tool_calls[0]["id"])
    bound.invoke([HumanMessage("?"), streamed, result])
    [call] = [item for item in _asked(signed_in)[-1]["input"] if item["type"] == "custom_tool_call"]
    assert call["input"] == text


@pytest.mark.parametrize("arguments", ["{city: Oslo", '{"city": ' + "[" * 20_000 + "]" * 20_000 + "}"])
def test_calls_that_are_no_json(model: ChatOnplan, signed_in: Emulator, arguments: str) -> None:
    """They are LangChain's invalid calls, go back to the model, and the request is not refused."""
    signed_in.play(Turn(tool_calls=[Call("weather", arguments)]))
    bound = model.bind_tools([weather])
    called = bound.invoke("?")
    assert not called.tool_calls
    [wrong] = called.invalid_tool_calls
    assert wrong["args"] == arguments
    answer = bound.invoke([HumanMessage("?"), called, ToolMessage("no JSON", tool_call_id=wrong["id"])])
    assert answer.response_metadata["history_repairs"]


@pytest.mark.parametrize("text", ['{"city": "Os', '{"city": ["a", {"b": "c\\\\', "{", '{"a": {"b": 1}', ""])
def test_a_call_that_is_cut_off_is_invalid(model: ChatOnplan, signed_in: Emulator, text: str) -> None:
    """LangChain would complete its JSON, and a program carry out half a call."""
    signed_in.play(
        Turn(tool_calls=[Call("weather", text + " " * 4000)], fault="incomplete_max_output_tokens")
    )
    called = _added(model.bind_tools([weather]).stream("?"))
    assert called.response_metadata["finish_reason"] == "length"
    assert not called.tool_calls


# --- typed output ---------------------------------------------------------------------------------------


@dataclass
class Plane:
    """A class that is neither pydantic's nor a TypedDict."""

    name: str
    wingspan: int = 30


class BirdDict(TypedDict):
    """A bird, as a dict."""

    name: str
    wingspan: int


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Bird, BirdDict, Bird.model_json_schema()])
async def test_structured_output(model: ChatOnplan, signed_in: Emulator, method: Any, schema: Any) -> None:
    """By each method, from each kind of schema, sync, async and streamed."""
    name = "Bird" if schema is not BirdDict else "BirdDict"
    said = (
        Turn(tool_calls=[Call(name, json.loads(BIRD))]) if method == "function_calling" else Turn(text=BIRD)
    )
    signed_in.play(said, said, said, said)
    typed = model.with_structured_output(schema, method=method)
    found = [typed.invoke("A bird"), await typed.ainvoke("A bird")]
    *_, last = typed.stream("A bird")
    *_, async_last = [part async for part in typed.astream("A bird")]
    for value in [*found, last, async_last]:
        read = value.model_dump() if schema is Bird else value
        assert read == {"name": "Wren", "wingspan": 15}


def test_structured_output_of_other_classes(model: ChatOnplan, signed_in: Emulator) -> None:
    """onplan reads more than LangChain does: dataclasses, lists, and null for a default in strict mode."""
    jumbo = '{"name": "Jumbo", "wingspan": null}'
    signed_in.play(Turn(text=jumbo), Turn(text=f'{{"value": [{jumbo}]}}'))
    assert model.with_structured_output(Plane).invoke("?") == Plane("Jumbo")
    assert model.with_structured_output(list[Plane]).invoke("?") == [Plane("Jumbo")]
    untitled = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert model.with_structured_output(untitled).invoke("?").keys() == {"a"}
    assert all(body["text"]["format"]["strict"] is True for body in _asked(signed_in))


@pytest.mark.parametrize(("strict", "sent"), [(None, True), (True, True), (False, False)])
def test_strict_schemas(model: ChatOnplan, signed_in: Emulator, strict: Any, sent: bool) -> None:
    """Where the schema allows it the backend holds the model to it, unless it is told not to."""
    model.with_structured_output(Bird, strict=strict).invoke("?")
    [body] = _asked(signed_in)
    assert body["text"]["format"]["strict"] is sent
    assert body["text"]["format"]["name"] == "Bird"


def test_include_raw(model: ChatOnplan, signed_in: Emulator) -> None:
    """The message is beside the value, or beside the error."""
    signed_in.play(Turn(text=BIRD), Turn(text='{"name": 7}'))
    typed = model.with_structured_output(Bird, include_raw=True)
    good, bad = typed.invoke("?"), typed.invoke("?")
    assert good["parsed"] == Bird(name="Wren", wingspan=15)
    assert good["parsing_error"] is None
    assert bad["parsed"] is None
    assert isinstance(bad["parsing_error"], OutputParserException)
    assert bad["raw"].content == '{"name": 7}'


@pytest.mark.parametrize("schema", [Bird, BirdDict])
@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_half_answers_have_no_value(
    model: ChatOnplan, signed_in: Emulator, schema: Any, how: str, method: Any
) -> None:
    """Neither cut answers nor refusals become values, although LangChain completes JSON that is cut off."""
    typed = model.with_structured_output(schema, method=method)
    refused: Any = getattr(exceptions, "ModelRefusalError", OutputParserException)
    for fault, error in (("incomplete_max_output_tokens", OutputParserException), ("refusal", refused)):
        signed_in.arm(fault, 1)
        with pytest.raises(error):
            typed.invoke("?") if how == "invoke" else list(typed.stream("?"))


def test_typed_output_beside_tools(model: ChatOnplan, signed_in: Emulator) -> None:
    """The model may call a tool before it answers; then there is no value yet."""
    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]))
    result = model.with_structured_output(Bird, tools=[weather], include_raw=True).invoke("?")
    assert result["parsed"] is None
    assert result["parsing_error"] is None
    assert result["raw"].tool_calls


@pytest.mark.parametrize(
    ("schema", "options", "words"),
    [
        (Bird, {"method": "json"}, "no method 'json'"),
        (Bird, {"method": "json_mode", "strict": True}, "strict says nothing"),
        (None, {}, "needs a schema"),
        (Bird, {"method": "function_calling", "tool_choice": "any"}, "tool_choice"),
        (5, {}, "response_format cannot be used"),
        (onplan.web_search(), {"method": "function_calling"}, "of another kind"),
        (dict[str, int], {"strict": True}, "cannot be strict"),
    ],
)
def test_typed_output_that_cannot_be(model: ChatOnplan, schema: Any, options: Any, words: str) -> None:
    """Wrong arguments are said where they are given."""
    with pytest.raises(onplan.InvalidRequestError, match=words):
        model.with_structured_output(schema, **options)


# --- failures -------------------------------------------------------------------------------------------

FAULTS: list[tuple[str, type[onplan.OnplanError], str, bool]] = [
    ("usage_limit_429", onplan.UsageLimitError, "ModelRateLimitError", False),
    ("response_failed_usage_limit_reached", onplan.UsageLimitError, "ModelRateLimitError", False),
    ("usage_not_included", onplan.NotIncludedError, "ModelPermissionDeniedError", False),
    ("rate_limited_429", onplan.RateLimitError, "ModelRateLimitError", True),
    ("overloaded_503", onplan.OverloadedError, "ModelAPIError", True),
    ("cloudflare_403", onplan.BlockedError, "ModelAPIError", False),
    ("context_length_exceeded", onplan.ContextLengthError, "ContextOverflowError", False),
    ("model_not_supported", onplan.ModelNotAvailableError, "ModelNotFoundError", False),
    ("content_policy", onplan.ContentPolicyError, "ModelInvalidRequestError", False),
    ("connection_reset", onplan.DisconnectError, "ModelConnectionError", True),
    ("cut_mid_event", onplan.StreamTruncatedError, "ModelAPIError", True),
    ("eof_without_terminal", onplan.StreamTruncatedError, "ModelAPIError", True),
]


@pytest.mark.parametrize(("fault", "ours", "theirs", "retryable"), FAULTS)
async def test_failures(
    signed_in: Emulator, fault: str, ours: type[onplan.OnplanError], theirs: str, retryable: bool
) -> None:
    """Each is both onplan's error and LangChain's, whole and streamed, sync and async; asked for once."""
    model = ChatOnplan(model=MODEL, max_retries=0, client_options={"transport": "sse"})
    signed_in.arm(fault, 9)

    async def read() -> None:
        async for _ in model.astream("one two three"):
            pass

    for ask in (lambda: model.invoke("one two three"), lambda: list(model.stream("one two three"))):
        signed_in.clear_journal()
        with pytest.raises(ours) as raised:
            ask()
        assert len(_asked(signed_in)) == 1
        _check(raised.value, theirs, retryable)
    for work in (model.ainvoke("one two three"), read()):
        signed_in.clear_journal()
        with pytest.raises(ours) as raised:
            await work
        assert len(_asked(signed_in)) == 1
        _check(raised.value, theirs, retryable)


def _check(error: Any, theirs: str, retryable: bool) -> None:
    assert isinstance(error, getattr(exceptions, theirs, exceptions.LangChainException))
    assert error.is_retryable is retryable
    assert str(error) == f"{error.message} {error.hint}"
    assert "".join(traceback.format_exception(error)).count(error.hint) == 1
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.request_id == error.request_id


@pytest.mark.parametrize("attempts", [{}, {"max_retries": 3}])
async def test_a_usage_limit_is_never_tried_again(signed_in: Emulator, attempts: dict[str, Any]) -> None:
    """Neither by onplan nor by LangChain's ``with_retry``; and a fallback answers in its place."""
    signed_in.arm("usage_limit_429", 99)
    model = ChatOnplan(model=MODEL, **attempts)
    chain = model.with_structured_output(Bird).with_retry(retry_if_exception_type=(RetryableModelError,))
    for asking in (model, model.with_retry(), model.bind_tools([weather]).with_retry(), chain):
        signed_in.clear_journal()
        with pytest.raises(onplan.UsageLimitError):
            asking.invoke("x")
        assert len(_asked(signed_in)) == 1
        with pytest.raises(onplan.UsageLimitError):
            await asking.ainvoke("x")
        assert len(_asked(signed_in)) == 2
    signed_in.disarm()
    signed_in.arm("usage_limit_429", 1)
    assert model.with_fallbacks([ChatOnplan(model="gpt-6-sol")]).invoke("x").content == "You said: x"


def test_rate_limits_are_tried_again_before_the_first_chunk(signed_in: Emulator) -> None:
    """By onplan, so that a program sees nothing of it; after the first chunk the error is raised."""
    model = ChatOnplan(model=MODEL)
    signed_in.arm("rate_limited_429_milliseconds", 1)
    assert _added(model.stream("one two")).content == "You said: one two"
    assert len(_asked(signed_in)) == 2
    signed_in.clear_journal()
    signed_in.arm("response_failed_after_text", 9)
    seen: list[Any] = []
    with pytest.raises(onplan.ServerError):
        seen.extend(model.stream("one two"))
    assert "".join(chunk.content for chunk in seen)
    assert len(_asked(signed_in)) == 1


def test_with_retry_tries_what_may_pass(signed_in: Emulator) -> None:
    """A program may want more attempts than onplan's."""
    signed_in.arm("overloaded_503", 2)
    model = ChatOnplan(model=MODEL, max_retries=0)
    assert model.with_retry(wait_exponential_jitter=False).invoke("x").content == "You said: x"
    assert len(_asked(signed_in)) == 3


@needs_v3
@v3_is_beta
def test_a_cut_stream_of_events_is_an_error(signed_in: Emulator) -> None:
    """The typed stream has no message then."""
    signed_in.arm("eof_without_terminal", 9)
    stream = ChatOnplan(model=MODEL, max_retries=0).stream_events("one two", version="v3")
    with pytest.raises(onplan.StreamTruncatedError):
        list(stream)


def test_who_is_not_signed_in_is_told_what_to_type(emulator: Emulator) -> None:
    """LangChain's authentication error ends with the command."""
    with pytest.raises(onplan.NotSignedInError, match="onplan login") as raised:
        ChatOnplan(model=MODEL).invoke("x")
    if HAS_MODEL_ERRORS:
        assert isinstance(raised.value, exceptions.ModelAuthenticationError)


def test_a_revoked_sign_in(model: ChatOnplan, signed_in: Emulator) -> None:
    """It is the authentication error, too, and nothing of the token is in it."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(onplan.SignInAgainError, match="onplan login"):
        model.invoke("x")


# --- tokens, threads, loops, processes ------------------------------------------------------------------


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


# --- saving, caching, tracing ---------------------------------------------------------------------------

KEY = "sk-never-shown-0123456789"


def test_no_secret_is_written(signed_in: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a token nor a key is in what is printed, saved or logged, or in a traceback's variables."""
    caplog.set_level(logging.DEBUG)
    model = ChatOnplan(model=MODEL, api_key=KEY)
    model.invoke("x")
    token = onplan.Client().credentials().access_token
    signed_in.arm("content_policy", 9)
    with pytest.raises(onplan.ContentPolicyError) as raised:
        model.invoke("x")
    trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    trace.stack[:] = [frame for frame in trace.stack if frame.filename != __file__]
    texts = [repr(model), str(model), dumps(model), json.dumps(model.model_dump(mode="json")), caplog.text]
    texts += ["".join(trace.format()), str(model._identifying_params), str(model._get_ls_params())]
    texts.append(pickle.dumps(ChatOnplan(model=MODEL)).decode("latin-1"))
    for text in texts:
        assert token not in text
        assert KEY not in text
    assert "takes no API key" in caplog.text
    assert KEY not in json.dumps(signed_in.journal())


def test_a_model_with_a_secret_is_not_pickled(signed_in: Emulator) -> None:
    """As for the clients: it says what to do instead."""
    model = ChatOnplan(model=MODEL, backend="openai", api_key=KEY)
    with pytest.raises(onplan.ConfigurationError, match="api_key is a secret"):
        pickle.dumps(model)


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_a_model_that_is_written_down_and_loaded(model: ChatOnplan) -> None:
    """LangChain's ``dumps`` and ``load``, with the class allowed."""
    written = json.loads(dumps(ChatOnplan(model=MODEL, temperature=0.5, account="default")))
    loaded = load(written, valid_namespaces=["onplan"], **_allowing([ChatOnplan]))
    assert isinstance(loaded, ChatOnplan)
    assert (loaded.model_name, loaded.temperature, loaded.account) == (MODEL, 0.5, "default")
    assert loaded.invoke("x").content == "You said: x"


def test_an_answer_from_the_cache(signed_in: Emulator) -> None:
    """The same question to the same model is asked once; to another model, or another way, again."""
    cache = InMemoryCache()
    model = ChatOnplan(model=MODEL, cache=cache)
    first, second = model.invoke("x"), model.invoke("x")
    assert first.content == second.content
    assert second.additional_kwargs["onplan"] == first.additional_kwargs["onplan"]
    assert len(_asked(signed_in)) == 1
    model.invoke("x", max_tokens=100)
    ChatOnplan(model="gpt-6-sol", cache=cache).invoke("x")
    ChatOnplan(model=MODEL, cache=cache).invoke("x")
    assert len(_asked(signed_in)) == 3


def test_tracing_parameters(model: ChatOnplan) -> None:
    """LangSmith is told provider, model and parameters; a call's own model counts."""
    bound = ChatOnplan(model=MODEL, temperature=0.1, max_tokens=9, stop="a")
    assert bound._get_ls_params() == {
        "ls_provider": "onplan",
        "ls_model_name": MODEL,
        "ls_model_type": "chat",
        "ls_temperature": 0.1,
        "ls_max_tokens": 9,
        "ls_stop": ["a"],
    }
    assert model._get_ls_params(model="other", stop=["b"])["ls_model_name"] == "other"


def test_configurable_fields_share_connections(model: ChatOnplan) -> None:
    """LangChain makes a new model for each call with them; it has the clients of the first."""
    configurable = model.configurable_fields(model_name=ConfigurableField(id="model"))
    answer = configurable.invoke("x", config={"configurable": {"model": "gpt-6-sol"}})
    assert answer.response_metadata["model_name"] == "gpt-6-sol"
    made, _ = configurable.with_config(configurable={"model": "gpt-6-sol"})._prepare()  # type: ignore[attr-defined]
    assert made.clients is model.clients
    assert model.model_copy(update={"account": "other"})._made_clients() is not model.clients


# --- arguments ------------------------------------------------------------------------------------------


def test_a_store_at_a_path(signed_in: Emulator, tmp_path: Path) -> None:
    """It is written down as the spec that it stands for, and found again."""
    store = tmp_path / "elsewhere.json"
    settings = load_settings()
    open_store(f"file:{store}").save(issued(signed_in.issue_tokens(), settings.issuer), None)
    model = ChatOnplan(model=MODEL, store=store)
    assert model.invoke("x").content == "You said: x"
    assert json.loads(dumps(model))["kwargs"]["store"] == f"file:{store}"


def test_arguments(signed_in: Emulator) -> None:
    """LangChain's names and onplan's; what belongs elsewhere is said so."""
    assert ChatOnplan(model=MODEL).model_name == ChatOnplan(model_name=MODEL).model_name == MODEL
    assert ChatOnplan(stop_sequences=["x"]).stop == ["x"]
    if HAS_PROFILES:
        assert ChatOnplan(model=MODEL).profile["max_input_tokens"] == 272_000
        assert ChatOnplan(model="gpt-none").profile is None
        with pytest.raises(onplan.ConfigurationError, match="what a model can do"):
            ChatOnplan(profile="work")
    assert ChatOnplan().invoke("x").response_metadata["model_name"]
    for wrong in (
        {"client_options": {"api_key": "x"}},
        {"client_options": {"resume": True}},
        {"client_options": {"proxi": "x"}},
        {"base_url": "https://user:pass@example.org"},
    ):
        with pytest.raises(onplan.ConfigurationError) as raised:
            ChatOnplan(**wrong)
        assert "pass@" not in str(raised.value)
    for name, value in (("max_retries", -1), ("temperature", "hot")):
        with pytest.raises(ValidationError):
            ChatOnplan(**{name: value})
    with pytest.raises(onplan.OnplanError, match="proxy"):
        ChatOnplan(client_options={"proxy": "no proxy"}).invoke("x")


def test_token_counts(model: ChatOnplan) -> None:
    """Estimates of messages with tools, without a request, where LangChain would want GPT-2's tokenizer."""
    few = model.get_num_tokens("Name three birds")
    more = model.get_num_tokens_from_messages([HumanMessage("Name three birds")], tools=[weather])
    assert 0 < few < more


# --- the page and the distribution ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [code for code in pages.python_blocks("langchain.md") if "from langchain" not in code]
)
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of docs/integrations/langchain.md that need no more than langchain-core."""
    assert pages.run(code)


def test_the_distribution(signed_in: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``langchain-onplan`` is the same class under its own name."""
    site = distributions.installed("langchain-onplan", tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    code = "import langchain_onplan as l; print(l.ChatOnplan(model='gpt-5.5').invoke('x').content)"
    assert pages.run(code) == "You said: x\n"
    assert (site / "langchain_onplan/py.typed").exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("modle", "Did you mean 'model'?"),
        ("tempreture", "Did you mean 'temperature'?"),
        ("retry", "Give it as `max_retries=…`."),
        ("max_window_share", "Give it as `client_options={'max_window_share': …}`."),
        ("qqq", "Options of `onplan.Client` go into `client_options`"),
    ],
)
def test_an_argument_that_there_is_not(name: str, hint: str) -> None:
    """It is told with the one that is meant, or with where it goes."""
    with pytest.raises(onplan.ConfigurationError, match=f"no argument '{name}'") as caught:
        ChatOnplan(model="gpt-5.5", **{name: 1})
    assert hint in caught.value.hint
