"""Messages of LangChain on the plan: images, files, roles, and what goes back as it came."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

pytest.importorskip("langchain_core")

from langchain_core import exceptions
from langchain_core.load import dumps, loads
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

from onplan.integrations.langchain import ChatOnplan

from .langchain_model import MODEL, added, allowing, bodies, model, weather  # noqa: F401

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
    [body] = bodies(signed_in)
    assert _PIXEL[:40] in json.dumps(body["input"])


def test_files_and_roles(model: ChatOnplan, signed_in: Emulator) -> None:
    """Files keep their names; system, developer and user messages their roles."""
    pdf = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()
    file = {"type": "file", "base64": pdf, "mime_type": "application/pdf", "filename": "a.pdf"}
    model.invoke([SystemMessage("Be kind."), ("developer", "Be brief."), HumanMessage([file])])
    said = json.dumps(bodies(signed_in)[0])
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
    assert not bodies(signed_in)


def _as_it_is(message: AIMessage) -> AIMessage:
    return message


def _by_json(message: AIMessage) -> AIMessage:
    return type(message).model_validate_json(message.model_dump_json())


def _by_dicts(message: AIMessage) -> AIMessage:
    [read] = messages_from_dict(json.loads(json.dumps(messages_to_dict([message]))))
    return read


def _by_dumps(message: AIMessage) -> AIMessage:
    return loads(dumps(message), **allowing("core"))


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
    _, second = bodies(signed_in)
    kinds = [item["type"] for item in second["input"]]
    assert kinds.index("reasoning") < kinds.index("function_call") < kinds.index("function_call_output")
    [reasoning] = [item for item in second["input"] if item["type"] == "reasoning"]
    assert reasoning["encrypted_content"]
    assert "history_repairs" not in answer.response_metadata


async def test_sealed_reasoning_of_streams(signed_in: Emulator) -> None:
    """Chunks that were added, and the message that is made of them, keep it as well."""
    # Over a WebSocket the backend has it still, and is sent what is new alone.
    bound = ChatOnplan(model=MODEL, client_options={"transport": "sse"}).bind_tools([weather])
    called = message_chunk_to_message(added([chunk async for chunk in bound.astream("Oslo?")]))
    signed_in.clear_journal()
    await bound.ainvoke([HumanMessage("Oslo?"), called, weather.invoke(called.tool_calls[0])])
    [body] = bodies(signed_in)
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

    changed, without = bodies(signed_in)
    kinds = [item["type"] for item in changed["input"]]
    assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output"]
    assert changed["input"][2]["content"][0]["text"] == "I am looking."
    assert json.loads(changed["input"][3]["arguments"]) == {"city": "Rome"}
    assert "function_call" not in [item["type"] for item in without["input"]]


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("", tool_calls=[{"name": "f", "args": {"at": object()}, "id": "1"}]),
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
    assert not bodies(signed_in)


def test_kept_parts_of_another_person(model: ChatOnplan, signed_in: Emulator, tmp_path: Path) -> None:
    """What is kept in a message cannot make this machine's files be sent, nor break a request."""
    secret = tmp_path / "secret.txt"
    secret.write_text("never sent")
    for kept in ([{"type": "file", "path": str(secret)}], "x", [{"type": "text"}], [None], {"a": 1}):
        message = AIMessage("Hello.", additional_kwargs={"onplan": kept})
        model.invoke([HumanMessage("Hi"), message, HumanMessage("And?")])
    sent = bodies(signed_in)
    assert len(sent) == 5
    assert "never sent" not in json.dumps(sent)
    assert all("Hello." in json.dumps(body) for body in sent)


def test_reasoning_of_another_account(model: ChatOnplan, signed_in: Emulator) -> None:
    """Sealed reasoning that the backend cannot open is left out, and the question is answered."""
    before = model.invoke("x")
    signed_in.arm("encrypted_content_refused", 1)
    assert model.invoke([HumanMessage("x"), before, HumanMessage("y")]).content == "You said: y"
    assert "reasoning" not in [item["type"] for item in bodies(signed_in)[-1]["input"]]
