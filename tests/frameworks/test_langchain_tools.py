"""Tools of LangChain on the plan: calls, results, choices; hosted and custom ones; calls that are no JSON."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import base64
import json
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

pytest.importorskip("langchain_core")

from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    ToolMessage,
)

from onplan.integrations.langchain import ChatOnplan

from .langchain_model import MODEL, added, bodies, model, weather  # noqa: F401


async def test_tools(model: ChatOnplan, signed_in: Emulator) -> None:
    """Several calls of one turn, streamed with a stable index each; their results, one failed."""
    calls = [Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Rome"})]
    signed_in.play(Turn(tool_calls=calls), Turn(text="Take a coat."))
    bound = model.bind_tools([weather])
    chunks = [chunk async for chunk in bound.astream("?")]
    called = added(chunks)
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
    sent = json.dumps(bodies(signed_in)[-1]["input"])
    assert "rain in Oslo" in sent
    assert "Error: no such city" in sent


@pytest.mark.parametrize(("content", "told"), [([{"type": "text", "text": "rain"}], "rain"), ([], "")])
def test_a_tool_that_says_a_text_or_nothing(
    model: ChatOnplan, signed_in: Emulator, content: list[Any], told: str
) -> None:
    """Its result is a string, also where LangChain has blocks."""
    called = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}])
    model.invoke([HumanMessage("?"), called, ToolMessage(content, tool_call_id="c1")])
    [sent] = [item for item in bodies(signed_in)[0]["input"] if "output" in item]
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
    [body] = bodies(signed_in)
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
    whole, streamed = bound.invoke("Oslo?"), added(bound.stream("Oslo?"))
    in_blocks = added(ChatOnplan(model=MODEL, output_version="v1").bind_tools([given]).stream("Oslo?"))

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
    assert "web_search_call" in [item["type"] for item in bodies(signed_in)[-1]["input"]]


def test_hosted_images(model: ChatOnplan, signed_in: Emulator) -> None:
    """An image that the backend makes is a content block, and its call goes back."""
    signed_in.play(*[Turn(images=["a fox"], text="Here.")] * 2)
    bound = model.bind_tools([{"type": "image_generation"}])
    for answer in (bound.invoke("A fox"), added(bound.stream("A fox"))):
        assert answer.content == "Here."
        [image] = [block for block in answer.content_blocks if block["type"] == "image"]
        assert image["mime_type"] == "image/png"
        assert base64.b64decode(image["base64"]).startswith(b"\x89PNG")
    bound.invoke([HumanMessage("A fox"), answer, HumanMessage("Now a hare")])
    assert "image_generation_call" in [item["type"] for item in bodies(signed_in)[-1]["input"]]


def test_custom_tools(model: ChatOnplan, signed_in: Emulator) -> None:
    """A tool that takes free text: LangChain has one argument, and the backend gets the text back."""
    text = 'print("Grüße")\n'
    signed_in.play(*[Turn(tool_calls=[Call("run", text)])] * 2)
    bound = model.bind_tools([onplan.CustomTool("run", "Runs Python.")])
    whole, streamed = bound.invoke("?"), added(bound.stream("?"))
    assert whole.tool_calls[0]["args"] == streamed.tool_calls[0]["args"] == {"__arg1": text}
    result = ToolMessage("ok", tool_call_id=streamed.tool_calls[0]["id"])
    bound.invoke([HumanMessage("?"), streamed, result])
    [call] = [item for item in bodies(signed_in)[-1]["input"] if item["type"] == "custom_tool_call"]
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
    called = added(model.bind_tools([weather]).stream("?"))
    assert called.response_metadata["finish_reason"] == "length"
    assert not called.tool_calls
